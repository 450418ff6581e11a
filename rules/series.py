"""The readings of one metric that windows look back on, in order of event time, bounded and counted."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from contract.kind import Value

READINGS_MAX = 4_096  # a week at one reading in two and a half minutes
SLACK_MS = 300_000  # readings this much older than the longest window stay: assets are judged a little apart
FAR_MS = 2**62
LATE, DOUBTFUL = 1, 2  # bits of `marks`


class SeriesImage(msgspec.Struct, frozen=True, array_like=True):
    """A series as it stands in a snapshot."""

    horizon_ms: int
    times: list[int]
    values: list[float]
    marks: list[int]
    dropped: int


class Series:
    """Readings (time, value, LATE and DOUBTFUL) of one metric.

    Values are floats; words of an enum stand as their index in `words`. Late readings are inserted where they belong.
    """

    __slots__ = ("dropped", "horizon_ms", "marks", "times", "values", "words")

    def __init__(self, horizon_ms: int, words: Sequence[str] = ()) -> None:
        self.horizon_ms = horizon_ms
        self.words = tuple(words)
        self.times = array("q")
        self.values = array("d")
        self.marks = array("b")
        self.dropped = 0

    def add(self, at_ms: int, value: Value, marks: int) -> None:
        """`marks`: its bits of LATE and DOUBTFUL."""
        try:
            number = float(self.words.index(value)) if isinstance(value, str) else float(value)
        except ValueError:  # no word of this metric: ingest refuses it; should it come here, it is counted
            self.dropped += 1
            return
        where = bisect_right(self.times, at_ms)
        self.times.insert(where, at_ms)
        self.values.insert(where, number)
        self.marks.insert(where, marks)
        self._trim()

    def _trim(self) -> None:
        """Forget what no window reaches (but one reading before it, which counters start from), and the overflow."""
        gone = max(0, bisect_left(self.times, self.times[-1] - self.horizon_ms - SLACK_MS) - 1)
        overflow = len(self.times) - gone - READINGS_MAX
        if overflow > 0:
            self.dropped += overflow
            gone += overflow
        if gone:
            del self.times[:gone], self.values[:gone], self.marks[:gone]

    def within(self, now_ms: int, ms: int, fresh: bool, doubtful: bool = False) -> tuple[Sequence[float], int]:
        """The values measured in (now - ms, now], and until when that stays so if no reading comes."""
        first = bisect_right(self.times, now_ms - ms)
        behind = bisect_right(self.times, now_ms)
        valid_until = self.times[first] + ms if first < behind else FAR_MS
        if behind < len(self.times):  # a reading of a fast clock: it counts when its time has come
            valid_until = min(valid_until, self.times[behind])
        values = self.values[first:behind]
        marks = self.marks[first:behind]
        if any(marks):
            left_out = _left_out(fresh, doubtful)
            return [value for value, mark in zip(values, marks, strict=True) if not mark & left_out], valid_until
        return values, valid_until

    def growth(self, now_ms: int, ms: int, fresh: bool, doubtful: bool = False) -> tuple[float, int]:
        """How much a counter grew in (now - ms, now], and until when that stays so.

        From the last reading before the window, when it is known; a counter that falls was replaced or wrapped and
        started again from 0.
        """
        values, valid_until = self.within(now_ms, ms, fresh, doubtful)
        first = bisect_right(self.times, now_ms - ms)
        left_out = _left_out(fresh, doubtful)
        before = next((self.values[at] for at in range(first - 1, -1, -1) if not self.marks[at] & left_out), None)
        grown = 0.0
        for value in values:
            if before is not None:
                grown += value - before if value >= before else value
            before = value
        return grown, valid_until

    def word(self, value: float) -> str:
        return self.words[int(value)]

    def image(self) -> SeriesImage:
        return SeriesImage(
            self.horizon_ms, self.times.tolist(), self.values.tolist(), self.marks.tolist(), self.dropped
        )

    @classmethod
    def restored(cls, image: SeriesImage, words: Sequence[str]) -> "Series":
        series = cls(image.horizon_ms, words)
        series.times.extend(image.times)
        series.values.extend(image.values)
        series.marks.extend(image.marks)
        series.dropped = image.dropped
        return series


def _left_out(fresh: bool, doubtful: bool) -> int:
    """The marks of readings that do not count for whoever asks so."""
    return (LATE if fresh else 0) | (0 if doubtful else DOUBTFUL)
