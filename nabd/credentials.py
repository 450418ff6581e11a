"""`nabd devices add|rotate|revoke|credentials`: a device's own password at the city's Mosquitto.

The password exists in two places, the broker (as a hash) and the device's node.json; here it is written or printed once
and forgotten. Registry and broker are two systems, so a command can end between them: each says how far it came, and
repeating it completes it.
"""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from adapters.mqtt.dynsec import Credentials, CredentialsFault, Unanswered
from adapters.mqtt.forgetting import ForgettingFault, forget
from adapters.platform_client import PlatformFault
from contract.wire import topics
from contract.wire.topics import is_device_id
from nabd import settings
from nabd.broker_access import broker_access, broker_tls
from nabd.fault import Refused
from nabd.founding import secret
from nabd.registering import client_of
from nabd.secret_file import put_in_place, read_secret, write_new
from nabd.settings import Settings

PASSWORD_BYTES = 24  # 192 bits: nobody guesses it, and it fits a label


class Unsure(Refused):
    """The broker was asked, and whether it did so is not known."""


def new_password() -> str:
    """Of a device."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def load(data: Path, config: Path | None) -> Settings:
    return settings.load(data, config, {})


@contextmanager
def broker(data: Path, chosen: Settings) -> Iterator[Credentials]:
    """The broker's credentials, as nabd-admin. Raises Refused, also for what goes wrong inside."""
    if chosen.mqtt_embedded:
        raise Refused("the embedded broker has no credentials; they are for Mosquitto: set [mqtt] embedded = false")
    file = Path(chosen.mqtt_admin_password_file or secret(data, "mqtt_admin_password"))
    password = read_secret(file, "[mqtt] admin_password_file", "the password of user nabd-admin")
    try:
        with Credentials(chosen.mqtt_host, chosen.mqtt_port, password=password, tls=broker_tls(chosen)) as opened:
            yield opened
    except Unanswered as fault:
        raise Unsure(str(fault)) from None
    except CredentialsFault as fault:
        raise Refused(str(fault)) from None


def give(
    data: Path, chosen: Settings, device: str, kind: str, file: Path | None, now_ms: int, register: Callable[[], None]
) -> None:
    """Register a device by `register` and give it its first credential; nothing of it when the file cannot be written.

    `now_ms` (Unix) goes into its node.json. Raises Refused, saying what was done and what was not.
    """
    note = NodeFile(chosen, device, kind, file, now_ms)
    try:
        register()
    except BaseException:
        note.forget()
        raise
    try:
        with broker(data, chosen) as credentials:
            made = credentials.create(device, note.password)
    except Unsure as fault:
        note.forget()
        raise Refused(
            f"{device} is registered; it is not known whether it has a credential: {fault}; if it is told to have one "
            f"then, nabd devices rotate {device} gives it a new one"
        ) from None
    except Refused as fault:
        note.forget()
        raise Refused(f"{device} is registered, but has no credential: {fault}; then repeat the command") from None
    if not made:
        note.forget()
        told = f"{device} has a credential already; nabd devices rotate {device} gives it a new one"
        if file is not None:
            raise Refused(f"{told}; {file} was not written")
        click.echo(told)
        return
    note.hand_over()


def rotate(data: Path, config: Path | None, device: str, file: Path | None, now_ms: int) -> None:
    """A new password; the old one and the connection made with it end at once. Raises Refused."""
    chosen = load(data, config)
    note = NodeFile(chosen, _checked(device), "", file, now_ms)
    try:
        with broker(data, chosen) as credentials:
            known = credentials.set_password(device, note.password)
    except Unsure as fault:
        note.forget()
        raise Refused(f"{device}: it is not known whether the old password still holds: {fault}") from None
    except Refused as fault:
        note.forget()
        raise Refused(f"{device}: nothing was changed, the old password holds: {fault}") from None
    if not known:
        note.forget()
        raise Refused(f"{device} has no credential at the broker; nabd devices add {device} … gives it one")
    note.hand_over()
    click.echo(f"{device}: the old password ended, and the connection made with it", err=True)


