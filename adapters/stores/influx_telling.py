"""One metric's readings told by InfluxDB, one by one or in steps: what DuckDB tells, to the value and the order.

Each span of a plan gives to a step what its value is made of, from raw readings or from aggregates; here they are
joined. A counter's increase needs the reading before a raw span, too: `_befores` looks where `spans.before` says.
"""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from adapters.stores.aggregates import difference
from adapters.stores.influx_aggregate_rows import Series, measurement
from adapters.stores.influx_lines import tag_text, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influxql import bounds_ns, in_order, is_there, name, text, to_ms, to_value, whole, without
from adapters.stores.spans import RAW, Reach, Span, before, plan
from contract.kind import Metric, MetricType, Value
from contract.questions import Aggregate, Question

FUNCTIONS = {
    Aggregate.MEAN: ("sum", "count"),
    Aggregate.MIN: ("min",),
    Aggregate.MAX: ("max",),
    Aggregate.COUNT: ("count",),
}
"""What the server makes of the raw readings of a step by itself."""
CELLS = {
    Aggregate.MEAN: "sum",
    Aggregate.MIN: "min",
    Aggregate.MAX: "max",
    Aggregate.LAST: "last",
    Aggregate.COUNT: "count",
    Aggregate.INCREASE: "increase",
}


class Part(NamedTuple):
    """What one source gives to a step."""

    value: Value  # the sum, for a mean
    number: int = 0  # of values, for a mean
    order: tuple[int, str, float, str] = (0, "", 0.0, "")  # when the last was, its device, seq and stream


