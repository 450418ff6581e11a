"""Onto the disk: what survives when the machine stops the next moment.

A file that was written is safe when its content was flushed; one that was made, renamed or removed is safe when the
folder that names it was flushed too (fsync(2): "does not necessarily ensure that the entry in the directory … has also
reached disk").
"""

import os
from pathlib import Path


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
