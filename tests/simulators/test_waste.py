"""Bins fill by hour and weekday, are emptied by trucks, and burn when they burn."""

import json

import pytest

from simulators.chance import share
from simulators.faults import FaultName
from simulators.waste import HOURS, WEEKDAYS, Bin, filled, warmed
from tests.simulators.city import DAY_MS, HOUR_MS, Bench, asset_of, certain, local_ms, small_world


def test_a_week_of_hours_brings_seven_days_of_waste() -> None:
    growth = 0.0
    for weekday in range(7):
        for hour in range(24):
            growth += filled(0.0, 3600.0, 0.4, hour, weekday, 1.0)
    assert growth == pytest.approx(0.4 * sum(WEEKDAYS))
    assert sum(WEEKDAYS) == pytest.approx(7.0)


def test_evenings_bring_more_than_nights() -> None:
    assert sum(HOURS[19:23]) > 5 * sum(HOURS[1:5])


def test_a_bin_never_holds_more_than_the_bags_beside_it() -> None:
    assert filled(1.29, 3600.0 * 24, 5.0, 20, 5, 2.0) == pytest.approx(1.3)


def test_a_bin_follows_the_air_and_the_sun() -> None:
    assert warmed(10.0, 24 * 3600.0, 30.0, 500.0, burning=False) == pytest.approx(39.0, abs=0.1)


def test_bins_are_emptied_every_other_morning() -> None:
    start = local_ms(2026, 11, 23, 12)
    world = small_world(start, size=12)
    for asset in world.assets:
        if asset.kind != "waste_bin":
            continue
        thing = world.thing(asset, start)
        assert isinstance(thing, Bin)
        drops = []
        before = thing.fill
        for quarter in range(1, 20 * 96 + 1):
            at_ms = start + quarter * HOUR_MS // 4
            thing.advance(at_ms, {})
            if thing.fill < before - 0.02:
                drops.append(at_ms)
            before = thing.fill
        assert 7 <= thing.collections <= 10
        assert all(4 <= (at_ms - local_ms(2026, 11, 23)) % DAY_MS / HOUR_MS <= 8.5 for at_ms in drops)


def test_bins_start_at_varied_levels() -> None:
    world = small_world(local_ms(2026, 11, 23, 12), size=40)
    fills = [
        world.thing(asset, world.start_ms).measure()["fill_level"] for asset in world.assets if "bin" in asset.asset
    ]
    assert len(set(fills)) > 20


def test_a_fire_is_read_within_minutes_though_the_period_is_an_hour() -> None:
    start = local_ms(2026, 11, 23, 12)
    world = small_world(start, faults=certain(FaultName.FIRE, start_after_ms=2 * HOUR_MS))
    fire = world.truth(start, start + DAY_MS)[0]
    bench = Bench(world, "waste_bin")
    bench.run(fire.from_ms - start + HOUR_MS)
    hot = []
    for topic, payload, _, _ in bench.said:
        if topic.endswith("/telemetry"):
            hot += [r["at"] for r in json.loads(payload)["readings"] if r["v"]["temperature_c"] >= 60]
    assert hot, "no hot reading"
    assert 0 < min(hot) - fire.from_ms < 12 * 60_000


def test_a_tipped_bin_lies_on_its_side() -> None:
    start = local_ms(2026, 11, 23, 12)
    world = small_world(start, faults=certain(FaultName.TIPPED))
    thing = world.thing(asset_of(world, "waste_bin"), start)
    thing.advance(start + 1_000, {})
    values = thing.measure()
    assert values["tilt_deg"] == 84.0
    assert values["lid_open"] is True


def test_the_draws_behind_it_are_uniform() -> None:
    draws = [share(1, "x", index) for index in range(4_000)]
    assert 0.0 < min(draws) < 0.01
    assert 0.99 < max(draws) < 1.0
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.02)
