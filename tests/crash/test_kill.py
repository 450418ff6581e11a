"""`kill -9` of platform, broker and store, a store that does not answer, disks that are full: every reading once.

Over the four ways to run a city, together more than twenty kills and a hundred thousand readings. `make soak` does as
much for hours.
"""

from pathlib import Path

import pytest

from tests.crash.forge import Forge
from tests.crash.play import play
from tests.crash.ways import EMBEDDED, WAYS, Way
from tests.small_disk import small_disk_or_skip

SEED = "20261124"
pytestmark = pytest.mark.timeout(300)


def every_reading_is_stored_once(way: Way, folder: Path, forge: Forge, *, strokes: int, kills: int) -> None:
    with way.house(folder, forge) as house:
        done = play(house, seed=SEED, strokes=strokes, readings=25_000)
    assert done.verdict, done
    assert done.kills >= kills


def test_every_reading_is_stored_once_whatever_dies(tmp_path: Path, forge: Forge) -> None:
    every_reading_is_stored_once(EMBEDDED, tmp_path, forge, strokes=9, kills=9)


@pytest.mark.services
@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: way.name)
def test_every_reading_is_stored_once_with_services_too(way: Way, tmp_path: Path, forge: Forge) -> None:
    every_reading_is_stored_once(way, tmp_path, forge, strokes=12 if way.influxdb else 9, kills=9)


@pytest.mark.services
def test_every_reading_is_stored_once_on_a_disk_that_is_really_full(tmp_path: Path, forge: Forge) -> None:
    """The other tests fill it by a limit, which any user may set."""
    with small_disk_or_skip(tmp_path / "disk") as disk, EMBEDDED.house(tmp_path, forge, disk) as house:
        done = play(house, seed=SEED, strokes=9, readings=10_000)
    assert done.verdict, done
    assert done.kills >= 9
    assert "disk is full" in house.log()
