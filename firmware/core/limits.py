"""How long an output may be away from its safe value: in one run, in a local day, and how long it must rest between.

Theory of operation. All three are counted by the monotonic clock alone, so no jump of the date can lengthen a run.
The local day is needed only to know when a new allowance begins, and a day ends only by time running on: when the
clock is *set* across midnight, the allowance used so far is carried over, and a midnight that comes again after the
clock was set back gives no second one: 12 h by the monotonic clock lie between two, but for the first of a boot, which
must be of a later day than any before. Without a clock a day is 24 h after the first run of it.

    resting ──begin──▶ running ──end──▶ resting (until `rest_ms` is over)

`carry()` is what must survive a reset; while a run goes on it already counts the whole planned run as used, for a
node that dies cannot say how long it ran. After a reset the rest begins anew.
"""

from firmware.core.constants import NEVER, const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DAY_MS = const(86_400_000)
RENEW_MS = const(43_200_000)  # between two allowances at least: days are shorter where a clock that was slow is set


class Limits:
    """0 ms is no limit (for run and day) or no rest."""

    def __init__(self, run_ms: int, day_ms: int, rest_ms: int, carry: "dict[str, Any] | None", up_ms: int) -> None:
        """`carry`: what `carry()` of the boot before gave, if anything was saved."""
        self.run_ms = run_ms
        self.day_ms = day_ms
        self.rest_ms = rest_ms
        self._used_ms = 0  # of today's allowance, the present run left out
        self._day = None  # type: int | None  # the latest local day that was seen, or that the allowance was given for
        self._renewed = False  # was an allowance given in this boot?
        self._renewed_up_ms = up_ms  # when the last was; before the first: the boot
        self._day_up_ms = up_ms  # when its first run began, for a node without a clock
        self._began_up_ms = 0
        self._counted_up_ms = 0  # the present run is counted to here
        self._ended_up_ms = -NEVER
        self._planned_ms = 0
        self.running = False
        if carry:
            self._used_ms = int(carry.get("used_ms", 0))
            self._day = carry.get("day")
            if self._used_ms:
                self._ended_up_ms = up_ms

    @property
    def any(self) -> bool:
        return self.run_ms > 0 or self.day_ms > 0 or self.rest_ms > 0

    def begin(self, up_ms: int, planned_ms: int) -> None:
        """A run of `planned_ms` (at most; NEVER if open) begins, or its plan changes."""
        if not self.running:
            self.running = True
            self._began_up_ms = self._counted_up_ms = up_ms
            if not self._used_ms:
                self._day_up_ms = up_ms
        self._planned_ms = min(planned_ms, self.left_ms(up_ms))

    def end(self, up_ms: int) -> None:
        if self.running:
            self._count(up_ms)
            self.running = False
            self._ended_up_ms = up_ms

    def allows(self, up_ms: int, wanted_ms: int) -> bool:
        """May a run last `wanted_ms` from now (a run that goes on counts from its beginning)?"""
        if not self.running and up_ms < self.rest_up_ms():
            return False
        return wanted_ms <= self.left_ms(up_ms)

    def left_ms(self, up_ms: int) -> int:
        """How much longer an output may stay away from safe, rest left out; NEVER without limits."""
        left = NEVER
        if self.run_ms:
            left = self.run_ms - (up_ms - self._began_up_ms if self.running else 0)
        if self.day_ms:
            left = min(left, self.day_ms - self._used_ms - (up_ms - self._counted_up_ms if self.running else 0))
        return max(0, left)

    def rest_up_ms(self) -> int:
        """When the rest after the last run is over."""
        return self._ended_up_ms + self.rest_ms if self.rest_ms else -NEVER

    def today(self, up_ms: int, day: "int | None", jumped: bool) -> None:
        """What day it is now (None without a clock); `jumped`: because the clock was set, not by time running on."""
        if day is None:
            if self._day is None and up_ms - self._day_up_ms >= DAY_MS:
                self._day_up_ms = up_ms
                self._used_ms = 0
        elif self._day is None:
            self._day = day
        elif not jumped and self._renews(up_ms, day):
            # A run across midnight counts from its last count on to the new day: never too little.
            self._used_ms = 0
            self._day = day
            self._renewed = True
            self._renewed_up_ms = up_ms
        else:
            self._day = max(self._day, day)

    def carry(self, up_ms: int) -> "dict[str, Any]":
        used_ms = self._used_ms
        if self.running:
            used_ms += up_ms - self._counted_up_ms + min(self._planned_ms, self.left_ms(up_ms))
        return {"day": self._day, "used_ms": used_ms}

    def _renews(self, up_ms: int, day: int) -> bool:
        """Does `day` bring a new allowance? An earlier one than the latest may, so that a date once set wrong heals."""
        if up_ms - self._renewed_up_ms >= RENEW_MS:
            return day != self._day
        return not self._renewed and self._day is not None and day > self._day

    def _count(self, up_ms: int) -> None:
        self._used_ms += up_ms - self._counted_up_ms
        self._counted_up_ms = up_ms
