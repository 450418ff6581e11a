"""Secrets in files: how one is read, and how a file only its owner may read is written whole.

A secret is one line of printable ASCII: what every server here takes in a header, a URL or a password, and what an
editor cannot spoil unseen. Its content is in no message. A file that is written appears under its name with its whole
content, flushed to the disk, or not at all; what is made meanwhile beside it has mode 0600 from its first moment.
"""

import os
import re
from pathlib import Path

from adapters.on_disk import to_disk
from nabd.fault import Refused

SECRET_BYTES_MAX = 4096
"""Far above what the servers give out: 88 characters InfluxDB, 46 Grafana; some proxies' tokens have 2000."""
MODE = 0o600
_LEFT = re.compile(r"\..+\.([1-9][0-9]*)")  # what `_beside` names


def read_secret(path: Path, setting: str, holds: str, mend: str = "put it there as one line") -> str:
    """The file's one line, without the spaces and line ends around it.

    `setting` names the place in the message (may be empty), `holds` says what belongs into the file, `mend` what brings
    one where none is. Raises Refused.
    """
    where = f"{setting} {path}".lstrip()
    try:
        with path.open("rb") as opened:
            content = opened.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise Refused(f"{where}: cannot be read ({error.strerror}); it holds {holds}: {mend}") from None
    fault = ""
    if len(content) > SECRET_BYTES_MAX:
        fault = f"is longer than {SECRET_BYTES_MAX} bytes"
    elif not (line := content.strip()):
        fault = "is empty"
    elif len(line.splitlines()) > 1:
        fault, mend = "has more than one line", "leave that one line in it"
    elif not line.isascii() or not line.decode("ascii").isprintable():
        fault, mend = "is not one line of printable ASCII", "write it anew, as that one line"
    else:
        return line.decode("ascii")
    raise Refused(f"{where}: {fault}; it holds {holds}: {mend}")


def write_beside(fresh: Path, content: bytes) -> None:
    """Write a file for its owner alone that is to be renamed later, in place of any of this name. Raises OSError."""
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def put_in_place(fresh: Path, path: Path) -> None:
    """Give what `write_beside` wrote its name, in place of any file there. Raises OSError."""
    fresh.replace(path)
    to_disk(path.parent)


def replace_whole(path: Path, content: bytes) -> None:
    """Write a file, in place of any of this name. Raises OSError; the old one stays then."""
    fresh = _beside(path)
    write_beside(fresh, content)
    try:
        put_in_place(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def write_new(path: Path, content: bytes) -> bool:
    """Write a file; False, and nothing done, when there is one already. Raises OSError."""
    if path.exists():
        return False
    fresh = _beside(path)
    write_beside(fresh, content)
    try:
        os.link(fresh, path)  # unlike a rename, it never takes the place of another
    except FileExistsError:
        return False
    finally:
        fresh.unlink(missing_ok=True)
    to_disk(path.parent)
    return True


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def clear_left(folder: Path) -> None:
    """Remove what processes that were killed left beside their files. Raises OSError."""
    for path in folder.iterdir():
        named = _LEFT.fullmatch(path.name)
        if named and path.is_file() and not path.is_symlink() and not _lives(int(named[1])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
