"""How much goes through at the moment: sums over the last ten real seconds."""

from collections import deque

WINDOW_S = 10


class Rates:
    """Messages and readings a second. One thread; `now_s` is real monotonic time."""

    def __init__(self) -> None:
        # (second, messages, readings, ms of the slowest batch), at most WINDOW_S + 1
        self._seconds: deque[tuple[int, int, int, float]] = deque()

    def add(self, now_s: float, messages: int, readings: int, took_ms: float = 0.0) -> None:
        """A batch that took so long from the moment it was read until it was kept."""
        second = int(now_s)
        if self._seconds and self._seconds[-1][0] == second:
            _, before_messages, before_readings, before_ms = self._seconds.pop()
            messages, readings = messages + before_messages, readings + before_readings
            took_ms = max(took_ms, before_ms)
        self._seconds.append((second, messages, readings, took_ms))
        self._forget(now_s)

    def slowest_ms(self, now_s: float) -> float:
        """The slowest batch of the window, in ms; 0 when there was none."""
        self._forget(now_s)
        return max((took_ms for *_, took_ms in self._seconds), default=0.0)

    def per_s(self, now_s: float) -> tuple[float, float]:
        """(messages, readings) a second, of the seconds that are over."""
        self._forget(now_s)
        over = [(messages, readings) for second, messages, readings, _ in self._seconds if second < int(now_s)]
        return sum(one[0] for one in over) / WINDOW_S, sum(one[1] for one in over) / WINDOW_S

    def _forget(self, now_s: float) -> None:
        while self._seconds and self._seconds[0][0] < int(now_s) - WINDOW_S:
            self._seconds.popleft()
