"""The columns of readings that leave a store: names, types and units, the same whichever store they come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from contract.kind import Kind, Metric, MetricType
from contract.ports import StoreFault
from contract.records import Quality

FIXED: tuple[tuple[str, str, Any], ...] = (
    ("measured_at_ms", "BIGINT", pa.int64()),
    ("received_at_ms", "BIGINT", pa.int64()),
    ("stored_at_ms", "BIGINT", pa.int64()),
    ("device", "VARCHAR", pa.string()),
    ("asset", "VARCHAR", pa.string()),
    ("stream", "VARCHAR", pa.string()),
    ("seq", "BIGINT", pa.int64()),
    ("boot", "BIGINT", pa.int64()),
    ("quality", "INTEGER", pa.int32()),
    ("commune", "VARCHAR", pa.string()),
    ("zone", "VARCHAR", pa.string()),
    ("group_name", "VARCHAR", pa.string()),
    ("device_at_ms", "BIGINT", pa.int64()),
)
"""What a reading is, before what it measured: (column, type in DuckDB, type in Arrow). Times are Unix ms, UTC."""
TIME = pa.timestamp("ms", tz="UTC")
LOST = "of a metric that this kind no longer has"
TYPES = {
    MetricType.NUMBER: pa.float64(),
    MetricType.COUNTER: pa.int64(),
    MetricType.BOOLEAN: pa.bool_(),
    MetricType.ENUM: pa.string(),
}
MEANINGS = {
    "measured_at": "when it was measured, UTC",
    "device_at": "what the device's own clock said, where that is not measured_at",
    "received_at": "when it was kept, UTC",
    "stored_at": "when it was stored, UTC",
    "device": "the controller",
    "asset": "the thing in the street",
    "stream": "a formatted journal of the device",
    "seq": "with device and stream the name of the reading",
    "boot": "how often the device had started",
    "quality": "sum of what is known against it: " + ", ".join(f"{bit.value} {bit.name}".lower() for bit in Quality),
    "commune": "where the asset stood then",
    "zone": "where the asset stood then",
    "group_name": "the circuit, waste type or crop it belonged to then",
}


def column(stored: str) -> str:
    """The name that a stored column of what a reading is has outside: times lose their unit, for their type has it."""
    return stored.removesuffix("_ms") if stored.endswith("_at_ms") else stored


def schema(kind: Kind, held: Mapping[str, bool], metrics: Sequence[str]) -> pa.Schema:
    """`held`: which metrics the store holds of this kind, and is each a text? Raises KeyError for one it does not."""
    fields = [
        pa.field(
            column(name),
            TIME if name.endswith("_at_ms") else type_,
            metadata=_texts(description=MEANINGS.get(column(name), "")),
        )
        for name, _, type_ in FIXED
    ]
    for name in metrics or [*kind.metrics, *(name for name in held if name not in kind.metrics)]:
        metric = kind.metrics.get(name)
        if metric is None:
            type_ = pa.string() if held[name] else pa.float64()
            fields.append(pa.field(name, type_, metadata=_texts(description=LOST)))
        else:
            fields.append(pa.field(name, TYPES[metric.type], metadata=_told(metric)))
    about = _texts(nabd_kind=kind.name, nabd_kind_version=str(kind.version), smart_data_model=kind.smart_data_model)
    return pa.schema(fields, metadata=about)


def metrics_of(columns: pa.Schema) -> list[str]:
    """The names behind what a reading is."""
    return list(columns.names[len(FIXED) :])


def typed(stored: pa.Table, wanted: pa.Schema) -> pa.Table:
    """A table as a store holds it (times in ms, every number a float) in these columns. Raises StoreFault."""
    names = {column(name): name for name in stored.column_names}
    columns = []
    for field in wanted:
        try:
            columns.append(stored[names[field.name]].cast(field.type))
        except pa.ArrowInvalid as error:
            raise StoreFault(f"column {field.name} holds what is no {field.type} ({error}); look at it there") from None
    return pa.Table.from_arrays(columns, schema=wanted)


def _told(metric: Metric) -> dict[str, str]:
    return _texts(
        description=metric.labels["en"],
        type=str(metric.type),
        unit=metric.unit,
        unit_code=metric.unit_code,
        smart_data_model=metric.smart_data_model,
        values=",".join(metric.values),
    )


def _texts(**told: str) -> dict[str, str]:
    return {name: text for name, text in told.items() if text}
