"""What all open pages share: each figure is worked out once a second at most, in a worker thread, for everyone.

Theory of operation. The threads are the desk's own: those the platform lives by (the live view, ticks, leases) are
never taken by pages, however slow a disk is. Questions to the store have two of their own again, for a store may hang
until its time is over: the pages then wait for charts, and for nothing else. While a question is on its way nobody asks
it a second time.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from console.api_acts import ledger_counts
from console.conditions import Condition, condition, is_silent
from console.documents import missing
from console.health import HealthView, read_health
from console.live import LiveDevice
from console.platform import Platform
from contract.ports import AlarmRow, Firing, LedgerRow

T = TypeVar("T")
THREADS = 4
STORE_THREADS = 2
SHARED_MAX = 512  # answers that are remembered
GRAVEST_MAX = 100  # alarms that are looked at for those that are shown
GAPS_MAX = 50
RATE_OVER_S = 30.0


class Marker(msgspec.Struct):
    """One asset on the map. `generation` is the refresh that changed its condition last."""

    asset: str
    name: str
    kind: str
    lat: float
    lon: float
    condition: Condition
    generation: int


class City(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at a glance, as it stood at one refresh."""

    generation: int
    registry_change: int  # another value: assets came, moved or went, draw the map anew
    markers: Sequence[Marker]
    by_kind: dict[str, Counter[Condition]]
    firing: Firing
    gravest: Sequence[AlarmRow]  # of the firing alarms at most one an asset, what nobody has seen and is gravest first
    silent: int  # lost or never heard, whether an alarm says so or not


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    device: str
    asset: str
    missing: int
    gone: int
    ranges: tuple[tuple[int, int], ...]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    counts: dict[str, int]
    per_s: dict[str, float]  # real seconds
    health: HealthView


class Desk:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.zone = ZoneInfo(platform.sites[0].timezone if platform.sites else "Africa/Casablanca")
        self._shared: OrderedDict[Hashable, tuple[float, asyncio.Future[Any]]] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="desk")
        self._store_threads = ThreadPoolExecutor(STORE_THREADS, thread_name_prefix="desk_store")
        self._markers: dict[str, Marker] = {}
        self._generation = 0
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=64)

    async def shared(
        self, key: Hashable, compute: Callable[[], T], age_s: float = 0.9, *, asks_store: bool = False
    ) -> T:
        """`compute()` in a worker thread; whoever asks for the same key within `age_s`, or while it
        is still being worked out, gets the same result. `asks_store`: it may have to wait for the store."""
        now_s = self.platform.clock.monotonic_s()
        known = self._shared.get(key)
        if known is not None and (not known[1].done() or (now_s - known[0] < age_s and not _failed(known[1]))):
            result: T = await asyncio.shield(known[1])
            return result
        threads = self._store_threads if asks_store else self._threads
        future = asyncio.get_running_loop().run_in_executor(threads, compute)
        future.add_done_callback(_failed)  # also when nobody waits any longer, or asyncio complains of it
        self._forget()
        self._shared[key] = (now_s, future)
        self._shared.move_to_end(key)
        return await asyncio.shield(future)

    async def run(self, work: Callable[[], T]) -> T:
        """`work()` in a worker thread, for the one who asks alone."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _forget(self) -> None:
        """Make room for one more: the oldest answers go, and no question that is still on its way."""
        if len(self._shared) >= SHARED_MAX:
            oldest = next((key for key, (_, future) in self._shared.items() if future.done()), None)
            self._shared.pop(oldest, None)

    def close(self) -> None:
        """Ask nothing more of what still waits for a thread: a stop takes no longer than the questions at hand."""
        for _, future in self._shared.values():
            future.cancel()

    async def city(self) -> City:
        return await self.shared("city", self._city)

    async def figures(self) -> Figures:
        return await self.shared("figures", self._figures)

    async def gaps(self) -> list[Gap]:
        """The devices with most readings missing or gone; looked for every ten seconds."""
        return await self.shared("gaps", self._gaps, 10.0)

    # -- worked out in a thread, one call of each at a time

    def _city(self) -> City:
        platform = self.platform
        now_ms = platform.clock.now_ms()
        firing = platform.state.firing()
        self._generation += 1
        by_kind: dict[str, Counter[Condition]] = {}
        seen = set()
        silent = 0
        for live in platform.live.assets():
            facts = live.facts
            word = condition(platform.kinds.get(facts.kind), live, now_ms, alarmed=facts.asset in firing.assets)
            by_kind.setdefault(facts.kind, Counter())[word] += 1
            silent += is_silent(live, now_ms)
            if facts.lat is not None and facts.lon is not None:
                seen.add(facts.asset)
                self._mark(live, word)
        for asset in self._markers.keys() - seen:
            del self._markers[asset]
        return City(
            generation=self._generation,
            registry_change=platform.live.registry_change,
            markers=list(self._markers.values()),
            by_kind=by_kind,
            firing=firing,
            gravest=self._gravest(),
            silent=silent,
        )

    def _mark(self, live: LiveDevice, word: Condition) -> None:
        facts = live.facts
        assert facts.lat is not None
        assert facts.lon is not None
        marker = self._markers.get(facts.asset)
        if marker is None:
            marker = Marker(facts.asset, "", facts.kind, 0.0, 0.0, word, self._generation)
            self._markers[facts.asset] = marker
        marker.name, marker.kind, marker.lat, marker.lon = facts.name, facts.kind, facts.lat, facts.lon
        if marker.condition is not word:
            marker.condition, marker.generation = word, self._generation

    def _gravest(self) -> list[AlarmRow]:
        _, rows = self.platform.state.alarms(open_only=True, gravest_first=True, limit=GRAVEST_MAX)
        worst: dict[str, AlarmRow] = {}
        for row in rows:
            worst.setdefault(row.alarm.asset, row)
        return list(worst.values())

    def _figures(self) -> Figures:
        counts = ledger_counts(self.platform)
        now_s = self.platform.clock.monotonic_s()
        self._samples.append((now_s, counts))
        while len(self._samples) > 2 and now_s - self._samples[0][0] > RATE_OVER_S:
            self._samples.popleft()
        then_s, then = self._samples[0]
        per_s = {
            name: (counts[name] - then.get(name, 0)) / (now_s - then_s) if now_s > then_s else 0.0 for name in counts
        }
        return Figures(counts=counts, per_s=per_s, health=read_health(self.platform))

    def _gaps(self) -> list[Gap]:
        gaps = []
        for live in self.platform.live.assets():
            gap = gap_of(live.facts.device, live.facts.asset, self.platform.ledger(live.facts.device))
            if gap.missing or gap.gone:
                gaps.append(gap)
        gaps.sort(key=lambda gap: (-gap.missing, -gap.gone, gap.device))
        return gaps[:GAPS_MAX]


def gap_of(device: str, asset: str, rows: Sequence[LedgerRow]) -> Gap:
    """How many readings of a device are missing and gone, and the first missing ranges."""
    holes: list[tuple[int, int]] = []
    gone = 0
    for row in rows:
        holes += missing(row.have, row.gone)
        gone += sum(end - start + 1 for start, end in row.gone)
    return Gap(
        device=device,
        asset=asset,
        missing=sum(end - start + 1 for start, end in holes),
        gone=gone,
        ranges=tuple(holes[:6]),
    )


def _failed(future: "asyncio.Future[Any]") -> bool:
    """Has it failed? Whoever looks has retrieved its exception."""
    return future.done() and (future.cancelled() or future.exception() is not None)
