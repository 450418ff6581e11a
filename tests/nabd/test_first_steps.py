"""What a new user meets first: a start that ends in silence, rules whose place is told, secrets that git leaves."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from nabd.cli import cli
from nabd.process import PlatformProcess, free_port

ROOT = Path(__file__).parents[2]
MADE = ("berkane/log.db", "city/secrets/ca.key", "node.json", "lamp-017.json", "lamp-1.json", "backup/tonight/log.db",
        "dashboards-replaced/x.json", "nabd-data/log.db", "wheel/nabd.whl", "site/rules/a.yaml", ".env")  # fmt: skip


@pytest.mark.skipif(not (ROOT / ".git").exists() or shutil.which("git") is None, reason="no checkout")
@pytest.mark.parametrize("path", MADE)
def test_what_the_commands_of_the_docs_make_is_never_committed(path: str) -> None:
    """A device's node.json holds its only password."""
    asked = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=ROOT, check=False)
    assert asked.returncode == 0, f"{path} is not in .gitignore"


@pytest.mark.timeout(120)
def test_a_platform_that_was_stopped_says_so_last(tmp_path: Path) -> None:
    """No library complains on the way out of what the platform was still holding."""
    said = tmp_path / "output"
    with said.open("w") as output:
        platform = PlatformProcess(tmp_path / "city", free_port(), free_port(), output=output)
        try:
            platform.wait_until_up()
        finally:
            code = platform.stop()
    assert code == 0
    assert said.read_text().splitlines()[-1].endswith("room=wiring event=stopped")


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_data_folder_without_rules_is_named(tmp_path: Path, command: str) -> None:
    """Somebody who mistyped it must not read that his rules are good."""
    result = CliRunner().invoke(cli, ["rules", command, "--data", str(tmp_path / "mistyped")])
    assert result.exit_code == 0
    assert f"{tmp_path}/mistyped/site/rules is not there" in result.stderr
