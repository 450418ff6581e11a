"""Telegraf and InfluxDB are built before the first test: that takes minutes, and a test has two."""

import pytest

from stand.peers import PeerMissing, peer


def pytest_collection_finish(session: pytest.Session) -> None:
    if any("tests/bench/" in item.nodeid and item.get_closest_marker("services") for item in session.items):
        try:
            for name in ("influxd", "telegraf"):
                peer(name)
        except PeerMissing as missing:
            pytest.exit(str(missing), returncode=2)
