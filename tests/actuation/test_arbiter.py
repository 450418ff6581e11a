"""Arbitration as a specification: who wins, what is leased, what the audit says."""

from typing import Any

import pytest

from actuation.arbiter import IllegalEvent
from actuation.intents import PADLOCK
from contract.decisions import Rank, Step, identify
from contract.ports import SnapshotFault
from contract.records import Registered, Tick, Wished
from tests.actuation.city import START_MS, City, H, M, S, by_rule, steps


@pytest.fixture
def city() -> City:
    city = City()
    city.lamp()
    return city


# ------------------------------------------------------------------------------------------------------ who wins


def test_a_rules_wish_wins_alone_and_is_leased_for_its_lease(city: City) -> None:
    rows = city.rule(0, by_rule("r", 0, 0.5, lease=H))
    assert steps(rows) == [("won", "r"), ("leased", "r")]
    assert city.wants() == {"level": (0.5, H)}
    lease = city.latest["node-1"]
    assert (lease.version, lease.issued_ms, lease.kind) == (START_MS, START_MS, "street_light")
    assert lease.targets["level"].reason == "rule:dim"


def test_an_operator_outranks_a_rule_and_the_loser_is_told_why_once(city: City) -> None:
    city.rule(0, by_rule("r", 0))
    rows = city.operator(10 * S, "o", 1.0, 2 * H)
    assert steps(rows) == [("won", "o"), ("lost", "r"), ("leased", "o")]
    assert rows[1].why == "lost to operator:amina (operator > rule)"
    assert city.wants() == {"level": (1.0, 2 * H)}
    assert city.tick(20 * S) == []


def test_the_loser_that_still_holds_wins_again_when_the_winner_ends(city: City) -> None:
    city.rule(0, by_rule("r", 0, 0.5))
    city.operator(0, "o", 1.0, 10 * M)
    rows = city.tick(10 * M)
    assert steps(rows) == [("expired", "o"), ("won", "r"), ("leased", "r")]
    assert city.wants() == {"level": (0.5, 10 * M + H)}


def test_what_ended_meanwhile_does_not_come_back_the_then_current_state_rules(city: City) -> None:
    city.rule(0, by_rule("old", 0, 0.5))
    city.operator(0, "o", 1.0, 30 * M)
    city.ends(5 * M, "old")
    city.rule(6 * M, by_rule("new", 6 * M, 0.3))
    city.withdraw(20 * M, "o")
    assert city.wants() == {"level": (0.3, 20 * M + H)}


@pytest.mark.parametrize(
    ("stronger", "weaker"),
    [("maintenance", "emergency"), ("emergency", "operator"), ("operator", "event"), ("event", "schedule")],
)
def test_ranks_rule_whatever_the_order_of_arrival(city: City, stronger: str, weaker: str) -> None:
    city.operator(0, "strong", 0.2, H, rank=stronger)
    rows = city.operator(1 * S, "weak", 0.9, H, rank=weaker)
    assert steps(rows) == [("lost", "weak")]
    assert city.wants() == {"level": (0.2, H)}


def test_of_one_rank_the_newer_decision_wins_and_at_the_same_time_the_id(city: City) -> None:
    city.operator(0, "a", 0.2, H)
    assert ("won", "b") in steps(city.operator(1 * S, "b", 0.4, H))
    rows = city.operator(1 * S, "c", 0.6, H)
    assert ("won", "c") in steps(rows)
    assert [row.why for row in rows if row.intent == "b"] == ["lost to operator:amina (same time, by id)"]


def test_a_maintenance_lock_out_says_that_it_replaces_no_padlock(city: City) -> None:
    rows = city.operator(0, "m", 0.0, H, rank="maintenance")
    assert PADLOCK in rows[0].why


# -------------------------------------------------------------------------------------------------------- several


def test_a_wish_for_several_assets_is_one_intent_each_under_one_request(city: City) -> None:
    city.lamp("node-2", "lamp-2")
    rows = city.operator(0, "zone", 0.4, H, assets=("lamp-1", "lamp-2", "lamp-1"))
    ids = [identify("zone", "lamp-1"), identify("zone", "lamp-2")]
    assert [row.intent for row in rows if row.step is Step.WON] == ids
    rows = city.withdraw(1 * M, "zone")
    assert [row.intent for row in rows if row.step is Step.WITHDRAWN] == ids
    assert city.wants("node-1") == city.wants("node-2") == {}


