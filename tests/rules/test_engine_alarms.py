"""Alarms over time: `for`, `keep_for`, unknown values, late readings, windows and silence."""

import msgspec
import pytest

from contract.decisions import AlarmState, identify
from contract.records import Quality, Reading, RulesLoaded
from rules.engine import Engine
from tests.rules.story import KINDS, LATE, SITE, H, M, S, Story, at, rule, telemetry

PENDING, FIRING, RESOLVED = AlarmState.PENDING, AlarmState.FIRING, AlarmState.RESOLVED


def lamp(*texts: str) -> Story:
    story = Story(*texts, start_ms=at(12))
    story.register("lamp-1", "street_light")
    return story


def test_an_alarm_without_for_fires_at_the_reading_and_resolves_at_the_reading() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.read("lamp-1", at(12, 1), temperature_c=61.0)
    story.read("lamp-1", at(12, 2), temperature_c=62.0)
    story.read("lamp-1", at(12, 3), temperature_c=40.0)
    assert story.states() == [FIRING, RESOLVED]
    fired, resolved = story.alarms
    assert fired.alarm == resolved.alarm == identify("hot", "lamp-1", at(12, 1))
    assert (resolved.since_ms, resolved.fired_at_ms, resolved.resolved_at_ms) == (at(12, 1), at(12, 1), at(12, 3))


def test_for_fires_at_the_first_tick_at_or_after_its_end_and_is_pending_before() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC", "for: 5m"))
    story.read("lamp-1", at(12, 0, 3), temperature_c=61.0)
    story.now_ms = at(12)
    story.ticks(at(12, 5))
    assert story.states() == [PENDING]
    story.tick(at(12, 5, 10))
    assert story.states() == [PENDING, FIRING]
    assert story.alarms[-1].since_ms == at(12, 0, 3)
    assert story.alarms[-1].fired_at_ms == at(12, 5, 10)


def test_for_fires_at_a_reading_that_comes_before_the_tick() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC", "for: 5m"))
    story.read("lamp-1", at(12), temperature_c=61.0)
    story.read("lamp-1", at(12, 5, 4), temperature_c=61.0)
    assert story.alarms[-1].fired_at_ms == at(12, 5, 4)


def test_a_pending_alarm_whose_condition_ends_resolves_without_having_fired() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC", "for: 5m"))
    story.read("lamp-1", at(12), temperature_c=61.0)
    story.read("lamp-1", at(12, 4), temperature_c=50.0)
    story.ticks(at(12, 30))
    assert story.states() == [PENDING, RESOLVED]
    assert story.alarms[-1].fired_at_ms is None


def test_a_change_is_told_once() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    for minute in range(10):
        story.read("lamp-1", at(12, minute), temperature_c=61.0 + minute)
        story.ticks(at(12, minute, 50))
    assert story.states() == [FIRING]


def test_unknown_stops_the_clock_of_for_and_does_not_reset_it() -> None:
    """True for thirty minutes (two periods), unknown from 12:36 on, true again at 13:00: ten minutes remain."""
    story = lamp(rule("hot", "temperature_c > 60 degC", "for: 40m"))
    story.read("lamp-1", at(12, 6), temperature_c=61.0)
    story.ticks(at(13))
    assert story.states() == [PENDING]
    story.read("lamp-1", at(13), temperature_c=61.0)
    story.ticks(at(13, 9, 50))
    assert story.states() == [PENDING]
    story.ticks(at(13, 10, 10))
    assert story.states() == [PENDING, FIRING]


def test_a_metric_older_than_two_periods_is_unknown_and_an_alarm_stays_as_it_is() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.read("lamp-1", at(12), temperature_c=61.0)
    story.ticks(at(14))
    assert story.states() == [FIRING]
    assert story.engine.explain("hot", "lamp-1") == (None, "temperature_c unknown > 60 degC")


