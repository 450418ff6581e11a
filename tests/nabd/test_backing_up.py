"""A backup says what it is, and a restore refuses what is not one, before it touches anything."""

import json
import stat
from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from contract.ports import Effects
from contract.records import Tick
from nabd import backing_up
from nabd.data_folder import DataFolder
from nabd.fault import Refused
from tests.adapters_stores.entries import telemetry


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A folder nobody runs: a log of twenty entries, read to 10 by the store and to 20 by the state, and secrets."""
    path = tmp_path / "city"
    with DataFolder(path, start_ms=None, start_text="", speed=None):
        with closing(SqliteLog(path / "log.db", bytes_max=10_000_000, days_max=30)) as log:
            for _ in range(20):
                log.append([Tick(listening=True)], 1_000)
        with closing(SqliteState(path / "state.db")) as state:
            state.commit(Effects(), 20)
        with closing(DuckStore(path / "store.duckdb", load_kinds())) as store:
            store.write([telemetry(10, 1)], 1_000)
    secrets = path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "mqtt_platform_password").touch(mode=0o600)
    (secrets / "mqtt_platform_password").write_text("a word")
    (path / "nabd.toml").write_text("[http]\nport = 9090\n")
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_backup_names_its_positions_and_leaves_secrets_out_unless_told(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "plain", with_secrets=False)
    assert names(tmp_path / "plain") == {
        "backup.json", "format.json", "log.db", "nabd.toml", "site", "state.db", "store.duckdb",
    }  # fmt: skip
    manifest = json.loads((tmp_path / "plain" / "backup.json").read_text())
    assert (manifest["log"], manifest["state"], manifest["store"]) == (20, 20, 10)
    backing_up.backup(city, tmp_path / "whole", with_secrets=True)
    assert (tmp_path / "whole" / "secrets" / "mqtt_platform_password").read_text() == "a word"


def test_what_is_restored_is_what_was_there_with_the_secrets_as_closed_as_before(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    backing_up.restore(tmp_path / "backup", new)
    assert (new / "nabd.toml").read_bytes() == (city / "nabd.toml").read_bytes()
    assert stat.S_IMODE((new / "secrets" / "mqtt_platform_password").stat().st_mode) == 0o600
    assert stat.S_IMODE((new / "secrets").stat().st_mode) == 0o700
    with closing(SqliteLog(new / "log.db", bytes_max=10_000_000, days_max=30)) as log:
        assert log.last() == 20
    with closing(DuckStore(new / "store.duckdb", load_kinds())) as store:
        assert (store.position(), store.count()) == (10, 1)
        assert store.write([telemetry(21, 2)], 2_000) == 1
    with DataFolder(new, start_ms=None, start_text="", speed=None) as folder:
        assert folder.format.clock.is_real


def test_secrets_that_are_there_already_stay(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    (new / "secrets").mkdir(parents=True)
    (new / "secrets" / "mqtt_platform_password").write_text("a newer word")
    backing_up.restore(tmp_path / "backup", new)
    assert (new / "secrets" / "mqtt_platform_password").read_text() == "a newer word"
    assert "is there already and stays" in capsys.readouterr().out


def test_a_log_that_was_cut_behind_the_store_meanwhile_is_no_backup(city: Path, tmp_path: Path) -> None:
    with closing(SqliteLog(city / "log.db", bytes_max=10_000_000, days_max=1)) as log:
        log.consumed("store", 20)
        log.cut(10 * 86_400_000)
    with pytest.raises(Refused, match=r"was cut to 20 while store and state were copied at 10, 3 times; .* bytes_max"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert not (tmp_path / "backup" / "backup.json").exists()


@pytest.mark.parametrize("name", ["log.db", "state.db", "store.duckdb", "format.json", "nabd.toml"])
def test_a_backup_that_changed_is_refused_and_nothing_is_restored(city: Path, tmp_path: Path, name: str) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    with (tmp_path / "backup" / name).open("r+b") as file:
        file.seek(10)
        file.write(b"x")
    with pytest.raises(Refused, match=f"{name}: has changed"):
        backing_up.restore(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_manifest_that_points_outside_is_refused(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    file = tmp_path / "backup" / "backup.json"
    manifest = json.loads(file.read_text())
    manifest["files"]["../city/nabd.toml"] = ""
    file.write_text(json.dumps(manifest))
    with pytest.raises(Refused, match="lies outside the backup"):
        backing_up.restore(tmp_path / "backup", tmp_path / "new")


def test_a_folder_without_its_manifest_is_no_backup(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(Refused, match="a folder without it is no backup"):
        backing_up.restore(tmp_path / "backup", tmp_path / "new")


def test_a_folder_that_holds_a_city_is_not_written_over(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    with pytest.raises(Refused, match=r"holds log\.db, state\.db, store\.duckdb, format\.json, site already"):
        backing_up.restore(tmp_path / "backup", city)


def test_a_backup_is_not_written_over_another(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    with pytest.raises(Refused, match="is there already and not empty"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)


def test_a_damaged_log_is_said_to_be_damaged_and_not_backed_up(city: Path, tmp_path: Path) -> None:
    with (city / "log.db").open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096)
    with pytest.raises(Refused, match=r"log\.db: .*(damaged|malformed).*is no backup: remove it"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)


def test_no_city_no_backup(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds no city"):
        backing_up.backup(tmp_path, tmp_path / "backup", with_secrets=False)


def test_a_folder_in_use_that_does_not_answer_is_refused(city: Path, tmp_path: Path) -> None:
    with (
        DataFolder(city, start_ms=None, start_text="", speed=None),
        pytest.raises(Refused, match="is in use and does not answer yet"),
    ):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
