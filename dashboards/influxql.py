"""InfluxQL for panels, made in one place: what is selected, from where, under which conditions, in which groups.

The same text runs on InfluxDB 1.8, 2 and 3. Grafana replaces `$timeFilter`, `$__interval` and `${name:regex}` before it
asks. Everything goes through the time filter and tags first; no query reads all fields.
"""

from collections.abc import Sequence
from dataclasses import dataclass

STEP = "$__interval"
"""Grafana's own step: the range by the number of points that fit, never below the panel's minimum."""


@dataclass(frozen=True)
class Query:
    """One SELECT. A `source` that is a Query becomes a subquery; the time filter stands where the data are read."""

    select: Sequence[str]  # expressions: last("level") AS "level"
    source: "str | tuple[str, ...] | Query"  # a measurement, several, or a subquery
    where: Sequence[str] = ()
    group: Sequence[str] = ()  # tags
    every: str = ""  # GROUP BY time: STEP, or 1d
    fill: str = "none"
    zone: str = ""  # time zone of the steps, for those of a day
    newest: int = 0  # only so many, newest first

    def text(self) -> str:
        outer = isinstance(self.source, Query)
        source = _source(self.source)
        conditions = [*self.where, *(() if outer and not self.every else ("$timeFilter",))]
        groups = [*((f"time({self.every})",) if self.every else ()), *map(quoted, self.group)]
        parts = [f"SELECT {', '.join(self.select)} FROM {source}"]  # noqa: S608  # names are ours or the kinds'; nothing a user types
        if conditions:
            parts.append("WHERE " + " AND ".join(conditions))
        if groups:
            parts.append("GROUP BY " + ", ".join(groups))
        if self.every:
            parts.append(f"fill({self.fill})")
        if self.newest:
            parts.append(f"ORDER BY time DESC LIMIT {self.newest}")
        if self.zone and (self.every or not outer):
            parts.append(f"tz('{self.zone}')")
        return " ".join(parts)


def _source(source: "str | tuple[str, ...] | Query") -> str:
    if isinstance(source, Query):
        return f"({source.text()})"
    return ", ".join(map(quoted, (source,) if isinstance(source, str) else source))


def quoted(name: str) -> str:
    return f'"{name}"'


def call(function: str, field: str, name: str = "") -> str:
    """``call("last", "level")`` → ``last("level") AS "level"``."""
    return f"{function}({quoted(field)}) AS {quoted(name or field)}"


def is_tag(tag: str, value: str) -> str:
    return f"{quoted(tag)} = '{value}'"


def chosen(*variables: str) -> tuple[str, ...]:
    """Conditions on tags that are what the dashboard's variables of the same names say."""
    return tuple(f"{quoted(name)} =~ /^${{{name}:regex}}$/" for name in variables if name)


def newest_by(measurement: str, fields: Sequence[str], group: Sequence[str], where: Sequence[str] = ()) -> Query:
    """The last value of the first field of each group, and the other fields of that same reading."""
    first, *others = fields
    return Query([call("last", first), *map(quoted, others)], measurement, where, group)


def tag_values(measurement: str, tag: str, within: Sequence[str]) -> str:
    """The values of a tag, for a variable, among the chosen values of the variables above it."""
    conditions = f" WHERE {' AND '.join(chosen(*within))}" if within else ""
    return f"SHOW TAG VALUES FROM {quoted(measurement)} WITH KEY = {quoted(tag)}{conditions}"
