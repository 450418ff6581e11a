"""A restore refuses what is no backup before it touches anything, and puts back the whole of one or nothing."""

import json
import resource
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from nabd import backing_up, restoring
from nabd.data_folder import DataFolder
from nabd.doctoring import examine
from nabd.fault import Refused
from nabd.finding import Verdict
from tests.adapters_stores.entries import telemetry


def test_what_is_restored_is_what_was_there_with_the_secrets_as_closed_as_before(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    restoring.restore(tmp_path / "backup", new)
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


class Crash(BaseException):
    """The machine stops: nothing of ours catches it."""


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("backup.json", "lock")
    }


def stop_after(monkeypatch: pytest.MonkeyPatch, renames: int, stop: BaseException) -> None:
    """Let so many renames happen, then stop."""
    done = 0
    replace = Path.replace

    def counted(self: Path, target: Path) -> Path:
        nonlocal done
        if isinstance(stop, OSError) and done == renames:
            raise stop
        result = replace(self, target)
        done += 1
        if not isinstance(stop, OSError) and done == renames:
            raise stop
        return result

    monkeypatch.setattr(Path, "replace", counted)


RENAMES = 9  # the manifest in DATA/restoring, seven pieces, DATA/restoring itself


@pytest.mark.parametrize("renames", range(1, RENAMES + 1))
def test_a_restore_that_crashed_after_any_rename_keeps_the_city_from_starting_until_it_is_finished(
    city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    with monkeypatch.context() as patch:
        stop_after(patch, renames, Crash())
        with pytest.raises(Crash):
            restoring.restore(tmp_path / "backup", new)
    if renames < RENAMES:
        with pytest.raises(Refused, match="a restore was broken off; run nabd data restore again"):
            DataFolder(new, start_ms=None, start_text="", speed=None)
        with pytest.raises(Refused, match=r"(a restore was broken off|holds no city)"):
            backing_up.backup(new, tmp_path / "another", with_secrets=True)
        restoring.restore(tmp_path / "backup", new)
        assert contents(new) == contents(tmp_path / "backup")
    with DataFolder(new, start_ms=None, start_text="", speed=None) as folder:
        assert folder.format.clock.is_real
    assert contents(new) == contents(tmp_path / "backup")
    assert not (new / "restoring").exists()
    assert not (new / "restored").exists()


@pytest.mark.parametrize("renames", range(RENAMES))
def test_a_restore_that_cannot_rename_says_how_far_it_came_and_is_finished_by_a_second_run(
    city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    said = "the restore was broken off" if renames else "nothing was restored"
    with monkeypatch.context() as patch:
        stop_after(patch, renames, OSError(5, "Input/output error", "a piece"))
        with pytest.raises(Refused, match=f"a piece: Input/output error; {said}: mend it, try again"):
            restoring.restore(tmp_path / "backup", new)
    assert renames or [path.name for path in new.iterdir()] == ["lock"]
    restoring.restore(tmp_path / "backup", new)
    assert contents(new) == contents(tmp_path / "backup")


def test_a_restore_that_crashed_while_it_copied_begins_anew(
    city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"

    def stop(path: Path) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(restoring, "tree_to_disk", stop)
        with pytest.raises(Crash):
            restoring.restore(tmp_path / "backup", new)
    (new / "restoring" / "log.db").write_bytes(b"half")
    with pytest.raises(Refused, match="a restore was broken off"):
        DataFolder(new, start_ms=None, start_text="", speed=None)
    restoring.restore(tmp_path / "backup", new)
    assert contents(new) == contents(tmp_path / "backup")


def test_a_restore_that_was_broken_off_is_not_finished_with_another_backup(
    city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    backing_up.backup(city, tmp_path / "other", with_secrets=False)
    new = tmp_path / "new"
    with monkeypatch.context() as patch:
        stop_after(patch, 3, Crash())
        with pytest.raises(Crash):
            restoring.restore(tmp_path / "backup", new)
    before = contents(new)
    with pytest.raises(Refused, match="the restore of another backup was broken off in it"):
        restoring.restore(tmp_path / "other", new)
    assert contents(new) == before


def test_the_doctor_names_a_restore_that_was_broken_off(city: Path) -> None:
    (city / "restoring").mkdir()
    found = [finding.sentence for finding in examine(city, None) if finding.verdict is Verdict.WRONG]
    assert any("a restore was broken off" in sentence for sentence in found)


def test_secrets_that_are_there_already_stay(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"
    (new / "secrets").mkdir(parents=True)
    (new / "secrets" / "mqtt_platform_password").write_text("a newer word")
    restoring.restore(tmp_path / "backup", new)
    assert (new / "secrets" / "mqtt_platform_password").read_text() == "a newer word"
    assert "is there already and stays" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["log.db", "state.db", "store.duckdb", "format.json", "nabd.toml"])
def test_a_backup_that_changed_is_refused_and_nothing_is_restored(city: Path, tmp_path: Path, name: str) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    with (tmp_path / "backup" / name).open("r+b") as file:
        file.seek(10)
        file.write(b"x")
    with pytest.raises(Refused, match=f"{name}: has changed"):
        restoring.restore(tmp_path / "backup", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_manifest_that_points_outside_is_refused(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    file = tmp_path / "backup" / "backup.json"
    manifest = json.loads(file.read_text())
    manifest["files"]["../city/nabd.toml"] = ""
    file.write_text(json.dumps(manifest))
    with pytest.raises(Refused, match="lies outside the backup"):
        restoring.restore(tmp_path / "backup", tmp_path / "new")


def test_a_folder_without_its_manifest_is_no_backup(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(Refused, match="a folder without it is no backup"):
        restoring.restore(tmp_path / "backup", tmp_path / "new")


def test_a_folder_that_holds_a_city_is_not_written_over(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    with pytest.raises(Refused, match=r"holds log\.db, state\.db, store\.duckdb, format\.json, site already"):
        restoring.restore(tmp_path / "backup", city)


@pytest.mark.parametrize("left", ["log.db-wal", "state.db-shm", "store.duckdb.wal"])
def test_what_another_city_left_would_be_read_into_this_one_and_is_refused(
    city: Path, tmp_path: Path, left: str
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    other = tmp_path / "other"
    other.mkdir()
    (other / left).write_bytes(b"x")
    with pytest.raises(Refused, match=f"holds {left} already"):
        restoring.restore(tmp_path / "backup", other)


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """As on a disk that is full: no file can be written beyond this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_restore_without_room_names_the_file_that_has_none_and_leaves_nothing(city: Path, tmp_path: Path) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    new = tmp_path / "new"
    with files_up_to(2_000), pytest.raises(Refused) as refused:
        restoring.restore(tmp_path / "backup", new)
    assert str(refused.value) == (
        f"{new / 'restoring' / 'log.db'}: File too large; nothing was restored: mend it, try again"
    )
    assert [path.name for path in new.iterdir()] == ["lock"]
