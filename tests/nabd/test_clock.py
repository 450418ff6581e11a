"""The city clock runs from its origin at its speed, and several processes agree on it."""

import time

from adapters.clock import CityClock, ClockOrigin, real_ms


def test_real_time_is_the_machines_time() -> None:
    before_ms = real_ms()
    now_ms = CityClock().now_ms()
    assert before_ms <= now_ms <= real_ms()


def test_a_simulated_city_runs_from_its_origin_at_its_speed() -> None:
    origin = ClockOrigin(city_origin_ms=1_000_000, real_origin_ms=real_ms() - 10_000, speed=60.0)
    clock = CityClock(origin)
    before_s = time.monotonic()
    city_ms = clock.now_ms()
    assert 1_600_000 <= city_ms <= 1_600_000 + (time.monotonic() - before_s + 1.0) * 60_000


def test_two_clocks_of_one_origin_agree_to_a_second_of_city_time() -> None:
    origin = ClockOrigin(city_origin_ms=1_000_000, real_origin_ms=real_ms(), speed=60.0)
    first, second = CityClock(origin), CityClock(origin)
    assert abs(first.now_ms() - second.now_ms()) < 6_000  # 0.1 s of real time between the two constructions


def test_city_time_never_goes_back() -> None:
    clock = CityClock(ClockOrigin(city_origin_ms=0, real_origin_ms=real_ms(), speed=3_600.0))
    seen = [clock.now_ms() for _ in range(1_000)]
    assert seen == sorted(seen)
