"""`nabd doctor --deploy CITY`: is all that docker-compose.yml and the systemd units take from CITY there, closed to
others, and good for some time? Looks at files only, so it can be asked before anything runs."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from adapters import certificates
from adapters.certificates import CertificateFault
from adapters.clock import real_ms
from nabd.finding import RENEW_DAYS, Finding, Verdict
from nabd.founding import DAY_MS, PASSWORDS, not_made_again, secret

FILES = ("ca.crt", "mosquitto.crt", "mosquitto.key", *PASSWORDS)
CONTAINER_UID = 10001  # of deploy/Dockerfile, and the default of docker-compose.yml


def examine(city: Path) -> Iterator[Finding]:
    """Every fault at once, each with the command that mends it."""
    folder = city / "secrets"
    init = f"nabd init --data {city}"
    if not folder.is_dir():
        yield Finding(Verdict.WRONG, "secrets", f"{folder} does not exist; make all of it with: {init}")
        return
    yield from secrets_in(city, FILES)
    yield _users(city / "mosquitto" / "dynamic-security.json", init)
    for name in ("ca.crt", "mosquitto.crt"):
        if (file := secret(city, name)).is_file() and file.stat().st_size:
            yield _certificate(secret(city, name), city)
    yield from _pair(city)
    yield from _owner(folder)


def secrets_in(city: Path, names: Sequence[str]) -> Iterator[Finding]:
    """Are these files of CITY/secrets there, not empty, and like their folder their owner's alone?

    One finding a fault, or one that all is good.
    """
    folder = city / "secrets"
    faults = [finding for name in names if (finding := _file(city, name)) is not None]
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        faults.insert(
            0,
            Finding(Verdict.WRONG, "secrets", f"{folder} is open to others (mode {mode:03o}); chmod 700 {folder}"),
        )
    yield from faults or [Finding(Verdict.GOOD, "secrets", f"{len(names)} files in {folder}, for their owner alone")]


def _file(city: Path, name: str) -> Finding | None:
    path, init = secret(city, name), f"nabd init --data {city}"
    refusal = not_made_again(city, name)
    try:
        found = path.stat()
        is_empty = not path.read_bytes().strip()
    except FileNotFoundError:
        mend = f", and {refusal}" if refusal else f"; {init} makes it"
        return Finding(Verdict.WRONG, path.name, f"{path} is missing{mend}")
    except OSError as error:
        return Finding(Verdict.WRONG, path.name, f"{path} cannot be read ({error.strerror}); run this as its owner")
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        return Finding(Verdict.WRONG, path.name, f"{path} is open to others (mode {mode:03o}); chmod 600 {path}")
    if is_empty:
        mend = f", and {refusal}" if refusal else f"; remove it, then {init} makes it"
        return Finding(Verdict.WRONG, path.name, f"{path} is empty{mend}")
    return None


def _users(path: Path, init: str) -> Finding:
    try:
        document = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    except FileNotFoundError:
        return Finding(
            Verdict.WRONG,
            "mosquitto users",
            f"{path} is missing; if devices have credentials, restore it from a backup, else {init} makes it",
        )
    except (OSError, msgspec.MsgspecError) as error:
        return Finding(Verdict.WRONG, "mosquitto users", f"{path} cannot be used ({error}); restore it from a backup")
    clients = document.get("clients")
    count = len(clients) if isinstance(clients, list) else 0
    return Finding(Verdict.GOOD, "mosquitto users", f"{count} to begin with; Mosquitto keeps its own list from then on")


def _certificate(path: Path, city: Path) -> Finding:
    try:
        known = certificates.read(path.read_bytes())
    except (OSError, CertificateFault) as fault:
        return Finding(Verdict.WRONG, path.name, f"{path}: {fault}; restore it from a backup")
    days = (known.not_after_ms - real_ms()) // DAY_MS
    hosts = f"for {', '.join(known.hosts)}, " if known.hosts else ""
    mend = f"nabd init --renew-certificate --data {city}, then restart Mosquitto"
    if path.name == "ca.crt":
        mend = "a new authority means new files for every device: see docs/deploy.md, certificates"
    if known.not_before_ms > real_ms():
        return Finding(Verdict.WRONG, path.name, f"{hosts}is not valid yet; set this machine's clock, or {mend}")
    if days < 0:
        return Finding(Verdict.WRONG, path.name, f"{hosts}expired {-days} days ago; {mend}")
    verdict = Verdict.NOTE if days < RENEW_DAYS else Verdict.GOOD
    return Finding(verdict, path.name, f"{hosts}good for {days} days{f'; {mend}' if days < RENEW_DAYS else ''}")


def _pair(city: Path) -> Iterator[Finding]:
    """Do the three files of TLS belong together?"""
    authority, certificate, key = (secret(city, name) for name in ("ca.crt", "mosquitto.crt", "mosquitto.key"))
    try:
        signed = certificates.is_signed_by(certificate.read_bytes(), authority.read_bytes())
        belongs = certificates.belongs(key.read_bytes(), certificate.read_bytes())
    except (OSError, CertificateFault):  # said already
        return
    mend = f"nabd init --renew-certificate --data {city}, or restore all three from one backup"
    hosts = certificates.read(certificate.read_bytes()).hosts
    if lacking := [host for host in ("localhost", "mosquitto") if host not in hosts]:
        options = " ".join(f"--host {host}" for host in (*hosts, *lacking))
        yield Finding(
            Verdict.WRONG,
            certificate.name,
            f"is not good for {' and '.join(lacking)}, by which the platform finds Mosquitto (localhost under systemd, "
            f"mosquitto in docker compose); nabd init --renew-certificate {options} --data {city}",
        )
    if not signed:
        yield Finding(Verdict.WRONG, certificate.name, f"was not signed by {authority}: devices refuse it; {mend}")
    if not belongs:
        yield Finding(Verdict.WRONG, key.name, f"is not the key of {certificate}: Mosquitto will not start; {mend}")
    if secret(city, "ca.key").exists():
        yield Finding(
            Verdict.NOTE, "ca.key", "whoever has it can pose as the broker; keep it elsewhere, only renewing needs it"
        )


def _owner(folder: Path) -> Iterator[Finding]:
    owners = {path.stat().st_uid for path in (folder, *folder.iterdir())}
    if len(owners) > 1:
        users = ", ".join(map(str, sorted(owners)))
        yield Finding(
            Verdict.WRONG, "owner", f"{folder} and its files belong to {users}; give them one owner: chown -R"
        )
    elif owners != {CONTAINER_UID}:
        (uid,) = owners
        yield Finding(
            Verdict.NOTE,
            "owner",
            f"user {uid}; for docker compose write NABD_UID={uid} and NABD_GID into .env, or chown them to "
            f"{CONTAINER_UID}; under systemd they are root's",
        )
