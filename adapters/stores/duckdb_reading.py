"""Questions to DuckDB: each with a cursor of its own, which sees the last committed state."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import duckdb

from adapters.stores.arrow_columns import FIXED
from adapters.stores.duckdb_tables import PREFIX, quoted, sentence, stored_readings, table
from adapters.stores.duckdb_telling import Telling
from adapters.stores.spans import Reach
from contract.kind import Kinds, Value
from contract.ports import LATEST_WITHIN_MS, StoredReading, StoreFault
from contract.questions import Question

HISTORY_ROWS = 5_000  # fetched at one time


class DuckReader:
    """The reading half of DuckStore. Everything here raises StoreFault."""

    def __init__(
        self, where: str, kinds: Kinds, cursor: Callable[[], duckdb.DuckDBPyConnection], exact_ms: Callable[[str], int]
    ) -> None:
        """`exact_ms`: up to when the aggregates of a kind are what its readings say."""
        self._where, self._kinds, self._cursor, self._exact_ms = where, kinds, cursor, exact_ms

    def readings(self, question: Question) -> list[tuple[int, Value]]:
        """As contract.ports.Store says. Raises KeyError and ValueError, too."""
        kind, metric = question.kind, self._kinds[question.kind].metrics[question.metric]
        exact_ms = self._exact_ms(kind)  # before the transaction: what becomes inexact now, it does not see
        with closing(self._cursor()) as cursor:
            try:
                cursor.begin()
                [(raw_ms, five_ms)] = cursor.execute(
                    "SELECT raw_from_ms, five_minutes_from_ms FROM retired WHERE kind = ?", [kind]
                ).fetchall()
                rows = Telling(cursor, question, metric, Reach(raw_ms, five_ms, exact_ms)).rows()
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
                "QUALIFY row_number() OVER "
                "(PARTITION BY device ORDER BY measured_at_ms DESC, seq DESC, stream DESC) = 1",
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
