"""How much goes through at the moment: sums over the last ten real seconds."""

from collections import deque

WINDOW_S = 10


class Rates:
    """Messages and readings a second. One thread; `now_s` is real monotonic time."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, int]] = deque()  # (second, messages, readings), at most WINDOW_S + 1

    def add(self, now_s: float, messages: int, readings: int) -> None:
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            _, before_messages, before_readings = self._seconds.pop()
            messages, readings = messages + before_messages, readings + before_readings
        self._seconds.append((second, messages, readings))
        self._forget(now_s)

    def per_s(self, now_s: float) -> tuple[float, float]:
        """(messages, readings) a second, of the seconds that are over."""
        self._forget(now_s)
        over = [(messages, readings) for second, messages, readings in self._seconds if second < int(now_s)]
        return sum(one[0] for one in over) / WINDOW_S, sum(one[1] for one in over) / WINDOW_S

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0][0] < int(now_s) - WINDOW_S:
            self._seconds.popleft()
