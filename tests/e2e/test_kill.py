"""`kill -9` of the platform, its broker's memory gone with it, while devices in other processes keep sending."""

import random
import sys
import time

import pytest

from tests.e2e.conftest import City
from tests.e2e.test_three_nodes import stored_names
from tests.waiting import eventually

KILLS = 4
pytestmark = pytest.mark.timeout(300)  # a device sends again after a minute
SEED = 20261124


@pytest.mark.slow
def test_every_reading_is_stored_once_in_the_end_though_the_platform_is_killed_again_and_again(city: City) -> None:
    random_ = random.Random(SEED)
    print(f"seed {SEED}")
    city.up("--speed", "60", "--start", "2026-11-24T18:00:00Z")
    for kind in ("street_light", "waste_bin"):
        city.add(f"node-{kind.replace('_', '-')}", kind)
        city.node(f"node-{kind.replace('_', '-')}", kind, speed=60, period_s=30)
    fleet = city.run(
        [
            sys.executable, "-m", "nabd", "simulate", "--url", f"http://127.0.0.1:{city.http_port}",
            "--mqtt-port", str(city.mqtt_port), "--lights", "25", "--bins", "5", "--valves", "3",
        ]
    )  # fmt: skip
    eventually(lambda: city.get("ledger")["accepted"] > 50, "the fleet's first readings")
    for _ in range(KILLS):
        time.sleep(random_.uniform(0.3, 2.5))
        assert city.platform is not None
        city.platform.kill()
        time.sleep(random_.uniform(0.0, 1.0))
        city.up()
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before + 100, "life goes on", 60)
    eventually(lambda: city.get("ledger")["missing"] == 0, "every gap is closed by what devices held", 90)
    assert fleet.alive()
    counts = city.get("ledger")
    assert counts["gone"] == 0
    assert counts["quarantined"] == 0
    expected = {
        (device["id"], stream["stream"], seq)
        for device in city.get("devices", limit=100)["items"]
        for stream in city.get(f"devices/{device['id']}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }
    fleet.stop()
    assert city.platform is not None
    assert city.platform.stop() == 0
    stored = stored_names(city.data)
    assert len(stored) == len(set(stored)), "no reading is stored twice"
    assert expected <= set(stored), "no reading that was kept is missing"