class Telling:
    """One question. Raises StoreFault."""

    def __init__(self, link: InfluxLink, question: Question, metric: Metric, reach: Reach) -> None:
        """Raises ValueError for what `Question.way` refuses."""
        self._link, self._question, self._metric, self._reach = link, question, metric, reach
        self._way = question.way(metric)
        chosen = {"device": question.device, "asset": question.asset}
        self._of = "".join(f" AND {_is(tag, value)}" for tag, value in chosen.items() if value is not None)

    def rows(self) -> list[tuple[int, Value]]:
        """(time, value) in order."""
        asked = self._question
        spans = plan(asked.start_ms, asked.end_ms, asked.every_ms, self._reach, is_raw=asked.without != 0)
        if self._way is not None and asked.every_ms is not None:
            return self._steps(spans, self._way, asked.every_ms)
        told: list[tuple[int, Value]] = []
        for span in spans:
            told += self._raw(span, asked.limit - len(told)) if span.width_ms == RAW else self._left(span)
        return told[: asked.limit]

    def _steps(self, spans: list[Span], way: Aggregate, every_ms: int) -> list[tuple[int, Value]]:
        limit, steps = self._question.limit, dict[int, Part]()
        for span in spans:
            for step, part in self._parts(span, way, every_ms):
                steps[step] = _joined(way, steps[step], part) if step in steps else part
                if len(steps) > limit:  # they come in order of time, so the others are whole
                    break
        is_mean = way is Aggregate.MEAN
        told = [(step, float(part.value) / part.number if is_mean else part.value) for step, part in steps.items()]
        return sorted(told)[:limit]

    def _parts(self, span: Span, way: Aggregate, every_ms: int) -> Iterator[tuple[int, Part]]:
        column, within = name(self._metric.name), self._within(span)
        if span.width_ms != RAW:
            for at_ms, count, value, last_ms, device in self._buckets(span, CELLS[way]):
                yield at_ms - at_ms % every_ms, Part(to_value(value), count, (last_ms, device, 0.0, ""))
        elif way is Aggregate.INCREASE:
            yield from self._grown(span, every_ms)
        elif way is Aggregate.LAST:
            for at_ns, value, *name_of in whole(self._rows(f'SELECT {column}, "device", "seq", "stream" {within}')):
                at_ms = to_ms(at_ns)
                yield at_ms - at_ms % every_ms, Part(to_value(value), order=(at_ms, *name_of))
        else:
            columns = ", ".join(f"{function}({column})" for function in FUNCTIONS[way])
            group = f"GROUP BY time({every_ms}ms) fill(none) LIMIT {self._question.limit}"
            for at_ns, value, *number in whole(self._rows(f"SELECT {columns} {within} {group}")):
                yield to_ms(at_ns), Part(to_value(value), sum(map(int, number)))

    def _raw(self, span: Span, limit: int) -> list[tuple[int, Value]]:
        columns = f'SELECT {name(self._metric.name)}, "seq", "stream"'
        rows = list(self._rows(f"{columns} {self._within(span)} LIMIT {limit}")) if limit > 0 else []
        if len(rows) == limit > 0:  # the last millisecond may be torn apart
            last_ms = to_ms(rows[-1][0])
            rest = self._rows(f"{columns} {self._within(Span(RAW, last_ms, min(span.end_ms, last_ms + 1)))}")
            rows = [row for row in rows if to_ms(row[0]) < last_ms] + list(rest)
        ordered = sorted((to_ms(at_ns), stream, seq, value) for at_ns, value, seq, stream in whole(rows))
        return [(at_ms, to_value(value)) for at_ms, _, _, value in ordered[:limit]]

    def _left(self, span: Span) -> list[tuple[int, Value]]:
        """What is left of values whose readings are gone: one a bucket and place."""
        is_number = self._metric.type is MetricType.NUMBER
        rows = self._buckets(span, "sum" if is_number else "last")
        return [(at_ms, float(one) / count if is_number else to_value(one)) for at_ms, count, one, *_ in rows]

    def _buckets(self, span: Span, part: str) -> list[tuple[int, int, Any, int, str]]:
        """(its beginning, count, the cell `part`, when the last was, its device), in order of time."""
        columns = ", ".join(name(f"{self._metric.name}.{cell}") for cell in ("count", part, "last_ms"))
        rows = whole(self._rows(f'SELECT {columns}, "device" {self._within(span)}'))
        return [(to_ms(at_ns), int(count), value, int(last_ms), of) for at_ns, count, value, last_ms, of in rows]

    def _within(self, span: Span, of: str = "") -> str:
        """FROM … WHERE …: the points of a span that have the metric."""
        asked, (start_ns, end_ns) = self._question, bounds_ns(span.start_ms, span.end_ms)
        if span.width_ms == RAW:
            source, there = asked.kind, " AND ".join((is_there(self._metric), *without(asked.without)))
        else:
            source, there = measurement(asked.kind, span.width_ms), f"{name(f'{self._metric.name}.count')} > 0"
        return f"FROM {name(source)} WHERE {there}{self._of}{of} AND time >= {start_ns} AND time < {end_ns}"

    def _rows(self, query: str) -> Iterator[list[Any]]:
        for series in self._link.ask(query):
            yield from series.values

    # -- what a counter has grown by

    def _grown(self, span: Span, every_ms: int) -> list[tuple[int, Part]]:
        """Of a raw span: the differences of each device on each asset, where their later readings lie."""
        grown: dict[int, float] = {}
        firsts: dict[Series, tuple[int, float]] = {}
        query = f'SELECT {name(self._metric.name)}, "seq", "stream" {self._within(span)} GROUP BY "device", "asset"'
        for key, found in groupby(self._by_series(query), key=itemgetter(0)):
            was: float | None = None
            for at_ms, row in in_order(whole(row for _, row in found)):
                step, value = at_ms - at_ms % every_ms, float(row[1])
                if was is None:
                    firsts[key] = step, value
                grown[step] = grown.get(step, 0.0) + difference(value, was)
                was = value
        befores = self._befores(span, set(firsts))
        for key, (step, value) in firsts.items():
            grown[step] += difference(value, befores.get(key))
        return [(step, Part(value)) for step, value in sorted(grown.items())]

    def _befores(self, span: Span, lacking: set[Series]) -> dict[Series, float]:
        """What the counters of these showed last before a raw span; without those that showed nothing."""
        found: dict[Series, float] = {}
        for earlier in before(span.start_ms, self._reach, is_raw=self._question.without != 0):
            if not lacking - found.keys():
                break
            told = self._last_of_raw(earlier) if earlier.width_ms == RAW else self._last_of_buckets(earlier)
            found = {**told, **found}
        return found

    def _last_of_raw(self, span: Span) -> dict[Series, float]:
        columns = f'SELECT {name(self._metric.name)}, "seq", "stream"'
        two: dict[Series, list[list[Any]]] = {}
        query = f'{columns} {self._within(span)} GROUP BY "device", "asset" ORDER BY time DESC LIMIT 2'
        for key, row in self._by_series(query):
            two.setdefault(key, []).append(row)
        found: dict[Series, float] = {}
        for key, rows in two.items():
            at_ms, newest = to_ms(rows[0][0]), rows[:1]
            if to_ms(rows[-1][0]) == at_ms and len(rows) > 1:  # of one millisecond: the one of the highest seq
                of = f" AND {_is('device', key[0])} AND {_is('asset', key[1])}"
                newest = list(self._rows(f"{columns} {self._within(Span(RAW, at_ms, at_ms + 1), of)}"))
            *_, (_, last) = in_order(newest)
            found[key] = float(last[1])
        return found

    def _last_of_buckets(self, span: Span) -> dict[Series, float]:
        lasts: dict[Series, tuple[int, float]] = {}
        cells = ", ".join(name(f"{self._metric.name}.{cell}") for cell in ("last_ms", "last"))
        query = f"SELECT {cells} {self._within(span)} GROUP BY * ORDER BY time DESC LIMIT 1"  # one a place
        for key, (_, last_ms, last) in self._by_series(query):
            lasts[key] = max(lasts.get(key, (-1, 0.0)), (int(last_ms), float(last)))
        return {key: last for key, (_, last) in lasts.items()}

    def _by_series(self, query: str) -> Iterator[tuple[Series, list[Any]]]:
        """((device, asset), row) of a query that is grouped by both."""
        for series in self._link.ask(query):
            key = tag_value(series.tags.get("device", "")), tag_value(series.tags.get("asset", ""))
            for row in series.values:
                yield key, row


def _is(tag: str, value: str) -> str:
    return f'"{tag}" = {text(tag_text(value))}'


def _joined(way: Aggregate, one: Part, other: Part) -> Part:
    if way is Aggregate.LAST:
        return max(one, other, key=lambda part: part.order)
    if way in (Aggregate.MIN, Aggregate.MAX):
        least_or_most = min if way is Aggregate.MIN else max
        return Part(least_or_most(float(one.value), float(other.value)))
    return Part(float(one.value) + float(other.value), one.number + other.number)
