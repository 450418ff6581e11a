"""Two ways to have a full disk.

`FileSizes` needs no rights and works under any data folder: the system refuses one process every byte of a file behind
some place (RLIMIT_FSIZE, set from outside with prlimit), in the midst of a write if need be. `tests.small_disk` has one
that is really full, where it may be mounted.
"""

import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

FILES = ("log.db", "log.db-wal", "log.db-wal", "state.db-wal", "store.duckdb", "store.duckdb.wal")


class Disk(Protocol):
    def fill(self, chance: Random) -> None: ...
    def free(self) -> None: ...


class FileSizes:
    """Of one process, which may be another one each time."""

    def __init__(self, data: Path, pid: Callable[[], int]) -> None:
        self._data, self._pid = data, pid

    def fill(self, chance: Random) -> None:
        """No byte at all, or none behind a place close to the end of some file, so that a write is torn."""
        size = 0
        if chance.random() < 0.7:
            size = max(0, self._size_of(chance.choice(FILES)) + chance.randint(-30_000, 100_000))
        self._limit(size)

    def free(self) -> None:
        with suppress(ProcessLookupError):  # it was killed, and the next one has no limit
            _, hard = resource.prlimit(self._pid(), resource.RLIMIT_FSIZE)
            self._limit(hard)

    def _limit(self, size: int) -> None:
        _, hard = resource.prlimit(self._pid(), resource.RLIMIT_FSIZE)
        resource.prlimit(self._pid(), resource.RLIMIT_FSIZE, (size, hard))

    def _size_of(self, name: str) -> int:
        try:
            return (self._data / name).stat().st_size
        except FileNotFoundError:
            return 0
