"""The arbiter's reasons in the reader's language. What is not known here is shown as it was written: exact, in English.

Each pattern names a text ``why.<word>``; what it found is translated where it can be: ranks, settings, times, lengths.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo

from console.language import Language
from contract.kind import Kinds

PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (word, re.compile(pattern))
    for word, pattern in (
        ("alone", r"nothing else wishes for it(?:;.*)?"),
        ("strongest", r"strongest of (?P<n>\d+)(?:;.*)?"),
        ("outranked", r"lost to \w+:(?P<who>.+) \((?P<rank>\w+) > \w+\)"),
        ("newer", r"lost to \w+:(?P<who>.+) \((?:newer|same time, by id)\)"),
        ("limit", r"over (?P<setting>\w+) (?P<length>\d+) s"),
        ("limit_until", r"over (?P<setting>\w+) (?P<length>\d+) s; allowed from (?P<time>\S+)"),
        ("rest", r"rests after its last run for \w+ (?P<length>\d+) s; allowed from (?P<time>\S+)"),
        ("no_answer", r"no answer in (?P<seconds>[\d.]+) s;.*"),
        ("reset", r"\S+ was reset.*"),
        ("withdrawn", r"withdrawn by (?P<who>.+)"),
        ("condition_false", r"its condition is false"),
        ("lapsed", r"its condition is unknown, and .*"),
        ("stale", r"stale: .*"),
        ("renewed", r"renewed"),
        ("over", r"its time is over"),
        ("noted_late", r"noted late"),
        ("free", r"nothing rules.*free.*"),
    )
)


def explain(language: Language, kinds: Kinds, zone: tzinfo, why: str) -> str | None:
    """The reason in `language`, or None when it is one the console has no words for."""
    code = language.word("code", why)
    if code != why:
        return code
    for word, pattern in PATTERNS:
        found = pattern.fullmatch(why)
        if found is not None:
            values = {name: text for name, text in found.groupdict().items() if text is not None}
            return language.text(f"why.{word}", **_translated(language, kinds, zone, values))
    return None


def _translated(language: Language, kinds: Kinds, zone: tzinfo, values: Mapping[str, str]) -> dict[str, str]:
    turn: dict[str, Callable[[str], str]] = {
        "n": lambda text: language.number(int(text)),
        "rank": lambda text: language.word("rank", text),
        "setting": lambda text: _setting(language, kinds, text),
        "length": lambda text: language.length(int(text) * 1000),
        "time": lambda text: _time(language, zone, text),
    }
    return {name: turn.get(name, str)(text) for name, text in values.items()}


def _setting(language: Language, kinds: Kinds, name: str) -> str:
    found = next((kind.settings[name] for kind in kinds.values() if name in kind.settings), None)
    return language.label(found.labels, name) if found else name


def _time(language: Language, zone: tzinfo, text: str) -> str:
    try:
        return language.moment(round(datetime.fromisoformat(text).timestamp() * 1000), zone)
    except ValueError:
        return text
