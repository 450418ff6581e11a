"""`nabd data backup`: a data folder as of one moment, taken while the platform runs.

Theory of operation. Store and state are copied first, the log last: so the log's copy goes at least as far as what the
other two have read of it, which is what a start demands. It must also reach back to them: should the log have been cut
meanwhile (it does so for age, or when space is short), all three are copied again. The log holds everything that was
kept before the backup began; what store and state lack of it they read again after a restore. `backup.json` is written
last, with the digest of every file: a folder without it is no backup, one whose files differ is refused.
"""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

import click
import msgspec

from adapters.clock import real_ms
from adapters.copying import CopyFault, copy_closed_store, copy_sqlite, log_span, state_position, store_position
from adapters.on_disk import told, tree_to_disk
from adapters.platform_client import PlatformClient, PlatformFault
from adapters.stores.duckdb_store import DuckStore
from nabd import settings
from nabd.data_folder import LAYOUT, hold, read_run, refuse_half_restored
from nabd.fault import Refused

MANIFEST = "backup.json"
LOG, STATE, STORE = "log.db", "state.db", "store.duckdb"
COPY_FOLDER = "copy"  # in the data folder: where the running platform puts copies of its store
PLAIN = ("format.json", "nabd.toml", "site", "mosquitto")
"""What is copied as it is, where it is there."""
SECRETS = "secrets"
TRIES = 3
COPY_S_MAX = 6 * 3600.0
CHUNK = 1 << 20


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    nabd: str
    layout: int
    at_ms: int  # real time, Unix ms, when the copying was done
    log: int  # positions
    state: int
    store: int | None  # None: the store is a service and has its own backup
    files: dict[str, str]  # name → SHA-256


def store_copier(data: Path, store: object) -> Callable[[], tuple[int, str]] | None:
    """What a running platform copies its embedded store with; None when the store is a service.

    Each copy has a folder of its own, which is whoever asked for it to empty; what nobody came for is removed with a
    later one. The answer is the position it holds and its place below `data`.
    """
    if not isinstance(store, DuckStore):
        return None

    def copy() -> tuple[int, str]:
        copies = data / COPY_FOLDER
        copies.mkdir(mode=0o700, exist_ok=True)
        for folder in copies.iterdir():
            if real_ms() - folder.stat().st_mtime * 1000 > COPY_S_MAX * 1000:
                shutil.rmtree(folder, ignore_errors=True)
        place = Path(COPY_FOLDER, secrets.token_hex(8), STORE)
        (data / place).parent.mkdir(mode=0o700)
        try:
            return store.copy_to(data / place), str(place)
        except BaseException:
            _forget_copy(data / place)
            raise

    return copy


def _forget_copy(copy: Path) -> None:
    """Remove a copy's own folder, and that of all copies when it is the last."""
    shutil.rmtree(copy.parent, ignore_errors=True)
    with suppress(OSError):
        copy.parent.parent.rmdir()


