from collections.abc import Callable, Iterator

import pytest

from stand.city_broker import CityBroker
from tests.deploy.eye import Eye


@pytest.fixture(scope="module")
def broker() -> Iterator[CityBroker]:
    with CityBroker() as running:
        yield running


@pytest.fixture
def eye() -> Iterator[Callable[..., Eye]]:
    """Makes clients, and closes them."""
    made: list[Eye] = []

    def make(*arguments: object, **options: object) -> Eye:
        made.append(Eye(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close()
