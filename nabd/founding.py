"""`nabd init`: what a city of its own servers needs before the first start, made once.

The authority, the broker's certificate, every password and token, and Mosquitto's first dynamic-security.json. Nothing
that exists is overwritten: a second run makes what is missing and says what was there. A file appears whole or not at
all, so a run that was cut off can be repeated.

::

    DATA/secrets/                          mode 0700, files 0600
    DATA/mosquitto/dynamic-security.json   Mosquitto's own from its first start on
"""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from adapters import certificates
from adapters.certificates import Certificate, CertificateFault
from adapters.mqtt import permissions
from nabd.fault import Refused
from nabd.secret_file import clear_left, read_secret, replace_whole, write_new

# Always in the broker's certificate: this machine, and the service's name in docker-compose.yml.
HOSTS = ("localhost", "127.0.0.1", "mosquitto")
PASSWORDS = (
    "mqtt_platform_password",
    "mqtt_admin_password",
    "influxdb_admin_password",
    "influxdb_token",
    "grafana_admin_password",
    "grafana_influxdb_token",
)
PASSWORD_BYTES = 32
DAY_MS = 86_400_000


class Found(NamedTuple):
    """What became of one file."""

    path: Path
    made: bool
    about: str


def secret(data: Path, name: str) -> Path:
    """Where a secret of this name lies unless a setting says otherwise."""
    return data / "secrets" / name


def run(data: Path, hosts: Sequence[str], now_ms: int, *, renew_certificate: bool) -> int:
    """Found the city, or renew the broker's certificate, and say what was done. Raises Refused.

    `now_ms`, here and below: from when on certificates are good, Unix ms.
    """
    try:
        if renew_certificate:
            renewed = renew(data, hosts, now_ms)
            click.echo(f"renewed  {renewed.path}: {renewed.about}")
            click.echo("next: restart Mosquitto, which reads it then; devices need nothing")
            return 0
        found = establish(data, hosts, now_ms)
    except OSError as error:
        raise Refused(
            f"{error.filename or data}: cannot be used ({error.strerror or error}); mend its owner, mode or space"
        ) from None
    for piece in found:
        click.echo(f"{'made' if piece.made else 'kept':5} {piece.path}: {piece.about}")
    click.echo(_next_steps(data))
    return 0


def establish(data: Path, hosts: Sequence[str], now_ms: int) -> list[Found]:
    """Make whatever is missing; one line a file. Raises Refused, and OSError when a file cannot be written."""
    folder = data / "secrets"
    for wanted in (folder, data / "mosquitto"):
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
        clear_left(wanted)
    folder.chmod(0o700)
    _check_pairs(data)
    found = [_authority(data, now_ms), *_server(data, hosts, now_ms)]
    for name in PASSWORDS:
        made = write_new(secret(data, name), secrets.token_urlsafe(PASSWORD_BYTES).encode())
        found.append(Found(secret(data, name), made, "random" if made else "was there"))
    document = permissions.first_document(
        _password(secret(data, "mqtt_platform_password")), _password(secret(data, "mqtt_admin_password"))
    )
    file = data / "mosquitto" / "dynamic-security.json"
    made = write_new(file, document)
    found.append(Found(file, made, "roles, nabd-platform and nabd-admin" if made else "was there, and is Mosquitto's"))
    return found


def renew(data: Path, hosts: Sequence[str], now_ms: int) -> Found:
    """A new certificate for the broker's key, for the old one's hosts and these besides. Raises Refused, OSError.

    A damaged one is mended when hosts are given.
    """
    target = secret(data, "mosquitto.crt")
    if target.parent.is_dir():
        clear_left(target.parent)
    try:
        known = _known(target).hosts
    except Refused:
        if not hosts:
            raise
        known = ()
    replace_whole(target, _sign(data, [*hosts, *known], now_ms))
    return Found(target, True, _describe(target, now_ms))


def _check_pairs(data: Path) -> None:
    """Refuse what would not fit what exists: found now it is one sentence, later it is a broker that lets nobody in."""
    for name in ("ca.crt", "ca.key", "mosquitto.key", *PASSWORDS[:2]):
        path = secret(data, name)
        if not path.exists() and (why := not_made_again(data, name)):
            raise Refused(f"{path}: is missing, and {why}")


