"""A backup taken in the midst of traffic is a whole city again: nothing kept before it is missing, positions agree."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import City
from tests.e2e.test_command_line import Nabd
from tests.e2e.test_three_nodes import stored_names
from tests.waiting import eventually


@pytest.mark.slow
def test_a_backup_during_traffic_restores_everything_kept_before_it(city: City, nabd: Nabd, tmp_path: Path) -> None:
    city.up("--speed", "600", "--start", "2026-11-24T18:00:00Z")
    fleet = city.run(
        [
            sys.executable, "-m", "nabd", "simulate", "--url", f"http://127.0.0.1:{city.http_port}",
            "--mqtt-port", str(city.mqtt_port), "--lights", "25", "--bins", "5", "--valves", "3",
        ]
    )  # fmt: skip
    eventually(lambda: city.get("ledger")["accepted"] > 300, "traffic")
    kept = have(city)
    before = city.get("ledger")["accepted"]
    backup = tmp_path / "backup"
    done = nabd("data", "backup", str(backup), "--data", str(city.data))
    assert done.returncode == 0, done.stderr
    eventually(lambda: city.get("ledger")["accepted"] > before + 100, "it goes on meanwhile and after")
    assert not (city.data / "copy").exists()
    fleet.stop()
    assert city.platform is not None
    assert city.platform.stop() == 0

    city.data.rename(tmp_path / "lost")
    done = nabd("data", "restore", str(backup), "--data", str(city.data))
    assert done.returncode == 0, done.stderr
    platform = city.up()
    assert kept <= have(city)
    assert city.get("ledger")["accepted"] >= before
    assert {device["id"] for device in city.get("devices", limit=100)["items"]} >= {name for name, _, _ in kept}
    health = platform.client.health()
    last = health["log"]["position"]
    eventually(
        lambda: all(one["position"] >= last for one in platform.client.health()["consumers"].values()),
        "every consumer reads on to the log's end",
    )
    assert platform.stop() == 0
    stored = stored_names(city.data)
    assert len(stored) == len(set(stored))
    assert kept <= set(stored)
    with closing(sqlite3.connect(city.data / "log.db")) as log:
        assert log.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def have(city: City) -> set[tuple[Any, ...]]:
    """The name of every reading that the platform says it keeps."""
    return {
        (device["id"], stream["stream"], seq)
        for device in city.get("devices", limit=100)["items"]
        for stream in city.get(f"devices/{device['id']}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }


def test_a_platform_that_is_down_is_backed_up_from_its_files(city: City, nabd: Nabd, tmp_path: Path) -> None:
    city.up("--lights", "25", "--speed", "600", "--start", "2026-11-24T18:00:00Z")
    eventually(lambda: city.get("ledger")["accepted"] > 20, "readings")
    kept = have(city)
    assert city.platform is not None
    city.platform.kill()  # what was not checkpointed stands in write-ahead logs
    done = nabd("data", "backup", str(tmp_path / "backup"), "--data", str(city.data))
    assert done.returncode == 0, done.stderr
    shutil.rmtree(city.data)
    assert nabd("data", "restore", str(tmp_path / "backup"), "--data", str(city.data)).returncode == 0
    city.up()
    assert kept <= have(city)
