"""The thread that has the store make its aggregates and retire what is old: when there is something, never in haste.

Theory of operation. What must be done is marked in the store, durably, so nothing is remembered here: after a crash the
next start goes on. After each bounded step it rests for as long as the step took, so that ingest always comes first. A
long way to go (a data folder from before there were aggregates, a city that was down) is told now and then.
"""

import logging
import threading

from contract.aggregates import HOUR_MS, Aggregating, Behind
from contract.ports import Clock
from nabd.standing import Standing

logger = logging.getLogger("downsampler")

LOOK_S = 5.0
BACKOFF_S_MAX = 60.0
TOLD_EVERY_S = 30.0
MANY_HOURS = 48  # so many are worth a word
RETIRE_EVERY_S = 60.0


class Downsampler:
    """Readings → aggregates; and the end of what is past its time."""

    def __init__(self, store: Aggregating, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._standing = Standing(logger, "aggregates", LOOK_S, BACKOFF_S_MAX)
        self.steps = 0  # since the start
        self.retired = 0  # rows deleted since the start
        self._told_s = 0.0
        self._retired_s = float("-inf")
        self._is_long = False  # is it on a long way?
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="downsampler", daemon=True)

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the step that is being made."""
        self._stop.set()
        self._thread.join()

    def behind(self) -> Behind:
        return self._store.behind(self._clock.now_ms())

    def figures(self) -> dict[str, float]:
        """Hours (of a kind) that wait to be aggregated, the age of the oldest in s, and what was done."""
        behind, now_ms = self.behind(), self._clock.now_ms()
        age_ms = 0 if behind.oldest_ms is None else max(0, now_ms - behind.oldest_ms - HOUR_MS)
        return {
            "hours_behind": behind.hours,
            "seconds_behind": age_ms // 1000,
            "steps": self.steps,
            "rows_retired": self.retired,
        }

    def step(self) -> bool:
        """One bounded piece of work; was there any? Raises StoreFault."""
        step = self._store.downsample(self._clock.now_ms())
        if step is not None:
            self.steps += 1
            self._tell()
        elif self._is_long:
            self._is_long = False
            logger.info("event=aggregated steps=%d", self.steps)
        return self._retire() or step is not None

    def _retire(self) -> bool:
        """Whatever there is to aggregate: late readings may keep coming."""
        now_s = self._clock.monotonic_s()
        if now_s - self._retired_s < RETIRE_EVERY_S:
            return False
        gone = self._store.retire(self._clock.now_ms())
        self.retired += gone
        if not gone:
            self._retired_s = now_s
        return gone > 0

    def _tell(self) -> None:
        behind, now_s = self.behind(), self._clock.monotonic_s()
        if behind.hours > MANY_HOURS and (not self._is_long or now_s - self._told_s >= TOLD_EVERY_S):
            self._is_long, self._told_s = True, now_s
            logger.info("event=aggregating hours_left=%d", behind.hours)

    def _run(self) -> None:
        while not self._stop.is_set():
            began_s = self._clock.monotonic_s()
            try:
                is_more = self.step()
                rest_s = self._clock.monotonic_s() - began_s if is_more else LOOK_S
                self._standing.over()
            except Exception as error:  # also ours: readings go on, and /healthz says what does not
                rest_s = self._standing.because(error)
            self._stop.wait(rest_s)
