from collections.abc import Iterator

import pytest

from tests.crash.forge import Forge


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    forge = Forge()
    yield forge
    forge.close()
