"""Readings taken out of an InfluxDB in bulk: slices of time, each the whole answer to one question.

InfluxQL has no bits of a field: `allowed` is judged here.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from adapters.stores.arrow_columns import FIXED, metrics_of, schema, typed
from adapters.stores.influx_lines import FIELDS, tag_text, tag_value
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influxql import name, text, within
from adapters.stores.slices import in_slices
from contract.annals import NS_PER_MS
from contract.extracts import Wanted
from contract.kind import Kind, Kinds

TAGS = ("device", "asset", "commune", "zone")
BY_NAME = [(key, "ascending") for key in ("measured_at_ms", "device", "stream", "seq")]


class InfluxExtracts:
    """Implements contract.extracts.Extracts. Closing the link is its owner's."""

    def __init__(self, link: InfluxLink, kinds: Kinds) -> None:
        self._link, self._kinds = link, kinds

    def schema(self, kind: str, metrics: tuple[str, ...] = ()) -> pa.Schema:
        return schema(self._kinds[kind], self._held(kind), metrics)

    def count(self, kind: str, wanted: Wanted) -> int:
        self.schema(kind, wanted.metrics)
        source = self._source(kind, wanted, self._held(kind))
        rows = list(self._rows(f'SELECT count("seq") {source(wanted.start_ms, wanted.end_ms)}'))
        return sum(int(row[1]) for row in rows)

    def tables(self, kind: str, wanted: Wanted) -> Iterator[pa.Table]:
        known, held = self._kinds[kind], self._held(kind)
        form = schema(known, held, wanted.metrics)
        metrics = {metric: held[metric] for metric in metrics_of(form)}
        source = self._source(kind, wanted, held)

        def fetch(start_ms: int, end_ms: int, limit: int | None) -> pa.Table:
            cut = "" if limit is None else f" LIMIT {limit}"
            answer = self._link.ask(f"SELECT * {source(start_ms, end_ms)}{cut}")
            parts = [_table(known, metrics, series.columns, series.values) for series in answer if series.values]
            return pa.concat_tables(parts) if parts else _table(known, metrics, [], [])

        count = self.count(kind, wanted)
        ends = [
            row[0] // NS_PER_MS
            for end in ("first", "last")
            for row in self._rows(f'SELECT {end}("seq") {source(wanted.start_ms, wanted.end_ms)}')
        ]
        if not count or not ends:
            return
        for found in in_slices(min(ends), max(ends), count, fetch):
            if wanted.allowed is not None:
                against = pc.bit_wise_and(found["quality"], pa.scalar(~wanted.allowed, pa.int32()))
                found = found.filter(pc.equal(against, 0))
            if found.num_rows:
                yield typed(found.sort_by(BY_NAME), form)

    def _held(self, kind: str) -> dict[str, bool]:
        """Every metric of the kind, and whatever other fields its measurement has: is it a text?"""
        metrics = self._kinds[kind].metrics
        held = {metric.name: bool(metric.values) for metric in metrics.values()}
        fixed = {*FIELDS, *(stored for stored, _, _ in FIXED)}
        for row in self._rows(f"SHOW FIELD KEYS FROM {name(kind)}"):
            if row[0] not in fixed:
                held.setdefault(row[0], row[1] == "string")
        return held

    def _source(self, kind: str, wanted: Wanted, held: dict[str, bool]) -> Any:
        """(start, end) → FROM … WHERE …"""
        more = "".join(
            f" AND ({' OR '.join(f'{name(tag)} = {text(tag_text(value))}' for value in values)})"
            for tag, values in (("device", wanted.devices), ("asset", wanted.assets), ("zone", wanted.zones))
            if values
        )
        if wanted.metrics:
            more += f" AND ({' OR '.join(_is_there(metric, is_text=held[metric]) for metric in wanted.metrics)})"
        return lambda start_ms, end_ms: within(kind, start_ms, end_ms) + more

    def _rows(self, query: str) -> Iterator[list[Any]]:
        for series in self._link.ask(query):
            yield from series.values


def _is_there(metric: str, *, is_text: bool) -> str:
    """InfluxQL knows no null in a condition: a comparison that every value passes says it."""
    return f"{name(metric)} != ''" if is_text else f"({name(metric)} >= 0 OR {name(metric)} < 0)"


def _table(kind: Kind, metrics: dict[str, bool], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows of an answer as DuckDB would hold them."""
    found = dict(zip(columns, zip(*rows, strict=True), strict=True)) if rows else {}
    nothing = (None,) * len(rows)
    arrays: dict[str, pa.Array] = {}
    for stored, _, type_ in FIXED:
        if stored == "measured_at_ms":
            values: Sequence[Any] = [at_ns // NS_PER_MS for at_ns in found.get("time", ())]
        elif stored == "group_name" or stored in TAGS:
            tag = (kind.group or "group") if stored == "group_name" else stored
            values = [tag_value(value or "") for value in found.get(tag, nothing)]
        else:
            values = [int(value) if isinstance(value, float) else value for value in found.get(stored, nothing)]
        arrays[stored] = pa.array(values, type_)
    for metric, is_text in metrics.items():
        values = found.get(metric, nothing)
        arrays[metric] = pa.array(values, pa.string()) if is_text else _floats(values)
    return pa.table(arrays)


def _floats(values: Sequence[Any]) -> pa.Array:
    """JSON writes the number 5.0 as 5."""
    return pa.array([None if value is None else float(value) for value in values], pa.float64())
