"""The log as one SQLite file: entries, ledger, quarantine and counters, in one transaction a batch.

Theory of operation. WAL with ``synchronous=FULL``: when `append` returns, the batch is on the disk. One connection
writes, under a lock; each reading thread has its own and fetches a bounded slice at once, because a reader that stays
in a transaction keeps the write-ahead log growing. Positions are given here, 1, 2, 3 …, and the last entry is never
cut, so that they go on rightly after any crash. The file is bounded: past `bytes_max` (of pages in use) nothing is
appended; `cut` drops what is older than `days_max`, and the oldest when space is short, but only what every registered
consumer has read.
"""

import errno
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec

from contract.kind import Value
from contract.ports import LedgerRow, LogFull, Quarantined
from contract.records import Entry, Record, Telemetry, decode, encode

logger = logging.getLogger("log")

SCHEMA = 1
DAY_MS = 86_400_000
QUARANTINE_BYTES_MAX = 512_000_000
SPACE_WANTED = 0.9  # of bytes_max: above it, cut drops what is read though it is not old
CUT_ENTRIES = 50_000  # a step of cutting, so that appends wait for it a moment only
BUSY_MS = 5_000
PAGE_BYTES = 4_096

TABLES = """
CREATE TABLE entries (
  position INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL,
  device TEXT, stream TEXT, first_seq INTEGER, last_seq INTEGER, body BLOB NOT NULL
);
CREATE INDEX entries_by_name ON entries (device, stream, first_seq) WHERE first_seq IS NOT NULL;
CREATE TABLE ledger (device TEXT, stream TEXT, body BLOB NOT NULL, PRIMARY KEY (device, stream)) WITHOUT ROWID;
CREATE TABLE quarantine (
  number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
  code TEXT NOT NULL, sentence TEXT NOT NULL, received_at_ms INTEGER NOT NULL, device TEXT NOT NULL,
  stream TEXT NOT NULL, seq INTEGER, count INTEGER NOT NULL
);
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE consumers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
"""

_ledger_encoder = msgspec.msgpack.Encoder()
_ledger_decoder = msgspec.msgpack.Decoder(LedgerRow)


class LogFault(Exception):
    """The log's file cannot be used; the message names it and the remedy."""


