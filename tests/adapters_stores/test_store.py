"""What every store promises, whoever is behind the port."""

import threading
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby

import msgspec
import pytest
from msgspec import structs

from adapters.stores.duckdb_store import DuckStore
from contract.aggregates import HOUR_MS
from contract.kind import Metric, MetricType, Value
from contract.losses import Loss
from contract.ports import LogFull, Store, StoredReading, StoreFault
from contract.quarantine import Quarantined
from contract.records import Entry, Reading, Telemetry
from tests.adapters_stores.conftest import KINDS, OpenStore, ask
from tests.adapters_stores.entries import AT_MS, telemetry, tick

ALL = {"start_ms": 0, "end_ms": 2**53}


def powers(store: Store, **more: object) -> list[tuple[int, Value]]:
    asked = {"kind": "street_light", "metric": "power_w", **ALL} | more
    return ask(store, **asked)


def test_a_new_store_is_empty(open_store: OpenStore) -> None:
    store = open_store()
    assert (store.position(), store.count(), list(store.latest()), powers(store)) == (0, 0, [], [])
    assert store.write([], AT_MS) == 0


def test_readings_and_position_are_stored_together_and_are_there_after_a_restart(open_store: OpenStore) -> None:
    store = open_store()
    assert store.write([telemetry(1, 1), tick(2), telemetry(3, 2, readings=3)], AT_MS) == 4
    for _ in range(2):
        assert (store.position(), store.count()) == (3, 4)
        assert powers(store) == [(AT_MS + seq * 1000, float(seq)) for seq in (1, 2, 3, 4)]
        store = open_store()


def test_entries_without_readings_move_the_position(open_store: OpenStore) -> None:
    store = open_store()
    assert store.write([tick(1), tick(2)], AT_MS) == 0
    assert open_store().position() == 2


def test_what_is_written_again_is_stored_once(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(n, n) for n in range(1, 11)]
    store.write(entries[:6], AT_MS)
    store.write(entries[:6], AT_MS)
    store.write(entries[3:], AT_MS)
    assert (store.count(), len(powers(store))) == (10, 10)
    store = open_store()
    store.write(entries, AT_MS)
    assert (store.count(), len(powers(store))) == (10, 10)


def test_late_readings_take_their_place_in_time(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 5), telemetry(2, 9)], AT_MS)
    store.write([telemetry(3, 7), telemetry(4, 1)], AT_MS)
    assert [value for _, value in powers(store)] == [1.0, 5.0, 7.0, 9.0]
    [(device, kind, at_ms, values)] = store.latest()
    assert (device, kind, at_ms, values) == ("lamp-1", "street_light", AT_MS + 9000, {"power_w": 9.0})


def test_two_readings_at_one_millisecond_both_survive(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1, at_ms=AT_MS), telemetry(2, 2, at_ms=AT_MS)], AT_MS)
    assert powers(store) == [(AT_MS, 1.0), (AT_MS, 2.0)]
    assert store.count() == 2
    [(_, _, _, values)] = store.latest()
    assert values == {"power_w": 2.0}


def test_a_kind_that_is_not_loaded_is_passed_over_and_the_rest_stored(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(1, 1), telemetry(2, 1, kind="siren", readings=3), telemetry(3, 2)]
    assert store.write(entries, AT_MS) == 2
    assert (store.position(), store.count()) == (3, 2)
    assert store.passed_over == 3


def test_a_write_that_failed_may_be_repeated_and_counts_what_it_passed_over_once(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1)], AT_MS)
    siren = telemetry(2, 1, kind="siren", readings=3)
    for _ in range(2):
        with pytest.raises(StoreFault):
            store.write([siren, telemetry(3, 2), telemetry(4, 3, {"power_w": "much"})], AT_MS)
        assert (store.position(), store.count()) == (1, 1)
    assert store.write([siren, telemetry(3, 2), telemetry(4, 3)], AT_MS) == 2
    assert (store.position(), store.count(), powers(store)[-1][1]) == (4, 3, 3.0)
    assert store.passed_over == 3


