"""How records stand in the log's file: up to CHUNK_RECORDS of one append in one row.

A row for each record costs SQLite four times as much as one for a hundred. A chunk is the encoded records one after the
other and where each ends, so that one of them can be read without decoding the others; its key is the position of its
last record.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate

from contract.records import Entry, Record, decode

CHUNK_RECORDS = 128
CHUNK_BYTES = 32_768  # a chunk ends with the record that reaches this

Row = tuple[int, int, bytes, bytes]
"""(position of the last record, at_ms, ends, bodies): a row of the table `chunks`."""


def rows(bodies: Sequence[bytes], before: int, at_ms: int) -> Iterator[Row]:
    """The rows of one append; its first record gets the position `before` + 1."""
    start = 0
    while start < len(bodies):
        stop, size = start, 0
        while stop < len(bodies) and stop - start < CHUNK_RECORDS and size < CHUNK_BYTES:
            size += len(bodies[stop])
            stop += 1
        part = bodies[start:stop]
        yield before + stop, at_ms, array("I", accumulate(map(len, part))).tobytes(), b"".join(part)
        start = stop


def count(ends: bytes) -> int:
    return len(ends) // 4


def entries(row: Row, after: int) -> list[Entry]:
    """Those of a chunk behind position `after`."""
    last, at_ms, packed, bodies = row
    ends = array("I", packed)
    first = last - len(ends) + 1
    skip = min(max(0, after + 1 - first), len(ends))
    found: list[Entry] = []
    start = ends[skip - 1] if skip else 0
    for position, end in enumerate(ends[skip:], first + skip):
        found.append(Entry(position, at_ms, decode(bodies[start:end])))
        start = end
    return found


def record(row: Row, position: int) -> Record | None:
    """The one at `position`; None when that is not in this chunk."""
    last, _, packed, bodies = row
    ends = array("I", packed)
    index = position - last - 1  # from the end
    if not -len(ends) <= index < 0:
        return None
    start = ends[index - 1] if -index < len(ends) else 0
    return decode(bodies[start : ends[index]])
