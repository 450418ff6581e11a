"""Questions to InfluxDB, in InfluxQL: what DuckDB answers, to the value and the order.

InfluxQL knows no null in a condition: `_is_there` says it by a comparison that every value passes. It orders by time in
ns, where readings of one millisecond stand in no order that means something: they are put in order here, by seq.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from adapters.stores.influx_lines import FIELDS, tag_text, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.spans import RAW, Reach, Span, is_mean, plan
from contract.aggregates import FIVE_MINUTES_MS
from contract.annals import NS_PER_MS
from contract.kind import Kind, Kinds, Metric, MetricType, Value
from contract.ports import LATEST_WITHIN_MS, StoredReading
from contract.records import Reading, Telemetry

NS_MAX = 9_223_372_036_854_775_806  # InfluxDB's last moment, in the year 2262


class Chosen(NamedTuple):
    """What is asked for: a metric of a kind, and the condition that holds for its points."""

    metric: Metric
    source: str  # FROM … WHERE …, without the bounds of time
    start_ns: int
    end_ns: int
    of: str  # … AND …, of which device and asset

    def within(self, start_ns: int | None = None, end_ns: int | None = None) -> str:
        start_ns, end_ns = self.start_ns if start_ns is None else start_ns, self.end_ns if end_ns is None else end_ns
        return f"{self.source} AND time >= {start_ns} AND time < {end_ns}"


class Part(NamedTuple):
    """What one source gives to a step: the sum of a number, the last of everything else."""

    order: tuple[int, int]  # when the last was, and its seq
    number: int  # of values
    value: Value


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
                key: _value(value) for key, value in found.items() if key not in ("time", "log") and value is not None
            }
        return {}

    def choose(
        self,
        kind: str,
        metric: str,
        start_ms: int,
        end_ms: int,
        device: str | None,
        asset: str | None,
        without: int = 0,
    ) -> Chosen:
        known = self._kinds[kind].metrics[metric]
        of = "".join(
            f' AND "{tag}" = {text(tag_text(value))}'
            for tag, value in (("device", device), ("asset", asset))
            if value is not None
        )
        source = f"FROM {name(kind)} WHERE {' AND '.join((_is_there(known), *_without(without)))}{of}"
        return Chosen(known, source, *bounds_ns(start_ms, end_ms), of)

    def readings(
        self,
        kind: str,
        metric: str,
        bounds_ms: tuple[int, int],
        sources: tuple[str | None, str | None],
        every_ms: int | None,
        limit: int,
        reach: Reach,
        without: int = 0,
    ) -> list[tuple[int, Value]]:
        """`sources`: device and asset. `reach`: what there is of the kind. `without`: if set, raw readings alone."""
        spans = plan(*bounds_ms, every_ms, reach, is_raw=without != 0)
        if not spans:
            return []
        if all(span.width_ms == RAW for span in spans):
            chosen = self.choose(kind, metric, spans[0].start_ms, spans[-1].end_ms, *sources, without)
            return self.raw(chosen, limit) if every_ms is None else self.steps(chosen, every_ms, limit)
        told: list[tuple[int, Value]] = []
        steps: dict[int, Part] = {}
        for span in spans:
            chosen = self.choose(kind, metric, span.start_ms, span.end_ms, *sources)
            if every_ms is None:
                more = self.raw(chosen, limit - len(told)) if span.width_ms == RAW else self._left(kind, chosen, span)
                told = (told + more)[:limit]
            else:
                for step, part in self._parts(kind, chosen, span, every_ms):
                    steps[step] = _joined(chosen.metric, steps.get(step), part)
        if every_ms is None:
            return told
        has_mean = is_mean(self._kinds[kind].metrics[metric])
        values = {step: float(part.value) / part.number if has_mean else part.value for step, part in steps.items()}
        return sorted(values.items())[:limit]

    def _left(self, kind: str, chosen: Chosen, span: Span) -> list[tuple[int, Value]]:
        """What is left of values whose readings are gone: one a bucket and place."""
        is_number = chosen.metric.type is MetricType.NUMBER
        rows = self._buckets(kind, chosen, span, "sum" if is_number else "last")
        if is_number:
            return [(at_ms, float(total) / count) for at_ms, count, total, _ in rows]
        return [(at_ms, _value(value)) for at_ms, _, value, _ in rows]

    def _parts(self, kind: str, chosen: Chosen, span: Span, every_ms: int) -> Iterator[tuple[int, "Part"]]:
        column, has_mean = name(chosen.metric.name), is_mean(chosen.metric)
        if span.width_ms != RAW:
            for at_ms, count, value, last_ms in self._buckets(kind, chosen, span, "sum" if has_mean else "last"):
                yield at_ms - at_ms % every_ms, Part((last_ms, 0), count, _value(value))
        elif has_mean:
            group = f"GROUP BY time({every_ms}ms) fill(none)"
            for at_ns, total, count in _whole(
                self._rows(f"SELECT sum({column}), count({column}) {chosen.within()} {group}")
            ):
                yield _ms(at_ns), Part((0, 0), count, float(total))
        else:
            for at_ns, value, seq in _whole(self._rows(f'SELECT {column}, "seq" {chosen.within()}')):
                at_ms = _ms(at_ns)
                yield at_ms - at_ms % every_ms, Part((at_ms, seq), 1, _value(value))

    def _buckets(self, kind: str, chosen: Chosen, span: Span, part: str) -> list[tuple[int, int, Any, int]]:
        """(its beginning, count, sum or last as `part` says, when the last was), in order of time."""
        metric, width = chosen.metric.name, "5m" if span.width_ms == FIVE_MINUTES_MS else "1h"
        columns = ", ".join(name(f"{metric}.{cell}") for cell in ("count", part, "last_ms"))
        source = f"FROM {name(f'{kind}_{width}')} WHERE {name(f'{metric}.count')} > 0{chosen.of}"
        start_ns, end_ns = bounds_ns(span.start_ms, span.end_ms)
        rows = self._rows(f"SELECT {columns} {source} AND time >= {start_ns} AND time < {end_ns}")
        return [(_ms(at_ns), int(count), value, int(last_ms)) for at_ns, count, value, last_ms in _whole(rows)]

    def raw(self, chosen: Chosen, limit: int) -> list[tuple[int, Value]]:
        columns = f'SELECT {name(chosen.metric.name)}, "stream", "seq"'
        rows = list(self._rows(f"{columns} {chosen.within()} LIMIT {limit}"))
        if len(rows) == limit > 0:  # the last millisecond may be torn apart
            start_ns = _ms(rows[-1][0]) * NS_PER_MS
            rest = self._rows(f"{columns} {chosen.within(start_ns, min(chosen.end_ns, start_ns + NS_PER_MS))}")
            rows = [row for row in rows if row[0] < start_ns] + list(rest)
        ordered = sorted((_ms(at_ns), stream, seq, value) for at_ns, value, stream, seq in _whole(rows))
        return [(at_ms, _value(value)) for at_ms, _, _, value in ordered[:limit]]

    def marks(self, kind: str, device: str, start_ms: int, end_ms: int, limit: int) -> list[tuple[int, int]]:
        where = f'AND "device" = {text(tag_text(device))} AND "quality" > 0'
        rows = self._rows(f'SELECT "quality", "stream", "seq" {within(kind, start_ms, end_ms)} {where} LIMIT {limit}')
        ordered = sorted((_ms(at_ns), stream, seq, int(bits)) for at_ns, bits, stream, seq in _whole(rows))
        return [(at_ms, bits) for at_ms, _, _, bits in ordered]

    def steps(self, chosen: Chosen, every_ms: int, limit: int) -> list[tuple[int, Value]]:
        column = name(chosen.metric.name)
        if is_mean(chosen.metric):
            means = self._rows(
                f"SELECT mean({column}) {chosen.within()} GROUP BY time({every_ms}ms) fill(none) LIMIT {limit}"
            )
            return [(_ms(at_ns), float(value)) for at_ns, value in _whole(means)]
        rows = self._rows(f'SELECT {column}, "seq" {chosen.within()}')
        return list(islice(_last_of_steps(_whole(rows), every_ms), limit))

    def latest(self) -> Iterator[tuple[str, str, int, Mapping[str, Value]]]:
        for kind in self._kinds.values():
            source, metrics = f"FROM {name(kind.name)}", list(kind.metrics)
            newest = next(self._rows(f'SELECT last("seq") {source}'), None)
            if newest is None:
                continue
            columns = ", ".join(map(name, (*metrics, "seq")))
            since_ns = max(0, _ms(newest[0]) - LATEST_WITHIN_MS) * NS_PER_MS
            answer = self._link.ask(
                f'SELECT {columns} {source} WHERE time >= {since_ns} GROUP BY "device" ORDER BY time DESC LIMIT 2'
            )
            for series in answer:
                device, rows = series.tags.get("device", ""), series.values
                at_ms = _ms(rows[0][0])
                if len(rows) == 2 and _ms(rows[1][0]) == at_ms:  # of one millisecond: the one of the highest seq
                    start_ns = at_ms * NS_PER_MS
                    rows = list(self._rows(
                        f'SELECT {columns} {source} WHERE "device" = {text(device)} AND time >= {start_ns} '
                        f"AND time < {start_ns + NS_PER_MS}"
                    ))  # fmt: skip
                row = max(rows, key=lambda row: (_ms(row[0]), row[-1]))
                known = {
                    metric: _value(value) for metric, value in zip(metrics, row[1:-1], strict=True) if value is not None
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
                ends += [_ms(row[0]) for row in found]
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
    at_ms, stream = _ms(known.pop("time")), known.pop("stream", "")
    boot, received_at_ms, stored_at_ms, quality, seq = (int(known.pop(field, 0)) for field in FIELDS[1:6])
    said_ms = known.pop(FIELDS[6], None)
    values = {metric: _value(value) for metric, value in known.items()}
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


def name(text: str) -> str:
    """A measurement, tag or field as InfluxQL writes it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(value: str) -> str:
    """A text as InfluxQL writes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _is_there(metric: Metric) -> str:
    column = name(metric.name)
    return f"{column} != ''" if metric.type is MetricType.ENUM else f"({column} >= 0 OR {column} < 0)"


def _without(mask: int) -> list[str]:
    """Conditions that no bit of `mask` is set. Fields are floats, and InfluxQL knows bits of integers only."""
    return [f'"quality" % {2 * bit} < {bit}' for bit in (1 << n for n in range(mask.bit_length())) if mask & bit]


def bounds_ns(start_ms: int, end_ms: int) -> tuple[int, int]:
    return min(max(start_ms, 0) * NS_PER_MS, NS_MAX), min(max(end_ms, 0) * NS_PER_MS, NS_MAX)


def within(kind: str, start_ms: int, end_ms: int) -> str:
    start_ns, end_ns = bounds_ns(start_ms, end_ms)
    return f"FROM {name(kind)} WHERE time >= {start_ns} AND time < {end_ns}"


def _joined(metric: Metric, one: Part | None, other: Part) -> Part:
    if one is None:
        return other
    if is_mean(metric):
        return Part(other.order, one.number + other.number, float(one.value) + float(other.value))
    return max(one, other, key=lambda part: part.order)


def _last_of_steps(rows: Iterator[list[Any]], every_ms: int) -> Iterator[tuple[int, Value]]:
    step, best = -1, (-1, -1.0)
    last: Value | None = None
    for at_ns, value, seq in rows:
        at_ms = _ms(at_ns)
        if at_ms - at_ms % every_ms != step:
            if last is not None:
                yield step, last
            step, best, last = at_ms - at_ms % every_ms, (at_ms, seq), _value(value)
        elif (at_ms, seq) > best:
            best, last = (at_ms, seq), _value(value)
    if last is not None:
        yield step, last


def _whole(rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Those without a hole: of a point that is being written an answer may have some fields only."""
    return (row for row in rows if None not in row)


def _ms(at_ns: int) -> int:
    return at_ns // NS_PER_MS


def _value(value: Any) -> Value:
    """JSON writes the number 5.0 as 5."""
    return value if isinstance(value, str) else float(value)
