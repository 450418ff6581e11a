"""DuckDB's tables of aggregates, and rows in and out of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from adapters.stores.aggregates import COUNT_MARKED, READINGS, parts
from adapters.stores.duckdb_tables import quoted, table
from contract.aggregates import HOUR_MS, Place, Row
from contract.kind import Kind

PLACE = ("device", "asset", "commune", "zone", "group_name")
KEY = ("at_ms", *PLACE)
ROWS = 5_000  # fetched at one time

Cursor = duckdb.DuckDBPyConnection


def five(kind: str) -> str:
    return quoted(f"five_minutes_{kind}")


def hours(kind: str) -> str:
    return quoted(f"hours_{kind}")


def known(kind: str) -> str:
    """What five minutes were when their raw readings went; only where late ones came after that."""
    return quoted(f"known_{kind}")


def prepare(cursor: Cursor, kind: Kind) -> None:
    """Make or widen a kind's tables; mark all its hours when it never had any."""
    place = ", ".join(f"{name} VARCHAR NOT NULL" for name in PLACE)
    cells = columns(kind)
    wanted = ", ".join(f"{quoted(cell)} {type_}" for cell, type_ in cells.items())
    for name in (five(kind.name), hours(kind.name), known(kind.name)):
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {name} (at_ms BIGINT NOT NULL, {place}, {wanted})")
        rows = cursor.execute("SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [name.strip('"')])
        for cell in cells.keys() - {there for (there,) in rows.fetchall()}:
            cursor.execute(f"ALTER TABLE {name} ADD COLUMN {quoted(cell)} {cells[cell]}")
    if not cursor.execute("SELECT 1 FROM retired WHERE kind = ?", [kind.name]).fetchall():
        cursor.execute("INSERT INTO retired VALUES (?, 0, 0)", [kind.name])
        cursor.execute(
            f"INSERT INTO marks SELECT DISTINCT ?, measured_at_ms // {HOUR_MS} * {HOUR_MS}, '' FROM {table(kind.name)}",
            [kind.name],
        )


def columns(kind: Kind) -> dict[str, str]:
    """Cell → its type, of all aggregates of a kind."""
    found = {READINGS: "INTEGER", COUNT_MARKED: "INTEGER"}
    for metric in kind.metrics.values():
        for cell, is_word in parts(metric).items():
            part = cell.removeprefix(f"{metric.name}.")
            is_count = part == "count" or part.startswith("is.")
            whole = "INTEGER" if is_count else "BIGINT" if part.endswith("_ms") else "DOUBLE"
            found[cell] = "VARCHAR" if is_word else whole
    return found


def fetch(cursor: Cursor, kind: Kind, name: str, where: str, arguments: Sequence[Any] = ()) -> Iterator[Row]:
    """The rows of a table of aggregates, in order of place and time."""
    cells = list(columns(kind))
    chosen, order = ", ".join(map(quoted, (*KEY, *cells))), ", ".join((*PLACE, "at_ms"))
    found = cursor.execute(f"SELECT {chosen} FROM {name} WHERE {where} ORDER BY {order}", list(arguments))
    while rows := found.fetchmany(ROWS):
        for at_ms, device, asset, commune, zone, group, *values in rows:
            yield Row(
                place=Place(device, asset, commune, zone, group),
                at_ms=at_ms,
                cells={
                    cell: value if isinstance(value, str) else float(value)
                    for cell, value in zip(cells, values, strict=True)
                    if value is not None
                },
            )


def insert(cursor: Cursor, kind: Kind, name: str, rows: Iterable[Row]) -> int:
    """Add rows to a table of aggregates; cells that its kind has not are left out."""
    found = list(rows)
    if not found:
        return 0
    places = list(
        zip(*((r.at_ms, *(getattr(r.place, p) for p in Place.__struct_fields__)) for r in found), strict=True)
    )
    arrays = {key: pa.array(column) for key, column in zip(KEY, places, strict=True)}
    for cell, type_ in columns(kind).items():
        arrow_type = pa.string() if type_ == "VARCHAR" else pa.float64()
        arrays[cell] = pa.array([row.cells.get(cell) for row in found], arrow_type)
    cursor.register("made", pa.table(arrays))
    cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM made")
    cursor.unregister("made")
    return len(found)
