"""InfluxDB's aggregates as rows: written and read, and the readings that they are made of."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from adapters.stores.aggregates import Measured
from adapters.stores.influx_lines import FIELDS, point_line, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influxql import name
from contract.aggregates import FIVE_MINUTES_MS, Place, Row
from contract.annals import NS_PER_MS, Point
from contract.kind import Kind, MetricType

RETIRED = "nabd_retired"
ROWS = 2_000  # written at one time

Deliver = Callable[[Sequence[str]], None]
Series = tuple[str, str]
"""(device, asset)"""


def measurement(kind: str, every_ms: int) -> str:
    return f"{kind}_5m" if every_ms == FIVE_MINUTES_MS else f"{kind}_1h"


def raw_floors(link: InfluxLink) -> dict[str, int]:
    """Kind → from when on its raw readings are there, or will be when a deletion is done; for who only looks on.

    Raises StoreFault.
    """
    floors: dict[str, int] = {}
    for series in link.ask(f'SELECT "kind", "raw_ms", "deleting_ms" FROM {name(RETIRED)}'):
        for _, kind, raw_ms, deleting_ms in series.values:
            floors[kind] = max(int(raw_ms), int(deleting_ms or 0))
    return floors


def counters_of(kind: Kind) -> list[str]:
    return [metric.name for metric in kind.metrics.values() if metric.type is MetricType.COUNTER]


class InfluxRows:
    """Everything here raises StoreFault."""

    def __init__(self, link: InfluxLink, deliver: Deliver) -> None:
        self._link, self._deliver = link, deliver

    def raw(self, kind: Kind, within: str) -> Iterator[tuple[str, dict[str, list[Measured]]]]:
        """Device by device: its readings by asset."""
        of, series = "", dict[str, list[Measured]]()
        for device, known in self._points(f'SELECT * FROM {name(kind.name)} {within} GROUP BY "device"'):
            if device != of and series:
                yield of, series
                series = {}
            of = device
            place = self._place(kind, device, known)
            at_ms, stream = known.pop("time") // NS_PER_MS, known.pop("stream", "")
            _, _, _, quality, seq = (int(known.pop(field, 0)) for field in FIELDS[1:6])
            known.pop(FIELDS[6], None)
            values = {key: value if isinstance(value, str) else float(value) for key, value in known.items()}
            series.setdefault(place.asset, []).append(Measured(at_ms, seq, stream, place, quality, values))
        if series:
            yield of, series

    def lasts(self, kind: Kind, source: str, where: str) -> dict[Series, dict[str, tuple[int, float]]]:
        found: dict[Series, dict[str, tuple[int, float]]] = defaultdict(dict)
        for metric in counters_of(kind):
            last_ms, last = name(f"{metric}.last_ms"), name(f"{metric}.last")
            for series in self._link.ask(f"SELECT last({last_ms}), {last} FROM {name(source)} {where} GROUP BY *"):
                key = tag_value(series.tags.get("device", "")), tag_value(series.tags.get("asset", ""))
                for _, at_ms, value in series.values:
                    if int(at_ms) >= found[key].get(metric, (-1, 0.0))[0]:
                        found[key][metric] = int(at_ms), float(value)
        return found

    def write(self, kind: Kind, into: str, rows: Sequence[Row]) -> None:
        lines = []
        for row in rows:
            place = row.place
            tags = {"device": place.device, "asset": place.asset, "commune": place.commune, "zone": place.zone}
            tags[kind.group or "group"] = place.group
            lines.append(point_line(Point(measurement=into, tags=tags, fields=row.cells, at_ns=row.at_ms * NS_PER_MS)))
        for at in range(0, len(lines), ROWS):
            self._deliver(lines[at : at + ROWS])

    def fetch(self, kind: Kind, source: str, where: str) -> Iterator[Row]:
        for device, known in self._points(f'SELECT * FROM {name(source)} {where} GROUP BY "device"'):
            place = self._place(kind, device, known)
            at_ms = known.pop("time") // NS_PER_MS
            cells = {cell: value if isinstance(value, str) else float(value) for cell, value in known.items()}
            yield Row(place=place, at_ms=at_ms, cells=cells)

    def _points(self, query: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(device, all else that is known of a point) of a query that is grouped by device."""
        for series in self._link.ask(query):
            device = tag_value(series.tags.get("device", ""))
            for row in series.values:
                yield device, {key: one for key, one in zip(series.columns, row, strict=True) if one is not None}

    @staticmethod
    def _place(kind: Kind, device: str, known: dict[str, Any]) -> Place:
        tags = (tag_value(known.pop(tag, "")) for tag in ("asset", "commune", "zone", kind.group or "group"))
        return Place(device, *tags)

    def rows(self, query: str, skip: int = 0, last: int | None = None) -> Iterator[list[Any]]:
        for series in self._link.ask(query):
            for row in series.values:
                yield row[skip:last]
