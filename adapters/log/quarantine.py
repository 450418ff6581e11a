"""The quarantine's table in the log's file: rows, their bounds, and the share of each device.

Theory of operation. Rows change only inside the log's transactions (`settle`, `put_away`); what that changes in the
sums kept here (bytes in all, bytes of each device) is collected in a `Change` and counted after the commit. Two bounds
hold. Past `bytes_max` nothing is put away and the log refuses: what nobody has seen is never evicted. Before that each
device has a share: whoever puts something away asks `has_room` first, so that one device that sends what cannot be read
is held alone. All names that nobody has registered have one share together, for they cost nothing to invent. What a
store refuses is no fault of the device and does not count against its share.
"""

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any

from contract.quarantine import (
    ALL,
    ROW_BYTES,
    STORE_REFUSED,
    QuarantineChanged,
    Quarantined,
    QuarantineUse,
    Settled,
    Wanted,
)
from contract.wire import topics

BYTES_MAX = 512_000_000  # and never more than a quarter of the file's bound
DEVICE_BYTES_MAX = 8_000_000  # and never more than an eighth of the quarantine's own bound
FULL_TOLD = 20  # devices that are named as full

TABLE = """
CREATE TABLE quarantine (
  number INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL UNIQUE, topic TEXT NOT NULL, payload BLOB NOT NULL,
  code TEXT NOT NULL, sentence TEXT NOT NULL, received_at_ms INTEGER NOT NULL, device TEXT NOT NULL,
  stream TEXT NOT NULL, seq INTEGER, count INTEGER NOT NULL, seqs BLOB NOT NULL DEFAULT x''
);
"""
INDEX = "CREATE INDEX quarantine_by ON quarantine (device, code, received_at_ms);"

