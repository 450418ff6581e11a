"""What a form of the console is refused with is told in the reader's language; what is not known is not hidden."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from console import acts
from console.language import languages
from console.platform import Platform
from console.problems import Problem
from console.refusals import PATTERNS, refusal, refusals
from contract.kind_file import load_kinds
from contract.ports import LogFull
from contract.records import Record
from tests.console.demo_platform import START_MS, DemoCity

MINUTE_MS = 60_000
KINDS = load_kinds()
Act = Callable[[Platform], Awaitable[object]]


def registering(**given: object) -> Act:
    facts: dict[str, object] = {
        "device": "lamp-new-1", "kind": "street_light", "commune": "berkane", "by": "Amina",
        "settings": {"rated_power_w": 60.0},
    }  # fmt: skip
    return lambda platform: acts.register(platform, acts.Registration(**(facts | given)))  # type: ignore[arg-type]


def wishing(scope: acts.Scope | None = None, **given: object) -> Act:
    facts: dict[str, object] = {
        "target": "open", "to": 1.0, "until_ms": START_MS + 10 * MINUTE_MS, "reason": "new trees", "by": "Amina"
    }  # fmt: skip
    scope = scope or acts.Scope(asset="valve-001")
    return lambda platform: acts.wish(platform, acts.Wish(scope=scope, **(facts | given)))  # type: ignore[arg-type]


REFUSED: tuple[tuple[str, Act], ...] = (
    ("missing", registering(by=" ")),
    ("missing", wishing(reason="", by="")),
    ("missing", lambda platform: acts.acknowledge(platform, "x", "")),
    ("too_long", registering(name="x" * 65)),
    ("too_long", wishing(reason="x" * 201)),
    ("not_chosen", registering(kind="", commune="")),
    ("not_chosen", registering(zone="moon")),
    ("asset_id", registering(asset="Pole 1")),
    ("setting_below", registering(settings={"rated_power_w": -1.0})),
    ("setting_above", registering(settings={"rated_power_w": 1e9})),
    ("setting_number", registering(settings={"rated_power_w": 1e16})),
    ("setting_number", registering(settings={"rated_power_w": "much"})),
    ("setting_text", registering(settings={"rated_power_w": 60.0, "circuit": "c" * 65})),
    ("setting_text", registering(settings={"rated_power_w": 60.0, "circuit": "a\nb"})),
    ("setting_choice", registering(settings={"rated_power_w": 60.0, "lighting_class": "x9"})),
    ("too_long_run", wishing(until_ms=START_MS + 240 * MINUTE_MS)),
    ("ended_already", wishing(until_ms=START_MS - 1)),
    ("outside", wishing(acts.Scope(asset="pole-001"), target="level", to=2.0)),
    ("nothing_there", wishing(acts.Scope(kind="irrigation_valve", zone="moon"))),
    ("no_asset", wishing(acts.Scope(asset="valve-999"))),
    ("no_alarm", lambda platform: acts.acknowledge(platform, "x", "Amina")),
    ("no_intent", lambda platform: acts.withdraw(platform, "x", "Amina")),
    ("other_kind", registering(device="bin-001")),
)
WRITTEN = {  # of those that a city of fakes does not come to, the sentence as it is written
    "setting_missing": "settings.rated_power_w: missing; street_light needs it (Rated power)",
    "setting_whole": "settings.rated_power_w: 1.5 is not a whole number",
    "limit_not_set": "open: open_s_max is not set for this device; register it again with open_s_max",
    "too_many": "selector: matches 6000 assets, more than 5000; narrow it by zone or circuit",
    "alarm_pending": "the alarm is pending: it has not fired yet, so there is nothing to acknowledge",
    "rules_wish": "rule:lights_by_sun wished it: a rule's wish lives while its condition holds; outrank it",
    "undecided": "kept, but not decided within 20 s; the health page shows what is behind",
    "log_full": "the log is full, so nothing can be kept: 4000000000 bytes in use",
    "log_unwritable": "the log cannot be written: No space left on device",
}


def problem_of(city: DemoCity, act: Act) -> Problem:
    async def run() -> None:
        await act(city.platform())

    with pytest.raises(Problem) as refused:
        asyncio.run(run())
    return refused.value


def test_every_refusal_is_tried_here() -> None:
    assert {word for word, _ in REFUSED} | set(WRITTEN) == {word for word, _ in PATTERNS}


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize(("word", "act"), REFUSED)
def test_a_refused_form_says_why_in_the_readers_language(city: DemoCity, word: str, act: Act, code: str) -> None:
    problem = problem_of(city, act)
    language = languages()[code]
    said = refusals(language, KINDS, problem.faults or [problem.detail])
    beginning = language.texts[f"refusal.{word}"]
    assert isinstance(beginning, str)
    for sentence, written in said:
        assert sentence != written, f"no words for {written!r}"
    words = max(beginning.replace("{", "}").split("}")[::2], key=len)
    assert any(words in sentence for sentence, _ in said), said


@pytest.mark.parametrize("code", ["ar", "fr", "en"])
@pytest.mark.parametrize("word", WRITTEN)
def test_a_rare_refusal_is_told_in_the_readers_language_too(word: str, code: str) -> None:
    said = refusal(languages()[code], KINDS, WRITTEN[word])
    assert said
    assert said != WRITTEN[word]
    assert "{" not in said


def test_a_refusal_names_settings_and_limits_as_the_form_does() -> None:
    below = "settings.rated_power_w: 1.0 W is below the minimum 5"
    assert refusal(languages()["fr"], KINDS, below) == "Puissance nominale\u00a0: au moins 5\u00a0W."
    long = "until: 2026-11-23T22:20:00Z is 14400 s from now, over open_s_max 1800 s; ask for 18:49 at the latest"
    assert refusal(languages()["en"], KINDS, long) == (
        "Too long: “Longest run” of this device is 30 minutes. Ask for fewer minutes."
    )


def test_what_is_wrong_with_one_field_is_said_once(city: DemoCity) -> None:
    faults = problem_of(city, wishing(reason="", by="")).faults
    assert [fault.partition(":")[0] for fault in faults] == ["reason", "by"]


def test_an_unknown_refusal_is_not_hidden() -> None:
    assert refusals(languages()["ar"], KINDS, ["the moon is full"]) == [("the moon is full", "the moon is full")]


def test_a_full_log_is_a_refusal_and_no_silence(city: DemoCity) -> None:
    async def full(_: Record) -> int:
        raise LogFull("4000000000 bytes in use, the store is behind")

    city.refuse = full
    problem = problem_of(city, registering())
    assert problem.word == "unavailable"
    assert problem.headers["Retry-After"] == "30"
    assert "السجل ممتلئ" in str(refusal(languages()["ar"], KINDS, problem.detail))
