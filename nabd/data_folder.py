"""The data folder: who may open it, which layout it has, and which clock it lives by.

::

    DATA/format.json   layout version, city clock and the name of its log, written once
    DATA/lock          held by the running `nabd up` (an operating-system lock: a killed process leaves none behind)
    DATA/run.json      where the running one answers; believed only while the lock is held
    DATA/log.db        the log            DATA/state.db   registry, alarms, intents, audit
    DATA/store.duckdb  the readings       DATA/site/      rules and sites, the city's own to edit
    DATA/log.db-reserve   room for the log to be cut on a full disk; may be removed at any time
    DATA/restoring/    only while a backup is put back, or after that was broken off: then nobody starts here
"""

import os
import secrets
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType

import msgspec

from adapters.clock import ClockOrigin, real_ms
from adapters.on_disk import to_disk, tree_to_disk
from nabd import locking
from nabd.fault import Refused
from nabd.positions import ALONE
from nabd.settings import SPEED_MAX

LAYOUT = 1
RESTORING = "restoring"
RESTORED = "restored"  # what is left of it when all is in its place


class Format(msgspec.Struct, frozen=True, kw_only=True):
    layout: int
    clock: ClockOrigin
    clock_given: str = ""  # the --start it was made with, to compare
    log_id: str = ""  # names its log in a store that several may write to


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Where the running platform of a data folder answers."""

    pid: int
    url: str
    mqtt_host: str
    mqtt_port: int
    started_at_ms: int


def known_format(path: Path) -> Format:
    """Of a data folder that is there, running or not. Raises Refused."""
    file = path / "format.json"
    try:
        known = msgspec.json.decode(file.read_bytes(), type=Format)
    except FileNotFoundError:
        refuse_lost_format(path)
        raise Refused(f"data folder {path}: holds no city (no format.json); name the right one with --data") from None
    except OSError as error:
        raise Refused(_trouble(path, error)) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"{file}: is damaged ({error}); restore it from a backup") from None
    if known.layout != LAYOUT:
        raise Refused(f"{file}: data layout {known.layout}, this Nabd reads layout {LAYOUT}; use the Nabd that made it")
    return known


class DataFolder:
    """An opened and locked data folder; use it as a context manager.

    Raises Refused when it cannot be made or written, is open in another process, is half restored, has another
    layout or another clock.
    """

    def __init__(self, path: Path, *, start_ms: int | None, start_text: str, speed: float | None) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = hold(path)
        except BlockingIOError:
            run = read_run(path)
            who = f" by process {run.pid} at {run.url}" if run else ""
            raise Refused(
                f"data folder {path}: is in use{who}; stop that one first or choose another folder with --data"
            ) from None
        except OSError as error:
            raise Refused(
                f"data folder {path}: cannot be used ({error.strerror}); choose another with --data"
            ) from None
        try:
            refuse_half_restored(path)
            shutil.rmtree(path / RESTORED, ignore_errors=True)  # it may hold a backup's secrets
            self.format = self._open_format(start_ms, start_text, speed)
            self._seed_site()
        except OSError as error:
            os.close(self._lock)
            raise Refused(_trouble(path, error)) from None
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> "DataFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self.path / "run.json").unlink(missing_ok=True)
        os.close(self._lock)

    def announce(self, run: Run) -> None:
        """Write run.json whole or not at all. Raises Refused."""
        temporary = self.path / "run.json.new"
        try:
            temporary.write_bytes(msgspec.json.encode(run))
            temporary.replace(self.path / "run.json")
        except OSError as error:
            raise Refused(_trouble(self.path, error)) from None

    @property
    def rules(self) -> Path:
        return self.path / "site" / "rules"

    @property
    def sites(self) -> Path:
        return self.path / "site" / "sites"

    def _open_format(self, start_ms: int | None, start_text: str, speed: float | None) -> Format:
        file = self.path / "format.json"
        if not file.exists():
            refuse_lost_format(self.path)
            clock = _new_clock(start_ms, speed)
            return _written(file, Format(layout=LAYOUT, clock=clock, clock_given=start_text, log_id=_new_id()))
        try:
            known = msgspec.json.decode(file.read_bytes(), type=Format)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Refused(
                f"{file}: is damaged ({error}); restore it from a backup, or start a new folder with --data"
            ) from None
        if not 0 < known.clock.speed <= SPEED_MAX:
            raise Refused(
                f"{file}: is damaged (clock speed {known.clock.speed:g} is not above 0 and up to {SPEED_MAX:g}); "
                "restore it from a backup, or start a new folder with --data"
            )
        if known.layout != LAYOUT:
            raise Refused(
                f"{file}: data layout {known.layout}, this Nabd reads layout {LAYOUT}; "
                f"use the Nabd that made it, or another folder with --data"
            )
        if speed is not None and speed != known.clock.speed:
            raise Refused(
                f"{file}: this folder's clock runs at speed {known.clock.speed:g}, not {speed:g}; "
                f"leave --speed out, or use another folder with --data"
            )
        if start_ms is not None and start_text != known.clock_given and start_ms != known.clock.city_origin_ms:
            raise Refused(
                f"{file}: this folder's clock started at {known.clock_given or 'real time'}, not {start_text}; "
                f"leave --start out, or use another folder with --data"
            )
        return known if known.log_id else _written(file, msgspec.structs.replace(known, log_id=_new_id()))

    def _seed_site(self) -> None:
        """Copy the shipped rules and sites once; afterwards the folder is the city's own."""
        target = self.path / "site"
        if target.exists():
            return
        partial = self.path / "site.new"
        shutil.rmtree(partial, ignore_errors=True)
        with as_file(files("nabd") / "site") as shipped:
            shutil.copytree(shipped, partial, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
        tree_to_disk(partial)
        partial.replace(target)
        to_disk(self.path)


def refuse_half_restored(path: Path) -> None:
    """Raises Refused when a restore into this folder was broken off: it may hold a log without its state."""
    if (path / RESTORING).exists():
        raise Refused(
            f"data folder {path}: a restore was broken off; run nabd data restore again, with the same backup"
        )


def refuse_lost_format(path: Path) -> None:
    """Raises Refused when there is a log but no format.json: a new one would give it another clock and another name."""
    file = path / "format.json"
    if not file.exists() and (path / "log.db").exists():
        raise Refused(
            f"{file}: is not there, and with it the clock and the name of log.db, which is; restore it from a backup; "
            f"{ALONE}"
        )


def _new_id() -> str:
    return secrets.token_hex(8)


def _written(file: Path, known: Format) -> Format:
    """Whole or not at all, and on the disk: the log, which nobody can read without it, will be. Raises OSError."""
    temporary = file.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(known))
    to_disk(temporary)
    temporary.replace(file)
    to_disk(file.parent)
    return known