COLUMNS = "topic, payload, code, sentence, received_at_ms, device, stream, seq, count, number, seqs"
INSERT = (
    "INSERT INTO quarantine (digest, topic, payload, code, sentence, received_at_ms, device, stream, seq, count, seqs, "
    "number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

Fetch = Callable[[str, tuple[object, ...]], list[Any]]


class QuarantineFull(Exception):
    """One more row has no room; the log says so in a sentence of its own."""


class Change:
    """What a transaction changes in the sums."""

    def __init__(self) -> None:
        self.bytes = self.rows = 0
        self.by_device: Counter[str] = Counter()

    def add(self, row: Quarantined, sign: int = 1) -> None:
        self.bytes += sign * row.size_bytes
        self.rows += sign
        if row.code != STORE_REFUSED:
            self.by_device[row.device] += sign * row.size_bytes


class QuarantineTable:
    """Implements contract.quarantine.QuarantineRows; the rest is for the log, under its lock."""

    def __init__(self, fetch: Fetch, *, bytes_max: int, device_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.device_bytes_max = min(device_bytes_max, bytes_max // 8)
        self.bytes = 0
        self._rows = 0
        self._by_device: Counter[str] = Counter()
        self._fetch = fetch

    def load(self, connection: sqlite3.Connection) -> None:
        self.bytes = self._rows = 0
        self._by_device.clear()
        query = (
            "SELECT device, code = ?, count(*), sum(length(CAST(topic AS BLOB)) + length(payload)) "
            "FROM quarantine GROUP BY device, code = ?"
        )
        for device, is_refused, rows, whole in connection.execute(query, (STORE_REFUSED, STORE_REFUSED)):
            size = whole + rows * ROW_BYTES  # as `Quarantined.size_bytes`
            self.bytes += size
            self._rows += rows
            if not is_refused:
                self._by_device[device] += size

    # -- reading

    def page(self, limit: int, *, before: int | None = None, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        where, asked = _where(wanted)
        return self._ask(f"number < ? AND {where} ORDER BY number DESC LIMIT ?",
            (2**62 if before is None else before, *asked, limit))  # fmt: skip

    def behind(self, after: int, limit: int, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        where, asked = _where(wanted)
        return self._ask(f"number > ? AND {where} ORDER BY number LIMIT ?", (after, *asked, limit))

    def rows(self, numbers: Sequence[int]) -> Sequence[Quarantined]:
        found: list[Quarantined] = []
        for number in sorted(set(numbers)):
            found += self._ask("number = ?", (number,))
        return found

    def count(self, wanted: Wanted = ALL) -> int:
        if wanted == ALL:
            return self._rows
        where, asked = _where(wanted)
        query = f"SELECT count(*) FROM quarantine WHERE {where}"  # noqa: S608  # constants of ours
        return int(self._fetch(query, asked)[0][0])

    def has_room(self, row: Quarantined, beside_bytes: int = 0) -> bool:
        if self._by_device[row.device] + beside_bytes < self.device_bytes_max:
            return True
        return bool(self._fetch("SELECT 1 FROM quarantine WHERE digest = ?", (_digest(row),)))

    def use(self) -> QuarantineUse:
        full = [(device, size) for device, size in list(self._by_device.items()) if size >= self.device_bytes_max]
        full.sort(key=lambda one: (-one[1], one[0]))
        return QuarantineUse(rows=self._rows, bytes=self.bytes, bytes_max=self.bytes_max,
            device_bytes_max=self.device_bytes_max, full=tuple(full[:FULL_TOLD]))  # fmt: skip

    def _ask(self, where: str, arguments: tuple[object, ...]) -> list[Quarantined]:
        query = f"SELECT {COLUMNS} FROM quarantine WHERE {where}"  # noqa: S608  # constants of ours
        return [_row(found) for found in self._fetch(query, arguments)]

    # -- in a transaction of the log

    def settle(self, connection: sqlite3.Connection, settled: Iterable[Settled], change: Change) -> None:
        """Change these rows, or take them away. Raises QuarantineChanged."""
        for one in settled:
            query = f"SELECT {COLUMNS} FROM quarantine WHERE number = ?"  # noqa: S608
            found = connection.execute(query, (one.number,)).fetchone()
            if found is None:
                raise QuarantineChanged(f"row {one.number} of the quarantine is not there any more")
            change.add(_row(found), -1)
            connection.execute("DELETE FROM quarantine WHERE number = ?", (one.number,))
            if one.row is not None and not self._is_counted(connection, one.row, is_once=False):
                self._insert(connection, one.row, one.number)
                change.add(one.row)

    def put_away(
        self, connection: sqlite3.Connection, rows: Iterable[Quarantined], change: Change, *, is_once: bool
    ) -> int:
        """Byte-identical messages of one fault are one row, counted, but for those that are handed over again (`once`).

        Returns how many rows are new. Raises QuarantineFull.
        """
        new = 0
        for row in rows:
            if self._is_counted(connection, row, is_once=is_once):
                continue
            if self.bytes + change.bytes >= self.bytes_max:
                raise QuarantineFull
            self._insert(connection, row)
            change.add(row)
            new += 1
        return new

    def committed(self, change: Change) -> None:
        self.bytes += change.bytes
        self._rows += change.rows
        for device, size in change.by_device.items():
            self._by_device[device] += size
            if not self._by_device[device]:
                del self._by_device[device]

    @staticmethod
    def _is_counted(connection: sqlite3.Connection, row: Quarantined, *, is_once: bool) -> bool:
        """Is the same there already? Then it has one more of them now, and stands for their seqs, too."""
        query = "SELECT number, seqs FROM quarantine WHERE digest = ?"
        found = connection.execute(query, (_digest(row),)).fetchone()
        if found is None:
            return False
        if not is_once:
            seqs = _packed({*array("Q", found[1]), *row.seqs})
            connection.execute(
                "UPDATE quarantine SET count = count + ?, seqs = ? WHERE number = ?", (row.count, seqs, found[0])
            )
        return True

    @staticmethod
    def _insert(connection: sqlite3.Connection, row: Quarantined, number: int | None = None) -> None:
        values = (_digest(row), row.topic, row.payload, row.code, row.sentence, row.received_at_ms, row.device,
            row.stream, row.seq, row.count, _packed(row.seqs), number)  # fmt: skip
        connection.execute(INSERT, values)


def _row(found: Sequence[Any]) -> Quarantined:
    topic, payload, code, sentence, received_at_ms, device, stream, seq, count, number, seqs = found
    return Quarantined(topic=topic, payload=payload, code=code, sentence=sentence, received_at_ms=received_at_ms,
        device=device, stream=stream, seq=seq, count=count, number=number, seqs=tuple(array("Q", seqs)))  # fmt: skip


def _digest(row: Quarantined) -> bytes:
    return blake2b(f"{row.topic}\0{row.code}\0{row.seq}\0".encode() + row.payload, digest_size=16).digest()


def _packed(seqs: Iterable[int]) -> bytes:
    return array("Q", sorted(seqs)).tobytes()


def _where(wanted: Wanted) -> tuple[str, tuple[object, ...]]:
    """A condition on what is asked for alone, so that SQLite finds the index of a device; and its arguments."""
    terms: list[str] = ["TRUE"]
    asked: list[object] = []
    if wanted.code:
        terms.append("code = ?")
        asked.append(wanted.code)
    if wanted.device:
        terms.append("(device = ? OR (device = '' AND instr(topic, ?) = 1))")
        asked += [wanted.device, topics.topic(wanted.device, "")]
    if wanted.since_ms:
        terms.append("received_at_ms >= ?")
        asked.append(wanted.since_ms)
    return " AND ".join(terms), tuple(asked)
