"""The quarantine of a real platform: looked at, replayed after a kind was corrected and over a `kill -9`, dropped."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from adapters.platform_client import PlatformClient, PlatformFault
from tests.e2e.conftest import City, Nabd
from tests.e2e.test_three_nodes import stored_names
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)
STREAM = "9f3c01aa"
SEED = 20_261_124
READINGS = 1_500


def publish(city: City, *payloads: bytes, device: str = "lamp-1") -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=device)
    client.connect("127.0.0.1", city.mqtt_port)
    client.loop_start()
    sent = [client.publish(f"nabd/1/{device}/telemetry", payload, qos=1) for payload in payloads]
    for one in sent:
        one.wait_for_publish(30)
    client.disconnect()
    client.loop_stop()


def telemetry(seq: int, power_w: float, age_ms: int = 0) -> bytes:
    reading = {"seq": seq, "at": round(time.time() * 1000) - age_ms, "v": {"power_w": power_w}}
    message: dict[str, Any] = {"stream": STREAM, "boot": 1, "clock": "synced", "oldest": 1, "readings": [reading]}
    return json.dumps(message).encode()


def total(city: City, **wanted: str) -> int:
    return int(city.get("quarantine", limit=1, **wanted)["total"])


def test_what_came_is_shown_safely_exported_and_dropped_with_a_name_in_the_audit(city: City, nabd: Nabd) -> None:
    city.up()
    city.add("lamp-1", "street_light")
    publish(city, telemetry(1, 50.0), telemetry(2, 1e9), b"\x00\xff\x1b[2J", b'{"a":"\x1b[31m"}')
    eventually(lambda: total(city) == 3, "the three that cannot be read")
    data = ("--data", str(city.data))
    listed = nabd("quarantine", "list", *data)
    assert [line.split("\t")[3] for line in listed.stdout.splitlines()] == ["not_json", "not_json", "out_of_range"]
    assert "\x1b" not in listed.stdout
    page = json.loads(nabd("quarantine", "list", "--json", "--code", "not_json", "--limit", "1", *data).stdout)
    assert (page["total"], len(page["items"])) == (2, 1)
    rows = {str(row["number"]): row for row in city.get("quarantine")["items"]}
    [binary] = [one for one, row in rows.items() if "payload_base64" in row]
    shown = nabd("quarantine", "show", binary, *data)
    assert "00 ff 1b 5b 32 4a" in shown.stdout
    assert "\x1b" not in shown.stdout
    exported = [sys.executable, "-m", "nabd", "quarantine", "show", binary, "--raw", *data]
    assert subprocess.run(exported, capture_output=True, check=True).stdout == b"\x00\xff\x1b[2J"
    [bad] = [one for one, row in rows.items() if row["code"] == "out_of_range"]
    assert '"seq": 2' in nabd("quarantine", "show", bad, *data).stdout
    replayed = nabd("quarantine", "replay", "--all", "--by", "amina", *data)
    assert replayed.returncode == 0, replayed.stderr
    assert replayed.stdout.splitlines()[-1] == "3 rows replayed: 0 readings stored, 3 rows stay"
    asked = nabd("quarantine", "drop", "--code", "not_json", *data)
    assert (asked.returncode, total(city)) == (2, 3)
    assert "2 rows" in asked.stderr
    assert nabd("quarantine", "drop", *data).returncode == 2
    dropped = nabd("quarantine", "drop", bad, "--by", "youssef", "--yes", *data)
    assert dropped.stdout == "1 rows dropped\n"
    [stream] = city.get("devices/lamp-1/ledger")["streams"]
    assert (stream["have"], stream["gone"]) == ([[1, 1]], [[2, 2]])

    def acts() -> list[tuple[str, str]]:  # at night a rule has leased the lamp's level meanwhile
        rows = city.get("decisions")["items"]
        return [(row["step"], row["by"]) for row in rows if row["step"] in ("replayed", "dropped")]

    eventually(lambda: acts() == [("dropped", "youssef"), ("replayed", "amina")], "the audit")


def start_narrow(city: City) -> Any:
    options = ["--data", str(city.data), "--http-port", str(city.http_port), "--mqtt-port", str(city.mqtt_port)]
    child = city.run([sys.executable, "-m", "tests.e2e.narrow", "up", *options])
    client = PlatformClient(f"http://127.0.0.1:{city.http_port}")

    def is_up() -> bool:
        try:
            return not client.health()["reasons"]
        except PlatformFault:
            return False

    eventually(is_up, "the platform with the wrong kind", 60)
    client.add_device({"id": "lamp-1", "kind": "street_light", "commune": "berkane"})
    return child, client


@pytest.mark.slow
def test_after_the_kind_is_corrected_a_replay_stores_each_reading_once_though_the_platform_is_killed(
    city: City, nabd: Nabd
) -> None:
    random_ = random.Random(SEED)
    print(f"seed {SEED}")
    child, client = start_narrow(city)
    publish(city, *(telemetry(seq, 50.0 if seq % 10 == 0 else 900.0) for seq in range(1, READINGS + 1)))
    bad = READINGS - READINGS // 10
    eventually(lambda: client.get("quarantine", limit=1)["total"] == bad, "all that is out of range is there", 60)
    assert child.stop() == 0
    data = ("--data", str(city.data))
    for _ in range(3):
        city.up()
        command = [sys.executable, "-m", "nabd", "quarantine", "replay", "--all", *data]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as replaying:
            time.sleep(random_.uniform(0.8, 1.6))
            city.running.kill()
            replaying.wait(60)
    city.up()
    done = nabd("quarantine", "replay", "--all", "--json", *data)
    assert json.loads(done.stdout)["stay"] == 0
    assert total(city) == 0
    counts = city.get("ledger")
    assert (counts["accepted"], counts["missing"], counts["gone"]) == (READINGS, 0, 0)
    assert counts["received"] == sum(counts[name] for name in ("accepted", "duplicate", "quarantined", "deferred"))
    readings = city.get("devices/lamp-1/readings", metric="power_w", limit=READINGS)["readings"]
    assert Counter(value for _, value in readings) <= Counter({900.0: bad, 50.0: READINGS // 10})
    assert city.running.stop() == 0
    names = Counter(seq for _, _, seq in stored_names(city.data))
    assert names == Counter(range(1, READINGS + 1))


def test_one_device_fills_its_share_and_the_others_go_on(city: City, tmp_path: Path) -> None:
    city.data.mkdir()
    (city.data / "nabd.toml").write_text("[quarantine]\ndevice_bytes_max = 20000\n", encoding="utf-8")
    city.up()
    for device in ("lamp-1", "lamp-2"):
        city.add(device, "street_light")
    publish(city, *(telemetry(seq, 1e9) for seq in range(1, 101)))
    filled = eventually(lambda: city.running.client.health()["quarantine"]["filled_by"], "who fills it")
    assert [one["device"] for one in filled] == ["lamp-1"]
    publish(city, *(telemetry(seq, 50.0) for seq in range(1, 11)), device="lamp-2")
    eventually(lambda: city.get("ledger")["accepted"] == 10, "the readings of the other")
    health = city.running.client.health()
    assert (health["status"], health["holding"]) == ("ok", "")
    [stream] = city.get("devices/lamp-1/ledger")["streams"]
    rows = total(city, device="lamp-1")
    assert stream["have"] == [[1, rows]], "what was not put away is not called kept"
    assert rows < 100
    assert f"nabd_quarantine_held_total {100 - rows}.0" in city.ask("/metrics").text
    assert "lamp-1 fills the quarantine" in city.ask("/en/health").text
