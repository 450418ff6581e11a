"""Which entries hold the readings of a name: the index that tells a duplicate from a conflict.

The messages of one stream that come in one append share a row (their seqs mostly follow one another), which holds their
positions. A row spans SPAN_WIDE seqs at most, so that a look for one seq has few rows to try; a single message that
spans more is looked up in an index of its own.
"""

import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence

from contract.records import Record, Telemetry

SPAN_WIDE = 4_096

TABLES = f"""
CREATE TABLE names (
  device TEXT, stream TEXT, first_seq INTEGER, last_seq INTEGER NOT NULL, last_position INTEGER,
  positions BLOB NOT NULL, PRIMARY KEY (device, stream, first_seq, last_position)
) WITHOUT ROWID;
CREATE INDEX names_wide ON names (device, stream, first_seq) WHERE last_seq - first_seq > {SPAN_WIDE};
"""

INSERT = "INSERT INTO names (device, stream, first_seq, last_seq, last_position, positions) VALUES (?, ?, ?, ?, ?, ?)"
FIND_NEAR = (
    "SELECT positions FROM names WHERE device = ? AND stream = ? AND first_seq BETWEEN ? AND ? AND last_seq >= ? "
    "ORDER BY first_seq DESC"
)
FIND_WIDE = (
    f"SELECT positions FROM names WHERE device = ? AND stream = ? AND last_seq - first_seq > {SPAN_WIDE} "  # noqa: S608
    "AND first_seq <= ? AND last_seq >= ?"
)
FORGET = "DELETE FROM names WHERE device = ? AND stream = ? AND first_seq <= ? AND last_position <= ?"

Row = tuple[str, str, int, int, int, bytes]


def rows(records: Sequence[Record], before: int) -> list[Row]:
    """The rows of one append, whose first record has the position `before` + 1."""
    open_groups: dict[tuple[str, str], tuple[int, int, list[int]]] = {}
    full: list[Row] = []
    for position, record in enumerate(records, before + 1):
        if type(record) is not Telemetry or not record.readings:
            continue
        key = (record.device, record.stream)
        first, last = record.readings[0].seq, record.readings[-1].seq
        group = open_groups.get(key)
        if group is None:
            open_groups[key] = first, last, [position]
            continue
        low, high = min(first, group[0]), max(last, group[1])
        if high - low > SPAN_WIDE:
            full.append(_row(key, group))
            open_groups[key] = first, last, [position]
        else:
            group[2].append(position)
            open_groups[key] = low, high, group[2]
    full += [_row(key, group) for key, group in open_groups.items()]
    return full


def _row(key: tuple[str, str], group: tuple[int, int, list[int]]) -> Row:
    first, last, positions = group
    return (*key, first, last, positions[-1], array("Q", positions).tobytes())


def positions(reader: sqlite3.Connection, device: str, stream: str, seq: int) -> Iterator[int]:
    """Where a reading of this name may be; the first is nearly always the one."""
    for query, arguments in (
        (FIND_NEAR, (device, stream, seq - SPAN_WIDE, seq, seq)),
        (FIND_WIDE, (device, stream, seq, seq)),
    ):
        cursor = reader.execute(query, arguments)
        try:
            for (packed,) in cursor:
                yield from array("Q", packed)
        finally:
            cursor.close()


def forget(writer: sqlite3.Connection, records: Iterable[Record], floor: int) -> None:
    """Entries up to position `floor` go, these among them: their names go too."""
    highest: dict[tuple[str, str], int] = {}
    for record in records:
        if isinstance(record, Telemetry) and record.readings:
            key = (record.device, record.stream)
            highest[key] = max(highest.get(key, 0), record.readings[0].seq)
    writer.executemany(FORGET, [(*key, seq, floor) for key, seq in highest.items()])
