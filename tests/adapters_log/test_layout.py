"""How records stand in the file: chunks, names, and the way from the first layout to this one."""

import sqlite3
from array import array
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.log import chunks, log_file, names
from adapters.log.sqlite_log import LogFault, SqliteLog
from contract.records import Entry, Reading, Record, Telemetry, Tick, encode

DAY_MS = 86_400_000

SCHEMA_1 = """
CREATE TABLE entries (
  position INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,
  device TEXT, stream TEXT, first_seq INTEGER, last_seq INTEGER, body BLOB NOT NULL
);
CREATE INDEX entries_by_name ON entries (device, stream, first_seq, last_seq) WHERE first_seq IS NOT NULL;
CREATE INDEX entries_wide ON entries (device, stream, first_seq) WHERE last_seq - first_seq > 4096;
CREATE TABLE ledger (device TEXT, stream TEXT, body BLOB NOT NULL, PRIMARY KEY (device, stream)) WITHOUT ROWID;
CREATE TABLE quarantine (
  number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
  code TEXT NOT NULL, sentence TEXT NOT NULL, received_at_ms INTEGER NOT NULL, device TEXT NOT NULL,
  stream TEXT NOT NULL, seq INTEGER, count INTEGER NOT NULL
);
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE consumers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
PRAGMA user_version = 1;
"""


def open_log(path: Path) -> SqliteLog:
    return SqliteLog(path, bytes_max=10**8, days_max=30)


def telemetry(*seqs: int, device: str = "lamp-1", stream: str = "9f3c01aa") -> Telemetry:
    readings = tuple(Reading(seq, 1000 + seq, {"power_w": float(seq)}) for seq in seqs)
    return Telemetry(device=device, asset=device, kind="street_light", stream=stream, boot=1, readings=readings)


@given(st.lists(st.integers(1, 40_000), max_size=300), st.integers(0, 10**9), st.integers(0, 400))
def test_every_record_of_an_append_is_in_one_chunk_at_its_position(sizes: list[int], before: int, skip: int) -> None:
    """Chunks are bounded in records, and by what fits before the last of them in bytes."""
    records = [Tick(listening=True, period_ms=size) for size in sizes]
    rows = list(chunks.rows([encode(record) for record in records], before, 7))
    edges = [before, *(row[0] for row in rows)]
    assert edges[-1] == before + len(records)
    assert all(last - first == chunks.count(row[2]) for (first, last), row in zip(pairwise(edges), rows, strict=True))
    assert all(0 < chunks.count(row[2]) <= chunks.CHUNK_RECORDS for row in rows)
    read = [entry for row in rows for entry in chunks.Chunk(row).entries(before + skip)]
    assert [(entry.position, entry.at_ms, entry.record) for entry in read] == [
        (position, 7, record) for position, record in enumerate(records, before + 1) if position > before + skip
    ]
    for row in rows:
        chunk = chunks.Chunk(row)
        for position in range(chunk.first, chunk.last + 1):
            assert chunk.record(position) == records[position - before - 1]


def test_a_chunk_ends_with_the_record_that_fills_it() -> None:
    rows = list(chunks.rows([bytes(chunks.CHUNK_BYTES), b"x", b"y"], 0, 1))
    assert [(last, chunks.count(ends)) for last, _, ends, _ in rows] == [(1, 1), (3, 2)]


def test_records_that_are_alike_take_a_fifth_of_their_bytes_or_less() -> None:
    bodies = [encode(telemetry(n, device=f"lamp-{n % 50}")) for n in range(1, 201)]
    ((_, _, _, packed),) = chunks.rows(bodies, 0, 1)
    assert len(packed) * 5 <= sum(map(len, bodies))


def plain_file(path: Path, records: Sequence[Record]) -> None:
    """A log as schema 2 had it: its chunks are not compressed."""
    open_log(path).close()
    bodies = [encode(record) for record in records]
    ((last, at_ms, ends, _),) = chunks.rows(bodies, 0, 7)
    with sqlite3.connect(path) as file:
        file.execute(log_file.INSERT_CHUNK, (last, at_ms, ends, b"".join(bodies)))
        file.execute("DROP INDEX quarantine_by")
        file.execute("ALTER TABLE quarantine DROP COLUMN seqs")
        file.execute("PRAGMA user_version = 2")
    file.close()


def test_a_log_whose_chunks_are_not_compressed_yet_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    plain_file(path, [telemetry(1), telemetry(2)])
    log = open_log(path)
    log.append([telemetry(3)], 8)
    log.close()
    log = open_log(path)
    assert [entry.record for entry in log.read(0, 10)] == [telemetry(1), telemetry(2), telemetry(3)]
    assert all(log.reading("lamp-1", "9f3c01aa", seq) is not None for seq in (1, 2, 3))
    log.close()


