"""A fleet on a real broker, seen by an independent platform (paho-mqtt): nothing is lost, nothing is left behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from adapters.mqtt.broker import EmbeddedBroker
from contract.wire import messages
from simulators.fleet import Fleet, FleetOptions
from tests.simulators.city import berkane, local_ms
from tests.simulators.platform import Platform, platform_on
from tests.waiting import WITHIN_S, until

SPEED = 600.0
LIGHTS, BINS, VALVES = 18, 6, 5
DEVICES = LIGHTS + BINS + VALVES + 1
START_MS = local_ms(2026, 11, 23, 17)
OPTIONS = FleetOptions(backoff_s=(0.05, 0.5), without_ntp=0.2)


class FastClock:
    """City time from START_MS at SPEED."""

    speed = SPEED

    def __init__(self) -> None:
        self._origin_s = time.monotonic()

    def now_ms(self) -> int:
        return round(START_MS + (time.monotonic() - self._origin_s) * 1000 * self.speed)

    def monotonic_s(self) -> float:
        return time.monotonic()


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(port=0)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@asynccontextmanager
async def running(port: int, clock: FastClock, options: FleetOptions = OPTIONS) -> AsyncIterator[Fleet]:
    fleet = Fleet(berkane(), 7, LIGHTS, BINS, VALVES, clock, "127.0.0.1", port, options=options)
    task = asyncio.create_task(fleet.run())
    try:
        yield fleet
    finally:
        await fleet.stop()
        await task


def on_a_broker(broker: EmbeddedBroker, body: Callable[[Fleet, Platform], Coroutine[Any, Any, None]]) -> None:
    """Run `body` beside a fleet and a platform."""

    async def main() -> None:
        clock = FastClock()
        with platform_on(broker.port, clock.now_ms) as platform:
            async with running(broker.port, clock) as fleet:
                await body(fleet, platform)

    asyncio.run(main())


def test_every_device_is_born_reads_in_order_and_every_reading_is_kept_once(broker: EmbeddedBroker) -> None:
    async def body(fleet: Fleet, platform: Platform) -> None:
        await until(lambda: len(platform.status) == DEVICES and platform.count() > 5 * DEVICES, "readings of all")
        platform_births = {name: documents[0] for name, documents in platform.status.items()}
        assert all(
            birth["online"] and birth["boot"] == fleet.world.start_ms // 1000 for birth in platform_births.values()
        )
        assert {asset.asset for asset in fleet.world.assets} == set(platform_births)
        await until(lambda: fleet.counters()["outbox"] <= 3, "the outboxes are empty but for what is under way")
        counters = fleet.counters()
        assert (counters["connected"], counters["reconnects"], counters["shed"]) == (DEVICES, 0, 0)
        assert platform.conflicts == 0
        assert not platform.missing()
        newest: dict[str, int] = {}
        for device, seqs in platform.telemetry:
            assert seqs == sorted(seqs)
            assert seqs[-1] >= newest.get(device, 0), f"{device}: {seqs} after {newest[device]}"
            newest[device] = seqs[-1]

    on_a_broker(broker, body)


def test_readings_are_dated_in_city_time_by_devices_with_and_without_ntp(broker: EmbeddedBroker) -> None:
    async def body(fleet: Fleet, platform: Platform) -> None:
        without = [asset.asset for asset in fleet.world.assets]
        await until(lambda: fleet.counters()["booted"] == DEVICES, "boots")
        without = [name for name in without if (device := fleet.device(name)) is not None and not device.ntp]
        assert without
        await until(
            lambda: all("at" in list(platform.readings.get(name, {0: {}}).values())[-1] for name in without),
            "the time from the platform",
        )
        with platform.lock:
            dated = [r["at"] for seqs in platform.readings.values() for r in seqs.values() if "at" in r]
        assert all(START_MS - 60_000 < at < START_MS + WITHIN_S * 1000 * SPEED for at in dated)

    on_a_broker(broker, body)


def test_cut_connections_come_back_with_their_sessions_and_lose_nothing(broker: EmbeddedBroker) -> None:
    async def body(fleet: Fleet, platform: Platform) -> None:
        await until(lambda: fleet.counters()["connected"] == DEVICES, "connections")
        lamp = "lamp-0001"
        for _ in range(3):
            for asset in fleet.world.assets:
                fleet.cut(asset.asset)
            await until(lambda: fleet.counters()["connected"] < DEVICES, "the cut")
            await until(lambda: fleet.counters()["connected"] == DEVICES, "connections again")
        assert fleet.counters()["reconnects"] >= 3 * DEVICES
        # A lease sent while the lamp is away waits in its session.
        fleet.cut(lamp)
        now = START_MS + 8 * 3_600_000
        wish = {"level": {"to": 0.25, "until": now + 20 * 3_600_000, "reason": "operator"}}
        platform.publish(lamp, "lease", messages.lease(now, now - 8 * 3_600_000, wish))
        await until(lambda: any(r["version"] == now for r in platform.reported.get(lamp, [])), "the lease's answer")
        device = fleet.device(lamp)
        assert device is not None
        assert device.outputs["level"] == 0.25
        seen = platform.count()
        await until(lambda: platform.count() > seen + 3 * DEVICES, "more readings")
        await until(lambda: not platform.missing() and fleet.counters()["outbox"] <= 3, "no hole is left")
        assert fleet.counters()["shed"] == 0
        assert platform.conflicts == 0

    on_a_broker(broker, body)


def test_what_a_silent_platform_did_not_keep_comes_again_after_the_broker_died(broker: EmbeddedBroker) -> None:
    async def body(fleet: Fleet, platform: Platform) -> None:
        platform.keeping = False
        await until(lambda: fleet.counters()["measured"] > 4 * DEVICES, "readings")
        with platform.lock:
            platform.readings.clear()  # the platform forgets what it never promised to keep
        await asyncio.to_thread(broker.stop)
        await until(lambda: fleet.counters()["connected"] == 0, "the broker's death is noticed")
        measured = fleet.counters()["measured"]
        await until(lambda: fleet.counters()["measured"] > measured + DEVICES, "readings without a broker")
        with platform.lock:
            platform.keeping = True
        await asyncio.to_thread(broker.start)
        await until(lambda: fleet.counters()["connected"] == DEVICES, "connections to the new broker")
        # What was said before the platform was back went nowhere and would come again after a minute; a new
        # connection brings it within seconds.
        await until(platform.subscribed.is_set, "the platform on the new broker")
        for asset in fleet.world.assets:
            fleet.cut(asset.asset)
        await until(lambda: len(platform.readings) == DEVICES and not platform.missing(), "every reading since boot")
        await until(lambda: fleet.counters()["outbox"] <= 3, "all of them kept")
        assert fleet.counters()["shed"] == 0
        assert platform.conflicts == 0

    broker._wanted_port = broker.port  # the same address after its death
    on_a_broker(broker, body)


def test_stopping_leaves_no_task_and_no_socket_and_the_broker_says_who_is_gone(broker: EmbeddedBroker) -> None:
    async def main() -> None:
        clock = FastClock()
        with platform_on(broker.port, clock.now_ms) as platform:
            async with running(broker.port, clock) as fleet:
                await until(lambda: len(platform.status) == DEVICES, "births")
                began = time.monotonic()
            assert time.monotonic() - began < 3.0
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert fleet.counters()["connected"] == 0
            await until(lambda: all(not said[-1]["online"] for said in platform.status.values()), "the wills")
            sockets = [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == broker.port]
            assert len(sockets) == 1  # the platform's own

    asyncio.run(main())


def test_a_fleet_can_be_stopped_while_it_is_still_connecting(broker: EmbeddedBroker) -> None:
    async def main() -> None:
        slow = FleetOptions(connect_per_s=10.0)
        async with running(broker.port, FastClock(), slow) as fleet:
            await until(lambda: fleet.counters()["connected"] > 2, "the first connections")
        assert fleet.counters()["booted"] < DEVICES
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_fleet_stopped_before_its_first_turn_ends_at_once() -> None:
    async def main() -> None:
        fleet = Fleet(berkane(), 7, 2, 0, 0, FastClock(), "127.0.0.1", 1)
        await fleet.stop()
        await asyncio.wait_for(fleet.run(), 1.0)
        assert fleet.counters()["booted"] == 0
        with pytest.raises(RuntimeError, match="make another one"):
            await fleet.run()

    asyncio.run(main())


def test_a_broker_that_hangs_up_on_everybody_is_not_stormed() -> None:
    async def main() -> None:
        hung_up = 0

        def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal hung_up
            hung_up += 1
            writer.transport.abort()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = FleetOptions(backoff_s=(0.2, 0.4))
        async with server, running(port, FastClock(), options) as fleet:
            await until(lambda: hung_up >= 2 * DEVICES, "more than one try each")
            began, before = time.monotonic(), hung_up
            await asyncio.sleep(1.0)
            # With waits of 0.1 to 0.6 s nobody tries more than ten times a second.
            assert hung_up - before <= 10 * DEVICES * (time.monotonic() - began)
            assert fleet.counters()["connected"] == 0
            assert fleet.counters()["measured"] >= DEVICES

    asyncio.run(main())


def test_two_runs_of_one_seed_are_one_city_with_new_streams() -> None:
    first = Fleet(berkane(), 7, 5, 2, 2, FastClock(), "127.0.0.1", 1)
    again = Fleet(berkane(), 7, 5, 2, 2, FastClock(), "127.0.0.1", 1)
    assert first.registrations() == again.registrations()
    assert len(first.registrations()) == 10
    lamp = first.registrations()[0]
    assert (lamp.device, lamp.asset, lamp.kind, lamp.commune) == ("lamp-0001", "lamp-0001", "street_light", "berkane")
    assert lamp.settings["circuit"]
    assert lamp.lat is not None
    assert 34.8 < lamp.lat < 35.0