def revoke(data: Path, config: Path | None, device: str) -> None:
    """Take the credential away, and what the broker still holds of the device; its history stays. Raises Refused.

    The broker's last status, report and lease of it would otherwise be told for ever to whoever subscribes.
    """
    chosen = load(data, config)
    with broker(data, chosen) as credentials:
        known = credentials.delete(_checked(device))  # first: from now on it is out, and its will has been published
        click.echo(
            f"{device}: its credential is gone, and its connection; its history stays"
            if known
            else f"{device} has no credential"
        )
        try:
            _forget_retained(credentials, chosen, device)
        except (ForgettingFault, Refused) as fault:
            raise Refused(
                f"{device}: what the broker still holds of it (its last status, report or lease) was not cleared: "
                f"{fault}; then repeat the command"
            ) from None
    click.echo(f"{device}: what the broker still held of it is cleared")


def _forget_retained(credentials: Credentials, chosen: Settings, device: str) -> None:
    """Status and report only the device itself may write: for this moment it has a credential that nobody knows.

    Raises ForgettingFault, Refused, CredentialsFault.
    """
    access = broker_access(chosen)
    forget([topics.topic(device, topics.LEASE)], *access.address, **access.credentials)
    password = new_password()
    credentials.create(device, password)
    try:
        own = {"tls": access.credentials["tls"], "username": device, "password": password, "client_id": device}
        forget([topics.topic(device, name) for name in (topics.STATUS, topics.REPORTED)], *access.address, **own)
    finally:
        credentials.delete(device)


def show(data: Path, config: Path | None, url: str | None) -> None:
    """One line a device that the registry or the broker knows. Raises Refused."""
    with broker(data, load(data, config)) as credentials:
        known = {credential.device: credential.enabled for credential in credentials.all()}
    try:
        client = client_of(data, url)
        registered = {str(device["id"]) for device in client.devices()}
        client.close()
    except PlatformFault as fault:
        raise Refused(str(fault)) from None
    for device in sorted(registered | set(known)):
        state = {True: "credential", False: "disabled", None: "no credential"}[known.get(device)]
        click.echo(f"{device}\t{'registered' if device in registered else 'not registered'}\t{state}")


class NodeFile:
    """A device's node.json with a new password: first put beside its place, then into it when the broker agreed.

    Other keys of a file that is there (pins, Wi-Fi) stay. Raises Refused before anything is changed anywhere.
    """

    def __init__(self, chosen: Settings, device: str, kind: str, file: Path | None, now_ms: int) -> None:
        self.password = new_password()
        self._device, self._file = device, file
        document: dict[str, Any] = {"device": device, **({"kind": kind} if kind else {})}
        if file is not None:
            document = {**_present(file, device), **document}
        document |= {
            "host": chosen.mqtt_device_host or chosen.mqtt_host,
            "port": chosen.mqtt_device_port or chosen.mqtt_port,
            "username": device,
            "password": self.password,
            "made_s": now_ms // 1000,
        }
        if chosen.mqtt_ca_file:
            document["ca"] = _authority(Path(chosen.mqtt_ca_file))
        self._text = msgspec.json.format(msgspec.json.encode(document), indent=2)
        if file is not None:
            self._fresh = file.with_name(file.name + ".new")
            try:
                written = write_new(self._fresh, self._text + b"\n")
            except OSError as error:
                raise Refused(f"--credentials {file}: cannot be written ({error.strerror}); name another") from None
            if not written:
                raise Refused(
                    f"{self._fresh}: is there: another command is at work on {file}, or one was broken off and this "
                    "file may hold the password that the broker knows; try it, then move it to its place or remove it, "
                    "and repeat the command"
                )

    def hand_over(self) -> None:
        """To its place, or to the screen. The only copy there is."""
        if self._file is None:
            click.echo(self._text.decode())
            return
        put_in_place(self._fresh, self._file)
        click.echo(f"{self._device}: {self._file} is ready for the device; nobody else has its password", err=True)

    def forget(self) -> None:
        if self._file is not None:
            self._fresh.unlink(missing_ok=True)


def _present(file: Path, device: str) -> Mapping[str, Any]:
    try:
        document = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"--credentials {file}: is there, and no node.json ({error}); name another") from None
    if document.get("device", device) != device:
        raise Refused(f"--credentials {file}: is the node.json of {document['device']}, not of {device}; name another")
    return document


def _authority(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"[mqtt] ca_file {file}: cannot be read ({error})") from None


def _checked(device: str) -> str:
    if not is_device_id(device):
        raise Refused(f"{device!r} is no id of a device; nabd devices list shows them")
    return device
