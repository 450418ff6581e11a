"""Every store behind the port passes the same suite: a maker a store."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from adapters.stores.duckdb_store import DuckStore
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import Store

KINDS = load_kinds()

OpenStore = Callable[..., Store]
"""Opens the same store again each time; `kinds` when other than the shipped ones."""


@pytest.fixture(params=["duckdb"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    assert request.param == "duckdb"
    with ExitStack() as stack:

        def open_again(kinds: Kinds = KINDS) -> Store:
            stack.close()
            return stack.enter_context(closing(DuckStore(tmp_path / "store.duckdb", kinds)))

        yield open_again
