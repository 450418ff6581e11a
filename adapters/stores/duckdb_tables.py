"""DuckDB's tables of readings: one a kind, the same first columns in each, then a column a metric."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from adapters.stores.arrow_columns import FIXED
from contract import full_disk
from contract.kind import Metric, MetricType, Value
from contract.losses import Loss
from contract.ports import StoredReading
from contract.records import Reading, Telemetry

PREFIX = "readings_"
NO_ROOM = "No space left on device"  # as DuckDB hands on what the system says

LOST = "CREATE TABLE IF NOT EXISTS lost (first BIGINT NOT NULL, last BIGINT NOT NULL)"
"""No row, or the one loss that nobody has accepted."""
LATER = {  # columns that older files lack, with what they are then
    "commune": "VARCHAR DEFAULT ''",
    "zone": "VARCHAR DEFAULT ''",
    "group_name": "VARCHAR DEFAULT ''",
    "device_at_ms": "BIGINT",
}
NULLABLE = frozenset(("device_at_ms",))

Row = tuple[int, int, Telemetry]
"""(received_at_ms, stored_at_ms, the record)"""


def arrow(columns: Mapping[str, bool], rows: list[tuple[Any, ...]], values: list[Mapping[str, Value]]) -> pa.Table:
    fixed = zip(FIXED, zip(*rows, strict=True), strict=True)
    arrays = {name: pa.array(column, type_) for (name, _, type_), column in fixed}
    for name, is_text in columns.items():
        arrays[name] = pa.array([reading.get(name) for reading in values], pa.string() if is_text else pa.float64())
    return pa.table(arrays)


def insert_batch(cursor: duckdb.DuckDBPyConnection, kind: str, span: tuple[int, int], *, once: bool) -> int:
    """Insert the registered `batch`; `once`: only what is not there under its name. How many rows."""
    insert = f"INSERT INTO {table(kind)} BY NAME SELECT * FROM batch"  # a kind's name
    arguments: list[Any] = []
    if once:
        insert += (
            f" WHERE NOT EXISTS (SELECT 1 FROM {table(kind)} AS known WHERE known.measured_at_ms BETWEEN ? AND ? "
            "AND known.measured_at_ms = batch.measured_at_ms AND known.device = batch.device "
            "AND known.stream = batch.stream AND known.seq = batch.seq)"
        )
        arguments = list(span)
    return int(cursor.execute(insert, arguments).fetchall()[0][0])


def replace_loss(cursor: duckdb.DuckDBPyConnection, loss: Loss | None) -> None:
    cursor.execute("DELETE FROM lost")
    if loss is not None:
        cursor.execute("INSERT INTO lost VALUES (?, ?)", [loss.first, loss.last])


def span_of(batch: pa.Table) -> tuple[int, int]:
    bounds = pc.min_max(batch["measured_at_ms"]).as_py()
    return bounds["min"], bounds["max"]


def touches(one: tuple[int, int] | None, other: tuple[int, int]) -> bool:
    return one is not None and one[0] <= other[1] and other[0] <= one[1]


def table(kind: str) -> str:
    return quoted(PREFIX + kind)


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sql_type(metric: Metric) -> str:
    return "VARCHAR" if metric.type is MetricType.ENUM else "DOUBLE"


def stored_readings(kind: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[StoredReading]:
    """Rows of all columns, the fixed ones first, as what they hold."""
    count = len(FIXED)
    for row in rows:
        measured_at_ms, received_at_ms, stored_at_ms, device, asset, stream, seq, boot, quality = row[:9]
        *place, device_at_ms = row[9:count]
        commune, zone, group = (text or "" for text in place)
        values = {name: value for name, value in zip(columns[count:], row[count:], strict=True) if value is not None}
        yield StoredReading(
            received_at_ms=received_at_ms,
            stored_at_ms=stored_at_ms,
            record=Telemetry(
                device=device,
                asset=asset,
                kind=kind,
                stream=stream,
                boot=boot,
                commune=commune,
                zone=zone,
                group=group,
                readings=(Reading(seq, measured_at_ms, values, quality, device_at_ms),),
            ),
        )


def opening_sentence(path: Path, error: duckdb.Error) -> str:
    if NO_ROOM in str(error):
        return full_disk.sentence(path, sentence(error))
    if "lock" in str(error):
        return f"{path}: is open in another process ({sentence(error)}); stop that one first"
    if "not a valid DuckDB" in str(error):
        return f"{path}: is no DuckDB database; name the right file, or restore it from a backup"
    return f"{path}: cannot be opened ({sentence(error)}); make room on the disk, or restore it from a backup"


def sentence(error: Exception) -> str:
    """The first line of what a library says."""
    return str(error).splitlines()[0].removesuffix(".")
