"""Installed as a wheel, Nabd finds its kinds, rules, sites and translations: nothing depends on the source tree."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LOOK = """
from importlib.resources import files
from pathlib import Path
import nabd, sys
assert not Path(nabd.__file__).is_relative_to(sys.argv[1]), nabd.__file__
from contract.kind_file import load_kinds
from nabd.city_files import read_sites, rule_texts
from nabd.data_folder import DataFolder
from rules import loader
kinds = load_kinds()
with DataFolder(Path("city"), start_ms=None, start_text="", speed=None) as folder:
    site = read_sites(folder.sites)[0]
    ruleset = loader.load(rule_texts([folder.rules])[0], kinds, site)
from console.language import languages
print(len(kinds), len(ruleset.rules), site.commune, *(len(language.texts) for language in languages().values()))
from adapters.state.sqlite_state import SqliteState
SqliteState(Path("state.db")).close()
from dashboards.generated import generated
assert any(path.endswith("nabd-lighting-ar.json") for path in generated(kinds))
assert (files("firmware") / "main.py").is_file()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for pattern in (
        "contract/kinds/*.yaml",
        "nabd/site/**/*.yaml",
        "console/locales/*.yaml",
        "console/static/*",
        "dashboards/locales/*.yaml",
    ):
        found = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern)]
        assert found, f"the source tree has no {pattern}"
        assert names.issuperset(found), f"missing in the wheel: {set(found) - names}"


def test_an_empty_environment_with_only_the_wheel_finds_everything(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (site_packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site_packages)
    # The libraries are those of this environment; Nabd itself is not: its editable install is a .pth file, unread here.
    libraries = next(path for path in sys.path if path.endswith("site-packages"))
    looked = subprocess.run(
        [str(python), "-c", f"import sys; sys.path.append({libraries!r})\n{LOOK}", str(ROOT)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert looked.returncode == 0, looked.stderr
    kinds, rules, commune, *texts = looked.stdout.split()
    assert (int(kinds), commune) == (4, "berkane")
    assert int(rules) >= 3
    assert len(set(texts)) == 1, "every language has the same number of texts"
