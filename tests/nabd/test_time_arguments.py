"""Times of a command: ISO, days of the city's zone, and counted back from now."""

import pytest

from nabd.fault import Refused
from nabd.time_arguments import time_ms

NOW_MS = 1_795_457_855_123  # 2026-11-23T18:17:35.123Z
DAY_MS = 86_400_000


def ms(text: str, zone: str = "Africa/Casablanca") -> int:
    return time_ms("--from", text, now_ms=NOW_MS, zone=zone)


def test_a_time_is_taken_to_the_millisecond_with_its_offset() -> None:
    assert ms("2026-11-23T18:17:35.123Z") == NOW_MS
    assert ms("2026-11-23T19:17:35.123+01:00") == NOW_MS


def test_a_time_without_an_offset_and_a_day_are_the_citys() -> None:
    assert ms("2026-11-23T19:17:35.123") == NOW_MS, "Morocco is an hour ahead of UTC but in Ramadan"
    assert ms("2026-11-24") == ms("2026-11-23T23:00Z")
    assert ms("2026-02-20") == ms("2026-02-20T00:00Z"), "Ramadan of 2026 begins on 18 February"
    assert ms("2026-11-24", "UTC") == ms("2026-11-24T00:00Z")


def test_times_are_counted_back_from_now() -> None:
    assert ms("now") == NOW_MS
    assert ms("-7d") == NOW_MS - 7 * DAY_MS
    assert ms("-1h30m") == NOW_MS - 5_400_000


@pytest.mark.parametrize("text", ["yesterday", "7d", "-7", "-", "", "2026-11-31", "2026-13-01T00:00Z", "24/11/2026"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(Refused, match="is no time; write a time like"):
        ms(text)


@pytest.mark.parametrize("text", ["1969-12-31T00:00Z", "2201-01-01", "-30000d"])
def test_a_time_of_another_century_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="must lie in the years 1970 to 2200"):
        ms(text)
