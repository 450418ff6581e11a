"""Writes into a DuckDB store until it is killed; says what it was told is stored. Run by test_duckdb.py."""

import sys
from pathlib import Path

from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from tests.adapters_stores.entries import AT_MS, telemetry


def main(path: Path) -> None:
    store = DuckStore(path, load_kinds())
    while True:
        position = store.position()
        store.write([telemetry(position + n, position + n) for n in range(1, 51)], AT_MS)
        sys.stdout.write(f"{store.position()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
