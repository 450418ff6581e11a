"""The entries appended or read last, decoded once for all who follow the log closely. Bounded; any thread.

They stand in blocks, each of one append or one reading, whose positions follow one another without a hole; the oldest
block goes first.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from contract.records import Entry, Record, Telemetry

READINGS_MAX = 20_000  # an entry counts as many as it has readings, at least one; about 20 MB

_last_of = attrgetter("last")


class Block:
    """Entries that follow one another; never changed."""

    __slots__ = ("entries", "first", "last", "weight")

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.entries = entries
        self.first = entries[0].position
        self.last = entries[-1].position
        self.weight = sum(len(one.record.readings) if type(one.record) is Telemetry else 1 for one in entries)


class Tail:
    """Consecutive entries, the newest last."""

    def __init__(self, readings_max: int = READINGS_MAX) -> None:
        self._readings_max = readings_max
        self._lock = threading.Lock()
        self._blocks: list[Block] = []
        self._readings = 0

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Those behind position `after` that are here, up to `limit`; empty when the first of them is not."""
        with self._lock:
            blocks = self._blocks
            if not blocks or after + 1 < blocks[0].first:
                return ()
            found: list[Entry] = []
            for block in blocks[bisect_left(blocks, after + 1, key=_last_of) :]:
                skip = max(0, after + 1 - block.first)
                found += block.entries[skip : skip + limit - len(found)]
                if len(found) >= limit:
                    break
            return found

    def append(self, before: int, at_ms: int, records: Sequence[Record]) -> None:
        """Remember what was just appended behind position `before`, as it is: nobody need decode it again."""
        self.keep([Entry(position, at_ms, record) for position, record in enumerate(records, before + 1)])

    def keep(self, entries: Sequence[Entry]) -> None:
        """Remember these where they go on from what is here, or begin anew with them."""
        if not entries:
            return
        with self._lock:
            blocks = self._blocks
            newest = blocks[-1].last if blocks else entries[0].position - 1
            if entries[-1].position <= newest:
                return  # one that is far behind reads old entries: those who follow closely keep theirs
            news = entries if entries[0].position > newest else [one for one in entries if one.position > newest]
            run = _last_run(news)
            if run[0].position != newest + 1:  # entries between were cut, or never were
                blocks.clear()
                self._readings = 0
            block = Block(run)
            blocks.append(block)
            self._readings += block.weight
            while self._readings > self._readings_max:
                self._readings -= blocks.pop(0).weight


def _last_run(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Those at the end that follow one another without a hole."""
    if entries[-1].position - entries[0].position == len(entries) - 1:
        return entries
    first = len(entries) - 1
    while first and entries[first - 1].position == entries[first].position - 1:
        first -= 1
    return entries[first:]
