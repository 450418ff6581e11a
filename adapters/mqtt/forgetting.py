"""Makes a broker forget what it retains: an empty retained message on the topic (MQTT 3.1.1, 3.3.1.3)."""

import secrets
import ssl
from collections.abc import Sequence

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.probe import ProbeFault, probe

TIMEOUT_S = 10.0


class ForgettingFault(Exception):
    """The broker was not told, or did not answer; a sentence with the remedy."""


def forget(
    topics: Sequence[str],
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    username: str | None = None,
    password: str | None = None,
    client_id: str = "",
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Returns when the broker has acknowledged each. Who may not write a topic is acknowledged, too, without effect.

    The session is a new one, and ends with the call. Raises ForgettingFault.
    """
    client_id = client_id or f"nabd-forgets-{secrets.token_hex(4)}"
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv311)
    client.username_pw_set(username, password)
    if tls is not None:
        client.tls_set_context(tls)
    try:  # first with what names its faults
        probe(host, port, tls=tls, username=username, password=password, client_id=client_id, timeout_s=timeout_s)
        client.connect(host, port)
    except (ProbeFault, OSError) as fault:
        raise ForgettingFault(str(fault)) from None
    client.loop_start()
    try:
        told = [client.publish(topic, b"", 1, retain=True) for topic in topics]
        for one in told:
            one.wait_for_publish(timeout_s)
        if not all(one.is_published() for one in told):
            raise ForgettingFault(f"{host}:{port} does not answer within {timeout_s:g} s; is the broker still there?")
    except (RuntimeError, ValueError) as error:  # paho's, for a connection that went meanwhile
        raise ForgettingFault(f"{host}:{port}: {error}") from None
    finally:
        client.disconnect()
        client.loop_stop()
