"""What is remembered of one asset's readings: the newest value of each metric, and the series that windows need.

Everything is kept twice where it matters: as it is known now (late readings included), and as it was known in time.
Rules that move something see only the second, so that a late reading corrects an alarm and never moves a valve.
"""

from collections.abc import Mapping

import msgspec

from contract.kind import Kind, MetricType, Value
from contract.records import Quality, Reading
from rules import functions, tree
from rules.series import DOUBTFUL, FAR_MS, Series, SeriesImage

# As plain numbers: an IntFlag's operators cost more than all the rest of a reading.
RATE, STUCK = int(Quality.RATE), int(Quality.STUCK)
DOUBTS = RATE | STUCK
LATE, DATED_ROUGHLY = int(Quality.LATE), int(Quality.DATED_ROUGHLY)
NOTHING: frozenset[str] = frozenset()
RAIN_MS = 86_400_000


class MemoryImage(msgspec.Struct, frozen=True, array_like=True):
    """A memory as it stands in a snapshot."""

    current: dict[str, tuple[int, Value]]
    in_time: dict[str, tuple[int, Value]]
    series: dict[str, SeriesImage]
    doubtful: dict[str, tuple[int, Value]] = {}
    doubtful_in_time: dict[str, tuple[int, Value]] = {}


class Memory:
    """Readings of one asset. `read` answers for any input that is about them."""

    __slots__ = ("booleans", "current", "doubtful", "doubtful_in_time", "in_time", "kind", "series")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.booleans = frozenset(name for name, metric in kind.metrics.items() if metric.type is MetricType.BOOLEAN)
        self.current: dict[str, tuple[int, Value]] = {}  # metric → (measured_at_ms, value)
        self.in_time: dict[str, tuple[int, Value]] = {}
        # The newest of those values that are not credible: they count only for rules that ask for them.
        self.doubtful: dict[str, tuple[int, Value]] = {}
        self.doubtful_in_time: dict[str, tuple[int, Value]] = {}
        self.series: dict[str, Series] = {}

    def want(self, horizons: Mapping[str, int]) -> int:
        """Keep series of these metrics for this long (ms), and no others. Returns what was dropped with the others.

        A series that starts now begins with the newest reading that is known.
        """
        dropped = 0
        for metric in [name for name in self.series if name not in horizons]:
            dropped += self.series.pop(metric).dropped
        for metric, horizon_ms in horizons.items():
            if metric in self.series:
                self.series[metric].horizon_ms = horizon_ms
                continue
            self.series[metric] = Series(horizon_ms, self.kind.metrics[metric].values)
            if newest := self.current.get(metric):
                self.series[metric].add(*newest, marks=int(self.in_time.get(metric) != newest))
        return dropped

    def add(self, reading: Reading) -> bool:
        """Remember a reading; returns whether it came in time. One whose time is not known is not remembered."""
        at_ms, quality = reading.measured_at_ms, reading.quality
        if quality & DATED_ROUGHLY:
            return False
        late = bool(quality & LATE)
        doubted = self._doubted(quality) if quality & DOUBTS else NOTHING
        current, in_time, series = self.current, self.in_time, self.series
        for metric, value in reading.values.items():
            stamped = (at_ms, value)
            if metric in doubted:
                self._doubt(metric, stamped, late)
                continue
            if metric not in current or current[metric][0] <= at_ms:
                current[metric] = stamped
            if not late and (metric not in in_time or in_time[metric][0] <= at_ms):
                in_time[metric] = stamped
            if metric in series:
                series[metric].add(at_ms, value, late)
        return not late

    def _doubted(self, quality: int) -> frozenset[str]:
        """The metrics of a reading that its marks can be about: those that their kind lets be judged so."""
        return frozenset(
            metric.name
            for metric in self.kind.metrics.values()
            if (quality & RATE and metric.rate_max_per_s is not None) or (quality & STUCK and metric.stuck_after_ms)
        )

    def _doubt(self, metric: str, stamped: tuple[int, Value], late: bool) -> None:
        for newest in (self.doubtful,) if late else (self.doubtful, self.doubtful_in_time):
            if metric not in newest or newest[metric][0] <= stamped[0]:
                newest[metric] = stamped
        if metric in self.series:
            self.series[metric].add(*stamped, DOUBTFUL | late)

    def _stamped(self, metric: str, fresh: bool, doubtful: bool) -> tuple[int, Value] | None:
        """The newest value, and when it was measured."""
        stamped = (self.in_time if fresh else self.current).get(metric)
        if doubtful:
            other = (self.doubtful_in_time if fresh else self.doubtful).get(metric)
            if other is not None and (stamped is None or other[0] >= stamped[0]):
                return other
        return stamped

    def read(self, wanted: tree.AssetInput | tree.WeatherRain, now_ms: int, period_ms: int) -> tuple[tree.Value, int]:
        """The value of an input at `now_ms`, and the first moment it may be another without a new reading."""
        if isinstance(wanted, tree.Current):
            return self._newest(wanted.metric, wanted.fresh, wanted.doubtful, now_ms, period_ms)
        if isinstance(wanted, tree.Window):
            return self._window(wanted, now_ms)
        if isinstance(wanted, tree.WeatherRain):
            return self._rain(wanted.fresh, wanted.doubtful, now_ms, period_ms)
        assert isinstance(wanted, tree.MeasuredAt)
        stamped = self._stamped(wanted.metric, wanted.fresh, wanted.doubtful)
        return (None, FAR_MS) if stamped is None else (float(stamped[0]), FAR_MS)

    def _newest(self, metric: str, fresh: bool, doubtful: bool, now_ms: int, period_ms: int) -> tuple[tree.Value, int]:
        stamped = self._stamped(metric, fresh, doubtful)
        if stamped is None:
            return None, FAR_MS
        stale_ms = stamped[0] + 2 * period_ms + 1
        if now_ms >= stale_ms:
            return None, FAR_MS
        return (stamped[1] != 0 if metric in self.booleans else stamped[1]), stale_ms

    def _window(self, wanted: tree.Window, now_ms: int) -> tuple[tree.Value, int]:
        row = functions.WINDOWS[wanted.function]
        series = self.series.get(wanted.metric)
        if series is None:
            return row.empty, FAR_MS
        values, valid_until = series.within(now_ms, wanted.ms, wanted.fresh, wanted.doubtful)
        if not values:
            return row.empty, valid_until
        assert row.aggregate is not None
        value = row.aggregate(values)
        if wanted.function == "last":
            if series.words:
                return series.word(value), valid_until
            if wanted.metric in self.booleans:
                return value != 0, valid_until
        return value, valid_until

    def _rain(self, fresh: bool, doubtful: bool, now_ms: int, period_ms: int) -> tuple[tree.Value, int]:
        """Rain of the last 24 h in mm; unknown when the station does not report it now."""
        known, stale_ms = self._newest(functions.RAIN_METRIC, fresh, doubtful, now_ms, period_ms)
        series = self.series.get(functions.RAIN_METRIC)
        if known is None or series is None:
            return None, FAR_MS
        grown_um, valid_until = series.growth(now_ms, RAIN_MS, fresh, doubtful)
        return grown_um / 1000, min(stale_ms, valid_until)

    def newest_ms(self, fresh: bool) -> int:
        """When anything was last measured; -1 for never."""
        return max((stamped[0] for stamped in (self.in_time if fresh else self.current).values()), default=-1)

    def dropped(self) -> int:
        return sum(series.dropped for series in self.series.values())

    def image(self) -> MemoryImage:
        series = {name: one.image() for name, one in self.series.items()}
        return MemoryImage(self.current, self.in_time, series, self.doubtful, self.doubtful_in_time)

    @classmethod
    def restored(cls, kind: Kind, image: MemoryImage) -> "Memory":
        memory = cls(kind)
        memory.current.update(image.current)
        memory.in_time.update(image.in_time)
        memory.doubtful.update(image.doubtful)
        memory.doubtful_in_time.update(image.doubtful_in_time)
        for name, series in image.series.items():
            if name in kind.metrics:
                memory.series[name] = Series.restored(series, kind.metrics[name].values)
        return memory
