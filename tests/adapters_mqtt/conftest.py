from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters_mqtt.brokers import Broker, Mosquitto, Rumqttd


@pytest.fixture(params=["rumqttd", pytest.param("mosquitto", marks=pytest.mark.services)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    """A running broker of each sort that the platform works with."""
    server: Broker = Rumqttd() if request.param == "rumqttd" else Mosquitto(tmp_path)
    server.start()
    yield server
    server.stop()
