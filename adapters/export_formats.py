"""Tables of readings as files: Parquet, CSV, and InfluxDB's line protocol. Each is written as it comes, never held."""

import io
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq

from adapters.stores.arrow_columns import TIME, metrics_of
from adapters.stores.influx_lines import LineMaker
from contract.kind import Kinds, Value
from contract.records import Entry, Reading, Telemetry

CSV_TIME = "%Y-%m-%dT%H:%M:%SZ"  # Arrow writes the milliseconds of a timestamp in ms with %S
FORMULA = r"^([=+\-@\t\r])"
"""With one of these a spreadsheet takes a text for a formula and runs it (OWASP, CSV injection)."""


class Readings(Protocol):
    """A file that is being written. `write` and `close` raise OSError; without `close` it is not whole."""

    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """It will never be whole: write nothing more, that it may not look so."""


class Gate(io.RawIOBase):
    """What is written goes on to the sink until it is shut; then nothing does any more. The sink stays open."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink: BinaryIO | None = sink

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._sink is not None:
            self._sink.write(data)
        return len(data)

    def shut(self) -> None:
        self._sink = None


class Parquet:
    def __init__(self, sink: BinaryIO, kind: str, schema: pa.Schema, kinds: Kinds) -> None:
        self._gate = Gate(sink)
        self._writer = pq.ParquetWriter(self._gate, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        self._gate.shut()  # Arrow's writer ends by writing the foot that makes it a file, closed or not


class Csv:
    """A head with the columns' names, then a line a reading, in UTF-8.

    Times as ``2026-11-24T17:00:00.000Z``; unknown is empty; a text that a spreadsheet would run gets a ' before it.
    """

    def __init__(self, sink: BinaryIO, kind: str, schema: pa.Schema, kinds: Kinds) -> None:
        plain = [pa.field(field.name, pa.string() if field.type == TIME else field.type) for field in schema]
        self._schema = pa.schema(plain)
        self._writer = pv.CSVWriter(sink, self._schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(pa.Table.from_arrays([_shown(one) for one in table.columns], schema=self._schema))

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        """There is no foot: what stands there is all."""


class Lines:
    """Points as Nabd itself writes them: times in ns, and the same point however often it is imported."""

    def __init__(self, sink: BinaryIO, kind: str, schema: pa.Schema, kinds: Kinds) -> None:
        self._sink, self._kind, self._maker = sink, kind, LineMaker(kinds)
        self._metrics = metrics_of(schema)

    def write(self, table: pa.Table) -> None:
        times = [name for name, field in zip(table.column_names, table.schema, strict=True) if field.type == TIME]
        for name in times:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(pa.int64()))
        for row in table.to_pylist():
            self._maker.add([self._entry(row)], row["stored_at"])
        for _, lines in self._maker.take():
            self._sink.write("".join(f"{line}\n" for line in lines).encode())

    def close(self) -> None:
        """Every line is whole as it stands."""

    def abandon(self) -> None:
        """Likewise."""

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        values: dict[str, Value] = {}
        for name in self._metrics:
            value = row[name]
            if value is not None:
                values[name] = value if isinstance(value, str) else float(value)
        later: dict[str, Any] = {"device_at_ms": row["device_at"]} if "device_at" in row else {}
        reading = Reading(row["seq"], row["measured_at"], values, row["quality"], **later)
        record = Telemetry(
            device=row["device"], asset=row["asset"], kind=self._kind, stream=row["stream"], boot=row["boot"] or 0,
            commune=row["commune"] or "", zone=row["zone"] or "", group=row["group_name"] or "", readings=(reading,),
        )  # fmt: skip
        return Entry(0, row["received_at"], record)


FORMATS: Mapping[str, Callable[[BinaryIO, str, pa.Schema, Kinds], Readings]] = {
    "parquet": Parquet,
    "csv": Csv,
    "lp": Lines,
}


def _shown(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if values.type == TIME:
        return pc.strftime(values, format=CSV_TIME)
    if values.type == pa.string():
        return pc.replace_substring_regex(values, pattern=FORMULA, replacement=r"'\1")
    return values
