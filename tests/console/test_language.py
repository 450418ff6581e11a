"""Three languages, complete; nothing on a page is written in the code."""

import ast
import re
import string
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from console.because import BOUNDS, because
from console.conditions import Condition
from console.explain import PATTERNS, explain
from console.language import PLURALS, Language, languages, plural, read_texts, utc_offset
from console.live import Contact
from console.refusals import PATTERNS as REFUSALS
from contract.decisions import AlarmState, Rank, Severity, Step
from contract.kind import LANGUAGES
from contract.kind_file import load_kinds
from contract.over_limit import WHATS
from contract.records import Quality

CONSOLE = Path(str(files("console")))
SOURCES = sorted(CONSOLE.rglob("*.py"))
ZONE = ZoneInfo("Africa/Casablanca")
WORDS = {  # families whose members come from outside the texts
    "step": tuple(Step),
    "severity": tuple(Severity),
    "alarm_state": tuple(AlarmState),
    "condition": (*Condition, "open", "closed"),
    "contact": tuple(Contact),
    "rank": tuple(rank.name.lower() for rank in Rank),
    "quality": tuple(str(flag.name).lower() for flag in Quality if flag),
    "because": ("silent", "sun", "min", "max", "avg", "count", *BOUNDS.values()),
    "why": tuple(word for word, _ in PATTERNS),
    "refusal": tuple(word for word, _ in REFUSALS),
    "wire": ("not_json", "too_large", "bad_topic", "missing_key", "wrong_type", "out_of_range", "too_old", "in_future",
             "conflict"),
    "result": ("applied", "refused", "stale", "overridden", "expired", "interrupted"),
    "over": [f"{act}_{what}" for act in ("too_many", "do") for what in WHATS],
    "code": ("over_limit", "expired", "no_until", "no_clock", "unknown_target"),
    "month": tuple(range(1, 13)),
}  # fmt: skip


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def key_pattern(node: ast.expr) -> str:
    """A regular expression of the keys an argument can become: a text as it is, an f-string with its holes open."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else r"\w+" for part in node.values)
    return ""


def used_keys() -> list[tuple[str, str]]:
    """(where, pattern) of every text the code asks for."""
    found = [
        (f"{path.name}:{node.lineno}", key_pattern(node.args[0]))
        for path in SOURCES
        for node in calls(path)
        if called(node) in ("text", "count") and node.args
    ]
    return [(where, pattern) for where, pattern in found if "\\." in pattern]


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_has_every_key_and_no_more(code: str) -> None:
    english = read_texts("en")
    texts = read_texts(code)
    assert texts.keys() == english.keys(), sorted(texts.keys() ^ english.keys())
    for key, text in texts.items():
        assert isinstance(text, str) is isinstance(english[key], str), key
        forms = [text] if isinstance(text, str) else list(text.values())
        assert all(isinstance(form, str) and form.strip() == form and form for form in forms), key


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_text_fills_in_the_same_names(code: str) -> None:
    def names(text: object) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(str(text)) if name}

    english = read_texts("en")
    for key, text in read_texts(code).items():
        if isinstance(text, str):
            assert names(text) == names(english[key]), key
        else:
            assert all(names(form) <= {"n"} for form in text.values()), key
            assert names(text["other"]) == {"n"}, key


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_plural_has_the_forms_its_language_needs(code: str) -> None:
    needed = {plural(code, n) for n in range(201)}
    for key, text in read_texts(code).items():
        if not isinstance(text, str):
            assert needed <= text.keys() <= PLURALS, key


@pytest.mark.parametrize(
    ("n", "category"),
    [(0, "zero"), (1, "one"), (2, "two"), (3, "few"), (10, "few"), (11, "many"), (99, "many"), (100, "other"),
     (102, "other"), (103, "few"), (111, "many")],
)  # fmt: skip
def test_arabic_counts_in_six_forms(n: int, category: str) -> None:
    assert plural("ar", n) == category


def test_every_key_the_code_asks_for_exists() -> None:
    keys = read_texts("en").keys()
    used = used_keys()
    assert len(used) > 150
    for where, pattern in used:
        assert any(re.fullmatch(pattern, key) for key in keys), f"{where}: no text for {pattern}"


def test_every_text_is_used() -> None:
    patterns = [re.compile(pattern) for _, pattern in used_keys()]
    families = set(WORDS) | {"value", "consumer"}
    for key in read_texts("en"):
        assert key.split(".")[0] in families or any(pattern.fullmatch(key) for pattern in patterns), f"{key}: unused"


@pytest.mark.parametrize("family", WORDS)
def test_every_word_that_comes_from_elsewhere_has_a_text(family: str) -> None:
    keys = read_texts("en").keys()
    missing = [word for word in WORDS[family] if f"{family}.{word}" not in keys]
    if family == "contact":
        assert set(missing) == set()
    assert not missing


def test_every_choice_of_the_shipped_kinds_has_a_text() -> None:
    keys = read_texts("en").keys()
    for kind in load_kinds().values():
        choices = {name: metric.values for name, metric in kind.metrics.items()}
        choices |= {name: setting.values for name, setting in kind.settings.items()}
        for name, words in choices.items():
            for word in words:
                assert f"value.{word}" in keys or len(word) == 2, f"{kind.name}.{name}: {word}"


def test_no_page_has_words_of_its_own() -> None:
    """A literal child of an element, or a literal label of a control, would stay in one language."""
    shown = {"h": slice(1, None), "label": slice(0, 1), "button": slice(0, 1), "input": slice(0, 1),
             "notify": slice(0, 1), "tile": slice(0, 2), "cell": slice(0, None)}  # fmt: skip
    for path in sorted((CONSOLE / "pages").glob("*.py")):
        for node in calls(path):
            for argument in node.args[shown.get(called(node), slice(0, 0))]:
                parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                for part in parts:
                    text = part.value if isinstance(part, ast.Constant) else ""
                    wordy = isinstance(text, str) and re.search(r"[A-Za-z\u0600-\u06ff]{2,}", text)
                    assert not wordy or text == "base64", f"{path.name}:{node.lineno}: {text!r} stands in the code"


@pytest.mark.parametrize(
    ("code", "value", "unit", "written"),
    [
        ("en", 0.7, "ratio", "70\u00a0%"),
        ("en", 0.005, "ratio", "0.5\u00a0%"),
        ("fr", 1234.56, "W", "1\u202f234,6\u00a0W"),
        ("ar", 1234.56, "W", "1.234,6\u00a0W"),
        ("en", -3.25, "degC", "\u22123.2\u00a0°C"),
        ("en", -0.01, "degC", "0.0\u00a0°C"),
        ("en", 1500.0, "Wh", "1.50\u00a0kWh"),
        ("en", 12.34, "deg", "12.3°"),
        ("fr", 5400.0, "s", "1 heure\u00a030 minutes"),
        ("ar", 600.0, "s", "10 دقائق"),
        ("en", 0.0, "s", "0 seconds"),
        ("en", 5.0, "parsec", "5.00\u00a0parsec"),
    ],
)
def test_quantities_are_written_as_people_read_them(code: str, value: float, unit: str, written: str) -> None:
    assert languages()[code].quantity(value, unit) == written


def test_a_setting_is_written_without_decimals_it_does_not_have() -> None:
    lamp = load_kinds()["street_light"]
    english = languages()["en"]
    assert english.setting(lamp.settings["rated_power_w"], 60.0) == "60\u00a0W"
    assert english.setting(lamp.settings["rated_power_w"], 62.5) == "62.5\u00a0W"
    assert english.setting(lamp.settings["lighting_class"], "m4") == "M4"
    assert english.setting(lamp.settings["circuit"], "c4") == "c4"


def test_times_stand_in_the_zone_of_the_site() -> None:
    at_ms = 1_795_458_000_000  # 2026-11-23T18:20:00Z; Casablanca is an hour ahead
    assert languages()["en"].moment(at_ms, ZONE) == "23 Nov 2026 19:20:00"
    assert languages()["fr"].moment(at_ms, ZONE) == "23/11/2026 19:20:00"
    assert languages()["ar"].moment(10**18, ZONE).startswith("31/12/9999")


def test_a_time_has_its_zone_beside_it() -> None:
    assert utc_offset(1_795_458_000_000, ZONE) == "UTC+1"
    assert utc_offset(1_795_458_000_000, ZoneInfo("America/St_Johns")) == "UTC\u22123:30"
    assert utc_offset(0, ZoneInfo("UTC")) == "UTC+0"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("nothing else wishes for it", "nothing else wishes for it"),
        ("strongest of 3", "the strongest of 3 wishes"),
        ("lost to operator:amina (operator > rule)", "lost to amina (operator goes before)"),
        ("lost to operator:amina b (newer)", "lost to amina b (the newer wish)"),
        ("over open_s_max 1800 s", "hard limit: Longest run, 30 minutes"),
        (
            "rests after its last run for rest_s_min 300 s; allowed from 2026-11-23T18:20:00Z",
            "rests after its last run (5 minutes); allowed from 23 Nov 2026 19:20:00",
        ),
        ("over_limit", "over the device's hard limit"),
        ("lamp-1 was reset (power_on)", "the device was reset"),
        ("withdrawn by amina", "taken back by amina"),
    ],
)
def test_reasons_of_the_arbiter_are_told_in_the_readers_words(why: str, said: str) -> None:
    assert explain(languages()["en"], load_kinds(), ZONE, why) == said
    for code in ("ar", "fr"):
        told = explain(languages()[code], load_kinds(), ZONE, why)
        assert told
        assert told != said


def test_a_limit_that_says_when_it_is_over_keeps_that() -> None:
    told = explain(
        languages()["en"], load_kinds(), ZONE,
        "over open_s_max_per_day 7200 s; allowed from 2026-11-23T23:00:00Z",
    )  # fmt: skip
    assert told == "hard limit: Longest time per day, 2 hours; allowed from 24 Nov 2026 00:00:00"


@pytest.mark.parametrize(
    ("kind", "reason", "said"),
    [
        ("street_light", "level 1 > 0.2 and power_w 1.4 < 30",
         "Light level: 100\u00a0% (above 20\u00a0%) · Power: 1.4\u00a0W (below 30\u00a0W)"),
        ("street_light", "sun.elevation 10.25 > 3 deg and power_w 60 > 6",
         "Height of the sun: 10.2° (above 3°) · Power: 60.0\u00a0W (above 6\u00a0W)"),
        ("waste_bin", "min(fill_level, 150m) 0.89 >= 80% and count(fill_level, 150m) 2 >= 2",
         "Fill level, lowest of 2 hours\u00a030 minutes: 89\u00a0% (at least 80\u00a0%) · "
         "Fill level, readings in 2 hours\u00a030 minutes: 2 (at least 2)"),
        ("waste_bin", "temperature_c 103.5 >= 65 degC", "Temperature: 103.5\u00a0°C (at least 65\u00a0°C)"),
        ("irrigation_valve", "not open false and flow_l_min 5.2 > 2 l_min",
         "Open no · Flow: 5.2\u00a0L/min (above 2\u00a0L/min)"),
        ("irrigation_valve", "silent(1h)", "no contact for more than 1 hour"),
    ],
)  # fmt: skip
def test_the_reason_of_an_alarm_is_told_with_names_and_units(kind: str, reason: str, said: str) -> None:
    assert because(languages()["en"], load_kinds()[kind], reason) == said
    for code in ("ar", "fr"):
        told = because(languages()[code], load_kinds()[kind], reason)
        assert told
        assert told != said


@pytest.mark.parametrize(
    "reason",
    [
        "power_w 1.4 < 30 or level 1 > 0.2",
        "(level 1 > 0.2)",
        "power_w unknown < 30",
        "glow 3 > 2",
        "power_w 1 < 2 V",
        "",
    ],
)
def test_a_reason_without_words_for_all_of_it_stays_as_the_rule_wrote_it(reason: str) -> None:
    assert because(languages()["en"], load_kinds()["street_light"], reason) is None


def test_an_unknown_reason_is_not_hidden() -> None:
    assert explain(languages()["ar"], load_kinds(), ZONE, "the moon is full") is None


def test_a_text_that_is_not_there_is_an_error_and_not_a_blank() -> None:
    with pytest.raises(KeyError):
        Language("en", {}).text("nav.map")


@pytest.mark.parametrize(
    ("seconds", "parts", "said"),
    [
        (0, 2, "0 seconds"),
        (59.6, 2, "1 minute"),
        (7_800, 2, "2 hours 10 minutes"),
        (7_800, 1, "2 hours"),
        (3 * 86_400 + 120, 2, "3 days"),
        (86_400 + 3_600, 2, "1 day 1 hour"),
    ],
)
def test_how_long_is_said_in_its_largest_units(seconds: float, parts: int, said: str) -> None:
    assert languages()["en"].span(seconds, parts).replace("\u00a0", " ") == said
