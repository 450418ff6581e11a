"""Devices that speak and are not registered: counted, shown, and told to hold what they have."""

import threading
from collections import OrderedDict

import msgspec

from contract.records import Status

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
    """Who waits to be registered. Any thread may ask; ingest's worker writes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._devices: OrderedDict[str, Deferred] = OrderedDict()
        self.forgotten = 0

    def heard(
        self, device: str, now_ms: int, *, readings: int = 0, stream: str = "", birth: Status | None = None
    ) -> None:
        with self._lock:
            waiting = self._devices.pop(device, None) or Deferred(device, now_ms, now_ms)
            self._devices[device] = waiting  # the longest silent one comes first
            waiting.last_ms = now_ms
            waiting.readings += readings
            if stream and stream not in waiting.streams:
                waiting.streams = (*waiting.streams, stream)[-STREAMS_MAX:]
            if birth is not None:
                waiting.birth, waiting.kind, waiting.model = birth, birth.kind, birth.model
            while len(self._devices) > DEVICES_MAX:
                self._devices.popitem(last=False)
                self.forgotten += 1

    def take(self, device: str) -> Deferred | None:
        """It is registered now: what was known of it, or None."""
        with self._lock:
            return self._devices.pop(device, None)

    def devices(self) -> list[Deferred]:
        """Those heard last come first."""
        with self._lock:
            return [msgspec.structs.replace(waiting) for waiting in reversed(self._devices.values())]
