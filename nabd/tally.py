"""The consumer that counts: log entry → `Counting` → one commit to the book every few seconds.

Theory of operation. The book has counts, gaps, ends of streams and the log position they stand for, in one transaction,
so that a crash leaves all as of one position and the count goes on from there. Between two commits the changes are in
memory; a commit that failed is made again with the next. Whoever asks for figures lets it catch up first.
"""

import logging
import threading
from zoneinfo import ZoneInfo

from contract.ports import Clock, Log
from contract.tally import TallyBook
from nabd.standing import Standing
from nabd.tallying import Counting, LocalDays

logger = logging.getLogger("tally")

NAME = "tally"
BATCH = 2_000
PENDING_MAX = 20_000
CATCH_UP_BATCHES = 10
GATHER_S = 1.0
COMMIT_S = 5.0
RETRY_S = 5.0
IDLE_COMMIT_S = 60.0  # where there is nothing to count, so that the log is let go of
PRUNE_S = 3600.0
DAY_MS = 86_400_000
DAYS_MAX = 400  # local days of which counts are kept
CLOSED_DAYS_MAX = 90  # … and gaps that late data closed


class TallyKeeper:
    """Implements contract.tally.Tally. Runs in a thread of its own; `catch_up` may be called by any."""

    def __init__(self, log: Log, book: TallyBook, clock: Clock, timezone: str) -> None:
        """`timezone`: whose days are counted. Raises OSError."""
        self.book = book
        self._log, self._clock, self._days = log, clock, LocalDays(ZoneInfo(timezone))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._standing = Standing(logger, NAME, RETRY_S)
        began = book.began()
        if began is None:
            first = log.read(0, 1)
            began = clock.now_ms(), first[0].position if first else log.last() + 1, log.last()
            book.begin(*began)
        _, log_first, log_last = began
        self._begun_late_upto = log_last if log_first > 1 else 0
        self._committed = book.position()
        self._go_back()
        self._committed_at_s = self._pruned_at_s = clock.monotonic_s()
        log.consumed(NAME, self._committed)

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Count what is there, if that is little, commit it and end the thread."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def notify(self, position: int) -> None:
        self._wake.set()

    def catch_up(self) -> int:
        """CATCH_UP_BATCHES at most: nobody who asks waits for the count of a whole log."""
        last = self._log.last()
        with self._lock:
            for _ in range(CATCH_UP_BATCHES):
                if self.position >= last or not self._step():
                    break
            if self._counting.pending:
                self._commit()
            return max(0, last - self.position)

    def _run(self) -> None:
        while True:
            stopping, wait_s = self._stop.is_set(), 0.0
            self._wake.clear()
            try:
                busy = True
                while busy and not self._stop.is_set():
                    with self._lock:  # batch by batch: whoever asks meanwhile comes in between
                        busy = self._step()
                if stopping:
                    self.catch_up()
                with self._lock:
                    if stopping or self._is_due():
                        self._commit()
                self._prune()
                self._standing.over()
            except Exception as error:  # a full disk passes; a bug of ours must not end the count in silence
                wait_s = self._standing.because(error)
            if stopping:
                return
            if wait_s:
                self._stop.wait(wait_s)
            else:
                self._wake.wait(COMMIT_S)
                self._stop.wait(GATHER_S)

    def _go_back(self) -> None:
        """Forget what is not committed: it is counted again."""
        self._counting = Counting(self._days, self._begun_late_upto)
        self.position = self._committed

    def _step(self) -> bool:
        """Count one batch; False when there was nothing. Under the lock."""
        entries = self._log.read(self.position, BATCH)
        if not entries:
            return False
        strangers = self._counting.strangers(entries)
        if strangers:
            self._counting.restore(self.book.streams(strangers))
        try:
            for entry in entries:
                self._counting.apply(entry)
                self.position = entry.position
        except Exception:  # ours: half of the entry may be counted
            self._go_back()
            raise
        if self._counting.pending >= PENDING_MAX or self._is_due():
            self._commit()
        return True

    def _is_due(self) -> bool:
        waited_s = self._clock.monotonic_s() - self._committed_at_s
        return waited_s >= (COMMIT_S if self._counting.pending else IDLE_COMMIT_S)

    def _commit(self) -> None:
        """Under the lock. What cannot be committed stays for the next time."""
        self._committed_at_s = self._clock.monotonic_s()
        if self.position == self._committed:
            return
        self.book.commit(self._counting.news(), self.position)
        self._counting.done()
        self._committed = self.position
        self._log.consumed(NAME, self._committed)

    def _prune(self) -> None:
        if self._clock.monotonic_s() - self._pruned_at_s < PRUNE_S:
            return
        self._pruned_at_s = self._clock.monotonic_s()
        now_ms = self._clock.now_ms()
        rows = self.book.prune(self._days.day(now_ms) - DAYS_MAX, now_ms - CLOSED_DAYS_MAX * DAY_MS)
        if rows:
            logger.info("event=tally_pruned rows=%d", rows)
