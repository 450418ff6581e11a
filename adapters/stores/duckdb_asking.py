"""Questions and changes to an open DuckDB store as a whole: nothing of an answer stays open when it is handed out."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import duckdb
import pyarrow as pa

from adapters.stores.duckdb_store import DuckStore
from contract.ports import StoreFault


def arrow(store: DuckStore, query: str, arguments: Sequence[Any] = ()) -> pa.Table:
    """The whole answer, as columns. Raises StoreFault."""
    try:
        with closing(store.cursor()) as cursor:
            return cursor.sql(query, params=list(arguments)).to_arrow_table()
    except duckdb.Error as error:
        raise StoreFault(f"{store.path}: cannot be read ({_sentence(error)})") from None


def change(store: DuckStore, statement: str) -> int:
    """How many rows one statement says it changed; 0 for what changes none. Raises StoreFault."""
    try:
        with closing(store.cursor()) as cursor:
            rows = cursor.execute(statement).fetchall()
    except duckdb.Error as error:
        raise StoreFault(f"{store.path}: cannot be written ({_sentence(error)})") from None
    return int(rows[0][0]) if rows and isinstance(rows[0][0], int) else 0


def _sentence(error: Exception) -> str:
    return str(error).splitlines()[0].removesuffix(".")
