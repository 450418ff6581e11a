"""Two ways to have a full disk.

`FileSizes` needs no rights and works under any data folder: the system refuses one process every byte of a file behind
some place (RLIMIT_FSIZE, set from outside with prlimit), in the midst of a write if need be. `SmallDisk` is a file
system of its own in memory, which is really full; to mount it takes the right to do so.
"""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Protocol

FILES = ("log.db", "log.db-wal", "log.db-wal", "state.db-wal", "store.duckdb", "store.duckdb.wal")
SMALL_DISK_BYTES = 96_000_000


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


class SmallDisk:
    """Mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, chance: Random) -> None:
        """To the last byte, or with a few pages left."""
        self._ballast.touch()
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(65_536)) == 65_536:
                    pass
            except OSError:
                pass
            file.truncate(max(0, file.tell() - chance.choice([0, 4_096, 65_536])))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


class NotPermitted(Exception):
    """Here nobody may mount anything."""


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Raises NotPermitted."""
    folder.mkdir(parents=True)
    options = f"size={SMALL_DISK_BYTES},mode=700"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "nabd-small-disk", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotPermitted(done.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", folder], check=True)
