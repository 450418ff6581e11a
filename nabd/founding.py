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
from adapters.clock import real_ms
from adapters.mqtt import permissions
from nabd.fault import Refused
from nabd.secret_file import read_secret, replace_whole, write_new

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


def run(data: Path, hosts: Sequence[str], *, renew_certificate: bool) -> int:
    """Found the city, or renew the broker's certificate, and say what was done. Raises Refused."""
    try:
        if renew_certificate:
            renewed = renew(data, hosts)
            click.echo(f"renewed  {renewed.path}: {renewed.about}")
            click.echo("next: restart Mosquitto, which reads it then; devices need nothing")
            return 0
        found = establish(data, hosts)
    except OSError as error:
        raise Refused(
            f"{error.filename or data}: cannot be used ({error.strerror or error}); mend its owner, mode or space"
        ) from None
    for piece in found:
        click.echo(f"{'made' if piece.made else 'kept':5} {piece.path}: {piece.about}")
    click.echo(_next_steps(data))
    return 0


def establish(data: Path, hosts: Sequence[str]) -> list[Found]:
    """Make whatever is missing; one line a file. Raises Refused, and OSError when a file cannot be written."""
    folder = data / "secrets"
    for wanted in (folder, data / "mosquitto"):
        wanted.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    _check_pairs(data)
    found = [_authority(data), *_server(data, hosts)]
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


def renew(data: Path, hosts: Sequence[str]) -> Found:
    """A new certificate for the broker's key, for the old one's hosts and these besides. Raises Refused, OSError.

    A damaged one is mended when hosts are given.
    """
    target = secret(data, "mosquitto.crt")
    try:
        known = _known(target).hosts
    except Refused:
        if not hosts:
            raise
        known = ()
    replace_whole(target, _sign(data, [*hosts, *known]))
    return Found(target, True, _describe(target))


def _check_pairs(data: Path) -> None:
    """Refuse what would not fit what exists: found now it is one sentence, later it is a broker that lets nobody in."""
    key, certificate = secret(data, "ca.key"), secret(data, "ca.crt")
    server_certificate = secret(data, "mosquitto.crt")
    if key.exists() and not certificate.exists() and server_certificate.exists():
        raise Refused(f"{certificate}: is missing, and devices hold a copy of it; restore it from a backup")
    if server_certificate.exists() and not certificate.exists():
        raise Refused(f"{certificate}: is missing although {server_certificate} is there; restore it from a backup")
    if certificate.exists() and not key.exists() and not server_certificate.exists():
        raise Refused(f"{key}: is missing, and without it no certificate can be signed; bring it back from where it is")
    document = data / "mosquitto" / "dynamic-security.json"
    if document.exists():
        gone = [name for name in PASSWORDS[:2] if not secret(data, name).exists()]
        if gone:
            raise Refused(
                f"{secret(data, gone[0])}: is missing, and {document} holds the old one's hash; restore it from a "
                f"backup, or stop Mosquitto, put {document.name} aside and give every device a new credential"
            )


def _authority(data: Path) -> Found:
    key, certificate = secret(data, "ca.key"), secret(data, "ca.crt")
    if certificate.exists():
        return Found(certificate, False, "was there, " + _describe(certificate))
    write_new(key, certificates.new_key())
    try:
        write_new(certificate, certificates.authority(_read(key), real_ms()))
    except CertificateFault as fault:
        raise Refused(f"{key}: {fault}; restore it from a backup") from None
    about = f"the city's own authority, {_describe(certificate)}; its key is {key.name}: keep a copy"
    return Found(certificate, True, about)


def _server(data: Path, hosts: Sequence[str]) -> list[Found]:
    key, certificate = secret(data, "mosquitto.key"), secret(data, "mosquitto.crt")
    if certificate.exists():
        known = _known(certificate)
        lacking = [host for host in hosts if host not in known.hosts]
        if lacking:
            raise Refused(
                f"{certificate}: is good for {', '.join(known.hosts)}, not for {', '.join(lacking)}; "
                f"add --renew-certificate"
            )
        if not key.exists():
            raise Refused(f"{key}: is missing; restore it, or remove {certificate.name} too and repeat nabd init")
        return [Found(certificate, False, "was there, " + _describe(certificate))]
    write_new(key, certificates.new_key())
    write_new(certificate, _sign(data, hosts))
    return [Found(certificate, True, _describe(certificate))]


def _sign(data: Path, hosts: Sequence[str]) -> bytes:
    """For these hosts, the first of them its subject, and HOSTS."""
    try:
        return certificates.server(
            _read(secret(data, "mosquitto.key")),
            list(dict.fromkeys([*hosts, *HOSTS])),
            _read(secret(data, "ca.key")),
            _read(secret(data, "ca.crt")),
            real_ms(),
        )
    except CertificateFault as fault:
        raise Refused(f"{secret(data, 'mosquitto.crt')}: cannot be signed: {fault}") from None


def _known(path: Path) -> Certificate:
    try:
        return certificates.read(_read(path))
    except CertificateFault as fault:
        raise Refused(f"{path}: {fault}; restore it from a backup") from None


def _describe(path: Path) -> str:
    known = _known(path)
    hosts = f"for {', '.join(known.hosts)}, " if known.hosts else ""
    return f"{hosts}good for {(known.not_after_ms - real_ms()) // DAY_MS} days"


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
