"""The comparison with Telegraf is sound: both sides bring the same readings, whole, through the same two servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import checking, measuring
from bench.load import Load
from bench.peers_telegraf import Telegraf
from bench.servers import Servers, serving

pytestmark = pytest.mark.services


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    with serving(tmp_path / "servers") as both:
        yield both


def test_every_side_writes_exactly_what_was_sent_and_a_run_ends_with_all_of_it(
    servers: Servers, tmp_path: Path
) -> None:
    load = Load(messages=300, readings=2, devices=5)
    for side in (Telegraf(servers),):
        assert checking.check(side, servers, tmp_path) == checking.LOAD.total
        figures = measuring.run(side, servers, tmp_path, load)
        assert figures.side_us > 0
        assert figures.peak_mb > 1
