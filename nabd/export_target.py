"""Where an export goes: a file or a folder that is whole or not there, or standard output.

Theory of operation. Everything is written beside, under the name with ``.partial`` behind it, brought to the disk, and
then renamed: under its own name stands a whole export or none, whenever the machine stops. The partial one is locked
while it is written; what a killed export left is taken over by the next of the same name.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from adapters.on_disk import to_disk, tree_to_disk
from nabd import locking
from nabd.fault import Refused

STDOUT = "-"
PARTIAL = ".partial"


def is_one_file(out: str, form: str) -> bool:
    """Does `out` name a single file? A name without the format's ending is a folder with a file a kind."""
    return out == STDOUT or Path(out).suffix == f".{form}"


@contextmanager
def whole(out: str) -> Iterator[Path]:
    """The partial file or folder to make (it is not there), renamed to `out` at the end; removed when that fails.

    Raises Refused when `out` is there already, is being written by another, or has no place to be.
    """
    target = Path(out)
    if target.exists() or target.is_symlink():
        raise Refused(f"{target}: is there already; name another, or move it away first")
    if not target.parent.is_dir():
        raise Refused(f"{target}: there is no folder {target.parent}; make it first")
    partial, lock_file = target.with_name(target.name + PARTIAL), target.with_name(f".{target.name}{PARTIAL}.lock")
    with _locked(lock_file, target):
        try:
            _remove(partial)
            yield partial
            tree_to_disk(partial)
            if target.exists():
                raise Refused(f"{target}: was made by another meanwhile; name another")
            partial.rename(target)
            to_disk(target.parent)
        except OSError as error:
            where, why = error.filename or target, error.strerror or error
            raise Refused(f"{where}: {why}; nothing was exported: {_remedy(error)}") from None
        finally:
            with suppress(OSError):
                _remove(partial)


@contextmanager
def _locked(file: Path, target: Path) -> Iterator[None]:
    """While this lasts, `file` is the lock that everybody else is refused by; then it is gone."""
    try:
        while not _is_at(file, lock := locking.take(file, 0o600)):
            os.close(lock)
    except BlockingIOError:
        raise Refused(f"{target}: is being written by another export; wait for it, or name another") from None
    except OSError as error:
        raise Refused(f"{target}: cannot be made ({error.strerror}); {_remedy(error)}") from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(lock)


def _is_at(file: Path, lock: int) -> bool:
    """Or did the one before remove it after we had opened it? Then the next one would lock another file."""
    try:
        return os.path.samestat(file.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "mend its owner or mode, or name another place with --out"
    return "make room or name another place with --out"


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Raises Refused when there is none, or when whoever reads it goes away: what it got is not whole."""
    output: TextIO | None = sys.stdout  # None when this process was given none
    if output is None:
        raise Refused("--out -: standard output is closed; name a file, or give the output to a program that reads it")
    try:
        yield output.buffer
        output.buffer.flush()
    except OSError as error:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())  # the interpreter flushes it once more
        raise Refused(f"--out -: the output cannot be written ({error.strerror}); it is not whole") from None
