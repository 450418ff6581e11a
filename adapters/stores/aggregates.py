"""Aggregates of readings, made one by one: for a store that cannot, and where raw readings are gone.

Everything here is pure, and the order in which readings come does not matter. `five_minutes` works on one device on
one asset, for a counter's differences are taken there: between a device's readings on two assets nothing is counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contract.aggregates import FIVE_MINUTES_MS, MARKED, Place, Row, hour_of
from contract.kind import Kind, Metric, MetricType, Value

READINGS, COUNT_MARKED = "readings", "marked"

Befores = Mapping[str, float]
"""Counter → what it showed last before."""


class Measured(NamedTuple):
    """A reading as it is sorted: by time, then by its name."""

    at_ms: int
    seq: int
    stream: str
    place: Place
    quality: int
    values: Mapping[str, Value]


class Segment(NamedTuple):
    """A stretch of a counter in one row: one reading, or all that a row knew of readings that are gone."""

    first_ms: int
    order: tuple[int, str]
    first: float
    last: float
    inner: float
    row: Row


def parts(metric: Metric) -> dict[str, bool]:
    """Cell → is it a word? All that an aggregate may have of this metric."""
    names = {
        MetricType.NUMBER: ("count", "min", "max", "sum", "last", "last_ms"),
        MetricType.BOOLEAN: ("count", "sum", "last", "last_ms"),
        MetricType.COUNTER: ("count", "first", "first_ms", "last", "last_ms", "inner", "increase"),
        MetricType.ENUM: ("count", "last", "last_ms", *(f"is.{word}" for word in metric.values)),
    }[metric.type]
    return {f"{metric.name}.{part}": metric.type is MetricType.ENUM and part == "last" for part in names}


def five_minutes(
    kind: Kind,
    readings: Iterable[Measured],
    before: Befores,
    known: Sequence[Row] = (),
    every_ms: int = FIVE_MINUTES_MS,
) -> list[Row]:
    """The five minutes of one device on one asset, from any number of its readings in any order, each given once.

    `before`: what its counters showed last before them. `known`: what is to be added to, of the same hour; these rows
    are not changed. `every_ms`: how long a row is; an hour where the five minutes are gone. In order of place and time.
    """
    rows = {(row.place, row.at_ms): Row(place=row.place, at_ms=row.at_ms, cells=dict(row.cells)) for row in known}
    segments: dict[str, list[Segment]] = {name: [] for name in _counters(kind)}
    for row in rows.values():
        for name, found in segments.items():
            cells = row.cells
            if f"{name}.first" in cells:
                found.append(Segment(
                    int(cells[f"{name}.first_ms"]), (-1, ""), float(cells[f"{name}.first"]),
                    float(cells[f"{name}.last"]), _inner(cells, name, before.get(name)), row,
                ))  # fmt: skip
    covered = {
        name: [(s.first_ms, int(s.row.cells[f"{name}.last_ms"])) for s in found] for name, found in segments.items()
    }
    for one in sorted(readings, key=lambda one: one[:3]):
        at_ms = one.at_ms - one.at_ms % every_ms
        row = rows.setdefault((one.place, at_ms), Row(place=one.place, at_ms=at_ms, cells={}))
        _count(row.cells, READINGS)
        if one.quality & MARKED:
            _count(row.cells, COUNT_MARKED)
        for name, value in one.values.items():
            if (metric := kind.metrics.get(name)) is not None:
                _add(row.cells, metric, one.at_ms, value)
                if metric.type is MetricType.COUNTER and not any(a <= one.at_ms <= b for a, b in covered[name]):
                    number = float(value)
                    segments[name].append(Segment(one.at_ms, (one.seq, one.stream), number, number, 0.0, row))
    for name, found in segments.items():
        _chain(name, found, before.get(name))
    return [rows[key] for key in sorted(rows)]


def roll_up(kind: Kind, rows: Iterable[Row]) -> list[Row]:
    """Hours from five minutes, in order of place and time."""
    hours: dict[tuple[Place, int], Row] = {}
    for row in sorted(rows, key=lambda row: (row.place, row.at_ms)):
        at_ms = hour_of(row.at_ms)
        hour = hours.setdefault((row.place, at_ms), Row(place=row.place, at_ms=at_ms, cells={})).cells
        for name in (READINGS, COUNT_MARKED):
            _sum(hour, row.cells, name)
        for metric in kind.metrics.values():
            if f"{metric.name}.count" in row.cells:
                _merge(hour, row.cells, metric)
    return list(hours.values())


def lasts(kind: Kind, rows: Iterable[Row]) -> dict[str, tuple[int, float]]:
    """Counter → (when, what) it showed last in these rows."""
    found: dict[str, tuple[int, float]] = {}
    for row in rows:
        for name in _counters(kind):
            if f"{name}.last" in row.cells:
                last = int(row.cells[f"{name}.last_ms"]), float(row.cells[f"{name}.last"])
                if name not in found or last[0] >= found[name][0]:
                    found[name] = last
    return found


def difference(value: float, before: float | None) -> float:
    """What a counter has grown by: from nothing known, nothing; after a reset, what it shows."""
    if before is None:
        return 0.0
    return value - before if value >= before else value


def _inner(cells: Mapping[str, Value], name: str, before: float | None) -> float:
    """What lies between a counter's first and last. Hours from before they had it: what their increase leaves of it."""
    if f"{name}.inner" in cells:
        return float(cells[f"{name}.inner"])
    return max(0.0, float(cells[f"{name}.increase"]) - difference(float(cells[f"{name}.first"]), before))


