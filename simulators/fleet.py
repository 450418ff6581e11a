"""All devices of a simulated city on a broker, in one event loop.

Theory of operation. Every device has a slot: its controller (device.py) and its own MQTT connection
(connection.py). One heap orders what is due next: booting a device, opening a connection, letting a controller work.
`run` takes what is due in small turns, sleeps until the next moment, and is woken early when a message arrives; so
ten thousand devices cost what their messages cost. Connections are opened at a bounded rate, a few at a time
(opening.py).

Two times: everything about the network (waits, rates, keep-alive) is real monotonic time; a device's `up_ms` and the
physics run in city time. A fleet in the same process as its platform dies with it, so its start is a power cut: new
streams, and boot numbers that grow with city time.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from itertools import count
from random import Random
from ssl import SSLContext
from zoneinfo import ZoneInfo

from contract.ports import Clock
from contract.records import Registered
from contract.site import Site
from firmware.core.kinds import KINDS
from simulators.chance import share
from simulators.connection import Connection
from simulators.device import Device
from simulators.faults import FaultOptions, FaultPeriod
from simulators.opening import Opener
from simulators.world import Asset, World

TURN_MAX = 200  # entries handled before others may use the loop
BATCH_S = 0.01  # what arrives within this time is handled in one turn
CHECK_S = 10.0  # a slot is looked at at least this often: keep-alive
CLOSE_S_MAX = 5.0  # real time for the sockets to go at the end
SPREAD_S_MAX = 10.0  # real time over which the devices boot,
BOOTS_PER_S = 25.0  # and a small fleet is there sooner

NEVER_S = float("inf")
_BOOT, _OPEN, _WORK = range(3)
logger = logging.getLogger("fleet")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What of a fleet may be chosen; the defaults make a lively city."""

    faults: FaultOptions = field(default_factory=FaultOptions)
    without_ntp: float = 0.03
    """Share of the devices that have no NTP and ask the platform for the time."""
    connect_per_s: float = 500.0
    """Connections opened per real second, at most."""
    keepalive_s: int = 60
    backoff_s: tuple[float, float] = (0.5, 30.0)
    """Real seconds before a lost connection is opened again: the first wait and the longest."""
    passwords: Mapping[str, str] = field(default_factory=dict)
    """Device → what it gives beside its user name, which is its id; nothing for one that is not here."""
    tls: SSLContext | None = None


class _Slot:
    """One device of the fleet."""

    __slots__ = ("asset", "boot_s", "connection", "device", "up", "work_s")

    def __init__(self, asset: Asset) -> None:
        self.asset = asset
        self.device: Device | None = None  # from its boot on
        self.connection: Connection | None = None
        self.boot_s = 0.0
        self.up = False  # counted as connected
        self.work_s = NEVER_S  # its appointment; other entries in the heap are stale


