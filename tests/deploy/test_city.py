"""A city on its own broker: three real MicroPython nodes over TLS, each with its own credential, and one platform."""

import json
import random
import stat
import sys
import time
from collections.abc import Iterator

import pytest

from adapters.platform_client import PlatformFault
from nabd.process import PlatformProcess
from stand.city_broker import CityBroker
from tests.deploy.secure_city import NODES, SPEED, SecureCity
from tests.e2e.test_three_nodes import steps, stored_names, wish
from tests.waiting import eventually

pytestmark = pytest.mark.services

SEED = 20261124
KILLS = 4


@pytest.fixture
def city() -> Iterator[SecureCity]:
    with CityBroker() as broker:
        city = SecureCity(broker)
        yield city
        city.end()


def test_three_nodes_over_tls_are_stored_commanded_and_confirmed(city: SecureCity) -> None:
    city.up("--start", "2026-11-24T11:00:00Z", "--speed", str(SPEED))
    said = {device: city.enrol(device) for device in NODES}
    for device in NODES:
        eventually(
            lambda device=device: city.get(f"devices/{device}/ledger")["streams"],  # type: ignore[misc]
            lambda device=device: f"readings of {device}; it said {said[device].read_text()}",  # type: ignore[misc]
        )
    for device, target, to in (("node-light", "level", 0.4), ("node-valve", "open", True)):
        # A first lease can find a node whose clock is not set yet: it refuses, and the platform names that.
        eventually(
            lambda device=device: "quality=synced" in said[device].read_text(),  # type: ignore[misc]
            f"the clock of {device}",
        )
        wish(city, device, target, to, "5m")
        eventually(
            lambda device=device: "confirmed" in steps(city, device),  # type: ignore[misc]
            lambda device=device: f"{device} confirms; it said {said[device].read_text()}",  # type: ignore[misc]
        )
        assert "by=lease" in said[device].read_text()
    devices = city.nabd("devices", "credentials").stdout.splitlines()
    assert devices == [f"{device}\tregistered\tcredential" for device in sorted(NODES)]
    assert f"listener {city.broker.port}" in (city.broker.root / "work" / "config" / "mosquitto.conf").read_text()
    assert city.broker.listening_ports() == {city.broker.port}, "TLS is all there is"


def test_a_simulated_fleet_gets_in_device_by_device(city: SecureCity) -> None:
    city.up("--speed", "60", "--start", "2026-11-24T18:00:00Z")
    file = city.folder / "fleet.json"
    broker = city.broker
    fleet = [sys.executable, "-m", "nabd", "simulate", "--url", f"http://127.0.0.1:{city.http_port}", "--for", "20"]
    fleet += ["--mqtt-host", "localhost", "--mqtt-port", str(broker.port), "--lights", "8", "--bins", "2"]
    fleet += ["--valves", "2", "--ca-file", str(broker.ca_file), "--credentials", str(file)]
    city.run([*fleet, "--admin-password-file", str(broker.secret("mqtt_admin_password"))])
    eventually(lambda: city.get("ledger")["accepted"] > 20, lambda: f"readings; {city.platform_log()[-2000:]}")
    passwords = json.loads(file.read_text())
    assert len(set(passwords.values())) == len(passwords) == 13, "twelve things and a weather station"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    city.children[-1].stop()
    before = city.get("ledger")["accepted"]
    city.run(fleet)  # what it knows is enough the next time
    eventually(lambda: city.get("ledger")["accepted"] > before + 20, "readings again")
    assert json.loads(file.read_text()) == passwords


def test_killing_platform_and_broker_loses_nothing(city: SecureCity) -> None:
    random_ = random.Random(SEED)
    print(f"seed {SEED}")
    city.up("--start", "2026-11-24T18:00:00Z", "--speed", str(SPEED))
    for device in NODES:
        city.enrol(device)
    eventually(lambda: city.get("ledger")["accepted"] > 10, "the first readings")
    for _ in range(KILLS):
        time.sleep(random_.uniform(0.3, 2.0))
        assert city.platform is not None
        city.platform.kill()
        time.sleep(random_.uniform(0.0, 0.5))
        city.broker.kill()
        city.broker.start()
        city.up()
        time.sleep(random_.uniform(0.0, 2.0))
        city.broker.kill()  # and the broker alone
        city.broker.start()
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before + 20, "life goes on", 60)
    eventually(lambda: city.get("ledger")["missing"] == 0, "every gap is closed by what devices held", 90)
    counts = city.get("ledger")
    assert (counts["gone"], counts["quarantined"]) == (0, 0)
    expected = {
        (device, stream["stream"], seq)
        for device in NODES
        for stream in city.get(f"devices/{device}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }
    assert len(expected) > 30
    assert city.platform is not None
    assert city.platform.stop() == 0
    stored = stored_names(city.data)
    assert len(stored) == len(set(stored)), "no reading is stored twice"
    assert expected <= set(stored), "no reading that was kept is missing"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"host": "127.0.0.2"}, "is not for 127.0.0.2"),
        ({"username": "nabd-admin"}, "is the password of nabd-admin the one the broker knows?"),
    ],
)
def test_a_platform_that_is_not_let_in_runs_and_says_why(
    city: SecureCity, changed: dict[str, str], sentence: str
) -> None:
    city.broker.settings(**changed)
    ill = PlatformProcess(city.data, city.http_port, city.mqtt_port, output=city.output)
    city.children.append(ill)
    eventually(lambda: sentence in str(reasons(ill)), lambda: f"health says why; it says {reasons(ill)}")
    log = city.platform_log()
    assert sentence in log
    assert log.count("event=disconnected mqtt=nabd-ingest-0") == 1, "told once, not at each try"
    ill.stop()
    city.broker.settings()
    city.up()


def reasons(platform: PlatformProcess) -> object:
    try:
        return platform.client.health()["reasons"]
    except PlatformFault as fault:
        return fault
