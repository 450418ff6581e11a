"""A city that nobody runs, for what copies its data folder."""

from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from contract.ports import Effects
from contract.records import Tick
from nabd.data_folder import DataFolder
from tests.adapters_stores.entries import telemetry


@pytest.fixture
def city(tmp_path: Path) -> Path:
    """A folder nobody runs: a log of twenty entries, read to 10 by the store and to 20 by the state, and secrets."""
    path = tmp_path / "city"
    with DataFolder(path, start_ms=None, start_text="", speed=None):
        with closing(SqliteLog(path / "log.db", bytes_max=10_000_000, days_max=30)) as log:
            for _ in range(20):
                log.append([Tick(listening=True)], 1_000)
        with closing(SqliteState(path / "state.db")) as state:
            state.commit(Effects(), 20)
        with closing(DuckStore(path / "store.duckdb", load_kinds())) as store:
            store.write([telemetry(10, 1)], 1_000)
    secrets = path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "mqtt_platform_password").touch(mode=0o600)
    (secrets / "mqtt_platform_password").write_text("a word")
    (path / "nabd.toml").write_text("[http]\nport = 9090\n")
    return path
