"""Questions to InfluxDB, in InfluxQL: what DuckDB answers, to the value and the order."""

from collections.abc import Iterator, Mapping
from typing import Any

from adapters.stores.influx_lines import FIELDS, tag_text, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influx_telling import Telling
from adapters.stores.influxql import in_order, name, text, to_ms, to_value, whole, within
from adapters.stores.spans import Reach
from contract.annals import NS_PER_MS
from contract.kind import Kind, Kinds, Value
from contract.ports import LATEST_WITHIN_MS, StoredReading
from contract.questions import Question
from contract.records import Reading, Telemetry


class InfluxReader:
    """The reading half of InfluxStore. Everything here raises StoreFault."""

    def __init__(self, link: InfluxLink, kinds: Kinds) -> None:
        self._link, self._kinds = link, kinds

    def position(self, measurement: str, log: str, at_ns: int) -> int:
        source = f'FROM {name(measurement)} WHERE "log" = {text(tag_text(log))} AND time = {at_ns}'
        positions = [int(position) for _, position in self._rows(f'SELECT "position" {source}')]
        return positions[0] if positions else 0

    def fields(self, measurement: str, log: str, at_ns: int) -> Mapping[str, Value]:
        """All fields of the one point of this log at this time; empty when there is none."""
        source = f'FROM {name(measurement)} WHERE "log" = {text(tag_text(log))} AND time = {at_ns}'
        for series in self._link.ask(f"SELECT * {source}"):
            found = dict(zip(series.columns, series.values[0], strict=True))
            return {
                key: to_value(value) for key, value in found.items() if key not in ("time", "log") and value is not None
            }
        return {}

    def readings(self, question: Question, reach: Reach) -> list[tuple[int, Value]]:
        """As contract.ports.Store says. `reach`: what there is of the kind. Raises KeyError and ValueError, too."""
        metric = self._kinds[question.kind].metrics[question.metric]
        return Telling(self._link, question, metric, reach).rows()

    def marks(self, kind: str, device: str, start_ms: int, end_ms: int, limit: int) -> list[tuple[int, int]]:
        where = f'AND "device" = {text(tag_text(device))} AND "quality" > 0'
        rows = self._rows(f'SELECT "quality", "stream", "seq" {within(kind, start_ms, end_ms)} {where} LIMIT {limit}')
        ordered = sorted((to_ms(at_ns), stream, seq, int(bits)) for at_ns, bits, stream, seq in whole(rows))
        return [(at_ms, bits) for at_ms, _, _, bits in ordered]

    def latest(self) -> Iterator[tuple[str, str, int, Mapping[str, Value]]]:
        for kind in self._kinds.values():
            source, metrics = f"FROM {name(kind.name)}", list(kind.metrics)
            newest = next(self._rows(f'SELECT last("seq") {source}'), None)
            if newest is None:
                continue
            columns = ", ".join(map(name, (*metrics, "seq", "stream")))
            since_ns = max(0, to_ms(newest[0]) - LATEST_WITHIN_MS) * NS_PER_MS
            answer = self._link.ask(
                f'SELECT {columns} {source} WHERE time >= {since_ns} GROUP BY "device" ORDER BY time DESC LIMIT 2'
            )
            for series in answer:
                device, rows = series.tags.get("device", ""), series.values
                at_ms, last = to_ms(rows[0][0]), rows[:1]
                if len(rows) == 2 and to_ms(rows[1][0]) == at_ms:  # of one millisecond: the one of the highest seq
                    start_ns = at_ms * NS_PER_MS
                    last = list(self._rows(
                        f'SELECT {columns} {source} WHERE "device" = {text(device)} AND time >= {start_ns} '
                        f"AND time < {start_ns + NS_PER_MS}"
                    ))  # fmt: skip
                *_, (_, row) = in_order(last)
                known = {
                    metric: to_value(value)
                    for metric, value in zip(metrics, row[1:-2], strict=True)
                    if value is not None
                }
                yield tag_value(device), kind.name, at_ms, known

    def count(self) -> int:
        """Whatever has a seq is a reading, of kinds that are not loaded any more, too."""
        return sum(int(row[1]) for row in self._rows('SELECT count("seq") FROM /.*/'))

    def span(self) -> tuple[int, int] | None:
        ends: list[int] = []
        for kind in self._kinds:
            for end in ("first", "last"):
                found = self._rows(f'SELECT {end}("seq") FROM {name(kind)}')  # a kind's name
                ends += [to_ms(row[0]) for row in found]
        return (min(ends), max(ends)) if ends else None

    def held(self, kind: str, start_ms: int, end_ms: int) -> int:
        return sum(int(row[1]) for row in self._rows(f'SELECT count("seq") {within(kind, start_ms, end_ms)}'))

    def history(self, kind: str, start_ms: int, end_ms: int) -> Iterator[StoredReading]:
        for series in self._link.ask(f"SELECT * {within(kind, start_ms, end_ms)}"):
            for row in series.values:
                known = {key: value for key, value in zip(series.columns, row, strict=True) if value is not None}
                yield _stored(self._kinds[kind], known)

    def _rows(self, query: str) -> Iterator[list[Any]]:
        for series in self._link.ask(query):
            yield from series.values


def _stored(kind: Kind, known: dict[str, Any]) -> StoredReading:
    """A point with all its columns, which this empties: what is left in the end are its metrics."""
    tags = [tag_value(known.pop(tag, "")) for tag in ("device", "asset", "commune", "zone", kind.group or "group")]
    device, asset, commune, zone, group = tags
    at_ms, stream = to_ms(known.pop("time")), known.pop("stream", "")
    boot, received_at_ms, stored_at_ms, quality, seq = (int(known.pop(field, 0)) for field in FIELDS[1:6])
    said_ms = known.pop(FIELDS[6], None)
    values = {metric: to_value(value) for metric, value in known.items()}
    return StoredReading(
        received_at_ms=received_at_ms,
        stored_at_ms=stored_at_ms,
        record=Telemetry(
            device=device,
            asset=asset,
            kind=kind.name,
            stream=stream,
            boot=boot,
            commune=commune,
            zone=zone,
            group=group,
            readings=(Reading(seq, at_ms, values, quality, None if said_ms is None else int(said_ms)),),
        ),
    )
