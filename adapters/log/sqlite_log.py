"""The log as one SQLite file: entries, ledger, quarantine and counters, in one transaction a batch.

Theory of operation. WAL with ``synchronous=FULL``: when `append` returns, the batch is on the disk. One connection
writes, under a lock; whoever reads borrows another and fetches a bounded slice at once, because a reader that stays in
a transaction keeps the write-ahead log growing. Entries read lately stay decoded in memory (`adapters/log/tail.py`):
several consumers follow the log closely, and only the first one pays. Positions are given here, 1, 2, 3 …, and the last
entry is never cut, so that they go on rightly after any crash. Only where a consumer has read further than the log goes
(an older copy was put back, or a new file) do they leap behind that: it would pass over what it thinks it has read. The
file is bounded: past `bytes_max` (of pages in use) nothing is appended; `cut` drops what is older than `days_max`, and
the oldest when space is short, but only what every registered consumer has read; while no consumer is registered
nothing is cut. The quarantine has its own bound: what nobody has seen is never evicted. A damaged chunk holds up who
must read it; who only looks back, or cuts, passes it over, and `damage` tells it.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import inf
from pathlib import Path
from time import perf_counter

import msgspec

from adapters.log import chunks, names
from adapters.log.chunks import Chunk
from adapters.log.log_file import INSERT_CHUNK, LogFault, Place, Transaction, give_back, open_log, used_bytes
from adapters.log.pace import Pace
from adapters.log.quarantine import BYTES_MAX, DEVICE_BYTES_MAX, Change, QuarantineFull, QuarantineTable
from adapters.log.readers import Readers
from adapters.log.reserve import Reserve
from adapters.log.tail import Tail
from contract.ports import LedgerRow, LogFull
from contract.quarantine import Quarantined, Settled
from contract.records import Entry, Reading, Record, Telemetry, encode

logger = logging.getLogger("log")

__all__ = ["LogFault", "SqliteLog"]

DAY_MS = 86_400_000
SPACE_WANTED = 0.9  # of bytes_max: above it, cut drops what is read though it is not old
CRAMPED_SHARE = 0.1  # of what it has goes at one time when the disk is full
CUT_CHUNKS = 32  # a step of cutting, so that appends wait for it a moment only

CHUNK_WITH = "SELECT last, at_ms, ends, bodies FROM chunks WHERE last >= ? ORDER BY last LIMIT 1"
UPSERT_LEDGER = (
    "INSERT INTO ledger (device, stream, body) VALUES (?, ?, ?) "
    "ON CONFLICT (device, stream) DO UPDATE SET body = excluded.body"
)

_ledger_encoder = msgspec.msgpack.Encoder()
_ledger_decoder = msgspec.msgpack.Decoder(LedgerRow)


class SqliteLog:
    """Implements contract.ports.Log. Raises LogFault when the file cannot be opened."""

    def __init__(
        self,
        path: Path,
        *,
        bytes_max: int,
        days_max: int,
        quarantine_bytes_max: int = BYTES_MAX,
        quarantine_device_bytes_max: int = DEVICE_BYTES_MAX,
    ) -> None:
        self.path = path
        self._bytes_max, self._days_max = bytes_max, days_max
        self._readers = Readers(path)
        self._fetch, self._reader = self._readers.fetch, self._readers.borrowed
        self.quarantine_rows = QuarantineTable(
            self._fetch,
            bytes_max=min(quarantine_bytes_max, bytes_max // 4),
            device_bytes_max=quarantine_device_bytes_max,
        )
        self._lock = threading.Lock()
        self._pace = Pace()
        self._reserve = Reserve(path, bytes_max)
        self._tail = Tail()
        self._found: tuple[tuple[str, str], Mapping[int, Reading]] = ("", ""), {}  # see `reading`
        self._chunk: Chunk | None = None  # unpacked last to find a reading: messages that come again ask in order
        self.damage = ""  # of the chunk passed over last, since the start
        self._recent = names.Recent()
        self.on_append: list[Callable[[int], None]] = []
        self._writer = open_log(path)
        self._place = Place(path)
        self._reserve.hold()
        try:
            self._load()
        except (sqlite3.DatabaseError, msgspec.MsgspecError, OSError) as error:
            self._writer.close()
            raise LogFault(f"{path}: is damaged ({error}); restore it from a backup or move it away") from None

    def _load(self) -> None:
        ask = self._writer.execute
        row = ask("SELECT last, at_ms FROM chunks ORDER BY last DESC LIMIT 1").fetchone()
        self._last, self._last_at_ms = (int(row[0]), int(row[1])) if row else (0, 0)
        self._counts: dict[str, int] = dict(ask("SELECT name, value FROM counts").fetchall())
        self._consumers: dict[str, int] = dict(ask("SELECT name, position FROM consumers").fetchall())
        self._last = max([self._last, *self._consumers.values()])
        behind = chunks.behind(lambda query, given: ask(query, given).fetchall(), names.upto(self._writer))
        for entry in chain.from_iterable(behind):
            if self._recent.is_full:  # the log comes from an earlier layout
                self._write_names(entry.position - 1)
            self._recent.add([entry.record], entry.position - 1)
        self.quarantine_rows.load(self._writer)

    # -- appending

    def append(
        self,
        records: Sequence[Record],
        at_ms: int,
        *,
        ledger: Iterable[LedgerRow] = (),
        quarantine: Iterable[Quarantined] = (),
        settled: Iterable[Settled] = (),
        counts: Mapping[str, int] | None = None,
        once: str = "",
    ) -> int:
        bodies = [encode(record) for record in records]
        ledger_rows = _packed(ledger)
        began_s = perf_counter()
        change = Change()
        with self._lock:
            at_ms = max(at_ms, self._last_at_ms)
            last = self._last + len(bodies)
            with self._transaction() as connection:
                if bodies:  # what a consumer turns away has the quarantine's bound only: it is what lets it read on
                    self._check_room()
                connection.executemany(INSERT_CHUNK, chunks.rows(bodies, self._last, at_ms))
                if writes_names := self._recent.is_full:
                    self._recent.write(connection, upto=self._last)
                connection.executemany(UPSERT_LEDGER, ledger_rows)
                self.quarantine_rows.settle(connection, settled, change)
                new = self._put_away(connection, quarantine, change, is_once=bool(once))
                counts = {**(counts or {}), **({once: new} if once else {})}
                if counts:
                    connection.executemany(
                        "INSERT INTO counts (name, value) VALUES (?, ?) "
                        "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                        list(counts.items()),
                    )
                self._place.check()
            if writes_names:
                self._recent.clear()
            self._recent.add(records, self._last)
            self._tail.append(self._last, at_ms, records)
            self._last, self._last_at_ms = last, at_ms if bodies else self._last_at_ms
            self.quarantine_rows.committed(change)
            for name, value in counts.items():
                self._counts[name] = self._counts.get(name, 0) + value
            self._pace.add(perf_counter() - began_s)
        for tell in self.on_append:
            try:
                tell(last)
            except Exception:  # it is durable: a listener's fault must not look like a failed append
                logger.exception("event=listener_failed")
        return last

    def _check_room(self) -> None:
        """Raises LogFull."""
        used = self._used_bytes()
        if used >= self._bytes_max:
            behind = min(self._consumers.items(), key=lambda item: item[1], default=("nobody", 0))
            raise LogFull(
                f"{self.path}: {used} bytes in use, {self._bytes_max} allowed ([log] bytes_max), and consumer "
                f"{behind[0]} has read up to {behind[1]} of {self._last}; mend the consumer or allow more"
            )

    def _put_away(
        self, connection: sqlite3.Connection, rows: Iterable[Quarantined], change: Change, *, is_once: bool
    ) -> int:
        """Returns how many rows are new. Raises LogFull where one more has no room."""
        try:
            return self.quarantine_rows.put_away(connection, rows, change, is_once=is_once)
        except QuarantineFull:
            table = self.quarantine_rows
            raise LogFull(
                f"{self.path}: the quarantine holds {table.bytes} bytes, {table.bytes_max} allowed; look at it (nabd "
                "quarantine list, or the console's page), then replay or drop what is in it, or allow more "
                "([quarantine] bytes_max, at most a quarter of [log] bytes_max)"
            ) from None

    # -- reading

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        near = self._tail.read(after, limit)
        after, limit = (near[-1].position, limit - len(near)) if near else (after, limit)
        if limit <= 0 or after >= self._last:
            return near
        entries: list[Entry] = []
        for part in chunks.behind(self._fetch, after):
            entries += part
            if len(entries) >= limit:
                break
        del entries[limit:]
        self._tail.keep(entries)
        return [*near, *entries]

    def last(self) -> int:
        return self._last

    def reading(self, device: str, stream: str, seq: int) -> Reading | None:
        """The reading kept under this name, or None when the log no longer holds it (or a damaged chunk did)."""
        name, readings = self._found
        if name != (device, stream) or seq not in readings:  # a message that comes again asks for all of its own
            readings = self._message_with(device, stream, seq)
            self._found = (device, stream), readings
        return readings.get(seq)

    def _message_with(self, device: str, stream: str, seq: int) -> Mapping[int, Reading]:
        """All readings, by seq, of the message that brought this one; empty when there is none."""
        with self._reader() as reader:
            recent = self._recent.positions(device, stream, seq)  # first: they may be on their way into the table
            for position in chain(recent, names.positions(reader, device, stream, seq)):
                record = self._record(reader, position)
                readings = {one.seq: one for one in record.readings} if isinstance(record, Telemetry) else {}
                if seq in readings:
                    return readings
        return {}

    def _record(self, reader: sqlite3.Connection, position: int) -> Record | None:
        """None when it was cut, and its name waits for others of its row; or when its chunk is damaged."""
        chunk = self._chunk
        try:
            if chunk is None or not chunk.first <= position <= chunk.last:
                row = reader.execute(CHUNK_WITH, (position,)).fetchone()
                if row is None:
                    return None
                self._chunk = chunk = Chunk(row)
            return chunk.record(position)
        except OSError as error:
            self._pass_over(error)
            return None

    def ledger(self, device: str | None = None, stream: str | None = None) -> Iterable[LedgerRow]:
        if device is None:
            rows = self._fetch("SELECT body FROM ledger ORDER BY device, stream", ())
        elif stream is not None:
            rows = self._fetch("SELECT body FROM ledger WHERE device = ? AND stream = ?", (device, stream))
        else:
            rows = self._fetch("SELECT body FROM ledger WHERE device = ? ORDER BY stream", (device,))
        return (_ledger_decoder.decode(body) for (body,) in rows)

    def quarantine(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        return self.quarantine_rows.page(limit, before=before)

    def counts(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._counts)

    # -- of itself

    def appended_at_ms(self, after: int) -> int | None:
        rows = self._fetch("SELECT at_ms FROM chunks WHERE last > ? ORDER BY last LIMIT 1", (after,))
        return int(rows[0][0]) if rows else None

    def last_at_ms(self) -> int:
        return self._last_at_ms

    def append_ms_p99(self) -> float:
        return self._pace.p99_ms()

    # -- consumers and bounds

    def consumers(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._consumers)

    def consumed(self, consumer: str, position: int, ledger: Iterable[LedgerRow] = ()) -> None:
        ledger_rows = _packed(ledger)
        with self._lock:
            if self._consumers.get(consumer) == position and not ledger_rows:
                return
            with self._transaction() as connection:
                connection.executemany(UPSERT_LEDGER, ledger_rows)
                connection.execute(
                    "INSERT INTO consumers (name, position) VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                    (consumer, position),
                )
            self._consumers[consumer] = position
            if position > self._last:
                logger.warning(
                    "event=log_is_older consumer=%s has_read=%d log_ends=%d; a restored copy? positions go on behind",
                    consumer,
                    position,
                    self._last,
                )
                self._last = position

    def cut(self, now_ms: int, *, cramped: bool = False) -> int:
        if not cramped:
            self._reserve.hold()
            return self._cut(now_ms, inf)
        with self._reserve.opened(self._lock, self._writer):
            return self._cut(now_ms, self._used_bytes() * (1 - CRAMPED_SHARE))

    def _cut(self, now_ms: int, enough: float) -> int:
        """Old entries go in steps; above `enough` bytes, or when space is short, read ones go though not old."""
        total = 0
        while True:
            with self._lock:
                floor = min([*self._consumers.values(), self._last - 1]) if self._consumers else 0
                short = self._used_bytes() > min(self._bytes_max * SPACE_WANTED, enough)
                with self._transaction() as connection:
                    gone = connection.execute(
                        "SELECT last, at_ms, ends, bodies FROM chunks WHERE last <= ? AND (at_ms < ? OR ?) "
                        "ORDER BY last LIMIT ?",
                        (floor, now_ms - self._days_max * DAY_MS, short, CUT_CHUNKS),
                    ).fetchall()
                    if gone:
                        upto = gone[-1][0]
                        self._recent.write(connection, upto=self._last)
                        names.forget(connection, chain.from_iterable(map(self._to_forget, gone)), upto)
                        connection.execute("DELETE FROM chunks WHERE last <= ?", (upto,))
                if gone:
                    self._recent.clear()
                give_back(self._writer, self.path)
            total += sum(chunks.count(row[2]) for row in gone)
            if len(gone) < CUT_CHUNKS:
                return total

    def _to_forget(self, row: chunks.Row) -> Sequence[Entry]:
        """What a chunk holds that goes; the names of a damaged one go with the next that are cut of their streams."""
        try:
            return Chunk(row).entries()
        except OSError as error:
            self._pass_over(error)
            return ()

    def _pass_over(self, damage: OSError) -> None:
        if str(damage) != self.damage:
            logger.error("event=log_damaged reason=%s", damage)
        self.damage = str(damage)

    def size_bytes(self) -> int:
        with self._reader() as reader:
            return used_bytes(reader)

    def close(self) -> None:
        with self._lock:
            self._readers.close()
            self._write_names(self._last)
            self._writer.close()

    # -- inside

    def _write_names(self, upto: int) -> None:
        """Where it fails they stay, here and for the next start in the log."""
        with contextlib.suppress(OSError):
            with self._transaction() as connection:
                self._recent.write(connection, upto)
            self._recent.clear()

    def _used_bytes(self) -> int:
        return used_bytes(self._writer)

    def _transaction(self) -> Transaction:
        return Transaction(self._writer, self.path)


def _packed(ledger: Iterable[LedgerRow]) -> list[tuple[str, str, bytes]]:
    return [(row.device, row.stream, _ledger_encoder.encode(row)) for row in ledger]