def test_values_come_back_as_they_were_and_unknown_is_not_zero(open_store: OpenStore) -> None:
    store = open_store()
    store.write(
        [
            telemetry(1, 1, {"level": 0.0, "level_by": "schedule", "energy_wh": 9007199254740991.0}),
            telemetry(2, 2, {"power_w": 0.1}),
            telemetry(3, 3, {}),
            telemetry(4, 4, {"open": 1.0, "open_by": "lease"}, kind="irrigation_valve", device="valve-1"),
        ],
        AT_MS,
    )
    for metric, wanted in (
        ("level", [0.0]),
        ("level_by", ["schedule"]),
        ("energy_wh", [9007199254740991.0]),
        ("power_w", [0.1]),
    ):
        assert [value for _, value in powers(store, metric=metric)] == wanted
    assert [value for _, value in powers(store, kind="irrigation_valve", metric="open")] == [1.0]
    assert store.count() == 4
    latest = {device: values for device, _, _, values in store.latest()}
    assert latest == {"lamp-1": {}, "valve-1": {"open": 1.0, "open_by": "lease"}}


def test_readings_are_chosen_by_time_device_asset_and_number(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(n, n, device=f"lamp-{n % 2}", asset=f"pole-{n % 3}") for n in range(1, 13)], AT_MS)
    assert [value for _, value in powers(store, start_ms=AT_MS + 3000, end_ms=AT_MS + 6000)] == [3.0, 4.0, 5.0]
    assert [value for _, value in powers(store, device="lamp-1")] == [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]
    assert [value for _, value in powers(store, asset="pole-0")] == [3.0, 6.0, 9.0, 12.0]
    assert [value for _, value in powers(store, device="lamp-0", asset="pole-0")] == [6.0, 12.0]
    assert [value for _, value in powers(store, limit=2)] == [1.0, 2.0]
    assert powers(store, device="lamp-9") == []


def test_a_step_holds_the_mean_of_numbers_and_the_last_of_words_and_counters(open_store: OpenStore) -> None:
    store = open_store()
    start = AT_MS - AT_MS % 60_000
    for n, (power, energy, by) in enumerate([(10.0, 5.0, "lease"), (20.0, 8.0, "safe"), (60.0, 9.0, "local")], 1):
        at_ms = start + (0, 1000, 61_000)[n - 1]
        store.write([telemetry(n, n, {"power_w": power, "energy_wh": energy, "level_by": by}, at_ms=at_ms)], AT_MS)
    assert powers(store, every_ms=60_000) == [(start, 15.0), (start + 60_000, 60.0)]
    assert powers(store, metric="energy_wh", every_ms=60_000) == [(start, 8.0), (start + 60_000, 9.0)]
    assert powers(store, metric="level_by", every_ms=60_000) == [(start, "safe"), (start + 60_000, "local")]
    assert powers(store, every_ms=60_000, limit=1) == [(start, 15.0)]


def test_a_step_of_a_boolean_is_the_share_of_readings_that_said_yes(open_store: OpenStore) -> None:
    store = open_store()
    start = AT_MS - AT_MS % HOUR_MS
    for n in range(1, 300):
        store.write(
            [telemetry(n, n, {"open": float(n % 4 == 0)}, kind="irrigation_valve", at_ms=start + n * 900_000)], 0
        )
    asked = {"kind": "irrigation_valve", "metric": "open", "every_ms": 4 * HOUR_MS}
    before = powers(store, **asked)
    assert before[1] == (start + 4 * HOUR_MS - start % (4 * HOUR_MS), 0.25)
    while store.aggregates.downsample(AT_MS + 300 * HOUR_MS):
        pass
    assert powers(store, **asked) == before


def test_a_closed_store_says_so_by_a_store_fault(open_store: OpenStore) -> None:
    store = open_store()
    store.close()
    with pytest.raises(StoreFault):
        store.write([telemetry(1, 1)], AT_MS)
    with pytest.raises(StoreFault):
        store.count()


