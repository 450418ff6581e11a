"""What the state promises: whole commits, a faithful registry, an audit that pages and prunes, many readers."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event

from adapters.state import schema
from adapters.state.sqlite_state import SqliteState, StateFault
from contract.decisions import (
    Alarm,
    AlarmState,
    Decision,
    Intent,
    IntentState,
    Lease,
    LeaseTarget,
    Rank,
    Severity,
    Step,
    identify,
)
from contract.ports import Effects, State
from contract.records import Registered


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db")
    yield state
    state.close()


def registered(device: str = "node-1", asset: str = "lamp-1", **facts: object) -> Registered:
    fields: dict[str, object] = {"kind": "street_light", "commune": "berkane", "zone": "center", "name": "Rue 1"}
    return msgspec.convert({**fields, **facts, "device": device, "asset": asset}, Registered)


def alarm(name: str = "a1", state: AlarmState = AlarmState.FIRING, since_ms: int = 1_000, **facts: object) -> Alarm:
    fields: dict[str, object] = {
        "alarm": name, "rule": "lamp_failed", "device": "node-1", "asset": "lamp-1", "kind": "street_light",
        "severity": Severity.MAJOR, "state": state, "since_ms": since_ms, "text": {"en": "no power", "ar": "لا تيار"},
        "because": "power_w 0 < 45",
    }  # fmt: skip
    return msgspec.convert({**fields, **facts}, Alarm)


def intent(name: str, asset: str = "lamp-1", *, wish: str = "") -> Intent:
    return Intent(
        intent=name, asset=asset, target="level", to=0.7, rank=Rank.OPERATOR, reason="road works", by="amina",
        decided_at_ms=5, until_ms=9_000, wish=wish,
    )  # fmt: skip


def decision(number: int, asset: str = "lamp-1", at_ms: int = 1_000) -> Decision:
    return Decision(
        decision=identify(number, 0), at_ms=at_ms, asset=asset, device="node-1", target="level", step=Step.WON,
        intent=f"i{number}", to=0.7, until_ms=9_000, version=2**45, reason="road works", why="alone", by="amina",
    )  # fmt: skip


def lease(version: int, step: Step = Step.LEASED) -> Lease:
    target = LeaseTarget(to=0.7, until_ms=9_000, reason="road works", intent="i1")
    return Lease(
        device="node-1", asset="lamp-1", version=version, issued_ms=1, targets={"level": target}, state=step,
        code="", kind="street_light",
    )  # fmt: skip


def test_it_is_a_state_of_the_contract(state: SqliteState) -> None:
    port: State = state
    assert port.position() == 0
    assert port.snapshot() is None


def test_what_was_committed_is_read_back_the_same_after_reopening(tmp_path: Path) -> None:
    written = Effects(
        registered=[(10, registered(lat=34.92, lon=-2.32, settings={"rated_power_w": 90.0, "circuit": "c-7"}))],
        alarms=[alarm(fired_at_ms=2_000)],
        intents=[IntentState(intent=intent("i1", wish="w1"), step=Step.CONFIRMED, at_ms=7, why="because")],
        decisions=[decision(1)],
        leases=[lease(2**45)],
    )
    first = SqliteState(tmp_path / "state.db")
    first.commit(written, 42, b"\x00memory")
    first.close()
    again = SqliteState(tmp_path / "state.db")
    assert again.position() == 42
    assert again.snapshot() == (42, b"\x00memory")
    device = again.device("node-1")
    assert device is not None
    assert (device.asset, device.lat, device.settings) == ("lamp-1", 34.92, {"rated_power_w": 90.0, "circuit": "c-7"})
    assert device.registered_at_ms == 10
    assert [row.alarm for row in again.alarms()[1]] == written.alarms
    assert again.intents() == written.intents
    assert again.decisions() == written.decisions
    assert again.leases() == written.leases
    again.close()


def test_a_snapshot_stays_at_its_position_while_the_state_goes_on(state: SqliteState) -> None:
    state.commit(Effects(), 5, b"five")
    state.commit(Effects(), 9)
    assert state.position() == 9
    assert state.snapshot() == (5, b"five")


def test_a_position_never_goes_back(state: SqliteState) -> None:
    state.commit(Effects(), 7)
    with pytest.raises(ValueError, match="6 is below 7"):
        state.commit(Effects(decisions=[decision(1)]), 6)
    assert state.decisions() == []


def test_the_same_effects_twice_change_nothing(state: SqliteState) -> None:
    effects = Effects(registered=[(10, registered())], alarms=[alarm()], decisions=[decision(1)], leases=[lease(1)])
    state.commit(effects, 3)
    state.commit(effects, 3)
    assert len(state.decisions()) == 1
    assert state.bindings("lamp-1") == [("node-1", 10, None)]


def test_a_commit_that_fails_leaves_no_trace(state: SqliteState) -> None:
    broken = msgspec.structs.replace(decision(2), version=2**70)  # no SQLite integer
    with pytest.raises(OverflowError):
        state.commit(Effects(alarms=[alarm()], decisions=[decision(1), broken]), 3)
    assert state.position() == 0
    assert state.alarms() == (0, [])
    state.commit(Effects(decisions=[decision(1)]), 3)
    assert state.position() == 3


# ------------------------------------------------------------------------------------------------------- registry


def test_a_swapped_controller_leaves_its_asset_and_the_bindings_remember_from_when_to_when(state: SqliteState) -> None:
    state.commit(Effects(registered=[(10, registered("node-1", "lamp-1"))]), 1)
    state.commit(Effects(registered=[(20, registered("node-2", "lamp-1"))]), 2)
    assert state.bindings("lamp-1") == [("node-1", 10, 20), ("node-2", 20, None)]
    old, new = state.device("node-1"), state.device("node-2")
    assert old is not None
    assert (old.asset, old.commune, old.registered_at_ms) == ("", "", 10)
    assert new is not None
    assert new.asset == "lamp-1"


def test_a_device_that_moves_frees_the_asset_it_sat_on(state: SqliteState) -> None:
    state.commit(Effects(registered=[(10, registered("node-1", "lamp-1")), (11, registered("node-1", "lamp-2"))]), 1)
    state.commit(Effects(registered=[(12, registered("node-1", "lamp-1"))]), 2)
    assert state.bindings("lamp-1") == [("node-1", 10, 11), ("node-1", 12, None)]
    assert state.bindings("lamp-2") == [("node-1", 11, 12)]


def test_changed_facts_are_the_whole_new_truth_and_no_new_binding(state: SqliteState) -> None:
    state.commit(Effects(registered=[(10, registered(settings={"circuit": "c-1"}))]), 1)
    state.commit(Effects(registered=[(20, registered(zone="north", settings={}))]), 2)
    device = state.device("node-1")
    assert device is not None
    assert (device.zone, device.settings, device.registered_at_ms) == ("north", {}, 10)
    assert state.bindings("lamp-1") == [("node-1", 10, None)]


def test_devices_are_filtered_and_paged_by_id(state: SqliteState) -> None:
    some = [registered(f"node-{n}", f"lamp-{n}", zone="north" if n % 2 else "south") for n in range(6)]
    some.append(registered("bin-1", "bin-1", kind="waste_bin", name="حاوية السوق 100%"))
    state.commit(Effects(registered=[(n, one) for n, one in enumerate(some)]), 1)

    def ids(**query: object) -> tuple[int, list[str]]:
        count, page = state.devices(**query)  # type: ignore[arg-type]
        return count, [device.device for device in page]

    assert ids() == (7, ["bin-1", "node-0", "node-1", "node-2", "node-3", "node-4", "node-5"])
    assert ids(zone="north", offset=1, limit=1) == (3, ["node-3"])
    assert ids(kind="waste_bin", commune="berkane") == (1, ["bin-1"])
    assert ids(text="LAMP-4") == (1, ["node-4"])
    assert ids(text="السوق") == (1, ["bin-1"])
    assert ids(text="100%") == (1, ["bin-1"])
    assert ids(text="_") == (0, [])


# --------------------------------------------------------------------------------------------------------- alarms


def test_an_alarm_that_changes_keeps_its_acknowledgement_and_the_first_one_stays(state: SqliteState) -> None:
    state.commit(Effects(alarms=[alarm()], acknowledged=[("a1", "amina", 50)]), 1)
    state.commit(Effects(acknowledged=[("a1", "youssef", 60), ("unknown", "amina", 61)]), 2)
    state.commit(Effects(alarms=[alarm(state=AlarmState.RESOLVED, resolved_at_ms=70)]), 3)
    row = state.alarm("a1")
    assert row is not None
    assert (row.alarm.state, row.acknowledged_by, row.acknowledged_at_ms) == (AlarmState.RESOLVED, "amina", 50)
    assert state.alarm("unknown") is None


def test_open_alarms_are_those_that_fire_newest_first(state: SqliteState) -> None:
    state.commit(
        Effects(
            alarms=[
                alarm("old", since_ms=1),
                alarm("new", since_ms=3),
                alarm("pending", AlarmState.PENDING, since_ms=4),
                alarm("over", AlarmState.RESOLVED, since_ms=2),
                alarm("elsewhere", since_ms=5, asset="lamp-9"),
            ]
        ),
        1,
    )
    count, page = state.alarms(open_only=True, asset="lamp-1")
    assert (count, [row.alarm.alarm for row in page]) == (2, ["new", "old"])
    count, page = state.alarms(offset=1, limit=2)
    assert (count, [row.alarm.alarm for row in page]) == (5, ["pending", "new"])


def test_what_fires_is_counted_whole_and_what_nobody_has_seen_comes_first_the_gravest_before(
    state: SqliteState,
) -> None:
    critical: dict[str, Any]
    minor: dict[str, Any]
    critical, minor = {"severity": Severity.CRITICAL}, {"severity": Severity.MINOR}
    alarms = [
        alarm("grave", since_ms=1, asset="lamp-2", **critical),
        alarm("seen", since_ms=2, **critical),
        alarm("new", since_ms=9, **minor),
        alarm("newer", since_ms=10, asset="lamp-3", kind="waste_bin", **minor),
        alarm("pending", AlarmState.PENDING, since_ms=11, asset="lamp-4", **critical),
        alarm("over", AlarmState.RESOLVED, since_ms=12, asset="lamp-5", **critical),
    ]
    state.commit(Effects(alarms=alarms, acknowledged=[("seen", "amina", 20)]), 1)

    def names(**wanted: Any) -> tuple[int, list[str]]:
        count, page = state.alarms(gravest_first=True, **wanted)
        return count, [row.alarm.alarm for row in page]

    assert names(open_only=True, limit=3) == (4, ["grave", "newer", "new"])
    assert names(open_only=True, unseen=True) == (3, ["grave", "newer", "new"])
    assert names(pending=False, severity=Severity.CRITICAL) == (3, ["over", "grave", "seen"])
    assert names(kind="waste_bin") == (1, ["newer"])
    firing = state.firing()
    assert firing.by_severity == {Severity.CRITICAL: 2, Severity.MINOR: 2}
    assert (firing.unseen, set(firing.assets)) == (3, {"lamp-1", "lamp-2", "lamp-3"})


# -------------------------------------------------------------------------------------------------- intents, audit


def test_an_intent_is_listed_with_what_became_of_it_last(state: SqliteState) -> None:
    steps = [IntentState(intent=intent("i1"), step=step, at_ms=n) for n, step in enumerate((Step.WON, Step.SENT))]
    state.commit(Effects(intents=steps), 1)
    assert state.intents() == [steps[1]]


def test_the_intents_of_one_request_are_found_by_its_id(state: SqliteState) -> None:
    states = [
        IntentState(intent=intent("x1", "lamp-1", wish="w"), step=Step.WON, at_ms=1),
        IntentState(intent=intent("x2", "lamp-2", wish="w"), step=Step.LOST, at_ms=2),
        IntentState(intent=intent("x3", "lamp-2"), step=Step.WON, at_ms=3),
    ]
    state.commit(Effects(intents=states), 1)
    assert [one.intent.intent for one in state.intents(wish="w")] == ["x2", "x1"]
    assert [one.intent.intent for one in state.intents(wish="x1")] == ["x1"]
    assert [one.intent.intent for one in state.intents(asset="lamp-2", limit=1)] == ["x3"]


def test_what_people_wish_is_found_without_a_look_at_what_rules_wish_and_what_is_over_comes_last(
    state: SqliteState,
) -> None:
    states = [
        IntentState(intent=intent("lasting", wish="w1"), step=Step.WON, at_ms=1),
        IntentState(intent=intent("outranked", wish="w2"), step=Step.LOST, at_ms=2),
        IntentState(intent=intent("ended", wish="w3"), step=Step.WITHDRAWN, at_ms=3),
        IntentState(intent=intent("ruled"), step=Step.WON, at_ms=4),
    ]
    state.commit(Effects(intents=states), 1)
    queries: list[str] = []
    event.listen(state._readers, "before_cursor_execute", lambda *call: queries.append(call[2]))
    found = state.intents(wished=True, living_first=True, limit=3)
    assert [one.intent.intent for one in found] == ["outranked", "lasting", "ended"]
    with sqlite3.connect(state.path) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {queries[-1]}", ["x"] * queries[-1].count("?")).fetchall()
    assert "ix_intents_wish (wish>?)" in plan[0][-1]


def test_the_audit_is_read_newest_first(state: SqliteState) -> None:
    state.commit(Effects(decisions=[decision(n, "lamp-1" if n % 2 else "lamp-2") for n in range(10)]), 1)
    assert [one.intent for one in state.decisions(limit=3)] == ["i9", "i8", "i7"]
    assert [one.intent for one in state.decisions(asset="lamp-2", limit=2)] == ["i8", "i6"]


def test_the_latest_lease_of_each_device_is_kept(state: SqliteState) -> None:
    state.commit(Effects(leases=[lease(1), lease(1, Step.SENT), lease(2)]), 1)
    state.commit(Effects(leases=[lease(2, Step.CONFIRMED)]), 2)
    assert state.leases() == [lease(2, Step.CONFIRMED)]
    assert state.leases(device="node-1") == [lease(2, Step.CONFIRMED)]
    assert state.leases(device="node-2") == []


def test_pruning_drops_what_is_old_and_over_and_counts_it(state: SqliteState) -> None:
    state.commit(
        Effects(
            decisions=[decision(n, at_ms=n) for n in range(10)],
            intents=[
                IntentState(intent=intent("over"), step=Step.EXPIRED, at_ms=1),
                IntentState(intent=intent("ruling"), step=Step.CONFIRMED, at_ms=1),
            ],
            alarms=[
                alarm("over", AlarmState.RESOLVED, resolved_at_ms=2),
                alarm("firing", since_ms=1),
                alarm("young", AlarmState.RESOLVED, resolved_at_ms=9),
            ],
        ),
        1,
    )
    assert state.prune(4) == 4 + 1 + 1
    assert state.prune(4) == 0
    assert [one.at_ms for one in state.decisions()] == [9, 8, 7, 6, 5, 4]
    assert [one.intent.intent for one in state.intents()] == ["ruling"]
    assert {row.alarm.alarm for row in state.alarms()[1]} == {"firing", "young"}
    assert state.dropped() == {"alarms": 1, "decisions": 4, "intents": 1}
    assert state.prune(6) == 2
    assert state.dropped()["decisions"] == 6


def test_pruned_rows_give_their_pages_back_to_the_disk(state: SqliteState) -> None:
    state.commit(Effects(decisions=[decision(n, at_ms=n) for n in range(6_000)]), 1)

    def pages() -> tuple[int, int]:
        with sqlite3.connect(state.path) as connection:
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            return connection.execute("PRAGMA page_count").fetchone()[0], free

    before = pages()[0]
    assert state.prune(6_000) == 6_000
    after, free = pages()
    assert after < before / 2
    assert free == 0


# ------------------------------------------------------------------------------------------------ threads and files


def test_readers_in_other_threads_see_whole_commits_only(state: SqliteState) -> None:
    done = threading.Event()
    torn: list[tuple[int, int]] = []

    def read() -> None:
        while not done.is_set():
            before = state.position()
            found = len(state.decisions(limit=1_000))
            after = state.position()
            if not before * 5 <= found <= after * 5 or found % 5:
                torn.append((before, found))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for position in range(1, 31):
        state.commit(Effects(decisions=[decision(position * 5 + n) for n in range(5)]), position)
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert len(state.decisions(limit=1_000)) == 150


WRITER = """
import sys
from adapters.state.sqlite_state import SqliteState
from contract.ports import Effects
from tests.adapters_state.test_sqlite_state import decision
state = SqliteState(sys.argv[1])
position = 0
while True:
    position += 1
    state.commit(Effects(decisions=[decision(position * 10 + n) for n in range(10)]), position)
    print(position, flush=True)
