"""Devices that speak and are not registered: counted, shown, told to hold what they have; welcomed when they are."""

import threading
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from contract.records import Status
from ingest.batch import Batch, Heard
from ingest.decode import TelemetryIn
from ingest.order import take_status

DEVICES_MAX = 10_000  # beyond it the longest silent one is forgotten, and counted
STREAMS_MAX = 8  # of one device; it will name them again


class Deferred(msgspec.Struct):
    """One device that waits. Times are city time, Unix ms."""

    device: str
    first_ms: int
    last_ms: int
    kind: str = ""  # from its birth; empty when none was heard
    model: str = ""
    readings: int = 0  # turned away so far, repeats included
    birth: Status | None = None
    streams: tuple[str, ...] = ()


class Waiting:
    """Who waits to be registered, and who is registered since and has not been answered. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: OrderedDict[str, Deferred] = OrderedDict()
        self._registered: list[Deferred] = []
        self.forgotten = 0

    def heard(self, device: str, now_ms: int, heard: Heard) -> None:
        with self._lock:
            waiting = self._devices.pop(device, None) or Deferred(device, now_ms, now_ms)
            self._devices[device] = waiting  # the longest silent one comes first
            waiting.last_ms = now_ms
            waiting.readings += heard.readings
            if heard.stream not in waiting.streams:
                waiting.streams = (*waiting.streams, heard.stream)[-STREAMS_MAX:]
            if heard.birth is not None:
                waiting.birth, waiting.kind, waiting.model = heard.birth, heard.birth.kind, heard.birth.model
            while len(self._devices) > DEVICES_MAX:
                self._devices.popitem(last=False)
                self.forgotten += 1

    def registered(self, device: str) -> None:
        """It is registered now: if it waited, it is to be welcomed."""
        with self._lock:
            waiting = self._devices.pop(device, None)
            if waiting is not None:
                self._registered.append(waiting)

    @property
    def has_registered(self) -> bool:
        """Is anybody to be welcomed?"""
        return bool(self._registered)

    def take_registered(self) -> list[Deferred]:
        """Those to be welcomed with this batch."""
        with self._lock:
            taken, self._registered = self._registered, []
        return taken

    def put_back(self, taken: Sequence[Deferred]) -> None:
        """The batch could not be kept: they are to be welcomed with the next."""
        with self._lock:
            self._registered[:0] = taken

    def devices(self) -> list[Deferred]:
        """Those heard last come first."""
        with self._lock:
            return [msgspec.structs.replace(waiting) for waiting in reversed(self._devices.values())]


def defer(batch: Batch, device: str, telemetry: TelemetryIn) -> None:
    """Nobody knows the device yet: it holds its readings, and is told so."""
    readings = len(telemetry.readings) + len(telemetry.faulty)
    batch.count("received", readings)
    batch.count("deferred", readings)
    batch.kept[device, telemetry.stream] = True
    batch.heard.append((device, Heard(telemetry.stream, readings)))


def welcome(batch: Batch, registered: Sequence[Deferred]) -> None:
    """Take over the births of devices registered since, and answer them so that they send what they hold."""
    for waiting in registered:
        if waiting.birth is not None:
            stream = batch.stream(waiting.device, waiting.birth.stream)
            if take_status(stream, waiting.birth):
                batch.born(waiting.birth)
                batch.records.append(waiting.birth)
        for name in waiting.streams:
            batch.kept[waiting.device, name] = False
