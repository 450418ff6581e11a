"""What the state changed can be followed in order, from any place on, also in a database that was there before."""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from adapters.state.connecting import writer
from adapters.state.sqlite_state import SqliteState
from contract.decisions import Alarm, AlarmState, Decision, Severity, Step
from contract.ports import Effects
from contract.records import Registered

BEGINNING = (-1, "")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db")
    lamp = Registered(device="node-1", kind="street_light", commune="berkane", zone="center", asset="lamp-1")
    state.commit(Effects(registered=[(0, lamp)]), 1)
    yield state
    state.close()


def alarm(name: str, fired_at_ms: int | None = 1_000, state: AlarmState = AlarmState.FIRING) -> Alarm:
    return Alarm(
        alarm=name, rule="lamp_failed", device="node-1", asset="lamp-1", kind="street_light", severity=Severity.MAJOR,
        state=state, since_ms=1_000, fired_at_ms=fired_at_ms,
    )  # fmt: skip


def followed(state: SqliteState, limit: int) -> list[tuple[int, str]]:
    """All changes, page by page."""
    found: list[tuple[int, str]] = []
    while page := state.alarm_changes(found[-1] if found else BEGINNING, limit):
        found += [(change.position, change.row.alarm.alarm) for change in page]
    return found


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_changes_come_in_order_of_their_commits_each_once_whatever_the_page(state: SqliteState, limit: int) -> None:
    state.commit(Effects(alarms=[alarm("b"), alarm("a"), alarm("c")]), 5)
    state.commit(Effects(alarms=[alarm("d")]), 6)
    assert followed(state, limit) == [(5, "a"), (5, "b"), (5, "c"), (6, "d")]


def test_an_alarm_that_changes_again_comes_again_behind_the_others(state: SqliteState) -> None:
    state.commit(Effects(alarms=[alarm("a"), alarm("b")]), 5)
    state.commit(Effects(acknowledged=[("a", "amina", 9_000)]), 7)
    assert followed(state, 10) == [(5, "b"), (7, "a")]
    (change,) = state.alarm_changes((5, "b"), 10)
    assert (change.row.acknowledged_by, change.zone) == ("amina", "center")


def test_what_never_fired_is_no_change(state: SqliteState) -> None:
    pending = alarm("a", None, AlarmState.PENDING)
    state.commit(Effects(alarms=[pending, alarm("b", None, AlarmState.RESOLVED)]), 5)
    assert followed(state, 10) == []


def test_lease_steps_are_those_of_leases_in_order(state: SqliteState) -> None:
    steps = [Step.WON, Step.LEASED, Step.CLAMPED, Step.SENT, Step.LOST, Step.CONFIRMED, Step.VETOED, Step.EXPIRED]
    decisions = [
        Decision(decision=f"d{number}", at_ms=number, asset="lamp-1", device="node-1", target="level", step=step)
        for number, step in enumerate(steps)
    ]
    state.commit(Effects(decisions=decisions), 5)
    found = state.lease_steps(0, 100)
    assert [one.decision.step for one in found] == [Step.LEASED, Step.SENT, Step.CONFIRMED, Step.EXPIRED]
    assert [one.decision for one in state.lease_steps(found[1].number, 1)] == [decisions[5]]
    assert (found[0].commune, found[0].kind, found[0].rank) == ("berkane", "street_light", "")


def test_alarms_of_a_database_from_before_are_given_their_place_and_can_be_followed(
    state: SqliteState, tmp_path: Path
) -> None:
    state.commit(Effects(alarms=[alarm("a")]), 5)
    state.close()
    engine = writer(tmp_path / "state.db")
    with engine.begin() as connection, as_file(files("adapters.state") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    engine.dispose()
    again = SqliteState(tmp_path / "state.db")
    (change,) = again.alarm_changes(BEGINNING, 10)
    assert (change.position, change.row.alarm.alarm, change.commune, change.zone) == (0, "a", "berkane", "center")
    again.close()