def test_the_period_of_the_birth_says_when_a_value_is_too_old() -> None:
    story = lamp(rule("cold", "temperature_c < 0 degC"))
    story.status("lamp-1", period_s=60)
    story.read("lamp-1", at(12), temperature_c=-1.0)
    story.tick(at(12, 2))
    assert story.engine.explain("cold", "lamp-1")[0] is True
    story.tick(at(12, 2, 10))
    assert story.engine.explain("cold", "lamp-1")[0] is None


def test_keep_for_keeps_the_same_alarm_through_a_gap_and_then_lets_it_go() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC", "keep_for: 5m"))
    for minute, value in ((0, 61.0), (1, 50.0), (4, 61.0), (6, 50.0)):
        story.read("lamp-1", at(12, minute), temperature_c=value)
    story.ticks(at(12, 10, 50))
    assert story.states() == [FIRING]
    story.tick(at(12, 11))
    assert story.states() == [FIRING, RESOLVED]


def test_an_alarm_says_what_it_saw() -> None:
    story = lamp(rule("failed", "level > 0.2 and power_w < 0.5 * rated_power_w * level"))
    story.read("lamp-1", at(12), level=1.0, power_w=0.0)
    assert story.alarms[0].because == "level 1 > 0.2 and power_w 0 < 30"


def test_a_late_reading_raises_an_alarm_at_the_next_tick_and_not_by_itself() -> None:
    story = lamp(rule("hot", "max(temperature_c, 1h) > 60 degC"))
    story.read("lamp-1", at(12, 20), temperature_c=40.0)
    outcome = story.read("lamp-1", at(12, 5), arrived_ms=at(12, 21), quality=LATE, temperature_c=70.0)
    assert not outcome
    story.tick(at(12, 21, 10))
    assert story.states() == [FIRING]
    assert story.alarms[0].since_ms == at(12, 21, 10)


def test_a_late_reading_resolves_an_alarm_that_it_proves_wrong() -> None:
    story = lamp(rule("few", "count(level, 1h) < 2"))
    story.read("lamp-1", at(12, 20), level=1.0)
    assert story.states() == [FIRING]
    story.read("lamp-1", at(12, 10), arrived_ms=at(12, 21), quality=LATE, level=1.0)
    story.tick(at(12, 21, 10))
    assert story.states() == [FIRING, RESOLVED]


def test_windows_go_by_event_time_and_let_readings_go_at_their_edge() -> None:
    story = lamp(rule("high", "avg(power_w, 10m) > 50 W"))
    story.read("lamp-1", at(12), power_w=100.0)
    story.read("lamp-1", at(12, 5), power_w=20.0)
    assert story.engine.explain("high", "lamp-1") == (True, "avg(power_w, 10m) 60 > 50 W")
    story.tick(at(12, 9, 50))
    assert story.engine.explain("high", "lamp-1")[0] is True
    story.tick(at(12, 10))
    assert story.engine.explain("high", "lamp-1") == (False, "avg(power_w, 10m) 20 > 50 W")
    story.tick(at(12, 15))
    assert story.engine.explain("high", "lamp-1") == (None, "avg(power_w, 10m) unknown > 50 W")


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        ("min(power_w, 10m)", "10"), ("max(power_w, 10m)", "40"), ("sum(power_w, 10m)", "80"),
        ("avg(power_w, 10m)", "26.667"), ("count(power_w, 10m)", "3"), ("last(power_w, 10m)", "30"),
    ],
)  # fmt: skip
def test_each_window_function_over_three_readings(window: str, shown: str) -> None:
    story = lamp(rule("any", f"{window} > 20"))
    for minute, value in ((0, 10.0), (1, 40.0), (2, 30.0)):
        story.read("lamp-1", at(12, minute), power_w=value)
    assert story.engine.explain("any", "lamp-1")[1] == f"{window} {shown} > 20"


