"""Every function of the language, one row each. A new function is a row here and, where it computes, its code below.

The checker reads how to call it, docs/rules.md lists it, the engine finds the code of window functions.
Three tables, because a name may be in two: ``min(a, b)`` and ``min(metric, duration)``.
"""

from collections.abc import Callable, Sequence
from math import fsum, inf

import msgspec

from contract.kind import MetricType


class Function(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    usage: str  # as it is written
    meaning: str  # one sentence, for the documentation
    arity: int = 0  # of a scalar function
    metrics: tuple[MetricType, ...] = ()  # what a window function works on
    aggregate: Callable[[Sequence[float]], float] | None = None  # of a window; never called with no values
    empty: float | None = None  # a window without readings; None is unknown


_NUMERIC = (MetricType.NUMBER, MetricType.COUNTER)
_MEASURED = (*_NUMERIC, MetricType.BOOLEAN)


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)


# Numbers → number; computed by evaluate.pick and the compiled code.
SCALARS = {
    row.name: row
    for row in (
        Function(
            name="min",
            usage="min(a, b)",
            meaning="The smaller of two numbers.",
            arity=2,
        ),
        Function(
            name="max",
            usage="max(a, b)",
            meaning="The larger of two numbers.",
            arity=2,
        ),
        Function(
            name="abs",
            usage="abs(a)",
            meaning="The number without its sign.",
            arity=1,
        ),
        Function(
            name="clamp",
            usage="clamp(a, low, high)",
            meaning="The number, but not below `low` and not above `high`.",
            arity=3,
        ),
    )
}

# Metric, duration → value over the readings of that time.
WINDOWS = {
    row.name: row
    for row in (
        Function(
            name="avg",
            usage="avg(metric, duration)",
            meaning="The mean of the readings in the window; of a boolean, the share of readings that are true.",
            metrics=_MEASURED,
            aggregate=_mean,
        ),
        Function(
            name="min",
            usage="min(metric, duration)",
            meaning="The smallest reading in the window.",
            metrics=_NUMERIC,
            aggregate=min,
        ),
        Function(
            name="max",
            usage="max(metric, duration)",
            meaning="The largest reading in the window.",
            metrics=_NUMERIC,
            aggregate=max,
        ),
        Function(
            name="sum",
            usage="sum(metric, duration)",
            meaning="The sum of the readings in the window.",
            metrics=(MetricType.NUMBER,),
            aggregate=fsum,
        ),
        Function(
            name="count",
            usage="count(metric, duration)",
            meaning="How many readings of the metric the window holds; 0 when there are none, never unknown.",
            metrics=tuple(MetricType),
            aggregate=lambda values: float(len(values)),
            empty=0.0,
        ),
        Function(
            name="last",
            usage="last(metric, duration)",
            meaning="The newest reading in the window, even when it is older than two periods.",
            metrics=tuple(MetricType),
            aggregate=lambda values: values[-1],
        ),
    )
}

# Anything else: a method of the checker each.
CONTEXTS = {
    row.name: row
    for row in (
        Function(
            name="silent",
            usage="silent(duration)",
            meaning="Nothing at all was heard of the device for that long, while the platform listened and the "
            "device had not announced that it sleeps.",
        ),
        Function(
            name="age",
            usage="age(metric)",
            meaning="How long ago the metric was last measured, to be compared with a duration; unknown when never.",
        ),
        Function(
            name="between",
            usage="between(20:00, 06:00)",
            meaning="The local time of day lies in this span, its end excluded; it may go over midnight.",
        ),
        Function(
            name="weekday",
            usage="weekday(saturday, sunday)",
            meaning="The local day is one of these.",
        ),
    )
}

FUNCTION_NAMES = tuple(dict.fromkeys((*WINDOWS, *SCALARS, *CONTEXTS)))

# Dotted names; weather.<metric> comes from the kind weather_station.
SUN_ELEVATION = "sun.elevation"
WEATHER_RAIN = "weather.rain_24h_mm"
WEATHER_PREFIX = "weather."
WEATHER_KIND = "weather_station"
RAIN_METRIC = "rain_um"
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LABELS = ("commune", "zone", "device", "asset")
UNBOUNDED = (-inf, inf)


def usage(name: str) -> str:
    """How a function is written: one way, or two where a name has two."""
    return " or ".join(table[name].usage for table in (SCALARS, WINDOWS, CONTEXTS) if name in table)


def window_result(name: str, low: float, high: float) -> tuple[float, float]:
    """The range of a window function's value, given the metric's."""
    if name == "count":
        return 0.0, inf
    if name == "sum":
        return (min(low, 0.0) if low >= 0 else -inf), (inf if high > 0 else max(high, 0.0))
    return low, high
