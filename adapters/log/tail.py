"""The entries read last, decoded once for all who follow the log closely. Bounded; any thread."""

import threading
from collections.abc import Sequence

from contract.records import Entry, Record, Telemetry

READINGS_MAX = 20_000  # an entry counts as many as it has readings, at least one; about 20 MB


class Tail:
    """Consecutive entries, the newest last."""

    def __init__(self, readings_max: int = READINGS_MAX) -> None:
        self._readings_max = readings_max
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._readings = 0

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Those behind position `after` that are here, up to `limit`; empty when the first of them is not."""
        with self._lock:
            if not self._entries:
                return ()
            start = after + 1 - self._entries[0].position
            return self._entries[start : start + max(limit, 0)] if start >= 0 else ()

    def append(self, before: int, at_ms: int, records: Sequence[Record]) -> None:
        """Remember what was just appended behind position `before`, as it is: nobody need decode it again."""
        self.keep([Entry(position, at_ms, record) for position, record in enumerate(records, before + 1)])

    def keep(self, entries: Sequence[Entry]) -> None:
        """Remember what was read from the file, where it goes on from what is here, or begin anew with it."""
        with self._lock:
            if not entries or (self._entries and entries[-1].position <= self._entries[-1].position):
                return  # one that is far behind reads old entries: those who follow closely keep theirs
            following = self._entries[-1].position + 1 if self._entries else entries[0].position
            news = [entry for entry in entries if entry.position >= following]
            if news[-1].position != following + len(news) - 1:  # entries between were cut, or never were
                news = _last_run(news)
                self._entries, self._readings = [], 0
            self._entries += news
            self._readings += sum(map(_weight, news))
            drop = 0
            while self._readings > self._readings_max and drop < len(self._entries):
                self._readings -= _weight(self._entries[drop])
                drop += 1
            del self._entries[:drop]


def _last_run(entries: list[Entry]) -> list[Entry]:
    """Those at the end that follow one another without a hole."""
    first = len(entries) - 1
    while first and entries[first - 1].position == entries[first].position - 1:
        first -= 1
    return entries[first:]


def _weight(entry: Entry) -> int:
    return max(1, len(entry.record.readings)) if isinstance(entry.record, Telemetry) else 1
