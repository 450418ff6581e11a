"""The promises of the log: durable or nothing, ordered, bounded, and never cut before its slowest reader."""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.log.sqlite_log import LogFault, SqliteLog
from contract.ports import LedgerRow, LogFull
from contract.quarantine import Quarantined
from contract.records import Reading, Record, Registered, Telemetry, Tick

DAY_MS = 86_400_000
FULL = 2  # of PRAGMA synchronous


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    made = SqliteLog(tmp_path / "log.db", bytes_max=50_000_000, days_max=30)
    yield made
    made.close()


def telemetry(*seqs: int, device: str = "lamp-1", stream: str = "9f3c01aa") -> Telemetry:
    readings = tuple(Reading(seq, 1000 + seq, {"power_w": float(seq), "level_by": "lease"}) for seq in seqs)
    return Telemetry(device=device, asset=device, kind="street_light", stream=stream, boot=1, readings=readings)


def bulky(*seqs: int) -> Telemetry:
    """Readings that do not shrink: a text of a kilobyte each."""
    readings = tuple(Reading(seq, 1000 + seq, {"level_by": Random(seq).randbytes(768).hex()}) for seq in seqs)
    return Telemetry(device="lamp-1", asset="lamp-1", kind="street_light", stream="9f3c01aa", boot=1, readings=readings)


def ticks(count: int) -> Sequence[Record]:
    return [Tick(listening=True) for _ in range(count)]


def turned_away(payload: bytes, code: str = "not_json") -> Quarantined:
    return Quarantined(topic="nabd/1/a/telemetry", payload=payload, code=code, sentence="why", received_at_ms=5)


def row(stream: str, last: int) -> LedgerRow:
    return LedgerRow(device="lamp-1", stream=stream, have=((1, last),), gone=(), boots={3: 77}, status=(3, 4, 0))


def test_positions_count_from_1_without_holes_across_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    assert (log.last(), list(log.read(0, 10))) == (0, [])
    assert log.append(ticks(3), 100) == 3
    log.close()
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    assert log.append(ticks(2), 200) == 5
    assert [(entry.position, entry.at_ms) for entry in log.read(0, 10)] == [
        (1, 100), (2, 100), (3, 100), (4, 200), (5, 200),
    ]  # fmt: skip
    log.close()


def test_what_is_read_is_what_was_appended_from_memory_and_from_the_file(tmp_path: Path) -> None:
    records: list[Record] = [
        telemetry(1, 2, 3),
        Registered(device="lamp-1", kind="street_light", commune="berkane", asset="pole-7", settings={"circuit": "a"}),
        Tick(listening=False),
    ]
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30)
    log.append(records, 5)
    first = [entry.record for entry in log.read(0, 10)]
    again = [entry.record for entry in log.read(0, 10)]
    log.close()
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30)
    assert first == again == [entry.record for entry in log.read(0, 10)] == records
    log.close()


def test_time_in_the_log_never_goes_back(log: SqliteLog) -> None:
    log.append(ticks(1), 1000)
    log.append(ticks(1), 400)
    log.append(ticks(1), 1001)
    assert [entry.at_ms for entry in log.read(0, 10)] == [1000, 1000, 1001]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_readers_at_any_distance_see_every_entry_once_and_in_order(log: SqliteLog, step: int) -> None:
    for n in range(0, 300, 3):
        log.append([telemetry(n + 1), *ticks(2)], n)
        if n % 30 == 0:
            list(log.read(max(0, log.last() - 5), 100))  # one that follows closely
    seen: list[int] = []
    while entries := log.read(seen[-1] if seen else 0, step):
        assert len(entries) <= step
        seen += [entry.position for entry in entries]
    assert seen == list(range(1, 301))
    assert list(log.read(300, 10)) == []
    assert list(log.read(0, 0)) == []


def test_the_ledger_the_counts_and_the_quarantine_come_back_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    log.append([], 1, ledger=[row("00000001", 5), row("00000002", 1)], counts={"received": 2, "accepted": 1})
    log.append([], 2, ledger=[row("00000001", 9)], quarantine=[turned_away(b"\xff{")], counts={"received": 1})
    log.close()
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    assert list(log.ledger()) == [row("00000001", 9), row("00000002", 1)]
    assert list(log.ledger("lamp-1")) == list(log.ledger())
    assert list(log.ledger("lamp-2")) == []
    assert log.counts() == {"received": 3, "accepted": 1}
    [kept] = log.quarantine(10)
    assert (kept.payload, kept.code, kept.sentence, kept.count, kept.number) == (b"\xff{", "not_json", "why", 1, 1)
    log.close()


