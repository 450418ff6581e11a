"""What every benchmark needs: a platform in its own process, its devices, and a fast publisher."""

import random
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path
from typing import Any

import psutil

from adapters.platform_client import PlatformFault
from contract.wire import messages, topics
from contract.wire.mqtt import Session
from nabd.process import PlatformProcess, free_port
from stand.program import wait_for

START_S_MAX = 300.0
IN_FLIGHT = 90  # the embedded broker takes 100 unacknowledged messages a connection


@contextmanager
def running(folder: Path, *options: str, well: bool = True) -> Iterator[PlatformProcess]:
    """A platform that is up and well, or at least answers; ended afterwards."""
    with (folder / "platform.log").open("wb") as output:
        platform = PlatformProcess(folder / "data", free_port(), free_port(), *options, output=output)
        try:
            if well:
                platform.wait_until_up()
            else:
                wait_for(lambda: _answers(platform), "the platform answers; see platform.log", START_S_MAX)
            yield platform
        finally:
            platform.stop()


def _answers(platform: PlatformProcess) -> bool:
    if not platform.alive():
        raise SystemExit("the platform ended while starting")
    try:
        return bool(platform.client.health()["connected"])
    except PlatformFault:
        return False


def register(platform: PlatformProcess, count: int) -> list[str]:
    names = [f"bench-{number:05d}" for number in range(count)]
    for name in names:
        platform.client.add_device({"id": name, "kind": "street_light", "commune": "berkane"})
    return names


def cpu_s(platform: PlatformProcess) -> tuple[float, float]:
    """CPU seconds used so far by (the platform's own process, its broker's)."""
    own = psutil.Process(platform.pid)
    times = own.cpu_times()
    children = [child.cpu_times() for child in own.children(recursive=True)]
    return times.user + times.system, sum(child.user + child.system for child in children)


def telemetry(stream: str, first: int, readings: int, at_ms: int) -> bytes:
    """One message as a lamp sends it: seqs from `first` on, a millisecond apart."""
    rows = [
        {
            "seq": first + n,
            "at": at_ms + n,
            "v": {"power_w": 61.2, "level": 0.8, "voltage_v": 229.5, "energy_wh": 1000 + (first + n) // 1000},
        }
        for n in range(readings)
    ]
    return messages.telemetry(stream, 1, "synced", first, rows)


class FastPublisher:
    """QoS 1 over a plain socket, many messages in flight; counts what the broker acknowledged."""

    def __init__(self, port: int, name: str) -> None:
        self._session = Session(name, clean=True, in_flight_max=IN_FLIGHT)
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(self._session.connect(self._now_ms()))
        self.acknowledged = 0
        self.heard: deque[tuple[float, str, bytes]] = deque()
        self._wait(lambda event: event[0] == "connected")

    def subscribe(self, topic_filter: str) -> None:
        self._socket.sendall(self._session.subscribe([(topic_filter, 0)]))
        self._wait(lambda event: event[0] == "subscribed")

    def send(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Publish all and wait for every acknowledgement."""
        out = bytearray()
        for device, payload in items:
            while self._session.in_flight >= IN_FLIGHT:
                self._flush(out)
                self._receive()
            out += self._session.publish(topics.topic(device, topics.TELEMETRY), payload, 1)[1]
            if len(out) > 16_384:
                self._flush(out)
        self._flush(out)
        while self._session.in_flight:
            self._receive()

    def listen(self, seconds: float) -> None:
        """Take what arrives for so long."""
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0:
            self._socket.settimeout(max(left_s, 0.001))
            try:
                self._receive()
            except TimeoutError:
                break
        self._socket.settimeout(None)

    def close(self) -> None:
        self._socket.close()

    def _flush(self, out: bytearray) -> None:
        if out:
            self._socket.sendall(out)
            out.clear()

    def _receive(self) -> list[Any]:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the broker closed the connection")
        events = self._session.feed(data, self._now_ms())
        arrived_s = time.monotonic()
        for event in events:
            if event[0] == "acked":
                self.acknowledged += 1
            elif event[0] == "message":
                self.heard.append((arrived_s, event[1], event[2]))
        return list(events)

    def _wait(self, wanted: Any) -> None:
        while not any(wanted(event) for event in self._receive()):
            pass

    @staticmethod
    def _now_ms() -> int:
        return int(time.monotonic() * 1000)


def wait_until_decided(platform: PlatformProcess) -> None:
    wait_for(
        lambda: platform.client.health()["consumers"]["decider"]["lag"] == 0,
        "the rules have read the log; see platform.log",
        START_S_MAX,
    )


def steady_load(publisher: FastPublisher, devices: list[str], rate: int, ending: threading.Event) -> None:
    """`rate` messages a second of one reading each, from every device in turn in a stream of its own, until `ending`;
    run it in a thread."""
    stream = f"{random.getrandbits(32):08x}"  # another one each time: what was sent before is not said again
    number, step = 0, rate // 20
    due_s = time.monotonic()
    while not ending.is_set():
        at_ms = int(time.time() * 1000)
        items = [
            (devices[n % len(devices)], telemetry(stream, 1 + n // len(devices), 1, at_ms))
            for n in range(number, number + step)
        ]
        number += step
        publisher.send(items)
        due_s = max(due_s + 0.05, time.monotonic() - 1.0)  # a broker that was slow for long is not made up for
        ending.wait(max(0.0, due_s - time.monotonic()))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share (0 to 1) of them lies; of none it is no number."""
    if not values:
        return nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