class Fleet:
    """A simulated city's devices. `run` it as a task; `stop` leaves no task and no socket."""

    def __init__(
        self,
        site: Site,
        seed: int,
        lights: int,
        bins: int,
        valves: int,
        clock: Clock,
        host: str,
        port: int,
        *,
        stations: int = 1,
        options: FleetOptions | None = None,
    ) -> None:
        """The city begins at the clock's present city time. Raises ValueError as World does."""
        self._clock = clock
        self._host = host
        self._port = port
        self._options = options or FleetOptions()
        self.world = World(
            site,
            seed,
            lights=lights,
            bins=bins,
            valves=valves,
            stations=stations,
            start_ms=clock.now_ms(),
            faults=self._options.faults,
        )
        self._boot = self.world.start_ms // 1000  # grows from run to run, without a place to remember it
        self._slots = {asset.asset: _Slot(asset) for asset in self.world.assets}
        self._heap: list[tuple[float, int, int, _Slot]] = []
        self._serial = count()
        self._opener = Opener(clock, host, port, self._options.connect_per_s, self._options.tls, self._opened)
        self._wake = asyncio.Event()
        self._alarm: asyncio.Handle | None = None
        self._alarm_s = 0.0
        self._running = False
        self._stopping = False
        self._ended = asyncio.Event()
        self._up_count = 0
        self._all_up = False

    # ---- faces

    def registrations(self) -> list[Registered]:
        """What a technician would enter for every device of the fleet."""
        return [
            Registered(
                device=asset.asset,
                kind=asset.kind,
                commune=self.world.site.commune,
                asset=asset.asset,
                zone=asset.place.zone,
                lat=asset.place.latitude,
                lon=asset.place.longitude,
                name=asset.place.name,
                settings=asset.settings,
                by="simulator",
            )
            for asset in self.world.assets
        ]

    def truth(self, from_ms: int, until_ms: int) -> Sequence[FaultPeriod]:
        """The faults of the city in [from_ms, until_ms), city time."""
        return self.world.truth(from_ms, until_ms)

    def counters(self) -> Mapping[str, int]:
        """Figures of now and since the start.

        devices, booted, connected, reconnects (connections after a device's first), connection_faults, failed_opens,
        measured (readings made), published (messages), outbox (readings not yet kept), shed, refused.
        """
        booted = [slot.device for slot in self._slots.values() if slot.device is not None]
        connections = [slot.connection for slot in self._slots.values() if slot.connection is not None]
        return {
            "devices": len(self._slots),
            "booted": len(booted),
            "connected": self._up_count,
            "reconnects": sum(max(connection.connects - 1, 0) for connection in connections),
            "connection_faults": sum(connection.faults for connection in connections),
            "failed_opens": self._opener.failed,
            "measured": sum(device.measured for device in booted),
            "published": sum(device.published for device in booted),
            "outbox": sum(device.agent.outbox_count for device in booted),
            "shed": sum(device.agent.shed_count for device in booted),
            "refused": sum(device.agent.refused_count for device in booted),
        }

    def device(self, device: str) -> Device | None:
        """A device's controller; None before its boot. Raises KeyError for an unknown id."""
        return self._slots[device].device

    def cut(self, device: str) -> None:
        """Break a device's connection on purpose, as a bad network does; it comes back by itself."""
        connection = self._slots[device].connection
        if connection is not None:
            connection.cut()

    async def run(self) -> None:
        """Boot all devices and keep them going until `stop` (or cancellation). A fleet runs once."""
        if self._running:
            raise RuntimeError("this fleet has run already; make another one")
        self._running = True
        try:
            self._plan_boots()
            while not self._stopping:
                self._arm(self._turn())
                await self._wake.wait()
                self._wake.clear()
                self._opener.check()
        finally:
            try:
                await self._close()
            finally:
                self._ended.set()

    async def stop(self) -> None:
        """End `run` and wait for it. The devices vanish as in a power cut: the broker publishes their wills."""
        self._stopping = True
        self._wake.set()
        if self._running:
            await self._ended.wait()

    # ---- the turn

    def _plan_boots(self) -> None:
        """Spread over seconds, within a period, at most as fast as connections may be opened, in an order of chance."""
        now_s = self._clock.monotonic_s()
        slots = sorted(self._slots.values(), key=lambda slot: share(self.world.seed, "boot order", slot.asset.asset))
        period_s = min(kind["period_s"] for kind in KINDS.values()) / self._clock.speed
        spread_s = min(SPREAD_S_MAX, period_s, len(slots) / BOOTS_PER_S)
        spread_s = max(spread_s, len(slots) / self._options.connect_per_s)
        for index, slot in enumerate(slots):
            self._push(now_s + spread_s * index / len(slots), _BOOT, slot)

    def _turn(self) -> float:
        """Do what is due, up to TURN_MAX entries; return real seconds until there is more."""
        heap = self._heap
        now_s = self._clock.monotonic_s()
        for _ in range(TURN_MAX):
            if not heap or heap[0][0] > now_s:
                break
            due_s, _, what, slot = heappop(heap)
            if what == _WORK:
                if due_s == slot.work_s:
                    slot.work_s = NEVER_S
                    self._work(slot, now_s)
            elif what == _OPEN:
                assert slot.connection is not None
                self._opener.ask(slot.connection)
            else:
                self._boot_device(slot, now_s)
        wait_s = self._opener.open_some(now_s)
        return min(wait_s, max(heap[0][0] - now_s, 0.0) if heap else CHECK_S)

    def _work(self, slot: _Slot, now_s: float) -> None:
        device, connection = slot.device, slot.connection
        assert device is not None
        assert connection is not None
        if connection.open:
            connection.keepalive()
        up_ms = self._up_ms(slot, now_s)
        connection.publish(device.work(up_ms, self._clock.now_ms(), connection.room))
        wait_s = min(device.next_ms(up_ms) / (1000.0 * self._clock.speed), CHECK_S)
        self._due(slot, now_s + max(wait_s, BATCH_S))

    def _boot_device(self, slot: _Slot, now_s: float) -> None:
        asset, options, seed = slot.asset, self._options, self.world.seed
        city_ms = self._clock.now_ms()
        offset = datetime.fromtimestamp(city_ms / 1000.0, ZoneInfo(self.world.site.timezone)).utcoffset()
        stream = int(share(seed, "stream", asset.asset, self.world.start_ms) * 2.0**32)
        slot.boot_s = now_s
        slot.device = device = Device(
            asset,
            self.world.thing(asset, city_ms),
            stream=f"{stream:08x}",
            boot=self._boot,
            ntp=share(seed, "ntp", asset.asset) >= options.without_ntp,
            utc_offset_min=round(offset.total_seconds() / 60) if offset is not None else 0,
            link_scale=max(round(self._clock.speed), 1),
            city_ms=city_ms,
        )
        slot.connection = Connection(
            asset.asset,
            device.agent.subscriptions(),
            will=device.agent.will,
            on_up=lambda: self._up(slot),
            on_lost=lambda: self._lost(slot),
            on_message=lambda topic, payload: self._received(slot, topic, payload),
            now_ms=lambda: int(self._clock.monotonic_s() * 1000),
            chance=Random(f"{seed}/{asset.asset}"),
            password=options.passwords.get(asset.asset),
            keepalive_s=options.keepalive_s,
            backoff_s=options.backoff_s,
        )
        self._opener.ask(slot.connection)
        self._due(slot, now_s)

    # ---- connections

    def _opened(self, connection: Connection) -> None:
        """An attempt is over: there is room for another, and one that failed is tried again."""
        if not connection.open:
            self._open_later(self._slots[connection.session.client_id])
        self._arm(BATCH_S)

    def _open_later(self, slot: _Slot) -> None:
        connection = slot.connection
        assert connection is not None
        if not self._stopping and not connection.planned:
            connection.planned = True
            self._push(self._clock.monotonic_s() + connection.wait_s(), _OPEN, slot)
            self._arm(BATCH_S)

    def _up(self, slot: _Slot) -> None:
        now_s = self._clock.monotonic_s()
        assert slot.device is not None
        slot.up = True
        self._up_count += 1
        slot.device.agent.connected(self._up_ms(slot, now_s))
        self._due(slot, now_s)
        self._arm(BATCH_S)
        self._note()

    def _lost(self, slot: _Slot) -> None:
        assert slot.device is not None
        if slot.up:
            slot.up = False
            self._up_count -= 1
        slot.device.agent.disconnected(self._up_ms(slot, self._clock.monotonic_s()))
        self._open_later(slot)
        self._note()

    def _received(self, slot: _Slot, topic: str, payload: bytes) -> None:
        now_s = self._clock.monotonic_s()
        assert slot.device is not None
        slot.device.agent.received(self._up_ms(slot, now_s), topic, payload)
        self._due(slot, now_s)
        self._arm(BATCH_S)

    async def _close(self) -> None:
        """Cut all connections, end all tasks."""
        self._stopping = True
        if self._alarm is not None:
            self._alarm.cancel()
        await self._opener.close()
        connections = [slot.connection for slot in self._slots.values() if slot.connection is not None]
        for connection in connections:
            connection.cut()
        deadline_s = self._clock.monotonic_s() + CLOSE_S_MAX
        while any(connection.open for connection in connections):
            if self._clock.monotonic_s() > deadline_s:
                left = sum(connection.open for connection in connections)
                logger.warning("event=fleet_stop sockets_left=%d after_s=%.0f", left, CLOSE_S_MAX)
                break
            await asyncio.sleep(0.01)

    # ---- details

    def _note(self) -> None:
        """One line when the whole fleet has come up, and one when it no longer is."""
        up = self._up_count
        if not self._all_up and up == len(self._slots):
            self._all_up = True
            logger.info("event=fleet_up devices=%d", up)
        elif self._all_up and up == 0 and not self._stopping:
            self._all_up = False
            logger.warning("event=fleet_down devices=%d broker=%s:%d", len(self._slots), self._host, self._port)

    def _up_ms(self, slot: _Slot, now_s: float) -> int:
        """The device's time since boot, in city scale."""
        return int((now_s - slot.boot_s) * 1000.0 * self._clock.speed)

    def _due(self, slot: _Slot, at_s: float) -> None:
        """Let the slot work at `at_s`, or earlier when it has an earlier appointment."""
        if at_s < slot.work_s:
            slot.work_s = at_s
            self._push(at_s, _WORK, slot)

    def _push(self, at_s: float, what: int, slot: _Slot) -> None:
        heappush(self._heap, (at_s, next(self._serial), what, slot))

    def _arm(self, wait_s: float) -> None:
        """Wake `run` within `wait_s`, or earlier if that was planned."""
        now_s = self._clock.monotonic_s()
        if now_s < self._alarm_s <= now_s + wait_s:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_s = now_s + wait_s
        self._alarm = asyncio.get_running_loop().call_later(wait_s, self._ring)

    def _ring(self) -> None:
        """The alarm is over, be it a hair early: the next turn sets a new one."""
        self._alarm_s = 0.0
        self._wake.set()
