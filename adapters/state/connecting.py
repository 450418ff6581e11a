"""Connections to the state database: one that writes, a few that read, with the pragmas SQLite needs for it.

The driver's own idea of transactions is switched off (it would leave DDL outside them): a writer begins with BEGIN
IMMEDIATE, so that it waits for the lock at the start and never fails half way; a reader with BEGIN, and query_only.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_MS = 5_000
READERS_MAX = 8
WAL_BYTES_MAX = 16 * 1024 * 1024
"""The write-ahead log is cut back to this after a checkpoint."""


def writer(path: Path) -> Engine:
    return _engine(path, "BEGIN IMMEDIATE", size=1, query_only=False)


def readers(path: Path) -> Engine:
    return _engine(path, "BEGIN", size=READERS_MAX, query_only=True)


def _engine(path: Path, begin: str, *, size: int, query_only: bool) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, pool_size=size, max_overflow=0, pool_timeout=30, connect_args={"timeout": BUSY_MS / 1000}
    )

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # Before the first table, or it has no effect: pages of pruned rows go back to the disk.
        cursor.execute("PRAGMA auto_vacuum = INCREMENTAL")
        cursor.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk before a lease that follows from it is published (docs/adr/0003).
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
        cursor.execute(f"PRAGMA query_only = {int(query_only)}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
