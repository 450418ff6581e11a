"""Readings taken out of a DuckDB store in bulk: slices of time, each by a cursor of its own that is closed at once."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from adapters.stores.arrow_columns import FIXED, metrics_of, schema, typed
from adapters.stores.duckdb_asking import arrow
from adapters.stores.duckdb_store import DuckStore
from adapters.stores.duckdb_tables import quoted, table
from adapters.stores.slices import in_slices
from contract.extracts import Wanted
from contract.kind import Kinds

BY_NAME = "ORDER BY measured_at_ms, device, stream, seq"


class DuckExtracts:
    """Implements contract.extracts.Extracts. Closing the store is its owner's."""

    def __init__(self, store: DuckStore, kinds: Kinds) -> None:
        self._store, self._kinds = store, kinds

    def schema(self, kind: str, metrics: tuple[str, ...] = ()) -> pa.Schema:
        return schema(self._kinds[kind], self._store.columns(kind), metrics)

    def count(self, kind: str, wanted: Wanted) -> int:
        return self._extent(kind, wanted)[0]

    def tables(self, kind: str, wanted: Wanted) -> Iterator[pa.Table]:
        form = self.schema(kind, wanted.metrics)
        columns = ", ".join(map(quoted, [*(name for name, _, _ in FIXED), *metrics_of(form)]))

        def fetch(start_ms: int, end_ms: int, limit: int | None) -> pa.Table:
            where, arguments = _where(wanted, start_ms, end_ms)
            cut = "" if limit is None else f"LIMIT {limit}"
            query = f"SELECT {columns} FROM {table(kind)} {where} {BY_NAME} {cut}"  # the kinds' names
            return arrow(self._store, query, arguments)

        count, first_ms, last_ms = self._extent(kind, wanted)
        if count:
            for found in in_slices(first_ms, last_ms, count, fetch):
                yield typed(found, form)

    def _extent(self, kind: str, wanted: Wanted) -> tuple[int, int, int]:
        """(how many, when the first was measured, when the last)"""
        self.schema(kind, wanted.metrics)
        where, arguments = _where(wanted, wanted.start_ms, wanted.end_ms)
        query = f"SELECT count(*), min(measured_at_ms), max(measured_at_ms) FROM {table(kind)} {where}"
        [row] = arrow(self._store, query, arguments).to_pylist()
        count, first_ms, last_ms = row.values()
        return int(count), int(first_ms or 0), int(last_ms or 0)


def _where(wanted: Wanted, start_ms: int, end_ms: int) -> tuple[str, list[Any]]:
    wheres = ["measured_at_ms >= ?", "measured_at_ms < ?"]
    arguments: list[Any] = [start_ms, end_ms]
    for name, values in (("device", wanted.devices), ("asset", wanted.assets), ("zone", wanted.zones)):
        if values:
            wheres.append(f"{name} IN ({', '.join('?' * len(values))})")
            arguments += values
    if wanted.allowed is not None:
        wheres.append("quality & ? = 0")
        arguments.append(~wanted.allowed)
    if wanted.metrics:
        wheres.append("(" + " OR ".join(f"{quoted(name)} IS NOT NULL" for name in wanted.metrics) + ")")
    return f"WHERE {' AND '.join(wheres)}", arguments
