"""What a step says is the same whatever is left of its readings: held against plain Python, reading by reading."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.aggregates import FIVE_MINUTES_MS, HOUR_MS
from contract.kind import DAY_MS, Value
from contract.ports import Store
from contract.questions import ALLOWED, Aggregate
from contract.records import Entry, Quality
from tests.adapters_stores.aggregating import LATER_MS, drain, retire
from tests.adapters_stores.conftest import KINDS, STORES, OpenStore, ask
from tests.adapters_stores.entries import AT_MS, telemetry
from tests.adapters_stores.test_aggregates import make
from tests.adapters_stores.test_retention import SHORT, SHORT_SMALL

HOUR = AT_MS - AT_MS % HOUR_MS
NOW_MS = HOUR + LATER_MS
END_MS = 2**53
METRICS = SHORT_SMALL["street_light"].metrics
ENERGY = {"kind": "street_light", "metric": "energy_wh", "start_ms": 0, "end_ms": END_MS}


class One(NamedTuple):
    """A reading of the property's city."""

    seq: int
    device: str
    asset: str
    at_ms: int
    values: Mapping[str, Value]

    def entry(self, position: int) -> Entry:
        return telemetry(
            position, self.seq, self.values, at_ms=self.at_ms, device=self.device, asset=self.asset,
            place=("berkane", "ab"[self.seq % 2], ""),
        )  # fmt: skip


class Asked(NamedTuple):
    """What all questions of one look have in common."""

    every_ms: int
    start_ms: int
    end_ms: int
    device: str | None
    asset: str | None
    limit: int


def wanted(found: Sequence[One], asked: Asked, metric: str, way: Aggregate) -> list[tuple[int, Value]]:
    """What steps must say: from the readings alone, in order of time, each with the one before of its series."""
    steps: dict[int, list[tuple[Value, float]]] = {}
    before: dict[tuple[str, str], float] = {}
    for one in sorted(found, key=lambda one: (one.at_ms, one.seq)):
        if metric not in one.values:
            continue
        value, grown, series = one.values[metric], 0.0, (one.device, one.asset)
        if way is Aggregate.INCREASE:
            number = float(value)
            if series in before:
                grown = number - before[series] if number >= before[series] else number
            before[series] = number
        is_of = asked.device in (None, one.device) and asked.asset in (None, one.asset)
        if is_of and asked.start_ms <= one.at_ms < asked.end_ms:
            steps.setdefault(one.at_ms - one.at_ms % asked.every_ms, []).append((value, grown))
    told = [(step, said(way, [v for v, _ in of], [g for _, g in of])) for step, of in sorted(steps.items())]
    return told[: asked.limit]


def said(way: Aggregate, values: Sequence[Value], grown: Sequence[float]) -> Value:
    if way in (Aggregate.LAST, Aggregate.COUNT):
        return values[-1] if way is Aggregate.LAST else float(len(values))
    numbers = [float(value) for value in values]
    return {
        Aggregate.MEAN: sum(numbers) / len(numbers),
        Aggregate.MIN: min(numbers),
        Aggregate.MAX: max(numbers),
        Aggregate.INCREASE: sum(grown),
    }[way]


def check(store: Store, found: Sequence[One], asked: Asked) -> None:
    for metric in METRICS.values():
        for way in ALLOWED[metric.type]:
            told = ask(store, kind="street_light", metric=metric.name, aggregate=way, **asked._asdict())
            assert told == wanted(found, asked, metric.name, way), (metric.name, way, asked)


hours = st.sampled_from([0, HOUR_MS, 3 * HOUR_MS, DAY_MS, 3 * DAY_MS, 390 * DAY_MS]).map(lambda ms: HOUR + ms)
moments = st.one_of(
    st.integers(0, 3 * HOUR_MS),
    st.integers(0, 40).map(lambda n: n * FIVE_MINUTES_MS),
    st.sampled_from([DAY_MS - 1, DAY_MS, 2 * DAY_MS + 7, 5 * DAY_MS, 40 * DAY_MS, 390 * DAY_MS, 393 * DAY_MS + 1]),
).map(lambda ms: HOUR + ms)
others = {
    "power_w": st.integers(-5, 2000).map(float),  # whole numbers have one sum, whatever the order
    "level_by": st.sampled_from(["lease", "schedule", "safe"]),
}
energy = {"energy_wh": st.integers(0, 40).map(float)}  # falls as often as it rises
values = st.one_of(st.fixed_dictionaries(energy, optional=others), st.fixed_dictionaries({}, optional=others))
senders = st.sampled_from([("lamp-1", "pole-1"), ("lamp-1", "pole-2"), ("lamp-2", "pole-2")])
readings = st.lists(st.tuples(senders, moments, values), min_size=2, max_size=14, unique_by=lambda one: one[1])


