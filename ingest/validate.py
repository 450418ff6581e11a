"""What a kind allows, compiled once per kind; and what a reading's time may be.

Two judges that always agree (tested against each other). The fast one is a msgspec type made from the kind: one pass in
C from bytes to checked values, for the messages without fault. The exact one (`Validator.judge`) looks at one reading's
values after the fast one said no: it finds each fault, names it, and lets the good readings of the message live.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

import msgspec

from contract.kind import Kind, Metric, MetricType, Value
from contract.wire.messages import (
    AGE_MS_MAX,
    AHEAD_MS_MAX,
    IN_FUTURE,
    INTEGER_MAX,
    OUT_OF_RANGE,
    READINGS_MAX,
    SEQ_MAX,
    TOO_OLD,
    WRONG_TYPE,
    WireFault,
)
from ingest.credible import Credible, Find

DAY_MS = 86_400_000

FRESH_MS = 120_000
"""A kind without targets: a reading that comes later than this corrects records only (see Quality.LATE)."""

BOOT_MAX = INTEGER_MAX


class Validator:
    """The rules of one kind."""

    def __init__(self, kind: Kind, find: Find | None = None) -> None:
        """`find` looks a reading up in the log; without it rates and stuck values are not judged."""
        self.kind = kind
        self.fresh_ms = min((target.fresh_ms for target in kind.targets.values()), default=FRESH_MS)
        self.group = kind.group
        self.period_ms = kind.period_s * 1000
        self.fast: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_message_type(kind))
        self._metrics = dict(kind.metrics)
        self.credible: Credible | None = None
        if find is not None and (credible := Credible(kind, find)).is_needed:
            self.credible = credible
        self._booleans = tuple(name for name, metric in kind.metrics.items() if metric.type is MetricType.BOOLEAN)
        self.has_booleans = bool(self._booleans)

    def forget(self) -> None:
        """The readings judged last were not kept."""
        if self.credible is not None:
            self.credible.forget()

    def settle(self, values: dict[str, Any], *, nulls: bool) -> dict[str, Value]:
        """Values as the fast judge leaves them → as they are kept: unknown (null) is absent, booleans are 0.0 or 1.0.

        `nulls`: might there be any? Changes `values` in place and returns it.
        """
        if nulls:
            for name in [name for name, value in values.items() if value is None]:
                del values[name]
        for name in self._booleans:
            value = values.get(name)
            if value is not None:
                values[name] = 1.0 if value else 0.0
        return values

    def judge(self, given: Mapping[str, Any]) -> tuple[dict[str, Value], list[str]]:
        """(values as they are kept, names of metrics that this kind does not have).

        `given` is JSON as the standard library reads it. Raises WireFault at the first metric that cannot be.
        """
        values: dict[str, Value] = {}
        unknown: list[str] = []
        for name, value in given.items():
            metric = self._metrics.get(name)
            if metric is None:
                unknown.append(name)
            elif value is not None:
                values[name] = _judge(metric, value)
        return values, unknown


def judge_time(measured_at_ms: int, now_ms: int) -> WireFault | None:
    """Is this a time at which something can have been measured, seen from now (city time)?"""
    if measured_at_ms > now_ms + AHEAD_MS_MAX:
        ahead_s = (measured_at_ms - now_ms) // 1000
        return WireFault(
            IN_FUTURE, f"at: {measured_at_ms} is {ahead_s} s ahead, more than {AHEAD_MS_MAX // 1000}; set its clock"
        )
    if measured_at_ms < now_ms - AGE_MS_MAX:
        days = (now_ms - measured_at_ms) // DAY_MS
        return WireFault(
            TOO_OLD, f"at: {measured_at_ms} is {days} days ago, more than {AGE_MS_MAX // DAY_MS}; set its clock"
        )
    return None


def excerpt(value: object) -> str:
    """A value as a sentence may quote it: short, printable, ASCII."""
    text = ascii(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _judge(metric: Metric, value: Any) -> Value:
    if metric.type is MetricType.ENUM:
        if not isinstance(value, str):
            raise WireFault(WRONG_TYPE, f"{metric.name}: {excerpt(value)} is not a text")
        if value not in metric.values:
            raise WireFault(OUT_OF_RANGE, f"{metric.name}: {excerpt(value)} is not one of {', '.join(metric.values)}")
        return value
    if metric.type is MetricType.BOOLEAN:
        if not isinstance(value, bool):
            raise WireFault(WRONG_TYPE, f"{metric.name}: {excerpt(value)} is not true or false")
        return 1.0 if value else 0.0
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise WireFault(WRONG_TYPE, f"{metric.name}: {excerpt(value)} is not a number")
    least, most = _bounds(metric)
    low, high = -math.inf if least is None else least, math.inf if most is None else most
    if not (low <= value <= high and -math.inf < value < math.inf):
        shown = f"{metric.name}: {excerpt(value)} {metric.unit}".rstrip()
        raise WireFault(OUT_OF_RANGE, f"{shown} is not within {_edge(least, '-')} and {_edge(most, '')}")
    try:
        number = float(value)
    except OverflowError:  # an integer with more digits than a float holds
        raise WireFault(OUT_OF_RANGE, f"{metric.name}: {excerpt(value)} is beyond any range") from None
    if metric.type is MetricType.COUNTER and not number.is_integer():
        raise WireFault(WRONG_TYPE, f"{metric.name}: {excerpt(value)} is a counter and must be a whole number")
    return number


def _bounds(metric: Metric) -> tuple[float | None, float | None]:
    if metric.type is MetricType.COUNTER:
        least = 0.0 if metric.minimum is None else metric.minimum
        return least, float(INTEGER_MAX) if metric.maximum is None else metric.maximum
    return metric.minimum, metric.maximum


def _edge(bound: float | None, sign: str) -> str:
    return f"{sign}infinity" if bound is None else f"{bound:g}"


def _message_type(kind: Kind) -> type[msgspec.Struct]:
    """A telemetry message of this kind, as a type: what msgspec takes for it is without fault."""
    # A TypedDict without required keys: msgspec makes a plain dict of those that are there.
    values = TypedDict("Values", {metric.name: _value_type(metric) for metric in kind.metrics.values()}, total=False)  # type: ignore[misc]
    reading = msgspec.defstruct(
        "FastReading",
        [
            ("seq", Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]),
            ("v", values),
            ("at", Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)] | None, None),
            ("up", Annotated[int, msgspec.Meta(ge=0, le=INTEGER_MAX)] | None, None),
        ],
        gc=False,  # it is made of numbers and words only
    )
    return msgspec.defstruct(
        "FastMessage",
        [
            ("stream", str),  # whoever takes the message looks at it: a pattern here would cost as much as all the rest
            ("boot", Annotated[int, msgspec.Meta(ge=0, le=BOOT_MAX)]),
            ("clock", Literal["synced", "held", "none"]),
            ("oldest", Annotated[int, msgspec.Meta(ge=1, le=SEQ_MAX)]),
            ("readings", Annotated[list[reading], msgspec.Meta(max_length=READINGS_MAX)]),  # type: ignore[valid-type]
        ],
        namespace={"faulty": (), "notes": {}, "unknown": ()},  # so that it is a decode.TelemetryIn to whoever takes it
        gc=False,
    )


def _value_type(metric: Metric) -> Any:
    if metric.type is MetricType.ENUM:
        return Literal[metric.values] | None
    if metric.type is MetricType.BOOLEAN:
        return bool | None
    least, most = _bounds(metric)
    limits: dict[str, float] = {}
    if least is not None:
        limits["ge"] = least
    if most is not None:
        limits["le"] = most
    if metric.type is MetricType.COUNTER:
        limits["multiple_of"] = 1.0
    return Annotated[float, msgspec.Meta(**limits)] | None  # type: ignore[call-overload]
