"""Why a form of the console was refused, in the reader's language. The API says the same in English and exactly.

Each sentence is ``field: what is wrong`` or a sentence alone. Each pattern names a text ``refusal.<word>``; what it
found is translated where it can be: fields by what stands on the form, settings and kinds by their labels, numbers as
the reader writes them. A sentence that is not known here is shown as it was written, never hidden.
"""

import re
from collections.abc import Callable, Iterable, Mapping

from console.language import Language
from contract.kind import Kind, Kinds, Setting

FIELDS: Mapping[str, str] = {  # the API's word of a field → the text that stands on the form
    "by": "form.your_name",
    "reason": "commands.reason",
    "name": "registration.name",
    "asset": "registration.asset",
    "kind": "registration.kind",
    "commune": "registration.commune",
    "zone": "registration.zone",
    "until": "commands.minutes",
}
_FIELD = rf"(?P<field>{'|'.join(FIELDS)})"
_SETTING = r"settings\.(?P<setting>\w+)"
PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (word, re.compile(pattern))
    for word, pattern in (
        ("missing", rf"{_FIELD}: missing; .*"),
        (
            "too_long",
            rf"{_FIELD}: (?:must be at most (?P<most>\d+) printable .*|\d+ characters, at most (?P<limit>\d+))",
        ),
        ("not_chosen", r"(?P<field>kind|commune|zone): '.*' is not a .*"),
        ("asset_id", r"asset: .* must be 1 to 64 of .*"),
        ("setting_missing", rf"{_SETTING}: missing; .*"),
        ("setting_below", rf"{_SETTING}: \S+.* is below the minimum (?P<bound>\S+)"),
        ("setting_above", rf"{_SETTING}: \S+.* is above the maximum (?P<bound>\S+)"),
        ("setting_whole", rf"{_SETTING}: .* is not a whole number"),
        ("setting_number", rf"{_SETTING}: (?:.* is not a number|must be a number .*)"),
        ("setting_text", rf"{_SETTING}: (?:.* is not a text of 1 to 64 characters|must be printable text)"),
        ("setting_choice", rf"{_SETTING}: .* is not one of .*"),
        ("too_long_run", r"until: \S+ is \d+ s from now, over (?P<limit_name>\w+) (?P<length>[\d.e+]+) s; .*"),
        ("limit_not_set", r"\w+: (?P<limit_name>\w+) is not set for this device; .*"),
        ("outside", r"(?P<target>\w+): \S+ is outside \S+ to \S+"),
        ("ended_already", r"until: \S+ is not after now, .*"),
        ("nothing_there", r"selector: no \w+ matches it; .*"),
        ("too_many", r"selector: matches (?P<n>\d+) assets, more than (?P<most>\d+); .*"),
        ("no_asset", r"there is no asset '(?P<which>.*)'"),
        ("no_alarm", r"there is no alarm .*"),
        ("no_intent", r"there is no intent .*"),
        ("alarm_pending", r"the alarm is pending: .*"),
        ("rules_wish", r"(?:rule:)?(?P<which>\S+) wished it: a rule's wish lives .*"),
        ("other_kind", r"(?P<which>\S+) is registered as (?P<kind>\w+); .*"),
        ("undecided", r"kept, but not decided within (?P<seconds>\d+) s; .*"),
        ("log_full", r"the log is full, so nothing can be kept: .*"),
        ("log_unwritable", r"the log cannot be written: .*"),
    )
)


def refusals(language: Language, kinds: Kinds, sentences: Iterable[str]) -> list[tuple[str, str]]:
    """(as the reader reads it, as it was written) of each, the same said twice only once. Where there are no words for
    a sentence both are the same."""
    said: dict[str, str] = {}
    for sentence in sentences:
        said.setdefault(refusal(language, kinds, sentence) or sentence, sentence)
    return list(said.items())


def refusal(language: Language, kinds: Kinds, sentence: str) -> str | None:
    """The sentence in `language`, or None when it is one the console has no words for."""
    for word, pattern in PATTERNS:
        found = pattern.fullmatch(sentence)
        if found is not None:
            values = {name: text for name, text in found.groupdict().items() if text is not None}
            return language.text(f"refusal.{word}", **_translated(language, kinds, values))
    return None


def _translated(language: Language, kinds: Kinds, values: Mapping[str, str]) -> dict[str, str]:
    setting = _setting(kinds, values.get("setting") or values.get("limit_name", ""))
    turn: dict[str, Callable[[str], str]] = {
        "field": lambda text: language.text(FIELDS[text]),
        "setting": lambda text: language.label(setting.labels, text) if setting else text,
        "limit_name": lambda text: language.label(setting.labels, text) if setting else text,
        "bound": lambda text: language.setting(setting, float(text)) if setting else text,
        "length": lambda text: language.length(round(float(text) * 1000)),
        "target": lambda text: _target(language, kinds, text),
        "kind": lambda text: language.label(kinds[text].labels, text) if text in kinds else text,
        "n": lambda text: language.number(int(text)),
        "most": lambda text: language.number(int(text)),
        "limit": lambda text: language.number(int(text)),
    }
    written = {name: turn.get(name, str)(text) for name, text in values.items()}
    if "limit" in written:
        written["most"] = written.pop("limit")
    return written


def _setting(kinds: Kinds, name: str) -> Setting | None:
    return next((kind.settings[name] for kind in kinds.values() if name in kind.settings), None)


def _target(language: Language, kinds: Kinds, name: str) -> str:
    kind: Kind | None = next((kind for kind in kinds.values() if name in kind.targets), None)
    return language.label(kind.targets[name].labels, name) if kind else name
