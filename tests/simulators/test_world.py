"""Same seed, same city, faults and all; and everything in it stays within what its kind allows."""

from itertools import pairwise

import pytest

from contract.kind import MetricType, check_settings
from contract.kind_file import load_kinds
from contract.site import Site
from firmware.core.kinds import KINDS
from simulators.faults import BLOCK_MS, KIND_OF, FaultName, FaultOptions, FaultPlan
from simulators.world import World
from tests.simulators.city import DAY_MS, HOUR_MS, berkane, certain, local_ms, small_world

START_MS = local_ms(2026, 11, 23, 16)


def city(seed: int) -> World:
    return World(berkane(), seed, lights=60, bins=20, valves=12, start_ms=START_MS)


def story(world: World) -> list[object]:
    """What the sensors of every asset say over a night, and what is wrong."""
    told: list[object] = [*world.truth(START_MS, START_MS + 3 * DAY_MS)]
    for asset in world.assets:
        thing = world.thing(asset, START_MS)
        for hour in range(0, 15, 3):
            thing.advance(START_MS + hour * HOUR_MS, {"level": 0.7, "open": float(hour == 9)})
            told.append((asset.asset, thing.measure()))
    return told


def test_the_same_seed_is_the_same_city_and_another_seed_another() -> None:
    first = story(city(7))
    assert first == story(city(7))
    assert first != story(city(8))


def test_every_reading_is_within_its_kinds_range_and_says_every_metric() -> None:
    kinds = load_kinds()
    world = World(berkane(), 3, lights=20, bins=12, valves=9, start_ms=START_MS, faults=FaultOptions())
    for asset in world.assets:
        kind = kinds[asset.kind]
        own = set(kind.targets) | {target.control for target in kind.targets.values()}
        thing = world.thing(asset, START_MS)
        for step in range(1, 60):
            at_ms = START_MS + step * 47 * 60_000
            thing.advance(at_ms, {"level": (step % 3) / 2, "open": float(step % 20 == 0)})
            values = thing.measure()
            assert set(values) == set(kind.metrics) - own
            for name, value in values.items():
                metric = kind.metrics[name]
                assert value is not None
                assert isinstance(value, bool) == (metric.type is MetricType.BOOLEAN), name
                if metric.type is MetricType.COUNTER:
                    assert isinstance(value, int), name
                assert metric.minimum is None or metric.minimum <= value, (asset.asset, name, value)
                assert metric.maximum is None or value <= metric.maximum, (asset.asset, name, value)


def test_no_value_changes_faster_than_its_kind_believes() -> None:
    kinds = load_kinds()
    for fault in FaultName:
        world = small_world(START_MS, faults=certain(fault))
        for asset in world.assets:
            if asset.kind not in (KIND_OF[fault], "weather_station"):
                continue
            kind, thing = kinds[asset.kind], world.thing(asset, START_MS)
            readings = []
            for minute in range(1, 24 * 60, 5):
                thing.advance(START_MS + minute * 60_000, {"level": 1.0, "open": float(minute % 60 < 20)})
                readings.append(thing.measure())
            for before, after in pairwise(readings):
                for name, value in after.items():
                    rate = kind.metrics[name].rate_max_per_s
                    if rate is not None:
                        change = abs(float(value or 0) - float(before[name] or 0))
                        assert change <= rate * 300, (fault, asset.asset, name, before[name], value)


def test_no_metric_that_must_move_stands_still_as_long_as_its_kind_calls_stuck() -> None:
    kinds, world = load_kinds(), small_world(START_MS)
    for asset in world.assets:
        must_move = {name: metric.stuck_after_ms for name, metric in kinds[asset.kind].metrics.items()}
        thing = world.thing(asset, START_MS)
        since: dict[str, tuple[int, float | None]] = dict.fromkeys(must_move, (START_MS, None))
        for at_ms in range(START_MS, START_MS + 3 * 86_400_000, 600_000):
            thing.advance(at_ms, {"level": 1.0, "open": 0.0})
            for name, value in thing.measure().items():
                if value != since[name][1]:
                    since[name] = (at_ms, value)
                assert not must_move[name] or at_ms - since[name][0] < must_move[name], (asset.asset, name)


