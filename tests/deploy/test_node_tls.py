"""What a real MicroPython node makes of a broker's certificate: it verifies all of it, says why not, and comes back."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters import certificates
from adapters.clock import real_ms
from nabd.process import Child, node_command, node_folder
from stand.city_broker import CityBroker
from tests.deploy.eye import Eye
from tests.firmware.street import ROOT
from tests.waiting import eventually

pytestmark = pytest.mark.services

Start = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def lamp(broker: CityBroker) -> None:
    admin = Eye(broker, "nabd-admin", broker.password("mqtt_admin_password"))
    for device in ("lamp-1", "probe"):
        command = {"command": "createClient", "username": device, "clientid": device, "password": "of the lamp"}
        admin.control({**command, "roles": [{"rolename": "device"}]})
    admin.close()


@pytest.fixture
def start(broker: CityBroker, tmp_path: Path) -> Iterator[Start]:
    """Starts the node with these options; the file its lines go to."""
    password = tmp_path / "password"
    password.write_text("of the lamp\n")
    children: list[Child] = []

    def begin(**options: object) -> Path:
        said = tmp_path / "said"
        given = {"host": "localhost", "ca": broker.ca_file, "password_file": password, **options}
        command = node_command("lamp-1", "street_light", broker.port, tmp_path, **{k: v for k, v in given.items() if v})
        with said.open("wb") as output:
            children.append(Child(command, folder=node_folder(), output=output))
        return said

    yield begin
    for child in children:
        child.stop()


def says(said: Path, piece: str) -> None:
    eventually(lambda: piece in said.read_text(), lambda: f"{piece!r}; it said {said.read_text()}")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_node_connects_by_a_name_or_an_address_in_the_certificate(start: Start, host: str) -> None:
    says(start(host=host), "event=connected")


def test_a_certificate_for_another_host_is_refused(start: Start) -> None:
    says(start(host="127.0.0.2"), 'why="the broker\'s certificate is not for 127.0.0.2"')


def test_another_citys_broker_is_refused(start: Start, tmp_path: Path) -> None:
    other = tmp_path / "ca.crt"
    other.write_bytes(certificates.authority(certificates.new_key(), real_ms()))
    says(start(ca=other), "is not of this city: another authority signed its certificate")


@pytest.mark.parametrize(("days_ago", "piece"), [(900, "has expired"), (-3, "is not valid yet")])
def test_dates_are_checked_and_the_node_comes_back_when_the_certificate_is_renewed(
    broker: CityBroker, start: Start, days_ago: int, piece: str
) -> None:
    broker.certificate(days_ago=days_ago)
    try:
        said = start()
        says(said, f"the certificate of localhost {piece}, by this node's clock")
        assert "event=connected" not in said.read_text()
    finally:
        broker.certificate()
    says(said, "event=connected")
    assert said.read_text().count("event=boot") == 1, "the same node, by itself"
    assert "Traceback" not in said.read_text()


def test_a_node_without_an_authority_finds_no_broker_on_the_tls_port(broker: CityBroker, start: Start) -> None:
    says(start(ca=None), f'why="no broker on port {broker.port} without TLS"')


def test_a_wrong_password_is_said(start: Start, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("of another")
    says(start(password_file=wrong), 'why="the broker refused the connection: not authorized"')


def test_a_handshake_that_never_ends_is_given_up_and_tried_again(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        said = start(port=deaf.getsockname()[1])
        deaf.settimeout(30)
        first, _ = deaf.accept()
        says(said, 'why="no connection within 10000 ms"')
        second, _ = deaf.accept()
        first.close()
        second.close()
    assert "Traceback" not in said.read_text()


def test_an_authority_that_is_no_certificate_is_one_sentence(start: Start, tmp_path: Path) -> None:
    bad = tmp_path / "bad.crt"
    bad.write_text("not PEM")
    says(start(ca=bad), "nabd node: ca: is no certificate in PEM")


def test_connecting_and_stopping_over_tls_leaves_no_task_no_socket_and_no_memory(broker: CityBroker) -> None:
    run = subprocess.run(
        [node_command("probe", "street_light", 0, Path())[0], "-m", "tests.firmware.link_on_micropython",
         str(broker.port), "50", str(broker.ca_file), "of the lamp"],
        cwd=ROOT, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    lines = run.stdout.splitlines()
    assert lines[0].startswith("ups=50 "), run.stdout + run.stderr
    found = re.fullmatch(r"left tasks=0 sockets=0 grew=(-?\d+)", lines[1])
    assert found, run.stdout
    assert int(found[1]) < 2048, run.stdout
