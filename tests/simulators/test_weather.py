"""The weather is a Mediterranean year, the same for the same seed, whatever the order of the questions."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import mean

import pytest
from astral import Observer
from astral.sun import sun
from hypothesis import given
from hypothesis import strategies as st

from contract.wire.sun import sunrise_sunset_ms
from simulators.soil import reference_et_mm_h
from simulators.weather import DAY_MS, HOUR_MS, Weather, clear_radiation_w_m2
from tests.simulators.city import ZONE, local_ms

PLACE = (34.92, -2.32)
NEW_YEAR_MS = local_ms(2026, 1, 1)
MOMENTS = st.integers(NEW_YEAR_MS, NEW_YEAR_MS + 365 * DAY_MS)


def rain_of_months(seed: int) -> list[float]:
    weather = Weather(seed, *PLACE)
    starts = [local_ms(2026, month, 1) for month in range(1, 13)] + [local_ms(2027, 1, 1)]
    return [weather.rain_mm(start, end) for start, end in pairwise(starts)]


def test_years_bring_about_330_mm_of_rain_mostly_between_october_and_april() -> None:
    years = [rain_of_months(seed) for seed in range(24)]
    totals = [sum(months) for months in years]
    assert 290 < mean(totals) < 380, totals
    assert min(totals) > 120, totals
    assert max(totals) < 650, totals
    winters = sum(sum(months[:4]) + sum(months[9:]) for months in years)
    assert winters / sum(totals) > 0.75
    assert mean(months[6] + months[7] for months in years) < 20


def test_a_year_is_as_warm_as_the_town_is() -> None:
    weather = Weather(3, *PLACE)
    air = [weather.at(NEW_YEAR_MS + hour * HOUR_MS).air_temperature_c for hour in range(365 * 24)]
    assert 16.5 < mean(air) < 20.5
    assert mean(air[: 31 * 24]) < 14
    assert mean(air[190 * 24 : 220 * 24]) > 23
    assert min(air) > -4
    assert max(air) < 46


def test_afternoons_are_warmer_and_windier_than_nights() -> None:
    weather = Weather(5, *PLACE)
    nights = [weather.at(NEW_YEAR_MS + day * DAY_MS + 5 * HOUR_MS) for day in range(365)]
    days = [weather.at(NEW_YEAR_MS + day * DAY_MS + 15 * HOUR_MS) for day in range(365)]
    assert mean(sky.air_temperature_c for sky in days) > mean(sky.air_temperature_c for sky in nights) + 7
    assert mean(sky.wind_m_s for sky in days) > 1.5 * mean(sky.wind_m_s for sky in nights)
    assert mean(sky.humidity for sky in days) < mean(sky.humidity for sky in nights) - 0.2


def test_air_temperature_never_jumps() -> None:
    weather = Weather(11, *PLACE)
    minutes = range(NEW_YEAR_MS, NEW_YEAR_MS + 20 * DAY_MS, 60_000)
    air = [weather.at(minute).air_temperature_c for minute in minutes]
    assert max(abs(after - before) for before, after in pairwise(air)) < 0.1


def test_the_sun_heats_by_day_only_and_more_in_june_than_in_december() -> None:
    weather = Weather(2, *PLACE)
    assert weather.at(local_ms(2026, 6, 21, 1)).radiation_w_m2 == 0.0
    june = [weather.at(local_ms(2026, 6, day, 13, 10)).radiation_w_m2 for day in range(1, 31)]
    december = [weather.at(local_ms(2026, 12, day, 13, 10)).radiation_w_m2 for day in range(1, 31)]
    assert 700 < mean(june) < 1_050
    assert 200 < mean(december) < 560


@pytest.mark.parametrize("elevation", [-20.0, 0.0, 0.01, 10.0, 45.0, 90.0])
def test_clear_sky_radiation_is_between_nothing_and_the_solar_constant(elevation: float) -> None:
    assert 0.0 <= clear_radiation_w_m2(elevation) < 1_361 * 0.8


def test_reference_evapotranspiration_of_a_year_is_that_of_a_semi_arid_plain() -> None:
    weather = Weather(1, *PLACE)
    months = [0.0] * 12
    for hour in range(365 * 24):
        at_ms = NEW_YEAR_MS + hour * HOUR_MS
        months[datetime.fromtimestamp(at_ms / 1000, ZONE).month - 1] += reference_et_mm_h(weather.at(at_ms))
    assert 1_150 < sum(months) < 1_550
    assert months[0] < 80
    assert months[6] > 150


@given(MOMENTS, MOMENTS)
def test_any_moment_may_be_asked_in_any_order(first: int, second: int) -> None:
    one, two = Weather(7, *PLACE), Weather(7, *PLACE)
    assert (one.at(first), one.at(second)) == tuple(reversed((two.at(second), two.at(first))))


def test_another_seed_is_another_year() -> None:
    assert rain_of_months(1) != rain_of_months(2)


@given(MOMENTS, st.integers(0, 3 * DAY_MS), st.integers(0, 3 * DAY_MS))
def test_rain_of_two_parts_is_the_rain_of_the_whole(start: int, first: int, second: int) -> None:
    weather = Weather(9, *PLACE)
    parts = weather.rain_mm(start, start + first) + weather.rain_mm(start + first, start + first + second)
    assert parts == pytest.approx(weather.rain_mm(start, start + first + second))


@pytest.mark.parametrize("month", range(1, 13))
def test_dawn_and_dusk_at_berkane_are_right_to_two_minutes(month: int) -> None:
    day = date(2026, month, 17)
    expected = sun(Observer(*PLACE), date=day, tzinfo=UTC)
    rise_ms, set_ms = sunrise_sunset_ms(local_ms(2026, month, 17), *PLACE)
    assert rise_ms is not None
    assert set_ms is not None
    for found_ms, name in ((rise_ms, "sunrise"), (set_ms, "sunset")):
        assert abs(datetime.fromtimestamp(found_ms / 1000, UTC) - expected[name]) < timedelta(minutes=2)
