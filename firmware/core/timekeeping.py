"""What the node knows of the time.

Theory of operation. The node lives by its monotonic clock (`up_ms`: ms since boot, in city scale). Unix time is that
plus one offset, set from outside: by NTP or a clock chip, or by the platform's answer to a question of ours. The
answer was written somewhere between question and receipt, so half the round trip is added and is also the error.

    none ──set──▶ synced ──24 h──▶ held ──set──▶ synced

Without a clock readings carry `up` instead of `at` and the platform dates them. Once written, a reading's time is
never changed: its name must always mean the same content. All times are integers, for floats on the ESP32 are too
coarse.
"""

from firmware.core.chance import Chance
from firmware.core.constants import NEVER, const

SYNCED = "synced"
HELD = "held"
NONE = "none"

DAY_MS = const(86_400_000)
ASK_FIRST_MS = const(5_000)  # real time between questions without an answer, doubling …
ASK_LAST_MS = const(600_000)  # … to this
ROUND_TRIP_MS_MAX = const(30_000)  # real time; an answer that took longer is worth too little
UNIX_MS_MIN = const(1_600_000_000_000)  # September 2020: whoever says it is earlier has no clock either


class Timekeeper:
    """Unix time on a monotonic clock, how good it is, and when to ask for it."""

    def __init__(self, scale: int, nonce: int, chance: Chance) -> None:
        """`scale`: city ms per real ms; `nonce`: where the numbers of our questions begin."""
        self._scale = scale
        self._nonce = nonce
        self._chance = chance
        self._offset_ms = None  # type: int | None
        self._set_up_ms = 0
        self._good = False  # was the source itself synchronised?
        self._asked = None  # type: int | None  # nonce of the open question
        self._asked_up_ms = 0
        self._wait_ms = ASK_FIRST_MS
        self.ask_up_ms = NEVER  # when to ask next; never while there is nobody to ask

    def set(self, up_ms: int, unix_ms: int, quality: str) -> int:
        """Set the clock; return by how many ms it jumped (0 when it was not set before)."""
        step = 0 if self._offset_ms is None else unix_ms - up_ms - self._offset_ms
        self._offset_ms = unix_ms - up_ms
        self._set_up_ms = up_ms
        self._good = quality == SYNCED
        if self.ask_up_ms != NEVER:
            self._plan(up_ms)
        return step

    def unix_ms(self, up_ms: int) -> "int | None":
        return None if self._offset_ms is None else up_ms + self._offset_ms

    def up_ms(self, unix_ms: int) -> "int | None":
        """When, on the monotonic clock, it is (or was) `unix_ms`."""
        return None if self._offset_ms is None else unix_ms - self._offset_ms

    def quality(self, up_ms: int) -> str:
        """`synced` (set within 24 h from a good source), `held`, or `none`."""
        if self._offset_ms is None:
            return NONE
        return SYNCED if self._good and up_ms - self._set_up_ms <= DAY_MS else HELD

    # ---- asking

    def connected(self, up_ms: int) -> None:
        self._asked = None
        self._wait_ms = ASK_FIRST_MS
        self._plan(up_ms)

    def disconnected(self) -> None:
        self._asked = None
        self.ask_up_ms = NEVER

    def ask(self, up_ms: int) -> "int | None":
        """The nonce to ask with now, or None when it is not yet time."""
        if up_ms < self.ask_up_ms:
            return None
        self._nonce += 1
        self._asked = self._nonce
        self._asked_up_ms = up_ms
        self.ask_up_ms = up_ms + self._chance.around(self._wait_ms * self._scale)
        self._wait_ms = min(2 * self._wait_ms, ASK_LAST_MS)
        return self._nonce

    def answered(self, up_ms: int, nonce: int, at: int) -> "int | None":
        """The Unix time now, from an answer; None when the answer is not for our open question or came too late."""
        took_ms = up_ms - self._asked_up_ms
        if nonce != self._asked or at < UNIX_MS_MIN or took_ms > ROUND_TRIP_MS_MAX * self._scale:
            return None
        self._asked = None
        self._wait_ms = ASK_FIRST_MS
        return at + took_ms // 2

    def _plan(self, up_ms: int) -> None:
        if self.quality(up_ms) == SYNCED:
            # A little before a day is over, so that the clock never stops being called synced.
            self.ask_up_ms = self._set_up_ms + DAY_MS - self._chance.below(DAY_MS // 8) - DAY_MS // 24
        else:
            self.ask_up_ms = up_ms
