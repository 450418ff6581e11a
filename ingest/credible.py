"""Can a metric have changed so fast, or stood still so long? Judged against what the same device measured before.

Theory of operation. For each device of a kind that declares `rate_max_per_s` or `stuck_after` a short list of numbers
is remembered: when its newest reading was measured, the newest credible value of each metric with a rate, since when
each metric that must move has had its value. Readings are judged in order of their measured time; one that is older
than the newest lies between two others and is not judged. A value that changed too fast is marked and is not what
the next one is compared with, so the mark ends when the value comes back, or when the time since makes the step
credible. A counter that falls was replaced or wrapped: that is no change of a rate.

What is remembered is not stored: after a start, or a batch that could not be kept, it is made anew when a device is
next heard, from its last readings in the log: as far back as each metric with a rate was last credible, or as a metric
that must move may stand still. So a mark differs from what it would have been without that only where the log holds
fewer of them, where LOOK_BACK_MAX of them or CREDIBLE_MAX credible ones lack a metric, or where the last reading of
another stream was the one before.

The judge of a kind runs for every reading of a city: it is one function made from the kind, with everything in local
names. A value that is not known yet is no number (NaN), which compares as false: nothing is said against what follows.
"""

from collections.abc import Callable, Sequence
from math import nan
from typing import Any

import msgspec

from contract.kind import Kind, Metric, MetricType
from contract.records import Quality, Reading

DEVICES_MAX = 200_000  # of a kind; beyond it the device first heard is forgotten, and looked up again: about 60 MB
LOOK_BACK_MAX = 256  # readings
CREDIBLE_MAX = 8  # of them where only rates are declared: what none of these has the device seldom sends, or never
RATE = int(Quality.RATE)
STUCK = int(Quality.STUCK)

State = tuple[Any, ...]
"""(newest measured_at_ms; of each metric with a rate: at_ms, value; of each that must move: since_ms, value)"""
Judge = Callable[[State, Sequence[Reading]], tuple[State, dict[int, int] | None]]
"""(state, readings in the order of their seqs) → the state after them, number of a reading → what is against it."""
Find = Callable[[str, str, int], Reading | None]
"""(device, stream, seq) → the reading of this name in the log."""


class Credible:
    """The judge of one kind."""

    def __init__(self, kind: Kind, find: Find) -> None:
        self.forgotten = 0  # devices, because there were too many
        self._find = find
        self._states: dict[str, State] = {}
        rates = [metric for metric in kind.metrics.values() if metric.rate_max_per_s is not None]
        self._stills = [metric for metric in kind.metrics.values() if metric.stuck_after_ms]
        self._names = frozenset(metric.name for metric in (*rates, *self._stills))
        self._empty: State = (-1, *(0, nan) * (len(rates) + len(self._stills)))
        self._first_still = 1 + 2 * len(rates)
        self._judge = _make_judge(rates, self._stills)
        self.is_needed = bool(self._names)

    def mark(self, device: str, stream: str, readings: Sequence[Reading]) -> Sequence[Reading]:
        """These new readings of one stream, in the order of their seqs, with what is to be said against them."""
        state = self._states.get(device)
        if state is None:
            if all(self._names.isdisjoint(reading.values) for reading in readings):
                return readings
            if len(self._states) >= DEVICES_MAX:
                del self._states[next(iter(self._states))]
                self.forgotten += 1
            state = self._remembered(device, stream, readings[0].seq)
        self._states[device], marks = self._judge(state, readings)
        if marks is None:
            return readings
        return [
            msgspec.structs.replace(reading, quality=reading.quality | marks[n]) if n in marks else reading
            for n, reading in enumerate(readings)
        ]

    def forget(self) -> None:
        """What was judged last is not in the log."""
        self._states.clear()

    def _remembered(self, device: str, stream: str, seq: int) -> State:
        """What there is to know of a device that is not known, from the log."""
        found: list[Reading] = []
        begins: dict[str, bool] = {}  # metric → is the first value that is found of it credible?
        credible = 0
        while len(found) < LOOK_BACK_MAX and len(found) < seq - 1:
            reading = self._find(device, stream, seq - 1 - len(found))
            if reading is None:
                break
            found.append(reading)
            if self._stills:
                continue
            is_credible = not reading.quality & RATE
            credible += is_credible
            begins |= dict.fromkeys(self._names & reading.values.keys(), is_credible)
            if credible == CREDIBLE_MAX or (len(begins) == len(self._names) and all(begins.values())):
                break
        found.reverse()
        if not found or not found[0].quality & STUCK:
            return self._judge(self._empty, found)[0]
        state, first = list(self._empty), found[0]  # it was stuck already: for how long before is no matter
        for n, metric in enumerate(self._stills):
            if metric.name in first.values:
                slot = self._first_still + 2 * n
                state[slot], state[slot + 1] = first.measured_at_ms - metric.stuck_after_ms, first.values[metric.name]
        return self._judge(tuple(state), found)[0]


def _make_judge(rates: Sequence[Metric], stills: Sequence[Metric]) -> Judge:
    """Written out for these metrics: names and numbers in it are those of a kind that was read without fault."""
    slots = ["newest_ms"]
    lines = []
    for n, metric in enumerate(rates):
        at, was = f"at{n}", f"was{n}"
        slots += [at, was]
        too_fast = f"value - {was} > most"
        if metric.type is not MetricType.COUNTER:
            too_fast += f" or {was} - value > most"
        lines += [
            f"value = values.get({metric.name!r})",
            "if value is not None:",
            f"    most = {metric.resolution or 0.0!r} + {(metric.rate_max_per_s or 0.0) / 1000!r} * (at_ms - {at})",
            f"    if {too_fast}:",
            f"        bits |= {RATE}",
            "    else:",
            f"        {at}, {was} = at_ms, value",
        ]
    for n, metric in enumerate(stills):
        since, still = f"since{n}", f"still{n}"
        slots += [since, still]
        lines += [
            f"value = values.get({metric.name!r})",
            "if value is not None:",
            f"    if value != {still}:",
            f"        {since}, {still} = at_ms, value",
            f"    elif at_ms - {since} >= {metric.stuck_after_ms}:",
            f"        bits |= {STUCK}",
        ]
    named = ", ".join(slots)
    text = "\n".join(
        [
            "def judge(state, readings):",
            f"    {named}, = state",
            "    marks = None",
            "    number = -1",
            "    for reading in readings:",
            "        number += 1",
            "        at_ms = reading.measured_at_ms",
            "        if at_ms < newest_ms:",
            "            continue",
            "        newest_ms = at_ms",
            "        values = reading.values",
            "        bits = 0",
            *(f"        {line}" for line in lines),
            "        if bits:",
            "            if marks is None:",
            "                marks = {}",
            "            marks[number] = bits",
            f"    return ({named},), marks",
        ]
    )
    made: dict[str, Any] = {}
    exec(compile(text, "<the judge of a kind>", "exec"), made)  # noqa: S102  # our own text
    judge: Judge = made["judge"]
    return judge
