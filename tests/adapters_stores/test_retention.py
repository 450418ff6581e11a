"""What is past its time goes, never before it is aggregated; and no question notices where one width meets the next."""

from contextlib import closing
from functools import partial

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.stores.aggregates import Measured, five_minutes
from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_link import InfluxLink
from adapters.stores.influx_store import InfluxStore
from contract.aggregates import FIVE_MINUTES_MS, HOUR_MS, Place, Row
from contract.kind import DAY_MS, Keep, Kinds, Value
from contract.ports import StoredReading, StoreFault
from contract.questions import Aggregate
from contract.records import Entry, Quality, Telemetry
from stand.influxdb import InfluxServer
from tests.adapters_stores.aggregating import SMALL, aggregates, drain, retire, wanted
from tests.adapters_stores.conftest import KINDS, STORES, AnyStore, OpenStore, ask, influx_store
from tests.adapters_stores.entries import AT_MS, telemetry
from tests.adapters_stores.test_aggregates import make

HOUR = AT_MS - AT_MS % HOUR_MS
KEEP = Keep(raw_ms=10 * DAY_MS, five_minutes_ms=400 * DAY_MS, hours_ms=800 * DAY_MS)
SHORT: Kinds = {**KINDS, "street_light": msgspec.structs.replace(KINDS["street_light"], keep=KEEP)}
SHORT_SMALL: Kinds = {"street_light": msgspec.structs.replace(SMALL["street_light"], keep=KEEP)}
ASKED = {"kind": "street_light", "start_ms": 0, "end_ms": 2**53}
STEP_MS = 6 * HOUR_MS


def hourly(count: int, first: int = 1) -> list[Entry]:
    """A reading each 20 minutes, with a counter that grows by 7 each time."""
    return [
        telemetry(n, n, {"power_w": float(n), "energy_wh": n * 7.0, "level_by": "safe"}, at_ms=HOUR + n * 20 * 60_000)
        for n in range(first, first + count)
    ]


def test_raw_readings_stay_until_their_hours_are_aggregated(open_store: OpenStore) -> None:
    store = open_store(SHORT)
    entries = hourly(100)
    store.write(entries, HOUR)
    late_ms = HOUR + 50 * DAY_MS
    assert (retire(store, late_ms), store.count()) == (0, 100)
    store.aggregates.downsample(late_ms)
    retire(store, late_ms)
    assert store.count() == 100 - 71, "the others were in the day that is aggregated"
    drain(store, late_ms)
    retire(store, late_ms)
    assert store.count() == 0
    assert aggregates(store) == wanted(entries)


def test_each_width_goes_at_its_time(open_store: OpenStore) -> None:
    store = open_store(SHORT)
    entries = hourly(9)
    store.write(entries, HOUR)
    drain(store, HOUR + DAY_MS)
    for days, counts in (
        (9, (9, 9, 4)),
        (11, (0, 9, 4)),
        (399, (0, 9, 4)),
        (401, (0, 0, 4)),
        (799, (0, 0, 4)),
        (801, (0, 0, 0)),
    ):
        retire(store, HOUR + days * DAY_MS)
        five, hours = aggregates(store)
        assert (store.count(), len(five), len(hours)) == counts, days


def test_what_is_left_of_readings_is_told_where_they_are_gone(open_store: OpenStore) -> None:
    store = open_store(SHORT)
    store.write(hourly(9), HOUR)
    drain(store, HOUR + DAY_MS)
    five = [(HOUR + n * 20 * 60_000, float(n)) for n in range(1, 10)]
    retire(store, HOUR + 11 * DAY_MS)
    assert ask(store, metric="power_w", **ASKED) == five
    assert [value for _, value in ask(store, metric="level_by", **ASKED)] == ["safe"] * 9
    retire(store, HOUR + 401 * DAY_MS)
    hours = [(HOUR, 1.5), (HOUR + HOUR_MS, 4.0), (HOUR + 2 * HOUR_MS, 7.0), (HOUR + 3 * HOUR_MS, 9.0)]
    assert ask(store, metric="power_w", **ASKED) == hours
    assert [value for _, value in ask(store, metric="energy_wh", **ASKED)] == [14.0, 35.0, 56.0, 63.0]


