"""How records stand in the log's file: up to CHUNK_RECORDS of one append in one row.

A row for each record costs SQLite four times as much as one for a hundred. A chunk is the encoded records one after the
other, compressed together (they are much alike: a seventh of the bytes, and less CPU than writing the rest), and where
each ends, so that one of them can be read without decoding the others; its key is the position of its last record. A
checksum of the records stands behind them: a bit that the disk flips is damage that is told, never another value.
"""

import errno
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import zstandard

from contract.records import Entry, Record, decode

CHUNK_RECORDS = 256
CHUNK_BYTES = 65_536  # a chunk ends with the record that reaches this

LEVEL = 1  # higher ones gain nothing on such records
MAGIC = zstandard.FRAME_HEADER  # no record begins so: each is a MessagePack map

READ_CHUNKS = 16  # fetched in one question, decoded after it
BEHIND = "SELECT last, at_ms, ends, bodies FROM chunks WHERE last > ? ORDER BY last LIMIT ?"
Fetch = Callable[[str, tuple[object, ...]], list[Any]]

Row = tuple[int, int, bytes, bytes]
"""(position of the last record, at_ms, ends, compressed bodies): a row of the table `chunks`."""


class _Codec(threading.local):
    """One a thread: a context is not to be used by two at once, and making one costs more than a small chunk."""

    def __init__(self) -> None:
        self.compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress
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


class Chunk:
    """A row unpacked; its records are decoded when asked for. Everything here raises OSError when it is damaged."""

    __slots__ = ("_at_ms", "_bodies", "_ends", "first", "last")

    def __init__(self, row: Row) -> None:
        self.last, self._at_ms, packed, bodies = row
        with _told(self.last):
            self._ends = array("I", packed)
            self._bodies = _codec.decompress(bodies) if bodies.startswith(MAGIC) else bodies  # written under schema 2
        self.first = self.last - len(self._ends) + 1

    def entries(self, after: int = 0) -> list[Entry]:
        """Those behind position `after`."""
        skip = min(max(0, after + 1 - self.first), len(self._ends))
        start = self._ends[skip - 1] if skip else 0
        found: list[Entry] = []
        with _told(self.last):
            for position, end in enumerate(self._ends[skip:], self.first + skip):
                found.append(Entry(position, self._at_ms, decode(self._bodies[start:end])))
                start = end
        return found

    def record(self, position: int) -> Record | None:
        """The one at `position`; None when that is not here."""
        if not self.first <= position <= self.last:
            return None
        index = position - self.first
        start = self._ends[index - 1] if index else 0
        with _told(self.last):
            return decode(self._bodies[start : self._ends[index]])


def behind(fetch: Fetch, after: int) -> Iterator[list[Entry]]:
    """The entries behind position `after`, chunk by chunk, to the end as it is when that is reached. `fetch` answers a
    question whole. Raises what it raises, and OSError for a chunk that is damaged."""
    while rows := fetch(BEHIND, (after, READ_CHUNKS)):
        for row in rows:
            yield Chunk(row).entries(after)
        after = rows[-1][0]


@contextmanager
def _told(last: int) -> Iterator[None]:
    """Whatever a decoder says of bytes that nobody wrote means the same."""
    try:
        yield
    except Exception as error:
        raise OSError(
            errno.EIO, f"the log is damaged: the chunk that ends at position {last} ({error}); restore it from a backup"
        ) from None
