"""nabd devices at the real Mosquitto: a credential is given, changed and taken away while devices are connected."""

import json
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.mqtt.dynsec import Credential, Credentials, CredentialsFault
from adapters.mqtt.tls import client_context
from stand.city_broker import CityBroker
from tests.deploy.eye import Eye
from tests.deploy.secure_city import SecureCity
from tests.waiting import eventually

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def city() -> Iterator[SecureCity]:
    with CityBroker() as broker:
        city = SecureCity(broker)
        city.up()
        yield city
        city.end()


def add(city: SecureCity, device: str, *more: str) -> tuple[int, str]:
    done = city.nabd("devices", "add", device, "--kind", "street_light", "--commune", "berkane", *more)
    return done.returncode, done.stdout + done.stderr


def password_of(file: Path) -> str:
    return str(json.loads(file.read_text())["password"])


def test_adding_a_device_writes_a_node_json_that_lets_it_in(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file = tmp_path / "node.json"
    file.write_text('{"board": {"pwm": {"pin": 18}}}')
    code, told = add(city, "lamp-1", "--credentials", str(file))
    assert code == 0, told
    node = json.loads(file.read_text())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert node["board"] == {"pwm": {"pin": 18}}, "what was there stays"
    assert (node["device"], node["kind"], node["username"]) == ("lamp-1", "street_light", "lamp-1")
    assert (node["host"], node["port"]) == ("localhost", city.broker.port)
    assert node["ca"] == city.broker.ca_file.read_text()
    assert node["password"] not in told
    assert len(node["password"]) == 32
    assert eye(city.broker, "lamp-1", node["password"]).answers == ["Success"]


def test_adding_it_again_changes_no_password_and_says_what_does(city: SecureCity, tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    add(city, "lamp-2", "--credentials", str(file))
    before = file.read_text()
    code, told = add(city, "lamp-2", "--credentials", str(file))
    assert code == 2, "whoever asked for a file and got none must notice"
    assert "has a credential already; nabd devices rotate lamp-2 gives it a new one" in told
    assert file.read_text() == before
    assert list(tmp_path.iterdir()) == [file], "nothing lies about"


def test_what_a_command_left_that_was_broken_off_may_be_the_only_password_and_stays(
    city: SecureCity, tmp_path: Path
) -> None:
    file, left = tmp_path / "node.json", tmp_path / "node.json.new"
    left.write_text("{}")
    code, told = add(city, "lamp-18", "--credentials", str(file))
    assert code == 2
    assert "node.json.new: is there: another command is at work" in told
    assert left.read_text() == "{}"
    left.unlink()
    assert add(city, "lamp-18", "--credentials", str(file))[0] == 0


def test_without_a_file_the_node_json_is_printed_once(city: SecureCity, eye: Callable[..., Eye]) -> None:
    code, told = add(city, "lamp-3")
    assert code == 0
    node = json.loads(told[told.index("{") : told.rindex("}") + 1])
    assert eye(city.broker, "lamp-3", node["password"]).answers == ["Success"]


def test_rotating_ends_the_old_password_and_the_connection_made_with_it(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file = tmp_path / "node.json"
    add(city, "lamp-4", "--credentials", str(file))
    old = password_of(file)
    connected = eye(city.broker, "lamp-4", old)
    done = city.nabd("devices", "rotate", "lamp-4", "--credentials", str(file))
    assert done.returncode == 0, done.stderr
    eventually(lambda: connected.lost, "the connection is cut")
    eventually(lambda: "Not authorized" in connected.answers, "and is not let in again")
    connected.close()
    new = password_of(file)
    assert new != old
    assert json.loads(file.read_text())["kind"] == "street_light"
    assert eye(city.broker, "lamp-4", new).answers == ["Success"]
    assert eye(city.broker, "lamp-4", old).answers[0] == "Not authorized"


def test_revoking_ends_the_connection_and_keeps_the_history(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file = tmp_path / "node.json"
    add(city, "lamp-5", "--credentials", str(file))
    connected = eye(city.broker, "lamp-5", password_of(file))
    done = city.nabd("devices", "revoke", "lamp-5")
    assert (done.returncode, done.stdout) == (
        0,
        "lamp-5: its credential is gone, and its connection; its history stays\n"
        "lamp-5: what the broker still held of it is cleared\n",
    )
    eventually(lambda: "Not authorized" in connected.answers, "it is cut and not let in again")
    assert city.get("devices/lamp-5")["id"] == "lamp-5"
    again = city.nabd("devices", "revoke", "lamp-5")
    assert (again.returncode, again.stdout) == (
        0,
        "lamp-5 has no credential\nlamp-5: what the broker still held of it is cleared\n",
    )
    assert city.nabd("devices", "rotate", "lamp-5").returncode == 2
    code, _ = add(city, "lamp-5", "--credentials", str(file))
    assert code == 0
    assert eye(city.broker, "lamp-5", password_of(file)).answers == ["Success"]


def test_a_broker_that_is_away_leaves_a_registered_device_and_repeating_completes_it(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file = tmp_path / "node.json"
    city.broker.kill()
    try:
        code, told = add(city, "lamp-6", "--credentials", str(file))
        rotated = city.nabd("devices", "rotate", "lamp-1")
    finally:
        city.broker.start()
    assert code == 2
    assert "lamp-6 is registered, but has no credential" in told
    assert "then repeat the command" in told
    assert not list(tmp_path.iterdir())
    assert rotated.returncode == 2
    assert "lamp-1: nothing was changed, the old password holds: " in rotated.stderr
    assert "Connection refused" in rotated.stderr
    assert "lamp-6\tregistered\tno credential" in city.nabd("devices", "credentials").stdout
    assert add(city, "lamp-6", "--credentials", str(file))[0] == 0
    assert "lamp-6\tregistered\tcredential" in city.nabd("devices", "credentials").stdout
    assert eye(city.broker, "lamp-6", password_of(file)).answers == ["Success"]


def test_credentials_outlive_a_crash_of_the_broker(city: SecureCity, eye: Callable[..., Eye], tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    add(city, "lamp-7", "--credentials", str(file))
    city.broker.kill()
    city.broker.start()
    assert eye(city.broker, "lamp-7", password_of(file)).answers == ["Success"]


def test_what_only_the_broker_knows_is_shown(city: SecureCity) -> None:
    with managing(city) as credentials:
        credentials.create("stranger", "x")
    switch(city, "disableClient", "stranger")
    assert "stranger\tnot registered\tdisabled" in city.nabd("devices", "credentials").stdout
    city.nabd("devices", "revoke", "stranger")
    assert "stranger" not in city.nabd("devices", "credentials").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rotate", "nobody"], "nobody has no credential at the broker; nabd devices add nobody"),
        (["rotate", "nabd-admin"], "'nabd-admin' is no id of a device"),
        (["revoke", "nabd-platform"], "'nabd-platform' is no id of a device"),
        (["rotate", "lamp-1", "--credentials", "/nowhere/node.json"], "/nowhere/node.json: cannot be written"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_changes_nothing(
    city: SecureCity, arguments: list[str], sentence: str
) -> None:
    done = city.nabd("devices", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_json_of_another_device_is_not_touched(city: SecureCity, tmp_path: Path) -> None:
    file = tmp_path / "node.json"
    file.write_text('{"device": "lamp-9"}')
    done = city.nabd("devices", "rotate", "lamp-1", "--credentials", str(file))
    assert done.returncode == 2
    assert "is the node.json of lamp-9, not of lamp-1" in done.stderr
    assert file.read_text() == '{"device": "lamp-9"}'


def test_a_lost_admin_password_is_named(city: SecureCity, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    city.broker.settings(admin_password_file=str(wrong))
    try:
        done = city.nabd("devices", "revoke", "lamp-1")
        wrong.unlink()
        gone = city.nabd("devices", "revoke", "lamp-1")
    finally:
        city.broker.settings()
    assert "is the password of nabd-admin the one the broker knows?" in done.stderr
    assert "[mqtt] admin_password_file" in gone.stderr
    assert (done.returncode, gone.returncode) == (2, 2)


def test_node_json_names_the_broker_as_devices_find_it(city: SecureCity, tmp_path: Path) -> None:
    city.broker.settings(device_host="broker.berkane.ma", device_port=8883)
    try:
        add(city, "lamp-8", "--credentials", str(tmp_path / "node.json"))
    finally:
        city.broker.settings()
    node = json.loads((tmp_path / "node.json").read_text())
    assert (node["host"], node["port"]) == ("broker.berkane.ma", 8883)


def test_hundreds_of_credentials_are_given_and_listed_whole(city: SecureCity) -> None:
    wanted = {f"many-{index}": f"password {index}" for index in range(600)}  # more than a page
    with managing(city) as credentials:
        assert credentials.create_all(wanted) == list(wanted)
        assert credentials.create_all(dict.fromkeys(list(wanted)[:3], "other")) == []
        listed = [credential for credential in credentials.all() if credential.device in wanted]
        assert sorted(credential.device for credential in listed) == sorted(wanted)
        assert Credential(device="many-7", enabled=True) in listed
        assert credentials.delete("many-7")
        assert not credentials.delete("many-7")


def test_a_disabled_device_is_cut_off_until_it_is_enabled(city: SecureCity, eye: Callable[..., Eye]) -> None:
    with managing(city) as credentials:
        credentials.create("lamp-10", "password")
        connected = eye(city.broker, "lamp-10", "password")
        switch(city, "disableClient", "lamp-10")
        eventually(lambda: "Not authorized" in connected.answers, "cut off")
        assert credentials.set_password("lamp-10", "other")
        assert Credential(device="lamp-10", enabled=False) in credentials.all()
        switch(city, "enableClient", "lamp-10")
    assert eye(city.broker, "lamp-10", "other").answers == ["Success"]


def test_who_may_not_manage_hears_a_sentence_after_the_deadline(city: SecureCity) -> None:
    credentials = Credentials(
        "localhost", city.broker.port, password=city.broker.password("mqtt_admin_password"),
        tls=client_context(city.broker.ca_file), timeout_s=0.5,
    )  # fmt: skip
    with credentials:
        city.broker.kill()
        with pytest.raises(CredentialsFault, match=r"does not answer deleteClient within 0\.5 s"):
            credentials.delete("lamp-1")
    city.broker.start()


def managing(city: SecureCity) -> Credentials:
    return Credentials(
        "localhost",
        city.broker.port,
        password=city.broker.password("mqtt_admin_password"),
        tls=client_context(city.broker.ca_file),
    )


def switch(city: SecureCity, command: str, device: str) -> None:
    """As somebody does with Mosquitto's own tool."""
    admin = Eye(city.broker, "nabd-admin", city.broker.password("mqtt_admin_password"))
    with closing(admin):
        (answer,) = admin.control({"command": command, "username": device})
    assert "error" not in answer


def retained(city: SecureCity, device: str) -> dict[str, bytes]:
    """Channel → what the broker tells of a device to one who subscribes now."""
    platform = Eye(city.broker, "nabd-platform", city.broker.password("mqtt_platform_password"), f"eye-{device}")
    with closing(platform):
        for channel in ("status", "reported", "log"):  # answered in order: what is retained comes before the last
            assert platform.subscribe(f"nabd/1/+/{channel}")
        heard = dict(platform.heard)
    return {topic.rpartition("/")[2]: payload for topic, payload in heard.items() if f"/{device}/" in topic}


def test_what_a_revoked_device_left_at_the_broker_is_cleared(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file = tmp_path / "node.json"
    assert add(city, "lamp-11", "--credentials", str(file))[0] == 0
    will = ("nabd/1/lamp-11/status", b'{"online":false,"n":1,"boot":1}')
    device = eye(city.broker, "lamp-11", password_of(file), will=will)
    birth = (
        b'{"online":true,"n":1,"boot":1,"stream":"01234567","kind":"street_light","model":"m","firmware":"1",'
        b'"reset":"power","period_s":60}'
    )
    device.publish("nabd/1/lamp-11/status", birth, retain=True)
    device.publish(
        "nabd/1/lamp-11/reported", b'{"n":1,"boot":1,"version":0,"state":{},"by":{},"result":"applied"}', retain=True
    )
    platform = eye(city.broker, "nabd-platform", city.broker.password("mqtt_platform_password"), "a-hand")
    platform.publish("nabd/1/lamp-11/lease", b'{"version":1}', retain=True)
    assert retained(city, "lamp-11").keys() == {"status", "reported"}
    done = city.nabd("devices", "revoke", "lamp-11")
    assert done.returncode == 0, done.stderr
    assert retained(city, "lamp-11") == {}, "nor the will that its end published"
    device.close()
    assert add(city, "lamp-11", "--credentials", str(file))[0] == 0
    again = eye(city.broker, "lamp-11", password_of(file))
    assert again.subscribe("nabd/1/lamp-11/lease")
    assert again.subscribe("nabd/1/lamp-11/now"), "answered behind what is retained"
    assert b'{"version":1}' not in [payload for _, payload in again.heard]
    again.publish("nabd/1/lamp-11/log", b'{"boot":1}')
    rows = eventually(lambda: city.get("quarantine", device="lamp-11")["items"], "the last word, which cannot be read")
    assert [row["topic"] for row in rows] == ["nabd/1/lamp-11/log"], (
        f"nobody takes what was cleared for its fault: {rows}"
    )


def test_what_cannot_be_cleared_is_told_and_the_device_is_out_all_the_same(
    city: SecureCity, eye: Callable[..., Eye], tmp_path: Path
) -> None:
    file, wrong = tmp_path / "node.json", tmp_path / "wrong"
    assert add(city, "lamp-12", "--credentials", str(file))[0] == 0
    wrong.write_text("wrong")
    city.broker.settings(password_file=str(wrong))
    try:
        done = city.nabd("devices", "revoke", "lamp-12")
    finally:
        city.broker.settings()
    assert done.returncode == 2
    assert (
        "lamp-12: what the broker still holds of it (its last status, report or lease) was not cleared" in done.stderr
    )
    assert "then repeat the command" in done.stderr
    assert eye(city.broker, "lamp-12", password_of(file)).answers[0] == "Not authorized"
    assert city.nabd("devices", "revoke", "lamp-12").returncode == 0


def test_a_device_whose_file_cannot_be_written_is_not_registered_either(city: SecureCity) -> None:
    code, told = add(city, "lamp-13", "--credentials", "/nowhere/node.json")
    assert code == 2
    assert "--credentials /nowhere/node.json: cannot be written" in told
    assert "lamp-13" not in city.nabd("devices", "credentials").stdout


def test_a_device_that_cannot_be_registered_leaves_no_file(city: SecureCity, tmp_path: Path) -> None:
    done = city.nabd("devices", "add", "lamp-14", "--kind", "no_such_kind", "--commune", "berkane",
                     "--credentials", str(tmp_path / "node.json"))  # fmt: skip
    assert done.returncode == 2
    assert not list(tmp_path.iterdir())
