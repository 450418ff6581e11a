"""DuckDB as the store: one wide table a kind, in one file that one process opens.

Theory of operation. The tables follow from the kinds: fixed columns that say what a reading is, one column a metric.
A kind that gains a metric gains a column; a column whose metric went stays, and is still filled from old entries. A
metric never changes its type: a file in which it has another one is refused. Files from before commune, zone and group
were stored gain these, empty. `write` turns a batch of log entries into Arrow columns and inserts them together with
the log position in one transaction, so that a crash leaves both or neither; entries at or before the position are
passed over: written twice is stored once. Readers get a cursor each, and so see the last committed state while a batch
is being written. After a fault such as a full disk in the midst of a checkpoint DuckDB refuses everything until the
file is opened anew: the next `write` does so, and goes on from what the file says.

History that was copied in did not come by the log: the log may bring the same readings once more. The table `copied`
remembers from when to when it reaches, and in that time each reading is looked up before it is inserted.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from adapters.stores.arrow_columns import FIXED
from adapters.stores.duckdb_downsampling import DuckAggregates
from adapters.stores.duckdb_reading import DuckReader
from adapters.stores.duckdb_tables import (
    LATER,
    LOST,
    NO_ROOM,
    NULLABLE,
    PREFIX,
    Row,
    arrow,
    insert_batch,
    opening_sentence,
    quoted,
    replace_loss,
    sentence,
    span_of,
    sql_type,
    table,
    touches,
)
from adapters.stores.sifting import sift, uncounted
from contract import full_disk
from contract.aggregates import FOREVER_MS
from contract.kind import Kind, Kinds, Value
from contract.losses import Loss
from contract.ports import PutAway, StoredReading, StoreFault
from contract.questions import Question
from contract.records import Entry, Telemetry

SCHEMA = 1
MEMORY = "512MB"  # DuckDB would take 80 % of the machine
THREADS = 2
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": MEMORY,
    "threads": THREADS,
    "autoinstall_known_extensions": False,  # nothing is fetched from the internet
}
COPY = "nabd_copy"  # the name of a copy while it is made


class DuckStore:
    """Implements contract.ports.Store. Raises StoreFault, with the file and the remedy, when it cannot be opened."""

    def __init__(self, path: Path, kinds: Kinds) -> None:
        self.path = path
        self._kinds = kinds
        self._write_lock = threading.Lock()
        self.passed_over = 0  # readings of kinds that are not loaded any more
        self._columns: dict[str, dict[str, bool]] = {}  # kind → metric column → is it text?
        self._copied: dict[str, tuple[int, int]] = {}  # kind → when the first and last copied reading were measured
        self.aggregates = DuckAggregates(str(path), kinds, self._write_lock, self.cursor)
        self._reader = DuckReader(str(path), kinds, self.cursor, self.aggregates.exact_ms)
        self._open()

    def _open(self) -> None:
        """Raises StoreFault, and leaves nothing open then."""
        try:
            self._connection = duckdb.connect(str(self.path), config=CONFIG)
        except duckdb.Error as error:
            raise StoreFault(opening_sentence(self.path, error)) from None
        try:
            self._prepare()
            [(position,)] = self._ask("SELECT position FROM position")
        except duckdb.Error as error:
            self._connection.close()
            raise StoreFault(f"{self.path}: cannot be read ({sentence(error)}); restore it from a backup") from None
        except StoreFault:
            self._connection.close()
            raise
        self._position = int(position)
        self._is_broken = False

    def position(self) -> int:
        return self._position

    def lost(self) -> Loss | None:
        rows = self._reader.fetch("SELECT first, last FROM lost")
        return Loss(first=int(rows[0][0]), last=int(rows[0][1])) if rows else None

    def keep_loss(self, loss: Loss | None) -> None:
        with self._write_lock:
            self._insert({}, None, FOREVER_MS, loss=(loss,))

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: PutAway | None = None) -> int:
        """Only a value of another type than its column is put away."""
        with self._write_lock:
            if self._is_broken:
                self._connection.close()
                self._open()
            news: Sequence[Entry] = [entry for entry in entries if entry.position > self._position]
            if not news:
                return 0
            last = news[-1].position
            news = uncounted(news, self.aggregates.counted_upto, self.aggregates.raw_from_ms)
            try:
                batches = self._batches(_rows_of(news, stored_at_ms))
            except pa.ArrowException as error:
                news = self._sift(news, put_away, error)
                batches = self._batches(_rows_of(news, stored_at_ms))
            stored = self._insert(batches, last, stored_at_ms)
            self._position = last
            offered = sum(int(batch.num_rows) for batch in batches.values())
            self.passed_over += sum(map(_readings_of, news)) - offered
        return stored

    def _sift(self, news: Sequence[Entry], put_away: PutAway | None, error: Exception) -> list[Entry]:
        """Those without the readings that no column takes, which are put away. Raises StoreFault when nobody takes
        them, and what `put_away` raises."""
        if put_away is None:
            raise StoreFault(
                f"{self.path}: the log holds a value of another type than its kind says ({error})"
            ) from None
        good, refused = sift(news, lambda one: self._batches(_rows_of([one], 0)), pa.ArrowException, str(self.path))
        put_away(refused)
        return good

    def _insert(
        self,
        batches: Mapping[str, pa.Table],
        position: int | None,
        now_ms: int,
        *,
        copied: bool = False,
        loss: tuple[Loss | None] | None = None,
    ) -> int:
        """All of it or nothing; closing a cursor ends a transaction that a fault left open. How many rows were new."""
        stored, spans = 0, dict(self._copied)
        marked: dict[str, Sequence[tuple[int, str]]] = {}
        try:
            with closing(self._connection.cursor()) as cursor:
                cursor.begin()
                for kind, batch in batches.items():
                    span = span_of(batch)
                    cursor.register("batch", batch)
                    stored += insert_batch(cursor, kind, span, once=copied or touches(self._copied.get(kind), span))
                    cursor.unregister("batch")
                    marked[kind] = self.aggregates.note(cursor, kind, batch, span, now_ms)
                    if copied:
                        known = spans.get(kind, span)
                        spans[kind] = min(known[0], span[0]), max(known[1], span[1])
                        cursor.execute("INSERT OR REPLACE INTO copied VALUES (?, ?, ?)", [kind, *spans[kind]])
                if position is not None:
                    cursor.execute("UPDATE position SET position = ?", [position])
                if loss is not None:
                    replace_loss(cursor, *loss)
                cursor.commit()
        except duckdb.Error as error:
            self._is_broken = isinstance(error, (duckdb.FatalException, duckdb.InternalException))
            if NO_ROOM in str(error):
                raise StoreFault(full_disk.sentence(self.path, sentence(error))) from None
            raise StoreFault(f"{self.path}: cannot be written ({sentence(error)})") from None
        self._copied = spans
        for kind, marks in marked.items():
            self.aggregates.marks.add(kind, marks)
        return stored

    def readings(self, question: Question) -> Sequence[tuple[int, Value]]:
        return self._reader.readings(question)

    def marks(
        self, *, kind: str, device: str, start_ms: int, end_ms: int, limit: int = 10_000
    ) -> Sequence[tuple[int, int]]:
        return self._reader.marks(kind, device, (start_ms, end_ms), limit)

    def latest(self) -> Iterable[tuple[str, str, int, Mapping[str, Value]]]:
        return self._reader.latest()

    def count(self) -> int:
        return self._reader.count()

    # -- history

    def columns(self, kind: str) -> Mapping[str, bool]:
        """The metrics that this kind's table has a column of, lost ones too: is it a text? Raises KeyError."""
        return self._columns[kind]

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """For the modules beside this one, which close it at once; a closed store raises duckdb.Error."""
        return self._connection.cursor()

    def span(self) -> tuple[int, int] | None:
        return self._reader.span()

    def held(self, start_ms: int, end_ms: int) -> Mapping[str, int]:
        return {kind: self._reader.held(kind, self._from_ms(kind, start_ms), end_ms) for kind in self._kinds}

    def history(self, start_ms: int, end_ms: int) -> Iterator[StoredReading]:
        for kind in self._kinds:
            yield from self._reader.history(kind, self._columns[kind], self._from_ms(kind, start_ms), end_ms)

    def _from_ms(self, kind: str, start_ms: int) -> int:
        """Late readings of a time that is gone are no history: they stand in its aggregates."""
        return max(start_ms, self.aggregates.raw_from_ms(kind))

    def take(self, readings: Sequence[StoredReading]) -> int:
        """Of a time whose raw readings are gone, none is taken: it may count in the aggregates already."""
        with self._write_lock:
            readings = [one for one in readings if not self._is_gone(one.record)]
            try:
                self._widen(readings)
                batches = self._batches((one.received_at_ms, one.stored_at_ms, one.record) for one in readings)
            except (pa.ArrowException, duckdb.Error) as error:
                raise StoreFault(f"{self.path}: cannot take these readings ({sentence(error)})") from None
            return self._insert(batches, None, FOREVER_MS, copied=True)  # it is over, whenever that was

    def _is_gone(self, record: Telemetry) -> bool:
        return record.readings[0].measured_at_ms < self.aggregates.raw_from_ms(record.kind)

    def _widen(self, readings: Sequence[StoredReading]) -> None:
        """A column for each metric that its kind has lost, and that these still have."""
        for one in readings:
            columns = self._columns.get(one.record.kind)
            if columns is None:
                continue
            for name, value in one.record.readings[0].values.items():
                if name not in columns:
                    type_ = "VARCHAR" if isinstance(value, str) else "DOUBLE"
                    self._ask(f"ALTER TABLE {table(one.record.kind)} ADD COLUMN IF NOT EXISTS {quoted(name)} {type_}")
                    columns[name] = type_ == "VARCHAR"

    def copy_to(self, path: Path) -> int:
        """Copy the store as of one moment into a new file while it goes on; returns the position the copy holds.

        Raises StoreFault, and leaves nothing attached then; what is at `path` is no store in that case.
        """
        target = str(path).replace("'", "''")
        try:
            with closing(self._connection.cursor()) as cursor:
                [(name,)] = cursor.execute("SELECT current_database()").fetchall()
                cursor.execute(f"ATTACH '{target}' AS {COPY}")
                try:
                    cursor.execute(f"COPY FROM DATABASE {quoted(name)} TO {COPY}")
                    [(position,)] = cursor.execute(f"SELECT position FROM {COPY}.position").fetchall()
                finally:
                    cursor.execute(f"DETACH {COPY}")
        except duckdb.Error as error:
            raise StoreFault(f"{self.path}: cannot be copied to {path} ({sentence(error)})") from None
        return int(position)

    def close(self) -> None:
        with self._write_lock:
            self._connection.close()

    def _batches(self, found: Iterable[Row]) -> dict[str, pa.Table]:
        rows: dict[str, list[tuple[Any, ...]]] = {}
        values: dict[str, list[Mapping[str, Value]]] = {}
        for received_at_ms, stored_at_ms, record in found:
            if record.kind not in self._kinds:
                continue
            fixed = rows.setdefault(record.kind, [])
            measured = values.setdefault(record.kind, [])
            for reading in record.readings:
                fixed.append(
                    (
                        reading.measured_at_ms,
                        received_at_ms,
                        stored_at_ms,
                        record.device,
                        record.asset,
                        record.stream,
                        reading.seq,
                        record.boot,
                        reading.quality,
                        record.commune,
                        record.zone,
                        record.group,
                        reading.device_at_ms,
                    )
                )
                measured.append(reading.values)
        return {kind: arrow(self._columns[kind], rows[kind], values[kind]) for kind in rows}

    def _ask(self, query: str, *arguments: object) -> list[Any]:
        """On the writing connection, while nobody else has it. To the last row: a result left half read is an open
        transaction, and DuckDB would never again move its write-ahead log into the file."""
        return list(self._connection.execute(query, list(arguments)).fetchall())

    def _prepare(self) -> None:
        """Make or widen the tables in one transaction."""
        connection = self._connection
        connection.begin()
        connection.execute("CREATE TABLE IF NOT EXISTS position (position BIGINT NOT NULL, schema INTEGER NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS copied (kind VARCHAR PRIMARY KEY, first_ms BIGINT, last_ms BIGINT)"
        )
        connection.execute(LOST)
        schemas = [schema for (schema,) in self._ask("SELECT schema FROM position")]
        if not schemas:
            connection.execute("INSERT INTO position VALUES (0, ?)", [SCHEMA])
        elif schemas != [SCHEMA]:
            connection.rollback()
            raise StoreFault(
                f"{self.path}: store schema {schemas[0]}, this Nabd reads {SCHEMA}; use the Nabd that made it, "
                f"or move the file away and let the log fill a new one"
            )
        for kind in self._kinds.values():
            fixed = ", ".join(f"{name} {sql}{'' if name in NULLABLE else ' NOT NULL'}" for name, sql, _ in FIXED)
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table(kind.name)} ({fixed})")
            for name, sql in LATER.items():
                connection.execute(f"ALTER TABLE {table(kind.name)} ADD COLUMN IF NOT EXISTS {name} {sql}")
            for metric in kind.metrics.values():
                column = f"{quoted(metric.name)} {sql_type(metric)}"
                connection.execute(f"ALTER TABLE {table(kind.name)} ADD COLUMN IF NOT EXISTS {column}")
            self._columns[kind.name] = self._metric_columns(kind)
        self.aggregates.open(connection)
        self._copied = {kind: (first, last) for kind, first, last in self._ask("SELECT * FROM copied")}
        connection.commit()

    def _metric_columns(self, kind: Kind) -> dict[str, bool]:
        """All columns of a kind's table but the fixed ones, older metrics among them."""
        rows = self._ask("SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", PREFIX + kind.name)
        fixed = {name for name, _, _ in FIXED}
        types = {name: str(type_) for name, type_ in rows if name not in fixed}
        for metric in kind.metrics.values():
            if types[metric.name] != sql_type(metric):
                raise StoreFault(
                    f"{self.path}: metric {metric.name} of {kind.name} is stored as {types[metric.name]} and the kind "
                    f"now says {metric.type}; a metric never changes its type: give the new one another name"
                )
        return {name: type_ == "VARCHAR" for name, type_ in types.items()}


def _rows_of(entries: Iterable[Entry], stored_at_ms: int) -> Iterator[Row]:
    for entry in entries:
        if isinstance(entry.record, Telemetry):
            yield entry.record.came_at_ms or entry.at_ms, stored_at_ms, entry.record


def _readings_of(entry: Entry) -> int:
    return len(entry.record.readings) if isinstance(entry.record, Telemetry) else 0