def asked(every_ms: st.SearchStrategy[int], moments_ms: st.SearchStrategy[int]) -> st.SearchStrategy[Asked]:
    return st.builds(
        Asked,
        every_ms,
        st.one_of(st.just(0), moments_ms),
        st.one_of(st.just(END_MS), moments_ms),
        st.sampled_from([None, "lamp-1"]),
        st.sampled_from([None, "pole-2"]),
        st.sampled_from([10_000, 2]),
    )


any_steps = asked(st.sampled_from([7 * 60_000, FIVE_MINUTES_MS, HOUR_MS, DAY_MS]), moments)
raw_steps = asked(st.just(7 * 60_000), moments)  # which no aggregate can answer
five_minutes = asked(st.sampled_from([FIVE_MINUTES_MS, 15 * 60_000, HOUR_MS, DAY_MS]), hours)
whole_hours = asked(st.sampled_from([HOUR_MS, 6 * HOUR_MS, DAY_MS]), hours)


@pytest.mark.parametrize("kind_of_store", STORES)
@pytest.mark.timeout(600)  # forty lives of a store, on a machine that may be busy
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=readings, on_time=st.integers(0, 14), is_steady=st.booleans(), data=st.data())
def test_steps_say_the_same_from_readings_from_aggregates_and_over_their_borders(
    kind_of_store: str,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[tuple[str, str], int, dict[str, Value]]],
    on_time: int,
    is_steady: bool,
    data: st.DataObject,
) -> None:
    """In any order, aggregated in between; then raw readings go, others come late, five minutes go, and others come.

    A counter that is reset and late where its readings are gone is what aggregates cannot tell: it is one or the other.
    """
    city = [One(seq, *sender, at_ms, said) for seq, (sender, at_ms, said) in enumerate(found, 1)]
    if is_steady:
        city = [one._replace(values=steady(one)) for one in city]
    early, late, latest = city[:on_time], city[on_time : on_time + 3], city[on_time + 3 :]
    if not is_steady:
        late, latest = [without_energy(one) for one in late], [without_energy(one) for one in latest]
    with make(kind_of_store, request, tmp_path_factory.mktemp("steps"), SHORT_SMALL) as store:
        for position, one in enumerate(early, 1):
            store.write([one.entry(position)], data.draw(st.sampled_from([HOUR, NOW_MS])))
            if data.draw(st.booleans()):
                store.aggregates.downsample(NOW_MS)
        check(store, early, data.draw(any_steps))
        check(store, early, data.draw(raw_steps))
        drain(store, NOW_MS)
        check(store, early, data.draw(any_steps))
        check(store, early, data.draw(raw_steps))
        retire(store, data.draw(hours) + 10 * DAY_MS)
        check(store, early, data.draw(five_minutes))
        for position, one in enumerate(late, len(early) + 1):
            store.write([one.entry(position)], NOW_MS)
            if data.draw(st.booleans()):
                store.aggregates.downsample(NOW_MS)
        drain(store, NOW_MS)
        check(store, [*early, *late], data.draw(five_minutes))
        retire(store, data.draw(hours) + 400 * DAY_MS)
        check(store, [*early, *late], data.draw(whole_hours))
        for position, one in enumerate(latest, len(early) + len(late) + 1):
            store.write([one.entry(position)], NOW_MS)
        drain(store, NOW_MS)
        check(store, [*early, *late, *latest], data.draw(whole_hours))


def without_energy(one: One) -> One:
    return one._replace(values={name: value for name, value in one.values.items() if name != "energy_wh"})


