"""From settings to what connects to the broker: address, TLS, and passwords out of their files."""

import ssl
from pathlib import Path
from typing import Any, NamedTuple

from adapters.mqtt.tls import TlsFault, client_context
from nabd.fault import Refused
from nabd.secret_file import read_secret
from nabd.settings import Settings


class Access(NamedTuple):
    """`credentials` are keyword arguments that Sender, Receiver and probe take alike."""

    address: tuple[str, int]
    credentials: dict[str, Any]


def broker_access(settings: Settings) -> Access:
    """The platform's own access. Raises Refused for a file that cannot be used."""
    credentials: dict[str, Any] = {"tls": broker_tls(settings)}
    if settings.mqtt_username:
        password = read_secret(
            Path(settings.mqtt_password_file), "[mqtt] password_file", f"the password of user {settings.mqtt_username}"
        )
        credentials |= {"username": settings.mqtt_username, "password": password}
    return Access((settings.mqtt_host, settings.mqtt_port), credentials)


def broker_tls(settings: Settings) -> ssl.SSLContext | None:
    """None for plain text. Raises Refused."""
    if not settings.mqtt_ca_file:
        return None
    try:
        return client_context(Path(settings.mqtt_ca_file))
    except TlsFault as fault:
        raise Refused(f"[mqtt] ca_file {fault}") from None
