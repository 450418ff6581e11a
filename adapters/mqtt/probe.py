"""Asks a broker once whether it lets somebody in, and says in one sentence why not."""

import os
import socket
import ssl
from collections.abc import Callable
from typing import NamedTuple

from adapters.clock import real_ms
from adapters.mqtt.tls import explain
from contract.wire.mqtt import Session
from contract.wire.packets import REFUSALS, ProtocolFault

WRONG_CREDENTIALS = (4, 5)


class ProbeFault(Exception):
    """It does not; the message is a sentence with the remedy."""


class Answer(NamedTuple):
    """The broker lets us in."""

    spoken: str  # "TLSv1.3", "plain text"
    not_after_ms: int | None = None  # until when its certificate is good; None in plain text


def refusal(code: int, username: str | None) -> str:
    """A sentence for a CONNACK that is none."""
    reason = REFUSALS.get(code, "unknown reason")
    remedy = ""
    if code in WRONG_CREDENTIALS:
        remedy = (
            f"; is the password of {username} the one the broker knows?"
            if username
            else "; it wants a user name and a password"
        )
    return f"refused by the broker: {reason} (code {code}){remedy}"


def unanswered(port: int, tls: bool) -> str:
    """A sentence for a connection that ended before any answer to CONNECT."""
    if tls:
        return "closed by the broker before it answered"
    return f"closed by the broker before it answered; if port {port} is for TLS, give ca_file"


def probe(
    host: str,
    port: int,
    *,
    tls: ssl.SSLContext | None = None,
    username: str | None = None,
    password: str | None = None,
    client_id: str = "",
    timeout_s: float = 5.0,
    now_ms: Callable[[], int] = real_ms,
) -> Answer:
    """Connect and say good-bye. Raises ProbeFault."""
    session = Session(client_id or f"nabd-probe-{os.getpid()}", 30, username, password, clean=True)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as plain:
            if tls is None:
                _ask(plain, session, port, username)
                return Answer("plain text")
            with tls.wrap_socket(plain, server_hostname=host) as wrapped:
                _ask(wrapped, session, port, username)
                return Answer(wrapped.version() or "TLS", _not_after_ms(wrapped))
    except TimeoutError:
        raise ProbeFault(f"{host}:{port} does not answer within {timeout_s:g} s") from None
    except (OSError, ProtocolFault) as error:
        if tls is not None:
            raise ProbeFault(explain(error, host, port, now_ms())) from None
        if isinstance(error, ConnectionResetError):
            raise ProbeFault(unanswered(port, False)) from None
        raise ProbeFault(f"{host}:{port}: {error}") from None


def _ask(peer: socket.socket, session: Session, port: int, username: str | None) -> None:
    peer.sendall(session.connect(0))
    while data := peer.recv(4096):
        for event in session.feed(data, 0):
            if event[0] == "refused":
                raise ProbeFault(refusal(event[1], username))
            if event[0] == "connected":
                peer.sendall(session.disconnect())
                return
    raise ProbeFault(unanswered(port, isinstance(peer, ssl.SSLSocket)))


def _not_after_ms(peer: ssl.SSLSocket) -> int | None:
    ends = (peer.getpeercert() or {}).get("notAfter")
    return round(ssl.cert_time_to_seconds(ends) * 1000) if isinstance(ends, str) else None
