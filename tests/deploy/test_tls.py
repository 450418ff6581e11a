"""What the platform says when TLS to its broker does not come about: one sentence, with the remedy."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from adapters import certificates
from adapters.clock import real_ms
from adapters.mqtt.probe import ProbeFault, probe
from adapters.mqtt.receiver import Receiver
from adapters.mqtt.tls import TlsFault, client_context
from nabd.cli import cli
from stand.city_broker import CityBroker
from tests.adapters_mqtt.brokers import Mosquitto, run
from tests.waiting import until

pytestmark = pytest.mark.services


def said(broker: CityBroker, host: str = "localhost", **changed: Any) -> str:
    """What the receiver says of its first try, and what probe says: the same."""
    credentials: dict[str, Any] = {
        "username": "nabd-platform",
        "password": broker.password("mqtt_platform_password"),
        "tls": client_context(broker.ca_file),
        **changed,
    }
    port = credentials.pop("port", broker.port)
    faults = []

    async def once() -> None:
        receiver = Receiver(host, port, **credentials)
        await receiver.start()
        await until(lambda: receiver.fault, "a reason")
        faults.append(receiver.fault)
        assert not receiver.connected
        await receiver.stop()

    run(once())
    with pytest.raises(ProbeFault) as probed:
        probe(host, port, **credentials)
    assert faults == [str(probed.value)]
    return faults[0]


def test_the_receiver_hears_a_device_over_tls(broker: CityBroker) -> None:
    async def once() -> None:
        receiver = Receiver(
            "localhost", broker.port, connections=4, username="nabd-platform",
            password=broker.password("mqtt_platform_password"), tls=client_context(broker.ca_file),
        )  # fmt: skip
        await receiver.start()
        await until(lambda: receiver.connected, "all four links, their filters granted")
        assert receiver.fault == ""
        await receiver.stop()

    run(once())
    password = broker.password("mqtt_platform_password")
    answer = probe(
        "127.0.0.1", broker.port, tls=client_context(broker.ca_file), username="nabd-platform", password=password
    )
    assert answer.spoken == "TLSv1.3"


def test_a_certificate_for_another_host(broker: CityBroker) -> None:
    assert "is not for 127.0.0.2; " in said(broker, "127.0.0.2")
    broker.certificate(["broker.berkane.ma"])
    try:
        assert "nabd init --renew-certificate --host localhost" in said(broker)
    finally:
        broker.certificate()


def test_another_citys_authority(broker: CityBroker, tmp_path: Path) -> None:
    other = tmp_path / "ca.crt"
    other.write_bytes(certificates.authority(certificates.new_key(), real_ms()))
    assert "is not signed by the authority in ca_file; give the ca.crt of this city" in said(
        broker, tls=client_context(other)
    )


@pytest.mark.parametrize(("days_ago", "piece"), [(900, "has expired"), (-3, "is not valid yet")])
def test_a_wrong_date_names_this_machines_clock(broker: CityBroker, days_ago: int, piece: str) -> None:
    broker.certificate(days_ago=days_ago)
    try:
        sentence = said(broker)
        assert piece in sentence
        assert "this machine's clock says 20" in sentence
    finally:
        broker.certificate()


def test_plain_text_to_the_tls_port(broker: CityBroker) -> None:
    assert f"if port {broker.port} is for TLS, give ca_file" in said(broker, tls=None)
    with socket.create_connection(("127.0.0.1", broker.port)) as plain:
        plain.sendall(bytes.fromhex("101000044d51545404c2001e00046c616d70"))
        plain.settimeout(10)
        with contextlib.suppress(ConnectionResetError):
            assert b"\x20\x02" not in plain.recv(64), "no CONNACK in plain text"


def test_tls_to_a_plain_text_port(broker: CityBroker, tmp_path: Path) -> None:
    plain = Mosquitto(tmp_path)
    plain.start()
    try:
        sentence = said(broker, port=plain.port)
    finally:
        plain.stop()
    assert f"localhost:{plain.port}" in sentence
    assert "8883" in sentence


def test_a_wrong_password(broker: CityBroker) -> None:
    assert "is the password of nabd-platform the one the broker knows?" in said(broker, password="wrong")


def test_a_refused_subscription_names_the_filters_and_the_user(broker: CityBroker) -> None:
    async def once() -> None:
        receiver = Receiver(
            "localhost", broker.port, username="nabd-admin", password=broker.password("mqtt_admin_password"),
            tls=client_context(broker.ca_file),
        )  # fmt: skip
        await receiver.start()
        await until(lambda: receiver.fault, "a reason")
        assert "refused to subscribe to nabd/1/+/telemetry" in receiver.fault
        assert "do its topic rules let nabd-admin hear what devices say?" in receiver.fault
        await receiver.stop()

    run(once())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_what_is_older_than_tls_1_2_is_not_spoken(broker: CityBroker, version: ssl.TLSVersion) -> None:
    context = broker.tls()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", broker.port)) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain, server_hostname="localhost")
    context = broker.tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", broker.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == "TLSv1.2"
        assert (wrapped.cipher() or ("",))[0].startswith("ECDHE-")


def test_a_renewed_certificate_is_taken_without_a_restart(broker: CityBroker) -> None:
    before = ssl.get_server_certificate(("127.0.0.1", broker.port))
    done = CliRunner().invoke(cli, ["init", "--data", str(broker.data), "--renew-certificate"])
    assert done.exit_code == 0, done.output
    broker.own()
    broker.reload()

    async def once() -> None:
        await until(lambda: ssl.get_server_certificate(("127.0.0.1", broker.port)) != before, "the new certificate")

    asyncio.run(once())
    probe(
        "localhost",
        broker.port,
        tls=client_context(broker.ca_file),
        username="nabd-platform",
        password=broker.password("mqtt_platform_password"),
    )


def test_doctor_says_how_the_broker_is(broker: CityBroker) -> None:
    broker.settings()
    told = CliRunner().invoke(cli, ["doctor", "--data", str(broker.data)]).output
    assert "ok    broker: localhost" in told
    assert "lets nabd-platform in, TLSv1.3, certificate good for 82" in told
    broker.certificate(days_ago=800)
    try:
        told = CliRunner().invoke(cli, ["doctor", "--data", str(broker.data)]).output
        assert "note  broker: " in told
        assert "certificate good for 24 days; renew it: nabd init --renew-certificate" in told
    finally:
        broker.certificate()
    broker.settings(host="127.0.0.2")
    told = CliRunner().invoke(cli, ["doctor", "--data", str(broker.data)]).output
    assert "WRONG broker: the certificate of 127.0.0.2" in told


def test_an_authority_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(TlsFault, match="no such file; it holds the city's authority"):
        client_context(tmp_path / "ca.crt")
    (tmp_path / "ca.crt").write_text("not PEM")
    with pytest.raises(TlsFault, match="is no certificate in PEM"):
        client_context(tmp_path / "ca.crt")
