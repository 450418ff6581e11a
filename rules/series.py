"""The readings of one metric that windows look back on, in order of event time, bounded and counted."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from contract.kind import Value

READINGS_MAX = 4_096  # a week at one reading in two and a half minutes
SLACK_MS = 300_000  # readings this much older than the longest window stay: assets are judged a little apart
FAR_MS = 2**62


class SeriesImage(msgspec.Struct, frozen=True, array_like=True):
    """A series as it stands in a snapshot."""

    horizon_ms: int
    times: list[int]
    values: list[float]
    late: list[int]
    dropped: int


class Series:
    """Readings (time, value, came late?) of one metric.

    Values are floats; words of an enum stand as their index in `words`. Late readings are inserted where they belong.
    """

    __slots__ = ("dropped", "horizon_ms", "late", "times", "values", "words")

    def __init__(self, horizon_ms: int, words: Sequence[str] = ()) -> None:
        self.horizon_ms = horizon_ms
        self.words = tuple(words)
        self.times = array("q")
        self.values = array("d")
        self.late = array("b")
        self.dropped = 0

    def add(self, at_ms: int, value: Value, late: bool) -> None:
        try:
            number = float(self.words.index(value)) if isinstance(value, str) else float(value)
        except ValueError:  # no word of this metric: ingest refuses it; should it come here, it is counted
            self.dropped += 1
            return
        where = bisect_right(self.times, at_ms)
        self.times.insert(where, at_ms)
        self.values.insert(where, number)
        self.late.insert(where, late)
        self._trim()

    def _trim(self) -> None:
        """Forget what no window reaches (but one reading before it, which counters start from), and the overflow."""
        gone = max(0, bisect_left(self.times, self.times[-1] - self.horizon_ms - SLACK_MS) - 1)
        overflow = len(self.times) - gone - READINGS_MAX
        if overflow > 0:
            self.dropped += overflow
            gone += overflow
        if gone:
            del self.times[:gone], self.values[:gone], self.late[:gone]

    def within(self, now_ms: int, ms: int, fresh: bool) -> tuple[Sequence[float], int]:
        """The values measured in (now - ms, now], and until when that stays so if no reading comes."""
        first = bisect_right(self.times, now_ms - ms)
        behind = bisect_right(self.times, now_ms)
        valid_until = self.times[first] + ms if first < behind else FAR_MS
        if behind < len(self.times):  # a reading of a fast clock: it counts when its time has come
            valid_until = min(valid_until, self.times[behind])
        values = self.values[first:behind]
        if fresh and any(self.late[first:behind]):
            return [value for value, late in zip(values, self.late[first:behind], strict=True) if not late], valid_until
        return values, valid_until

    def growth(self, now_ms: int, ms: int, fresh: bool) -> tuple[float, int]:
        """How much a counter grew in (now - ms, now], and until when that stays so.

        From the last reading before the window, when it is known; a counter that falls was replaced or wrapped and
        started again from 0.
        """
        values, valid_until = self.within(now_ms, ms, fresh)
        first = bisect_right(self.times, now_ms - ms)
        before = next(
            (self.values[index] for index in range(first - 1, -1, -1) if not (fresh and self.late[index])), None
        )
        grown = 0.0
        for value in values:
            if before is not None:
                grown += value - before if value >= before else value
            before = value
        return grown, valid_until

    def word(self, value: float) -> str:
        return self.words[int(value)]

    def image(self) -> SeriesImage:
        return SeriesImage(self.horizon_ms, self.times.tolist(), self.values.tolist(), self.late.tolist(), self.dropped)

    @classmethod
    def restored(cls, image: SeriesImage, words: Sequence[str]) -> "Series":
        series = cls(image.horizon_ms, words)
        series.times.extend(image.times)
        series.values.extend(image.values)
        series.late.extend(image.late)
        series.dropped = image.dropped
        return series
