"""The console's words in Arabic, French and English, and how each language writes numbers, units, times and plurals.

Texts are YAML (``locales/<language>.yaml``), nested mappings whose keys are joined by dots. A text with plural forms is
a mapping of CLDR categories with ``other``. Digits are Western in all three: Moroccan Arabic writes them so.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import Any

from ruamel.yaml import YAML

from contract import quality
from contract.kind import LANGUAGES, Labels, Metric, MetricType, Setting, Value

PLURALS = frozenset({"zero", "one", "two", "few", "many", "other"})
NARROW_SPACE = "\u202f"
SPACE = "\u00a0"
SEPARATORS: Mapping[str, tuple[str, str]] = {  # (decimal, thousands), CLDR of ar-MA, fr, en
    "ar": (",", "."),
    "fr": (",", NARROW_SPACE),
    "en": (".", ","),
}
# Unit → (factor, symbol, decimals): how people read it. SI symbols are the same in the three languages.
SHOWN: Mapping[str, tuple[float, str, int]] = {
    "ratio": (100.0, "%", 0),
    "degC": (1.0, "°C", 1),
    "deg": (1.0, "°", 1),
    "W": (1.0, "W", 1),
    "Wh": (0.001, "kWh", 2),
    "V": (1.0, "V", 0),
    "lx": (1.0, "lx", 0),
    "l_min": (1.0, "L/min", 1),
    "ml": (0.001, "L", 1),
    "l": (1.0, "L", 0),
    "bar": (1.0, "bar", 2),
    "m2": (1.0, "m²", 0),
    "m_s": (1.0, "m/s", 1),
    "um": (0.001, "mm", 1),
    "W_m2": (1.0, "W/m²", 0),
}


class Language:
    """One language: its texts and its ways of writing."""

    def __init__(self, code: str, texts: Mapping[str, str | Mapping[str, str]]) -> None:
        self.code = code
        self.direction = "rtl" if code == "ar" else "ltr"
        self.texts = texts
        self._decimal, self._thousands = SEPARATORS[code]

    def text(self, key: str, **values: object) -> str:
        """The text of a key, its ``{names}`` filled in. Raises KeyError for a key there is none of."""
        text = self.texts[key]
        assert isinstance(text, str), f"{key} has plural forms: use count"
        return text.format(**values) if values else text

    def count(self, key: str, n: int) -> str:
        """The plural form of a key for `n`, with ``{n}`` written the language's way."""
        forms = self.texts[key]
        assert isinstance(forms, Mapping), f"{key} has no plural forms"
        return forms.get(plural(self.code, n), forms["other"]).format(n=self.number(n))

    def word(self, family: str, word: str) -> str:
        """``family.word`` where there is such a text, else the word itself: it came from outside."""
        text = self.texts.get(f"{family}.{word}", word)
        return text if isinstance(text, str) else word

    def label(self, labels: Labels | Mapping[str, str], fallback: str = "") -> str:
        """This language's text of labels that came with a kind, a site or an alarm."""
        return labels.get(self.code) or labels.get("en") or fallback

    def number(self, value: float, decimals: int = 0) -> str:
        """``1234.5`` → ``1 234,5``; a minus is a real minus."""
        written = f"{abs(value):,.{decimals}f}"
        swapped = written.translate({ord(","): self._thousands, ord("."): self._decimal})
        negative = value < 0 and any(digit in written for digit in "123456789")
        return f"\u2212{swapped}" if negative else swapped

    def length(self, ms: int) -> str:
        """A duration in words: 1 hour 30 minutes."""
        hours, rest_ms = divmod(ms, 3_600_000)
        minutes, rest_ms = divmod(rest_ms, 60_000)
        parts = [(hours, "length.hours"), (minutes, "length.minutes"), (rest_ms // 1000, "length.seconds")]
        words = [self.count(key, number) for number, key in parts if number]
        return SPACE.join(words) or self.count("length.seconds", 0)

    def quantity(self, value: float, unit: str, *, exact: bool = False) -> str:
        """A number with its unit as people read it: 0.7 ratio → 70 %. `exact`: entered, not measured, so 60 W and
        not 60.0 W."""
        if unit == "s":
            return self.length(round(value * 1000))
        factor, symbol, decimals = SHOWN.get(unit, (1.0, unit, 2))
        shown = value * factor
        if exact and shown == round(shown):
            decimals = 0
        if unit == "ratio" and 0 < abs(shown) < 10:
            decimals = 1
        number = self.number(shown, decimals)
        return f"{number}{symbol}" if symbol == "°" else f"{number}{SPACE}{symbol}".rstrip()

    def value(self, metric: Metric, value: Value) -> str:
        """A metric's value: yes and no, the language's word of an enum, or a quantity."""
        if metric.type is MetricType.ENUM or isinstance(value, str):
            return self.word("value", str(value))
        if metric.type is MetricType.BOOLEAN:
            return self.text("value.yes" if value else "value.no")
        return self.quantity(value, metric.unit)

    def setting(self, setting: Setting, value: float | str) -> str:
        if isinstance(value, str):
            word = self.word("value", value)
            return word.upper() if setting.type == "enum" and word == value and len(value) <= 3 else word
        return self.quantity(value, setting.unit, exact=True)

    def moment(self, ms: int, zone: tzinfo) -> str:
        """Date and time in the site's zone: 23/11/2026 14:05:32."""
        moment = local(ms, zone)
        if self.code == "en":
            return f"{moment.day} {self.text(f'month.{moment.month}')} {moment:%Y %H:%M:%S}"
        return f"{moment:%d/%m/%Y %H:%M:%S}"


def local(ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(min(max(ms, 0), 253_402_214_400_000) / 1000, UTC).astimezone(zone)


def utc_offset_ms(ms: int, zone: tzinfo) -> int:
    """How far the zone's wall clock is ahead of UTC at that moment, by our own table of zones, not the browser's."""
    offset = local(ms, zone).utcoffset()
    return round(offset.total_seconds() * 1000) if offset is not None else 0


def utc_offset(ms: int, zone: tzinfo) -> str:
    """The zone beside a time: ``UTC+1``, ``UTC−3:30``."""
    minutes = utc_offset_ms(ms, zone) // 60_000
    hours, rest = divmod(abs(minutes), 60)
    sign = "\u2212" if minutes < 0 else "+"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")


def plural(code: str, n: int) -> str:
    """The CLDR plural category of a whole number."""
    if code == "fr":
        return "one" if n in (0, 1) else "other"
    if code == "ar":
        if n in (0, 1, 2):
            return ("zero", "one", "two")[n]
        rest = n % 100
        return "few" if 3 <= rest <= 10 else "many" if 11 <= rest <= 99 else "other"
    return "one" if n == 1 else "other"


@cache
def languages() -> Mapping[str, Language]:
    """All languages of the console, read once."""
    return {code: Language(code, read_texts(code)) for code in LANGUAGES}


def read_texts(code: str) -> dict[str, str | Mapping[str, str]]:
    """Key → text, or plural category → text, of one language's file.

    French writes a space before ``: ; ! ?`` and inside its quotes at which no line may break: it is made one here.
    """
    text = (files("console") / "locales" / f"{code}.yaml").read_text(encoding="utf-8")
    yaml = YAML(typ="safe")
    texts: dict[str, str | Mapping[str, str]] = {}
    if code == "fr":
        text = re.sub(r"(?<=\S) (?=[:;!?»](?:[ \"\n]|$))|(?<=«) ", SPACE, text)
    _flatten(yaml.load(StringIO(text)), "", texts)
    texts |= {f"quality.{word}": label for word, label in quality.texts(code).items()}
    return texts


def _flatten(node: Mapping[Any, Any], prefix: str, texts: dict[str, str | Mapping[str, str]]) -> None:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and not ("other" in value and PLURALS.issuperset(value)):
            _flatten(value, f"{name}.", texts)
        else:
            texts[name] = value
