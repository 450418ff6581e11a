"""Some room on the log's disk that nobody uses, for the moment when there is no other.

On a full disk not even cutting works: SQLite writes what it frees into its write-ahead log first, and that into the
file. So a file of a few MB stands beside the log, is removed when the disk is full, and made again when there is room.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BYTES = 8_000_000  # the write-ahead log (4 MB, and a batch) into the file, and the steps of a cut


class Reserve:
    def __init__(self, log: Path, bytes_max: int) -> None:
        self._file = log.with_name(f"{log.name}-reserve")
        self._bytes = min(BYTES, bytes_max // 4)

    def hold(self, spare: int = BYTES) -> None:
        """If it is not there, and as much as `spare` bytes stay free; a reserve that cannot be held is none."""
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._file.parent)
            if self._is_held() or disk.f_bavail * disk.f_frsize < self._bytes + spare:
                return
            handle = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self._bytes)
            except OSError:
                self._file.unlink()
            finally:
                os.close(handle)

    def _is_held(self) -> bool:
        """A crash may have left a file that holds no room, or less."""
        try:
            return self._file.stat().st_blocks * 512 >= self._bytes
        except FileNotFoundError:
            return False

    @contextmanager
    def opened(self, lock: threading.Lock, writer: sqlite3.Connection) -> Iterator[None]:
        """Its room is free inside, for what stands in the write-ahead log and then for a cut; afterwards it is held
        again, if there is room."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)
        try:
            _checkpoint(lock, writer)
            yield
        finally:
            _checkpoint(lock, writer)
            self.hold(spare=0)


def _checkpoint(lock: threading.Lock, writer: sqlite3.Connection) -> None:
    """Bring what was written into the file, the write-ahead log's bytes back to the disk, unless a reader hinders."""
    with lock, contextlib.suppress(sqlite3.DatabaseError):
        writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
