"""What the shipped Mosquitto lets each user do, on the real one."""

from collections.abc import Callable

import pytest

from contract.wire import topics
from stand.city_broker import CityBroker
from tests.deploy.eye import CONTROL, Eye
from tests.waiting import eventually

pytestmark = pytest.mark.services

NEITHER_OWN = (
    *(f"nabd/1/lamp-2/{channel}" for channel in topics.UPWARD),
    *(f"nabd/1/lamp-2/{channel}" for channel in topics.DOWNWARD),
    *(f"nabd/1/lamp-1/{channel}" for channel in topics.DOWNWARD),
    "nabd/1/nabd-platform/telemetry",
    "nabd/1/lamp-1/via/lamp-2/telemetry",
    "nabd/1/lamp-1/telemetry/more",
    "elsewhere",
)
WITHOUT_RIGHT = (
    "#",
    "+/+/+/+",
    "nabd/#",
    "nabd/1/#",
    "nabd/1/+/telemetry",
    "nabd/1/lamp-1/telemetry",
    "nabd/1/lamp-2/reported",
    "$SYS/#",
    "$SYS/broker/version",
    "$CONTROL/#",
    CONTROL + "/response",
    "$share/nabd/nabd/1/+/telemetry",
    "$share/other/nabd/1/+/lease",
    "$share/nabd/nabd/1/lamp-1/lease",
    "$share/nabd/#",
)


@pytest.fixture(scope="module", autouse=True)
def devices(broker: CityBroker) -> None:
    admin = Eye(broker, "nabd-admin", broker.password("mqtt_admin_password"))
    for device in ("lamp-1", "lamp-2"):
        command = {"command": "createClient", "username": device, "clientid": device, "password": "secret " + device}
        assert admin.control({**command, "roles": [{"rolename": "device"}]}) == [{"command": "createClient"}]
    admin.close()


@pytest.fixture
def platform(broker: CityBroker, eye: Callable[..., Eye]) -> Eye:
    """It hears all that devices may say; retained messages of earlier tests are not counted."""
    found = eye(broker, "nabd-platform", broker.password("mqtt_platform_password"), "nabd-eye")
    for channel in topics.UPWARD:
        assert found.subscribe(topics.topic("+", channel))
    return found


def test_a_device_publishes_on_its_own_upward_channels_only(
    broker: CityBroker, platform: Eye, eye: Callable[..., Eye]
) -> None:
    device = eye(broker, "lamp-1", "secret lamp-1")
    for name in NEITHER_OWN:
        device.publish(name, b"forged", retain=True)
    for channel in topics.UPWARD:
        device.publish(topics.topic("lamp-1", channel), b"own")
    own = [(topics.topic("lamp-1", channel), b"own") for channel in topics.UPWARD]
    eventually(lambda: own[-1] in platform.heard, "the last of its own")
    assert platform.heard == own


def test_a_forged_lease_reaches_nobody_and_is_not_retained(broker: CityBroker, eye: Callable[..., Eye]) -> None:
    liar, victim = eye(broker, "lamp-1", "secret lamp-1"), eye(broker, "lamp-2", "secret lamp-2")
    assert victim.subscribe("nabd/1/lamp-2/lease")
    liar.publish("nabd/1/lamp-2/lease", b"forged", retain=True)
    victim.publish("nabd/1/lamp-2/lease", b"forged by itself", retain=True)
    victim.close()
    platform = eye(broker, "nabd-platform", broker.password("mqtt_platform_password"), "nabd-eye")
    again = eye(broker, "lamp-2", "secret lamp-2")
    assert again.subscribe("nabd/1/lamp-2/lease")
    platform.publish("nabd/1/lamp-2/lease", b"true")
    eventually(lambda: again.heard, "the true lease")
    assert again.heard == [("nabd/1/lamp-2/lease", b"true")]
    assert victim.heard == []


@pytest.mark.parametrize("name", WITHOUT_RIGHT)
def test_a_device_is_refused_every_filter_that_is_not_for_devices(
    broker: CityBroker, eye: Callable[..., Eye], name: str
) -> None:
    assert not eye(broker, "lamp-1", "secret lamp-1").subscribe(name)


def test_a_device_hears_its_own_channels_only_whatever_it_asks_for(
    broker: CityBroker, platform: Eye, eye: Callable[..., Eye]
) -> None:
    device = eye(broker, "lamp-1", "secret lamp-1")
    platform.publish("nabd/1/lamp-2/call", b"retained for another", retain=True)
    for channel in topics.DOWNWARD:
        assert device.subscribe(topics.topic("+", channel)), "the filter is taken; what comes of it is its own only"
        device.subscribe(topics.topic("lamp-2", channel))
    for channel in topics.DOWNWARD:
        platform.publish(topics.topic("lamp-2", channel), b"another's")
        platform.publish(topics.topic("lamp-1", channel), b"own")
    eventually(lambda: any(name.endswith("now") for name, _ in device.heard), "the last of its own")
    assert {name for name, _ in device.heard} == {topics.topic("lamp-1", channel) for channel in topics.DOWNWARD}