def test_a_damaged_chunk_is_named_with_its_position_and_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    log = open_log(path)
    log.append([telemetry(1), telemetry(2)], 7)
    log.append([Tick(listening=True)], 8)
    log.close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE chunks SET bodies = substr(bodies, 1, 12) WHERE last = 2")
    file.close()
    log = open_log(path)
    with pytest.raises(OSError, match=r"chunk that ends at position 2 .*restore it from a backup"):
        log.read(0, 10)
    assert [entry.position for entry in log.read(2, 10)] == [3]
    log.close()


def test_a_bit_that_the_disk_flips_is_damage_that_is_told_and_never_another_value() -> None:
    ((last, at_ms, ends, packed),) = chunks.rows([encode(telemetry(n)) for n in range(1, 4)], 0, 7)
    good = chunks.Chunk((last, at_ms, ends, packed)).entries()
    told = 0
    for bit in range(len(packed) * 8):
        flipped = bytearray(packed)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            assert chunks.Chunk((last, at_ms, ends, bytes(flipped))).entries() == good
        except OSError:
            told += 1
    assert told > len(packed) * 8 * 0.9, "some bits of a frame's head say nothing"


@pytest.mark.parametrize("spoilt", [b"", b"\x81\xa1\xff", chunks.MAGIC])
def test_a_damaged_chunk_is_passed_over_by_who_looks_back_and_cuts_and_told(tmp_path: Path, spoilt: bytes) -> None:
    path = tmp_path / "log.db"
    log = open_log(path)
    for last in (2, 4, 6):
        log.append([telemetry(last - 1), telemetry(last)], last)
    log.append([Tick(listening=True)], 40 * DAY_MS)
    log.consumed("store", log.last())
    log.close()
    with sqlite3.connect(path) as file:
        file.execute("UPDATE chunks SET bodies = ? WHERE last IN (4, 6)", (spoilt,))
    file.close()
    log = open_log(path)
    assert [seq for seq in range(1, 7) if log.reading("lamp-1", "9f3c01aa", seq) is not None] == [1, 2]
    assert "chunk that ends at position 6 " in log.damage
    assert log.cut(35 * DAY_MS) == 6
    assert [entry.position for entry in log.read(0, 10)] == [7]
    log.close()


def table_of(records: Sequence[Record], before: int) -> sqlite3.Connection:
    recent = names.Recent()
    recent.add(records, before)
    database = sqlite3.connect(":memory:")
    database.executescript(names.TABLES)
    recent.write(database, before + len(records))
    return database


def test_messages_of_one_stream_share_a_row_as_far_as_a_look_reaches() -> None:
    records = [telemetry(1, 2), telemetry(1, device="lamp-2"), telemetry(3), telemetry(9_000), telemetry(9_001)]
    database = table_of(records, before=10)
    assert database.execute(
        "SELECT device, first_seq, last_seq, last_position FROM names ORDER BY 1, 2"
    ).fetchall() == [
        ("lamp-1", 1, 3, 13),
        ("lamp-1", 9_000, 9_001, 15),
        ("lamp-2", 1, 1, 12),
    ]
    assert names.upto(database) == 15
    database.close()


@given(
    st.lists(st.lists(st.integers(1, 200) | st.integers(1, 20_000), min_size=1, max_size=4, unique=True), max_size=80)
)
def test_a_name_is_looked_for_in_just_the_messages_that_brought_it_in_memory_and_in_the_table(
    messages: list[list[int]],
) -> None:
    """However far the seqs of a message lie apart: what it passes over costs nothing to look for."""
    records: Sequence[Record] = [telemetry(*sorted(seqs)) for seqs in messages]
    recent = names.Recent()
    recent.add(records, before=100)
    database = table_of(records, before=100)
    for seq in {seq + n for seqs in messages for seq in seqs for n in (-1, 0, 1)}:
        brought = [position for position, seqs in enumerate(messages, 101) if seq in seqs]
        assert recent.positions("lamp-1", "9f3c01aa", seq) == brought[::-1]
        assert sorted(names.positions(database, "lamp-1", "9f3c01aa", seq)) == brought
    database.close()


def test_a_message_that_an_older_file_notes_from_its_first_seq_to_its_last_is_found() -> None:
    database = table_of([telemetry(2)], before=10)
    for position, first, last in ((11, 1, 3), (12, 4, 500_000)):
        spots = array("Q", (first, last, position)).tobytes()
        database.execute(names.INSERT, ("lamp-1", "9f3c01aa", first, position, last, spots))
    assert list(names.positions(database, "lamp-1", "9f3c01aa", 3)) == [11]
    assert list(names.positions(database, "lamp-1", "9f3c01aa", 500_000)) == [12]
    names.forget(database, [Entry(12, 0, telemetry(4, 500_000))], 12)
    assert database.execute("SELECT count(*) FROM names").fetchall() == [(0,)]
    database.close()