class SqliteLog:
    """Implements contract.ports.Log. Raises LogFault when the file cannot be opened."""

    def __init__(
        self, path: Path, *, bytes_max: int, days_max: int, quarantine_bytes_max: int = QUARANTINE_BYTES_MAX
    ) -> None:
        self.path = path
        self._bytes_max, self._days_max = bytes_max, days_max
        self._quarantine_bytes_max = quarantine_bytes_max
        self._lock = threading.Lock()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self.on_append: list[Callable[[int], None]] = []
        self._writer = _open(path)
        row = self._writer.execute("SELECT position, at_ms FROM entries ORDER BY position DESC LIMIT 1").fetchone()
        self._last, self._last_at_ms = (int(row[0]), int(row[1])) if row else (0, 0)
        self._counts = dict(self._writer.execute("SELECT name, value FROM counts").fetchall())
        self._consumers = dict(self._writer.execute("SELECT name, position FROM consumers").fetchall())
        self._quarantine_bytes = int(
            self._writer.execute("SELECT coalesce(sum(length(payload)), 0) FROM quarantine").fetchone()[0]
        )

    # -- appending

    def append(
        self,
        records: Sequence[Record],
        at_ms: int,
        *,
        ledger: Iterable[LedgerRow] = (),
        quarantine: Iterable[Quarantined] = (),
        counts: Mapping[str, int] | None = None,
    ) -> int:
        rows = [(*_name_of(record), encode(record)) for record in records]
        ledger_rows = [(row.device, row.stream, _ledger_encoder.encode(row)) for row in ledger]
        turned_away = list(quarantine)
        with self._lock:
            at_ms = max(at_ms, self._last_at_ms)
            last = self._last + len(rows)
            with self._transaction() as connection:
                self._check_room(turned_away)
                connection.executemany(
                    "INSERT INTO entries (position, at_ms, device, stream, first_seq, last_seq, body) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(self._last + n, at_ms, *row) for n, row in enumerate(rows, 1)],
                )
                if ledger_rows:
                    connection.executemany(
                        "INSERT INTO ledger (device, stream, body) VALUES (?, ?, ?) "
                        "ON CONFLICT (device, stream) DO UPDATE SET body = excluded.body",
                        ledger_rows,
                    )
                grown = self._put_away(connection, turned_away)
                if counts:
                    connection.executemany(
                        "INSERT INTO counts (name, value) VALUES (?, ?) "
                        "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                        list(counts.items()),
                    )
            self._last, self._last_at_ms = last, at_ms if rows else self._last_at_ms
            self._quarantine_bytes += grown
            for name, value in (counts or {}).items():
                self._counts[name] = self._counts.get(name, 0) + value
        for tell in self.on_append:
            tell(last)
        return last

    def _check_room(self, turned_away: Sequence[Quarantined]) -> None:
        used = self._used_bytes()
        if used >= self._bytes_max:
            behind = min(self._consumers.items(), key=lambda item: item[1], default=("nobody", 0))
            raise LogFull(
                f"{self.path}: {used} bytes in use, {self._bytes_max} allowed ([log] bytes_max), and consumer "
                f"{behind[0]} has read up to {behind[1]} of {self._last}; mend the consumer or allow more"
            )
        wanted = self._quarantine_bytes + sum(len(one.payload) for one in turned_away)
        if turned_away and wanted > self._quarantine_bytes_max:
            raise LogFull(
                f"{self.path}: the quarantine holds {self._quarantine_bytes} bytes, {self._quarantine_bytes_max} "
                f"allowed; find the device that sends what cannot be read (console, health page)"
            )

    @staticmethod
    def _put_away(connection: sqlite3.Connection, turned_away: Sequence[Quarantined]) -> int:
        """Byte-identical messages of one fault are one row, counted; returns by how many bytes the quarantine grew."""
        grown = 0
        for one in turned_away:
            digest = blake2b(f"{one.topic}\0{one.code}\0{one.seq}\0".encode() + one.payload, digest_size=16).digest()
            counted = connection.execute(
                "UPDATE quarantine SET count = count + ? WHERE digest = ?", (one.count, digest)
            ).rowcount
            if counted:
                continue
            connection.execute(
                "INSERT INTO quarantine (digest, topic, payload, code, sentence, received_at_ms, device, stream, seq, "
                "count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    digest,
                    one.topic,
                    one.payload,
                    one.code,
                    one.sentence,
                    one.received_at_ms,
                    one.device,
                    one.stream,
                    one.seq,
                    one.count,
                ),
            )
            grown += len(one.payload)
        return grown

    # -- reading

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        rows = self._fetch(
            "SELECT position, at_ms, body FROM entries WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
        )
        return [Entry(position, at_ms, decode(body)) for position, at_ms, body in rows]

    def last(self) -> int:
        return self._last

    def find(self, device: str, stream: str, seq: int) -> Mapping[str, Value] | None:
        # Newest first seq at or below it first: its message is one of the first looked at.
        cursor = self._reader().execute(
            "SELECT body FROM entries WHERE device = ? AND stream = ? AND first_seq <= ? AND last_seq >= ? "
            "ORDER BY first_seq DESC",
            (device, stream, seq, seq),
        )
        try:
            for (body,) in cursor:
                record = decode(body)
                assert isinstance(record, Telemetry)
                for reading in record.readings:
                    if reading.seq == seq:
                        return reading.values
        finally:
            cursor.close()
        return None

    def ledger(self, device: str | None = None) -> Iterable[LedgerRow]:
        if device is None:
            rows = self._fetch("SELECT body FROM ledger ORDER BY device, stream", ())
        else:
            rows = self._fetch("SELECT body FROM ledger WHERE device = ? ORDER BY stream", (device,))
        return [_ledger_decoder.decode(body) for (body,) in rows]

    def quarantine(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        rows = self._fetch(
            "SELECT topic, payload, code, sentence, received_at_ms, device, stream, seq, count, number FROM quarantine "
            "WHERE number < ? ORDER BY number DESC LIMIT ?",
            (2**62 if before is None else before, limit),
        )
        return [
            Quarantined(
                topic=topic,
                payload=payload,
                code=code,
                sentence=sentence,
                received_at_ms=received_at_ms,
                device=device,
                stream=stream,
                seq=seq,
                count=count,
                number=number,
            )
            for topic, payload, code, sentence, received_at_ms, device, stream, seq, count, number in rows
        ]

    def counts(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._counts)

    # -- consumers and bounds

    def consumed(self, consumer: str, position: int) -> None:
        with self._lock:
            if self._consumers.get(consumer) == position:
                return
            with self._transaction() as connection:
                connection.execute(
                    "INSERT INTO consumers (name, position) VALUES (?, ?) "
                    "ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                    (consumer, position),
                )
            self._consumers[consumer] = position

    def cut(self, now_ms: int) -> int:
        """Old entries go in steps; when space is short, read entries go though they are not old."""
        total = 0
        while True:
            with self._lock:
                floor = min([*self._consumers.values(), self._last - 1], default=0) if self._consumers else 0
                short = self._used_bytes() > self._bytes_max * SPACE_WANTED
                with self._transaction() as connection:
                    gone = connection.execute(
                        "DELETE FROM entries WHERE position IN (SELECT position FROM entries "
                        "WHERE position <= ? AND (at_ms < ? OR ?) ORDER BY position LIMIT ?)",
                        (floor, now_ms - self._days_max * DAY_MS, short, CUT_ENTRIES),
                    ).rowcount
                self._writer.execute("PRAGMA incremental_vacuum(2000)").fetchall()
            total += gone
            if gone < CUT_ENTRIES:
                return total

    def size_bytes(self) -> int:
        return _used_bytes(self._reader())

    def close(self) -> None:
        with self._lock:
            for reader in self._readers:
                reader.close()
            self._writer.close()

    # -- inside

    def _used_bytes(self) -> int:
        return _used_bytes(self._writer)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._writer)

    def _fetch(self, query: str, arguments: tuple[object, ...]) -> list[Any]:
        try:
            return self._reader().execute(query, arguments).fetchall()
        except sqlite3.OperationalError as error:
            raise OSError(errno.EIO, f"{self.path}: {error}") from None

    def _reader(self) -> sqlite3.Connection:
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = _connect(self.path)
            reader.execute("PRAGMA query_only = ON")
            self._local.reader = reader
            with self._lock:
                self._readers.append(reader)
        return reader