def test_the_last_word_in_a_window_outlives_two_periods() -> None:
    story = lamp(rule("by_hand", "last(level_by, 2h) == local"))
    story.read("lamp-1", at(12), level_by="local")
    story.tick(at(13, 30))
    assert story.engine.explain("by_hand", "lamp-1")[0] is True


def test_a_reading_older_than_the_newest_value_does_not_replace_it() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.read("lamp-1", at(12, 1), temperature_c=61.0)
    story.read("lamp-1", at(12, 0, 30), arrived_ms=at(12, 1, 5), temperature_c=20.0)
    assert story.states() == [FIRING]


def test_a_clock_that_runs_ahead_decides_at_the_time_its_reading_was_written() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.read("lamp-1", at(12, 5), arrived_ms=at(12, 1), temperature_c=61.0)
    assert story.alarms[0].since_ms == at(12, 1)


def test_age_is_the_time_since_the_metric_was_measured_and_unknown_when_never() -> None:
    story = lamp(rule("old", "age(tilt_deg) > 2h"))
    story.tick(at(12))
    assert story.engine.explain("old", "lamp-1")[0] is None
    story.read("lamp-1", at(12, 1), tilt_deg=1.0)
    story.tick(at(14, 1))
    assert story.engine.explain("old", "lamp-1")[0] is False
    story.tick(at(14, 1, 10))
    assert story.engine.explain("old", "lamp-1")[0] is True


# ----------------------------------------------------------------------------------------------------------- silence


def silent(story: Story) -> bool | None:
    return story.engine.explain("mute", "lamp-1")[0]


def test_silence_counts_from_the_last_that_was_heard() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(12, 10))
    story.read("lamp-1", at(12, 10, 4), level=1.0)
    story.tick(at(12, 10, 10))
    story.ticks(at(13, 10))
    assert silent(story) is False
    story.tick(at(13, 10, 10))
    assert silent(story) is True
    story.read("lamp-1", at(13, 20), level=1.0)
    assert story.states() == [FIRING, RESOLVED]


def test_a_late_reading_ends_silence_because_it_was_heard() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(14))
    story.read("lamp-1", at(11), arrived_ms=at(14), quality=LATE, level=1.0)
    story.tick(at(14, 0, 10))
    assert silent(story) is False


def test_a_replayed_reading_ends_no_silence_because_it_was_said_long_ago() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(14))
    reading = Reading(900, at(11), {"level": 1.0}, LATE)
    story.apply(msgspec.structs.replace(telemetry("lamp-1", "street_light", reading), came_at_ms=at(11)), at(14))
    story.tick(at(14, 0, 10))
    assert silent(story) is True


def test_a_device_that_was_never_heard_is_silent_from_its_registration() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(12, 50))
    assert silent(story) is False
    story.ticks(at(13, 1))
    assert silent(story) is True


def test_time_in_which_the_platform_did_not_listen_is_no_silence() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(12, 30))
    story.ticks(at(14), listening=False)
    story.ticks(at(14, 29))
    assert silent(story) is False
    story.ticks(at(14, 31))
    assert silent(story) is True


def test_a_hole_between_ticks_is_no_silence() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(12, 30))
    story.tick(at(18))
    story.ticks(at(18, 29))
    assert silent(story) is False
    story.ticks(at(18, 31))
    assert silent(story) is True


def test_in_a_city_that_runs_fast_ticks_are_longer_and_silence_counts_all_the_same() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(13), every_ms=3 * M)
    story.read("lamp-1", at(13, 2), level=1.0)
    story.ticks(at(13, 59), every_ms=3 * M)
    assert silent(story) is False
    story.ticks(at(14, 2), every_ms=3 * M)
    assert silent(story) is True


def test_a_device_that_said_it_sleeps_is_not_silent_until_it_should_be_awake() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.tick(at(12))
    story.status("lamp-1", asleep_until_ms=at(15))
    story.ticks(at(15, 59))
    assert silent(story) is False
    story.ticks(at(16, 1))
    assert silent(story) is True


