"""Copies of database files for a backup, and what such copies say of themselves.

A SQLite file in use is copied by SQLite's own online backup in one step: a snapshot of one moment, while its writer
goes on (copying the file would miss what stands in its write-ahead log, or tear it). DuckDB lets no second process in:
the process that has it open copies it (`DuckStore.copy_to`); a store nobody has open is copied as files.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from adapters.log.log_file import span
from adapters.on_disk import to_disk
from adapters.stores.duckdb_store import CONFIG

BUSY_S = 30.0


class CopyFault(Exception):
    """A file cannot be copied or read; the message names it, why, and what to do."""


def copy_sqlite(source: Path, target: Path) -> None:
    """The database as of one moment, on the disk when it returns. `target` is a new file. Raises CopyFault."""
    try:
        with (
            closing(sqlite3.connect(f"file:{_quoted(source)}?mode=rw", uri=True, timeout=BUSY_S)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.execute("PRAGMA query_only = ON")
            live.backup(copy)
            complaint = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    except (sqlite3.DatabaseError, OSError) as error:
        raise CopyFault(
            f"{source}: cannot be copied to {target} ({error}); make room there, or mend its mode"
        ) from None
    if complaint != "ok":
        reason = str(complaint).replace("\n", " ")
        raise CopyFault(f"{source}: is damaged ({reason}); put an older backup back")
    to_disk(target)


def copy_closed_store(source: Path, target: Path) -> None:
    """A DuckDB store that nobody has open, what stands in its write-ahead log included. Raises CopyFault."""
    try:
        shutil.copyfile(source, target)
        journal = source.with_name(source.name + ".wal")
        if journal.exists():
            shutil.copyfile(journal, target.with_name(target.name + ".wal"))
        duckdb.connect(str(target), config=CONFIG).close()  # takes the write-ahead log into the file
    except (duckdb.Error, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CopyFault(
            f"{source}: cannot be copied to {target} ({reason}); stop what has it open, or make room"
        ) from None
    to_disk(target)


def log_span(path: Path) -> tuple[int, int]:
    """(first, last) position of the entries a log's copy holds; (1, 0) when it holds none. Raises CopyFault."""
    with _copy(path) as opened:
        return span(opened)


def state_position(path: Path) -> int:
    """Of a copy. Raises CopyFault."""
    with _copy(path) as opened:
        return int(opened.execute("SELECT coalesce(max(position), 0) FROM progress").fetchone()[0])


def store_position(path: Path) -> int:
    """Of a DuckDB store that nobody has open. Raises CopyFault."""
    try:
        with closing(duckdb.connect(str(path), config=CONFIG)) as store:
            [(position,)] = store.execute("SELECT position FROM position").fetchall()
    except duckdb.Error as error:
        raise CopyFault(f"{path}: cannot be read ({str(error).splitlines()[0]})") from None
    return int(position)


@contextmanager
def _copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A database that nobody writes, opened so that nothing appears beside it."""
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?immutable=1", uri=True)) as opened:
            yield opened
    except sqlite3.DatabaseError as error:
        raise CopyFault(f"{path}: cannot be read ({error})") from None


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
