"""What rules set: targets that are held, runs of valves, and what ends them."""

from itertools import pairwise

from contract.decisions import IntentEnd, Rank, identify
from contract.records import Reading
from tests.rules.story import LATE, H, M, Story, at, rule, telemetry

SET_LEVEL = ("set: {level: 60%}", "lease: 30m")
RUN = ("set: {open: true}", "lease: 20m", "at_most: 3 per 1d")
DRY = "soil_moisture < 20%"


def lamp(when: str, *more: str) -> Story:
    story = Story(rule("dim", when, *(more or SET_LEVEL)), start_ms=at(12))
    story.register("lamp-1", "street_light")
    return story


def valve(when: str = DRY, *more: str, rest_s_min: float = 300.0) -> Story:
    story = Story(rule("water", when, *(more or RUN), kind="irrigation_valve"), start_ms=at(12))
    story.register("valve-1", "irrigation_valve", rest_s_min=rest_s_min)
    return story


# ------------------------------------------------------------------------------------------------ targets that are held


def test_a_set_is_raised_once_when_the_condition_turns_true_and_withdrawn_when_it_turns_false() -> None:
    story = lamp("power_w > 50 W")
    for minute, value in ((1, 60.0), (2, 70.0), (3, 40.0)):
        story.read("lamp-1", at(12, minute), power_w=value)
        story.ticks(at(12, minute, 50))
    (intent,) = story.intents
    assert intent.intent == identify("dim", "lamp-1", at(12, 1))
    assert (intent.asset, intent.target, intent.to, intent.rank) == ("lamp-1", "level", 0.6, Rank.RULE)
    assert (intent.decided_at_ms, intent.until_ms, intent.lease_ms) == (at(12, 1), None, 30 * M)
    assert (intent.reason, intent.by) == ("rule:dim", "dim")
    assert story.ends == [IntentEnd(intent=intent.intent, lapse=False)]


def test_unknown_lets_the_lease_run_out_and_true_again_sets_anew() -> None:
    story = lamp("power_w > 50 W")
    story.read("lamp-1", at(12), power_w=60.0)
    story.ticks(at(12, 45))
    assert story.ends == [IntentEnd(intent=story.intents[0].intent, lapse=True)]
    story.read("lamp-1", at(12, 50), power_w=60.0)
    assert [one.decided_at_ms for one in story.intents] == [at(12), at(12, 50)]
    assert len({one.intent for one in story.intents}) == 2


def test_false_after_unknown_withdraws_what_was_left_to_run_out() -> None:
    story = lamp("power_w > 50 W")
    story.read("lamp-1", at(12), power_w=60.0)
    story.ticks(at(12, 45))
    story.read("lamp-1", at(12, 46), power_w=10.0)
    intent = story.intents[0].intent
    assert story.ends == [IntentEnd(intent=intent, lapse=True), IntentEnd(intent=intent, lapse=False)]


def test_a_set_with_for_waits() -> None:
    story = lamp("power_w > 50 W", "for: 5m", *SET_LEVEL)
    story.read("lamp-1", at(12), power_w=60.0)
    story.ticks(at(12, 4, 50))
    assert not story.intents
    story.tick(at(12, 5))
    assert [one.decided_at_ms for one in story.intents] == [at(12, 5)]


def test_a_late_reading_never_moves_anything_not_even_at_the_next_tick() -> None:
    for when in ("power_w > 50 W", "max(power_w, 1h) > 50 W", "age(power_w) < 1h", "count(power_w, 1h) >= 1"):
        story = lamp(when)
        story.tick(at(12, 20))
        story.read("lamp-1", at(12, 10), arrived_ms=at(12, 20), quality=LATE, power_w=60.0)
        story.ticks(at(12, 30))
        assert not story.intents, when
        story.read("lamp-1", at(12, 31), power_w=60.0)
        assert [one.decided_at_ms for one in story.intents] == [at(12, 31)], when


