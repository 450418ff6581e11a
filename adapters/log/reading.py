"""Reads the log's file beside the process that writes it, or while nobody does: nothing of it is changed.

Every question is answered whole: a reader that stays in a transaction would keep the write-ahead log growing.
"""

import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import msgspec

from adapters.log import chunks
from adapters.log.log_file import BUSY_MS, SCHEMA, LogFault
from contract.ports import LedgerRow
from contract.quarantine import STORE_REFUSED
from contract.records import Entry

PAGE = 1_000  # rows of ledger and quarantine in one question

_ledger_row = msgspec.msgpack.Decoder(LedgerRow)


class LogReader:
    """Everything here raises LogFault."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._faults():
            if not path.is_file():
                raise LogFault(f"{path}: is not there; restore it from a backup")
            self._file = sqlite3.connect(
                f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_MS / 1000, isolation_level=None
            )
            self._file.execute("PRAGMA query_only = ON")
            [(version,)] = self._file.execute("PRAGMA user_version").fetchall()
        if version != SCHEMA:
            self._file.close()
            raise LogFault(f"{path}: log schema {version}, this Nabd reads {SCHEMA}; start it once with nabd up")

    def close(self) -> None:
        self._file.close()

    def consumers(self) -> dict[str, int]:
        with self._faults():
            return dict(self._file.execute("SELECT name, position FROM consumers").fetchall())

    def first(self) -> int:
        """The position of the oldest entry; 0 when there is none."""
        for entry in self.entries(0):
            return entry.position
        return 0

    def last(self) -> int:
        """The position of the newest entry; 0 when there is none."""
        with self._faults():
            return int(self._file.execute("SELECT coalesce(max(last), 0) FROM chunks").fetchone()[0])

    def entries(self, after: int) -> Iterator[Entry]:
        """Those behind position `after`, to the end as it is when that is reached."""
        with self._faults():
            for found in chunks.behind(lambda query, given: self._file.execute(query, given).fetchall(), after):
                yield from found

    def ledger(self) -> Iterator[LedgerRow]:
        """Every row; those of a page are of one moment."""
        device, stream = "", ""
        while True:
            with self._faults():
                rows = self._file.execute(
                    "SELECT body FROM ledger WHERE (device, stream) > (?, ?) ORDER BY device, stream LIMIT ?",
                    (device, stream, PAGE),
                ).fetchall()
                found = [_ledger_row.decode(body) for (body,) in rows]
            if not found:
                return
            yield from found
            device, stream = found[-1].device, found[-1].stream

    def turned_away(self) -> Iterator[tuple[str, str, int]]:
        """(device, stream, seq) of every reading that stands in the quarantine and need not be in a store.

        Those that count as had because of their row, and what the store refused; not a conflict, whose name is that of
        a reading that is stored, nor what was never had.
        """
        number = 0
        while True:
            with self._faults():
                rows = self._file.execute(
                    "SELECT number, device, stream, seqs, CASE WHEN code = ? THEN seq END FROM quarantine "
                    "WHERE number > ? ORDER BY number LIMIT ?",
                    (STORE_REFUSED, number, PAGE),
                ).fetchall()
            if not rows:
                return
            for number, device, stream, packed, refused in rows:  # noqa: B007  # the next page begins behind the last
                seqs = array("Q", packed) if refused is None else (refused,)
                yield from ((device, stream, seq) for seq in seqs)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, msgspec.MsgspecError, OSError) as error:
            raise LogFault(
                f"{self.path}: cannot be read ({error}); mend its mode, or restore it from a backup"
            ) from None
