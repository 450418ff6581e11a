"""Recounts a DuckDB store: runs of seqs that follow one another, found in SQL, a part of the devices at a time."""

from collections.abc import Callable, Iterator, Mapping
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

    def keeps_from_ms(self, now_ms: int, real_ms: int) -> dict[str, int]:
        return self._raw_from_ms()

    def _raw_from_ms(self) -> dict[str, int]:
        """Of kinds that are not loaded, too."""
        retired = arrow(self._store, "SELECT kind, raw_from_ms FROM retired WHERE raw_from_ms > 0").to_pylist()
        return {row["kind"]: row["raw_from_ms"] for row in retired}

    def held(self, told: Callable[[int], None]) -> Iterator[Held]:
        tables = "SELECT table_name FROM duckdb_tables() WHERE starts_with(table_name, ?)"
        names = [row["table_name"] for row in arrow(self._store, tables, [PREFIX]).to_pylist()]
        if not names:
            return
        raw_from_ms = self._raw_from_ms()
        kept = {  # for each table: 0 where nothing is deleted, else its seq where everything is kept
            name: f"CASE WHEN measured_at_ms >= {from_ms} THEN seq END" if from_ms else "0"
            for name in names
            for from_ms in [raw_from_ms.get(name.removeprefix(PREFIX), 0)]
        }
        rows = self._store.count()
        parts = max(1, -(-rows // PART_ROWS))
        for part in range(parts):
            yield from self._part(kept, parts, part)
            told(rows // parts)
        told(rows % parts)

    def _part(self, kept: Mapping[str, str], parts: int, part: int) -> Iterator[Held]:
        """A stream's runs, and beside them each seq that is there twice as a run of its own kind."""
        everything = " UNION ALL ".join(
            f"SELECT device, stream, seq, {seq} AS kept FROM {quoted(name)} WHERE hash(device) % {parts} = {part}"
            for name, seq in kept.items()
        )
        query = (
            f"WITH one AS (SELECT device, stream, seq, count(*) > 1 AS twice, min(kept) AS kept FROM ({everything}) "
            "GROUP BY device, stream, seq), "
            "every AS (SELECT device, stream, seq, kept, false AS twice FROM one "
            "UNION ALL SELECT device, stream, seq, kept, true FROM one WHERE twice), "
            "run AS (SELECT *, seq - row_number() OVER (PARTITION BY device, stream, twice ORDER BY seq) AS run "
            "FROM every) "
            "SELECT device, stream, twice, min(seq) AS first, max(seq) AS last, min(kept) AS kept FROM run "
            "GROUP BY device, stream, twice, run ORDER BY device, stream, twice, first"
        )
        found = arrow(self._store, query)
        for (device, stream), rows in groupby(_rows(found), itemgetter("device", "stream")):
            held: list[ranges.Range] = []
            doubled: list[ranges.Range] = []
            kept_seq: int | None = None
            for row in rows:
                if row["kept"] is not None:
                    kept_seq = row["kept"] if kept_seq is None else min(kept_seq, row["kept"])
                (doubled if row["twice"] else held).append((row["first"], row["last"]))
            yield Held(device, stream, held, doubled, kept_seq)


def _rows(found: Any) -> Iterator[dict[str, Any]]:
    for batch in found.to_batches(max_chunksize=RUNS_CHUNK):
        yield from batch.to_pylist()
