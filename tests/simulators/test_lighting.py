"""Lamps draw what they should, their meters add it up, and their faults look like faults."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.faults import FaultName
from simulators.lighting import STANDBY_W, Lamp, burn, daylight_lx, power_w, steady_power_w
from simulators.weather import Sky, Weather, clear_radiation_w_m2
from tests.simulators.city import HOUR_MS, Bench, asset_of, certain, local_ms, small_world

LEVELS = st.floats(0.0, 1.0)


def sky_at(elevation_deg: float, cloudiness: float = 0.0) -> Sky:
    return Sky(20.0, 0.5, 2.0, clear_radiation_w_m2(elevation_deg), cloudiness, elevation_deg)


@given(LEVELS, st.floats(0.0, 1.0), st.floats(1.0, 4 * 3600.0), st.floats(10.0, 400.0))
def test_energy_is_the_integral_of_power(level: float, warmth: float, seconds: float, rated_w: float) -> None:
    steps = 400
    lamp = Lamp(warmth)
    integral_ws = 0.0
    for _ in range(steps):  # trapezoids
        after = burn(lamp, seconds / steps, level, rated_w)
        integral_ws += (power_w(lamp, level, rated_w) + power_w(after, level, rated_w)) / 2 * seconds / steps
        lamp = after
    whole = burn(Lamp(warmth), seconds, level, rated_w)
    assert whole.energy_wh == pytest.approx(integral_ws / 3600, rel=1e-4)
    assert whole.energy_wh == pytest.approx(lamp.energy_wh, rel=1e-9)


@given(LEVELS, LEVELS)
def test_more_light_takes_more_power(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert steady_power_w(low, 90.0) <= steady_power_w(high, 90.0) or low == 0.0


def test_a_warm_lamp_at_full_level_draws_its_rated_power_and_a_cold_one_a_little_more() -> None:
    assert power_w(Lamp(1.0), 1.0, 90.0) == pytest.approx(90.0)
    assert 90.0 < power_w(Lamp(0.0), 1.0, 90.0) < 95.0
    assert power_w(Lamp(1.0), 0.0, 90.0) == STANDBY_W


def test_the_street_gets_darker_all_the_way_from_noon_to_night() -> None:
    lux = [daylight_lx(sky_at(elevation / 2)) for elevation in range(180, -45, -1)]
    assert all(before >= after for before, after in pairwise(lux))
    assert lux[0] > 90_000
    assert 3 < daylight_lx(sky_at(-6.0)) < 4
    assert daylight_lx(sky_at(-3.0, cloudiness=1.0)) < 0.5 * daylight_lx(sky_at(-3.0))


def run_lamp(fault: FaultName | None, level: float, start_ms: int, minutes: int) -> list[dict[str, float]]:
    """A reading each minute of a lamp held at `level`."""
    world = small_world(start_ms, faults=certain(fault) if fault else None)
    thing = world.thing(asset_of(world, "street_light"), start_ms)
    readings = []
    for minute in range(minutes):
        thing.advance(start_ms + minute * 60_000, {"level": level})
        readings.append({name: float(value) for name, value in thing.measure().items() if value is not None})
    return readings


def test_a_dead_lamp_draws_next_to_nothing_when_it_should_be_lit() -> None:
    night = local_ms(2026, 11, 23, 21)
    assert all(reading["power_w"] < 5 for reading in run_lamp(FaultName.LAMP_DEAD, 1.0, night, 30))
    assert all(reading["power_w"] > 50 for reading in run_lamp(None, 1.0, night, 30))


def test_a_day_burner_draws_its_power_though_it_is_off() -> None:
    noon = local_ms(2026, 11, 23, 12)
    assert all(reading["power_w"] > 50 for reading in run_lamp(FaultName.DAY_BURNER, 0.0, noon, 30))
    assert all(reading["power_w"] < 2 for reading in run_lamp(None, 0.0, noon, 30))


def test_a_cycling_lamp_goes_out_and_comes_back_at_least_four_times_an_hour() -> None:
    lit = [reading["power_w"] > 20 for reading in run_lamp(FaultName.CYCLING, 1.0, local_ms(2026, 11, 23, 21), 60)]
    assert sum(before and not after for before, after in pairwise(lit)) >= 4
    assert 0.5 < sum(lit) / len(lit) < 0.9


def test_a_lamp_post_counts_what_it_draws_over_a_night_in_strides_of_any_length() -> None:
    start = local_ms(2026, 11, 23, 19)
    world = small_world(start)
    asset = asset_of(world, "street_light")
    fine, coarse = world.thing(asset, start), world.thing(asset, start)
    first = int(fine.measure()["energy_wh"] or 0)
    for minute in range(1, 12 * 60 + 1):
        fine.advance(start + minute * 60_000, {"level": 1.0})
    coarse.advance(start + 12 * HOUR_MS, {"level": 1.0})
    used = int(fine.measure()["energy_wh"] or 0) - first
    assert abs(used - 12 * float(asset.settings["rated_power_w"])) <= 0.01 * used
    assert fine.measure() == coarse.measure()


def test_a_light_follows_its_own_schedule_from_dusk_to_dawn() -> None:
    start = local_ms(2026, 11, 23, 16)
    bench = Bench(small_world(start), "street_light")
    seen = {}
    for hour in range(16, 34):
        bench.run(HOUR_MS)
        seen[hour + 1] = bench.device.outputs["level"]
    assert [seen[hour] for hour in (17, 20, 23, 25, 30, 33)] == [0.0, 1.0, 0.7, 0.5, 0.7, 0.0]


def test_illuminance_at_the_pole_falls_at_dusk() -> None:
    weather = Weather(7, 34.92, -2.32)
    assert daylight_lx(weather.at(local_ms(2026, 11, 23, 13))) > 2_000
    assert daylight_lx(weather.at(local_ms(2026, 11, 23, 20))) < 0.1
