"""`nabd data restore`: puts a backup into an empty data folder, whole or not at all.

Theory of operation. Every file is compared with its digest first. Then all is copied into DATA/restoring, which gets
its manifest last, and from then on only names are moved. While DATA/restoring is there nobody starts on the folder;
broken off before the manifest, nothing was restored; after it, a second run moves the rest.
"""

import shutil
from pathlib import Path

import click
import msgspec

from adapters.on_disk import to_disk, told, tree_to_disk
from nabd.backing_up import LOG, MANIFEST, SECRETS, STATE, STORE, Manifest, digest, nobody_runs
from nabd.data_folder import LAYOUT, RESTORED, RESTORING
from nabd.fault import Refused


def restore(backup: Path, data: Path) -> None:
    """Put a backup into an empty data folder, or finish doing so. Raises Refused."""
    manifest = _checked(backup)
    partial = data / RESTORING
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with nobody_runs(data):
            shutil.rmtree(data / RESTORED, ignore_errors=True)
            if not (partial / MANIFEST).exists():
                _copy_beside(backup, manifest, data)
            elif (partial / MANIFEST).read_bytes() != (backup / MANIFEST).read_bytes():
                raise Refused(
                    f"data folder {data}: the restore of another backup was broken off in it; run it again with that "
                    "one, or name an empty folder"
                )
            _move_in(data)
    except OSError as error:
        raise Refused(f"{told(error, data)}; {_how_far(partial)}: mend it, try again") from None
    click.echo(f"{data}: restored, the log up to {manifest.log}; now: nabd doctor --data {data}")
    if manifest.store is None:
        click.echo("restore the store's own backup, taken before this one, ahead of nabd up: see docs/deploy.md")


def _copy_beside(backup: Path, manifest: Manifest, data: Path) -> None:
    """Make DATA/restoring, on the disk, its manifest last. Raises Refused, and OSError with nothing left."""
    databases = (LOG, f"{LOG}-wal", f"{LOG}-shm", STATE, f"{STATE}-wal", f"{STATE}-shm", STORE, f"{STORE}.wal")
    there = [name for name in (*databases, "format.json", "site") if (data / name).exists()]
    if there:
        raise Refused(f"data folder {data}: holds {', '.join(there)} already; move it away or name an empty one")
    partial = data / RESTORING
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        for name in manifest.files:
            target = partial / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.copy2(backup / name, target)
        fresh = partial / f"{MANIFEST}.new"
        shutil.copy2(backup / MANIFEST, fresh)
        tree_to_disk(partial)
        fresh.replace(partial / MANIFEST)
        to_disk(partial)
        to_disk(data)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _move_in(data: Path) -> None:
    """Move what is in DATA/restoring to its place, however much of it was moved before. Raises OSError."""
    partial = data / RESTORING
    for place in sorted(partial.iterdir()):
        if place.name == MANIFEST:
            continue
        if place.name in (SECRETS, "mosquitto", "nabd.toml") and (data / place.name).exists():
            click.echo(f"{data / place.name}: is there already and stays; the backup's own was left out")
        else:
            place.replace(data / place.name)
    to_disk(data)
    partial.replace(data / RESTORED)  # in one step: half removed, it would look like a restore that was broken off
    to_disk(data)
    shutil.rmtree(data / RESTORED, ignore_errors=True)


def _how_far(partial: Path) -> str:
    return "the restore was broken off" if (partial / MANIFEST).exists() else "nothing was restored"


def _checked(backup: Path) -> Manifest:
    file = backup / MANIFEST
    try:
        manifest = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(
            f"{file}: cannot be read ({error}); a folder without it is no backup, or a broken off one"
        ) from None
    if manifest.layout != LAYOUT:
        raise Refused(f"{file}: data layout {manifest.layout}, this Nabd reads {LAYOUT}; use Nabd {manifest.nabd}")
    faults = [
        f"{backup / name}: {fault}"
        for name, wanted in manifest.files.items()
        if (fault := _fault(backup, name, wanted))
    ]
    if faults:
        raise Refused("\n  ".join([f"{backup}: is not as it was written; use another backup", *faults]))
    return manifest


def _fault(backup: Path, name: str, wanted: str) -> str:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return "lies outside the backup"
    try:
        return "" if digest(backup / name) == wanted else "has changed"
    except OSError as error:
        return str(error.strerror)
