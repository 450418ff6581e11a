"""Devices that speak and are not registered: counted, shown, told to hold what they have; welcomed when they are.

All of it is in memory: after a restart they are known again when they speak again.
"""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from contract.records import Status
from ingest.batch import Batch, Heard
from ingest.clocks import NO_CLOCK, fix_offset
from ingest.dating import newest_up_ms
from ingest.decode import TelemetryIn
from ingest.ledger import Stream
from ingest.order import take_status

DEVICES_MAX = 10_000  # beyond it the longest silent one is forgotten, and counted
STREAMS_MAX = 8  # of one device; it will name them again
BOOTS_MAX = 8  # without a clock, of one device; beyond it the one heard first is forgotten, and counted


class Boot(NamedTuple):
    """A boot without a clock, as it was heard: when a reading was measured, in ms since boot, and when that came."""

    up_ms: int
    heard_ms: int
    is_live: bool  # did the device run in it then?

    @property
    def began_ms(self) -> int:
        """At the latest."""
        return self.heard_ms - self.up_ms


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
    boots: dict[tuple[str, int], Boot] = {}  # (stream, boot) → what dates it, of those without a clock

    def note_boot(self, heard: Heard, now_ms: int) -> int:
        """Remember what came with the least delay of a boot without a clock: what waits for a technician cannot be
        dated when it comes at last. Returns how many boots had to be forgotten for it."""
        if heard.newest_up_ms is None:
            return 0
        key = heard.stream, heard.boot
        known = self.boots.get(key)
        if known is None:
            born = self.birth.boot if self.birth is not None and self.birth.stream == heard.stream else 0
            last = max((boot for stream, boot in self.boots if stream == heard.stream), default=0)
            self.boots[key] = Boot(heard.newest_up_ms, now_ms, heard.boot >= max(born, last))
        elif now_ms - heard.newest_up_ms < known.began_ms:
            self.boots[key] = Boot(heard.newest_up_ms, now_ms, known.is_live)
        if len(self.boots) <= BOOTS_MAX:
            return 0
        del self.boots[next(iter(self.boots))]
        return 1


class Waiting:
    """Who waits to be registered, and who is registered since and has not been answered. Any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: OrderedDict[str, Deferred] = OrderedDict()
        self._registered: list[Deferred] = []
        self.forgotten = 0
        self.boots_forgotten = 0

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
            self.boots_forgotten += waiting.note_boot(heard, now_ms)
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
    up_ms = newest_up_ms(telemetry) if telemetry.clock == NO_CLOCK and telemetry.readings else None
    batch.heard.append((device, Heard(telemetry.stream, readings, boot=telemetry.boot, newest_up_ms=up_ms)))


def welcome(batch: Batch, registered: Sequence[Deferred]) -> None:
    """Take over the births of devices registered since, and what dates their boots without a clock; answer them so that
    they send what they hold."""
    for waiting in registered:
        if waiting.birth is not None:
            stream = batch.stream(waiting.device, waiting.birth.stream)
            if take_status(stream, waiting.birth):
                batch.born(waiting.birth)
                batch.records.append(waiting.birth)
        # Of those never heard live the boots around them say when they were, so these come first.
        for (name, boot), heard in sorted(waiting.boots.items(), key=lambda item: (not item[1].is_live, item[0])):
            _take_boot(batch.stream(waiting.device, name), boot, heard)
        for name in waiting.streams:
            batch.kept[waiting.device, name] = False


def _take_boot(stream: Stream, boot: int, heard: Boot) -> None:
    fix_offset(stream, boot, heard.up_ms, heard.heard_ms, is_live=lambda: heard.is_live)