def test_a_late_reading_does_not_withdraw_anything_either() -> None:
    story = lamp("max(power_w, 1h) < 50 W")
    story.read("lamp-1", at(12, 20), power_w=10.0)
    assert len(story.intents) == 1
    story.read("lamp-1", at(12, 10), arrived_ms=at(12, 21), quality=LATE, power_w=60.0)
    story.ticks(at(12, 30))
    assert not story.ends


def test_readings_that_came_in_time_decide_even_beside_late_ones() -> None:
    story = lamp("power_w > 50 W")
    readings = (Reading(1, at(11), {"power_w": 10.0}, LATE), Reading(2, at(12, 1), {"power_w": 60.0}))
    story.apply(telemetry("lamp-1", "street_light", *readings), at(12, 1, 5))
    assert [one.decided_at_ms for one in story.intents] == [at(12, 1)]


def test_a_reading_older_than_the_last_tick_is_judged_at_the_tick() -> None:
    story = lamp("power_w > 50 W")
    story.tick(at(12, 1))
    story.read("lamp-1", at(12, 0, 58), arrived_ms=at(12, 1, 1), power_w=60.0)
    assert [one.decided_at_ms for one in story.intents] == [at(12, 1)]


# ------------------------------------------------------------------------------------------------------- runs of valves


def dry(story: Story, until_ms: int, value: float = 0.1) -> None:
    """A reading every ten minutes, and ticks between them."""
    while story.now_ms + 10 * M <= until_ms:
        story.read("valve-1", story.now_ms + 10 * M, soil_moisture=value)
        story.ticks(story.now_ms + 9 * M)
        story.now_ms -= story.now_ms % (10 * M)


def test_a_run_ends_by_itself_and_is_one_intent() -> None:
    story = valve()
    story.read("valve-1", at(12, 1), soil_moisture=0.1)
    story.ticks(at(12, 20))
    (intent,) = story.intents
    assert (intent.decided_at_ms, intent.until_ms, intent.lease_ms) == (at(12, 1), at(12, 21), None)
    assert (intent.target, intent.to) == ("open", 1.0)
    assert not story.ends


def test_runs_follow_after_the_valves_rest_and_within_at_most() -> None:
    story = valve(rest_s_min=600.0)
    dry(story, at(20))
    starts = [one.decided_at_ms for one in story.intents]
    assert len(starts) == 3
    assert all(later - earlier == 30 * M for earlier, later in pairwise(starts))


def test_at_most_counts_in_a_sliding_window() -> None:
    story = valve(DRY, "set: {open: true}", "lease: 20m", "at_most: 1 per 2h", rest_s_min=0.0)
    dry(story, at(17))
    starts = [one.decided_at_ms for one in story.intents]
    assert starts == [starts[0], starts[0] + 2 * H, starts[0] + 4 * H]


def test_at_most_counts_runs_of_conditions_that_come_and_go() -> None:
    story = valve(rest_s_min=0.0)
    for minute in range(0, 60, 2):
        story.read("valve-1", at(12, minute), soil_moisture=0.1)
        story.read("valve-1", at(12, minute + 1), soil_moisture=0.5)
    assert len(story.intents) == 3
    assert [end.intent for end in story.ends] == [one.intent for one in story.intents]


def test_a_run_that_was_cut_short_rests_before_the_next() -> None:
    story = valve(rest_s_min=600.0)
    for minute, value in ((0, 0.1), (2, 0.5), (3, 0.1), (11, 0.1), (12, 0.1)):
        story.read("valve-1", at(12, minute), soil_moisture=value)
    assert [one.decided_at_ms for one in story.intents] == [at(12), at(12, 12)]


def test_unknown_lets_a_run_finish_and_starts_no_other() -> None:
    story = valve()
    story.read("valve-1", at(12), soil_moisture=0.1)
    story.status("valve-1", period_s=60)
    story.ticks(at(14))
    assert len(story.intents) == 1
    assert not story.ends


def test_editing_a_rule_does_not_forget_the_runs_of_the_day() -> None:
    story = valve(rest_s_min=0.0)
    dry(story, at(14))
    assert len(story.intents) == 3
    story.load(rule("water", "soil_moisture < 21%", *RUN, kind="irrigation_valve"))
    dry(story, at(20))
    assert len(story.intents) == 3


