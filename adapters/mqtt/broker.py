"""The broker inside the house: rumqttd in a child process, for a city that brings no broker of its own.

Its traps, each found by running it, and what is done here. It listens everywhere unless told: here on loopback. It can
be broken and still take TCP connections: readiness is a real CONNECT. It has one listener, for MQTT 3.1.1. It dies
with its parent, even when that is killed, but it must outlive Ctrl-C and a stop of the whole process group, which reach
both: the platform stops its broker last. It leaves Nagle's algorithm on: the receiver hastens its kernel
(`Connection.hasten`). It keeps sessions and retained messages in memory only, and it cannot restrict topics.
"""

import contextlib
import errno
import logging
import os
import resource
import signal
import socket
import time
from collections.abc import Iterator

from iotcore import Broker

from contract.wire.mqtt import Session
from contract.wire.packets import ProtocolFault

PACKET_BYTES_MAX = 65536 + 256  # so that ingest, not the broker, says too_large
UNACKNOWLEDGED_MAX = 100  # messages on the way to one connection, whatever its settings say
STARTS_MAX = 3
FILES_RESERVED = 256  # descriptors for everything that is no connection

logger = logging.getLogger("mqtt")


class BrokerFault(Exception):
    """The embedded broker cannot run; the message says why and what to do."""


class PortInUse(BrokerFault):
    """Somebody listens there already."""


class EmbeddedBroker:
    """MQTT 3.1.1 on one port. `start` and `stop` may be called again and again; both block."""

    def __init__(self, host: str = "127.0.0.1", port: int = 1883, connections_max: int = 12_000) -> None:
        """A port of 0: any free one, known after `start`."""
        self.host = host
        self.connections_max = connections_max
        self._wanted_port = port
        self._port = port
        self._broker: Broker | None = None

    @property
    def port(self) -> int:
        return self._port

    @property
    def running(self) -> bool:
        return self._broker is not None and self._broker.is_running

    def start(self, timeout_s: float = 10.0) -> None:
        """Start it and wait until it answers a CONNECT. Raises PortInUse, or BrokerFault when it does not come up.

        One that is killed while it starts is started again, STARTS_MAX times in all: it may die at any moment.
        """
        if self.running:
            return
        self._port = free_port(self.host, self._wanted_port)
        _allow_files(self.connections_max + FILES_RESERVED)
        for left in reversed(range(STARTS_MAX)):
            try:
                self._start_once(timeout_s)
            except BrokerFault as fault:
                if not left:
                    raise
                logger.warning("event=broker_start_failed reason=%r next='trying again'", str(fault))
            else:
                break
        logger.info("event=listening broker=embedded host=%s port=%d", self.host, self._port)

    def _start_once(self, timeout_s: float) -> None:
        broker = Broker(
            port=self._port,
            listen=self.host,
            max_connections=self.connections_max,
            max_payload_size=PACKET_BYTES_MAX,
            connection_timeout_ms=10_000,
        )
        deadline = time.monotonic() + timeout_s
        try:
            with _stop_signals_blocked():  # the child inherits it
                broker.start(timeout_s)
        except (OSError, RuntimeError) as fault:
            raise BrokerFault(f"the embedded broker did not start on {self.host}:{self._port}: {fault}") from fault
        self._broker = broker
        while not answers(self.host, self._port, timeout_s=1.0):
            if not broker.is_running or time.monotonic() > deadline:
                self.stop()
                raise BrokerFault(
                    f"the embedded broker on {self.host}:{self._port} did not answer a CONNECT within {timeout_s:g} s; "
                    "start it again, or name another broker in the settings"
                )
            time.sleep(0.02)

    def answers(self) -> bool:
        """Does it answer a CONNECT now?"""
        return answers(self.host, self._port)

    def stop(self) -> None:
        """End it and free its port; its sessions and retained messages are gone."""
        if self._broker is not None:
            process = self._broker._process  # it hears no SIGTERM, so it is told by its pipe
            if process is not None and process.stdin is not None:
                process.stdin.close()
            self._broker.stop()
            self._broker = None
            logger.info("event=stopped broker=embedded host=%s port=%d", self.host, self._port)


def free_port(host: str, port: int) -> int:
    """`port` when it can be listened on, or any free one for 0. Raises PortInUse or BrokerFault."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that still lingers is no listener
        try:
            probe.bind((host, port))
        except OSError as fault:
            if fault.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"MQTT port {port} on {host} is in use by another program: stop it, or choose another port "
                    "with --mqtt-port"
                ) from None
            raise BrokerFault(f"MQTT port {port} on {host} cannot be listened on: {fault.strerror}") from None
        return int(probe.getsockname()[1])


def answers(host: str, port: int, timeout_s: float = 2.0) -> bool:
    """Does an MQTT broker answer a CONNECT there, be it with a refusal? (A port that is merely open proves nothing.)"""
    session = Session(f"nabd-probe-{os.getpid()}", clean=True)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as probe:
            probe.sendall(session.connect(0))
            while data := probe.recv(4096):
                if events := session.feed(data, 0):
                    if events[0][0] == "connected":
                        probe.sendall(session.disconnect())
                    return True
    except (OSError, ProtocolFault):
        pass
    return False


@contextlib.contextmanager
def _stop_signals_blocked() -> Iterator[None]:
    """Of this thread: a mask is inherited by a child, and unlike a handler it may be set in any thread."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _allow_files(count: int) -> None:
    """Raise this process's limit of open files, which the child inherits, as far as it may be raised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < count:
        logger.warning(
            "event=few_files_allowed broker=embedded files_max=%d files_wanted=%d remedy='ulimit -Hn %d'",
            wanted,
            count,
            count,
        )
