"""The other consumers of the log: the store writer (a thread), the live view (on the loop); and the ticks in it."""

import asyncio
import contextlib
import errno
import logging
import threading
from collections.abc import Sequence
from math import inf

from console.live import LiveView
from contract.losses import Loss
from contract.ports import Clock, Log, Store
from contract.quarantine import Quarantined
from contract.records import TICK_MS, Tick
from nabd.standing import Standing

logger = logging.getLogger("consumers")

STORE = "store"
STORE_BATCH = 5_000
GATHER_S = 0.2  # a writer that waits a little writes far fewer, larger batches
BACKOFF_S_MIN = 0.5
BACKOFF_S_MAX = 30.0
STOP_S = 5.0
RETRY_S = 1.0
LIVE_BATCH = 1_000
LIVE_GATHER_S = 0.1  # each going costs two changes of thread, however little there is to read
TICK_REAL_S_MIN = 0.05  # twenty ticks a real second are enough for a city that runs fast
CUT_EVERY_TICKS = 30


class StoreWriter:
    """Log → store.

    The store keeps a position with its rows, and the log is told of it after each write. At a start, and after every
    fault, the writer goes on from the smaller of the two: a store put back from a backup is behind what the log was
    told, and a log put back is behind the store, whose position then counts entries that this log never had. What is
    written again is stored once. Where the log begins only behind the store's position (an old store or a new one
    beside a log that was cut), the store remembers what it lacks, `lost` says so, and the writer goes on.
    """

    def __init__(self, log: Log, store: Store, clock: Clock) -> None:
        self._log, self._store, self._clock = log, store, clock
        self.position = log.consumers().get(STORE, 0)  # at most, until the store has been asked
        self._standing = Standing(logger, STORE, BACKOFF_S_MIN, BACKOFF_S_MAX)
        self.lost: Loss | None = None  # what the store lacks for good, and nobody has accepted
        self.written = 0
        self._is_placed = False  # has the store been asked?
        self._stop_by_s = inf
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=STORE, daemon=True)
        log.consumed(STORE, self.position)  # from now on nothing is cut before the store has it

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is in the log, as far as that goes in STOP_S, and end the thread."""
        self._stop_by_s = self._clock.monotonic_s() + STOP_S
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def notify(self, position: int) -> None:
        self._wake.set()

    def _run(self) -> None:
        while True:
            stopping, wait_s = self._stop.is_set(), 0.0
            self._wake.clear()
            try:
                self._place()
                while self._clock.monotonic_s() < self._stop_by_s and self._write_batch():
                    pass
                self._standing.over()
            except Exception as error:  # also ours; without this thread nothing would be stored, and nobody would know
                self._is_placed = False
                wait_s = self._standing.because(error)
            if stopping:
                return
            if wait_s:
                self._stop.wait(wait_s)
            else:
                self._wake.wait(1.0)
                self._stop.wait(GATHER_S)

    def _place(self) -> None:
        """Ask the store where it is, unless it has told. Raises StoreFault."""
        if not self._is_placed:
            self.position = min(self._store.position(), self._log.consumers()[STORE])
            self._log.consumed(STORE, self.position)
            self.lost = self._store.lost()
            self._is_placed = True

    def _write_batch(self) -> bool:
        """Is there more at once? A batch that is not full was the end of the log: what trickles in is gathered."""
        entries = self._log.read(self.position, STORE_BATCH)
        if not entries:
            return False
        if entries[0].position > self.position + 1:
            self._lose(Loss(first=self.position + 1, last=entries[0].position - 1))
        self.written += self._store.write(entries, self._clock.now_ms(), self._put_away)
        self.position = entries[-1].position
        self._log.consumed(STORE, self.position)
        self._standing.over()
        return len(entries) == STORE_BATCH

    def _lose(self, loss: Loss) -> None:
        """Before anything is written: the position that then moves would hide it. Raises StoreFault."""
        loss = loss.and_also(self.lost)
        self._store.keep_loss(loss)
        self.lost = loss
        logger.error("event=log_begins_later lost_first=%d lost_last=%d", loss.first, loss.last)

    def accept_loss(self) -> Loss | None:
        """Tell it no longer; what it was. From any thread. Raises StoreFault."""
        loss = self.lost
        if loss is not None:
            self._store.keep_loss(None)
            self.lost = None
            logger.info("event=loss_accepted lost_first=%d lost_last=%d", loss.first, loss.last)
        return loss

    def _put_away(self, refused: Sequence[Quarantined]) -> None:
        """What the store will never take stands in the log's quarantine, with the line and the store's own words.

        Once: after a fault, before the position has moved, the store refuses the same again.
        """
        logger.error("event=store_refused readings=%d first=%s", len(refused), refused[0].sentence)
        self._log.append([], self._clock.now_ms(), quarantine=refused, once="store_refused")


class LiveFeeder:
    """Log → live view, on the event loop. Memory only, so it is nobody's reason to keep the log."""

    def __init__(self, log: Log, view: LiveView, clock: Clock, position: int) -> None:
        self._log, self._view, self._clock = log, view, clock
        self.position = position
        self._standing = Standing(logger, "live_view", RETRY_S)
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    def notify(self, position: int) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended; so has the view
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._follow()
            except Exception as error:  # also ours: a view that stands still in silence would show old values as new
                await asyncio.sleep(self._standing.because(error))
            else:
                self._standing.over()
                await asyncio.sleep(LIVE_GATHER_S)
                await self._wake.wait()

    async def _follow(self) -> None:
        """To the end of the log. Raises OSError."""
        while entries := await asyncio.to_thread(self._log.read, self.position, LIVE_BATCH):
            now_ms = self._clock.now_ms()
            for entry in entries:
                self._view.apply(entry, now_ms)
                self.position = entry.position


class Ticker:
    """Writes the passing of city time into the log, so that everything decided by time can be replayed."""

    def __init__(self, log: Log, clock: Clock, listening: "asyncio.Event") -> None:
        self._log, self._clock, self._listening = log, clock, listening
        shortest_ms = TICK_REAL_S_MIN * 1000 * clock.speed
        self.period_ms = TICK_MS * max(1, -(-round(shortest_ms) // TICK_MS))
        self.missed = 0  # ticks that could not be written
        self._standing = Standing(logger, "ticks", RETRY_S)

    @property
    def fault(self) -> str:
        """Why no tick is written or nothing is cut, or empty."""
        return self._standing.why

    async def run(self) -> None:
        written = 0
        while True:
            now_ms = self._clock.now_ms()
            wait_ms = self.period_ms - now_ms % self.period_ms
            await asyncio.sleep(wait_ms / 1000 / self._clock.speed)
            tick, is_written = Tick(listening=self._listening.is_set(), period_ms=self.period_ms), False
            try:
                await asyncio.to_thread(self._log.append, [tick], self._clock.now_ms())
                is_written = True
                written += 1
                if written % CUT_EVERY_TICKS == 0 or self.fault:
                    await asyncio.to_thread(self._log.cut, self._clock.now_ms())
                self._standing.over()
            except Exception as error:  # also ours; without this task nobody would be silent and nothing cut
                self.missed += not is_written
                self._standing.because(error)
                await asyncio.to_thread(self._cut, getattr(error, "errno", None) == errno.ENOSPC)

    def _cut(self, cramped: bool) -> None:
        with contextlib.suppress(Exception):  # why is told already; tried again at the next tick
            self._log.cut(self._clock.now_ms(), cramped=cramped)