def test_a_kind_that_gains_a_metric_keeps_its_readings_and_one_that_loses_one_too(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1)], AT_MS)
    light = KINDS["street_light"]
    hum = Metric(name="hum_db", type=MetricType.NUMBER, labels=light.labels)
    wider = msgspec.structs.replace(light, metrics={**light.metrics, "hum_db": hum})
    store = open_store({**KINDS, "street_light": wider})
    store.write([telemetry(2, 2, {"power_w": 2.0, "hum_db": 30.5})], AT_MS)
    assert [value for _, value in powers(store, metric="hum_db")] == [30.5]
    store = open_store()
    store.write([telemetry(3, 3, {"power_w": 3.0, "hum_db": 31.5})], AT_MS)  # from before the metric went
    assert [value for _, value in powers(store)] == [1.0, 2.0, 3.0]
    store = open_store({**KINDS, "street_light": wider})
    assert [value for _, value in powers(store, metric="hum_db")] == [30.5, 31.5]


def test_readings_of_a_kind_that_is_gone_are_still_counted(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1), telemetry(2, 1, {"fill_level": 0.5}, kind="waste_bin", device="bin-1")], AT_MS)
    fewer = {name: kind for name, kind in KINDS.items() if name != "waste_bin"}
    assert open_store(fewer).count() == 2


