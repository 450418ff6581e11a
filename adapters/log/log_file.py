"""The log's file: its tables, its connections, and what SQLite says of the disk."""

import errno
import os
import re
import sqlite3
from array import array
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import msgspec

from adapters.log import chunks, names, quarantine

SCHEMA = 3
BUSY_MS = 5_000
PAGE_BYTES = 4_096
UPGRADE_ENTRIES = 2_000
SEQ_TOLD = re.compile(r"seq (\d{1,16}): ")
NOT_KEPT = "would open one more gap"  # of a reading that is not in the ledger
SENTENCE_CUT = 400  # a longer one did not name all
INSERT_CHUNK = "INSERT INTO chunks (last, at_ms, ends, bodies) VALUES (?, ?, ?, ?)"

ENTRIES = (
    "CREATE TABLE chunks (last INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, ends BLOB NOT NULL, bodies BLOB NOT NULL);"
)
TABLES = f"""
{ENTRIES}
{names.TABLES}
CREATE TABLE ledger (device TEXT, stream TEXT, body BLOB NOT NULL, PRIMARY KEY (device, stream)) WITHOUT ROWID;
{quarantine.TABLE}
{quarantine.INDEX}
CREATE TABLE counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE consumers (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
"""


class LogFault(Exception):
    """The log's file cannot be used; the message names it and the remedy."""


class Place:
    """Is the file that was opened still the one its path names?

    A file that was removed or moved away takes writes without complaint, and they are gone with the last handle on it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened = self._now()

    def check(self) -> None:
        """Raises OSError when the file is gone from its place, or another stands there."""
        if self._opened != self._now():
            raise OSError(
                errno.ENOENT,
                f"the log cannot be kept: {self._path} was removed, moved or replaced while in use; stop nabd, put the "
                "data folder back and start again",
            )

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino


class Transaction:
    """All or nothing; what SQLite says of disk and lock becomes OSError, which passes and is tried again."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.DatabaseError as error:
            raise refusal(error) from None
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
        except sqlite3.DatabaseError as failed:
            error = failed
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.DatabaseError):
            raise refusal(error) from None


def refusal(error: sqlite3.DatabaseError) -> OSError:
    code = getattr(error, "sqlite_errorcode", 0)  # there is none when the connection is closed
    number = errno.ENOSPC if code == sqlite3.SQLITE_FULL else errno.EIO
    return OSError(number, f"the log cannot be written: {error}")


def open_log(path: Path) -> sqlite3.Connection:
    """The writing connection; a new file gets its tables, one of another schema is refused."""
    connection = None
    try:
        connection = connect(path)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            # Before the first table, or it has no effect: pages of cut entries go back to the disk.
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            version = SCHEMA
        elif version in (1, 2):
            _upgrade(path, connection, version)
            version = SCHEMA
    except (sqlite3.DatabaseError, OSError, msgspec.MsgspecError) as error:
        if connection is not None:
            connection.close()
        raise LogFault(f"{path}: cannot be opened ({error}); restore it from a backup or move it away") from None
    if version != SCHEMA:
        connection.close()
        raise LogFault(f"{path}: log schema {version}, this Nabd reads {SCHEMA}; use the Nabd that made it")
    return connection


def _upgrade(path: Path, connection: sqlite3.Connection, version: int) -> None:
    """Schema 1 had a row for each entry, 1 and 2 no `seqs` in the quarantine; the chunks of 2 are not compressed, and
    stay so. All of it in one transaction: a crash leaves the old file. Raises LogFault."""
    try:
        with Transaction(connection):
            if version == 1:
                _rewrite(connection)
            _name_seqs(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")
    except OSError as error:
        connection.close()
        raise LogFault(
            f"{path}: cannot be brought to the present layout ({error}); it is untouched: make room on the disk, about "
            "as much again as the file has, and start once more"
        ) from None


def _rewrite(connection: sqlite3.Connection) -> None:
    connection.execute(ENTRIES)
    for statement in filter(str.strip, names.TABLES.split(";")):
        connection.execute(statement)  # in this transaction, which executescript would end
    old = connection.execute("SELECT position, at_ms, body FROM entries ORDER BY position")
    while rows := old.fetchmany(UPGRADE_ENTRIES):
        for _, run in groupby(enumerate(rows), lambda one: (one[1][0] - one[0], one[1][1])):  # no hole, one time
            entries = [row for _, row in run]
            before, at_ms = entries[0][0] - 1, entries[0][1]
            bodies = list(map(itemgetter(2), entries))
            connection.executemany(INSERT_CHUNK, chunks.rows(bodies, before, at_ms))
    connection.execute("DROP TABLE entries")
    # Its ledger was written with every append: it is right up to the end.
    connection.execute("INSERT INTO consumers SELECT 'ledger', coalesce(max(last), 0) FROM chunks")


def _name_seqs(connection: sqlite3.Connection) -> None:
    """The seqs that count as had because of a row, which until now only its sentence told.

    A conflict and what a store refuses never did, nor did a reading that would have opened one more gap. Of a row whose
    sentence did not name all of them none is told: its readings are then looked at one by one.
    """
    connection.execute("ALTER TABLE quarantine ADD COLUMN seqs BLOB NOT NULL DEFAULT x''")
    connection.execute(quarantine.INDEX)
    rows = connection.execute(
        "SELECT number, sentence FROM quarantine WHERE stream != '' AND code NOT IN ('conflict', 'store_refused') "
        "AND length(sentence) <= ?",
        (SENTENCE_CUT,),
    )
    for number, sentence in rows.fetchall():
        told = (one for one in sentence.split("; ") if NOT_KEPT not in one)
        seqs = {int(found[1]) for one in told if (found := SEQ_TOLD.match(one))}
        packed = array("Q", sorted(seqs)).tobytes()
        connection.execute("UPDATE quarantine SET seqs = ? WHERE number = ?", (packed, number))


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA cache_size = -16000")
    return connection


def span(connection: sqlite3.Connection) -> tuple[int, int]:
    """(first, last) position of the entries in the file, also of schema 1; (1, 0) when there are none."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
        bounds = connection.execute("SELECT min(position), max(position) FROM entries").fetchone()
    else:
        chunk = connection.execute("SELECT last, ends FROM chunks ORDER BY last LIMIT 1").fetchone()
        first = None if chunk is None else chunk[0] - chunks.count(chunk[1]) + 1
        bounds = first, *connection.execute("SELECT max(last) FROM chunks").fetchone()
    return (1, 0) if bounds[0] is None else (int(bounds[0]), int(bounds[1]))


def used_bytes(connection: sqlite3.Connection) -> int:
    pages = int(connection.execute("PRAGMA page_count").fetchone()[0])
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    return (pages - free) * PAGE_BYTES
