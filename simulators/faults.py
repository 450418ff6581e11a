"""Faults on purpose: which asset has which fault from when until when, drawn once and known as ground truth.

Times are city time in ms. A plan is a function of (seed, assets, options, start): whoever asks, in any order, learns
the same. Faults of later days are drawn in blocks of 30 days, one asset having at most one fault begin in a block
and none at the same time as another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from simulators.chance import between, share

HOUR_MS = 3_600_000
BLOCK_DAYS = 30
BLOCK_MS = BLOCK_DAYS * 24 * HOUR_MS
BLOCKS_CACHED_MAX = 3
AT_LEAST_ONE_FROM = 5  # assets of a kind: from here on every fault with an initial share shows at once


class FaultName(StrEnum):
    LAMP_DEAD = "lamp_dead"  # should be lit, draws next to nothing
    DAY_BURNER = "day_burner"  # the relay is stuck: full power, whatever the level
    CYCLING = "cycling"  # goes out and comes back every few minutes
    FIRE = "fire"  # the waste burns
    TIPPED = "tipped"  # the container lies on its side
    LEAK = "leak"  # water runs though the valve is closed
    CLOGGED = "clogged"  # the flow is half of what it should be


KIND_OF = {
    FaultName.LAMP_DEAD: "street_light",
    FaultName.DAY_BURNER: "street_light",
    FaultName.CYCLING: "street_light",
    FaultName.FIRE: "waste_bin",
    FaultName.TIPPED: "waste_bin",
    FaultName.LEAK: "irrigation_valve",
    FaultName.CLOGGED: "irrigation_valve",
}


@dataclass(frozen=True, slots=True)
class FaultPeriod:
    """The truth about one fault: it is there in [from_ms, until_ms)."""

    asset: str
    fault: FaultName
    from_ms: int
    until_ms: int


def _initial() -> Mapping[FaultName, float]:
    return {
        FaultName.LAMP_DEAD: 0.02,
        FaultName.DAY_BURNER: 0.005,
        FaultName.CYCLING: 0.005,
        FaultName.FIRE: 0.005,
        FaultName.LEAK: 0.02,
    }


def _per_year() -> Mapping[FaultName, float]:
    return {
        FaultName.LAMP_DEAD: 0.08,
        FaultName.DAY_BURNER: 0.02,
        FaultName.CYCLING: 0.03,
        FaultName.FIRE: 0.02,
        FaultName.TIPPED: 0.1,
        FaultName.LEAK: 0.15,
        FaultName.CLOGGED: 0.1,
    }


def _hours() -> Mapping[FaultName, tuple[float, float]]:
    return {
        FaultName.LAMP_DEAD: (24, 120),
        FaultName.DAY_BURNER: (24, 96),
        FaultName.CYCLING: (24, 120),
        FaultName.FIRE: (0.7, 1.5),
        FaultName.TIPPED: (6, 48),
        FaultName.LEAK: (6, 48),
        FaultName.CLOGGED: (48, 240),
    }


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """How faulty the city is. A fault that is not named does not occur."""

    initial: Mapping[FaultName, float] = field(default_factory=_initial)
    """Share (0 to 1) of the kind's assets that have the fault soon after the start; at least one of five or more."""
    initial_within_ms: int = HOUR_MS
    """Initial faults begin within this time of the start (lamps at once: a dead lamp is dead before dusk)."""
    per_year: Mapping[FaultName, float] = field(default_factory=_per_year)
    """Faults of this name per asset and year, from the start on."""
    hours: Mapping[FaultName, tuple[float, float]] = field(default_factory=_hours)
    """Shortest and longest time until somebody has repaired it, in hours."""

    @classmethod
    def none(cls) -> "FaultOptions":
        """A city without faults."""
        return cls(initial={}, per_year={})