def test_a_device_cannot_take_a_share_of_the_platforms_messages(broker: CityBroker, eye: Callable[..., Eye]) -> None:
    platform = eye(broker, "nabd-platform", broker.password("mqtt_platform_password"), "nabd-eye")
    thief, honest = eye(broker, "lamp-1", "secret lamp-1"), eye(broker, "lamp-2", "secret lamp-2")
    share = "$share/nabd/nabd/1/+/telemetry"
    assert platform.subscribe(share)
    assert not thief.subscribe(share)
    for index in range(20):
        honest.publish("nabd/1/lamp-2/telemetry", b"%d" % index)
    eventually(lambda: len(platform.heard) == 20, lambda: f"all of them; heard {platform.heard}")


def test_a_will_is_held_to_the_same_rules(broker: CityBroker, platform: Eye, eye: Callable[..., Eye]) -> None:
    eye(broker, "lamp-1", "secret lamp-1", will=("nabd/1/lamp-2/status", b"forged")).die()
    eye(broker, "lamp-2", "secret lamp-2", will=("nabd/1/lamp-2/status", b"true")).die()
    eventually(lambda: ("nabd/1/lamp-2/status", b"true") in platform.heard, "the true will")
    assert b"forged" not in [payload for _, payload in platform.heard]


def test_a_client_id_is_the_user_name_so_no_device_takes_anothers_session(
    broker: CityBroker, platform: Eye, eye: Callable[..., Eye]
) -> None:
    assert eye(broker, "lamp-1", "secret lamp-1", "lamp-2").answers[0] == "Not authorized"
    assert eye(broker, "lamp-1", "secret lamp-1", "nabd-eye").answers[0] == "Not authorized"
    assert platform.lost == 0


def test_the_platform_speaks_downward_and_manages_no_credentials(broker: CityBroker, eye: Callable[..., Eye]) -> None:
    platform = eye(broker, "nabd-platform", broker.password("mqtt_platform_password"), "nabd-eye")
    for name in ("#", "nabd/#", "$SYS/#", "nabd/1/+/lease", CONTROL + "/response", "$share/other/nabd/1/+/telemetry"):
        assert not platform.subscribe(name)
    for channel in topics.UPWARD:
        assert platform.subscribe(topics.topic("+", channel))
    platform.publish("nabd/1/nabd-platform/status", b"forged")
    platform.publish("nabd/1/lamp-1/status", b"forged")
    admin = eye(broker, "nabd-admin", broker.password("mqtt_admin_password"))
    platform.publish(CONTROL, b'{"commands":[{"command":"deleteClient","username":"lamp-1"}]}')
    assert "error" not in admin.control({"command": "getClient", "username": "lamp-1"})[0]
    assert b"forged" not in [payload for _, payload in platform.heard]


def test_the_admin_manages_credentials_and_hears_no_device(broker: CityBroker, eye: Callable[..., Eye]) -> None:
    admin = eye(broker, "nabd-admin", broker.password("mqtt_admin_password"))
    for name in ("#", "$SYS/#", "nabd/1/+/telemetry", "nabd/1/nabd-admin/lease", "$share/nabd/nabd/1/+/telemetry"):
        assert not admin.subscribe(name)
    assert {"lamp-1", "lamp-2", "nabd-admin", "nabd-platform"} == set(
        admin.control({"command": "listClients"})[0]["data"]["clients"]
    )


def test_nobody_gets_in_with_another_password_or_without_a_name(broker: CityBroker, eye: Callable[..., Eye]) -> None:
    for user, password in (("lamp-1", "secret lamp-2"), ("lamp-1", ""), ("nobody", "x"), ("nabd-platform", "nabd")):
        assert eye(broker, user, password).answers[0] == "Not authorized"
    assert eye(broker, "", "", "anonymous").answers[0] == "Not authorized"


def test_the_rules_hold_after_a_reload(broker: CityBroker, platform: Eye, eye: Callable[..., Eye]) -> None:
    broker.reload()
    device = eye(broker, "lamp-1", "secret lamp-1")
    assert not device.subscribe("nabd/1/+/telemetry")
    device.publish("nabd/1/lamp-2/telemetry", b"forged")
    device.publish("nabd/1/lamp-1/telemetry", b"own")
    heard = platform.heard
    eventually(lambda: [name for name, _ in heard if name.endswith("telemetry")], "its own")
    assert [payload for name, payload in heard if name.endswith("telemetry")] == [b"own"]
