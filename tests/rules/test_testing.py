"""The rule tests that engineers write: they run on the real engine, and what fails says why."""

from rules.loader import load
from rules.testing import TestResult, run
from tests.rules.story import KINDS, SITE, rule, shipped_rules

HOT = rule("hot", "temperature_c > 60 degC", "for: 5m")
DIM = rule("dim", "power_w > 50 W", "where: {zone: old-town}", "set: {level: 50%}", "lease: 10m")


def told(expect: str, readings: str = "temperature_c: [61 x 8]") -> TestResult:
    text = f"""
tests:
  - name: told
    date: 2026-11-23
    devices: {{lamp-1: {{kind: street_light, zone: old-town}}, lamp-2: {{kind: street_light}}}}
    readings:
      lamp-1: {{from: 12:00, every: 1m, {readings}}}
    expect:
      - {{{expect}}}
"""
    (result,) = run({"hot.yaml": HOT, "dim.yaml": DIM}, {"hot.test.yaml": text}, KINDS, SITE)
    return result


def test_every_shipped_rule_passes_its_tests_on_both_sides() -> None:
    rules, tests = shipped_rules()
    results = run(rules, tests, KINDS, SITE)
    assert [failure for result in results for failure in result.failures] == []
    assert len(results) > 20


def test_every_shipped_rule_is_expected_to_act_and_not_to_act() -> None:
    rules, tests = shipped_rules()
    text = "\n".join(tests.values())
    names = [rule.name for rule in load(rules, KINDS, SITE).rules]
    assert len(names) >= 12
    for name in names:
        assert f" alarm: {name}" in text or f" intent: {name}" in text
        assert f"no_alarm: {name}" in text or f"no_intent: {name}" in text


def test_an_alarm_that_came_and_one_that_did_not_pass_and_fail() -> None:
    assert told("at: 12:05, alarm: hot").passed
    assert told("at: 12:04, no_alarm: hot").passed
    assert not told("at: 12:04, alarm: hot").passed
    assert not told("at: 12:05, no_alarm: hot").passed


def test_a_failure_says_what_was_expected_when_and_what_was_there() -> None:
    result = told("at: 12:03, alarm: hot, device: lamp-1")
    assert result.failures == (
        "hot.test.yaml:9: at 12:03 expected alarm hot on lamp-1; there was\n"
        "  lamp-1: pending; `when` is true: temperature_c 61 > 60 degC",
    )


def test_a_failure_names_the_rule_that_does_not_apply() -> None:
    assert "lamp-2: no intent; the rule does not apply here" in told("at: 12:03, intent: dim").failures[0]


def test_an_expectation_of_no_named_device_is_about_any_of_them() -> None:
    assert told("at: 12:05, alarm: hot").passed
    assert not told("at: 12:05, alarm: hot, device: lamp-2").passed
    assert told("at: 12:05, no_alarm: hot, device: lamp-2").passed


def test_an_intent_is_judged_by_its_value_too() -> None:
    power = "power_w: [60 x 4, 10 x 4]"
    assert told("at: 12:01, intent: dim, set: {level: 0.5}", power).passed
    assert not told("at: 12:01, intent: dim, set: {level: 0.6}", power).passed
    assert told("at: 12:04, no_intent: dim", power).passed


def test_one_value_alone_holds_for_all_readings_and_null_is_not_measured() -> None:
    assert told("at: 12:05, alarm: hot", "temperature_c: 61, level: [1.0 x 8]").passed
    assert not told("at: 12:05, alarm: hot", "temperature_c: [null x 8], level: [1.0 x 8]").passed


def test_hours_from_24_on_are_the_next_day() -> None:
    text = """
tests:
  - name: over midnight
    date: 2026-11-23
    devices: {lamp-1: {kind: street_light}}
    readings: {lamp-1: {from: 23:58, every: 1m, temperature_c: [61 x 10]}}
    expect:
      - {at: 24:02:50, no_alarm: hot}
      - {at: 24:03, alarm: hot}
"""
    assert run({"hot.yaml": HOT}, {"hot.test.yaml": text}, KINDS, SITE)[0].passed