def not_made_again(data: Path, name: str) -> str:
    """Why `establish` does not make this secret once it is gone, with the remedy; empty where it does."""
    is_there = {one: secret(data, one).exists() for one in ("ca.key", "ca.crt", "mosquitto.crt")}
    document = data / "mosquitto" / "dynamic-security.json"
    if name == "ca.crt" and is_there["mosquitto.crt"]:
        return "devices hold a copy of it; restore it from a backup"
    if name in ("ca.key", "mosquitto.crt") and is_there["ca.crt"] and not is_there["ca.key"]:
        if name == "ca.key":
            return (
                "" if is_there["mosquitto.crt"] else "without it nothing can be signed; bring it back from where it is"
            )
        return f"{secret(data, 'ca.key')}, which signs a new one, is not here; bring that back, then repeat nabd init"
    if name == "mosquitto.key" and is_there["mosquitto.crt"]:
        return "mosquitto.crt is for it; restore it from a backup, or remove mosquitto.crt too and repeat nabd init"
    if name in PASSWORDS[:2] and document.exists():
        return (
            f"{document} holds the hash of the old one; restore it from a backup, or stop Mosquitto, put "
            f"{document.name} aside, repeat nabd init and give every device a new credential"
        )
    return ""


def _authority(data: Path, now_ms: int) -> Found:
    key, certificate = secret(data, "ca.key"), secret(data, "ca.crt")
    if certificate.exists():
        return Found(certificate, False, "was there, " + _describe(certificate, now_ms))
    write_new(key, certificates.new_key())
    try:
        write_new(certificate, certificates.authority(_read(key), now_ms))
    except CertificateFault as fault:
        raise Refused(f"{key}: {fault}; restore it from a backup") from None
    about = f"the city's own authority, {_describe(certificate, now_ms)}; its key is {key.name}: keep a copy"
    return Found(certificate, True, about)


def _server(data: Path, hosts: Sequence[str], now_ms: int) -> list[Found]:
    key, certificate = secret(data, "mosquitto.key"), secret(data, "mosquitto.crt")
    if certificate.exists():
        known = _known(certificate)
        lacking = [host for host in hosts if host not in known.hosts]
        if lacking:
            raise Refused(
                f"{certificate}: is good for {', '.join(known.hosts)}, not for {', '.join(lacking)}; "
                f"add --renew-certificate"
            )
        return [Found(certificate, False, "was there, " + _describe(certificate, now_ms))]
    write_new(key, certificates.new_key())
    write_new(certificate, _sign(data, hosts, now_ms))
    return [Found(certificate, True, _describe(certificate, now_ms))]


def _sign(data: Path, hosts: Sequence[str], now_ms: int) -> bytes:
    """For these hosts, the first of them its subject, and HOSTS."""
    try:
        return certificates.server(
            _read(secret(data, "mosquitto.key")),
            list(dict.fromkeys([*hosts, *HOSTS])),
            _read(secret(data, "ca.key")),
            _read(secret(data, "ca.crt")),
            now_ms,
        )
    except CertificateFault as fault:
        raise Refused(f"{secret(data, 'mosquitto.crt')}: cannot be signed: {fault}") from None


def _known(path: Path) -> Certificate:
    try:
        return certificates.read(_read(path))
    except CertificateFault as fault:
        raise Refused(f"{path}: {fault}; restore it from a backup") from None


def _describe(path: Path, now_ms: int) -> str:
    known = _known(path)
    hosts = f"for {', '.join(known.hosts)}, " if known.hosts else ""
    return f"{hosts}good for {(known.not_after_ms - now_ms) // DAY_MS} days"


def _password(path: Path) -> str:
    return read_secret(path, "", "a password of this city", "bring it back from where it is, or from a backup")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise Refused(f"{path}: is missing; run nabd init first, or bring it back from where it is") from None


def _next_steps(data: Path) -> str:
    return f"""next:
  1. keep a copy of {data / "secrets"} where nobody else reads it; ca.key may lie there alone, only renewing needs it
  2. start Mosquitto with deploy/mosquitto/mosquitto.conf; devices must reach it by a name or address that its
     certificate is for: nabd init --renew-certificate --host NAME adds one
  3. nabd up with [mqtt] embedded = false, ca_file, username and password_file
  4. nabd devices add ID … --credentials FILE gives a device its node.json"""
