"""How long things took of late: a ring of durations, asked for the slowest of a hundred."""

REMEMBERED = 512


class Pace:
    """One thread adds at a time; any may ask."""

    def __init__(self) -> None:
        self._ring: list[float] = []
        self._next = 0

    def add(self, seconds: float) -> None:
        if len(self._ring) < REMEMBERED:
            self._ring.append(seconds)
        else:
            self._ring[self._next] = seconds
            self._next = (self._next + 1) % REMEMBERED

    def p99_ms(self) -> float:
        """0 before anything was added."""
        ordered = sorted(self._ring)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000 if ordered else 0.0