def test_queries_of_other_threads_see_whole_batches_of_duckdb_while_one_writes(open_store: OpenStore) -> None:
    """InfluxDB promises nothing of whole requests; DuckDB's are transactions."""
    store = open_store()
    whole = 100 if isinstance(store, DuckStore) else 1
    seen: list[int] = []
    faults: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                seen.append(store.count())
                assert len(powers(store, limit=100_000)) % whole == 0
        except Exception as error:
            faults.append(error)

    readers = [threading.Thread(target=ask) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(30):
        store.write([telemetry(n * 10 + m, (n * 10 + m) * 10, readings=10) for m in range(1, 11)], AT_MS)
    done.set()
    for reader in readers:
        reader.join(60)
    assert faults == []
    assert all(count % whole == 0 for count in seen)
    assert store.count() == 3000


@pytest.mark.parametrize("asked", [{"kind": "siren"}, {"metric": "colour"}])
def test_a_kind_or_metric_there_is_none_of_is_a_key_error(open_store: OpenStore, asked: dict[str, str]) -> None:
    with pytest.raises(KeyError):
        powers(open_store(), **asked)


def test_history_holds_all_that_a_reading_is_in_order_of_time(open_store: OpenStore) -> None:
    store = open_store()
    store.write(
        [
            telemetry(1, 2, {"power_w": 2.0, "level_by": "lease"}, place=("berkane", "centre", "c-12")),
            telemetry(2, 1, {}),
            telemetry(3, 5, {"fill_level": 0.5}, kind="waste_bin", device="bin-1", asset="", place=("berkane", "", "")),
        ],
        999,
    )
    assert store.span() == (AT_MS + 1000, AT_MS + 5000)
    lamps, bins = by_kind(store.history(0, 2**53))
    assert [one.record.readings[0].seq for one in lamps] == [1, 2]
    assert lamps[1] == StoredReading(
        received_at_ms=AT_MS + 1,
        stored_at_ms=999,
        record=Telemetry(
            device="lamp-1",
            asset="pole-1",
            kind="street_light",
            stream="9f3c01aa",
            boot=3,
            commune="berkane",
            zone="centre",
            group="c-12",
            readings=(Reading(2, AT_MS + 2000, {"power_w": 2.0, "level_by": "lease"}, 4),),
        ),
    )
    assert (bins[0].record.asset, bins[0].record.commune, bins[0].record.zone) == ("", "berkane", "")
    assert [one.record.readings[0].seq for one in store.history(AT_MS + 1000, AT_MS + 2000)] == [1]
    assert store.held(AT_MS + 1000, AT_MS + 2000)["street_light"] == 1
    assert store.held(0, 2**53) == {**dict.fromkeys(KINDS, 0), "street_light": 2, "waste_bin": 1}


def test_an_empty_store_has_no_history(open_store: OpenStore) -> None:
    store = open_store()
    assert (store.span(), list(store.history(0, 2**53))) == (None, [])


def test_history_taken_in_is_there_once_however_often_it_comes_and_by_whatever_way(open_store: OpenStore) -> None:
    store = open_store()
    entries = [telemetry(n, n, {"power_w": float(n), "level_by": "safe"}) for n in range(1, 21)]
    store.write(entries[:5], AT_MS)
    told = [
        StoredReading(received_at_ms=entry.at_ms, stored_at_ms=AT_MS, record=entry.record)
        for entry in entries
        if isinstance(entry.record, Telemetry)
    ]
    for _ in range(2):
        store.take(told[:12])
        store.take(told[8:15])
        assert (store.count(), store.position()) == (15, 5)
    store = open_store()
    store.write(entries[5:18], AT_MS)  # the log brings what was taken in, and more
    store.write(entries[18:], AT_MS)
    assert (store.count(), store.position()) == (20, 20)
    assert [value for _, value in powers(store)] == [float(n) for n in range(1, 21)]
    assert sorted((one for one in store.history(0, 2**53)), key=lambda one: one.record.readings[0].seq) == told[:15] + [
        StoredReading(received_at_ms=entry.at_ms, stored_at_ms=AT_MS, record=entry.record)
        for entry in entries[15:]
        if isinstance(entry.record, Telemetry)
    ]


def test_history_keeps_a_metric_that_its_kind_has_lost(open_store: OpenStore) -> None:
    light = KINDS["street_light"]
    hum = Metric(name="hum_db", type=MetricType.NUMBER, labels=light.labels)
    wider = {**KINDS, "street_light": msgspec.structs.replace(light, metrics={**light.metrics, "hum_db": hum})}
    record = telemetry(1, 1, {"hum_db": 30.5}).record
    assert isinstance(record, Telemetry)
    store = open_store()
    store.take([StoredReading(received_at_ms=1, stored_at_ms=2, record=record)])
    assert [one.record.readings[0].values for one in store.history(0, 2**53)] == [{"hum_db": 30.5}]
    assert [value for _, value in powers(open_store(wider), metric="hum_db")] == [30.5]


def by_kind(readings: Iterable[StoredReading]) -> list[list[StoredReading]]:
    return [list(group) for _, group in groupby(readings, key=lambda one: one.record.kind)]


def test_what_a_store_lacks_is_remembered_until_it_is_accepted(open_store: OpenStore) -> None:
    store = open_store()
    assert store.lost() is None
    store.write([telemetry(9, 1)], AT_MS)
    store.keep_loss(Loss(first=1, last=8))
    store = open_store()
    assert (store.lost(), store.position(), store.count()) == (Loss(first=1, last=8), 9, 1)
    store.keep_loss(Loss(first=1, last=12))
    assert store.lost() == Loss(first=1, last=12)
    store.keep_loss(None)
    assert store.lost() is None
    store = open_store()
    assert (store.lost(), store.position()) == (None, 9)


def test_a_value_that_no_column_takes_is_put_away_with_its_reading_and_the_rest_is_stored(
    open_store: OpenStore,
) -> None:
    store = open_store()
    whole = telemetry(2, 10, readings=3)
    record = whole.record
    assert isinstance(record, Telemetry)
    wrong = Reading(11, AT_MS + 11_000, {"power_w": "much"})
    mixed = Entry(2, whole.at_ms, structs.replace(record, readings=(record.readings[0], wrong, record.readings[2])))
    alone = Entry(4, AT_MS + 4, structs.replace(record, readings=(structs.replace(wrong, seq=20),)))
    entries = [telemetry(1, 1), mixed, telemetry(3, 15), alone, tick(5)]
    put_away: list[Quarantined] = []
    with pytest.raises(StoreFault, match="another type"):
        store.write(entries, AT_MS)
    assert (store.position(), store.count()) == (0, 0), "without a place for it nothing is stored"
    assert store.write(entries, AT_MS, put_away.extend) == 4
    assert (store.position(), store.count(), store.passed_over) == (5, 4, 0)
    assert [(one.device, one.stream, one.seq, one.code) for one in put_away] == [
        ("lamp-1", "9f3c01aa", 11, "store_refused"), ("lamp-1", "9f3c01aa", 20, "store_refused"),
    ]  # fmt: skip
    assert b"much" in put_away[0].payload
    assert "can never hold this reading" in put_away[0].sentence
    assert sorted(one.record.readings[0].seq for one in store.history(0, 2**53)) == [1, 10, 12, 15]


def test_when_the_place_for_what_is_refused_has_no_room_nothing_moves(open_store: OpenStore) -> None:
    store = open_store()

    def full(refused: Sequence[Quarantined]) -> None:
        raise LogFull("the quarantine is full")

    entries = [telemetry(1, 1), telemetry(2, 2, {"power_w": "much"})]
    with pytest.raises(LogFull):
        store.write(entries, AT_MS, full)
    assert store.position() == 0
    put_away: list[Quarantined] = []
    assert store.write(entries, AT_MS, put_away.extend) == 1
    assert (store.position(), store.count(), len(put_away)) == (2, 1, 1)


def test_what_a_replay_stores_says_when_it_came_first(open_store: OpenStore) -> None:
    store, entry = open_store(), telemetry(9, 1)
    replayed = msgspec.structs.replace(entry.record, came_at_ms=AT_MS - 86_400_000)
    store.write([msgspec.structs.replace(entry, record=replayed)], AT_MS)
    [one] = store.history(0, 2**53)
    assert (one.received_at_ms, one.stored_at_ms) == (AT_MS - 86_400_000, AT_MS)


DOUBTED = (0, 4, 8, 12, 16, 40, 64, 127)


def doubted() -> Entry:
    """A reading a second, each with another quality, its number as its power."""
    readings = tuple(
        Reading(n, AT_MS + n * 1000, {"power_w": float(n)}, bits, AT_MS - n if bits & 32 else None)
        for n, bits in enumerate(DOUBTED, 1)
    )
    record = telemetry(1, 1).record
    assert isinstance(record, Telemetry)
    return Entry(1, AT_MS, msgspec.structs.replace(record, readings=readings))


@pytest.mark.parametrize("without", [0, 4, 8, 24, 32, 127])
def test_readings_are_filtered_by_what_is_known_against_them(open_store: OpenStore, without: int) -> None:
    store = open_store()
    store.write([doubted()], AT_MS)
    wanted = [float(n) for n, bits in enumerate(DOUBTED, 1) if not bits & without]
    assert [value for _, value in powers(store, without=without)] == wanted
    [(_, mean)] = powers(store, without=without, every_ms=3_600_000)
    assert mean == pytest.approx(sum(wanted) / len(wanted))


def test_the_readings_that_something_is_known_against_are_told(open_store: OpenStore) -> None:
    store = open_store()
    store.write([doubted(), telemetry(2, 50, device="lamp-2")], AT_MS)
    wanted = [(AT_MS + n * 1000, bits) for n, bits in enumerate(DOUBTED, 1) if bits]
    asked = partial(store.marks, kind="street_light", device="lamp-1")
    assert asked(start_ms=0, end_ms=2**53) == wanted
    assert asked(start_ms=AT_MS + 3000, end_ms=AT_MS + 5000) == wanted[1:3]
    assert asked(start_ms=0, end_ms=2**53, limit=2) == wanted[:2]


def test_what_the_device_said_is_stored_beside_the_time_it_was_given(open_store: OpenStore) -> None:
    store = open_store()
    store.write([doubted()], AT_MS)
    said = {one.record.readings[0].seq: one.record.readings[0].device_at_ms for one in store.history(0, 2**53)}
    assert said == {n: AT_MS - n if bits & 32 else None for n, bits in enumerate(DOUBTED, 1)}
