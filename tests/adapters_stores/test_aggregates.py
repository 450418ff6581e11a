"""Aggregates are what all readings of their time say, whenever and in whatever order these came."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.stores.duckdb_store import DuckStore
from contract.aggregates import HOUR_MS, SETTLE_MS
from contract.kind import Kinds
from contract.records import Entry, Quality, Reading, Telemetry
from tests.adapters_stores.aggregating import LATER_MS, SMALL, aggregates, drain, wanted
from tests.adapters_stores.conftest import STORES, AnyStore, OpenStore, influx_store
from tests.adapters_stores.entries import AT_MS, telemetry

HOUR = AT_MS - AT_MS % HOUR_MS
NOW_MS = HOUR + LATER_MS
DAY_MS = 24 * HOUR_MS

moments = st.one_of(
    st.integers(0, 3 * HOUR_MS),
    st.integers(0, 40).map(lambda n: n * 300_000),  # on the borders of buckets
    st.sampled_from([DAY_MS - 1, DAY_MS, DAY_MS + HOUR_MS, 2 * DAY_MS, 40 * DAY_MS, 41 * DAY_MS]),
)
values = st.fixed_dictionaries(
    {},
    optional={
        "power_w": st.floats(0, 2000),
        "energy_wh": st.integers(0, 40).map(float),  # falls as often as it rises
        "level_by": st.sampled_from(["lease", "schedule", "safe"]),
    },
)
senders = st.sampled_from([("lamp-1", "pole-1"), ("lamp-1", "pole-2"), ("lamp-2", "pole-2")])
readings = st.lists(
    st.tuples(
        senders, moments, values, st.sampled_from([0, Quality.LATE, Quality.RATE, Quality.STUCK | Quality.CLOCK_OFF])
    ),
    max_size=12,
)


def entry(position: int, seq: int, one: tuple[tuple[str, str], int, dict[str, object], int]) -> Entry:
    (device, asset), at_ms, found, quality = one
    said_ms = at_ms if quality & Quality.CLOCK_OFF else None
    zone = "ab"[at_ms // 1000 % 2]  # it moves to and fro; but of one millisecond, one place is known
    record = Telemetry(
        device=device, asset=asset, kind="street_light", stream="9f3c01aa", boot=1, commune="berkane", zone=zone,
        group="c-12", readings=(Reading(seq, HOUR + at_ms, found, int(quality), said_ms),),  # type: ignore[arg-type]
    )  # fmt: skip
    return Entry(position, AT_MS, record)


@pytest.mark.parametrize("kind_of_store", STORES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=readings, data=st.data())
def test_any_order_with_any_steps_between_gives_what_all_readings_sorted_give(
    kind_of_store: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[tuple[str, str], int, dict[str, object], int]],
    data: st.DataObject,
) -> None:
    numbered = list(enumerate(found, 1))
    order = data.draw(st.permutations(numbered))
    entries = [entry(position, seq, one) for position, (seq, one) in enumerate(order, 1)]
    folder: Path = tmp_path_factory.mktemp("any")
    with make(kind_of_store, request, folder, SMALL) as store:
        for one in entries:
            store.write([one], data.draw(st.sampled_from([HOUR, HOUR + 2 * HOUR_MS, NOW_MS])))
            if data.draw(st.booleans()):
                store.aggregates.downsample(NOW_MS)
        drain(store, NOW_MS)
        assert aggregates(store) == wanted(entries)
        assert store.aggregates.behind(NOW_MS).hours == 0


@contextmanager
def make(kind_of_store: str, request: pytest.FixtureRequest, folder: Path, kinds: Kinds) -> Iterator[AnyStore]:
    """A store of its own for each example."""
    if kind_of_store == "duckdb":
        with closing(DuckStore(folder / "store.duckdb", kinds)) as store:
            yield store
    else:
        server = request.getfixturevalue("influx")
        server.add_bucket(folder.name)
        with closing(influx_store(server, folder.name, kinds)) as points:
            yield points


def cell(store: AnyStore, name: str, *, hours: bool = False) -> list[tuple[int, object]]:
    return [(row.at_ms - HOUR, row.cells[name]) for row in aggregates(store)[hours] if name in row.cells]


def energies(store: AnyStore, *told: tuple[int, float], first: int = 1) -> None:
    """(ms into the hour, Wh) one after the other."""
    for n, (at_ms, energy) in enumerate(told, first):
        store.write([telemetry(n, n, {"energy_wh": energy}, at_ms=HOUR + at_ms)], HOUR)


def test_an_increase_counts_where_its_later_reading_lies_and_a_drop_is_a_reset(open_store: OpenStore) -> None:
    store = open_store()
    energies(store, (0, 100.0), (299_999, 105.0), (300_000, 109.0), (600_000, 3.0), (HOUR_MS, 10.0))
    drain(store, NOW_MS)
    assert cell(store, "energy_wh.increase") == [(0, 5.0), (300_000, 4.0), (600_000, 3.0), (HOUR_MS, 7.0)]
    assert cell(store, "energy_wh.increase", hours=True) == [(0, 12.0), (HOUR_MS, 7.0)]


@pytest.mark.parametrize("away_ms", [2 * HOUR_MS, 30 * HOUR_MS, 90 * DAY_MS])
def test_the_reading_before_is_found_however_long_ago_it_was_and_a_late_one_corrects_the_next(
    open_store: OpenStore, away_ms: int
) -> None:
    store = open_store()
    energies(store, (0, 100.0), (away_ms, 160.0))
    drain(store, NOW_MS)
    assert cell(store, "energy_wh.increase") == [(0, 0.0), (away_ms, 60.0)]
    energies(store, (HOUR_MS, 130.0), first=3)
    drain(store, NOW_MS)
    assert cell(store, "energy_wh.increase") == [(0, 0.0), (HOUR_MS, 30.0), (away_ms, 30.0)]


def test_an_hour_waits_until_it_is_over_and_what_is_a_little_late_is_in_it(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1, at_ms=HOUR)], HOUR)
    assert store.aggregates.downsample(HOUR + HOUR_MS + SETTLE_MS - 1) is None
    assert store.aggregates.behind(HOUR + HOUR_MS).hours == 0
    assert store.aggregates.behind(HOUR + HOUR_MS + SETTLE_MS).oldest_ms == HOUR
    step = store.aggregates.downsample(HOUR + HOUR_MS + SETTLE_MS)
    assert step is not None
    assert (step.kind, step.start_ms, step.end_ms, step.rows) == ("street_light", HOUR, HOUR + HOUR_MS, 2)
    assert store.aggregates.behind(NOW_MS).oldest_ms is None


def test_readings_whose_values_are_doubtful_count_like_all_others_and_once_more_as_marked(
    open_store: OpenStore,
) -> None:
    store = open_store()
    sender = ("lamp-1", "pole-1")
    bits = [0, Quality.RATE, Quality.STUCK, Quality.RATE | Quality.STUCK, Quality.CLOCK_OFF, Quality.LATE]
    store.write([entry(n, n, (sender, n * 2000, {"power_w": 1.0}, bit)) for n, bit in enumerate(bits, 1)], AT_MS)
    drain(store, NOW_MS)
    for rows in aggregates(store):
        assert [(row.cells["readings"], row.cells["marked"], row.cells["power_w.count"]) for row in rows] == [(6, 3, 6)]


def test_what_is_marked_is_known_after_a_restart(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(n, n, at_ms=HOUR + n * 2 * HOUR_MS) for n in range(1, 4)]
    store.write(entries, HOUR)
    store.aggregates.downsample(NOW_MS)
    store = open_store()
    assert drain(store, NOW_MS) == 2
    assert aggregates(store) == wanted(entries)
    assert drain(open_store(), NOW_MS) == 0


class Released:
    """A lock behind which somebody waits, and acts as soon as it is free."""

    def __init__(self, lock: threading.Lock, act: Callable[[], object]) -> None:
        self._lock, self._waiting = lock, [act]

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if self._waiting:
            self._waiting.pop()()


def test_a_reading_that_comes_while_its_hour_is_made_marks_it_durably(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store()
    entries = [telemetry(n, n, at_ms=HOUR + n) for n in range(1, 4)]
    store.write(entries[:1], NOW_MS)
    released = Released(store._write_lock, lambda: store.write(entries[1:2], NOW_MS))
    monkeypatch.setattr(store.aggregates, "_lock", released)
    store.aggregates.downsample(NOW_MS)
    store.write(entries[2:], NOW_MS)
    store = open_store()
    drain(store, NOW_MS)
    assert aggregates(store) == wanted(entries)


def test_readings_written_again_change_no_aggregate(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(n, n, {"energy_wh": n * 5.0, "power_w": 2.0}) for n in range(1, 20)]
    for _ in range(2):
        store.write(entries, HOUR)
        drain(store, NOW_MS)
        assert aggregates(store) == wanted(entries)


def test_many_late_devices_of_one_hour_are_all_corrected(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(n, n, at_ms=HOUR, device=f"lamp-{n}") for n in range(1, 601)]
    for at in range(0, 600, 50):
        store.write(entries[at : at + 50], NOW_MS)
    assert drain(store, NOW_MS) == 1
    assert aggregates(store) == wanted(entries)
