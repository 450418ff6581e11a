"""Valves: one run, hard limits, rest, and what a reset does."""

import pytest

from contract.decisions import Step
from contract.records import Registered
from tests.actuation.city import START_MS, VALVE, City, H, M, S, by_rule, steps

DAY_END = 4 * H  # START_MS is 20:00 in Casablanca


@pytest.fixture
def city() -> City:
    city = City()
    city.valve()
    return city


def water(city: City, at: int, name: str, lease: int = 20 * M, to: float = 1.0) -> list[tuple[str, str]]:
    return steps(city.rule(at, by_rule(name, at, to, asset="valve-1", target="open", lease=lease, rule="water")))


def open_by_hand(city: City, at: int, name: str, until: int, **facts: str) -> list[tuple[str, str]]:
    return steps(city.operator(at, name, 1.0, until, assets=("valve-1",), target="open", **facts))


def why(city: City, step: Step) -> str:
    return next(row.why for row in reversed(city.decisions) if row.step is step)


def test_a_run_is_one_lease_never_renewed_and_ended_by_actuation_itself(city: City) -> None:
    assert water(city, 0, "r") == [("won", "r"), ("leased", "r")]
    assert city.wants() == {"open": (1.0, 20 * M)}
    for minute in range(1, 20):
        assert city.tick(minute * M) == []
    assert steps(city.tick(20 * M)) == [("expired", "r"), ("leased", "")]
    assert city.wants() == {}
    assert len(city.leases) == 2


def test_a_run_longer_than_its_limit_is_clamped_and_over_at_the_limit(city: City) -> None:
    assert open_by_hand(city, 0, "o", 2 * H) == [("won", "o"), ("clamped", "o"), ("leased", "o")]
    assert why(city, Step.CLAMPED) == "over open_s_max 1800 s"
    assert city.wants() == {"open": (1.0, 30 * M)}
    assert steps(city.tick(30 * M)) == [("expired", "o"), ("leased", "")]
    assert why(city, Step.EXPIRED) == "over open_s_max 1800 s"


def test_a_second_wish_in_a_run_does_not_make_the_run_longer_than_its_limit(city: City) -> None:
    open_by_hand(city, 0, "a", 25 * M)
    open_by_hand(city, 20 * M, "b", 45 * M)
    assert city.wants() == {"open": (1.0, 30 * M)}


def test_within_the_rest_a_new_run_is_vetoed_with_the_time_from_which_it_is_allowed(city: City) -> None:
    water(city, 0, "r", 10 * M)
    city.tick(10 * M)
    assert open_by_hand(city, 12 * M, "o", 20 * M) == [("vetoed", "o")]
    assert why(city, Step.VETOED) == (
        "rests after its last run for rest_s_min 300 s; allowed from 2026-11-23T19:15:00Z"
    )  # fmt: skip
    assert city.tick(15 * M) == [], "nothing opens later by itself"
    assert ("won", "again") in open_by_hand(city, 15 * M, "again", 20 * M)


def test_the_rest_counts_from_the_planned_end_until_the_device_says_it_closed(city: City) -> None:
    open_by_hand(city, 0, "o", 20 * M)
    city.withdraw(5 * M, "o")
    assert open_by_hand(city, 11 * M, "p", 20 * M) == [("vetoed", "p")]
    assert why(city, Step.VETOED).endswith("allowed from 2026-11-23T19:25:00Z")


def test_a_confirmed_close_starts_the_rest_at_once(city: City) -> None:
    open_by_hand(city, 0, "o", 20 * M)
    city.answer(1 * S)
    city.withdraw(5 * M, "o")
    city.answer(5 * M)
    assert open_by_hand(city, 10 * M - 1, "p", 20 * M) == [("vetoed", "p")]
    assert ("won", "q") in open_by_hand(city, 10 * M, "q", 20 * M)


def test_a_shorter_lease_that_may_not_have_arrived_shortens_no_rest(city: City) -> None:
    open_by_hand(city, 0, "long", 25 * M)
    open_by_hand(city, 1 * M, "short", 6 * M)
    city.withdraw(2 * M, "long")
    city.tick(6 * M)
    assert open_by_hand(city, 11 * M, "p", 20 * M) == [("vetoed", "p")]
    assert why(city, Step.VETOED).endswith("allowed from 2026-11-23T19:30:00Z")


def test_a_run_that_may_have_closed_already_is_not_made_longer_by_another_wish(city: City) -> None:
    open_by_hand(city, 0, "a", 10 * M)
    open_by_hand(city, 5 * M, "b", 20 * M)  # the valve may not have heard of it, and closes at 10 min
    assert ("vetoed", "c") in open_by_hand(city, 12 * M, "c", 25 * M)
    assert city.wants() == {"open": (1.0, 20 * M)}


def test_a_run_whose_longer_lease_was_confirmed_can_be_made_longer_again(city: City) -> None:
    open_by_hand(city, 0, "a", 10 * M)
    open_by_hand(city, 5 * M, "b", 20 * M)
    city.answer(6 * M)
    assert ("won", "c") in open_by_hand(city, 12 * M, "c", 25 * M)


