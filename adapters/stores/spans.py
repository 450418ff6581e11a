"""From what a question is answered: raw readings where there are any and it is worth it, aggregates for the rest.

The spans of a plan follow one another without a hole and without an overlap. Where raw readings are gone a span begins
at the first millisecond of a bucket; everywhere else it holds exactly what was asked for.
"""

from typing import NamedTuple

from contract.aggregates import FIVE_MINUTES_MS, HOUR_MS, hour_of
from contract.kind import DAY_MS

RAW = 0
LONG_MS = 2 * DAY_MS
"""Over a shorter time raw readings are as quickly asked."""


class Span(NamedTuple):
    width_ms: int  # RAW, FIVE_MINUTES_MS or HOUR_MS
    start_ms: int
    end_ms: int


class Reach(NamedTuple):
    """From when on a store has what of a kind; multiples of an hour."""

    raw_ms: int  # raw readings
    five_minutes_ms: int
    exact_ms: int  # up to when every aggregate is what its readings say


def plan(start_ms: int, end_ms: int, every_ms: int | None, reach: Reach, *, is_raw: bool = False) -> list[Span]:
    """Spans in order of time; empty ones are left out. `is_raw`: no aggregate can answer, only what is left of raw."""
    if is_raw:
        start_ms = max(start_ms, reach.raw_ms)
        return [Span(RAW, start_ms, end_ms)] if start_ms < end_ms else []
    spans = []
    coarsest = FIVE_MINUTES_MS
    if every_ms is not None and every_ms % HOUR_MS == 0:
        coarsest = HOUR_MS
    early_ms = reach.raw_ms if coarsest == HOUR_MS else min(reach.raw_ms, reach.five_minutes_ms)
    spans.append(Span(HOUR_MS, hour_of(start_ms), min(end_ms, early_ms)))
    at_ms = max(start_ms, early_ms)
    spans.append(Span(FIVE_MINUTES_MS, at_ms - at_ms % FIVE_MINUTES_MS, min(end_ms, reach.raw_ms)))
    at_ms = max(start_ms, reach.raw_ms)
    if every_ms is not None and every_ms % coarsest == 0:
        first_ms, last_ms = at_ms + -at_ms % coarsest, min(end_ms, reach.exact_ms)
        last_ms -= last_ms % coarsest
        if last_ms - first_ms >= LONG_MS:
            spans += [Span(RAW, at_ms, first_ms), Span(coarsest, first_ms, last_ms)]
            at_ms = last_ms
    spans.append(Span(RAW, at_ms, end_ms))
    return [span for span in spans if span.start_ms < span.end_ms]


def before(at_ms: int, reach: Reach, *, is_raw: bool = False) -> list[Span]:
    """Where to look, one after the other, for the last reading before a moment that has raw readings behind it.

    The day before comes first, for it has it nearly always; each width is used where it is what readings say.
    `is_raw`: no aggregate can answer.
    """
    floor_ms = reach.raw_ms if is_raw else min(hour_of(at_ms), reach.exact_ms)
    near_ms, early_ms = max(floor_ms, at_ms - DAY_MS), max(0, floor_ms - DAY_MS)
    spans = [Span(RAW, near_ms, at_ms), Span(RAW, floor_ms, near_ms)]
    if not is_raw:
        spans += [Span(HOUR_MS, early_ms, floor_ms), Span(HOUR_MS, 0, early_ms)]
    return [span for span in spans if span.start_ms < span.end_ms]