def test_asked_without_some_quality_only_raw_readings_answer_from_where_they_begin(open_store: OpenStore) -> None:
    """No aggregate can tell what it would be without some of its readings. A late one of the time before is none."""
    store = open_store(SHORT)
    entries = hourly(100)  # all of them have Quality.LATE
    store.write(entries, HOUR)
    drain(store, HOUR + 11 * DAY_MS)
    retire(store, HOUR + 11 * DAY_MS)
    store.write([telemetry(101, 101, {"power_w": 9.0}, at_ms=HOUR + HOUR_MS + 1)], HOUR + 11 * DAY_MS)
    drain(store, HOUR + 12 * DAY_MS)
    asked = partial(ask, store, metric="power_w", **ASKED)
    raw = [(HOUR + n * 20 * 60_000, float(n)) for n in range(72, 101)]
    assert [value for _, value in asked()][:5] == [1.0, 2.0, 6.0, 4.0, 5.0], "the late one is in the third five minutes"
    assert list(asked(without=Quality.RATE)) == raw
    assert list(asked(without=Quality.RATE, limit=3)) == raw[:3]
    assert list(asked(without=Quality.RATE | Quality.LATE)) == []
    means = [(HOUR + DAY_MS + n * HOUR_MS, 73.0 + 3 * n) for n in range(9)]
    assert list(asked(without=Quality.RATE, every_ms=HOUR_MS)) == [*means, (HOUR + 33 * HOUR_MS, 99.5)]
    assert list(asked(without=Quality.LATE, every_ms=HOUR_MS)) == []
    marks = store.marks(kind="street_light", device="lamp-1", start_ms=0, end_ms=2**53)
    assert marks == [(at_ms, Quality.LATE) for at_ms, _ in raw]
    before = {**ASKED, "end_ms": HOUR + HOUR_MS}
    assert ask(store, metric="power_w", without=Quality.RATE, **before) == []


def charts(store: AnyStore, start_ms: int = 0) -> dict[tuple[str, int | None], list[tuple[int, Value]]]:
    return {
        (metric, every_ms): list(
            ask(store, kind="street_light", metric=metric, start_ms=start_ms, end_ms=2**53, every_ms=every_ms)
        )
        for metric in ("power_w", "energy_wh", "level_by")
        for every_ms in (None, FIVE_MINUTES_MS, 7 * 60_000, HOUR_MS, STEP_MS)
    }


def test_a_chart_over_the_borders_of_raw_five_minutes_and_hours_has_no_hole_and_no_double(
    open_store: OpenStore,
) -> None:
    """One reading in each hour, at its beginning: every width has it once and at the same time."""
    store = open_store(SHORT)
    entries = [
        telemetry(n, n, {"power_w": float(n), "energy_wh": n * 7.0, "level_by": "safe"}, at_ms=HOUR + n * HOUR_MS)
        for n in range(1, 900)
    ]
    store.write(entries, HOUR)
    before = charts(store)
    end_ms = HOUR + 900 * HOUR_MS
    drain(store, end_ms)
    assert charts(store) == before
    retire(store, end_ms)
    assert store.count() == 240, "ten days are raw"
    assert charts(store) == before
    drain(store, end_ms + 380 * DAY_MS)
    retire(store, end_ms + 380 * DAY_MS)
    assert (store.count(), len(aggregates(store)[0])) == (0, 480), "twenty days are five minutes"
    assert charts(store) == before
    border_ms = HOUR + 402 * HOUR_MS  # a step of six hours and of seven minutes begins there, too
    for (metric, every_ms), rows in charts(store, border_ms).items():
        wanted_rows = [row for row in before[metric, every_ms] if row[0] > border_ms - (every_ms or 1)]
        assert rows[1:] == wanted_rows[1:], (metric, every_ms)
        assert rows[0][0] == wanted_rows[0][0], (metric, every_ms)


def test_a_long_time_is_answered_from_aggregates_exactly_also_at_its_ends(open_store: OpenStore) -> None:
    store = open_store()
    store.write(hourly(400), HOUR)
    asked = {**ASKED, "start_ms": HOUR + 1234, "end_ms": HOUR + 390 * 20 * 60_000 + 1}
    before = [ask(store, metric="power_w", every_ms=every_ms, **asked) for every_ms in (HOUR_MS, STEP_MS)]
    drain(store, HOUR + 400 * DAY_MS)
    after = [ask(store, metric="power_w", every_ms=every_ms, **asked) for every_ms in (HOUR_MS, STEP_MS)]
    assert after == before
    store.write([telemetry(401, 401, {"power_w": 1000.0}, at_ms=HOUR + 10 * HOUR_MS + 1)], HOUR)
    changed = dict(ask(store, metric="power_w", every_ms=HOUR_MS, **asked))
    assert changed[HOUR + 10 * HOUR_MS] == (30 + 31 + 32 + 1000) / 4, "what is not aggregated yet is told, too"


