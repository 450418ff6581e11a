"""InfluxQL, as far as Nabd speaks it: names, texts, bounds of time, and values in its answers.

It knows no null in a condition: `is_there` says it by a comparison that every value passes. It orders by time in ns,
where readings of one millisecond stand in no order that means something: `in_order` puts these in order, by seq.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from contract.annals import NS_PER_MS
from contract.kind import Metric, MetricType, Value

NS_MAX = 9_223_372_036_854_775_806  # InfluxDB's last moment, in the year 2262


def name(text: str) -> str:
    """A measurement, tag or field as InfluxQL writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(value: str) -> str:
    """A text as InfluxQL writes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_there(metric: Metric) -> str:
    column = name(metric.name)
    return f"{column} != ''" if metric.type is MetricType.ENUM else f"({column} >= 0 OR {column} < 0)"


def without(mask: int) -> list[str]:
    """Conditions that no bit of `mask` is set. Fields are floats, and InfluxQL knows bits of integers only."""
    return [f'"quality" % {2 * bit} < {bit}' for bit in (1 << n for n in range(mask.bit_length())) if mask & bit]


def bounds_ns(start_ms: int, end_ms: int) -> tuple[int, int]:
    return min(max(start_ms, 0) * NS_PER_MS, NS_MAX), min(max(end_ms, 0) * NS_PER_MS, NS_MAX)


def within(kind: str, start_ms: int, end_ms: int) -> str:
    start_ns, end_ns = bounds_ns(start_ms, end_ms)
    return f"FROM {name(kind)} WHERE time >= {start_ns} AND time < {end_ns}"


def whole(rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Those without a hole: of a point that is being written an answer may have some fields only."""
    return (row for row in rows if None not in row)


def to_ms(at_ns: int) -> int:
    return at_ns // NS_PER_MS


def to_value(value: Any) -> Value:
    """JSON writes the number 5.0 as 5."""
    return value if isinstance(value, str) else float(value)


def in_order(rows: Iterable[list[Any]]) -> Iterator[tuple[int, list[Any]]]:
    """(measured_at_ms, row) of rows in order of time, those of one millisecond by the seq and stream they end with."""
    for at_ms, found in groupby(rows, key=lambda row: to_ms(row[0])):
        for row in sorted(found, key=lambda row: row[-2:]):
            yield at_ms, row
