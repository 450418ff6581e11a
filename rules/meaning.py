"""What a checked part of an expression is, and what the names of the language stand for."""

from math import inf

import msgspec

from contract.document import nearest
from contract.kind import Kind, Kinds, Metric, MetricType, Setting
from rules import functions, tree
from rules.units import PLAIN, SHARES, Range, scaled

Part = str | tree.Node
NUMBER, BOOLEAN, WORD, LABEL = "number", "boolean", "word", "text"


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A checked part: its tree, what it is, and how it is shown with its values in an alarm's `because`."""

    node: tree.Node
    family: str  # number, boolean, word (of an enum), text (a label)
    unit: str = PLAIN
    range: Range = functions.UNBOUNDED
    values: tuple[str, ...] = ()  # of a word
    parts: tuple[Part, ...] = ()
    constant: bool = False


class Scope:
    """The names a rule on `kind` may use; `fresh` when it moves something, `doubtful` when it asks for all values."""

    def __init__(self, kind: Kind, kinds: Kinds, fresh: bool, doubtful: bool = False) -> None:
        self.kind = kind
        self.station = kinds.get(functions.WEATHER_KIND)
        self.fresh, self.doubtful = fresh, doubtful

    def find(self, name: str) -> Checked | None:
        """What a name stands for, or None."""
        if name in self.kind.metrics:
            return of_metric(self.kind.metrics[name], tree.Read(tree.Current(name, self.fresh, self.doubtful)), name)
        if name in self.kind.settings:
            return _of_setting(self.kind.settings[name])
        if name in functions.LABELS:
            node = tree.Read(tree.LabelOf(name))
            return Checked(node=node, family=LABEL, parts=(f"{name} ", node))
        if name == functions.SUN_ELEVATION:
            node = tree.Read(tree.SunElevation())
            return Checked(node=node, family=NUMBER, unit="deg", range=(-90.0, 90.0), parts=(f"{name} ", node))
        return self._weather(name)

    def _weather(self, name: str) -> Checked | None:
        if self.station is None or not name.startswith(functions.WEATHER_PREFIX):
            return None
        if name == functions.WEATHER_RAIN and functions.RAIN_METRIC in self.station.metrics:
            node = tree.Read(tree.WeatherRain(self.fresh, self.doubtful))
            return Checked(node=node, family=NUMBER, unit="mm", range=(0.0, inf), parts=(f"{name} ", node))
        metric = self.station.metrics.get(name.removeprefix(functions.WEATHER_PREFIX))
        return (
            of_metric(metric, tree.Read(tree.Weather(metric.name, self.fresh, self.doubtful)), name) if metric else None
        )

    def unknown(self, name: str) -> str:
        """The sentence for a name that stands for nothing, with the nearest one that does."""
        if name in functions.FUNCTION_NAMES:
            return f"{name} is a function; write {functions.usage(name)}"
        weather = (
            [functions.WEATHER_RAIN, *(f"weather.{metric}" for metric in self.station.metrics)] if self.station else []
        )
        dotted = [functions.SUN_ELEVATION, *weather]
        first, point, _ = name.partition(".")
        if point and first in ("sun", "weather"):
            return f"{name}: {first} has no such value{nearest(name, [one for one in dotted if one.startswith(first)])}"
        known = [*self.kind.metrics, *self.kind.settings, *functions.LABELS, *dotted]
        return f"{name}: {self.kind.name} has no such metric, setting or label{nearest(name, known)}"


def of_metric(metric: Metric, node: tree.Read, name: str) -> Checked:
    parts = (f"{name} ", node)
    if metric.type is MetricType.BOOLEAN:
        return Checked(node=node, family=BOOLEAN, parts=parts)
    if metric.type is MetricType.ENUM:
        return Checked(node=node, family=WORD, values=metric.values, parts=parts)
    return Checked(node=node, family=NUMBER, unit=metric.unit, range=metric_range(metric), parts=parts)


def metric_range(metric: Metric) -> Range:
    if metric.type is MetricType.COUNTER:
        return 0.0, inf
    if metric.type is MetricType.BOOLEAN:
        return 0.0, 1.0
    return (-inf if metric.minimum is None else metric.minimum, inf if metric.maximum is None else metric.maximum)


def _of_setting(setting: Setting) -> Checked:
    node = tree.Read(tree.SettingOf(setting.name))
    parts = (f"{setting.name} ", node)
    if setting.type == "text":
        return Checked(node=node, family=LABEL, parts=parts)
    if setting.type == "enum":
        return Checked(node=node, family=WORD, values=setting.values, parts=parts)
    limits = (-inf if setting.minimum is None else setting.minimum, inf if setting.maximum is None else setting.maximum)
    return Checked(node=node, family=NUMBER, unit=setting.unit, range=limits, parts=parts)


def scale(checked: Checked, factor: float, offset: float, unit: str) -> Checked:
    node: tree.Node = tree.Scale(checked.node, factor, offset)
    if isinstance(checked.node, tree.Constant) and isinstance(checked.node.value, float):
        node = tree.Constant(checked.node.value * factor + offset)
    limits = scaled(*checked.range, factor, offset)
    return msgspec.structs.replace(checked, node=node, unit=unit, range=limits)


def pick_range(function: str, arguments: list[Checked]) -> Range:
    (low, high), *others = (argument.range for argument in arguments)
    match function:
        case "min":
            return min(low, others[0][0]), min(high, others[0][1])
        case "max":
            return max(low, others[0][0]), max(high, others[0][1])
        case "abs":
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
    (least_low, most_low), (least_high, most_high) = others  # clamp: the value between its limits, or one of them
    return min(least_low, least_high), max(most_low, most_high)


def bracketed(inner: Checked, outer: tree.Node) -> tuple[Part, ...]:
    if isinstance(outer, tree.And) and isinstance(inner.node, tree.Or):
        return ("(", *inner.parts, ")")
    return inner.parts


def unit_text(checked: Checked) -> str:
    return f" {checked.unit}" if checked.unit not in SHARES else ""
