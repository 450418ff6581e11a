"""What each zone looks like at one moment, summed over its things: the source of every chart over days.

Theory of operation. A chart over thirty days of a thousand devices cannot read millions of readings each time it is
looked at. So every quarter of an hour the newest values of all things are summed, one point for each kind, commune,
zone and group. Only values that still say how things are (not older than two periods) are summed, and each sum comes
with how many things it was made of, so that means over several zones are exact. A counter is told apart by device:
what it grew since the last moment is summed; a device seen first, and one that starts anew, has grown nothing.
"""

from collections.abc import Iterable, Mapping

import msgspec

from contract.annals import Point
from contract.kind import Kinds, MetricType, Value
from contract.ports import Device
from nabd.annals import at_ns

ZONES = "nabd_zones"


class Thing(msgspec.Struct, frozen=True):
    """One device on its asset, as the live view has it now."""

    facts: Device
    online: bool
    fresh: Mapping[str, Value]  # the metrics that still say how things are
    counters: Mapping[str, float]  # the newest value of each, however old


class Zones:
    """Makes the points; remembers each device's counters from one moment to the next (bounded by the live view)."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._counters: dict[tuple[str, str], float] = {}

    def points(self, things: Iterable[Thing], at_ms: int) -> list[Point]:
        sums: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
        counters: dict[tuple[str, str], float] = {}
        for thing in things:
            kind = self._kinds.get(thing.facts.kind)
            if kind is None:
                continue
            group = {kind.group: str(thing.facts.settings.get(kind.group, ""))} if kind.group else {}
            tags = {"kind": kind.name, "commune": thing.facts.commune, "zone": thing.facts.zone, **group}
            fields = sums.setdefault(tuple(tags.items()), {"things": 0.0, "online": 0.0})
            fields["things"] += 1.0
            fields["online"] += float(thing.online)
            for name, value in thing.fresh.items():
                metric = kind.metrics.get(name)
                if metric is not None:
                    _add(fields, name, metric.type, value)
            for name, count in thing.counters.items():
                key = (thing.facts.device, name)
                grown = count - self._counters.get(key, count)
                fields[name] = fields.get(name, 0.0) + max(0.0, grown)
                counters[key] = count
        self._counters = counters
        return [
            Point(measurement=ZONES, tags=dict(tags), fields=fields, at_ns=at_ns(at_ms))
            for tags, fields in sums.items()
        ]


def _add(fields: dict[str, float], name: str, type_: MetricType, value: Value) -> None:
    """A number: sum, how many, least and most. A boolean: how many are so, and of how many. A word: how many say it."""
    if isinstance(value, str):
        fields[f"{name}_{value}"] = fields.get(f"{name}_{value}", 0.0) + 1.0
        return
    if type_ is MetricType.COUNTER:
        return
    fields[name] = fields.get(name, 0.0) + value
    fields[f"{name}_n"] = fields.get(f"{name}_n", 0.0) + 1.0
    if type_ is MetricType.NUMBER:
        fields[f"{name}_min"] = min(fields.get(f"{name}_min", value), value)
        fields[f"{name}_max"] = max(fields.get(f"{name}_max", value), value)
