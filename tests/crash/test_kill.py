"""`kill -9` of platform, broker and store, a store that does not answer, disks that are full: every reading once.

Over the four ways to run a city, together more than twenty kills and a hundred thousand readings. `make soak` does as
much for hours.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.servers import Mosquitto
from tests.crash.forge import Forge
from tests.crash.house import House
from tests.crash.play import play
from tests.influxdb import InfluxServer

SEED = "20261124"
pytestmark = pytest.mark.timeout(300)


@contextmanager
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@contextmanager
def influxdb(folder: Path) -> Iterator[InfluxServer]:
    server = InfluxServer(folder)
    try:
        yield server
    finally:
        server.end()


def test_with_the_embedded_broker_and_store(tmp_path: Path, forge: Forge) -> None:
    done = play(House(tmp_path / "house", forge), seed=SEED, strokes=8, readings=25_000)
    assert done.verdict, done
    assert done.kills >= 7


@pytest.mark.services
def test_with_mosquitto_and_the_embedded_store(tmp_path: Path, forge: Forge) -> None:
    with mosquitto(tmp_path / "mosquitto") as broker:
        done = play(House(tmp_path / "house", forge, broker=broker), seed=SEED, strokes=8, readings=30_000)
    assert done.verdict, done
    assert done.kills >= 7


@pytest.mark.services
def test_with_the_embedded_broker_and_influxdb(tmp_path: Path, forge: Forge) -> None:
    with influxdb(tmp_path / "influxdb") as server:
        done = play(House(tmp_path / "house", forge, influx=server), seed=SEED, strokes=11, readings=25_000)
    assert done.verdict, done
    assert done.kills >= 9


@pytest.mark.services
def test_with_mosquitto_and_influxdb(tmp_path: Path, forge: Forge) -> None:
    with mosquitto(tmp_path / "mosquitto") as broker, influxdb(tmp_path / "influxdb") as server:
        house = House(tmp_path / "house", forge, broker=broker, influx=server)
        done = play(house, seed=SEED, strokes=11, readings=25_000)
    assert done.verdict, done
    assert done.kills >= 9
