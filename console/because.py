"""A rule's measured reason in the reader's words: ``power_w 1.4 < 30`` → ``Power: 1.4 W (below 30 W)``.

A reason is the rule's condition with the values it saw, as `rules` writes it. Read here is what alarms are made of:
metrics of the kind, their least, greatest, mean and number over a time, silence, the sun, joined by ``and``. A
condition with anything else in it is not half translated: it stays as it was written.
"""

import re

from console.language import Language
from contract.kind import Kind, MetricType

BOUNDS = {">": "above", "<": "below", ">=": "at_least", "<=": "at_most", "==": "equal"}
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_NUMBER = r"-?\d+(?:\.\d+)?"
_COMPARED = re.compile(
    rf"(?:(?P<function>min|max|avg|count)\((?P<of>\w+), (?P<length>\d+)(?P<each>[smhd])\)|(?P<name>[\w.]+)) "
    rf"(?P<value>{_NUMBER}) (?P<operator>[<>]=?|==) (?P<bound>{_NUMBER})(?P<unit>%| \w+)?"
)
_STATED = re.compile(r"(?:not )?(?P<name>\w+) (?P<value>true|false)")
_SILENT = re.compile(r"silent\((?P<length>\d+)(?P<each>[smhd])\)(?:: .*)?")


def because(language: Language, kind: Kind | None, reason: str) -> str | None:
    """The reason in `language`, or None when the console has no words for all of it."""
    if kind is None:
        return None
    clauses = [_clause(language, kind, clause) for clause in reason.split(" and ")]
    said = [clause for clause in clauses if clause is not None]
    return " · ".join(said) if len(said) == len(clauses) else None


def _clause(language: Language, kind: Kind, clause: str) -> str | None:
    if found := _SILENT.fullmatch(clause):
        return language.text("because.silent", length=_length(language, found["length"], found["each"]))
    if found := _STATED.fullmatch(clause):
        metric = kind.metrics.get(found["name"])
        if metric is None or metric.type is not MetricType.BOOLEAN:
            return None
        return f"{language.label(metric.labels, metric.name)} {language.value(metric, float(found['value'] == 'true'))}"
    found = _COMPARED.fullmatch(clause)
    return _compared(language, kind, found) if found else None


def _compared(language: Language, kind: Kind, found: re.Match[str]) -> str | None:
    """What, how much, and the bound it passed. None where value and bound are not of the same unit."""
    name = found["name"] or found["of"]
    metric = kind.metrics.get(name)
    unit = "deg" if name == "sun.elevation" else metric.unit if metric else None
    if unit is None or (metric is not None and metric.type is MetricType.ENUM):
        return None
    what = language.label(metric.labels, name) if metric else language.text("because.sun")
    if found["function"]:
        length = _length(language, found["length"], found["each"])
        what = language.text(f"because.{found['function']}", what=what, length=length)
    value, bound = float(found["value"]), float(found["bound"])
    if found["function"] == "count":
        if found["unit"]:
            return None
        written = [language.number(value), language.number(bound)]
    else:
        if found["unit"] == "%":
            given, bound = "ratio", bound / 100
        else:
            given = (found["unit"] or unit).strip()
        if given != unit:
            return None
        written = [language.quantity(value, unit), language.quantity(bound, unit, exact=True)]
    bounded = language.text(f"because.{BOUNDS[found['operator']]}", bound=written[1])
    return language.text("because.of", what=what, value=written[0], bound=bounded)


def _length(language: Language, number: str, each: str) -> str:
    return language.length(int(number) * UNITS_MS[each])
