"""Can a metric have changed so fast, or stood still so long? Judged against what the same device measured before.

Theory of operation. For each device of a kind that declares `rate_max_per_s` or `stuck_after` a short list of numbers
is remembered: when its newest reading was measured, the newest credible value of each metric with a rate, since when
each metric that must move has had its value. Readings are judged in order of their measured time; one that is older
than the newest lies between two others and is not judged. A value that changed too fast is marked and is not what
the next one is compared with, so the mark ends when the value comes back, or when the time since makes the step
credible. A counter that falls was replaced or wrapped: that is no change of a rate.

What is remembered changes only when a batch is in the log (`Batch.judged` until then). It is not stored: after a start
it is made, when a device is first heard, from its last readings in the log, LOOK_BACK_MAX at most. So a mark differs
from what it would have been without the start only where the log holds fewer of them, or the last reading of another
stream was the one before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from contract.kind import Kind, MetricType, Value
from contract.records import Quality, Reading

DEVICES_MAX = 200_000  # of a kind; beyond it the device first heard is forgotten, and judged anew: about 60 MB
LOOK_BACK_MAX = 256  # readings
RATE = int(Quality.RATE)
STUCK = int(Quality.STUCK)
NEVER_MS = -1

State = list[float | str]
"""[newest measured_at_ms; of each metric with a rate: at_ms, value; of each that must move: since_ms, value]"""
Find = Callable[[str, str, int], Reading | None]
"""(device, stream, seq) → the reading of this name in the log."""


class Judged(Protocol):
    """What a batch has judged and not yet kept."""

    judged: dict[tuple["Credible", str], State]


class Credible:
    """The judge of one kind."""

    def __init__(self, kind: Kind, find: Find) -> None:
        self.states: dict[str, State] = {}
        self.forgotten = 0  # devices
        self._find = find
        names = [metric for metric in kind.metrics.values() if metric.rate_max_per_s is not None]
        self._rates = tuple(
            (1 + 2 * n, metric.name, (metric.rate_max_per_s or 0.0) / 1000, metric.resolution or 0.0,
             metric.type is MetricType.COUNTER)
            for n, metric in enumerate(names)
        )  # fmt: skip
        still = [metric for metric in kind.metrics.values() if metric.stuck_after_ms]
        first = 1 + 2 * len(names)
        self._stills = tuple((first + 2 * n, metric.name, metric.stuck_after_ms) for n, metric in enumerate(still))
        self._empty: State = [NEVER_MS] * (first + 2 * len(still))
        self._names = frozenset(metric.name for metric in (*names, *still))
        self.is_needed = bool(names or still)

    def mark(self, batch: Judged, device: str, stream: str, readings: Sequence[Reading]) -> Sequence[Reading]:
        """These readings of one stream, in the order of their seqs, with what is to be said against them."""
        if not readings or all(self._names.isdisjoint(reading.values) for reading in readings):
            return readings
        key = self, device
        state = batch.judged.get(key)
        if state is None:
            known = self.states.get(device)
            state = known.copy() if known is not None else self._remembered(device, stream, readings[0].seq)
            batch.judged[key] = state
        bits = [self._judge(state, reading.measured_at_ms, reading.values) for reading in readings]
        if not any(bits):
            return readings
        return [
            msgspec.structs.replace(reading, quality=reading.quality | more) if more else reading
            for reading, more in zip(readings, bits, strict=True)
        ]

    def keep(self, device: str, state: State) -> None:
        """The batch that judged so is in the log."""
        if device not in self.states and len(self.states) >= DEVICES_MAX:
            del self.states[next(iter(self.states))]
            self.forgotten += 1
        self.states[device] = state

    def _judge(self, state: State, at_ms: int, values: Mapping[str, Value]) -> int:
        if at_ms < state[0]:  # type: ignore[operator]  # a number stands there
            return 0
        state[0] = at_ms
        bits = 0
        for slot, name, rate_per_ms, slack, is_counter in self._rates:
            value = values.get(name)
            if value is None:
                continue
            before_ms = state[slot]
            if before_ms != NEVER_MS:
                change = value - state[slot + 1]  # type: ignore[operator]  # only numbers have rates
                if change < 0.0:
                    change = 0.0 if is_counter else -change
                if change > slack + rate_per_ms * (at_ms - before_ms):  # type: ignore[operator]
                    bits |= RATE
                    continue
            state[slot], state[slot + 1] = at_ms, value
        for slot, name, after_ms in self._stills:
            value = values.get(name)
            if value is None:
                continue
            if state[slot] == NEVER_MS or value != state[slot + 1]:
                state[slot], state[slot + 1] = at_ms, value
            elif at_ms - state[slot] >= after_ms:  # type: ignore[operator]
                bits |= STUCK
        return bits

    def _remembered(self, device: str, stream: str, seq: int) -> State:
        """What would be known of a device first heard since the start, had there been none."""
        found: list[Reading] = []
        while len(found) < LOOK_BACK_MAX and len(found) < seq - 1:
            reading = self._find(device, stream, seq - 1 - len(found))
            if reading is None:
                break
            found.append(reading)
            if not self._stills and not reading.quality & RATE and self._names <= reading.values.keys():
                break
        state = self._empty.copy()
        for reading in reversed(found):
            if reading.quality & STUCK and state[0] == NEVER_MS:
                for slot, name, after_ms in self._stills:
                    if name in reading.values:
                        state[slot], state[slot + 1] = reading.measured_at_ms - after_ms, reading.values[name]
            self._judge(state, reading.measured_at_ms, reading.values)
        return state