class FaultPlan:
    """All faults of a set of assets, by asset id and time."""

    def __init__(
        self, seed: int, kind_of_asset: Mapping[str, str], start_ms: int, options: FaultOptions | None = None
    ) -> None:
        """`kind_of_asset` is asset id → kind; nothing is at fault before `start_ms`."""
        self._seed = seed
        self._assets = dict(kind_of_asset)
        self._start_ms = start_ms
        self._options = options or FaultOptions()
        self._first = self._draw_initial()
        self._blocks: dict[int, Mapping[str, FaultPeriod]] = {}

    def active(self, asset: str, at_ms: int) -> FaultPeriod | None:
        """The fault that `asset` has at `at_ms`, or None."""
        if at_ms < self._start_ms:
            return None
        first = self._first.get(asset)
        if first is not None and first.from_ms <= at_ms < first.until_ms:
            return first
        later = self._block((at_ms - self._start_ms) // BLOCK_MS).get(asset)
        return later if later is not None and later.from_ms <= at_ms < later.until_ms else None

    def truth(self, from_ms: int, until_ms: int) -> Sequence[FaultPeriod]:
        """Every fault that is there at some moment of [from_ms, until_ms), by beginning, then asset."""
        if until_ms <= max(from_ms, self._start_ms):
            return []
        blocks = range(
            (max(from_ms, self._start_ms) - self._start_ms) // BLOCK_MS,
            (until_ms - 1 - self._start_ms) // BLOCK_MS + 1,
        )
        found = list(self._first.values())
        for block in blocks:
            found += self._block(block).values()
        return sorted(
            (period for period in found if period.from_ms < until_ms and from_ms < period.until_ms),
            key=lambda period: (period.from_ms, period.asset),
        )

    def _draw_initial(self) -> Mapping[str, FaultPeriod]:
        """The faults of the beginning. Who has one is decided by lot, so that the count is right in a small city."""
        periods: dict[str, FaultPeriod] = {}
        for fault, part in self._options.initial.items():
            candidates = sorted(
                (asset for asset, kind in self._assets.items() if kind == KIND_OF[fault]),
                key=lambda asset: share(self._seed, "initial", fault, asset),
            )
            count = round(part * len(candidates))
            if part > 0 and len(candidates) >= AT_LEAST_ONE_FROM:
                count = max(count, 1)
            for asset in _first_free(candidates, periods, count):
                lamp = KIND_OF[fault] == "street_light"
                delay = 0.0 if lamp else between(0.2, 1.0, self._seed, "delay", fault, asset)
                from_ms = self._start_ms + round(delay * self._options.initial_within_ms)
                periods[asset] = FaultPeriod(asset, fault, from_ms, from_ms + self._length_ms(fault, asset, -1))
        return periods

    def _block(self, block: int) -> Mapping[str, FaultPeriod]:
        known = self._blocks.get(block)
        if known is None:
            if len(self._blocks) >= BLOCKS_CACHED_MAX:
                self._blocks.clear()
            known = self._blocks[block] = self._draw_block(block)
        return known

    def _draw_block(self, block: int) -> Mapping[str, FaultPeriod]:
        start_ms = self._start_ms + block * BLOCK_MS
        rates: dict[str, list[tuple[FaultName, float]]] = {}
        for fault, per_year in self._options.per_year.items():
            rates.setdefault(KIND_OF[fault], []).append((fault, per_year * BLOCK_DAYS / 365.25))
        periods = {}
        for asset, kind in self._assets.items():
            if kind not in rates:
                continue
            lot = share(self._seed, "block", block, asset)
            drawn = _pick(rates[kind], lot)
            if drawn is None:
                continue
            length_ms = self._length_ms(drawn, asset, block)
            latest = max(BLOCK_MS - length_ms, 1)  # it ends within its block, so that it never meets the next one
            from_ms = start_ms + int(between(0, latest, self._seed, "begin", block, asset))
            first = self._first.get(asset)
            if first is None or from_ms >= first.until_ms:
                periods[asset] = FaultPeriod(asset, drawn, from_ms, min(from_ms + length_ms, start_ms + BLOCK_MS))
        return periods

    def _length_ms(self, fault: FaultName, asset: str, block: int) -> int:
        low, high = self._options.hours.get(fault, (6.0, 48.0))
        return round(between(low, high, self._seed, "length", fault, block, asset) * HOUR_MS)


def _first_free(candidates: Iterable[str], taken: Mapping[str, object], count: int) -> list[str]:
    return [asset for asset in candidates if asset not in taken][:count]


def _pick(rates: Iterable[tuple[FaultName, float]], lot: float) -> FaultName | None:
    """The fault whose part of [0, 1) the lot fell in."""
    for fault, probability in rates:
        if lot < probability:
            return fault
        lot -= probability
    return None