# -------------------------------------------------------------------------------------- rules, registrations, devices


def test_rules_that_did_not_change_keep_what_they_know_at_a_reload() -> None:
    text = rule("dim", "power_w > 50 W", *SET_LEVEL)
    story = lamp("power_w > 50 W")
    story.read("lamp-1", at(12), power_w=60.0)
    outcome = story.load(rule("other", "temperature_c > 60 degC"), "# moved to another file\n" + text)
    assert not outcome
    story.ticks(at(12, 5))
    assert len(story.intents) == 1
    assert not story.ends


def test_a_rule_that_is_removed_withdraws_what_it_set_and_resolves_its_alarms() -> None:
    story = Story(rule("dim", "power_w > 50 W", *SET_LEVEL), rule("much", "power_w > 50 W"), start_ms=at(12))
    story.register("lamp-1", "street_light")
    story.read("lamp-1", at(12), power_w=60.0)
    outcome = story.load(rule("other", "temperature_c > 60 degC"))
    assert outcome.ends == [IntentEnd(intent=story.intents[0].intent, lapse=False)]
    assert [(alarm.state, alarm.resolved_at_ms) for alarm in outcome.alarms] == [("resolved", at(12))]


def test_an_edited_rule_starts_anew() -> None:
    story = lamp("power_w > 50 W")
    story.read("lamp-1", at(12), power_w=60.0)
    outcome = story.load(rule("dim", "power_w > 55 W", *SET_LEVEL))
    assert [end.lapse for end in outcome.ends] == [False]
    story.tick(at(12, 0, 10))
    assert [one.decided_at_ms for one in story.intents] == [at(12), at(12, 0, 10)]


def test_where_is_decided_by_labels_and_settings_and_a_change_of_them_counts() -> None:
    story = lamp("power_w > 50 W", "where: {zone: old-town, lighting_class: [m3, m4]}", *SET_LEVEL)
    story.register("lamp-2", "street_light", zone="old-town", lighting_class="m5")
    for name in ("lamp-1", "lamp-2"):
        story.read(name, at(12), power_w=60.0)
    assert not story.intents
    story.register("lamp-2", "street_light", zone="old-town", lighting_class="m3")
    story.tick(at(12, 0, 10))
    assert [one.asset for one in story.intents] == ["lamp-2"]
    outcome = story.register("lamp-2", "street_light", zone="harbour", lighting_class="m3")
    assert [end.intent for end in outcome.ends] == [story.intents[0].intent]


def test_a_changed_setting_holds_from_the_next_evaluation_on() -> None:
    story = lamp("power_w > rated_power_w")
    story.read("lamp-1", at(12), power_w=65.0)
    assert len(story.intents) == 1
    story.register("lamp-1", "street_light", rated_power_w=90.0)
    story.tick(at(12, 0, 10))
    assert [end.lapse for end in story.ends] == [False]


def test_an_asset_keeps_its_state_when_its_device_is_swapped() -> None:
    story = Story(rule("much", "power_w > 50 W", "for: 10m"), start_ms=at(12))
    story.register("lamp-1", "street_light", asset="pole-7")
    story.read("pole-7", at(12), power_w=60.0)
    story.register("lamp-2", "street_light", asset="pole-7")
    story.ticks(at(12, 10))
    assert [alarm.state for alarm in story.alarms] == ["pending", "firing"]
    assert [alarm.device for alarm in story.alarms] == ["lamp-1", "lamp-2"]


def test_an_asset_that_lost_its_device_is_judged_no_more() -> None:
    story = lamp("power_w > 50 W")
    story.read("lamp-1", at(12), power_w=60.0)
    outcome = story.register("lamp-1", "street_light", asset="pole-9")
    assert [end.intent for end in outcome.ends] == [story.intents[0].intent]
    story.ticks(at(13))
    assert len(story.intents) == 1
