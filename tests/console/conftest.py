"""A small city of fakes and an HTTP client on its API."""

from collections.abc import Iterator

import pytest

from console.app import create_app
from tests.console.client import ApiClient
from tests.console.demo_platform import DemoCity


@pytest.fixture
def city() -> DemoCity:
    """Fourteen lamps, two bins, two valves and a weather station, with a day of readings; the clock stands."""
    city = DemoCity(lights=14, speed=1.0)
    city.history(hours=8)
    return city


@pytest.fixture
def client(city: DemoCity) -> Iterator[ApiClient]:
    client = ApiClient(create_app(city.platform(), pages=False))
    yield client
    client.close()
