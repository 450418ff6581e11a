"""The comparison with Telegraf is sound: every side brings the same readings, whole, through the same two servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import checking, measuring
from bench.killing import kill_once
from bench.load import Load
from bench.peers_telegraf import Telegraf
from bench.servers import Servers, serving
from bench.sides import Side
from bench.sides_nabd import IngestOnly, WholePlatform

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with serving(tmp_path_factory.mktemp("servers")) as both:
        yield both


@pytest.mark.parametrize("kind", [Telegraf, IngestOnly, WholePlatform])
def test_a_side_writes_exactly_what_was_sent_and_a_run_ends_with_all_of_it(
    kind: type[Telegraf] | type[IngestOnly] | type[WholePlatform], servers: Servers, tmp_path: Path
) -> None:
    side: Side = kind(servers)
    assert checking.check(side, servers, tmp_path) == checking.LOAD.total
    # Enough that no side is done within one tick of the system's CPU clock, 10 ms.
    figures = measuring.run(side, servers, tmp_path, Load(messages=5_000, readings=2, devices=5))
    assert figures.side_us > 0
    assert figures.peak_mb > 1


@pytest.mark.parametrize("broker", [False, True])
def test_ingest_killed_or_its_broker_killed_loses_and_doubles_nothing_that_devices_hold_until_it_is_kept(
    broker: bool, servers: Servers, tmp_path: Path
) -> None:
    load = Load(messages=4_000, readings=1, devices=5, rate=2_000)
    after = kill_once(IngestOnly(servers), servers, tmp_path, load, broker=broker, until_kept=True)
    assert (after.sent, after.lost, after.doubled) == (4_000, 0, 0)