def test_registrations_are_complete_and_places_differ() -> None:
    kinds = load_kinds()
    world = city(7)
    assert len({(asset.place.latitude, asset.place.longitude) for asset in world.assets}) == len(world.assets)
    zones = {zone.zone for zone in berkane().zones}
    for asset in world.assets:
        assert check_settings(kinds[asset.kind], asset.settings) == asset.settings
        assert asset.place.zone in zones
        assert asset.place.name
        assert asset.kind in KINDS
    assert [asset.asset for asset in world.assets][::60] == ["lamp-0001", "bin-0001"]
    assert world.assets[-1].asset == "weather-1"
    assert len({asset.place.zone for asset in world.assets if asset.kind == "street_light"}) >= 6


def test_a_circuit_is_a_run_of_lamps_in_one_zone() -> None:
    world = World(berkane(), 1, lights=600, bins=0, valves=0, start_ms=START_MS)
    lamps: dict[str, set[str]] = {}
    for asset in world.assets:
        if asset.kind == "street_light":
            lamps.setdefault(str(asset.settings["circuit"]), set()).add(asset.place.zone)
    assert all(len(zones) == 1 for zones in lamps.values())
    assert len(lamps) >= 600 // 40


def test_a_city_of_any_size_has_exactly_what_was_asked_for() -> None:
    for count in (0, 1, 2, 3, 17, 400):
        world = World(berkane(), 1, lights=count, bins=count, valves=count, stations=2, start_ms=START_MS)
        assert len(world.assets) == 3 * count + 2
        assert len({asset.asset for asset in world.assets}) == len(world.assets)


def test_a_site_without_streets_and_a_negative_count_are_refused_with_the_remedy() -> None:
    empty = Site(commune="nowhere", labels={}, latitude=0.0, longitude=0.0, timezone="UTC", zones=(), streets=())
    with pytest.raises(ValueError, match="add streets to its file"):
        World(empty, 1, lights=1, bins=0, valves=0, start_ms=0)
    with pytest.raises(ValueError, match="bins: -1 is negative"):
        World(berkane(), 1, lights=1, bins=-1, valves=0, start_ms=0)


# ------------------------------------------------------------------------------------------------------------- faults


def plan(seed: int = 5, options: FaultOptions | None = None) -> FaultPlan:
    kinds = {f"lamp-{index}": "street_light" for index in range(200)}
    kinds |= {f"valve-{index}": "irrigation_valve" for index in range(50)}
    return FaultPlan(seed, kinds, START_MS, options)


def test_what_is_active_is_what_the_truth_says() -> None:
    faults = plan()
    truth = faults.truth(START_MS, START_MS + 4 * BLOCK_MS)
    assert len(truth) > 12
    for period in truth:
        for at_ms in (period.from_ms, (period.from_ms + period.until_ms) // 2, period.until_ms - 1):
            assert faults.active(period.asset, at_ms) == period
        assert faults.active(period.asset, period.until_ms) is None


def test_nobody_has_two_faults_at_once() -> None:
    by_asset: dict[str, list[tuple[int, int]]] = {}
    for period in plan().truth(START_MS, START_MS + 30 * BLOCK_MS):
        by_asset.setdefault(period.asset, []).append((period.from_ms, period.until_ms))
    for periods in by_asset.values():
        assert all(before[1] <= after[0] for before, after in pairwise(sorted(periods)))


def test_the_truth_is_the_same_in_whatever_order_it_is_asked() -> None:
    one, two = plan(), plan()
    late = one.truth(START_MS + 9 * BLOCK_MS, START_MS + 10 * BLOCK_MS)
    two.truth(START_MS, START_MS + BLOCK_MS)
    assert late == two.truth(START_MS + 9 * BLOCK_MS, START_MS + 10 * BLOCK_MS)
    assert late != plan(seed=6).truth(START_MS + 9 * BLOCK_MS, START_MS + 10 * BLOCK_MS)


def test_some_lamp_is_dead_from_the_start_and_some_leak_begins_within_the_hour() -> None:
    truth = plan().truth(START_MS, START_MS + HOUR_MS)
    dead = [period for period in truth if period.fault is FaultName.LAMP_DEAD]
    assert len(dead) == 4  # two percent of two hundred
    assert all(period.from_ms == START_MS for period in dead)
    assert any(period.fault is FaultName.LEAK for period in truth)


def test_faults_come_as_often_as_their_yearly_rate_says() -> None:
    options = FaultOptions(initial={}, per_year={FaultName.LAMP_DEAD: 0.5})
    truth = plan(options=options).truth(START_MS, START_MS + 4 * 365 * DAY_MS)
    assert len(truth) == pytest.approx(0.5 * 200 * 4, rel=0.15)


def test_a_city_without_faults_has_none() -> None:
    assert plan(options=FaultOptions.none()).truth(0, START_MS + 50 * BLOCK_MS) == []
