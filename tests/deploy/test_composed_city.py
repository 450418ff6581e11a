"""What docker-compose.yml starts, as processes: its own settings, commands and health checks with the real Mosquitto
and the real InfluxDB, nodes over TLS, and every reading in InfluxDB. Only host names, ports and paths are changed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nabd.process import PlatformProcess
from stand.city_broker import CityBroker
from stand.influxdb import InfluxServer, never_set_up
from tests.deploy import composed
from tests.deploy.secure_city import NODES, SecureCity
from tests.e2e.test_three_nodes import steps, wish
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(600)]

SPEED = 20


class ComposedCity(SecureCity):
    def __init__(self, broker: CityBroker, influxdb: InfluxServer) -> None:
        super().__init__(broker)
        (broker.data / "nabd.toml").unlink()  # in containers every setting comes as a variable
        self.influxdb = influxdb

    @property
    def data(self) -> Path:
        """A volume of its own, as in the file: the secrets lie elsewhere."""
        return self.folder / "nabd-data"

    def here(self, value: str) -> str:
        """A value of docker-compose.yml as it is on this machine."""
        for there, this in (
            ("/run/secrets/", f"{self.broker.data}/secrets/"),
            ("http://influxdb:8086", self.influxdb.url),
            ("127.0.0.1:8080", f"127.0.0.1:{self.http_port}"),
        ):
            value = value.replace(there, this)
        whole = {
            "0.0.0.0": "127.0.0.1",
            "mosquitto": "localhost",
            "8883": str(self.broker.port),
            "8080": str(self.http_port),
        }
        return whole.get(value, value)

    def environment(self, service: str) -> dict[str, str]:
        variables = composed.model()["services"][service]["environment"]
        return {name: self.here(str(value)) for name, value in variables.items()}

    def check(self, service: str) -> int:
        """The exit code of a service's own health check."""
        kind, *words = (
            word.replace("$$", "$") for word in composed.model()["services"][service]["healthcheck"]["test"]
        )
        if kind == "CMD-SHELL":
            words = ["sh", "-c", self.here(words[0]).replace("-p 8883", f"-p {self.broker.port}")]
        else:
            words = [sys.executable if word == "python" else self.here(word) for word in words]
        return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode

    def run_once(self, service: str) -> str:
        """What a service that ends says; its secrets folder is the city's."""
        command = composed.model()["services"][service]["command"]
        command = [str(self.broker.data / "secrets") if word == "/secrets" else word for word in command]
        environment = os.environ | self.environment(service) | {"NABD_DATA": str(self.folder / "nothing")}
        done = subprocess.run(
            [sys.executable, "-m", "nabd", *command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def city(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ComposedCity]:
    influxdb = never_set_up(tmp_path / "influxdb")
    with CityBroker() as broker:
        city = ComposedCity(broker, influxdb)
        for name, value in city.environment("nabd").items():
            monkeypatch.setenv(name, value)
        yield city
        city.end()
    influxdb.end()


def test_the_composed_city_keeps_every_reading_and_commands_its_devices(city: ComposedCity, tmp_path: Path) -> None:
    assert city.check("mosquitto") == 0
    assert city.run_once("influxdb-tokens").count("new token") == 2
    assert city.run_once("influxdb-tokens").count("works, kept") == 2
    city.up("--start", "2026-11-24T11:00:00Z", "--speed", str(SPEED))
    assert city.check("nabd") == 0
    said = {device: city.enrol(device) for device in NODES}
    for device in NODES:
        eventually(
            lambda device=device: len(in_store(city, device)) > 5,  # type: ignore[misc]
            lambda device=device: f"readings of {device} in InfluxDB; it said {said[device].read_text()}",  # type: ignore[misc]
            60,
        )
    eventually(lambda: "quality=synced" in said["node-valve"].read_text(), "the valve's clock")
    wish(city, "node-valve", "open", True, "5m")
    eventually(lambda: "confirmed" in steps(city, "node-valve"), "the valve confirms its lease over TLS")
    kept = {device: in_ledger(city, device) for device in NODES}
    for device, names in kept.items():
        eventually(lambda device=device, names=names: names <= set(in_store(city, device)), f"all of {device}")  # type: ignore[misc]
        stored = in_store(city, device)
        assert len(stored) == len(set(stored)), "no reading twice"
    doctor = city.nabd("doctor")
    assert doctor.returncode == 0, doctor.stdout
    backup = city.nabd("data", "backup", str(tmp_path / "backup"))
    assert backup.returncode == 0, backup.stderr
    assert json.loads((tmp_path / "backup" / "backup.json").read_text())["store"] is None
    assert "docs/deploy.md" in backup.stdout


def test_every_volume_backed_up_while_the_city_runs_is_a_city_again(city: ComposedCity, tmp_path: Path) -> None:
    """In the order of docs/deploy.md: InfluxDB first, Nabd after it, Mosquitto at any time."""
    city.run_once("influxdb-tokens")
    city.up("--start", "2026-11-24T11:00:00Z", "--speed", str(SPEED))
    devices = ("node-bin", "node-light")
    for device in devices:
        city.enrol(device)
    for device in devices:
        eventually(lambda device=device: len(in_store(city, device)) > 3, f"readings of {device}", 60)  # type: ignore[misc]
    kept = {device: in_ledger(city, device) for device in devices}
    city.influxdb.save(tmp_path / "influxdb-volume")  # stopped for it: what comes meanwhile waits in the log
    done = city.nabd("data", "backup", str(tmp_path / "nabd-backup"))
    assert done.returncode == 0, done.stderr
    users = city.broker.data / "mosquitto"
    city.broker.stop()
    shutil.copytree(users, tmp_path / "mosquitto-volume")
    city.broker.start()
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before + 3, "life goes on", 60)

    assert city.platform is not None
    assert city.platform.stop() == 0
    city.broker.stop()
    shutil.rmtree(city.data)
    shutil.rmtree(users)
    city.influxdb.put_back(tmp_path / "influxdb-volume")
    shutil.copytree(tmp_path / "mosquitto-volume", users)
    city.broker.start()
    done = city.nabd("data", "restore", str(tmp_path / "nabd-backup"))
    assert done.returncode == 0, done.stderr
    city.up()
    before = city.get("ledger")["accepted"]
    eventually(lambda: city.get("ledger")["accepted"] > before + 3, "devices come back with their credentials", 90)
    for device, names in kept.items():
        eventually(lambda device=device, names=names: names <= set(in_store(city, device)), f"all of {device}")  # type: ignore[misc]
        stored = in_store(city, device)
        assert len(stored) == len(set(stored)), "no reading twice"


def test_nabd_waits_for_its_token_and_says_so(city: ComposedCity) -> None:
    assert city.check("mosquitto") == 0
    platform = PlatformProcess(city.data, city.http_port, city.broker.port, output=city.output)
    city.children.append(platform)
    city.platform = platform
    reasons = eventually(
        lambda: [reason for reason in health(platform) if "InfluxDB" in reason], lambda: city.platform_log()
    )
    assert "token" in reasons[0]
    assert city.check("nabd") == 1
    city.run_once("influxdb-tokens")
    eventually(lambda: not health(platform) and platform.client.health()["connected"], "well without a restart", 60)
    assert city.check("nabd") == 0


def health(platform: PlatformProcess) -> list[str]:
    from adapters.platform_client import PlatformFault

    try:
        return [str(reason) for reason in platform.client.health()["reasons"]]
    except PlatformFault:
        return ["no answer"]


def in_ledger(city: ComposedCity, device: str) -> set[tuple[str, int]]:
    return {
        (stream["stream"], seq)
        for stream in city.get(f"devices/{device}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }


def in_store(city: ComposedCity, device: str) -> list[tuple[str, int]]:
    """(stream, seq) of what InfluxDB holds of the device, asked as Grafana asks: with its token."""
    city.influxdb.token = (city.broker.secret("grafana_influxdb_token")).read_text()
    rows = city.influxdb.ask(f'SELECT "stream", "seq" FROM "{NODES[device]}" WHERE "device" = \'{device}\'')
    return [(row["stream"], int(row["seq"])) for row in rows]
