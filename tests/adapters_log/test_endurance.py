"""What shows only after a while: a disk that is full, readers that sleep, threads that come and go, old copies."""

import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from adapters.log.sqlite_log import LogFault, SqliteLog
from tests.adapters_log.test_sqlite_log import bulky, row, telemetry, ticks

WAL_BYTES_MAX = 6_000_000  # SQLite moves it into the file at 4 MB, and a batch may be under way


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path, bytes_max=10**8, days_max=30)


@contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """The system refuses this process to make any file larger, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_when_the_system_refuses_to_write_nothing_is_kept_and_it_goes_on_afterwards(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.consumed("store", 0)
    kept = 0
    with files_at_most(600_000), pytest.raises(OSError, match="the log cannot be written"):  # noqa: PT012  # see kept
        for n in range(500):
            log.append([telemetry(*range(n * 60 + 1, n * 60 + 61))], n, ledger=[row("00000001", n)], counts={"n": 1})
            kept += 1
    assert (log.last(), log.counts()["n"]) == (kept, kept)
    assert len(log.read(0, 1000)) == kept
    assert log.append(ticks(1), 1) == kept + 1
    log.close()
    log = open_log(tmp_path / "log.db")
    assert (log.last(), log.counts()) == (kept + 1, {"n": kept})
    assert [one.have for one in log.ledger()] == [((1, kept - 1),)]
    log.close()


def test_a_reader_that_sleeps_holds_up_nobody_and_the_write_ahead_log_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = open_log(path)
    wake = threading.Event()
    asleep = threading.Event()
    seen: list[int] = []

    def sleep_between_reads() -> None:
        seen.append(len(log.read(0, 10)))
        seen.append(len(list(log.ledger())))
        assert log.reading("lamp-1", "9f3c01aa", 1) is not None
        asleep.set()
        wake.wait(60)
        seen.append(len(log.read(0, 10**6)))

    log.append([telemetry(1)], 1, ledger=[row("00000001", 1)])
    sleeper = threading.Thread(target=sleep_between_reads)
    sleeper.start()
    assert asleep.wait(60)
    largest = 0
    for n in range(1, 400):
        log.append([bulky(n * 60 + m) for m in range(60)], n)
        largest = max(largest, os.path.getsize(f"{path}-wal"))
    assert largest < WAL_BYTES_MAX < path.stat().st_size - 2_000_000
    wake.set()
    sleeper.join(60)
    assert seen == [1, 1, 23_941]
    log.close()


def test_threads_that_come_ask_and_go_leave_nothing_open(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.append([telemetry(1)], 1)

    def ask() -> None:
        assert len(list(log.ledger())) + len(log.quarantine(1)) == 0
        assert log.size_bytes() > 0

    ask()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join(60)
    assert len(os.listdir("/proc/self/fd")) == before
    log.close()
    with pytest.raises(OSError, match="it is closed"):
        log.ledger()


def test_a_damaged_file_is_refused_with_file_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = open_log(path)
    log.append([telemetry(n) for n in range(1, 2000)], 1, counts={"received": 1})
    log.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(LogFault, match=r"log\.db: is damaged .*; restore it from a backup or move it away"):
        open_log(path)


def test_a_folder_in_its_place_is_refused_with_file_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(LogFault, match=r"cannot be opened .*; restore it from a backup or move it away"):
        open_log(tmp_path)


def test_an_older_copy_goes_on_behind_what_its_consumers_have_read(tmp_path: Path) -> None:
    """A consumer passes over every position it has had; new entries must not stand there."""
    path = tmp_path / "log.db"
    log = open_log(path)
    log.append([telemetry(1), telemetry(2)], 1)
    log.close()
    shutil.copy(path, tmp_path / "older.db")
    log = open_log(path)
    log.append([telemetry(3), telemetry(4), telemetry(5)], 2)
    log.close()
    shutil.copy(tmp_path / "older.db", path)
    for _ in range(2):
        log = open_log(path)
        log.consumed("store", 5)
        last = log.last()
        assert log.append([telemetry(last + 1)], 3) == last + 1 > 5
        assert [entry.position for entry in log.read(5, 10)] == list(range(6, last + 2))
        positions = [1, 2, *range(6, last + 2)]
        for _ in range(2):
            assert [entry.position for entry in log.read(0, 10)] == positions
        log.close()


def test_a_new_log_beside_a_store_that_has_read_another_loses_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.consumed("store", 5000)
    log.consumed("decider", 4990)
    log.append(ticks(2), 1)
    assert [entry.position for entry in log.read(5000, 10)] == [5001, 5002]
    assert [entry.position for entry in log.read(4990, 10)] == [5001, 5002]
    log.close()


def test_readers_at_any_distance_read_over_a_leap(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.append(ticks(5), 1)
    log.consumed("store", 9)
    log.append(ticks(5), 1)
    for after in range(15):
        for limit in (1, 3, 100):
            wanted = [position for position in (1, 2, 3, 4, 5, 10, 11, 12, 13, 14) if position > after][:limit]
            assert [entry.position for entry in log.read(after, limit)] == wanted
    log.close()


def test_a_ledger_row_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """Fields that came later have defaults."""
    path = tmp_path / "log.db"
    log = open_log(path)
    log.append([], 1, ledger=[row("00000001", 5)])
    log.close()
    with sqlite3.connect(path) as connection:
        body = connection.execute("SELECT body FROM ledger").fetchone()[0]
        older = bytes([body[0] - 1]) + body[1:].replace(b"\xaaborn_at_ms\x00", b"")
        assert len(older) < len(body)
        connection.execute("UPDATE ledger SET body = ?", (older,))
    connection.close()
    log = open_log(path)
    assert list(log.ledger()) == [row("00000001", 5)]
    log.close()
