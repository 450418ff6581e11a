"""Watches the log grow and the clock go: how long there is room for what nobody has read, and whether time jumped.

Theory of operation. Every SAMPLE_S the log's end is noted; entries a second and bytes an entry follow from that. The
room is what `[log] bytes_max` and the disk leave, whichever is less, and it is filled by what the slowest consumer has
not read: everything else can be cut. City time that moved otherwise than monotonic time says is a jump of the
machine's clock: set by hand or by NTP, or a machine that slept. The log's own time never goes back: after a step
backwards it stands still until the clock has come up again, and `ahead_s` says by how much.
"""

import asyncio
import logging
import os
from collections import deque
from pathlib import Path

import msgspec

from contract.ports import Clock, Log
from nabd.positions import log_begins
from nabd.standing import Standing

logger = logging.getLogger("log")

SAMPLE_S = 10.0
SAMPLES_MAX = 60  # ten minutes
SPAN_S_MIN = 30.0  # less says nothing of a rate
JUMP_S_MIN = 5.0
JUMP_TOLD_S = 3600.0


class Jump(msgspec.Struct, frozen=True):
    """The machine's clock went forward (`by_s` above zero) or back; seen at `at_ms`, by the clock as it is now."""

    by_s: float
    at_ms: int


class LogWatch:
    def __init__(self, log: Log, clock: Clock, folder: Path, bytes_max: int) -> None:
        self._log, self._clock, self._folder, self._bytes_max = log, clock, folder, bytes_max
        self._samples: deque[tuple[float, int]] = deque(maxlen=SAMPLES_MAX)  # (monotonic s, the log's end)
        self._seen: tuple[float, int] | None = None  # (monotonic s, city ms)
        self._jump: tuple[float, Jump] | None = None  # (monotonic s when it was seen, what)
        self._entry_bytes = 0.0
        self.jumps = 0
        self._standing = Standing(logger, "log_watch", SAMPLE_S)

    @property
    def fault(self) -> str:
        """Why it cannot measure, or empty."""
        return self._standing.why

    async def run(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.sample)
            except Exception as error:  # also ours
                self._standing.because(error)
            else:
                self._standing.over()
            await asyncio.sleep(SAMPLE_S)

    def sample(self) -> None:
        """Raises OSError when the log cannot be read."""
        now_s = self._clock.monotonic_s()
        self._look_at_clock(now_s, self._clock.now_ms())
        last = self._log.last()
        self._samples.append((now_s, last))
        entries = last - log_begins(self._log) + 1
        if entries > 0:
            self._entry_bytes = self._log.size_bytes() / entries

    def full_in_s(self) -> float | None:
        """Real seconds until nothing more can be kept, at the rate of the last ten minutes, if the slowest consumer
        reads no further; None while no rate is known, or nothing comes. Raises OSError."""
        if len(self._samples) < 2:
            return None
        (first_s, first), (last_s, last) = self._samples[0], self._samples[-1]
        if last_s - first_s < SPAN_S_MIN or last <= first:
            return None
        bytes_per_s = (last - first) / (last_s - first_s) * self._entry_bytes
        unread = last - min([*self._log.consumers().values(), last])
        return max(0.0, self._room_bytes() - unread * self._entry_bytes) / bytes_per_s

    def _room_bytes(self) -> int:
        disk = os.statvfs(self._folder)
        return min(self._bytes_max, self._log.size_bytes() + disk.f_bavail * disk.f_frsize)

    # -- the clock

    def jump(self) -> Jump | None:
        """The last one, for an hour."""
        if self._jump is None or self._clock.monotonic_s() - self._jump[0] > JUMP_TOLD_S:
            return None
        return self._jump[1]

    def ahead_s(self) -> float:
        """Real seconds by which the log's own time is ahead of the clock; 0 when it is not."""
        return max(0.0, (self._log.last_at_ms() - self._clock.now_ms()) / 1000 / self._clock.speed)

    def _look_at_clock(self, now_s: float, now_ms: int) -> None:
        if self._seen is not None:
            seen_s, seen_ms = self._seen
            by_s = (now_ms - seen_ms) / 1000 / self._clock.speed - (now_s - seen_s)
            if abs(by_s) >= JUMP_S_MIN:
                self.jumps += 1
                self._jump = now_s, Jump(by_s=by_s, at_ms=now_ms)
                logger.warning("event=clock_jumped by_s=%+.0f", by_s)
        self._seen = now_s, now_ms
