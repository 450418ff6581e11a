"""The recorder and a real InfluxDB: what is in the state is there once, whatever happens to the server meanwhile."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.state.sqlite_state import SqliteState
from adapters.stores.influx_store import InfluxStore
from contract.decisions import Step
from contract.kind_file import load_kinds
from contract.ports import Effects, StoreFault
from nabd.recorder import MARKS, Recorder
from stand.influxdb import InfluxServer
from tests.nabd.test_recorder import Clock, alarm, resolved, step
from tests.nabd.test_recorder import state as state

pytestmark = pytest.mark.services


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InfluxServer]:
    """One of its own: it is killed."""
    server = InfluxServer(tmp_path / "influxdb")
    yield server
    server.end()


def store_of(server: InfluxServer, log: str = "log") -> InfluxStore:
    return InfluxStore(server.url, server.org, server.bucket, server.token, load_kinds(), 5.0, log=log)


def recorder(store: InfluxStore, state: SqliteState) -> Recorder:
    return Recorder(store, state, Clock(), health=lambda at_ms: [], ledger=lambda at_ms: [], zones=lambda at_ms: [])


def written(server: InfluxServer) -> tuple[int, int]:
    """(points of alarms, points of leases)."""
    alarms = server.ask('SELECT "open" FROM "nabd_alarms"')
    return len(alarms), len(server.ask('SELECT "version" FROM "nabd_leases"'))


def test_a_server_that_is_killed_gets_the_rest_when_it_is_back_and_nothing_twice(
    server: InfluxServer, state: SqliteState
) -> None:
    store = store_of(server)
    running = recorder(store, state)
    state.commit(Effects(alarms=[alarm("a1", 1_000)], decisions=[step(1, Step.SENT)]), 2)
    running.look()
    server.kill()
    state.commit(
        Effects(alarms=[resolved("a1", 1_000, 3_000), alarm("a2", 4_000)], decisions=[step(2, Step.CONFIRMED)]), 3
    )
    with pytest.raises(StoreFault):
        running.look()
    server.start()
    running.look()
    assert written(server) == (3, 2)
    again = recorder(store_of(server), state)
    again.look()
    assert (written(server), again.written) == ((3, 2), 0), "the marks are the server's own"
    (fired,) = server.ask('SELECT * FROM "nabd_alarms" WHERE "alarm" = \'a1\' AND "change" = \'fired\'')
    assert (fired["zone"], fired["title_ar"], fired["open"], fired["time"] // 10**6) == ("center", "عطل", 1.0, 1_000)
    store.close()


def test_a_server_put_back_from_a_backup_is_filled_up(server: InfluxServer, state: SqliteState, tmp_path: Path) -> None:
    store = store_of(server)
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    recorder(store, state).look()
    server.save(tmp_path / "backup")
    state.commit(Effects(alarms=[alarm("a2", 2_000)]), 3)
    running = recorder(store, state)
    running.look()
    server.kill()
    state.commit(Effects(alarms=[alarm("a3", 3_000)]), 4)
    with pytest.raises(StoreFault):
        running.look()
    server.put_back(tmp_path / "backup")
    running.look()
    assert written(server) == (3, 0), "also what was written between the backup and its restoring"
    store.close()


def test_an_alarm_older_than_the_bucket_keeps_is_counted_and_the_later_ones_arrive(
    server: InfluxServer, state: SqliteState
) -> None:
    server.add_bucket("day", keep_s=86_400)
    now_ms = server.now_ms()
    state.commit(Effects(alarms=[alarm("old", now_ms - 10 * 86_400_000)]), 2)
    state.commit(Effects(alarms=[alarm("new", now_ms - 60_000)]), 3)
    store = InfluxStore(server.url, server.org, "day", server.token, load_kinds(), 5.0)
    running = recorder(store, state)
    running.look()
    state.commit(Effects(alarms=[alarm("newest", now_ms)]), 4)
    running.look()
    told = server.ask('SELECT "alarm" FROM "nabd_alarms"', "day")
    assert sorted(one["alarm"] for one in told) == ["new", "newest"]
    assert (running.written, running.refused) == (2, 1)
    assert store.remembered(MARKS) == {"position": 4.0, "alarm": "newest", "number": 0.0}
    store.close()


def test_two_logs_in_one_bucket_have_marks_of_their_own(server: InfluxServer, state: SqliteState) -> None:
    ours, theirs = store_of(server), store_of(server, "another")
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    recorder(ours, state).look()
    assert ours.remembered(MARKS) == {"position": 2.0, "alarm": "a1", "number": 0.0}
    assert theirs.remembered(MARKS) == {}
    for store in (ours, theirs):
        store.close()
