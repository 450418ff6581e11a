"""Named points of the way of a reading at which a process can be made to kill itself."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from adapters.log import names
from adapters.log.log_file import Transaction
from adapters.log.sqlite_log import SqliteLog
from adapters.stores import duckdb_store
from adapters.stores.duckdb_store import DuckStore
from ingest.ledger import Ledger
from ingest.pipeline import LEDGER, Pipeline
from nabd.consumers import STORE

Wanted = Callable[..., bool]
"""(arguments of the call) → is it one that counts?"""

BEFORE, AFTER = "before", "after"


def _any(*_: Any, **__: Any) -> bool:
    return True


def _consumer(name: str) -> Wanted:
    return lambda log, consumer, *_, **__: bool(consumer == name)


def _appends(log: Any, records: Any, *_: Any, **__: Any) -> bool:
    return bool(records)


PLACES: dict[str, tuple[Any, str, str, Wanted]] = {
    "a transaction of the log has begun": (Transaction, "__enter__", AFTER, _any),
    "a transaction of the log is not committed yet": (Transaction, "__exit__", BEFORE, _any),
    "a transaction of the log is committed": (Transaction, "__exit__", AFTER, _any),
    "a batch is not appended yet": (SqliteLog, "append", BEFORE, _appends),
    "a batch is appended, and the ledger in memory does not know": (Ledger, "grow", BEFORE, _any),
    "a batch is kept, and nothing is acknowledged": (Pipeline, "process", AFTER, _any),
    "names go into their table": (names.Recent, "write", AFTER, _any),
    "names are in their table": (names.Recent, "clear", BEFORE, _any),
    "names of cut entries are forgotten": (names, "forget", AFTER, _any),
    "the ledger's rows are not written yet": (SqliteLog, "consumed", BEFORE, _consumer(LEDGER)),
    "the ledger's rows are written": (SqliteLog, "consumed", AFTER, _consumer(LEDGER)),
    "a part of a batch is in the store's transaction": (duckdb_store, "insert_batch", AFTER, _any),
    "a batch is in the store": (DuckStore, "_insert", AFTER, _any),
    "a batch is in the store, and the log does not know": (SqliteLog, "consumed", BEFORE, _consumer(STORE)),
    "the log knows what is in the store": (SqliteLog, "consumed", AFTER, _consumer(STORE)),
}
SAID = ("a message is acknowledged, and no kept is said", "a kept is said, and others are owed")
"""Points that the rooms themselves pass: see `rooms`."""

POINTS = (*PLACES, *SAID)


class Fuse:
    """Kills the process at the `hit`-th passing of one point."""

    def __init__(self, point: str, hit: int) -> None:
        """An empty `point`: none."""
        self._point, self._left = point, hit
        if point in PLACES:
            self._lay(*PLACES[point])

    def passing(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _lay(self, owner: Any, name: str, when: str, wanted: Wanted) -> None:
        original = getattr(owner, name)

        @wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            counts = wanted(*arguments, **named)
            if counts and when == BEFORE:
                self.passing(self._point)
            result = original(*arguments, **named)
            if counts and when == AFTER:
                self.passing(self._point)
            return result

        setattr(owner, name, call)
