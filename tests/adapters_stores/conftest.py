"""Every store behind the port passes the same suite: a maker a store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_store import InfluxStore
from contract.kind import Kinds, Value
from contract.kind_file import load_kinds
from contract.ports import Store
from contract.questions import Question
from stand.influxdb import InfluxServer

KINDS = load_kinds()
STORES = ["duckdb", pytest.param("influxdb", marks=pytest.mark.services)]

AnyStore = DuckStore | InfluxStore
OpenStore = Callable[..., AnyStore]
"""Opens the same store again each time; `kinds` when other than the shipped ones."""


def influx_store(server: InfluxServer, bucket: str, kinds: Kinds = KINDS, *, timeout_s: float = 10.0) -> InfluxStore:
    return InfluxStore(server.url, server.org, bucket, server.token, kinds, timeout_s)


def ask(store: Store, **asked: Any) -> list[tuple[int, Value]]:
    """What a store says to a question with these fields."""
    return list(store.readings(Question(**asked)))


@pytest.fixture(params=STORES)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    make: Callable[[Kinds], AnyStore]
    if request.param == "duckdb":
        make = lambda kinds: DuckStore(tmp_path / "store.duckdb", kinds)  # noqa: E731
    else:
        server, bucket = request.getfixturevalue("influx"), request.getfixturevalue("influx_bucket")
        make = lambda kinds: influx_store(server, bucket, kinds)  # noqa: E731
    with ExitStack() as stack:

        def open_again(kinds: Kinds = KINDS) -> AnyStore:
            stack.close()
            return stack.enter_context(closing(make(kinds)))

        yield open_again
