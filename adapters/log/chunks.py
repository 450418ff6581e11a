"""How records stand in the log's file: up to CHUNK_RECORDS of one append in one row.

A row for each record costs SQLite four times as much as one for a hundred. A chunk is the encoded records one after the
other, compressed together (they are much alike: a seventh of the bytes, and less CPU than writing the rest), and where
each ends, so that one of them can be read without decoding the others; its key is the position of its last record.
"""

import errno
import threading
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate

import zstandard

from contract.records import Entry, Record, decode

CHUNK_RECORDS = 256
CHUNK_BYTES = 65_536  # a chunk ends with the record that reaches this

LEVEL = 1  # higher ones gain nothing on such records
MAGIC = zstandard.FRAME_HEADER  # no record begins so: each is a MessagePack map

Row = tuple[int, int, bytes, bytes]
"""(position of the last record, at_ms, ends, compressed bodies): a row of the table `chunks`."""


class _Codec(threading.local):
    """One a thread: a context is not to be used by two at once, and making one costs more than a small chunk."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=LEVEL).compress
        self.decompress = zstandard.ZstdDecompressor().decompress


_codec = _Codec()


def rows(bodies: Sequence[bytes], before: int, at_ms: int) -> Iterator[Row]:
    """The rows of one append; its first record gets the position `before` + 1."""
    start = 0
    while start < len(bodies):
        stop, size = start, 0
        while stop < len(bodies) and stop - start < CHUNK_RECORDS and size < CHUNK_BYTES:
            size += len(bodies[stop])
            stop += 1
        part = bodies[start:stop]
        yield before + stop, at_ms, array("I", accumulate(map(len, part))).tobytes(), _codec.compress(b"".join(part))
        start = stop


def count(ends: bytes) -> int:
    return len(ends) // 4


def entries(row: Row, after: int) -> list[Entry]:
    """Those of a chunk behind position `after`. Raises OSError when it is damaged."""
    last, at_ms, packed, _ = row
    ends, bodies = array("I", packed), _bodies(row)
    first = last - len(ends) + 1
    skip = min(max(0, after + 1 - first), len(ends))
    found: list[Entry] = []
    start = ends[skip - 1] if skip else 0
    for position, end in enumerate(ends[skip:], first + skip):
        found.append(Entry(position, at_ms, decode(bodies[start:end])))
        start = end
    return found


def record(row: Row, position: int) -> Record | None:
    """The one at `position`; None when that is not in this chunk. Raises OSError when it is damaged."""
    last, _, packed, _ = row
    ends = array("I", packed)
    index = position - last - 1  # from the end
    if not -len(ends) <= index < 0:
        return None
    bodies = _bodies(row)
    start = ends[index - 1] if -index < len(ends) else 0
    return decode(bodies[start : ends[index]])


def _bodies(row: Row) -> bytes:
    last, _, _, packed = row
    if not packed.startswith(MAGIC):
        return packed  # written under schema 2
    try:
        return _codec.decompress(packed)
    except zstandard.ZstdError as error:
        raise OSError(
            errno.EIO, f"the log is damaged: the chunk that ends at position {last} ({error}); restore it from a backup"
        ) from None
