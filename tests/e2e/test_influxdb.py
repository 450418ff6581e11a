"""The whole platform on an InfluxDB that is not there at the start, is killed, and comes back each time."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from nabd.process import PlatformProcess
from stand.influxdb import InfluxServer
from tests.e2e.conftest import City, Nabd
from tests.e2e.test_quarantine import publish, start_narrow, telemetry
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

SPEED = ("--speed", "60", "--start", "2026-11-24T18:00:00Z")
FLEET = ("--lights", "25", "--bins", "5", "--valves", "3")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxServer]:
    server = InfluxServer(tmp_path / "influxdb")
    yield server
    server.end()


@pytest.fixture
def city(city: City, server: InfluxServer) -> City:
    """A city whose settings name the server, with a token that may read and write its bucket and nothing else."""
    city.data.mkdir()
    (city.data / "secrets").mkdir(mode=0o700)
    _, token = server.add_token(server.bucket_id, "read", "write")
    (city.data / "secrets" / "influxdb_token").touch(mode=0o600)
    (city.data / "secrets" / "influxdb_token").write_text(token + "\n")
    (city.data / "secrets" / "influxdb_token").chmod(0o600)
    (city.data / "nabd.toml").write_text(
        f'[store]\nkind = "influxdb"\n[influxdb]\nurl = "{server.url}"\ntimeout_s = 2\n', encoding="utf-8"
    )
    return city


def reasons(platform: PlatformProcess) -> str:
    return " ".join(platform.client.health()["reasons"])


def stored_names(server: InfluxServer) -> list[tuple[str, str, int]]:
    store = InfluxStore(server.url, server.org, server.bucket, server.token, load_kinds())
    with closing(store):
        return [(one.record.device, one.record.stream, one.record.readings[0].seq) for one in store.history(0, 2**53)]


def kept_names(city: City) -> set[tuple[str, str, int]]:
    return {
        (device["id"], stream["stream"], seq)
        for device in city.get("devices", limit=100)["items"]
        for stream in city.get(f"devices/{device['id']}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }


def test_nothing_that_was_kept_is_missing_in_an_influxdb_that_was_killed_and_away(
    city: City, server: InfluxServer
) -> None:
    server.kill()
    platform = city.start(*SPEED, *FLEET)
    eventually(lambda: "store: InfluxDB at" in reasons(platform), "it starts, and says that the store is away")
    assert "cannot be reached (Connection refused)" in reasons(platform)
    eventually(lambda: city.get("ledger")["accepted"] > 50, "readings are kept meanwhile")
    server.start()
    eventually(lambda: not reasons(platform), "it finds the store by itself", 60)
    eventually(lambda: stored_names(server), "the log is written")

    device = city.get("devices", limit=1, kind="street_light")["items"][0]["id"]
    eventually(lambda: city.get(f"devices/{device}/readings", metric="level")["readings"], "the API reads from it")
    server.kill()
    before = city.get("ledger")["accepted"]
    eventually(lambda: "store: InfluxDB at" in reasons(platform), "the store's death is told")
    answer = city.ask(f"/api/v1/devices/{device}/readings?metric=level")
    assert answer.status_code == 503
    assert "cannot be reached" in answer.json()["detail"]
    page = city.ask(f"/en/assets/{city.get('devices', limit=1, kind='street_light')['items'][0]['asset']}")
    assert page.status_code == 200, "the page has more to show than the history"
    assert "The history cannot be read at the moment" in page.text
    shown = city.ask("/en/health").text
    assert "The store of readings stands still" in shown
    assert "InfluxDB at" in shown
    eventually(lambda: city.get("ledger")["accepted"] > before + 50, "readings are kept meanwhile")
    server.start()
    eventually(lambda: not reasons(platform), "it catches up by itself", 60)
    left_out = {"mqtt_dropped": 0, "store_passed_over": 0, "recorder_dropped": 0, "recorder_refused": 0}
    assert platform.client.health()["left_out"] == left_out
    assert platform.stop() == 0

    names = stored_names(server)
    city.start()  # to ask it for its ledger, without new readings: the fleet was of the first start only
    eventually(lambda: not reasons(city.running), "it goes on")
    expected = kept_names(city)
    eventually(lambda: expected <= set(stored_names(server)), "no reading that was kept is missing")
    names = stored_names(server)
    assert len(names) == len(set(names)), "no reading is stored twice"
    assert set(names) == expected
    assert "Traceback" not in city.platform_log()


def test_a_token_that_is_missing_is_named_with_its_file(city: City, nabd: Nabd) -> None:
    token = city.data / "secrets" / "influxdb_token"
    token.unlink()
    done = nabd("up", "--data", str(city.data), "--http-port", str(city.http_port), "--mqtt-port", str(city.mqtt_port))
    assert done.returncode == 2
    assert str(token) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_looks_at_the_server_the_token_and_the_bucket(city: City, nabd: Nabd, server: InfluxServer) -> None:
    def says(*parts: str, code: int) -> None:
        done = nabd("doctor", "--data", str(city.data))
        [line] = [line for line in done.stdout.splitlines() if " influxdb: " in line]
        assert all(part in line for part in parts), line
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stderr

    says("ok", "can be read and written", code=0)
    token = city.data / "secrets" / "influxdb_token"
    good = token.read_text()
    _, reads = server.add_token(server.bucket_id, "read")
    token.write_text(reads)
    says("WRONG", "403", "read and write access", code=1)
    token.write_text("wrong")
    says("WRONG", "401", "token_file", code=1)
    token.write_text(good)
    server.kill()
    says("WRONG", "cannot be reached", "[influxdb] url", code=1)


def test_what_influxdb_refused_and_what_nobody_could_read_is_stored_once_by_a_replay(
    city: City, server: InfluxServer, nabd: Nabd
) -> None:
    """A bucket that keeps a day refuses what is older; a kind whose file is wrong, what is true."""

    def keep(days: int) -> None:
        rules = [{"type": "expire", "everySeconds": days * 86_400, "shardGroupDurationSeconds": 86_400}]
        server.api("PATCH", f"/api/v2/buckets/{server.bucket_id}", retentionRules=rules)

    keep(1)
    child, client = start_narrow(city)
    publish(city, telemetry(1, 50.0), telemetry(2, 50.0, age_ms=5 * 86_400_000), telemetry(3, 900.0))
    codes = {"store_refused", "out_of_range"}
    eventually(
        lambda: {row["code"] for row in client.get("quarantine")["items"]} == codes, "both rows of the quarantine", 60
    )
    assert child.stop() == 0
    city.up()
    data = ("--data", str(city.data))
    done = nabd("quarantine", "replay", "--all", *data)
    assert "1 readings stored, 1 rows stay" in done.stdout
    assert "refuses this line for good" in done.stdout
    keep(365)
    done = nabd("quarantine", "replay", "--all", *data)
    assert "1 readings stored, 0 rows stay" in done.stdout, done.stdout + done.stderr
    assert city.get("quarantine")["total"] == 0
    names = {("lamp-1", "9f3c01aa", seq) for seq in (1, 2, 3)}
    eventually(lambda: set(stored_names(server)) == names, "each of them is stored")
    assert len(stored_names(server)) == 3
