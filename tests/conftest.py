"""What several rooms' tests share: a real InfluxDB for the whole run."""

from collections.abc import Iterator
from itertools import count

import pytest

from stand.influxdb import InfluxServer
from stand.peers import PeerMissing, peer

_numbers = count(1)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the server built before the first test: it takes minutes, and a test has two."""
    wanted = [item for item in session.items if item.get_closest_marker("services")]
    if any("influx" in item.nodeid or "influx" in getattr(item, "fixturenames", ()) for item in wanted):
        try:
            peer("influxd")
        except PeerMissing as missing:
            pytest.exit(str(missing), returncode=2)


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """A running server for tests that leave it as it is; take a bucket of your own from `influx_bucket`."""
    server = InfluxServer(tmp_path_factory.mktemp("influxdb"))
    yield server
    server.end()


@pytest.fixture
def influx_bucket(influx: InfluxServer) -> str:
    """The name of an empty bucket in `influx`."""
    name = f"test-{next(_numbers)}"
    influx.add_bucket(name)
    return name
