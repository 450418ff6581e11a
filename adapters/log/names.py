"""Which entries hold the readings of a name: the index that tells a duplicate from a conflict.

Theory of operation. Names come in the order of time and are looked for by device: written one by one, each would touch
a page of its own. So those of the last entries wait in memory (`Recent`) and are written many at a time, in the order
of the table; `names_upto` says up to which position, and a start reads the entries behind it again. A row holds
messages of one stream that follow one another closely: for each run of seqs in it the first, the last and the position,
so that a look for a seq that no message brought tries none. A row spans SPAN_WIDE seqs at most, so that it has few rows
to try. (Once a message was noted from its first seq to its last, whatever lay between: those that span more are found
by an index of their own.)
"""

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from contract import ranges
from contract.records import Entry, Record, Telemetry

RECENT_MAX = 20_000  # entries, and runs, whose names wait in memory; about 5 MB
SPAN_WIDE = 4_096
SPOTS_MAX = 32  # of a row, which then takes no page of its own

TABLES = f"""
CREATE TABLE names (
  device TEXT, stream TEXT, first_seq INTEGER, last_position INTEGER, last_seq INTEGER NOT NULL,
  messages BLOB NOT NULL, PRIMARY KEY (device, stream, first_seq, last_position)
) WITHOUT ROWID;
CREATE INDEX names_wide ON names (device, stream, first_seq) WHERE last_seq - first_seq > {SPAN_WIDE};
CREATE TABLE names_upto (position INTEGER NOT NULL);
INSERT INTO names_upto VALUES (0);
"""  # noqa: S608  # a constant of ours

INSERT = "INSERT INTO names (device, stream, first_seq, last_position, last_seq, messages) VALUES (?, ?, ?, ?, ?, ?)"
FIND_NEAR = (
    "SELECT messages FROM names WHERE device = ? AND stream = ? AND first_seq BETWEEN ? AND ? AND last_seq >= ? "
    "ORDER BY first_seq DESC"
)
FIND_WIDE = (
    f"SELECT messages FROM names WHERE device = ? AND stream = ? AND last_seq - first_seq > {SPAN_WIDE} "  # noqa: S608
    "AND first_seq <= ? AND last_seq >= ?"
)
FORGET = "DELETE FROM names WHERE device = ? AND stream = ? AND first_seq <= ? AND last_position <= ?"

Spots = list[int]
"""First seq, last seq and position of one run of a message, then of the next, and so on."""


class Recent:
    """The names that are not in the table yet. The log's lock guards changes; any thread may look."""

    def __init__(self) -> None:
        self._spots: dict[tuple[str, str], Spots] = {}
        self._count = 0

    @property
    def is_full(self) -> bool:
        return self._count >= RECENT_MAX

    def add(self, records: Sequence[Record], before: int) -> None:
        """Those of one append, whose first record has the position `before` + 1."""
        spots = self._spots
        for position, record in enumerate(records, before + 1):
            if type(record) is not Telemetry or not record.readings:
                continue
            readings = record.readings
            key = record.device, record.stream
            known = spots.get(key)
            if known is None:
                known = spots[key] = []
            first, last = readings[0].seq, readings[-1].seq
            if last - first < len(readings):
                known += first, last, position
                continue
            runs = ranges.of(one.seq for one in readings)
            for first, last in runs:
                known += first, last, position
            self._count += len(runs) - 1
        self._count += len(records)

    def positions(self, device: str, stream: str, seq: int) -> list[int]:
        """Newest first."""
        spots = self._spots.get((device, stream), []).copy()  # it may grow meanwhile
        return [position for first, last, position in _each(spots) if first <= seq <= last][::-1]

    def write(self, writer: sqlite3.Connection, upto: int) -> None:
        """All of it into the table, which then tells of every entry up to position `upto`. In a transaction."""
        writer.executemany(INSERT, chain.from_iterable(map(_rows, sorted(self._spots.items()))))
        writer.execute("UPDATE names_upto SET position = ?", (upto,))

    def clear(self) -> None:
        """They are in the table, and will not go from there."""
        self._spots = {}
        self._count = 0


def _rows(item: tuple[tuple[str, str], Spots]) -> list[tuple[Any, ...]]:
    """Runs that lie close together share a row."""
    key, spots = item
    low, high = min(spots[::3]), max(spots[1::3])
    if len(spots) <= 3 * SPOTS_MAX and high - low <= SPAN_WIDE:
        return [(*key, low, spots[-1], high, array("Q", spots).tobytes())]
    half = len(spots) // 6 * 3
    return _rows((key, spots[:half])) + _rows((key, spots[half:]))


def _each(spots: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    return zip(spots[::3], spots[1::3], spots[2::3], strict=True)


def upto(reader: sqlite3.Connection) -> int:
    """The position up to which the table has every name."""
    return int(reader.execute("SELECT position FROM names_upto").fetchone()[0])


def positions(reader: sqlite3.Connection, device: str, stream: str, seq: int) -> Iterator[int]:
    """Where the table says that a reading of this name may be; the first is nearly always the one."""
    for query, arguments in (
        (FIND_NEAR, (device, stream, seq - SPAN_WIDE, seq, seq)),
        (FIND_WIDE, (device, stream, seq, seq)),
    ):
        for (packed,) in reader.execute(query, arguments).fetchall():
            yield from (position for first, last, position in _each(array("Q", packed)) if first <= seq <= last)


def forget(writer: sqlite3.Connection, entries: Iterable[Entry], upto: int) -> None:
    """These entries, up to position `upto`, go: their names go too, once all messages of a row are gone."""
    highest: dict[tuple[str, str], int] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, Telemetry) and record.readings:
            key = (record.device, record.stream)
            highest[key] = max(highest.get(key, 0), record.readings[-1].seq)
    writer.executemany(FORGET, [(*key, seq, upto) for key, seq in sorted(highest.items())])
