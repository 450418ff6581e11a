"""A backup says what it is, and a restore refuses what is not one, before it touches anything."""

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.clock import real_ms
from adapters.copying import log_span, store_position
from adapters.log.sqlite_log import SqliteLog
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from contract.records import Tick
from nabd import backing_up
from nabd.backing_up import store_copier
from nabd.data_folder import DataFolder, Run
from nabd.fault import Refused
from tests.adapters_stores.entries import telemetry


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
    monkeypatch.setattr(backing_up, "PlatformClient", Answering)
    with (
        DataFolder(city, start_ms=None, start_text="", speed=None) as folder,
        closing(DuckStore(city / "store.duckdb", load_kinds())) as store,
    ):
        folder.announce(Run(pid=1, url="http://127.0.0.1:1", mqtt_host="127.0.0.1", mqtt_port=1, started_at_ms=0))
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


def test_a_log_that_was_cut_behind_the_store_meanwhile_is_no_backup(city: Path, tmp_path: Path) -> None:
    with closing(SqliteLog(city / "log.db", bytes_max=10_000_000, days_max=1)) as log:
        log.consumed("store", 20)
        log.cut(10 * 86_400_000)
    with pytest.raises(Refused, match=r"was cut to 20 while store and state were copied at 10, 3 times; .* bytes_max"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert not (tmp_path / "backup" / "backup.json").exists()


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


def test_a_stopped_city_that_moved_to_a_store_of_its_own_is_not_backed_up_with_its_old_one(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (city / "nabd.toml").write_text('[store]\nkind = "influxdb"\n')
    backing_up.backup(city, tmp_path / "backup", with_secrets=False)
    assert json.loads((tmp_path / "backup" / "backup.json").read_text())["store"] is None
    assert "store.duckdb" not in names(tmp_path / "backup")
    told = capsys.readouterr().out
    assert "the readings are in a store of their own" in told
    assert f"{city / 'store.duckdb'}: is of the time before that, and is not in this backup" in told


def test_a_folder_that_cannot_be_copied_whole_is_named_with_the_reason(city: Path, tmp_path: Path) -> None:
    (city / "site" / "rules" / "gone.yaml").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match=r"gone\.yaml.*No such file or directory.*is no backup: remove it"):
        backing_up.backup(city, tmp_path / "backup", with_secrets=False)
