"""DuckDB makes its aggregates and retires what is old.

Theory of operation. A mark is a row of `marks`, written in the transaction of the readings that it is for, and known
in memory, so that a reading in an hour that is marked already costs nothing. `downsample` takes hours out of memory
and begins its transaction while nobody writes: so that sees all that they were marked for, and no mark that came since.
In it their marks go, the hours are made anew, and those are marked whose increase follows from it. Whoever breaks off
changes nothing.

`retired` says for each kind from when on raw readings and five minutes are there: 0 until there was one to delete. Raw
ones go by the hour, in order of time, while nobody writes, and only when no earlier hour is marked. Later than that a
reading may still come, up to a year late: it stays as long as the five minutes do, in which it counts, beside
`known_…`, what they were without it. Where these are gone, it is added to the hour and goes.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import duckdb
import pyarrow as pa

from adapters.stores.aggregates import READINGS
from adapters.stores.duckdb_aggregate_rows import KEY, Cursor, fetch, five, hours, insert, known, prepare
from adapters.stores.duckdb_aggregates import aggregate
from adapters.stores.duckdb_tables import NO_ROOM, sentence, table
from adapters.stores.marks import Marks
from contract import full_disk
from contract.aggregates import FIVE_MINUTES_MS, FOREVER_MS, HOUR_MS, Behind, Gone, Row, Step, hour_of
from contract.kind import Kind, Kinds
from contract.ports import StoreFault

RETIRE_MS = 24 * HOUR_MS  # of one kind, in one step
CHECKPOINT_STEPS = 50
"""So many steps of retiring may pass before the file gets the room back; also when there is nothing more to retire."""


class DuckAggregates:
    """Implements contract.aggregates.Aggregating and AggregateArchive for DuckStore, which owns the file."""

    def __init__(self, where: str, kinds: Kinds, lock: threading.Lock, cursor: Callable[[], Cursor]) -> None:
        """`lock`: whoever has it is the only one to write readings. `cursor` makes one."""
        self._where, self._kinds, self._lock, self._cursor = where, kinds, lock, cursor
        self.marks = Marks()
        self._raw_from_ms: dict[str, int] = {}
        self.counted_upto = 0  # of the log
        self._unfreed = 0  # steps since the file got the room back

    def open(self, cursor: Cursor) -> None:
        """Make what is missing, in the transaction that opens the store, and read what is marked."""
        cursor.execute("CREATE TABLE IF NOT EXISTS marks (kind VARCHAR, hour_ms BIGINT, device VARCHAR)")
        cursor.execute(
            "CREATE TABLE IF NOT EXISTS retired "
            "(kind VARCHAR PRIMARY KEY, raw_from_ms BIGINT, five_minutes_from_ms BIGINT)"
        )
        cursor.execute("CREATE TABLE IF NOT EXISTS counted (upto BIGINT)")
        for kind in self._kinds.values():
            prepare(cursor, kind)
        self.marks = Marks()
        for kind_name, hour_ms, device in cursor.execute("SELECT DISTINCT * FROM marks").fetchall():
            if kind_name in self._kinds:
                self.marks.add(kind_name, [(hour_ms, device)])
        self._raw_from_ms = dict(cursor.execute("SELECT kind, raw_from_ms FROM retired").fetchall())
        [(self.counted_upto,)] = cursor.execute("SELECT coalesce(max(upto), 0) FROM counted").fetchall()

    def note(
        self, cursor: Cursor, kind: str, batch: pa.Table, span: tuple[int, int], now_ms: int
    ) -> Sequence[tuple[int, str]]:
        """Mark the hours of readings in the transaction that stores them; what `marks` must learn when it is done."""
        if self.marks.knows(kind, *span):
            return ()
        measured = zip(batch["device"].to_pylist(), batch["measured_at_ms"].to_pylist(), strict=True)
        news = self.marks.note(kind, measured, now_ms)
        self._mark(cursor, kind, news)
        return news

    def exact_ms(self, kind: str) -> int:
        """Up to when the aggregates are what the readings say, from where these are still there."""
        first_ms = self.marks.first_ms(kind, self.raw_from_ms(kind))
        return FOREVER_MS if first_ms is None else first_ms

    # -- Aggregating

    def downsample(self, now_ms: int) -> Step | None:
        taken = None
        try:
            with ExitStack() as stack:
                with self._lock:
                    taken = self.marks.take(now_ms, self.raw_from_ms)
                    if taken is None:
                        return None
                    cursor = stack.enter_context(self._transaction())
                    cursor.execute(  # it begins with this: a mark that is written from now on is none that goes
                        "DELETE FROM marks WHERE kind = ? AND hour_ms >= ? AND hour_ms < ?",
                        [taken.kind, taken.start_ms, taken.end_ms],
                    )
                bounds_ms = taken.start_ms, taken.end_ms
                devices = None if taken.devices is None else sorted(taken.devices)
                gone = _gone(cursor, taken.kind)
                written, following = aggregate(cursor, self._kinds[taken.kind], bounds_ms, devices, gone)
                self._mark(cursor, taken.kind, following)
        except BaseException:
            if taken is not None:
                self.marks.put_back(taken)
            raise
        self.marks.add(taken.kind, following)
        self.marks.done()
        return Step(kind=taken.kind, start_ms=taken.start_ms, end_ms=taken.end_ms, rows=written)

    def retire(self, now_ms: int) -> int:
        with self._lock:
            gone = sum(self._retire(kind, now_ms) for kind in self._kinds.values())
            self._unfreed += bool(gone)
            if self._unfreed >= CHECKPOINT_STEPS or (self._unfreed and not gone):
                self._free()
        return gone

    def behind(self, now_ms: int) -> Behind:
        return self.marks.behind(now_ms)

    # -- AggregateArchive

    def gone(self, kind: str) -> Gone:
        with self._faults("read"), closing(self._cursor()) as cursor:
            return _gone(cursor, kind)

    def aggregates(self, kind: str, every_ms: int, before_ms: int) -> Iterator[Row]:
        with self._faults("read"), closing(self._cursor()) as cursor:
            yield from fetch(cursor, self._kinds[kind], _table(kind, every_ms), "at_ms < ?", [before_ms])

    def counts(self, kind: str, before_ms: int) -> int:
        query = f"SELECT coalesce(sum({READINGS}), 0) FROM {hours(kind)} WHERE at_ms < ?"
        with self._faults("read"), closing(self._cursor()) as cursor:
            [(readings,)] = cursor.execute(query, [before_ms]).fetchall()
        return int(readings)

    def take_aggregates(self, kind: str, every_ms: int, rows: Sequence[Row]) -> None:
        name = _table(kind, every_ms)
        with self._lock, self._transaction() as cursor:
            at_ms, devices = [row.at_ms for row in rows], [row.place.device for row in rows]
            cursor.register("keys", pa.table({
                "at_ms": pa.array(at_ms, pa.int64()), "device": pa.array(devices, pa.string()),
                "asset": pa.array([row.place.asset for row in rows], pa.string()),
                "commune": pa.array([row.place.commune for row in rows], pa.string()),
                "zone": pa.array([row.place.zone for row in rows], pa.string()),
                "group_name": pa.array([row.place.group for row in rows], pa.string()),
            }))  # fmt: skip
            cursor.execute(f"DELETE FROM {name} USING keys WHERE {' AND '.join(f'{name}.{k} = keys.{k}' for k in KEY)}")
            insert(cursor, self._kinds[kind], name, rows)

    def take_gone(self, kind: str, gone: Gone) -> None:
        with self._lock, self._transaction() as cursor:
            cursor.execute("UPDATE retired SET raw_from_ms = ?, five_minutes_from_ms = ? WHERE kind = ?", [*gone, kind])
        self._raw_from_ms[kind] = gone.raw_ms

    def take_counted(self, upto: int) -> None:
        with self._lock, self._transaction() as cursor:
            cursor.execute("INSERT INTO counted VALUES (?)", [upto])
        self.counted_upto = max(self.counted_upto, upto)

    # --

    def raw_from_ms(self, kind: str) -> int:
        """From when on raw readings are there."""
        return self._raw_from_ms.get(kind, 0)

    def _retire(self, kind: Kind, now_ms: int) -> int:
        """One step of each width, while nobody writes."""
        gone = 0
        raw_from_ms, end_ms = self.raw_from_ms(kind.name), hour_of(now_ms - kind.keep.raw_ms)
        if raw_from_ms < end_ms:
            with self._transaction() as cursor:
                end_ms = min(end_ms, self.exact_ms(kind.name))
                raw, where = table(kind.name), "WHERE measured_at_ms >= ? AND measured_at_ms < ?"
                [(first_ms,)] = cursor.execute(
                    f"SELECT min(measured_at_ms) FROM {raw} {where}", [raw_from_ms, end_ms]
                ).fetchall()
                if first_ms is not None:
                    end_ms = min(end_ms, hour_of(first_ms) + RETIRE_MS)
                    gone += _changed(cursor, f"DELETE FROM {raw} {where}", raw_from_ms, end_ms)
                    cursor.execute("UPDATE retired SET raw_from_ms = ? WHERE kind = ?", [end_ms, kind.name])
            if gone:
                self._raw_from_ms[kind.name] = end_ms
        with self._transaction() as cursor:
            gone += self._retire_aggregates(cursor, kind, now_ms)
        return gone

    def _retire_aggregates(self, cursor: Cursor, kind: Kind, now_ms: int) -> int:
        """Five minutes go with the late readings that count in them, and with none that is not yet in them."""
        gone, five_ms = 0, hour_of(now_ms - kind.keep.five_minutes_ms)
        five_ms = min(five_ms, self.raw_from_ms(kind.name), self.marks.first_ms(kind.name) or five_ms)
        for name, column, end_ms in (
            (five(kind.name), "at_ms", five_ms),
            (known(kind.name), "at_ms", five_ms),
            (table(kind.name), "measured_at_ms", five_ms),  # late ones whose hour had gone
            (hours(kind.name), "at_ms", hour_of(now_ms - kind.keep.hours_ms)),
        ):
            [(first_ms,)] = cursor.execute(f"SELECT min({column}) FROM {name}").fetchall()
            if first_ms is not None and first_ms < end_ms:
                end_ms = min(end_ms, hour_of(first_ms) + RETIRE_MS)
                gone += _changed(cursor, f"DELETE FROM {name} WHERE {column} < ?", end_ms)
                if column == "at_ms" and name == five(kind.name):
                    cursor.execute(
                        "UPDATE retired SET five_minutes_from_ms = greatest(five_minutes_from_ms, ?) WHERE kind = ?",
                        [end_ms, kind.name],
                    )
        return gone

    def _free(self) -> None:
        """Give deleted rows' room in the file to new ones. Readers in the midst of a question hold some of it back."""
        with self._faults("written"), closing(self._cursor()) as cursor:
            cursor.execute("CHECKPOINT")
        self._unfreed = 0

    @staticmethod
    def _mark(cursor: Cursor, kind: str, marks: Sequence[tuple[int, str]]) -> None:
        if marks:
            hours_ms, devices = zip(*marks, strict=True)
            news = pa.table({"hour_ms": pa.array(hours_ms, pa.int64()), "device": pa.array(devices, pa.string())})
            cursor.register("news", news)
            cursor.execute("INSERT INTO marks SELECT ?, hour_ms, device FROM news", [kind])
            cursor.unregister("news")

    @contextmanager
    def _transaction(self) -> Iterator[Cursor]:
        with self._faults("written"), closing(self._cursor()) as cursor:
            cursor.begin()
            yield cursor
            cursor.commit()

    @contextmanager
    def _faults(self, verb: str) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            if NO_ROOM in str(error):
                raise StoreFault(full_disk.sentence(self._where, sentence(error))) from None
            raise StoreFault(f"{self._where}: aggregates cannot be {verb} ({sentence(error)})") from None


def _gone(cursor: Cursor, kind: str) -> Gone:
    [found] = cursor.execute("SELECT raw_from_ms, five_minutes_from_ms FROM retired WHERE kind = ?", [kind]).fetchall()
    return Gone(*found)


def _table(kind: str, every_ms: int) -> str:
    return five(kind) if every_ms == FIVE_MINUTES_MS else hours(kind)


def _changed(cursor: Cursor, statement: str, *arguments: int) -> int:
    return int(cursor.execute(statement, list(arguments)).fetchall()[0][0])
