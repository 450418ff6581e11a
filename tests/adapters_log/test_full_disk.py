"""A disk that is full to the last byte: nothing is lost, the log helps itself where it can, and says what it needs."""

from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import LogFault, SqliteLog
from contract import full_disk
from contract.records import Telemetry
from tests.adapters_log.test_sqlite_log import bulky, ticks
from tests.small_disk import small_disk_or_skip


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path, bytes_max=10**9, days_max=30)


def until_full(log: SqliteLog, kept: list[int], *, reads: bool) -> OSError:
    """Append until the disk refuses; the numbers of what was kept are added to `kept`."""
    for _ in range(5_000):
        first = kept[-1] + 1 if kept else 1
        numbers = list(range(first, first + 60))
        try:
            log.append([bulky(number) for number in numbers], 1)
            kept += numbers
            if reads:
                log.consumed("store", log.last())
        except OSError as error:
            return error
    raise AssertionError("the disk never was full")


def seqs(log: SqliteLog) -> list[int]:
    found, after = list[int](), 0
    while entries := log.read(after, 5_000):
        after = entries[-1].position
        found += [entry.record.readings[0].seq for entry in entries if isinstance(entry.record, Telemetry)]
    return found


def test_on_a_disk_smaller_than_its_bound_what_was_read_makes_room_again_and_again(tmp_path: Path) -> None:
    with small_disk_or_skip(tmp_path / "disk", 32_000_000) as disk, closing(open_log(disk.folder / "log.db")) as log:
        kept: list[int] = []
        for _ in range(5):
            error = until_full(log, kept, reads=True)
            assert full_disk.is_told(str(error))
            assert f"{disk.folder / 'log.db'}: its disk is full" in str(error)
            assert log.cut(1, cramped=True) > 0
        left = seqs(log)
        assert left == kept[-len(left) :], "only the oldest went"
        assert log.last() == len(kept)


def test_what_nobody_has_read_is_never_cut_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk_or_skip(tmp_path / "disk", 32_000_000) as disk:
        path, kept = disk.folder / "log.db", list[int]()
        with closing(open_log(path)) as log:
            log.consumed("store", 0)
            for _ in range(3):
                assert full_disk.is_told(str(until_full(log, kept, reads=False)))
                disk.fill()
                assert log.cut(1, cramped=True) == 0
            disk.free()
            log.append(ticks(1), 1)
            assert seqs(log) == kept
        with closing(open_log(path)) as log:
            assert seqs(log) == kept


def test_a_start_on_a_full_disk_says_so_with_the_remedy_and_harms_nothing(tmp_path: Path) -> None:
    with small_disk_or_skip(tmp_path / "disk", 16_000_000) as disk:
        path = disk.folder / "log.db"
        with closing(open_log(path)) as log:
            log.append([bulky(number) for number in range(1, 601)], 1)
        disk.fill()
        with pytest.raises(LogFault, match=r"log\.db: cannot be opened: its disk is full; make room on it, then start"):
            open_log(path)
        disk.free()
        with closing(open_log(path)) as log:
            assert seqs(log) == list(range(1, 601))


def test_the_reserve_is_held_only_where_there_is_room_to_spare(tmp_path: Path) -> None:
    with small_disk_or_skip(tmp_path / "disk", 12_000_000) as disk, closing(open_log(disk.folder / "log.db")):
        assert not (disk.folder / "log.db-reserve").exists()
    with small_disk_or_skip(tmp_path / "larger", 32_000_000) as disk, closing(open_log(disk.folder / "log.db")):
        assert (disk.folder / "log.db-reserve").stat().st_blocks * 512 >= 8_000_000


def test_a_reserve_that_a_crash_left_without_room_is_made_good_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "log.db-reserve").touch()
    open_log(tmp_path / "log.db").close()
    assert (tmp_path / "log.db-reserve").stat().st_blocks * 512 >= 8_000_000
