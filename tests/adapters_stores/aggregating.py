"""What the aggregates of readings must be: made from all of them, sorted, with nothing in between."""

from collections.abc import Iterable

import msgspec

from adapters.stores.aggregates import Measured, five_minutes, roll_up
from contract.aggregates import FIVE_MINUTES_MS, HOUR_MS, Place, Row
from contract.kind import Kind, Kinds
from contract.records import Entry, Telemetry
from tests.adapters_stores.conftest import KINDS, AnyStore

KIND = KINDS["street_light"]
SMALL: Kinds = {  # a store of its own for each example: the fewer columns, the faster
    "street_light": msgspec.structs.replace(
        KIND, metrics={name: KIND.metrics[name] for name in ("power_w", "energy_wh", "level_by")}
    )
}
LATER_MS = 400 * 86_400_000


def drain(store: AnyStore, now_ms: int) -> int:
    """Everything that is due is aggregated; in how many steps."""
    steps = 0
    while store.aggregates.downsample(now_ms) is not None:
        steps += 1
    return steps


def retire(store: AnyStore, now_ms: int) -> int:
    """Everything that is past its time and aggregated is gone; how many rows."""
    gone = 0
    while step := store.aggregates.retire(now_ms):
        gone += step
    return gone


def aggregates(store: AnyStore, kind: Kind = KIND) -> tuple[list[Row], list[Row]]:
    """(five minutes, hours) that a store has."""
    five, hours = (
        sorted(store.aggregates.aggregates(kind.name, every_ms, 2**53), key=lambda row: (row.place, row.at_ms))
        for every_ms in (FIVE_MINUTES_MS, HOUR_MS)
    )
    return five, hours


def wanted(entries: Iterable[Entry], kind: Kind = KIND) -> tuple[list[Row], list[Row]]:
    """(five minutes, hours) that follow from readings; a reading that comes twice counts once."""
    series: dict[tuple[str, str], dict[tuple[str, int], Measured]] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, Telemetry) and record.kind == kind.name:
            place = Place(record.device, record.asset, record.commune, record.zone, record.group)
            found = series.setdefault((record.device, record.asset), {})
            for one in record.readings:
                measured = Measured(one.measured_at_ms, one.seq, record.stream, place, one.quality, one.values)
                found[(record.stream, one.seq)] = measured
    five = [row for found in series.values() for row in five_minutes(kind, found.values(), {})]
    five.sort(key=lambda row: (row.place, row.at_ms))
    hours = roll_up(kind, five)
    return five, hours
