"""`nabd dashboards`: makes the dashboards' files, compares them, and brings them to a running Grafana."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from contract.kind import LANGUAGES, Kinds
from contract.kind_file import load_kinds
from dashboards.build import build
from dashboards.comparing import digest
from dashboards.generated import differing, generated, write
from dashboards.server import Found, Grafana, ServerFault, Standing, keep_copy
from dashboards.words import FOLDERS
from nabd.fault import Refused
from nabd.secret_file import read_secret

LINES_MAX = 40  # of differences, a dashboard


def make(out: Path, console_url: str) -> int:
    """Write what differs. Raises Refused."""
    files = generated(load_kinds(), _address(console_url))
    try:
        changed = write(files, out)
    except OSError as error:
        raise Refused(f"{out}: cannot be written ({error.strerror}); choose another folder with --out") from None
    for path in changed:
        click.echo(f"{out / path}: {'written' if path in files else 'removed'}")
    click.echo(f"{len(files)} files, {len(changed)} changed")
    return 0


def check(out: Path, console_url: str) -> int:
    """1 when a file is other than its source says. Raises Refused."""
    if not out.is_dir():
        raise Refused(f"{out}: no such folder; name the one the dashboards were built into with --out")
    try:
        files = generated(load_kinds(), _address(console_url))
        stale = differing(files, out)
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{out}: cannot be read ({error})") from None
    for path in stale:
        click.echo(f"{out / path}: is not what its source says; run: nabd dashboards build", err=True)
    if not stale:
        click.echo(f"{len(files)} files are as their source says")
    return 1 if stale else 0


def show(url: str, token_file: Path, timeout_s: float, console_url: str) -> int:
    """Print how Grafana differs from the source; 1 when it does. Raises Refused."""
    with _Server(url, token_file, timeout_s) as grafana:
        standings = []
        for uid, (wanted, _) in _wanted(load_kinds(), _address(console_url)).items():
            found = grafana.find(uid, wanted)
            standings.append(found.standing)
            if found.standing is not Standing.SAME:
                _tell(found)
    same = standings.count(Standing.SAME)
    click.echo(f"{same} of {len(standings)} dashboards are as their source says")
    return 0 if same == len(standings) else 1


def push(url: str, token_file: Path, timeout_s: float, console_url: str, backup: Path, force: Sequence[str]) -> int:
    """Bring every dashboard up to date, but none that was edited by hand unless `force` names it.

    1 when some were left alone. Raises Refused.
    """
    wanted = _wanted(load_kinds(), _address(console_url))
    unknown = [uid for uid in force if uid not in wanted]
    if unknown:
        raise Refused(f"--force {unknown[0]}: no dashboard of Nabd's has this uid; nabd dashboards diff names them")
    left = []
    with _Server(url, token_file, timeout_s) as grafana:
        for language in LANGUAGES:
            grafana.make_folder(f"nabd-{language}", FOLDERS[language])
        for uid, (document, folder) in wanted.items():
            found = grafana.find(uid, document)
            if found.standing is Standing.SAME:
                continue
            if found.standing is Standing.EDITED:
                if uid not in force:
                    left.append(found)
                    continue
                _keep(found, backup)
            grafana.put(document, found, folder, digest(document))
            click.echo(f"{uid}: {'new' if found.standing is Standing.MISSING else 'replaced'}")
    for found in left:
        click.echo(
            f"{found.uid}: was edited in Grafana and is left alone; see what with: nabd dashboards diff; replace it "
            f"(a copy is kept) with: nabd dashboards push --force {found.uid}",
            err=True,
        )
    return 1 if left else 0


class _Server:
    """A Grafana whose faults are Refused; closed in the end."""

    def __init__(self, url: str, token_file: Path, timeout_s: float) -> None:
        self._arguments = (
            url,
            read_secret(token_file, "--token-file", "the token of a service account with the role Editor"),
            timeout_s,
        )

    def __enter__(self) -> Grafana:
        try:
            self._grafana = Grafana(*self._arguments)
        except ServerFault as fault:
            raise Refused(str(fault)) from None
        return self._grafana

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._grafana.close()
        if isinstance(error, ServerFault):
            raise Refused(str(error)) from None


def _wanted(kinds: Kinds, console_url: str) -> dict[str, tuple[Mapping[str, Any], str]]:
    """uid → (document, uid of its folder)."""
    return {
        uid: (document, f"nabd-{language}")
        for language in LANGUAGES
        for uid, document in build(kinds, language, console_url).items()
    }


def _tell(found: Found) -> None:
    said = {
        Standing.MISSING: "is not in Grafana",
        Standing.OUTDATED: "is an older build",
        Standing.EDITED: "was edited in Grafana",
    }
    click.echo(f"{found.uid}: {said[found.standing]}")
    for line in found.differences[:LINES_MAX]:
        click.echo(f"  {line}")
    if len(found.differences) > LINES_MAX:
        click.echo(f"  … and {len(found.differences) - LINES_MAX} more")


def _keep(found: Found, backup: Path) -> None:
    try:
        path = keep_copy(found, backup)
    except OSError as error:
        raise Refused(f"{backup}: no copy can be kept there ({error.strerror}); choose another with --backup") from None
    click.echo(f"{found.uid}: what was edited is kept in {path}")


def _address(console_url: str) -> str:
    if not console_url.startswith(("http://", "https://")):
        raise Refused(f"--console-url {console_url!r}: not an address; write for example https://nabd.city.ma")
    return console_url.rstrip("/")
