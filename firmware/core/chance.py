"""A small seeded generator for jitter: the core asks no hidden source of chance, so that a run can be repeated."""

from firmware.core.constants import const

_MASK = const(0xFFFFFFFF)


class Chance:
    """Xorshift of 32 bits (Marsaglia 2003). Good enough to spread a fleet in time; never for secrets."""

    def __init__(self, seed: str) -> None:
        """`seed`: any text; two nodes with different texts (device and stream) are spread apart."""
        state = 2166136261  # FNV-1a
        for character in seed:
            state = ((state ^ ord(character)) * 16777619) & _MASK
        self._state = state or 1

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        state = self._state
        state = (state ^ (state << 13)) & _MASK
        state ^= state >> 17
        state = (state ^ (state << 5)) & _MASK
        self._state = state
        return state % limit

    def around(self, wait_ms: int) -> int:
        """`wait_ms` within a quarter of itself: three quarters of it to five quarters."""
        return wait_ms - wait_ms // 4 + self.below(max(1, wait_ms // 2))
