"""What is taken out of a store in bulk: every reading once, in order, typed, the same from both stores."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from adapters.stores import slices
from adapters.stores.duckdb_store import DuckStore
from contract.extracts import Wanted, allowed_quality, quality_words
from contract.ports import StoreFault
from contract.records import Entry, Quality, Reading, Telemetry
from nabd.storing import extracts_of
from tests.adapters_stores.conftest import KINDS, AnyStore, OpenStore
from tests.adapters_stores.entries import AT_MS, telemetry

EVER = Wanted(start_ms=0, end_ms=2**53)
LAMP = "street_light"


def taken(store: AnyStore, kind: str = LAMP, **wanted: object) -> list[dict[str, object]]:
    """All rows."""
    asked = Wanted(**{"start_ms": 0, "end_ms": 2**53, **wanted})  # type: ignore[arg-type]
    return [row for table in extracts_of(store, KINDS).tables(kind, asked) for row in table.to_pylist()]


def at(ms: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def test_an_empty_store_gives_no_table_and_still_has_columns(open_store: OpenStore) -> None:
    extracts = extracts_of(open_store(), KINDS)
    assert list(extracts.tables(LAMP, EVER)) == []
    assert extracts.count(LAMP, EVER) == 0
    assert extracts.schema(LAMP).names[:2] == ["measured_at", "received_at"]


def test_a_reading_comes_out_with_its_name_place_times_and_typed_values(open_store: OpenStore) -> None:
    store = open_store()
    values = {"level": 0.5, "level_by": "lease", "energy_wh": 9007199254740991.0}
    store.write([telemetry(7, 3, values, place=("berkane", "Centre, ville", "c=1\\"))], AT_MS + 9)
    [row] = taken(store)
    assert {key: value for key, value in row.items() if value is not None} == {
        "measured_at": at(AT_MS + 3000), "received_at": at(AT_MS + 7), "stored_at": at(AT_MS + 9), "device": "lamp-1",
        "asset": "pole-1", "stream": "9f3c01aa", "seq": 3, "boot": 3, "quality": 4, "commune": "berkane",
        "zone": "Centre, ville", "group_name": "c=1\\", "level": 0.5, "level_by": "lease",
        "energy_wh": 9007199254740991,
    }  # fmt: skip
    store.write([telemetry(8, 1, {"open": 1.0}, kind="irrigation_valve"), telemetry(9, 2, {"open": 0.0},
                 kind="irrigation_valve")], AT_MS)  # fmt: skip
    assert [row["open"] for row in taken(store, "irrigation_valve")] == [True, False]


def test_every_column_tells_its_type_and_unit(open_store: OpenStore) -> None:
    schema = extracts_of(open_store(), KINDS).schema(LAMP)
    assert schema.field("measured_at").type == pa.timestamp("ms", tz="UTC")
    assert schema.field("power_w").type == pa.float64()
    assert schema.field("power_w").metadata[b"unit"] == b"W"
    assert schema.field("power_w").metadata[b"unit_code"] == b"WTT"
    assert schema.field("energy_wh").type == pa.int64()
    assert schema.field("level_by").metadata[b"values"] == b"lease,schedule,safe,interlock,local"
    assert b"4 late" in schema.field("quality").metadata[b"description"]
    assert schema.metadata[b"nabd_kind"] == LAMP.encode()


def test_filters_choose_by_time_thing_place_metric_and_quality(open_store: OpenStore) -> None:
    store = open_store()
    entries = [
        Entry(
            n,
            AT_MS,
            Telemetry(
                device=f"lamp-{n % 2}", asset=f"pole-{n % 3}", kind=LAMP, stream="9f3c01aa", boot=1, zone=f"z{n % 4}",
                readings=(Reading(n, AT_MS + n, {"power_w": 1.0} if n % 5 else {"level": 0.0}, n % 8),),
            ),
        )
        for n in range(1, 61)
    ]  # fmt: skip
    store.write(entries, AT_MS)

    def seqs(**wanted: object) -> list[object]:
        return [row["seq"] for row in taken(store, **wanted)]  # type: ignore[arg-type]

    every = range(1, 61)
    assert seqs() == list(every)
    assert seqs(start_ms=AT_MS + 5, end_ms=AT_MS + 9) == [5, 6, 7, 8]
    assert seqs(devices=("lamp-1",)) == [n for n in every if n % 2]
    assert seqs(assets=("pole-0", "pole-2")) == [n for n in every if n % 3 != 1]
    assert seqs(zones=("z3",), devices=("lamp-1", "lamp-0")) == [n for n in every if n % 4 == 3]
    assert seqs(metrics=("level",)) == [n for n in every if n % 5 == 0]
    assert seqs(metrics=("level", "power_w")) == list(every)
    assert seqs(allowed=0) == [n for n in every if n % 8 == 0]
    assert seqs(allowed=Quality.LATE | Quality.CLOCK_HELD) == [n for n in every if not n % 8 & ~5]
    assert seqs(devices=("lamp-9",)) == []
    assert set(taken(store, metrics=("level",))[0]) >= {"level", "measured_at"}
    assert "power_w" not in taken(store, metrics=("level",))[0]
    with pytest.raises(KeyError):
        seqs(metrics=("colour",))


def test_whatever_the_size_of_a_table_each_reading_comes_once_in_order(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense hours, empty weeks, and more of one millisecond than a table may hold."""
    store = open_store()
    hours = [telemetry(n, n * 10, at_ms=AT_MS + n * 700, readings=9) for n in range(1, 40)]
    later = [telemetry(40 + n, 1000 + n, at_ms=AT_MS + 40 * 86_400_000 + n // 30) for n in range(90)]
    store.write([*hours, *later], AT_MS)
    sizes = []
    tight = slices.in_slices
    monkeypatch.setattr(
        f"adapters.stores.{'duckdb' if isinstance(store, DuckStore) else 'influx'}_export.in_slices",
        lambda first, last, count, fetch: tight(first, last, count, fetch, 20),
    )
    rows = []
    for table in extracts_of(store, KINDS).tables(LAMP, EVER):
        sizes.append(table.num_rows)
        rows += table.to_pylist()
    names = [(row["measured_at"], row["device"], row["stream"], row["seq"]) for row in rows]
    assert names == sorted(set(names))
    assert len(names) == store.count() == 39 * 9 + 90
    assert max(sizes) == 30, "only readings of one millisecond are more than a table's measure"
    assert extracts_of(store, KINDS).count(LAMP, EVER) == len(names)


def test_a_metric_that_the_kind_has_lost_still_comes_out(open_store: OpenStore) -> None:
    import msgspec

    from contract.kind import Metric, MetricType

    lamp = KINDS[LAMP]
    hue = Metric(name="hue", type=MetricType.NUMBER, labels={})
    older = {**KINDS, LAMP: msgspec.structs.replace(lamp, metrics={**lamp.metrics, "hue": hue})}
    open_store(older).write([telemetry(1, 1, {"hue": 7.0})], AT_MS)
    store = open_store()
    [row] = taken(store)
    assert row["hue"] == 7.0
    assert b"no longer" in extracts_of(store, KINDS).schema(LAMP).field("hue").metadata[b"description"]
    assert [row["seq"] for row in taken(store, metrics=("hue",))] == [1]


def test_nothing_stays_open_while_a_reader_takes_its_time(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1)], AT_MS)
    reading = extracts_of(store, KINDS).tables(LAMP, EVER)
    next(reading)
    assert store.write([telemetry(2, 2)], AT_MS) == 1
    store.close()
    with pytest.raises(StoreFault):
        list(extracts_of(store, KINDS).tables(LAMP, EVER))


def test_words_for_quality_are_its_bits() -> None:
    assert allowed_quality([]) is None
    assert allowed_quality(["good"]) == 0
    assert allowed_quality(["late", "clock_held"]) == Quality.LATE | Quality.CLOCK_HELD
    assert set(quality_words()) == {"good", *(bit.name.lower() for bit in Quality if bit.name)}
    with pytest.raises(ValueError, match="'bad' is none of good, clock_held"):
        allowed_quality(["bad"])