def test_what_a_consumer_hands_over_again_is_counted_once_and_a_message_that_comes_again_twice(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    first, second = turned_away(b"1", "refused"), turned_away(b"2", "refused")
    log.append([], 1, quarantine=[first], once="refused")
    log.append([], 2, quarantine=[first, second], once="refused")
    log.close()
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    log.append([], 3, quarantine=[second, first], once="refused")
    for at_ms in (4, 5):
        log.append([], at_ms, quarantine=[turned_away(b"3")], counts={"quarantined": 1})
    assert log.counts() == {"refused": 2, "quarantined": 2}
    assert {one.payload: one.count for one in log.quarantine(10)} == {b"1": 1, b"2": 1, b"3": 2}
    log.close()


def test_a_reading_is_found_by_its_name(log: SqliteLog) -> None:
    log.append([telemetry(1, 2, 5), telemetry(3, device="lamp-2"), *ticks(1)], 1)
    log.append([telemetry(3), telemetry(4), telemetry(2, stream="00000001")], 1)
    for seq in (1, 2, 3, 4, 5):
        found = log.reading("lamp-1", "9f3c01aa", seq)
        assert found is not None
        assert found.values == {"power_w": float(seq), "level_by": "lease"}
        reading = log.reading("lamp-1", "9f3c01aa", seq)
        assert reading is not None
        assert (reading.seq, reading.measured_at_ms) == (seq, 1000 + seq)
    assert log.reading("lamp-1", "9f3c01aa", 6) is None
    assert log.reading("lamp-2", "9f3c01aa", 1) is None
    assert log.reading("lamp-1", "00000001", 1) is None


def test_a_reading_is_found_in_a_message_whose_seqs_lie_far_apart(log: SqliteLog) -> None:
    log.append([telemetry(1, 500_000)], 1)
    log.append([telemetry(seq) for seq in range(200, 300)], 1)
    assert log.reading("lamp-1", "9f3c01aa", 500_000) is not None
    assert log.reading("lamp-1", "9f3c01aa", 1) is not None
    assert log.reading("lamp-1", "9f3c01aa", 250) is not None
    assert log.reading("lamp-1", "9f3c01aa", 499_999) is None


def test_byte_identical_messages_are_one_row_in_the_quarantine_and_counted(log: SqliteLog) -> None:
    log.append([], 1, quarantine=[turned_away(b"x"), turned_away(b"x"), turned_away(b"y")])
    log.append([], 2, quarantine=[turned_away(b"x"), turned_away(b"x", "wrong_type")])
    rows = log.quarantine(10)
    assert [(one.payload, one.code, one.count) for one in rows] == [
        (b"x", "wrong_type", 1), (b"y", "not_json", 1), (b"x", "not_json", 3),
    ]  # fmt: skip
    assert log.quarantine(1) == rows[:1]
    assert log.quarantine(10, before=rows[0].number) == rows[1:]


def test_who_waits_for_appends_is_told_the_last_position(log: SqliteLog) -> None:
    told: list[int] = []
    log.on_append.append(told.append)
    log.append(ticks(3), 1)
    log.append(ticks(1), 1)
    assert told == [3, 4]


def test_a_listener_that_fails_does_not_make_an_append_look_failed(log: SqliteLog) -> None:
    told: list[int] = []

    def fails(position: int) -> None:
        raise RuntimeError("oops")

    log.on_append += [fails, told.append]
    assert log.append(ticks(1), 1) == 1
    assert told == [1]


def test_a_closed_log_is_an_os_error(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30)
    log.close()
    with pytest.raises(OSError, match="cannot be written"):
        log.append(ticks(1), 1)


def fill(log: SqliteLog, most: int = 10_000) -> int:
    """Append until the log is full; how many appends went in."""
    for n in range(most):
        try:
            log.append([telemetry(*range(n * 60 + 1, n * 60 + 61))] * 4, n)
        except LogFull:
            return n
    raise AssertionError("the log was never full")


def test_a_full_log_keeps_nothing_and_goes_on_when_its_slowest_reader_has_read(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", bytes_max=1_000_000, days_max=30)
    log.consumed("fast", 0)
    log.consumed("slow", 0)
    went = fill(log)
    last, counts = log.last(), log.counts()
    with pytest.raises(LogFull):
        log.append(ticks(1), 1, ledger=[row("00000001", 1)], counts={"received": 1})
    assert (log.last(), log.counts(), list(log.ledger())) == (last, counts, [])
    log.consumed("fast", last)
    assert log.cut(went) == 0
    with pytest.raises(LogFull, match=f"consumer slow has read up to 0 of {last}"):
        log.append(ticks(1), 1)
    log.consumed("slow", last // 2)
    assert 0 < log.cut(went) <= last // 2
    assert log.append(ticks(1), 1) == last + 1
    assert [entry.position for entry in log.read(last // 2, 10**6)] == list(range(last // 2 + 1, last + 2))
    log.close()


def test_cutting_for_space_leaves_what_still_fits(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", bytes_max=20_000_000, days_max=30)
    for n in range(3):
        log.append([bulky(seq) for seq in range(n * 8_000 + 1, n * 8_000 + 8_001)], n)
    assert log.size_bytes() > 0.9 * 20_000_000
    log.consumed("store", log.last())
    cut = log.cut(5)
    assert 0 < cut < 14_000
    assert 0.5 * 20_000_000 < log.size_bytes() < 0.9 * 20_000_000
    log.close()


def test_nothing_is_cut_while_nobody_has_registered(log: SqliteLog) -> None:
    log.append(ticks(10), 0)
    assert log.cut(100 * DAY_MS) == 0


def test_entries_older_than_the_days_go_but_the_last_one_stays_so_that_positions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    log.append([telemetry(1, 2)], 0)
    log.append(ticks(4), 10 * DAY_MS)
    log.append(ticks(1), 10 * DAY_MS)
    log.consumed("store", 6)
    assert log.cut(31 * DAY_MS) == 1
    assert log.reading("lamp-1", "9f3c01aa", 1) is None
    assert log.cut(200 * DAY_MS) == 4
    log.close()
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    assert (log.last(), log.append(ticks(1), 200 * DAY_MS)) == (6, 7)
    log.close()


def test_the_file_gives_back_what_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=1)
    for n in range(40):
        log.append([bulky(*range(n * 60 + 1, n * 60 + 61))], 0)
    log.consumed("store", log.last())
    before = log.size_bytes()
    log.cut(10 * DAY_MS)
    assert log.size_bytes() < before / 4
    log.close()
    assert path.stat().st_size < before / 4


def test_what_a_consumer_turns_away_is_kept_by_a_full_log_or_nobody_could_ever_read_on(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", bytes_max=2_000_000, days_max=30)
    log.consumed("store", 0)
    while log.size_bytes() < 2_000_000:
        log.append([telemetry(*range(1, 61)) for _ in range(10)], 1)
    last = log.last()
    assert log.append([], 1, quarantine=[turned_away(b"line")], counts={"store_refused": 1}) == last
    assert (len(log.quarantine(10)), log.counts()["store_refused"]) == (1, 1)
    with pytest.raises(LogFull):
        log.append(ticks(1), 1, quarantine=[turned_away(b"other")])
    log.close()


def test_a_full_quarantine_still_counts_what_it_holds_already(tmp_path: Path) -> None:
    """A retained message that nobody can read comes again at every connection."""
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30, quarantine_bytes_max=2_000)
    log.append([], 1, quarantine=[turned_away(b"a" * 1_000), turned_away(b"b" * 1_000)])
    with pytest.raises(LogFull, match="replay or drop what is in it"):
        log.append(ticks(1), 1, quarantine=[turned_away(b"c")])
    assert log.append(ticks(1), 1, quarantine=[turned_away(b"a" * 1_000)]) == 1
    assert [row.count for row in log.quarantine(10)] == [1, 2]
    log.close()


def test_a_full_quarantine_stops_the_log_rather_than_evict(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30, quarantine_bytes_max=20_000)
    sent = 0
    with pytest.raises(LogFull, match="quarantine"):  # noqa: PT012  # at which of them it comes is judged below
        for sent in range(100):
            log.append([], 1, quarantine=[turned_away(b"%03d" % sent + b"x" * 1000)], counts={"quarantined": 1})
    assert 10 < sent < 20
    assert len(log.quarantine(1000)) == log.counts()["quarantined"] == sent
    assert log.append(ticks(1), 1) == 1  # what can be read goes on
    log.close()
    log = SqliteLog(tmp_path / "log.db", bytes_max=10**8, days_max=30, quarantine_bytes_max=20_000)
    with pytest.raises(LogFull, match="quarantine"):
        log.append([], 1, quarantine=[turned_away(b"z")])
    log.close()


def test_a_full_disk_is_an_os_error_that_leaves_no_trace_and_passes(log: SqliteLog) -> None:
    log.append(ticks(1), 1)
    pages = log._writer.execute("PRAGMA page_count").fetchone()[0]
    log._writer.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite does when the disk gives no more
    with pytest.raises(OSError, match="full") as caught:  # noqa: PT012  # at which of them it comes depends on pages
        for n in range(1000):
            log.append([telemetry(*range(n * 60 + 1, n * 60 + 61))] * 50, 1, counts={"received": 1})
    assert caught.value.errno == errno.ENOSPC
    last, received = log.last(), log.counts().get("received", 0)
    assert last == 1 + 50 * received
    log._writer.execute("PRAGMA max_page_count = 1000000")
    assert log.append(ticks(1), 1) == last + 1
    assert len(log.read(0, 10**6)) == last + 1


def test_another_schema_is_refused_with_file_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    SqliteLog(path, bytes_max=10**8, days_max=30).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(LogFault, match=r"log\.db: log schema 99, this Nabd reads 3; use the Nabd that made it"):
        SqliteLog(path, bytes_max=10**8, days_max=30)


def test_a_file_that_is_no_database_is_refused_with_file_and_remedy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.write_bytes(b"not a database at all" * 1000)
    with pytest.raises(LogFault, match=r"log\.db: cannot be opened .*; restore it from a backup or move it away"):
        SqliteLog(path, bytes_max=10**8, days_max=30)


def test_appends_of_several_threads_are_ordered_while_others_read(log: SqliteLog) -> None:
    log.consumed("reader", 0)
    each = 60
    seen: list[int] = []

    def append(device: str) -> None:
        for seq in range(1, each + 1):
            log.append([telemetry(seq, device=device)], seq)

    def follow() -> None:
        while len(seen) < 3 * each:
            seen.extend(entry.position for entry in log.read(seen[-1] if seen else 0, 17))

    writers = [threading.Thread(target=append, args=(f"lamp-{n}",)) for n in range(3)]
    reader = threading.Thread(target=follow, daemon=True)
    for thread in (*writers, reader):
        thread.start()
    for thread in (*writers, reader):
        thread.join(60)
    assert seen == list(range(1, 3 * each + 1))
    for n in range(3):
        mine = [entry.record for entry in log.read(0, 1000) if getattr(entry.record, "device", "") == f"lamp-{n}"]
        assert [record.readings[0].seq for record in mine if isinstance(record, Telemetry)] == list(range(1, each + 1))


@pytest.mark.parametrize("away", ["removed", "moved", "replaced"])
def test_nothing_is_kept_in_a_file_that_is_not_in_its_place_any_more(tmp_path: Path, away: str) -> None:
    path = tmp_path / "log.db"
    log = SqliteLog(path, bytes_max=10**8, days_max=30)
    log.append([telemetry(1)], 1)
    path.rename(tmp_path / "elsewhere.db")
    if away == "removed":
        (tmp_path / "elsewhere.db").unlink()
    elif away == "replaced":
        path.write_bytes(b"")
    with pytest.raises(OSError, match=r"log\.db was removed, moved or replaced while in use; stop nabd"):
        log.append([telemetry(2)], 2)
    assert log.last() == 1
    if away == "moved":  # and back: it goes on
        (tmp_path / "elsewhere.db").rename(path)
        assert log.append([telemetry(2)], 2) == 2
    log.close()


def test_whatever_connection_can_write_waits_until_the_disk_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test cuts the power: what a killed process wrote, the machine still has. This alone stands against it."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def remembered(*path: Any, **how: Any) -> sqlite3.Connection:
        opened.append(connect(*path, **how))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembered)
    log = SqliteLog(tmp_path / "log.db", bytes_max=50_000_000, days_max=30)
    log.append([telemetry(1)], 1000, ledger=[row("9f3c01aa", 1)], quarantine=[turned_away(b"{")])
    log.consumed("writer", 1)
    log.cut(40 * DAY_MS)
    assert log.quarantine(10)
    settings = [
        [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("query_only", "journal_mode", "synchronous")]
        for connection in opened
    ]
    log.close()
    assert [setting for setting in settings if not setting[0]] == [[0, "wal", FULL]]
