"""The bounds of deploy/mosquitto/mosquitto.conf, each where the real Mosquitto keeps it."""

import contextlib
import re
import socket
from collections.abc import Callable

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import encode_publish
from stand.city_broker import DEPLOY, CityBroker
from tests.deploy.eye import Eye
from tests.waiting import eventually

pytestmark = pytest.mark.services

TELEMETRY = topics.topic("lamp-1", topics.TELEMETRY)
PACKET_BYTES_MAX = 65792
KEEPALIVE_S_MAX = 300


@pytest.fixture(scope="module", autouse=True)
def lamp(broker: CityBroker) -> None:
    admin = Eye(broker, "nabd-admin", broker.password("mqtt_admin_password"))
    command = {"command": "createClient", "username": "lamp-1", "clientid": "lamp-1", "password": "of the lamp"}
    admin.control({**command, "roles": [{"rolename": "device"}]})
    admin.close()


def knock(broker: CityBroker) -> socket.socket:
    """A connection as lamp-1 that the broker has let in."""
    plain = socket.create_connection(("127.0.0.1", broker.port), 10)
    wrapped = broker.tls().wrap_socket(plain, server_hostname="localhost")
    wrapped.sendall(Session("lamp-1", 30, "lamp-1", "of the lamp", clean=True).connect(0))
    assert wrapped.recv(64) == b"\x20\x02\x00\x00"
    return wrapped


def test_a_message_of_64_kib_passes_and_a_longer_packet_ends_the_connection(
    broker: CityBroker, eye: Callable[..., Eye]
) -> None:
    platform = eye(broker, "nabd-platform", broker.password("mqtt_platform_password"), "nabd-eye")
    platform.subscribe(TELEMETRY.replace("lamp-1", "+"))
    with knock(broker) as device:
        device.sendall(encode_publish(TELEMETRY, b"x" * 65536, 1, False, 1))
        assert device.recv(4)[:1] == b"\x40"
        eventually(lambda: [payload for _, payload in platform.heard if len(payload) == 65536], "the long one")
        with contextlib.suppress(OSError):  # an end or a reset, as the system likes, perhaps before all is written
            device.sendall(encode_publish(TELEMETRY, b"x" * PACKET_BYTES_MAX, 1, False, 2))
            assert device.recv(64) == b"", "no acknowledgement"
    assert len(platform.heard) == 1


def test_a_client_of_mqtt_5_is_told_the_longest_keep_alive(broker: CityBroker) -> None:
    told: list[int] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, "lamp-1", protocol=paho.MQTTv5)
    client.username_pw_set("lamp-1", "of the lamp")
    client.tls_set_context(broker.tls())
    client.on_connect = lambda client, data, flags, reason, properties: told.append(properties.ServerKeepAlive)
    client.connect("localhost", broker.port, keepalive=KEEPALIVE_S_MAX + 1)
    client.loop_start()
    eventually(lambda: told == [KEEPALIVE_S_MAX], lambda: f"what it is told: {told}")
    client.disconnect()
    client.loop_stop()


def test_more_than_a_thousand_readings_wait_for_a_platform_that_is_away(
    broker: CityBroker, eye: Callable[..., Eye]
) -> None:
    password = broker.password("mqtt_platform_password")
    platform = eye(broker, "nabd-platform", password, "nabd-away", clean=False)
    assert platform.subscribe("nabd/1/+/telemetry")
    platform.close()
    device = eye(broker, "lamp-1", "of the lamp")
    for index in range(1500):
        device.publish(TELEMETRY, b"%d" % index)
    again = eye(broker, "nabd-platform", password, "nabd-away", clean=False)
    eventually(lambda: len(again.heard) == 1500, lambda: f"all of them; {len(again.heard)} came")


def test_every_value_has_its_reason() -> None:
    lines = (DEPLOY / "mosquitto.conf").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(max_|autosave|persistent_client|queue_|set_|sys_|tls_|ciphers|allow_)", line):
            if line == "allow_anonymous false":
                continue
            above = next(text for text in reversed(lines[:number]) if not re.match(r"\w+_file", text))
            assert above.startswith("#"), f"{line}: no comment above it"


def test_the_bounds_are_the_ones_tested_here() -> None:
    values = dict(
        line.split(" ", 1) for line in (DEPLOY / "mosquitto.conf").read_text().splitlines() if line and line[0] != "#"
    )
    assert int(values["max_packet_size"]) == PACKET_BYTES_MAX == Session("x").packet_bytes_max
    assert int(values["max_keepalive"]) == KEEPALIVE_S_MAX
    assert values["allow_anonymous"] == "false"
    assert values["listener"] == "8883"
