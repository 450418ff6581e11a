from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.house import IngestHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[IngestHouse]:
    made = IngestHouse(tmp_path)
    yield made
    made.log.close()
