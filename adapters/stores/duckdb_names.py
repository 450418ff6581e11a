"""Recounts a DuckDB store: runs of seqs that follow one another, found in SQL, a part of the devices at a time."""

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

from adapters.stores.duckdb_asking import arrow
from adapters.stores.duckdb_store import DuckStore
from adapters.stores.duckdb_tables import PREFIX, quoted
from contract import ranges
from contract.extracts import Held

PART_ROWS = 2_000_000  # counted at one time: about 300 MB in DuckDB, which has 512
RUNS_CHUNK = 10_000  # rows of Python objects made at one time


class DuckNames:
    """Implements contract.extracts.Names."""

    def __init__(self, store: DuckStore) -> None:
        self._store = store

    def keeps_from_ms(self, now_ms: int, real_ms: int) -> int | None:
        return None

    def held(self, told: Callable[[int], None]) -> Iterator[Held]:
        tables = "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, ?)"
        names = [row["table_name"] for row in arrow(self._store, tables, [PREFIX]).to_pylist()]
        if not names:
            return
        rows = self._store.count()
        parts = max(1, -(-rows // PART_ROWS))
        for part in range(parts):
            yield from self._part(names, parts, part)
            told(rows // parts)
        told(rows % parts)

    def _part(self, names: list[str], parts: int, part: int) -> Iterator[Held]:
        """A stream's runs, and beside them each seq that is there twice as a run of its own kind."""
        everything = " UNION ALL ".join(
            f"SELECT device, stream, seq FROM {quoted(name)} WHERE hash(device) % {parts} = {part}"  # noqa: S608
            for name in names
        )
        query = (
            f"WITH one AS (SELECT device, stream, seq, count(*) > 1 AS twice FROM ({everything}) GROUP BY ALL), "  # noqa: S608
            "every AS (SELECT device, stream, seq, false AS twice FROM one "
            "UNION ALL SELECT device, stream, seq, true FROM one WHERE twice), "
            "run AS (SELECT *, seq - row_number() OVER (PARTITION BY device, stream, twice ORDER BY seq) AS run "
            "FROM every) "
            "SELECT device, stream, twice, min(seq) AS first, max(seq) AS last FROM run "
            "GROUP BY device, stream, twice, run ORDER BY device, stream, twice, first"
        )
        found = arrow(self._store, query)
        for (device, stream), rows in groupby(_rows(found), itemgetter("device", "stream")):
            held: list[ranges.Range] = []
            doubled: list[ranges.Range] = []
            for row in rows:
                (doubled if row["twice"] else held).append((row["first"], row["last"]))
            yield Held(device, stream, held, doubled)


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    for batch in found.to_batches(max_chunksize=RUNS_CHUNK):
        yield from batch.to_pylist()
