"""Connections that read the log's file: borrowed for one question, as many as threads ever ask at one time."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.log.log_file import connect


class Readers:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._is_closed = False

    @contextmanager
    def borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection for one question. Raises OSError, also for what SQLite says of the question."""
        reader: sqlite3.Connection | None = None
        try:
            if self._is_closed:
                raise sqlite3.ProgrammingError("it is closed")
            try:
                reader = self._idle.pop()
            except IndexError:
                reader = connect(self._path)
                reader.execute("PRAGMA query_only = ON")
            yield reader
        except sqlite3.DatabaseError as error:
            raise OSError(errno.EIO, f"the log cannot be read: {self._path}: {error}") from None
        finally:
            if reader is not None and not self._is_closed:
                self._idle.append(reader)
            elif reader is not None:
                reader.close()

    def fetch(self, query: str, arguments: tuple[object, ...]) -> list[Any]:
        """All rows of an answer. Raises OSError."""
        with self.borrowed() as reader:
            return reader.execute(query, arguments).fetchall()

    def close(self) -> None:
        """Those that are borrowed close when they come back."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()
