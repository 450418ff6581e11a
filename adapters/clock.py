"""The one place that reads the machine's clocks.

City time is real time, or runs from its own origin at its own speed: ``city = city_origin + (real - real_origin) *
speed``. The three numbers say it all, so that other processes (a fleet, a MicroPython node) can share a city's clock.
"""

import time

import msgspec


class ClockOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """What a city clock is made from; all zero and speed 1 is real time."""

    city_origin_ms: int = 0
    real_origin_ms: int = 0
    speed: float = 1.0

    @property
    def is_real(self) -> bool:
        return self.speed == 1.0 and self.city_origin_ms == self.real_origin_ms


class CityClock:
    """Implements contract.ports.Clock.

    Real time follows the machine's clock (and so NTP, steps included). Simulated time follows the monotonic clock
    from the moment of construction, so that it never jumps.
    """

    def __init__(self, origin: ClockOrigin | None = None) -> None:
        self.origin = origin or ClockOrigin()
        self.speed = self.origin.speed
        self._anchor_monotonic_s = time.monotonic()
        real_since_origin_ms = real_ms() - self.origin.real_origin_ms
        self._anchor_city_ms = self.origin.city_origin_ms + real_since_origin_ms * self.speed

    def now_ms(self) -> int:
        if self.origin.is_real:
            return real_ms()
        return round(self._anchor_city_ms + (time.monotonic() - self._anchor_monotonic_s) * 1000 * self.speed)

    def monotonic_s(self) -> float:
        return time.monotonic()


def real_ms() -> int:
    """The machine's own time, Unix ms UTC."""
    return time.time_ns() // 1_000_000
