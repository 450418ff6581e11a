"""A backup says what it is, and a restore refuses what is not one, before it touches anything."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from adapters.clock import real_ms
from adapters.copying import log_span, store_position
from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from contract.ports import Effects, StoreFault
from contract.records import Tick
from nabd import backing_up
from nabd.backing_up import store_copier
from nabd.data_folder import DataFolder, Run
from nabd.doctoring import examine
from nabd.fault import Refused
from nabd.finding import Verdict
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
            backing_up.restore(tmp_path / "backup", new)
    if renames < RENAMES:
        with pytest.raises(Refused, match="a restore was broken off; run nabd data restore again"):
            DataFolder(new, start_ms=None, start_text="", speed=None)
        with pytest.raises(Refused, match=r"(a restore was broken off|holds no city)"):
            backing_up.backup(new, tmp_path / "another", with_secrets=True)
        backing_up.restore(tmp_path / "backup", new)
        assert contents(new) == contents(tmp_path / "backup")
    with DataFolder(new, start_ms=None, start_text="", speed=None) as folder:
        assert folder.format.clock.is_real
    assert contents(new) == contents(tmp_path / "backup")
    assert not {"restoring", "restored"} & names(new)


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
            backing_up.restore(tmp_path / "backup", new)
    assert renames or names(new) == {"lock"}
    backing_up.restore(tmp_path / "backup", new)
    assert contents(new) == contents(tmp_path / "backup")


def test_a_restore_that_crashed_while_it_copied_begins_anew(
    city: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=True)
    new = tmp_path / "new"

    def stop(path: Path) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(backing_up, "tree_to_disk", stop)
        with pytest.raises(Crash):
            backing_up.restore(tmp_path / "backup", new)
    (new / "restoring" / "log.db").write_bytes(b"half")
    with pytest.raises(Refused, match="a restore was broken off"):
        DataFolder(new, start_ms=None, start_text="", speed=None)
    backing_up.restore(tmp_path / "backup", new)
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
            backing_up.restore(tmp_path / "backup", new)
    before = contents(new)
    with pytest.raises(Refused, match="the restore of another backup was broken off in it"):
        backing_up.restore(tmp_path / "other", new)
    assert contents(new) == before


def test_the_doctor_names_a_restore_that_was_broken_off(city: Path) -> None:
    (city / "restoring").mkdir()
    found = [finding.sentence for finding in examine(city, None) if finding.verdict is Verdict.WRONG]
    assert any("a restore was broken off" in sentence for sentence in found)


def test_two_copies_of_a_running_store_do_not_meet(tmp_path: Path) -> None:
    with closing(DuckStore(tmp_path / "store.duckdb", load_kinds())) as store:
        store.write([telemetry(10, 1)], 1_000)
        copy = store_copier(tmp_path, store)
        assert copy is not None
        first, first_place = copy()
        store.write([telemetry(11, 2)], 1_000)
        second, second_place = copy()
    assert (first, second) == (10, 11)
    assert store_position(tmp_path / first_place) == 10
    assert store_position(tmp_path / second_place) == 11


def test_a_copy_that_failed_leaves_nothing_and_one_nobody_took_goes_with_a_later_one(tmp_path: Path) -> None:
    with closing(DuckStore(tmp_path / "store.duckdb", load_kinds())) as store:
        copy = store_copier(tmp_path, store)
        assert copy is not None
        _, forgotten = copy()
        folder = (tmp_path / forgotten).parent
        store.close()
        with pytest.raises(StoreFault):
            copy()
        assert list((tmp_path / "copy").iterdir()) == [folder]
        long_ago_s = real_ms() / 1000 - backing_up.COPY_S_MAX - 60
        os.utime(folder, (long_ago_s, long_ago_s))
        with pytest.raises(StoreFault):
            copy()
    assert not (tmp_path / "copy").exists()


class Answering:
    """A running platform whose copy of the store is what `copy` made and said."""

    copy: Callable[[], tuple[int, str]]

    def __init__(self, url: str, timeout_s: float) -> None:
        pass

    def post(self, path: str, body: object) -> dict[str, object]:
        position, place = type(self).copy()
        return {"position": position, "path": place}

    def close(self) -> None:
        pass


@pytest.fixture
def running(city: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DuckStore]:
    """The city's store, open in a platform that answers."""
    run = Run(pid=os.getpid(), url="http://127.0.0.1:1", mqtt_host="127.0.0.1", mqtt_port=1, started_at_ms=0)
    (city / "run.json").write_bytes(msgspec.json.encode(run))
    monkeypatch.setattr(backing_up, "PlatformClient", Answering)
    with closing(DuckStore(city / "store.duckdb", load_kinds())) as store:
        copy = store_copier(city, store)
        assert copy is not None
        monkeypatch.setattr(Answering, "copy", staticmethod(copy), raising=False)
        yield store


