"""Questions to DuckDB: each with a cursor of its own, which sees the last committed state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import duckdb

from adapters.stores.duckdb_aggregate_rows import five, hours
from adapters.stores.duckdb_tables import FIXED, PREFIX, quoted, sentence, stored_readings, table
from adapters.stores.spans import RAW, Reach, Span, is_mean, plan
from contract.aggregates import FIVE_MINUTES_MS
from contract.kind import Kinds, Metric, MetricType, Value
from contract.ports import LATEST_WITHIN_MS, StoredReading, StoreFault

HISTORY_ROWS = 5_000  # fetched at one time
OPEN_MS = 2**60


class DuckReader:
    """The reading half of DuckStore. Everything here raises StoreFault."""

    def __init__(
        self, where: str, kinds: Kinds, cursor: Callable[[], duckdb.DuckDBPyConnection], exact_ms: Callable[[str], int]
    ) -> None:
        """`exact_ms`: up to when the aggregates of a kind are what its readings say."""
        self._where, self._kinds, self._cursor, self._exact_ms = where, kinds, cursor, exact_ms

    def readings(
        self,
        kind: str,
        metric: str,
        bounds_ms: tuple[int, int],
        sources: Mapping[str, str | None],
        every_ms: int | None,
        limit: int,
        without: int = 0,
    ) -> list[tuple[int, Value]]:
        """`sources`: column → the value it must have, or None for any. Raises KeyError, too.

        `without`: bits of quality that no reading has; if any is set, only raw readings can answer.
        """
        known = self._kinds[kind].metrics[metric]
        exact_ms = self._exact_ms(kind)  # before the transaction: what becomes inexact now, it does not see
        with closing(self._cursor()) as cursor:
            try:
                cursor.begin()
                [(raw_ms, five_ms)] = cursor.execute(
                    "SELECT raw_from_ms, five_minutes_from_ms FROM retired WHERE kind = ?", [kind]
                ).fetchall()
                spans = plan(*bounds_ms, every_ms, Reach(raw_ms, five_ms, exact_ms), is_raw=without != 0)
                if not spans:
                    return []
                query, arguments = _question(kind, known, spans, sources, every_ms, without)
                rows = cursor.execute(f"{query} LIMIT ?", [*arguments, limit]).fetchall()
            except duckdb.Error as error:
                raise self.unreadable(error) from None
        return [(int(at), value) for at, value in rows]

    def marks(self, kind: str, device: str, bounds_ms: tuple[int, int], limit: int) -> list[tuple[int, int]]:
        query = (
            f"SELECT measured_at_ms, quality FROM {table(kind)} WHERE device = ? AND quality <> 0 "
            "AND measured_at_ms < ? AND measured_at_ms >= greatest(?, (SELECT raw_from_ms FROM retired WHERE kind = ?))"
            " ORDER BY measured_at_ms, stream, seq LIMIT ?"
        )
        start_ms, end_ms = bounds_ms
        return [(int(at), int(bits)) for at, bits in self.fetch(query, [device, end_ms, start_ms, kind, limit])]

    def latest(self) -> Iterator[tuple[str, str, int, Mapping[str, Value]]]:
        for kind in self._kinds.values():
            metrics = list(kind.metrics)
            columns = ", ".join(map(quoted, metrics))
            rows = self.fetch(
                f"SELECT device, measured_at_ms, {columns} FROM {table(kind.name)} "  # the kinds' names
                f"WHERE measured_at_ms >= (SELECT max(measured_at_ms) - ? FROM {table(kind.name)}) "
                "QUALIFY row_number() OVER (PARTITION BY device ORDER BY measured_at_ms DESC, seq DESC) = 1",
                [LATEST_WITHIN_MS],
            )
            for device, measured_at_ms, *values in rows:
                known = {name: value for name, value in zip(metrics, values, strict=True) if value is not None}
                yield device, kind.name, int(measured_at_ms), known

    def count(self) -> int:
        tables = self.fetch("SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, ?)", [PREFIX])
        return sum(int(self.fetch(f"SELECT count(*) FROM {quoted(name)}")[0][0]) for (name,) in tables)

    def span(self) -> tuple[int, int] | None:
        bounds = [
            self.fetch(f"SELECT min(measured_at_ms), max(measured_at_ms) FROM {table(kind)}")[0] for kind in self._kinds
        ]
        known = [(int(first), int(last)) for first, last in bounds if first is not None]
        return (min(first for first, _ in known), max(last for _, last in known)) if known else None

    def held(self, kind: str, start_ms: int, end_ms: int) -> int:
        where = "WHERE measured_at_ms >= ? AND measured_at_ms < ?"
        return int(self.fetch(f"SELECT count(*) FROM {table(kind)} {where}", [start_ms, end_ms])[0][0])

    def history(self, kind: str, metrics: Iterable[str], start_ms: int, end_ms: int) -> Iterator[StoredReading]:
        columns = [*(name for name, _, _ in FIXED), *metrics]
        query = (
            f"SELECT {', '.join(map(quoted, columns))} FROM {table(kind)} "  # the kinds' names
            "WHERE measured_at_ms >= ? AND measured_at_ms < ? ORDER BY measured_at_ms, device, stream, seq"
        )
        try:
            with closing(self._cursor()) as cursor:
                found = cursor.execute(query, [start_ms, end_ms])
                while rows := found.fetchmany(HISTORY_ROWS):
                    yield from stored_readings(kind, columns, rows)
        except duckdb.Error as error:
            raise self.unreadable(error) from None

    def fetch(self, query: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """With a cursor of its own, gone afterwards: one left open would hold on to a file that must be reopened."""
        try:
            with closing(self._cursor()) as cursor:
                return list(cursor.execute(query, list(arguments)).fetchall())
        except duckdb.Error as error:
            raise self.unreadable(error) from None

    def unreadable(self, error: Exception) -> StoreFault:
        return StoreFault(f"{self._where}: cannot be read ({sentence(error)})")


def _question(
    kind: str,
    metric: Metric,
    spans: Sequence[Span],
    sources: Mapping[str, str | None],
    every_ms: int | None,
    without: int,
) -> tuple[str, list[Any]]:
    """One statement over all spans, and its arguments; rows are (time, value) in order. `without`: raw spans only."""
    chosen = {name: value for name, value in sources.items() if value is not None}
    wheres = "".join(f" AND {name} = ?" for name in chosen)
    if without:
        wheres += f" AND quality & {without:d} = 0"
    selects, arguments = [], list[Any]()
    for span in spans:
        selects.append(_span(kind, metric, span, wheres, every_ms))
        arguments += [span.start_ms, span.end_ms, *chosen.values()]
    union = " UNION ALL ".join(selects)
    if every_ms is None:
        return f"SELECT moment, value FROM ({union}) ORDER BY moment, stream, seq", arguments
    value = "sum(total) / sum(number)" if is_mean(metric) else "arg_max(value, (moment, seq))"
    return f"SELECT step, {value} FROM ({union}) GROUP BY step ORDER BY step", arguments


def _span(kind: str, metric: Metric, span: Span, wheres: str, every_ms: int | None) -> str:
    """What a span gives to the whole: values, or for each step what its value is made of."""
    if span.width_ms == RAW:
        source, at, column = table(kind), "measured_at_ms", quoted(metric.name)
        there, total, number, seq = f"{column} IS NOT NULL", f"sum({column})", f"count({column})", "seq"
        value, last_ms, plain = column, at, f"{at} AS moment, {column} AS value, stream, seq"
    else:
        source = five(kind) if span.width_ms == FIVE_MINUTES_MS else hours(kind)
        at, seq, last_ms = "at_ms", "0", quoted(f"{metric.name}.last_ms")
        count, column, value = (quoted(f"{metric.name}.{part}") for part in ("count", "sum", "last"))
        there, total, number = f"{count} > 0", f"sum({column})", f"sum({count})"
        mean = f"{column} / {count}" if metric.type is MetricType.NUMBER else value
        plain = f"{at} AS moment, {mean} AS value, '' AS stream, 0 AS seq"
    where = f"FROM {source} WHERE {at} >= ? AND {at} < ? AND {there}{wheres}"
    if every_ms is None:
        return f"SELECT {plain} {where}"
    step = f"{at} // {every_ms} * {every_ms}"
    if is_mean(metric):
        return f"SELECT {step} AS step, {total} AS total, {number} AS number {where} GROUP BY step"
    return (
        f"SELECT {step} AS step, arg_max({value}, ({last_ms}, {seq})) AS value, max({last_ms}) AS moment, "
        f"arg_max({seq}, ({last_ms}, {seq})) AS seq {where} GROUP BY step"
    )