readings = st.lists(
    st.tuples(
        st.sampled_from(["pole-1", "pole-2"]),
        st.integers(0, 3 * HOUR_MS),  # the order within a millisecond is gone with raw readings
        st.fixed_dictionaries(
            {}, optional={"power_w": st.integers(0, 2000).map(float), "level_by": st.sampled_from(["lease", "safe"])}
        ),
    ),
    max_size=9,
    unique_by=lambda one: one[1],
)


@pytest.mark.parametrize("kind_of_store", STORES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=readings,
    on_time=st.integers(0, 9),
    steps=st.lists(st.booleans(), min_size=9, max_size=9),
    order=st.randoms(),
)
def test_readings_that_come_when_their_neighbours_are_gone_are_added_as_if_on_time(
    kind_of_store: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[str, int, dict[str, float]]],
    on_time: int,
    steps: list[bool],
    order: object,
) -> None:
    """The counter grows with time and is never reset: then its increase is exact, too."""
    entries = [
        telemetry(n, n, {**values, "energy_wh": float(at_ms // 1000)}, at_ms=HOUR + at_ms, asset=asset)
        for n, (asset, at_ms, values) in enumerate(found, 1)
    ]
    order.shuffle(entries)  # type: ignore[attr-defined]
    entries = [msgspec.structs.replace(one, position=n) for n, one in enumerate(entries, 1)]
    now_ms = HOUR + 50 * DAY_MS
    with make(kind_of_store, request, tmp_path_factory.mktemp("late"), SHORT_SMALL) as store:
        store.write(entries[:on_time], HOUR)
        drain(store, now_ms)
        retire(store, now_ms)
        assert store.count() == 0
        for entry, is_drained in zip(entries[on_time:], steps, strict=False):
            store.write([entry], now_ms)
            if is_drained:
                drain(store, now_ms)
                retire(store, now_ms)
        drain(store, now_ms)
        assert aggregates(store) == wanted(entries)


def test_an_hour_whose_five_minutes_are_gone_is_kept_and_late_readings_are_added_to_it_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter that is late at the end of an hour changes the increase of the next, which has no reading any more.
    What failed is made again, and adds nothing twice."""
    store = open_store(SHORT)
    entries, now_ms = hourly(9), HOUR + 401 * DAY_MS
    store.write(entries, HOUR)
    drain(store, now_ms)
    retire(store, now_ms)
    assert (hours_of(store), aggregates(store)[0]) == (wanted(entries)[1], [])
    for n, (late_ms, energy) in enumerate(((119, 41.0), (61, 22.0), (118, 40.0)), 10):
        entries.append(telemetry(n, n, {"power_w": 500.0, "energy_wh": energy}, at_ms=HOUR + late_ms * 60_000))
        store.write(entries[-1:], now_ms)
        with monkeypatch.context() as patched:
            patched.setattr("adapters.stores.duckdb_aggregates._followers", broken)
            patched.setattr(
                "adapters.stores.marks.Marks.is_marked", broken
            )  # InfluxDB: when all but the mark is written
            with pytest.raises(StoreFault):
                store.aggregates.downsample(now_ms)
        drain(store, now_ms)
        assert (hours_of(store), aggregates(store)[0]) == (wanted(entries)[1], []), late_ms
        if n == 11:
            retire(store, now_ms)
            store = open_store(SHORT)
    grown = ask(store, metric="energy_wh", every_ms=HOUR_MS, aggregate=Aggregate.INCREASE, **ASKED)
    assert grown == [(HOUR, 7.0), (HOUR + HOUR_MS, 27.0), (HOUR + 2 * HOUR_MS, 15.0), (HOUR + 3 * HOUR_MS, 7.0)]


def test_what_the_log_brings_again_of_a_time_that_is_gone_counts_once(open_store: OpenStore) -> None:
    """Into a store that begins anew with the aggregates of another; what comes behind that position is late."""
    store = open_store(SHORT)
    entries, now_ms = hourly(9), HOUR + 11 * DAY_MS
    store.write(entries, HOUR)
    drain(store, now_ms)
    retire(store, now_ms)
    position = store.position()
    store.aggregates.take_counted(position)
    store.aggregates.take_counted(1)
    if isinstance(store, DuckStore):
        store._ask("UPDATE position SET position = 0")
    store = open_store(SHORT)
    late = telemetry(10, 10, {"power_w": 5.0}, at_ms=HOUR + 1)
    store.write([*entries[4:], late], now_ms)
    drain(store, now_ms)
    assert (aggregates(store), store.count()) == (wanted([*entries, late]), 1)
    assert (store.position(), store.passed_over) == (10, 0)


def test_an_hour_of_a_store_from_before_hours_had_inner_keeps_its_increase() -> None:
    """It was reset within: only the increase itself still tells how much it grew."""
    row = Row(
        place=Place("lamp-1", "pole-1"), at_ms=HOUR,
        cells={"readings": 3.0, "energy_wh.count": 3.0, "energy_wh.first": 10.0, "energy_wh.first_ms": float(HOUR),
               "energy_wh.last": 12.0, "energy_wh.last_ms": HOUR + 9.0, "energy_wh.increase": 47.0},
    )  # fmt: skip
    late = Measured(HOUR + 5, 9, "9f3c01aa", row.place, 0, {"power_w": 1.0})
    [made] = five_minutes(SMALL["street_light"], [late], {"energy_wh": 5.0}, [row], HOUR_MS)
    assert (made.cells["energy_wh.increase"], made.cells["energy_wh.inner"]) == (47.0, 42.0)
    assert (made.cells["readings"], made.cells["power_w.count"]) == (4.0, 1.0)


def hours_of(store: AnyStore) -> list[Row]:
    """Without what InfluxDB remembers of how they were made."""
    hours = aggregates(store)[1]
    for row in hours:
        row.cells.pop("merged", None)
    return hours


def broken(*_: object, **__: object) -> None:
    raise StoreFault("the disk is full")


def test_history_of_a_time_that_is_gone_is_not_taken_in_again(open_store: OpenStore) -> None:
    store = open_store(SHORT)
    entries = hourly(6)
    store.write(entries, HOUR)
    told = [
        StoredReading(received_at_ms=one.at_ms, stored_at_ms=AT_MS, record=one.record)
        for one in entries
        if isinstance(one.record, Telemetry)
    ]
    drain(store, HOUR + DAY_MS)
    retire(store, HOUR + 20 * DAY_MS)
    store.take(told)
    drain(store, HOUR + 20 * DAY_MS)
    assert (store.count(), aggregates(store)) == (0, wanted(entries))


@pytest.mark.services
def test_a_token_for_the_bucket_alone_is_enough_to_retire(influx: InfluxServer) -> None:
    bucket = influx.add_bucket("retiring")
    _, token = influx.add_token(bucket, "read", "write")
    with closing(InfluxStore(influx.url, influx.org, "retiring", token, SHORT)) as store:
        store.write(hourly(9), HOUR)
        drain(store, HOUR + 50 * DAY_MS)
        retire(store, HOUR + 50 * DAY_MS)
        assert (store.count(), aggregates(store)) == (0, wanted(hourly(9)))


@pytest.mark.services
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_deletion_that_is_broken_off_is_finished_before_anything_is_written(
    influx: InfluxServer, influx_bucket: str, monkeypatch: pytest.MonkeyPatch, is_deleted: bool
) -> None:
    now_ms = HOUR + 50 * DAY_MS
    entries, delete = hourly(9), InfluxLink.delete

    def broken(link: InfluxLink, measurement: str, start_ns: int, end_ns: int) -> None:
        if is_deleted:
            delete(link, measurement, start_ns, end_ns)
        raise StoreFault("the server has gone")

    with closing(influx_store(influx, influx_bucket, SHORT)) as store:
        store.write(entries, HOUR)
        drain(store, now_ms)
        monkeypatch.setattr(InfluxLink, "delete", broken)
        with pytest.raises(StoreFault):
            store.aggregates.retire(now_ms)
        monkeypatch.undo()
    late = telemetry(10, 10, {"power_w": 500.0}, at_ms=HOUR + 1)
    with closing(influx_store(influx, influx_bucket, SHORT)) as store:
        store.write([late], now_ms)
        assert store.count() == 1
        drain(store, now_ms)
        assert aggregates(store) == wanted([*entries, late])


def test_a_step_that_fails_is_made_again(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(SHORT)
    entries = hourly(9)
    store.write(entries, HOUR)
    name = "adapters.stores.duckdb_downsampling.aggregate" if isinstance(store, DuckStore) else (
        "adapters.stores.influx_aggregates.roll_up"
    )  # fmt: skip

    with monkeypatch.context() as patched:
        patched.setattr(name, broken)
        with pytest.raises(StoreFault):
            store.aggregates.downsample(HOUR + DAY_MS)
    assert store.aggregates.behind(HOUR + DAY_MS).hours == 4
    drain(store, HOUR + DAY_MS)
    assert aggregates(store) == wanted(entries)
