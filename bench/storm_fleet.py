"""A fleet of lean devices in a process of its own; says in a line of JSON, twice a second, how it fares.

    python -m bench.storm_fleet --port 1883 --devices 10000 --backlog 130 --connect-s 30

Each device has a connection of its own, opened anew when it is lost. Told a line, the fleet measures nothing
more; the process ends when its standard input does.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any, cast

import uvloop

from bench.city import percentile
from bench.storm_device import LeanDevice, Tally
from contract.wire.mqtt import Session
from contract.wire.packets import ProtocolFault

IN_FLIGHT = 20
SWEEP_S = 0.25
BACKOFF_S = (0.5, 30.0)
OPENING_MAX = 500  # at one time: a fleet in one process is one client to the kernel
FILES = 1_000  # descriptors beside the connections


class Link(asyncio.Protocol):
    """One device's connection, opened anew while the fleet lives."""

    def __init__(self, device: LeanDevice, fleet: "Fleet") -> None:
        self.device, self._fleet = device, fleet
        self.session = Session(device.name, keepalive_s=60, username=device.name, in_flight_max=IN_FLIGHT)
        self.transport: asyncio.Transport | None = None
        self.failures = 0
        self.connects = 0

    def work(self, now_s: float) -> None:
        device = self.device
        if device.connected and device.due_s <= now_s:
            self.write(*device.take(now_s, IN_FLIGHT - self.session.in_flight))

    def write(self, *said: Any) -> None:
        if said and self.transport is not None:
            self.transport.write(b"".join(self.session.publish(*one)[1] for one in said))

    def keep_alive(self, now_s: float) -> None:
        try:
            ping = self.session.keepalive(int(now_s * 1000))
        except ProtocolFault:
            self._fail()
        else:
            if ping and self.transport is not None:
                self.transport.write(ping)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.session.will = self.device.will()
        self.transport.write(self.session.connect(int(time.monotonic() * 1000)))

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._fleet.lost(self)

    def data_received(self, data: bytes) -> None:
        now_s = time.monotonic()
        try:
            events = self.session.feed(data, int(now_s * 1000))
        except ProtocolFault:
            self._fail()
            return
        for event in events:
            if event[0] == "message":
                _, topic, payload, qos, _, packet_id, _ = event
                answer = self.device.received(topic, payload, now_s, self._fleet.now_ms())
                if qos and self.transport is not None:
                    self.transport.write(self.session.acknowledge(packet_id))
                if answer is not None and self.session.in_flight < IN_FLIGHT:
                    self.write(answer)
            elif event[0] == "connected" and self.transport is not None:
                self.transport.write(self.session.subscribe(self.device.subscriptions()) + self.session.resend())
            elif event[0] == "subscribed":
                self._up(now_s)
            elif event[0] == "refused":
                self._fleet.refused += 1
                self._fail()
        self.work(now_s)

    def _up(self, now_s: float) -> None:
        self.failures = 0
        self.connects += 1
        self.device.reconnected(now_s)
        self._fleet.came_up(now_s)
        if self.session.in_flight < IN_FLIGHT:
            self.write(self.device.birth(self._fleet.now_ms()))

    def _fail(self) -> None:
        if self.transport is not None:
            self.transport.abort()


class Fleet:
    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chance = Random(options.seed)
        self.tally = Tally()
        self.refused = self.failed = self.lost_links = 0
        self.connected = 0
        self.first_up_s = self.last_up_s = 0.0
        self._opening = asyncio.Semaphore(OPENING_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        device: Callable[[int], LeanDevice] = lambda number: LeanDevice(  # noqa: E731
            f"storm-{options.first + number:05d}",
            self.tally,
            Random(self._chance.getrandbits(64)),
            now_ms=self.now_ms(),
            backlog=options.backlog,
            spacing_ms=options.spacing_s * 1000,
        )
        self.links = [Link(device(number), self) for number in range(options.devices)]

    def now_ms(self) -> int:
        """What the devices hold to be the time."""
        return int(time.time() * 1000 + self._options.clock_ahead_ms)

    def came_up(self, now_s: float) -> None:
        self.connected += 1
        self.first_up_s = self.first_up_s or now_s
        self.last_up_s = now_s

    def lost(self, link: Link) -> None:
        if link.device.connected:
            link.device.connected = False
            self.connected -= 1
        self.lost_links += 1
        self._open_later(link)

    def _open_later(self, link: Link, after_s: float | None = None) -> None:
        if after_s is None:
            after_s = min(BACKOFF_S[0] * 2.0**link.failures, BACKOFF_S[1]) * self._chance.uniform(0.5, 1.5)
            link.failures += 1
        task = asyncio.ensure_future(self._open(link, after_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, link: Link, after_s: float) -> None:
        await asyncio.sleep(after_s)
        async with self._opening:
            try:
                await asyncio.get_running_loop().create_connection(lambda: link, "127.0.0.1", self._options.port)
            except OSError:
                self.failed += 1
                self._open_later(link)

    async def run(self) -> None:
        options = self._options
        for number, link in enumerate(self.links):
            self._open_later(link, options.connect_s * number / len(self.links))
        orders = await _input()
        hushed = asyncio.ensure_future(orders.readline())
        ended = asyncio.ensure_future(_end(hushed, orders))
        live_s = [time.monotonic() + self._chance.random() * options.live_s for _ in self.links]
        rounds = 0
        while not ended.done():
            now_s = time.monotonic()
            for number, link in enumerate(self.links):
                if live_s[number] <= now_s and not hushed.done():
                    live_s[number] += options.live_s
                    link.device.measure(self.now_ms())
                link.work(now_s)
                if rounds % 40 == number % 40:
                    link.keep_alive(now_s)
            rounds += 1
            if rounds % 2 == 0:
                print(json.dumps(self.figures()), flush=True)
            await asyncio.sleep(SWEEP_S)

    def figures(self) -> dict[str, Any]:
        tally, live_s = self.tally, self.tally.live_s
        return {
            "at_s": time.monotonic(),
            "devices": len(self.links),
            "connected": self.connected,
            "connecting_s": self.last_up_s - self.first_up_s,
            "refused": self.refused,
            "failed": self.failed,
            "lost": self.lost_links,
            "measured": tally.measured,
            "kept": tally.kept,
            "backlog_kept": tally.backlog_kept,
            "sent": tally.sent,
            "resent": tally.resent,
            "messages": tally.messages,
            "births": tally.births,
            "leases": tally.leases,
            "bytes": tally.bytes_sent,
            "live": len(live_s),
            "live_p50_s": percentile(live_s, 0.5) if live_s else 0.0,
            "live_p99_s": percentile(live_s, 0.99) if live_s else 0.0,
            "live_max_s": max(live_s, default=0.0),
        }


async def _input() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _end(hushed: "asyncio.Future[bytes]", orders: asyncio.StreamReader) -> None:
    await hushed
    await orders.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    for name, default in (("first", 0), ("backlog", 0), ("spacing-s", 664), ("clock-ahead-ms", 0), ("seed", 1)):
        parser.add_argument(f"--{name}", type=lambda given: int(float(given)), default=default)
    for name, default_s in (("connect-s", 0.0), ("live-s", 900.0)):
        parser.add_argument(f"--{name}", type=float, default=default_s)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(options.devices + FILES, hard), hard))

    async def run() -> None:
        await Fleet(options).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


if __name__ == "__main__":
    main()