def test_the_copy_that_was_asked_for_is_taken_though_another_is_made_meanwhile(
    city: Path, tmp_path: Path, running: DuckStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = store_copier(city, running)
    assert copy is not None

    def gap() -> tuple[int, str]:
        first = copy()
        running.write([telemetry(11, 2)], 1_000)
        copy()
        return first

    monkeypatch.setattr(Answering, "copy", staticmethod(gap))
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert json.loads((tmp_path / "backup" / "backup.json").read_text())["store"] == 10
    assert store_position(tmp_path / "backup" / "store.duckdb") == 10
    assert len(list((city / "copy").iterdir())) == 1, "its own is gone, the other's is not touched"


def test_a_copy_of_another_position_than_was_said_is_no_backup_and_does_not_stay(
    city: Path, tmp_path: Path, running: DuckStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = store_copier(city, running)
    assert copy is not None
    monkeypatch.setattr(Answering, "copy", staticmethod(lambda: (12, copy()[1])))
    with pytest.raises(Refused, match=r"store\.duckdb: holds position 10, and the platform said 12; .*is no backup"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert not (city / "copy").exists()


@pytest.mark.parametrize("place", ["log.db", "/etc/passwd", "copy/../log.db", "copy/x/../../log.db", "copy/x/y", ""])
def test_a_copy_elsewhere_than_in_its_folder_is_not_taken(
    city: Path, tmp_path: Path, running: DuckStore, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(Answering, "copy", staticmethod(lambda: (10, place)))
    with pytest.raises(Refused, match="is no place for a copy of the store"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert (city / "log.db").exists()


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


@pytest.mark.parametrize("left", ["log.db-wal", "state.db-shm", "store.duckdb.wal"])
def test_what_another_city_left_would_be_read_into_this_one_and_is_refused(
    city: Path, tmp_path: Path, left: str
) -> None:
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    other = tmp_path / "other"
    other.mkdir()
    (other / left).write_bytes(b"x")
    with pytest.raises(Refused, match=f"holds {left} already"):
        backing_up.restore(tmp_path / "backup", other)


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


def test_the_span_of_a_log_is_counted_by_entries_whatever_its_rows_hold(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    SqliteLog(path, bytes_max=10_000_000, days_max=1).close()
    assert log_span(path) == (1, 0)
    with closing(SqliteLog(path, bytes_max=10_000_000, days_max=1)) as log:
        log.append([Tick(listening=True)] * 300, 1_000)
        log.append([Tick(listening=True)] * 7, 5 * 86_400_000)
        log.consumed("store", 307)
        log.cut(5 * 86_400_000)
    assert log_span(path) == (301, 307)


def test_a_log_of_the_first_layout_has_a_span_too(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            "CREATE TABLE entries (position INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, body BLOB NOT NULL);"
            "INSERT INTO entries VALUES (5, 1, x'00'), (6, 1, x'00'); PRAGMA user_version = 1;"
        )
    assert log_span(path) == (5, 6)