def test_one_asset_can_be_taken_out_of_a_wish_for_several(city: City) -> None:
    city.lamp("node-2", "lamp-2")
    city.operator(0, "zone", 0.4, H, assets=("lamp-1", "lamp-2"))
    city.withdraw(1 * M, identify("zone", "lamp-2"))
    assert city.wants("node-1") == {"level": (0.4, H)}
    assert city.wants("node-2") == {}


def test_the_same_request_twice_is_one_wish_even_after_it_was_withdrawn(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    assert city.operator(1 * S, "o", 0.4, H) == []
    city.withdraw(2 * S, "o")
    assert city.operator(3 * S, "o", 0.4, H) == []
    assert city.wants() == {}


def test_nobody_withdraws_a_rules_wish_by_hand(city: City) -> None:
    city.rule(0, by_rule("r", 0))
    assert city.withdraw(1 * S, "r") == []
    assert city.wants() == {"level": (0.5, H)}


# ---------------------------------------------------------------------------------------------------------- leases


def test_a_lease_is_renewed_at_two_thirds_and_not_before(city: City) -> None:
    city.rule(0, by_rule("r", 0, lease=30 * M))
    assert city.tick(20 * M - 1) == []
    rows = city.tick(20 * M)
    assert [(row.step, row.why) for row in rows] == [(Step.LEASED, "renewed")]
    assert city.wants() == {"level": (0.5, 50 * M)}


def test_the_renewal_of_a_confirmed_lease_is_one_row_and_trouble_with_it_is_told(city: City) -> None:
    city.rule(0, by_rule("r", 0, lease=30 * M))
    city.broker_has_it(1 * S)
    assert [row.step for row in city.answer(2 * S)] == [Step.CONFIRMED]
    city.tick(20 * M)
    assert city.broker_has_it(20 * M) == []
    assert city.answer(20 * M) == []
    assert city.latest["node-1"].state is Step.CONFIRMED
    city.tick(40 * M)
    assert [row.step for row in city.silence(41 * M)] == [Step.UNCONFIRMED]
    assert [row.step for row in city.answer(42 * M)] == [Step.CONFIRMED]


def test_an_operators_lease_runs_to_its_end_and_is_never_renewed(city: City) -> None:
    city.operator(0, "o", 0.4, 8 * H)
    for hour in range(1, 8):
        assert city.tick(hour * H) == []
    assert steps(city.tick(8 * H)) == [("expired", "o"), ("leased", "")]


def test_when_nothing_rules_any_more_one_empty_lease_is_made(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.withdraw(1 * M, "o")
    assert [dict(lease.targets) for lease in city.leases[1:]] == [{}]
    assert city.tick(2 * M) == city.tick(2 * H) == []


def test_a_condition_that_turns_unknown_lets_the_lease_run_out(city: City) -> None:
    city.rule(0, by_rule("r", 0, lease=30 * M))
    assert city.ends(10 * M, "r", lapse=True) == []
    assert city.tick(25 * M) == []
    rows = city.tick(30 * M)
    assert (rows[0].step, rows[0].why) == (Step.EXPIRED, "its condition is unknown, and its lease ran out")


def test_a_losing_wish_whose_condition_turns_unknown_is_over_at_once(city: City) -> None:
    city.operator(0, "o", 1.0, H)
    city.rule(1 * S, by_rule("r", 1 * S))
    assert steps(city.ends(2 * S, "r", lapse=True)) == [("expired", "r")]


def test_an_end_of_what_is_over_already_changes_nothing(city: City) -> None:
    city.rule(0, by_rule("r", 0))
    city.ends(1 * S, "r")
    assert city.ends(2 * S, "r") == []
    assert city.ends(3 * S, "r", lapse=True) == []


def test_versions_grow_even_when_the_clock_stands_still_and_above_what_the_device_named(city: City) -> None:
    city.operator(0, "a", 0.1, H)
    city.operator(0, "b", 0.2, H)
    assert [lease.version for lease in city.leases] == [START_MS, START_MS + 1]
    far = START_MS + 5 * H
    rows = city.answer(1 * S, "stale", version=far)
    assert [row.step for row in rows] == [Step.LEASED]
    assert city.latest["node-1"].version == far + 1
    assert city.wants() == {"level": (0.2, H)}


def test_a_device_that_answers_every_lease_with_a_higher_version_gets_no_endless_stream(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    for n in range(20):
        city.answer(n * S, "stale", version=city.latest["node-1"].version + 1)
    assert len(city.leases) == 6


def test_a_device_that_holds_a_lease_we_never_made_is_freed(city: City) -> None:
    rows = city.answer(0, "applied", version=START_MS + H)
    assert [(row.step, row.target) for row in rows] == [(Step.LEASED, "")]
    assert city.latest["node-1"].version == START_MS + H + 1


# ------------------------------------------------------------------------------------------------ what devices say


def test_every_step_from_wish_to_confirmation_is_a_row(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.broker_has_it(1 * S)
    city.answer(2 * S)
    told = [row.step for row in city.decisions]
    assert told == [Step.WON, Step.LEASED, Step.SENT, Step.CONFIRMED]
    assert {row.version for row in city.decisions[1:]} == {START_MS}
    assert len({row.decision for row in city.decisions}) == 4
    assert city.answer(3 * S) == []


def test_an_answer_before_the_brokers_receipt_stays_and_the_receipt_is_still_noted(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.answer(1 * S)
    assert [row.step for row in city.broker_has_it(2 * S)] == [Step.SENT]
    assert city.latest["node-1"].state is Step.CONFIRMED


@pytest.mark.parametrize(
    ("result", "facts", "step", "why"),
    [
        ("refused", {"code": "over_limit"}, Step.REFUSED, "over_limit"),
        ("overridden", {"by": {"level": "interlock"}}, Step.OVERRIDDEN, "level by interlock"),
        ("expired", {"by": {"level": "schedule"}}, Step.EXPIRED, "level by schedule"),
    ],
)
def test_what_the_device_says_instead_is_told(
    city: City, result: str, facts: dict[str, Any], step: Step, why: str
) -> None:
    city.operator(0, "o", 0.4, H)
    rows = city.answer(1 * S, result, **facts)
    assert [(row.step, row.why) for row in rows] == [(step, why)]
    assert city.latest["node-1"].state is step
    assert city.states["o"].step in (Step.WON, Step.OVERRIDDEN), "the wish itself lives on"
    assert [row.step for row in city.answer(2 * S)] == [Step.CONFIRMED]


def test_words_about_an_older_lease_are_old_news(city: City) -> None:
    city.operator(0, "a", 0.1, H)
    city.operator(1 * S, "b", 0.2, H)
    assert city.answer(2 * S, "refused", version=START_MS, code="over_limit") == []
    assert city.latest["node-1"].state is Step.LEASED


@pytest.mark.parametrize("version", [-1, 2**60])
@pytest.mark.parametrize("result", ["applied", "nonsense", "sent"])
def test_nonsense_from_a_device_or_from_a_stranger_changes_nothing(city: City, version: int, result: str) -> None:
    city.operator(0, "o", 0.4, H)
    assert city.answer(1 * S, result, version=version) == []
    assert city.answer(1 * S, "nonsense") == []
    assert city.answer(1 * S, result, device="stranger") == []


# --------------------------------------------------------------------------------------------- freshness and faults


def test_a_stale_decision_moves_nothing(city: City) -> None:
    city.tick(10 * M)
    rows = city.put(Tick(listening=True), 10 * M, [by_rule("r", 10 * M - 190 * S)])
    assert [(row.step, row.why) for row in rows] == [(Step.VETOED, "stale: decided 190 s ago, fresh is 120 s")]
    assert city.leases == []


def test_a_decision_as_old_as_fresh_allows_still_counts(city: City) -> None:
    city.tick(10 * M)
    assert ("won", "r") in steps(city.put(Tick(listening=True), 10 * M, [by_rule("r", 8 * M)]))


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"target": "open"}, "street_light has no target open"),
        ({"assets": ("nowhere",)}, "no such asset is registered"),
        ({"to": float("nan")}, "is no number"),
        ({"rank": "rule"}, "unknown rank 'rule'"),
        ({"rank": "king"}, "unknown rank 'king'; known: maintenance, emergency, operator, event, schedule"),
    ],
)
def test_what_can_never_be_leased_is_vetoed_with_the_reason(city: City, wish: dict[str, object], why: str) -> None:
    fields: dict[str, object] = {"to": 0.5, "until": H, **wish}
    rows = city.operator(0, "o", **fields)  # type: ignore[arg-type]
    assert [row.step for row in rows] == [Step.VETOED]
    assert why in rows[0].why
    assert city.leases == []


def test_a_wish_that_came_after_its_end_is_expired(city: City) -> None:
    assert [row.step for row in city.operator(10 * M, "o", 0.5, 9 * M)] == [Step.EXPIRED]


def test_a_rules_wish_without_end_and_lease_is_vetoed(city: City) -> None:
    rows = city.rule(0, by_rule("r", 0, lease=None))
    assert [row.why for row in rows] == ["it has neither an end nor a lease: every lease expires"]


def test_a_value_out_of_range_is_clamped_and_told(city: City) -> None:
    rows = city.rule(0, by_rule("r", 0, 1.4))
    assert [(row.step, row.why) for row in rows][1] == (Step.CLAMPED, "level 1.4 is over its maximum 1")
    assert city.wants() == {"level": (1.0, H)}


def test_more_wishes_than_a_target_can_hold_are_vetoed(city: City) -> None:
    for n in range(64):
        city.operator(n * S, f"o{n}", 0.4, H)
    rows = city.operator(65 * S, "one-more", 0.4, H)
    assert [(row.step, row.why) for row in rows] == [
        (Step.VETOED, "64 intents wait for level already; withdraw some")
    ]  # fmt: skip


def test_an_illegal_event_is_an_error_and_changes_nothing(city: City) -> None:
    city.rule(0, by_rule("r", 0))
    entry = city.entries[-1][0]
    before = city.arbiter.snapshot()
    with pytest.raises(IllegalEvent, match="position 2 is not above 2"):
        city.arbiter.apply(entry)
    with pytest.raises(IllegalEvent, match="call apply"):
        city.arbiter.wish(type(entry)(3, entry.at_ms, entry.record), [], [])
    with pytest.raises(IllegalEvent, match="not its own"):
        city.arbiter.wish(entry, [by_rule("new", 0), by_rule("r", 0, asset="lamp-2")], [])
    assert city.arbiter.snapshot() == before


# --------------------------------------------------------------------------------------------------- the registry


def test_a_wish_for_an_asset_without_a_device_waits_for_one(city: City) -> None:
    city.lamp("node-1", "lamp-2")  # leaves lamp-1
    rows = city.operator(0, "o", 0.4, H)
    assert [(row.step, row.why) for row in rows] == [
        (Step.LOST, "no device is on the asset now; it waits for one")
    ]  # fmt: skip
    rows = city.lamp("node-9", "lamp-1")
    assert steps(rows) == [("won", "o"), ("leased", "o")]
    assert city.wants("node-9") == {"level": (0.4, H)}


def test_a_swapped_controller_is_freed_and_the_new_one_gets_what_rules_now(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.lamp("node-2", "lamp-1")
    assert city.wants("node-1") == {}
    assert city.wants("node-2") == {"level": (0.4, H)}
    assert city.lamp("node-2", "lamp-1") == []


def test_a_device_that_moves_gets_what_rules_at_its_new_place(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.lamp("node-1", "lamp-2")
    assert city.wants("node-1") == {}
    assert city.leases[-1].asset == "lamp-2"


def test_an_asset_that_becomes_another_kind_frees_its_device(city: City) -> None:
    city.operator(0, "o", 0.4, H)
    city.put(Registered(device="node-1", kind="waste_bin", commune="berkane", asset="lamp-1"))
    assert city.wants() == {}
    assert ("vetoed", "o") in steps(city.decisions)


# ---------------------------------------------------------------------------------------------------------- memory


def test_a_restored_arbiter_goes_on_as_the_one_before(city: City) -> None:
    city.rule(0, by_rule("r", 0, lease=30 * M))
    city.operator(1 * S, "o", 1.0, 10 * M)
    snapshot = city.arbiter.snapshot()
    twin = City()
    twin.arbiter.restore(snapshot)
    twin.position, twin.latest = city.position, dict(city.latest)
    for at in (10 * M, 30 * M, 31 * M):
        assert twin.tick(at) == city.tick(at)
    assert twin.arbiter.snapshot() == city.arbiter.snapshot()


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x81\xa4form\x63"])
def test_what_is_no_snapshot_is_refused_and_changes_nothing(city: City, junk: bytes) -> None:
    city.operator(0, "o", 0.4, H)
    with pytest.raises(SnapshotFault):
        city.arbiter.restore(junk)
    assert city.arbiter.ruling("lamp-1") == {"level": "o"}


def test_ended_intents_leave_memory(city: City) -> None:
    city.operator(0, "keep", 0.4, 9 * H)
    size = len(city.arbiter.snapshot())
    for n in range(50):
        city.rule(n * M, by_rule(f"r{n}", n * M))
        city.ends(n * M, f"r{n}")
    assert len(city.arbiter.snapshot()) < size + 64


def test_every_intents_rank_is_a_name_of_the_contract(city: City) -> None:
    rows = city.put(
        Wished(intent="e", assets=("lamp-1",), target="level", to=1.0, until_ms=START_MS + H, rank="emergency",
               reason="flood", by="civil protection"),
        0,
    )  # fmt: skip
    assert rows[0].step is Step.WON
    assert city.arbiter.ruling("lamp-1") == {"level": "e"}
    assert Rank.EMERGENCY > Rank.OPERATOR