def steady(one: One) -> Mapping[str, Value]:
    """Its values, with a counter that grows with time and is never reset."""
    grown = float((one.at_ms - HOUR) // 1000)
    return {name: grown if name == "energy_wh" else value for name, value in one.values.items()}


def energies(store: Store, *told: tuple[int, float], first: int = 1, device: str = "lamp-1") -> None:
    """(ms into the hour, Wh) one after the other."""
    for n, (at_ms, energy) in enumerate(told, first):
        store.write([telemetry(n, n, {"energy_wh": energy}, at_ms=HOUR + at_ms, device=device)], HOUR)


def test_the_increase_of_the_first_step_counts_from_the_reading_before_it_however_long_ago(
    open_store: OpenStore,
) -> None:
    store = open_store(SHORT)
    energies(store, (0, 100.0), (40 * DAY_MS, 130.0), (40 * DAY_MS + HOUR_MS, 5.0))
    question = ENERGY | {"start_ms": HOUR + HOUR_MS, "every_ms": HOUR_MS, "aggregate": Aggregate.INCREASE}
    grown = [(HOUR + 40 * DAY_MS, 30.0), (HOUR + 40 * DAY_MS + HOUR_MS, 5.0)]
    assert ask(store, **question) == grown
    drain(store, NOW_MS)
    assert ask(store, **question) == grown
    retire(store, HOUR + 49 * DAY_MS)
    assert store.count() == 2, "the first is gone"
    assert ask(store, **question) == grown


def test_readings_of_a_short_time_grow_from_what_an_hour_long_ago_showed_last(open_store: OpenStore) -> None:
    store = open_store()
    energies(store, (0, 100.0), (40 * DAY_MS, 130.0))
    drain(store, NOW_MS)
    start_ms = HOUR + 40 * DAY_MS
    question = ENERGY | {"start_ms": start_ms, "end_ms": start_ms + 1, "aggregate": Aggregate.INCREASE}
    assert ask(store, **question, every_ms=HOUR_MS) == [(start_ms, 30.0)]
    energies(store, (7 * HOUR_MS, 120.0), first=3)
    assert ask(store, **question, every_ms=HOUR_MS) == [(start_ms, 10.0)], "a late one counts before it is aggregated"
    energies(store, (8 * HOUR_MS, 125.0), first=4, device="lamp-2")
    assert ask(store, **question, every_ms=HOUR_MS) == [(start_ms, 10.0)], "another device's is none of its own"


def test_of_one_millisecond_the_reading_of_the_highest_seq_is_the_one_before(open_store: OpenStore) -> None:
    store = open_store()
    energies(store, (5, 3.0), (5, 1.0), (5, 9.0), (HOUR_MS, 10.0))
    question = ENERGY | {"start_ms": HOUR + 6, "every_ms": HOUR_MS, "aggregate": Aggregate.INCREASE}
    assert ask(store, **question) == [(HOUR + HOUR_MS, 1.0)]


def test_without_some_quality_an_increase_is_told_between_the_readings_that_are_left(open_store: OpenStore) -> None:
    store = open_store()
    store.write([telemetry(1, 1, {"energy_wh": 10.0}, at_ms=HOUR)], HOUR)
    question = ENERGY | {"every_ms": HOUR_MS, "aggregate": Aggregate.INCREASE}
    assert ask(store, **question, without=Quality.RATE) == [(HOUR, 0.0)]
    assert ask(store, **question, without=Quality.LATE) == [], "it has this mark"


def test_what_a_type_has_not_is_refused_with_what_it_has(open_store: OpenStore) -> None:
    store = open_store()
    for metric, way, said_of_it in (
        ("energy_wh", Aggregate.MEAN, "energy_wh is of type counter and has no mean; it has last, count, increase"),
        ("power_w", Aggregate.INCREASE, "power_w is of type number and has no increase"),
        ("level_by", Aggregate.MIN, "level_by is of type enum and has no min; it has last, count"),
    ):
        with pytest.raises(ValueError, match=said_of_it):
            ask(store, **(ENERGY | {"metric": metric}), every_ms=HOUR_MS, aggregate=way)
    with pytest.raises(ValueError, match="steps only"):
        ask(store, **ENERGY, aggregate=Aggregate.LAST)


def test_every_type_has_something_to_say_of_a_step() -> None:
    types = {metric.type for kind in KINDS.values() for metric in kind.metrics.values()}
    assert types <= ALLOWED.keys()
    assert {way for ways in ALLOWED.values() for way in ways} == set(Aggregate)


def test_of_two_controllers_that_measured_in_one_millisecond_the_last_by_name_says_the_last(
    open_store: OpenStore,
) -> None:
    """From readings and from aggregates, which know no seq."""
    store, end_ms = open_store(), HOUR + 3 * DAY_MS
    found = []
    for n in range(2, 144):
        device, value = ("lamp-2", 2.0) if n % 4 in (0, 3) else ("lamp-1", 1.0)  # in turn before the other
        found.append(telemetry(n, n, {"power_w": value}, at_ms=HOUR + n // 2 * HOUR_MS, device=device))
    store.write(found, HOUR)
    asked = {"kind": "street_light", "metric": "power_w", "asset": "pole-1", "start_ms": HOUR, "end_ms": end_ms}
    for _ in ("from readings", "from aggregates"):
        told = ask(store, **asked, every_ms=HOUR_MS, aggregate=Aggregate.LAST)
        assert [value for _, value in told] == [2.0] * 71
        drain(store, NOW_MS)
