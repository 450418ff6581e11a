"""Files of a data folder that do not fit together are refused in a sentence with the way out, and stay as they are."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from contract.records import Tick
from nabd.fault import Refused
from nabd.positions import check_positions, check_state_there, log_begins

DAY_MS = 86_400_000


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    """Ten entries, of which the first six were cut."""
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=10_000_000, days_max=1)) as log:
        log.append([Tick(listening=True)] * 6, 1)
        log.append([Tick(listening=True)] * 4, 10 * DAY_MS)
        log.consumed("store", 10)
        log.cut(10 * DAY_MS)
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=10_000_000, days_max=1)) as log:  # as a start finds it
        yield log


def test_where_a_log_begins(tmp_path: Path, log: SqliteLog) -> None:
    assert log_begins(log) == 7
    with closing(SqliteLog(tmp_path / "new.db", bytes_max=10_000_000, days_max=1)) as new:
        assert log_begins(new) == 1
        new.append([Tick(listening=True)], 1)
        assert log_begins(new) == 1


def test_a_state_that_is_gone_beside_a_log_that_was_cut_is_refused_with_the_way_out(
    tmp_path: Path, log: SqliteLog
) -> None:
    with pytest.raises(Refused) as refused:
        check_state_there(tmp_path / "state.db", log)
    for part in (f"{tmp_path / 'state.db'}: is missing", "log.db begins at 7", "nabd data restore", "docs/deploy.md"):
        assert part in str(refused.value)
    assert not (tmp_path / "state.db").exists()
    (tmp_path / "state.db").touch()
    check_state_there(tmp_path / "state.db", log)


def test_a_state_is_made_again_from_a_log_that_is_whole(tmp_path: Path) -> None:
    with closing(SqliteLog(tmp_path / "new.db", bytes_max=10_000_000, days_max=1)) as new:
        check_state_there(tmp_path / "state.db", new)
        new.append([Tick(listening=True)] * 3, 1)
        check_state_there(tmp_path / "state.db", new)
        check_positions(tmp_path, new, {"state.db": 0, "store.duckdb": 0})


def test_an_older_state_than_the_log_reaches_back_to_is_refused(tmp_path: Path, log: SqliteLog) -> None:
    check_positions(tmp_path, log, {"state.db": 6, "store.duckdb": 0})
    with pytest.raises(Refused, match=r"state\.db: has read the log up to 5, but log\.db begins at 7: .* nowhere else"):
        check_positions(tmp_path, log, {"state.db": 5, "store.duckdb": 10})


@pytest.mark.parametrize("name", ["state.db", "store.duckdb"])
def test_a_log_that_is_behind_what_has_read_it_is_refused(tmp_path: Path, log: SqliteLog, name: str) -> None:
    positions = {"state.db": 10, "store.duckdb": 10, name: 11}
    with pytest.raises(Refused, match=rf"{name}: has read the log up to 11, but log\.db ends at 10; restore all files"):
        check_positions(tmp_path, log, positions)
