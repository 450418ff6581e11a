"""Line protocol: every text and every number comes back from a real server as it was."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.stores.influx_lines import LineMaker, at_ns, find, point_line, tag_text, tag_value
from contract.annals import NS_PER_MS, Point
from contract.records import Entry, Reading, Telemetry
from stand.influxdb import InfluxServer
from tests.adapters_stores.conftest import KINDS, ask, influx_store
from tests.adapters_stores.entries import AT_MS, telemetry

ODD = [
    "", " ", ",", "=", '"', "\\", "a\\", "\\,", "\\ ", "a\\\\", "\n", "a\nb", "\t", "%", "%5C", "%%", "'", "/*",
    "--", "#", "حي السلام", "Cité d'été", "\x00", "\x7f", "\u2028", "😀", ",device=x", "v=1 1\nx,y=z w=1", "null",
    "true", "1.0", "{", "},{", '},{"', "\r", "a\r\nb",
]  # fmt: skip
texts = st.one_of(st.sampled_from(ODD), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
numbers = st.floats(allow_nan=False, allow_infinity=False)


def lines_of(*records: Telemetry) -> list[str]:
    maker = LineMaker(KINDS)
    maker.add([Entry(0, AT_MS, record) for record in records], AT_MS)
    return [line for _, lines in maker.take() for line in lines]


def test_a_line_says_what_a_reading_is_in_the_order_that_influxdb_likes() -> None:
    record = telemetry(1, 7, {"power_w": 61.2, "level_by": "lease"}, place=("berkane", "centre", "c-12")).record
    assert isinstance(record, Telemetry)
    [line] = lines_of(record)
    digits = at_ns(AT_MS + 7000, "9f3c01aa", 7)
    assert line == (
        "street_light,asset=pole-1,circuit=c-12,commune=berkane,device=lamp-1,zone=centre "
        f'stream="9f3c01aa",boot=3,received_at_ms={AT_MS},stored_at_ms={AT_MS},quality=4,seq=7,'
        f'power_w=61.2,level_by="lease" {digits}'
    )
    assert digits // NS_PER_MS == AT_MS + 7000


@given(st.lists(st.dictionaries(st.sampled_from(["power_w", "energy_wh", "level_by"]), numbers), max_size=6))
def test_the_fast_way_and_the_slow_way_make_the_same_lines(values: list[dict[str, Any]]) -> None:
    for one in values:
        if "level_by" in one:
            one["level_by"] = "lease"
    record = Telemetry(device="lamp-1", asset="", kind="street_light", stream="9f3c01aa", boot=1,
                       readings=tuple(Reading(n, AT_MS, one) for n, one in enumerate(values)))  # fmt: skip
    odd = Telemetry(device="lamp-1", asset="", kind="street_light", stream="9f3c01aa", boot=1,
                    readings=(*record.readings, Reading(99, AT_MS, {"level_by": 'a"b'})))  # fmt: skip
    assert lines_of(record) == lines_of(odd)[:-1]


def test_a_line_is_found_again_among_all() -> None:
    maker = LineMaker(KINDS)
    records = [telemetry(n, n * 10, readings=n % 3).record for n in range(1, 9)]
    assert maker.add([Entry(0, number, record) for number, record in enumerate(records)], AT_MS) == 9
    [(batch, lines)] = maker.take()
    for number, line in enumerate(lines):
        record, reading, received_at_ms = find(batch, number)
        assert f",seq={reading.seq}," in line
        assert records[received_at_ms] is record


@given(texts)
def test_a_tag_value_has_nothing_in_it_that_cannot_be_written_and_comes_back(text: str) -> None:
    written = tag_text(text)
    assert tag_value(written) == text
    assert not any(character in "\\\n\r\x00" for character in written)


def test_a_point_without_fields_is_none() -> None:
    with pytest.raises(ValueError, match="nabd_alarms has no field"):
        point_line(Point(measurement="nabd_alarms", tags={"rule": "x"}, fields={}, at_ns=1))


@pytest.mark.services
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(places=st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=20), number=numbers)
def test_places_and_groups_of_any_text_come_back(
    influx: InfluxServer, influx_bucket: str, places: list[tuple[str, str, str, str]], number: float
) -> None:
    store = influx_store(influx, influx_bucket)
    entries = [
        telemetry(n, n, {"power_w": number}, asset=asset, place=(commune, zone, group))
        for n, (asset, commune, zone, group) in enumerate(places, 1)
    ]
    store.write(entries, AT_MS)
    stored = [one.record for one in store.history(0, 2**53)]
    assert all(entry.record in stored for entry in entries)
    for asset in {place[0] for place in places if place[0]}:
        rows = ask(store, kind="street_light", metric="power_w", start_ms=0, end_ms=2**53, asset=asset, limit=99)
        assert (AT_MS + 1000 * [entry[0] for entry in places].index(asset) + 1000, number) in rows
    store.close()


@pytest.mark.services
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.dictionaries(st.sampled_from(["a", "b c", "d,e", "f=g"]), texts, min_size=1), number=numbers)
def test_points_of_any_text_and_number_come_back(
    influx: InfluxServer, influx_bucket: str, fields: dict[str, str], number: float
) -> None:
    store = influx_store(influx, influx_bucket)
    point = Point(measurement="nabd_alarms", tags={"rule": "x,=\\ y", "zone": ""}, fields={**fields, "n": number},
                  at_ns=AT_MS * NS_PER_MS)  # fmt: skip
    influx.api("POST", f"/api/v2/delete?org={influx.org}&bucket={influx_bucket}",
               start="1970-01-01T00:00:00Z", stop="2100-01-01T00:00:00Z")  # fmt: skip
    store.record([point])
    store.record([point])
    [row] = influx.ask('SELECT * FROM "nabd_alarms"', influx_bucket)
    assert {name: row[name] for name in fields} == fields
    assert (float(row["n"]), tag_value(row["rule"]), "zone" in row) == (number, "x,=\\ y", False)
    store.close()
