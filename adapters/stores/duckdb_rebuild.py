"""A DuckDB store made anew in a file beside, with what the old one has and the log cannot give back.

Theory of operation. The new file is filled from the log by the store's own `write`. Then the old file is attached to
it and `adopt` takes over, table by table, each reading whose name (device, stream, seq) the new one lacks, once: names
are compared a part of the devices at a time, so that the work fits into DuckDB's bound of memory. Tables of kinds that
are not loaded and columns of metrics that a kind has lost come along. A table that this module does not know ends it:
what is not understood must not be left behind in silence.

Aggregates come along as they are, with what `retired` says: what they are made of may be gone. The new file has marked
every hour that the log wrote in, and the old one brings its own marks; besides, those hours are marked of which the old
one had readings doubled, or at another time than the new one: all these are made anew. Where raw readings are gone
nothing can be, and aggregates are the truth there: the new file is told what the old one has counted in them before it
is filled (see `left_behind`), and leaves that out.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import duckdb

from adapters.stores.duckdb_asking import arrow, change
from adapters.stores.duckdb_store import CONFIG, DuckStore
from adapters.stores.duckdb_tables import PREFIX, quoted
from contract.aggregates import HOUR_MS, Gone
from contract.kind import Kinds
from contract.ports import StoreFault

OLD = "nabd_old"
PART_ROWS = 2_000_000  # of the old table, whose names are compared at one time
OWN = {"position", "copied", "lost", "marks", "retired", "counted"}
AGGREGATES = ("five_minutes_", "hours_", "known_")
"""What the names of their tables begin with, before a kind's."""


def fold_in(path: Path) -> None:
    """Move what stands in the write-ahead log of a closed store into its file, so that the file is all of it.

    Raises StoreFault when it cannot be read.
    """
    try:
        with closing(duckdb.connect(str(path), config=CONFIG)) as opened:
            opened.execute("CHECKPOINT")
    except duckdb.Error as error:
        raise StoreFault(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None


def left_behind(path: Path, kinds: Kinds) -> tuple[int, dict[str, Gone]]:
    """(the position up to which a closed store counts the log, kind → what is gone of it). Raises StoreFault."""
    with closing(DuckStore(path, kinds)) as store:
        upto = max(store.position(), store.aggregates.counted_upto)
        return upto, {kind: store.aggregates.gone(kind) for kind in kinds}


def adopt(new: DuckStore, old: Path) -> Iterator[tuple[str, int, int]]:
    """Take over what only `old` has: (table, readings it has, how many of them were taken), table by table.

    Raises StoreFault.
    """
    place = str(old).replace("'", "''")
    change(new, f"ATTACH '{place}' AS {OLD} (READ_ONLY)")
    try:
        names = [row["table_name"] for row in arrow(new,
            "SELECT table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY table_name", [OLD]
        ).to_pylist()]  # fmt: skip
        if unknown := [name for name in names if name not in OWN and not name.startswith((PREFIX, *AGGREGATES))]:
            raise StoreFault(
                f"{old}: holds a table {unknown[0]!r} that this Nabd does not know; use the Nabd that made it"
            )
        if "copied" in names:
            change(new, f"INSERT OR REPLACE INTO copied SELECT * FROM {OLD}.copied")  # a constant
        if "lost" in names:  # it is as lost as before
            change(new, f"INSERT INTO lost SELECT * FROM {OLD}.lost WHERE NOT EXISTS (SELECT 1 FROM lost)")
        if "retired" in names:
            change(new, f"INSERT OR REPLACE INTO retired SELECT * FROM {OLD}.retired")
        if "marks" in names:
            change(new, f"INSERT INTO marks SELECT * FROM {OLD}.marks")
        for name in names:
            if name.startswith(AGGREGATES):
                _make_alike(new, name)
                change(new, f"INSERT INTO {quoted(name)} BY NAME SELECT * FROM {OLD}.{quoted(name)}")
        for name in names:
            if name.startswith(PREFIX):
                yield name.removeprefix(PREFIX), *_adopt_table(new, name)
    finally:
        change(new, f"DETACH {OLD}")


def _make_alike(new: DuckStore, name: str) -> None:
    """Give `new` this table of the old store, empty, or the columns that its own lacks."""
    here, there = quoted(name), f"{OLD}.{quoted(name)}"
    change(new, f"CREATE TABLE IF NOT EXISTS {here} AS SELECT * FROM {there} LIMIT 0")  # a table's name
    columns = arrow(
        new,
        "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND table_name = ?",
        [OLD, name],
    )
    for column in columns.to_pylist():
        change(
            new, f"ALTER TABLE {here} ADD COLUMN IF NOT EXISTS {quoted(column['column_name'])} {column['data_type']}"
        )


def _adopt_table(new: DuckStore, name: str) -> tuple[int, int]:
    _make_alike(new, name)
    here, there = quoted(name), f"{OLD}.{quoted(name)}"
    [[rows]] = [row.values() for row in arrow(new, f"SELECT count(*) FROM {there}").to_pylist()]
    parts, taken = max(1, -(-rows // PART_ROWS)), 0
    for part in range(parts):
        taken += change(
            new,
            f"INSERT INTO {here} BY NAME SELECT * FROM {there} AS old WHERE hash(device) % {parts} = {part} "
            f"AND NOT EXISTS (SELECT 1 FROM {here} AS new WHERE new.device = old.device AND new.stream = old.stream "
            f"AND new.seq = old.seq AND hash(new.device) % {parts} = {part}) "
            "QUALIFY row_number() OVER (PARTITION BY device, stream, seq ORDER BY stored_at_ms, measured_at_ms) = 1",
        )
        _mark_what_differs(new, name, f"hash(device) % {parts} = {part}")
    return int(rows), taken


def _mark_what_differs(new: DuckStore, name: str, which: str) -> None:
    """The hours whose aggregates count a reading of the old store that is not in the new one, or more than once."""
    here, there, kind = quoted(name), f"{OLD}.{quoted(name)}", name.removeprefix(PREFIX).replace("'", "''")
    raw_from_ms = f"coalesce((SELECT raw_from_ms FROM retired WHERE kind = '{kind}'), 0)"
    change(
        new,
        f"INSERT INTO marks SELECT DISTINCT '{kind}', measured_at_ms // {HOUR_MS} * {HOUR_MS}, device FROM ("
        f"SELECT device, stream, seq, measured_at_ms, count(*) AS times FROM {there} "
        f"WHERE {which} AND measured_at_ms >= {raw_from_ms} GROUP BY ALL) AS old "
        f"WHERE times > 1 OR NOT EXISTS (SELECT 1 FROM {here} AS new WHERE new.device = old.device "
        "AND new.stream = old.stream AND new.seq = old.seq AND new.measured_at_ms = old.measured_at_ms)",
    )