def test_the_runs_of_a_local_day_share_its_limit(city: City) -> None:
    city.valve(open_s_max_per_day=3_000)
    water(city, 0, "a", 30 * M)
    city.tick(30 * M)
    water(city, 40 * M, "b", 30 * M)
    assert city.wants() == {"open": (1.0, 60 * M)}
    assert why(city, Step.CLAMPED) == "over open_s_max_per_day 3000 s"
    city.tick(60 * M)
    assert water(city, 70 * M, "c") == [("vetoed", "c")]
    assert why(city, Step.VETOED) == "over open_s_max_per_day 3000 s; allowed from 2026-11-23T23:00:00Z"
    city.tick(DAY_END - 1)
    assert ("won", "d") in water(city, DAY_END, "d")


def test_a_run_over_midnight_is_charged_to_both_days(city: City) -> None:
    city.valve(open_s_max_per_day=1_200)
    water(city, DAY_END - 10 * M, "a", 30 * M)
    assert city.wants() == {"open": (1.0, DAY_END + 20 * M)}
    city.tick(DAY_END + 20 * M)
    assert water(city, DAY_END + 40 * M, "b") == [("vetoed", "b")]


def test_closing_is_no_run_and_needs_no_rest(city: City) -> None:
    water(city, 0, "r")
    rows = city.operator(1 * M, "shut", 0.0, 10 * H, assets=("valve-1",), target="open", rank="maintenance")
    assert ("won", "shut") in steps(rows)
    assert city.wants() == {"open": (0.0, 10 * H)}


def test_a_withdrawn_run_is_ended_early(city: City) -> None:
    water(city, 0, "r")
    assert steps(city.ends(5 * M, "r")) == [("withdrawn", "r"), ("leased", "")]
    assert city.wants() == {}


def test_a_lower_limit_shortens_the_run_that_is_on(city: City) -> None:
    water(city, 0, "r")
    city.valve(open_s_max=600)
    assert city.wants() == {"open": (1.0, 10 * M)}


def test_a_limit_that_is_not_set_takes_the_kinds_default(city: City) -> None:
    city.put(Registered(device="node-2", kind="irrigation_valve", commune="berkane", asset="v2"))
    city.operator(0, "o", 1.0, 2 * H, assets=("v2",), target="open")
    assert city.wants("node-2") == {"open": (1.0, int(VALVE["open_s_max"]) * S)}


# ---------------------------------------------------------------------------------------------------------- resets


def test_a_run_that_the_device_reports_interrupted_is_over(city: City) -> None:
    water(city, 0, "r")
    city.answer(1 * S)
    rows = city.answer(5 * M, "interrupted", boot=2, by={"open": "safe"})
    assert steps(rows) == [("interrupted", "r"), ("leased", "")]
    assert city.wants() == {}
    assert water(city, 9 * M, "s") == [("vetoed", "s")], "it rests from the reset on"
    assert ("won", "t") in water(city, 10 * M, "t")


def test_a_birth_in_a_later_boot_ends_a_confirmed_run_before_the_device_says_so(city: City) -> None:
    water(city, 0, "r")
    city.answer(1 * S, boot=7)
    assert city.born(2 * M, 7) == [], "the same boot is a reconnect"
    assert steps(city.born(5 * M, 8)) == [("interrupted", "r"), ("leased", "")]
    assert why(city, Step.INTERRUPTED) == "node-1 was reset (watchdog)"
    assert city.answer(5 * M, "interrupted", boot=8, version=START_MS) == []


def test_a_birth_is_no_interruption_of_a_run_that_never_began(city: City) -> None:
    water(city, 0, "r")
    assert city.born(1 * M, 3) == []
    assert city.wants() == {"open": (1.0, 20 * M)}


def test_a_reset_ends_a_run_that_was_never_confirmed_too(city: City) -> None:
    city.born(0, 3)
    water(city, 1 * S, "r")
    assert city.born(2 * S, 3) == []
    assert steps(city.born(1 * M, 4)) == [("interrupted", "r"), ("leased", "")]


def test_a_refused_run_is_over_and_costs_neither_rest_nor_day(city: City) -> None:
    water(city, 0, "r")
    rows = city.answer(1 * S, "refused", code="over_limit")
    assert steps(rows) == [("refused", "r"), ("leased", "")]
    assert city.wants() == {}
    assert ("won", "s") in water(city, 2 * S, "s")


def test_a_device_without_a_clock_keeps_the_run_until_its_clock_is_set(city: City) -> None:
    water(city, 0, "r")
    city.answer(1 * S, "refused", code="no_clock")
    assert city.wants() == {"open": (1.0, 20 * M)}
    assert [row.step for row in city.answer(2 * S)] == [Step.CONFIRMED]


def test_a_run_the_device_ended_is_over(city: City) -> None:
    water(city, 0, "r")
    city.answer(1 * S)
    assert steps(city.answer(19 * M, "expired", by={"open": "safe"})) == [("expired", "r"), ("leased", "")]


def test_a_swapped_controller_ends_the_run(city: City) -> None:
    water(city, 0, "r")
    rows = city.valve("node-2", "valve-1")
    assert steps(rows) == [("interrupted", "r"), ("leased", "")]
    assert city.wants("node-1") == city.wants("node-2") == {}


def test_a_lock_out_holds_through_a_reset(city: City) -> None:
    city.operator(0, "shut", 0.0, 10 * H, assets=("valve-1",), target="open", rank="maintenance")
    city.answer(1 * S)
    city.born(2 * M, 2)
    city.answer(2 * M, "interrupted", boot=2, by={"open": "safe"})
    assert city.wants() == {"open": (0.0, 10 * H)}
    assert len(city.leases) == 2