def _trouble(path: Path, error: OSError) -> str:
    where = error.filename if error.filename else path
    return (
        f"data folder {path}: {where}: {error.strerror or error}; mend its owner, mode or space, "
        f"or choose another with --data"
    )


def _new_clock(start_ms: int | None, speed: float | None) -> ClockOrigin:
    if start_ms is None and speed in (None, 1.0):
        return ClockOrigin()
    now = real_ms()
    return ClockOrigin(
        city_origin_ms=now if start_ms is None else start_ms,
        real_origin_ms=now,
        speed=1.0 if speed is None else speed,
    )


def hold(path: Path) -> int:
    """Take the folder's lock: nobody runs on it until the handle is closed, and what a killed one announced is removed.

    Raises BlockingIOError when another holds it, OSError when it cannot be had.
    """
    lock = locking.take(path / "lock", 0o644)
    try:
        (path / "run.json").unlink(missing_ok=True)
    except OSError:
        os.close(lock)
        raise
    return lock


def read_run(path: Path) -> Run | None:
    """Who runs on this folder: what it announced, while the lock is held.

    The number of its process proves nothing: once that was killed it may be anybody's, and containers all count from 1.
    """
    try:
        run = msgspec.json.decode((path / "run.json").read_bytes(), type=Run)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return None
    return run if locking.may_be_held(path / "lock") else None  # whoever may not ask believes what was announced
