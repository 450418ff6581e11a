"""The consumer that writes the annals for dashboards: alarms, leases, the ledger, zones and the platform's health.

Theory of operation. A thread looks about once a real second. Alarms and leases are *history*: it reads the state's
changes in the order of their commits from its marks on, writes them, and then writes its marks into the same store.
So a store that was away, or restored from an old backup, or is new, gets all that the state still knows, without
holes; what is written twice is the same points. Where it is the state that was restored, the store's marks are ahead
of it: then it goes on from the end that the state had at the start. Ledger and health are *samples*: taken at round
moments of city time, and kept here while the store is away, SAMPLES_MAX at most; the oldest go first and are counted in
`dropped`.
What the store refuses for good (older than it keeps, a field of another type) is counted in `refused` and left behind:
waited for, it would keep everything later from the dashboards.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from contract.annals import Annals, Point, RefusedPoint
from contract.ports import Clock, History
from nabd.annals import alarm_points, lease_point
from nabd.standing import Standing

logger = logging.getLogger("recorder")

NAME = "recorder"
MARKS = "nabd_recorder"
HEALTH_EVERY_MS = 10_000
EVERY_S_MIN = 1.0
LEDGER_EVERY_MS = 300_000
LEDGER_EVERY_S_MIN = 5.0  # a point a device: a city that runs fast would write little else
ZONES_EVERY_MS = 900_000
HISTORY_BATCH = 1_000
SAMPLES_BATCH = 5_000
SAMPLES_MAX = 50_000
LOOK_S = 1.0
BACKOFF_S_MAX = 30.0


class Sampled:
    """One kind of sample: `take` makes its points for a moment, at each multiple of `every_ms` of city time."""

    def __init__(self, take: Callable[[int], Sequence[Point]], every_ms: int, every_s_min: float, clock: Clock) -> None:
        self._take, self._every_ms, self._every_s_min, self._clock = take, every_ms, every_s_min, clock
        self._at_ms = -1
        self._at_s = -every_s_min + clock.monotonic_s()

    def due(self) -> Sequence[Point]:
        """The points of the round moment that has come since the last call, or none."""
        at_ms = self._clock.now_ms() // self._every_ms * self._every_ms
        now_s = self._clock.monotonic_s()
        if at_ms == self._at_ms or now_s - self._at_s < self._every_s_min:
            return ()
        points = self._take(at_ms)  # first, so that what could not be read now is tried again
        self._at_ms, self._at_s = at_ms, now_s
        return points


class Recorder:
    """State, ledger, live view and health → annals. Nothing of it is wanted sooner than in a second."""

    def __init__(
        self,
        store: Annals,
        history: History,
        clock: Clock,
        *,
        health: Callable[[int], Sequence[Point]],
        ledger: Callable[[int], Sequence[Point]],
        zones: Callable[[int], Sequence[Point]],
    ) -> None:
        """`health`, `ledger` and `zones` make the points of a moment (city time, ms); they may raise OSError.

        Made before the state changes any more: see above. Raises OSError.
        """
        self._store, self._history, self._clock = store, history, clock
        self._began_at: tuple[int, int] | None = history.ends()  # until the store's marks are this run's
        self._sampled = (
            Sampled(health, HEALTH_EVERY_MS, EVERY_S_MIN, clock),
            Sampled(ledger, LEDGER_EVERY_MS, LEDGER_EVERY_S_MIN, clock),
            Sampled(zones, ZONES_EVERY_MS, EVERY_S_MIN, clock),
        )
        self._samples: deque[Point] = deque()
        self._marks: tuple[int, str, int] | None = None  # last alarm change (position, alarm), last audit number
        self.dropped = 0  # samples the store was away too long for
        self.refused = 0  # points that the store will never take
        self.written = 0
        self._refusing: set[str] = set()  # measurements of which the store last refused a point
        self._standing = Standing(logger, NAME, LOOK_S, BACKOFF_S_MAX)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what there is and end the thread."""
        self._stop.set()
        self._thread.join()

    def left_out(self) -> dict[str, int]:
        """What will never reach the dashboards, since the start."""
        return {"recorder_dropped": self.dropped, "recorder_refused": self.refused}

    def _run(self) -> None:
        while True:
            stopping, wait_s = self._stop.is_set(), 0.0
            try:
                self.look()
                self._standing.over()
            except Exception as error:  # also ours: dashboards would stand still, and nobody would know
                wait_s = self._standing.because(error)
            if stopping:
                return
            if wait_s:
                self._sample_until(wait_s)
            else:
                self._stop.wait(LOOK_S)

    def look(self) -> None:
        """Take the samples that are due and write all there is. Raises StoreFault, OSError; then nothing is lost."""
        self._sample()
        try:
            while self._write_history():
                pass
        except BaseException:
            self._marks = None  # the store may come back as a backup had it: its marks are asked for again
            raise
        while self._samples:
            batch = list(islice(self._samples, SAMPLES_BATCH))
            refused = self._store.record(batch)
            for _ in batch:
                self._samples.popleft()
            self._count(batch, refused)

    def _sample_until(self, seconds: float) -> None:
        """Wait to try again, and go on sampling: the store is away, the city is not."""
        end_s = self._clock.monotonic_s() + seconds
        while self._clock.monotonic_s() < end_s and not self._stop.wait(LOOK_S):
            try:
                self._sample()
            except Exception:  # whatever it is, `look` comes upon it too, and tells
                return

    def _sample(self) -> None:
        for sampled in self._sampled:
            self._samples.extend(sampled.due())
        while len(self._samples) > SAMPLES_MAX:
            self._samples.popleft()
            self.dropped += 1

    def _write_history(self) -> bool:
        """One batch of alarms and one of leases, then the marks; False when there was nothing."""
        if self._marks is None:
            self._marks = self._read_marks()
        position, alarm, number = self._marks
        changes = self._history.alarm_changes((position, alarm), HISTORY_BATCH)
        steps = self._history.lease_steps(number, HISTORY_BATCH)
        if not changes and not steps:
            return False
        points = [point for change in changes for point in alarm_points(change)]
        points += map(lease_point, steps)
        refused = self._store.record(points)
        if changes:
            position, alarm = changes[-1].position, changes[-1].row.alarm.alarm
        if steps:
            number = steps[-1].number
        self._store.remember(MARKS, {"position": float(position), "alarm": alarm, "number": float(number)})
        self._marks, self._began_at = (position, alarm, number), None
        self._count(points, refused)  # only now: without its marks, the batch comes again
        return True

    def _read_marks(self) -> tuple[int, str, int]:
        """From the store; from the beginning for a store that has none."""
        marks = self._store.remembered(MARKS)
        position, alarm = int(float(marks.get("position", -1.0))), str(marks.get("alarm", ""))
        number = int(float(marks.get("number", 0.0)))
        if self._began_at is not None:
            last_position, last_number = self._began_at
            number = min(number, last_number)
            if position > last_position:
                position, alarm = last_position, ""
        return position, alarm, number

    def _count(self, points: Sequence[Point], refused: Sequence[RefusedPoint]) -> None:
        """A measurement that begins to be refused, or ends to be, is told once: health comes every ten seconds."""
        self.written += len(points) - len(refused)
        self.refused += len(refused)
        firsts: dict[str, str] = {}
        for one in refused:
            firsts.setdefault(one.point.measurement, one.sentence)
        for name in sorted(firsts.keys() - self._refusing):
            logger.error("event=annals_refused measurement=%s first=%s", name, firsts[name])
        taken = {point.measurement for point in points} - firsts.keys()
        for name in sorted(taken & self._refusing):
            logger.info("event=annals_taken_again measurement=%s", name)
        self._refusing = (self._refusing - taken) | firsts.keys()