def test_a_will_is_not_a_sign_of_life() -> None:
    story = lamp(rule("mute", "silent(1h)"))
    story.ticks(at(12, 50))
    story.status("lamp-1", online=False)
    story.ticks(at(13, 1))
    assert silent(story) is True


# ------------------------------------------------------------------------------------------------- time and weather


def test_between_is_local_time_wraps_midnight_and_leaves_its_end_out() -> None:
    story = lamp(rule("night", "between(20:00, 06:00)"))
    for hour, minute, second, expected in (
        (19, 59, 50, False), (20, 0, 0, True), (29, 59, 50, True), (30, 0, 0, False),
    ):  # fmt: skip
        story.tick(at(hour % 24, minute, second, day=23 + hour // 24))
        assert story.engine.explain("night", "lamp-1")[0] is expected


def test_weekday_is_the_local_day() -> None:
    story = lamp(rule("monday", "weekday(monday)"))  # 23 November 2026 is a Monday
    for moment, expected in (
        (at(0), True),
        (at(23, 59, 50), True),
        (at(0, day=24), False),
    ):
        story.tick(moment)
        assert story.engine.explain("monday", "lamp-1")[0] is expected


def test_the_sun_sets_over_berkane() -> None:
    story = lamp(rule("dark", "sun.elevation < -0.833 deg"))
    story.tick(at(17, 57))
    assert story.engine.explain("dark", "lamp-1")[0] is False
    story.tick(at(18, 3))
    assert story.engine.explain("dark", "lamp-1")[0] is True


def weather(story: Story) -> Story:
    story.register("station", "weather_station")
    return story


def test_rain_is_the_growth_of_the_counter_over_a_day() -> None:
    story = weather(lamp(rule("wet", "weather.rain_24h_mm >= 2 mm")))
    for hours, counter in ((0, 10_000.0), (1, 11_000.0), (2, 12_500.0)):
        story.read("station", at(12) + hours * H, rain_um=counter)
    story.tick(at(14, 0, 10))
    assert story.engine.explain("wet", "lamp-1") == (True, "weather.rain_24h_mm 2.5 >= 2 mm")
    for minutes in range(150, 24 * 60 + 65, 10):
        story.read("station", at(12) + minutes * M, rain_um=12_500.0)
    story.tick(at(13, 4, day=24))
    assert story.engine.explain("wet", "lamp-1") == (False, "weather.rain_24h_mm 1.5 >= 2 mm")


def test_a_rain_gauge_that_was_replaced_starts_from_zero() -> None:
    story = weather(lamp(rule("wet", "weather.rain_24h_mm >= 2 mm")))
    for minutes, counter in ((0, 50_000.0), (10, 50_400.0), (20, 0.0), (30, 600.0)):
        story.read("station", at(12) + minutes * M, rain_um=counter)
    story.tick(at(12, 31))
    assert story.engine.explain("wet", "lamp-1")[1] == "weather.rain_24h_mm 1 >= 2 mm"


def test_weather_is_that_of_the_station_heard_last_and_unknown_when_it_is_old() -> None:
    story = weather(lamp(rule("frost", "weather.air_temperature_c < 3 degC")))
    story.register("station-2", "weather_station")
    story.read("station", at(12), air_temperature_c=1.0)
    story.read("station-2", at(12, 1), air_temperature_c=9.0)
    story.tick(at(12, 1, 10))
    assert story.engine.explain("frost", "lamp-1")[0] is False
    story.read("station", at(12, 2), air_temperature_c=2.0)
    story.tick(at(12, 2, 10))
    assert story.engine.explain("frost", "lamp-1")[0] is True
    story.tick(at(12, 22, 10))
    assert story.engine.explain("frost", "lamp-1")[0] is None


# --------------------------------------------------------------------------------------------------- trouble and bounds


def test_a_rule_that_raises_is_named_broken_and_the_others_go_on() -> None:
    story = lamp(rule("breaks", "power_w > 5 W"), rule("goes_on", "temperature_c > 60 degC"))
    story.apply(telemetry("lamp-1", "street_light", Reading(1, at(12), {"power_w": "much", "temperature_c": 70.0})))
    assert story.states("goes_on") == [FIRING]
    info = {one["name"]: one for one in story.engine.describe()}
    assert "lamp-1: TypeError" in info["breaks"]["broken"]
    assert info["goes_on"]["broken"] == ""
    assert story.engine.counts()["rule_failures"] == 1


def test_windows_are_bounded_and_what_they_drop_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.series.READINGS_MAX", 10)
    story = lamp(rule("many", "count(power_w, 1d) > 10"))
    for second in range(15):
        story.read("lamp-1", at(12) + second * S, power_w=1.0)
    assert story.engine.explain("many", "lamp-1")[1] == "count(power_w, 1d) 10 > 10"
    assert story.engine.counts()["window_readings_dropped"] == 5


def test_readings_of_an_asset_nobody_registered_decide_nothing_and_are_counted() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.apply(telemetry("lamp-9", "street_light", Reading(1, at(12), {"temperature_c": 70.0})))
    assert not story.alarms
    assert story.engine.counts()["unregistered"] == 1


def test_rules_that_do_not_load_leave_the_old_ones_in_force_and_say_so() -> None:
    story = lamp(rule("hot", "temperature_c > 60 degC"))
    story.apply(RulesLoaded(digest="", files={"bad.yaml": rule("hot", "temperatur_c > 60 degC")}))
    assert "bad.yaml:5:11" in story.engine.refused
    story.read("lamp-1", at(12, 1), temperature_c=61.0)
    assert story.states() == [FIRING]


def test_an_engine_without_rules_decides_nothing() -> None:
    story = Story(start_ms=at(12), engine=Engine(KINDS, SITE))
    story.register("lamp-1", "street_light")
    story.read("lamp-1", at(12), level=1.0)
    story.tick(at(12, 0, 10))
    assert (story.alarms, story.intents, story.ends) == ([], [], [])


def doubting() -> Story:
    hot, mean = "temperature_c > 60 degC", "avg(temperature_c, 10m) > 60 degC"
    return lamp(
        rule("hot", hot),
        rule("mean", mean),
        rule("hot_in_doubt", hot, "doubtful: true"),
        rule("mean_in_doubt", mean, "doubtful: true"),
        rule("drawing", "power_w > 50"),
    )


def test_values_that_are_not_credible_count_only_for_a_rule_that_asks_for_them() -> None:
    """The other values of the same reading count as ever: nobody said how fast a power may change."""
    story = doubting()
    outcome = story.read("lamp-1", at(12), quality=int(Quality.RATE), temperature_c=80.0, power_w=90.0)
    assert {alarm.rule for alarm in outcome.alarms} == {"hot_in_doubt", "mean_in_doubt", "drawing"}
    restored = Engine(KINDS, SITE)
    restored.restore(story.engine.snapshot())
    story.engine = restored
    outcome = story.read("lamp-1", at(12, 1), temperature_c=70.0)
    assert {alarm.rule for alarm in outcome.alarms} == {"hot", "mean"}
    outcome = story.read("lamp-1", at(12, 2), quality=int(Quality.RATE), temperature_c=-30.0)
    assert {(alarm.rule, alarm.state) for alarm in outcome.alarms} == {
        ("hot_in_doubt", RESOLVED), ("mean_in_doubt", RESOLVED)
    }  # fmt: skip


def test_a_reading_whose_time_is_not_known_is_seen_by_no_rule() -> None:
    outcome = doubting().read("lamp-1", at(12), quality=int(Quality.DATED_ROUGHLY), temperature_c=80.0, power_w=90.0)
    assert outcome.alarms == []
