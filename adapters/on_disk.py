"""Onto the disk: what survives when the machine stops the next moment.

A file that was written is safe when its content was flushed; one that was made, renamed or removed is safe when the
folder that names it was flushed too (fsync(2): "does not necessarily ensure that the entry in the directory … has also
reached disk").
"""

import errno
import os
import shutil
from pathlib import Path

WHERE_IT_GOES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""What a write meets: copying names the file that it reads first, and here the other one is meant."""


def to_disk(path: Path) -> None:
    """A file's content, or the names in a folder, but not what is below it. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def tree_to_disk(path: Path) -> None:
    """A file, or a folder with all that is below it. Raises OSError."""
    for one in (*path.rglob("*"), path) if path.is_dir() else (path,):
        to_disk(one)


def told(error: OSError, place: Path) -> str:
    """Which file, and why: the file that is to be mended, `place` where the error names none."""
    if isinstance(error, shutil.Error):  # of a whole folder: (from, to, why) of each
        (_, target, why), *_ = error.args[0]
        return f"{target}: {why}"
    name = error.filename2 if error.errno in WHERE_IT_GOES and error.filename2 else error.filename
    return f"{name or place}: {error.strerror or error}"
