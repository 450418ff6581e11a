"""One metric's readings told by DuckDB, one by one or in steps: a statement over all the spans of a plan.

Each span gives to a step what its value is made of, from raw readings or from aggregates; the statement joins them.
A counter's increase needs the reading before a raw span, too: `_befores` looks for it where `spans.before` says.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from adapters.stores.duckdb_aggregate_rows import Cursor, five, hours
from adapters.stores.duckdb_tables import quoted, table
from adapters.stores.spans import RAW, Reach, Span, before, plan
from contract.aggregates import FIVE_MINUTES_MS
from contract.kind import Metric, MetricType
from contract.questions import Aggregate, Question

SERIES = "device, asset"
JOINED = {
    Aggregate.MEAN: "sum(total) / sum(value)",
    Aggregate.MIN: "min(value)",
    Aggregate.MAX: "max(value)",
    Aggregate.LAST: "arg_max(value, moment)",
    Aggregate.COUNT: "sum(value)::DOUBLE",
    Aggregate.INCREASE: "sum(value)",
}
"""What a step says, of what the spans give to it."""


class Telling:
    """One question, in the transaction of a cursor that is closed afterwards. Raises duckdb.Error."""

    def __init__(self, cursor: Cursor, question: Question, metric: Metric, reach: Reach) -> None:
        """Raises ValueError for what `Question.way` refuses."""
        self._cursor, self._question, self._metric, self._reach = cursor, question, metric, reach
        self._way = question.way(metric)
        chosen = {"device": question.device, "asset": question.asset}
        of = {name: value for name, value in chosen.items() if value is not None}
        self._of, self._values = "".join(f" AND {name} = ?" for name in of), list(of.values())
        if question.without:
            self._of += f" AND quality & {question.without:d} = 0"  # of raw spans, for there are no others then

    def rows(self) -> list[Any]:
        """(time, value) in order."""
        asked = self._question
        is_raw = asked.without != 0
        spans = plan(asked.start_ms, asked.end_ms, asked.every_ms, self._reach, is_raw=is_raw)
        if not spans:
            return []
        union, arguments = " UNION ALL ".join(map(self._select, spans)), list[Any]()
        for span in spans:
            arguments += self._arguments(span)
        if self._way is None:
            query = f"SELECT moment, value FROM ({union}) ORDER BY moment, stream, seq"
        else:
            query = f"SELECT step, {JOINED[self._way]} FROM ({union}) GROUP BY step ORDER BY step"
        return self._cursor.execute(f"{query} LIMIT ?", [*arguments, asked.limit]).fetchall()

    def _arguments(self, span: Span) -> list[Any]:
        return [span.start_ms, span.end_ms, *self._values]

    def _source(self, span: Span) -> str:
        """FROM … WHERE …, of one span, with its arguments still to give."""
        column = quoted(self._metric.name)
        if span.width_ms == RAW:
            return (
                f"FROM {table(self._question.kind)} WHERE measured_at_ms >= ? AND measured_at_ms < ? "
                f"AND {column} IS NOT NULL{self._of}"
            )
        name = five(self._question.kind) if span.width_ms == FIVE_MINUTES_MS else hours(self._question.kind)
        return f"FROM {name} WHERE at_ms >= ? AND at_ms < ? AND {self._cell('count')} > 0{self._of}"

    def _cell(self, part: str) -> str:
        return quoted(f"{self._metric.name}.{part}")

    def _select(self, span: Span) -> str:
        """What a span gives to the whole: values, or for each step what its value is made of."""
        is_raw, source = span.width_ms == RAW, self._source(span)
        if self._way is None:
            return f"SELECT {self._plain(is_raw=is_raw)} {source}"
        if is_raw and self._way is Aggregate.INCREASE:
            source = self._differences(span, source)
        made = self._of_raw(self._way) if is_raw else self._of_buckets(self._way)
        at, every_ms = "measured_at_ms" if is_raw else "at_ms", self._question.every_ms
        return f"SELECT {at} // {every_ms} * {every_ms} AS step, {made} {source} GROUP BY step"

    def _plain(self, *, is_raw: bool) -> str:
        if is_raw:
            return f"measured_at_ms AS moment, {quoted(self._metric.name)} AS value, stream, seq"
        is_number = self._metric.type is MetricType.NUMBER
        value = f"{self._cell('sum')} / {self._cell('count')}" if is_number else self._cell("last")
        return f"at_ms AS moment, {value} AS value, '' AS stream, 0 AS seq"

    def _of_raw(self, way: Aggregate) -> str:
        column, order = quoted(self._metric.name), "(measured_at_ms, device, seq, stream)"
        return {
            Aggregate.MEAN: f"sum({column}) AS total, count({column}) AS value",
            Aggregate.MIN: f"min({column}) AS value",
            Aggregate.MAX: f"max({column}) AS value",
            Aggregate.LAST: f"arg_max({column}, {order}) AS value, max({order}) AS moment",
            Aggregate.COUNT: f"count({column}) AS value",
            Aggregate.INCREASE: "sum(difference) AS value",
        }[way]

    def _of_buckets(self, way: Aggregate) -> str:
        cell = self._cell
        order = f"({cell('last_ms')}, device, 0, '')"
        return {
            Aggregate.MEAN: f"sum({cell('sum')}) AS total, sum({cell('count')}) AS value",
            Aggregate.MIN: f"min({cell('min')}) AS value",
            Aggregate.MAX: f"max({cell('max')}) AS value",
            Aggregate.LAST: f"arg_max({cell('last')}, {order}) AS value, max({order}) AS moment",
            Aggregate.COUNT: f"sum({cell('count')}) AS value",
            Aggregate.INCREASE: f"sum({cell('increase')}) AS value",
        }[way]

    # -- what a counter has grown by

    def _differences(self, span: Span, source: str) -> str:
        """FROM the readings of a raw span, each with its difference to the one before of its device and asset."""
        column, befores = quoted(self._metric.name), f"befores_{span.start_ms}"
        self._cursor.register(befores, self._befores(span, source))
        return (
            f"FROM (SELECT measured_at_ms, CASE WHEN before IS NULL THEN 0 WHEN value >= before THEN value - before "
            f"ELSE value END AS difference FROM (SELECT found.measured_at_ms, found.{column} AS value, "
            f"coalesce(lag(found.{column}) OVER (PARTITION BY found.device, found.asset "
            f"ORDER BY found.measured_at_ms, found.seq, found.stream), befores.before) AS before "
            f"FROM (SELECT * {source}) AS found LEFT JOIN {befores} AS befores USING ({SERIES})))"
        )

    def _befores(self, span: Span, source: str) -> pa.Table:
        """Of each device and asset in a raw span, what its counter showed last before it, if anything."""
        series = self._cursor.execute(f"SELECT DISTINCT {SERIES} {source}", self._arguments(span)).fetchall()
        lacking: set[tuple[str, str]] = set(series)
        found: list[tuple[str, str, float]] = []
        for earlier in before(span.start_ms, self._reach, is_raw=self._question.without != 0):
            if not lacking:
                break
            self._cursor.register("lacking", _columns(("device", "asset"), sorted(lacking)))
            value, order = quoted(self._metric.name), "(measured_at_ms, seq, stream)"
            if earlier.width_ms != RAW:
                value, order = self._cell("last"), self._cell("last_ms")
            found += self._cursor.execute(
                f"SELECT {SERIES}, arg_max({value}, {order}) {self._source(earlier)} "
                f"AND ({SERIES}) IN (SELECT ({SERIES}) FROM lacking) GROUP BY {SERIES}",
                self._arguments(earlier),
            ).fetchall()
            lacking -= {(device, asset) for device, asset, _ in found}
        return _columns(("device", "asset", "before"), found)


def _columns(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    types = [pa.float64() if name == "before" else pa.string() for name in names]
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    return pa.table({
        name: pa.array(column, type_) for name, column, type_ in zip(names, columns, types, strict=True)
    })  # fmt: skip