def backup(data: Path, target: Path, *, with_secrets: bool, config: Path | None = None) -> None:
    """Fill the new or empty folder `target`. `config`: as for nabd up. Raises Refused."""
    if not (data / "format.json").is_file():
        raise Refused(f"data folder {data}: holds no city (no format.json); name the right one with --data")
    refuse_half_restored(data)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{target}: is there already and not empty; name a new folder for each backup")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        manifest = _copy_databases(data, target, config)
        for name in (*PLAIN, SECRETS) if with_secrets else PLAIN:
            _copy_plain(data / name, target / name)
        files = {name: digest(target / name) for name in _names(target)}
        manifest = msgspec.structs.replace(manifest, files=files)
        (target / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        tree_to_disk(target)
    except (CopyFault, PlatformFault) as fault:
        raise Refused(f"{fault}; {target} is no backup: remove it") from None
    except OSError as error:
        raise Refused(f"{told(error, target)}; {target} is no backup: remove it") from None
    size = sum((target / name).stat().st_size for name in files)
    click.echo(f"{target}: {len(files)} files, {size / 1e6:.1f} MB, the log up to {manifest.log}")
    if manifest.store is None:
        click.echo("the readings are in a store of their own, which has its own backup: see docs/deploy.md")
        if (data / STORE).exists():
            click.echo(f"{data / STORE}: is of the time before that, and is not in this backup")
    if not with_secrets:
        click.echo("secrets are not in it (--with-secrets): without them devices and services must be given new ones")


def _copy_databases(data: Path, target: Path, config: Path | None) -> Manifest:
    for _ in range(TRIES):
        for name in (LOG, STATE, STORE):
            (target / name).unlink(missing_ok=True)
        store = _copy_store(data, target / STORE, config)
        copy_sqlite(data / STATE, target / STATE)
        copy_sqlite(data / LOG, target / LOG)
        state = state_position(target / STATE)
        first, last = log_span(target / LOG)
        behind = min(state, state if store is None else store)
        if first <= behind + 1:
            return Manifest(
                nabd=version("nabd"), layout=LAYOUT, at_ms=real_ms(), log=last, state=state, store=store, files={}
            )
    raise Refused(
        f"{data / LOG}: was cut to {first} while store and state were copied at {behind}, {TRIES} times; it is short "
        "of space: allow it more ([log] bytes_max) or take the backup at a quieter time"
    )


def _copy_store(data: Path, target: Path, config: Path | None) -> int | None:
    """The position the copy holds, or None when the store is a service."""
    with ExitStack() as stack:
        run = read_run(data)
        if run is None:
            stack.enter_context(nobody_runs(data))
            if settings.load(data, config, {}).store_kind != "duckdb" or not (data / STORE).exists():
                return None
            copy_closed_store(data / STORE, target)
            return store_position(target)
        client = stack.enter_context(closing(PlatformClient(run.url, timeout_s=COPY_S_MAX)))
        answer = client.post("store/copy", {})
        if answer["position"] is None:
            return None
        _take(data, str(answer.get("path", "")), target, int(answer["position"]))
        return int(answer["position"])


def _take(data: Path, place: str, target: Path, position: int) -> None:
    """Move the copy that the platform made at `place` below `data`, and look whether it is what it said."""
    copy = _copy_at(data, place)
    try:
        shutil.move(copy, target)
    finally:
        _forget_copy(copy)
    found = store_position(target)
    if found != position:
        raise CopyFault(f"{target}: holds position {found}, and the platform said {position}; take the backup again")


def _copy_at(data: Path, place: str) -> Path:
    """Raises CopyFault for what is no place of ours."""
    parts = Path(place).parts
    if len(parts) != 3 or parts[0] != COPY_FOLDER or ".." in parts or parts[2] != STORE:
        raise CopyFault(f"{place!r} is no place for a copy of the store; let one Nabd of one version use {data}")
    return data / place


@contextmanager
def asked_for_copy(client: PlatformClient, data: Path) -> Iterator[Path]:
    """A copy of the embedded store as of one moment, that the running platform makes; gone afterwards.

    Raises Refused, PlatformFault.
    """
    answer = client.post("store/copy", {})
    if answer["position"] is None:
        raise Refused(f"the platform at {client.url} has its readings in a service; [store] kind says otherwise")
    try:
        copy = _copy_at(data, str(answer.get("path", "")))
    except CopyFault as fault:
        raise Refused(str(fault)) from None
    try:
        yield copy
    finally:
        _forget_copy(copy)


@contextmanager
def nobody_runs(data: Path) -> Iterator[None]:
    """Hold the data folder's lock, so that nobody starts meanwhile. Raises Refused."""
    try:
        lock = hold(data)
    except BlockingIOError:
        raise Refused(f"data folder {data}: is in use and does not answer yet; try again in a moment") from None
    try:
        yield
    finally:
        os.close(lock)


def _copy_plain(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.exists():
        shutil.copy2(source, target)


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
