"""Monotonic ms that never wrap, from the port's ticks, which do (at 2**30 on the ESP32, 12 days)."""

import time


class Uptime:
    """Counts from its making. Must be asked at least once in half a wrap (6 days); the node asks every second."""

    def __init__(self) -> None:
        self._ticks = time.ticks_ms()
        self._ms = 0

    def ms(self) -> int:
        ticks = time.ticks_ms()
        self._ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._ms
