"""How much one device may say: what is more waits on the device, is counted, and is told by name.

Theory of operation. A backlog is no chatter: thousands of readings come at once after a day without network, but each
was measured in a time of its own. So readings are counted by *when they were measured*, in windows of one period of the
kind. A window that is full lends from the present one: what a device measured too fast and holds comes in later, at the
rate of the limit, when it has calmed down. Messages, which a device may repeat without measuring anything, are counted
by when they come, in real minutes; new streams, each of which costs the ledger a row for ever, by the city's day.

What is over a limit is left alone: acknowledged to the broker, so that the others' messages flow, and not answered. To
the device that is silence, which is no refusal (docs/wire.md): it holds its readings and sends them again after a
minute, two, up to an hour. Whatever is counted, told or forgotten for a batch that cannot be appended is as it was
before after `undo`, for the same messages come again.

Everything is bounded: so many windows a device, so many devices, so many names told.
"""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from contract.over_limit import MESSAGES, READINGS, STREAMS, OverLimit
from ingest.batch import Batch
from ingest.decode import TelemetryIn

WINDOWS_MAX = 4  # of one device: the present one, that of a backlog under way, and two between
DEVICES_MAX = 200_000  # with counts; beyond it the one known longest begins anew
TOLD_MAX = 100  # devices told by name; more are counted
TOLD_FOR_WINDOWS = 2  # how long after the last time it was over its limit a device is told
MINUTE_MS = 60_000
DAY_MS = 86_400_000


class Limits(msgspec.Struct, frozen=True):
    """0: no limit."""

    readings_per_period: int = 0  # measured within one period of the kind (city time)
    messages_per_minute: int = 0  # telemetry, of real time
    streams_per_day: int = 0  # new ones, of city time


class Gate:
    """Lets a device's telemetry in, or leaves it with the device. One thread asks; `told` is for any."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.untold = 0  # times a device was over a limit while TOLD_MAX others were told
        self._now_ms = 0
        self._minute = self._day = -1
        self._messages: dict[str, int] = {}  # device → messages in this real minute
        self._streams: dict[str, int] = {}  # device → new streams on this day
        self._windows: dict[str, dict[int, int]] = {}  # device → window → readings
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []  # (of what, key, the value before or None), in order
        self._untold_before = 0
        self._over: dict[tuple[str, str], OverLimit] = {}
        self._lock = threading.Lock()

    def begin(self, now_ms: int, real_s: float) -> None:
        """A batch begins: city time, and real monotonic seconds."""
        self._now_ms = now_ms
        self._undo.clear()
        self._untold_before = self.untold
        minute, day = int(real_s // 60), now_ms // DAY_MS
        if minute != self._minute:
            self._minute, self._messages = minute, {}
        if day != self._day:
            self._day, self._streams = day, {}

    def undo(self) -> None:
        """The batch leaves no trace: it will be processed again."""
        with self._lock:  # what is told is among it
            for counts, key, before in reversed(self._undo):
                if before is None:
                    counts.pop(key, None)
                else:
                    counts[key] = before
            self.untold = self._untold_before
        self._undo.clear()

    def takes_message(self, batch: Batch, device: str) -> bool:
        """May this registered device's next message of telemetry be read?"""
        limit = self.limits.messages_per_minute
        if not limit:
            return True
        count = self._count(self._messages, device, 1)
        if count <= limit:
            return True
        batch.count("over_limit_messages")
        return self._leave(device, MESSAGES, count, limit, MINUTE_MS)

    def takes_telemetry(self, batch: Batch, device: str, period_ms: int, telemetry: TelemetryIn) -> bool:
        """May these readings be kept, in the stream they are of? Also where there is none that reads: its stream
        costs as much."""
        if telemetry.readings:
            newest, readings = telemetry.readings[-1], len(telemetry.readings)
            # Without a clock a device has the windows of its boot, on the other side of zero.
            measured_ms = newest.at if newest.at is not None else -1 - (newest.up or 0)
            if not self.takes_readings(device, period_ms, measured_ms, readings):
                batch.count("over_limit_readings", readings)
                return False
        return self.takes_stream(batch, device, telemetry.stream)

    def takes_readings(self, device: str, period_ms: int, measured_at_ms: int, readings: int) -> bool:
        """May a message of so many readings be kept, the newest of them measured then? A window's last message may
        lead beyond the limit, so that one of many readings always has its turn."""
        limit = self.limits.readings_per_period
        if not limit:
            return True
        counts = self._windows.get(device)
        if counts is None:
            counts = self._known(device)
        window = measured_at_ms // period_ms
        used = counts.get(window, 0)
        if used >= limit:
            window = self._now_ms // period_ms
            used = counts.get(window, 0)
        self._count(counts, window, readings)
        if len(counts) > WINDOWS_MAX:
            self._forget_window(counts, window)
        return used < limit or self._leave(device, READINGS, used + readings, limit, period_ms)

    def takes_stream(self, batch: Batch, device: str, stream: str) -> bool:
        """May this device speak in this stream? Of those that nobody has heard of it has so many a day."""
        limit = self.limits.streams_per_day
        if not limit or not batch.is_new(device, stream):
            return True
        count = self._count(self._streams, device, 1)
        if count <= limit:
            return True
        batch.count("over_limit_streams")
        return self._leave(device, STREAMS, count, limit, DAY_MS)

    def told(self, now_ms: int) -> Sequence[OverLimit]:
        """Devices that are over a limit now or were lately, the worst first."""
        with self._lock:
            self._forget_told(now_ms)
            return sorted(self._over.values(), key=lambda over: (-over.count / over.limit, over.device))

    # ---- details

    def _count(self, counts: dict[Any, int], key: str | int, by: int) -> int:
        before = counts.get(key)
        self._undo.append((counts, key, before))
        count = counts[key] = (before or 0) + by
        return count

    def _leave(self, device: str, what: str, count: int, limit: int, window_ms: int) -> bool:
        key, now_ms = (device, what), self._now_ms
        with self._lock:
            before = self._over.get(key)
            if before is None and len(self._over) >= TOLD_MAX:
                self._forget_told(now_ms)
                if len(self._over) >= TOLD_MAX:
                    self.untold += 1
                    return False
            since_ms, left = (min(before.since_ms, now_ms), before.left) if before is not None else (now_ms, 0)
            self._undo.append((self._over, key, before))
            self._over[key] = OverLimit(device, what, count, limit, window_ms, since_ms, now_ms, left + 1)
        return False

    def _forget_told(self, now_ms: int) -> None:
        for key, over in list(self._over.items()):
            if abs(now_ms - over.last_ms) > TOLD_FOR_WINDOWS * over.window_ms:  # the clock may have been set back
                del self._over[key]

    def _known(self, device: str) -> dict[int, int]:
        if len(self._windows) >= DEVICES_MAX:
            longest = next(iter(self._windows))
            self._undo.append((self._windows, longest, self._windows.pop(longest)))
        self._undo.append((self._windows, device, None))
        counts = self._windows[device] = {}
        return counts

    def _forget_window(self, counts: dict[int, int], used: int) -> None:
        """The one begun first, but that which is in use."""
        oldest = next(window for window in counts if window != used)
        self._undo.append((counts, oldest, counts.pop(oldest)))