def test_names_are_found_before_while_and_after_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "RECENT_MAX", 5)
    log = open_log(tmp_path / "log.db")
    for seq in range(1, 13):
        log.append([telemetry(seq), Tick(listening=True)], seq)
        assert all(log.reading("lamp-1", "9f3c01aa", known) is not None for known in range(1, seq + 1))
        assert log.reading("lamp-1", "9f3c01aa", seq + 1) is None
    with sqlite3.connect(tmp_path / "log.db") as file:
        assert 0 < names.upto(file) < log.last()
    file.close()
    killed = sqlite3.connect(tmp_path / "log.db")
    killed.execute("BEGIN IMMEDIATE")  # so that closing cannot write the rest, as after a crash
    log.close()
    killed.close()
    log = open_log(tmp_path / "log.db")
    assert all(log.reading("lamp-1", "9f3c01aa", seq) is not None for seq in range(1, 13))
    log.close()


def test_names_go_with_the_entries_they_point_to(tmp_path: Path) -> None:
    log = open_log(tmp_path / "log.db")
    log.append([telemetry(seq) for seq in range(1, 11)], 0)
    log.append([telemetry(seq) for seq in range(11, 21)], 20 * DAY_MS)
    log.append([Tick(listening=True)], 20 * DAY_MS)
    log.consumed("store", log.last())
    assert log.cut(35 * DAY_MS) == 10
    found = [seq for seq in range(1, 21) if log.reading("lamp-1", "9f3c01aa", seq) is not None]
    assert found == list(range(11, 21))
    log.close()
    with sqlite3.connect(tmp_path / "log.db") as file:
        assert file.execute("SELECT device, last_seq FROM names").fetchall() == [("lamp-1", 20)]
    file.close()


def test_a_file_of_the_first_layout_is_brought_over_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    records: list[Record] = [
        telemetry(1, 2), Tick(listening=True), telemetry(3), telemetry(500_000), telemetry(4, device="lamp-2"),
    ]  # fmt: skip
    positions, times = [1, 2, 3, 7, 8], [10, 10, 20, 20, 20]  # a leap after an older copy was put back
    with sqlite3.connect(path) as file:
        file.executescript(SCHEMA_1)
        for position, at_ms, record in zip(positions, times, records, strict=True):
            name = (record.device, record.stream, 1, 1) if isinstance(record, Telemetry) else (None,) * 4
            file.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", (position, at_ms, *name, encode(record)))
        file.execute("INSERT INTO counts VALUES ('accepted', 5)")
        file.execute("INSERT INTO consumers VALUES ('store', 3)")
    file.close()
    for _ in range(2):  # again: it is of this layout now
        log = open_log(path)
        assert [(entry.position, entry.at_ms, entry.record) for entry in log.read(0, 100)] == list(
            zip(positions, times, records, strict=True)
        )
        assert (log.last(), log.counts()) == (8, {"accepted": 5})
        for seq in (1, 2, 3, 500_000):
            assert log.reading("lamp-1", "9f3c01aa", seq) is not None
        assert log.reading("lamp-1", "9f3c01aa", 4) is None
        log.close()


def test_a_first_layout_that_finds_no_room_for_this_one_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as file:
        file.executescript(SCHEMA_1)
        for position in range(1, 2_001):
            file.execute(
                "INSERT INTO entries VALUES (?, 1, NULL, NULL, NULL, NULL, ?)", (position, encode(Tick(listening=True)))
            )
    file.close()
    real = log_file.connect

    def crowded(path: Path) -> sqlite3.Connection:
        connection = real(path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        return connection

    monkeypatch.setattr(log_file, "connect", crowded)
    with pytest.raises(LogFault, match=r"log\.db: cannot be brought .* it is untouched: make room"):
        open_log(path)
    monkeypatch.undo()
    log = open_log(path)
    assert log.last() == 2_000
    assert len(log.read(0, 5_000)) == 2_000
    log.close()


def test_a_file_with_a_record_that_cannot_be_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as file:
        file.executescript(SCHEMA_1)
        file.execute("INSERT INTO entries VALUES (1, 1, NULL, NULL, NULL, NULL, ?)", (msgspec.msgpack.encode("x"),))
    file.close()
    with pytest.raises(LogFault, match=r"log\.db: is damaged .*restore it from a backup"):
        open_log(path)