class _Transaction:
    """All or nothing; what SQLite says of disk and lock becomes OSError, which passes and is tried again."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OSError(errno.EIO, f"the log cannot be written: {error}") from None
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        except sqlite3.OperationalError as failed:
            error = failed
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            number = errno.ENOSPC if "full" in str(error) else errno.EIO
            raise OSError(number, f"the log cannot be written: {error}") from None


def _open(path: Path) -> sqlite3.Connection:
    """The writing connection; a new file gets its tables, one of another schema is refused."""
    try:
        connection = _connect(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            # Before the first table, or it has no effect: pages of cut entries go back to the disk.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            version = SCHEMA
    except (sqlite3.DatabaseError, OSError) as error:
        raise LogFault(f"{path}: cannot be opened ({error}); restore it from a backup or move it away") from None
    if version != SCHEMA:
        connection.close()
        raise LogFault(f"{path}: log schema {version}, this Nabd reads {SCHEMA}; use the Nabd that made it")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -16000")
    return connection


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    return (pages - free) * PAGE_BYTES


def _name_of(record: Record) -> tuple[str | None, str | None, int | None, int | None]:
    """(device, stream, first seq, last seq) of telemetry; of anything else nothing to look up by."""
    if not isinstance(record, Telemetry) or not record.readings:
        return None, None, None, None
    seqs = [reading.seq for reading in record.readings]
    return record.device, record.stream, min(seqs), max(seqs)
