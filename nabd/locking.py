"""Files as locks: the operating system's, so that a killed process leaves none behind."""

import fcntl
import os
from pathlib import Path


def take(file: Path, mode: int) -> int:
    """Make the file with this mode if need be, and lock it until the handle that is returned is closed.

    Raises BlockingIOError when another holds it, OSError when it cannot be had.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def may_be_held(file: Path) -> bool:
    """Asked for reading only, and so also by another user and on a file system that cannot be written. Yes where that
    may not be asked; no where there is no file."""
    try:
        lock = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
