"""The embedded broker: says when it cannot start, lives as long as it should and no longer."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from adapters.mqtt.broker import BrokerFault, EmbeddedBroker, PortInUse, answers
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(port=0, connections_max=50)
    made.start()
    yield made
    made.stop()


def test_when_start_returns_it_answers_and_when_stop_returns_its_port_is_free(broker: EmbeddedBroker) -> None:
    assert broker.running
    assert broker.port > 0
    assert answers("127.0.0.1", broker.port)
    broker.stop()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", broker.port))


def test_it_starts_again_after_a_stop(broker: EmbeddedBroker) -> None:
    broker.stop()
    broker.start()
    assert answers("127.0.0.1", broker.port)


@pytest.mark.parametrize(("deaths", "comes_up"), [(1, True), (2, True), (3, False)])
def test_one_that_is_killed_while_it_starts_is_started_again(
    deaths: int, comes_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A platform that gave up would be down until somebody starts it again."""
    left = deaths
    popen = subprocess.Popen

    def start_and_kill(*arguments: Any, **named: Any) -> "subprocess.Popen[bytes]":
        nonlocal left
        process = popen(*arguments, **named)
        if left:
            left -= 1
            process.kill()
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_kill)
    broker = EmbeddedBroker(port=0, connections_max=50)
    try:
        if comes_up:
            broker.start()
            assert broker.running
            assert broker.answers()
        else:
            with pytest.raises(BrokerFault, match=r"did not start on 127.0.0.1:.*exited with code -9"):
                broker.start()
            assert not broker.running
    finally:
        broker.stop()


def test_it_listens_on_loopback_only(broker: EmbeddedBroker) -> None:
    listening = {
        tuple(connection.laddr)
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {address[0] for address in listening if address[1] == broker.port} == {"127.0.0.1"}


def test_a_taken_port_is_named_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"{port} on 127\.0\.0\.1 .*--mqtt-port"):
            EmbeddedBroker(port=port).start()


def test_an_open_port_that_does_not_speak_mqtt_is_no_broker() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        assert not answers("127.0.0.1", silent.getsockname()[1], timeout_s=0.2)

    with socket.socket() as web:
        web.bind(("127.0.0.1", 0))
        web.listen()

        def serve() -> None:
            connection, _ = web.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert not answers("127.0.0.1", web.getsockname()[1], timeout_s=2.0)
        thread.join()


def test_ctrl_c_in_the_terminal_does_not_end_it_before_the_platform(broker: EmbeddedBroker) -> None:
    process = broker._broker._process  # type: ignore[union-attr]
    assert process is not None
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.2)  # a signal that were obeyed would need less
    assert answers("127.0.0.1", broker.port)


def test_it_dies_with_its_parent_even_when_that_is_killed() -> None:
    script = (
        "import time\nfrom adapters.mqtt.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(port=0, connections_max=50)\nbroker.start()\n"
        "print(broker.port, broker._broker._process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    port, child = map(int, parent.stdout.readline().split())
    assert answers("127.0.0.1", port)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    eventually(lambda: not psutil.pid_exists(child), "the child is gone")
    assert not answers("127.0.0.1", port, timeout_s=0.5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_group_does_not_end_one_that_was_started_in_a_thread(number: signal.Signals) -> None:
    made = EmbeddedBroker(port=0, connections_max=50)
    starter = threading.Thread(target=made.start)
    starter.start()
    starter.join()
    process = made._broker._process  # type: ignore[union-attr]
    assert process is not None
    try:
        os.kill(process.pid, number)
        time.sleep(0.2)  # a signal that were obeyed would need less
        assert answers("127.0.0.1", made.port)
        began_s = time.monotonic()
    finally:
        made.stop()
    assert time.monotonic() - began_s < 2.0, "and it still ends at once when told to"