"""


def test_killed_in_the_middle_of_writing_it_opens_again_with_all_it_said_it_had(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    told = 0
    deadline_s = time.monotonic() + 60
    while told < 25 and time.monotonic() < deadline_s:
        told = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    told = max([told, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    state = SqliteState(path)
    assert told >= 25
    assert state.position() >= told
    assert len(state.decisions(limit=100_000)) == state.position() * 10
    state.close()


def test_whatever_connection_can_write_waits_until_the_disk_has_it(state: SqliteState) -> None:
    """No test cuts the power: what a killed process wrote, the machine still has. This alone stands against it."""
    with state._writer.connect() as connection:
        asked = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert asked == ["wal", 2], "FULL"
    with state._readers.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA query_only").scalar() == 1


def test_the_migrations_make_exactly_the_tables_of_the_schema(state: SqliteState) -> None:
    with state._readers.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_database_of_a_newer_nabd_is_refused_with_the_remedy_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteState(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StateFault, match=r"state\.db: made by a newer Nabd \(revision 9999; .*install the newer Nabd"):
        SqliteState(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database at all, but long enough to be read as a header" * 20)
    with pytest.raises(StateFault, match=r"state\.db: cannot be opened as the state database"):
        SqliteState(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateFault, match="unable to open database file; check that the folder exists"):
        SqliteState(tmp_path / "nowhere" / "state.db")


def test_what_the_disk_refuses_is_an_oserror_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = SqliteState(path)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("DROP TABLE progress")
    with pytest.raises(OSError, match=r"the state database cannot be written: .*state\.db: no such table"):
        state.commit(Effects(), 1)
    with pytest.raises(OSError, match=r"the state database cannot be read: .*state\.db: no such table"):
        state.position()
    state.close()


def test_a_device_is_known_on_the_asset_it_sat_on_at_any_moment(state: SqliteState) -> None:
    state.commit(Effects(registered=[(100, registered("node-1", "lamp-1", zone="center"))]), 1)
    state.commit(Effects(registered=[(200, registered("node-1", "lamp-2", zone="riad"))]), 2)
    state.commit(Effects(registered=[(300, registered("node-2", "lamp-2", zone="riad"))]), 3)
    at = {ms: state.device_at("node-1", ms)[0] for ms in (50, 100, 199, 200, 299, 300)}
    found = {ms: (one.asset, one.zone) if one else None for ms, one in at.items()}
    first, second = ("lamp-1", "center"), ("lamp-2", "riad")
    assert found == {50: first, 100: first, 199: first, 200: second, 299: second, 300: ("", "")}
    assert [state.device_at("node-1", ms)[1:] for ms in (50, 150, 250, 300)] == [
        (50, 200), (100, 200), (200, 300), (300, 301),
    ]  # fmt: skip
    assert state.device_at("node-2", 400)[1:] == (300, 2**53)
    assert state.device_at("node-9", 100)[0] is None
    state.commit(Effects(registered=[(400, registered("node-1", "lamp-3", zone="center"))]), 4)
    at = {ms: state.device_at("node-1", ms)[0] for ms in (350, 400)}
    assert {ms: (one.asset, one.zone) for ms, one in at.items() if one} == {350: ("", ""), 400: ("lamp-3", "center")}