def _counters(kind: Kind) -> list[str]:
    return [metric.name for metric in kind.metrics.values() if metric.type is MetricType.COUNTER]


def _chain(name: str, segments: list[Segment], before: float | None) -> None:
    """Give each row the increase and the inner increase of its segments, all of which lie in order of time."""
    totals: dict[int, list[Any]] = {}
    for one in sorted(segments, key=lambda one: (one.first_ms, one.order)):
        border = difference(one.first, before)
        _, increase, inner = totals.setdefault(id(one.row), [one.row, 0.0, -border])
        totals[id(one.row)][1:] = [increase + border + one.inner, inner + border + one.inner]
        before = one.last
    for row, increase, inner in totals.values():
        row.cells[f"{name}.increase"], row.cells[f"{name}.inner"] = increase, inner


def _add(cells: dict[str, Value], metric: Metric, at_ms: int, value: Value) -> None:
    """One value, later than those before or, where readings are gone, in their midst."""
    name = metric.name
    _count(cells, f"{name}.count")
    if at_ms >= float(cells.get(f"{name}.last_ms", at_ms)):
        cells[f"{name}.last"], cells[f"{name}.last_ms"] = value, at_ms
    if metric.type is MetricType.ENUM:
        if value in metric.values:
            _count(cells, f"{name}.is.{value}")
    elif metric.type is MetricType.COUNTER:
        if at_ms < float(cells.get(f"{name}.first_ms", at_ms + 1)):
            cells[f"{name}.first"], cells[f"{name}.first_ms"] = value, at_ms
    else:
        number = float(value)
        cells[f"{name}.sum"] = float(cells.get(f"{name}.sum", 0.0)) + number
        if metric.type is MetricType.NUMBER:
            cells[f"{name}.min"] = min(float(cells.get(f"{name}.min", number)), number)
            cells[f"{name}.max"] = max(float(cells.get(f"{name}.max", number)), number)


def _merge(into: dict[str, Value], cells: Mapping[str, Value], metric: Metric) -> None:
    """A later bucket's cells of one metric."""
    name = metric.name
    for cell in parts(metric):
        part = cell.removeprefix(f"{name}.")
        if part in ("count", "sum", "increase") or part.startswith("is."):
            _sum(into, cells, cell)
        elif part == "min" and cell in cells:
            into[cell] = min(float(into.get(cell, cells[cell])), float(cells[cell]))
        elif part == "max" and cell in cells:
            into[cell] = max(float(into.get(cell, cells[cell])), float(cells[cell]))
    if f"{name}.first" in cells:
        is_later = f"{name}.first" in into
        _sum(into, {f"{name}.inner": cells[f"{name}.increase" if is_later else f"{name}.inner"]}, f"{name}.inner")
        into.setdefault(f"{name}.first", cells[f"{name}.first"])
        into.setdefault(f"{name}.first_ms", cells[f"{name}.first_ms"])
    into[f"{name}.last"], into[f"{name}.last_ms"] = cells[f"{name}.last"], cells[f"{name}.last_ms"]


def _sum(into: dict[str, Value], cells: Mapping[str, Value], cell: str) -> None:
    if cell in cells:
        into[cell] = float(into.get(cell, 0.0)) + float(cells[cell])


def _count(cells: dict[str, Value], cell: str) -> None:
    cells[cell] = float(cells.get(cell, 0.0)) + 1.0
