"""Who rules an output: the table of claims, their order, their ends.

Theory of operation. Each target has up to five claims; the first that stands rules:

    claim       comes                                    goes
    interlock   a check at the device trips              the check clears
    local       a hand at the device                     the hand lets go, or a limit of the device
    lease       the platform's wish is applied           its end by the monotonic clock, a newer lease, a limit
    schedule    the node's own schedule has a value      it has none (no clock, no photocell)
    safe        always stands

Whatever claims a value away from safe is bounded by the target's `Limits`; a claim that they forbid is held at safe,
and the interlock is said to rule. When the ruler changes by itself, `RESULTS` says how that is reported; when a lease
comes it is answered at once. A refused lease changes nothing.

A lease ends at the earlier of its `until` and (`until` - `issued`) after it was first applied. Where the kind says
`resume: false`, a lease issued before this boot may have been running when the node died: it is not taken up again
and reported *interrupted*. A lease that came before the clock was known is refused with `no_clock`, remembered, and
judged again when the clock is set: it would not be sent a second time.
"""

from firmware.core.constants import NEVER
from firmware.core.limits import Limits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INTERLOCK = "interlock"
LOCAL = "local"
LEASE = "lease"
SCHEDULE = "schedule"
SAFE = "safe"

APPLIED = "applied"
REFUSED = "refused"
STALE = "stale"
OVERRIDDEN = "overridden"
EXPIRED = "expired"
INTERRUPTED = "interrupted"

# (who ruled, who rules now) → how a change that no message asked for is reported; others keep the last result.
RESULTS = {
    (LEASE, INTERLOCK): OVERRIDDEN,
    (LEASE, LOCAL): OVERRIDDEN,
    (LEASE, SCHEDULE): EXPIRED,
    (LEASE, SAFE): EXPIRED,
    (INTERLOCK, LEASE): APPLIED,
    (LOCAL, LEASE): APPLIED,
}


class Target:
    """One output: its claims, its limits, its value."""

    def __init__(self, name: str, rules: "dict[str, Any]", limits: Limits) -> None:
        self.name = name
        self.boolean = bool(rules["boolean"])
        self.safe = float(rules["safe"])
        self.minimum = float(rules["min"])
        self.maximum = float(rules["max"])
        self.resume = bool(rules["resume"])
        self.control = rules["control"]  # the metric that says who rules; "" for none
        self.scheduled = bool(rules["schedule"])
        self.limits = limits
        self.lease_to = None  # type: float | None
        self.lease_span_up_ms = 0  # its end by the time it was applied …
        self.lease_until = 0  # … and by the date
        self.lease_end_up_ms = NEVER  # the earlier of both
        self.local = None  # type: float | None
        self.locked = False
        self.schedule = None  # type: float | None
        self.value = self.safe
        self.by = SAFE

    @property
    def on_wire(self) -> "bool | float":
        """The value as messages say it."""
        return self.value != 0.0 if self.boolean else self.value

    def settle(self, up_ms: int) -> bool:
        """Let end what is over and find the ruler; has the value or the ruler changed?"""
        if self.lease_to is not None and up_ms >= self.lease_end_up_ms:
            self.free()
        limits = self.limits
        if limits.running and limits.left_ms(up_ms) <= 0:
            self.free()
            self.local = None
        value, by = self._claim()
        if value != self.safe and limits.any and not limits.running and not limits.allows(up_ms, 1):
            value, by = self.safe, INTERLOCK
        if value != self.safe:
            limits.begin(up_ms, self.lease_end_up_ms - up_ms if by == LEASE else NEVER)
        else:
            limits.end(up_ms)
        changed = value != self.value or by != self.by
        self.value = value
        self.by = by
        return changed

    def _claim(self) -> "tuple[float, str]":
        if self.locked:
            return self.safe, INTERLOCK
        if self.local is not None:
            return self.local, LOCAL
        if self.lease_to is not None:
            return self.lease_to, LEASE
        if self.schedule is not None:
            return self.schedule, SCHEDULE
        return self.safe, SAFE

    def free(self) -> None:
        self.lease_to = None
        self.lease_end_up_ms = NEVER

    def wake_up_ms(self, up_ms: int) -> int:
        """When `settle` would change something by the running of time."""
        wake = self.lease_end_up_ms
        if self.limits.running:
            return min(wake, up_ms + self.limits.left_ms(up_ms))
        if self.limits.any and self.by == INTERLOCK and not self.locked:
            rest = self.limits.rest_up_ms()
            if rest > up_ms:
                wake = min(wake, rest)
        return wake


class Leases:
    """All targets of a node and the version of the lease that it holds."""

    def __init__(
        self,
        targets: "dict[str, Any]",
        settings: "dict[str, Any]",
        carry: "dict[str, Any]",
        up_ms: int,
    ) -> None:
        """`targets`: as in kinds.py; `settings`: the limits they name, in s; `carry`: see Limits, by target."""
        self.targets = {}  # type: dict[str, Target]
        self._boot_up_ms = up_ms
        for name, rules in targets.items():
            limits = Limits(
                _limit_ms(settings, rules["run_limit"]),
                _limit_ms(settings, rules["day_limit"]),
                _limit_ms(settings, rules["rest_limit"]),
                carry.get(name),
                up_ms,
            )
            self.targets[name] = Target(name, rules, limits)
        self.limited = any(target.limits.any for target in self.targets.values())
        self.version = 0  # of the lease held, alive or over; 0: none since boot
        self.result = APPLIED  # how it fares
        self._refused = (0, "")  # the last refused version and why
        self._waiting = None  # type: tuple[int, int, dict[str, Any]] | None  # came before the clock was known

    @property
    def running(self) -> bool:
        """Is a target with limits away from its safe value?"""
        return any(target.limits.running and target.limits.any for target in self.targets.values())

    # ---- a lease comes

    def take(
        self, up_ms: int, unix_ms: "int | None", version: int, issued: int, wanted: "dict[str, Any]"
    ) -> "tuple[int, str, str | None]":
        """Judge a lease; return (version, result, code) to report. `wanted`: target → (to, until, reason)."""
        if version == self.version:
            return version, self.result, None
        if version == self._refused[0] and self._refused[1] != "no_clock":
            return version, REFUSED, self._refused[1]
        if version < max(self.version, self._refused[0]):
            return self.version, STALE, None
        code = self._fault(up_ms, unix_ms, issued, wanted)
        if code:
            self._refused = (version, code)
            self._waiting = (version, issued, wanted) if code == "no_clock" else None
            return version, REFUSED, code
        self._waiting = None
        self.version = version
        self.result = self._apply(up_ms, unix_ms, issued, wanted)
        return version, self.result, None

    def waiting(self) -> "tuple[int, int, dict[str, Any]] | None":
        """The lease that waits for a clock: (version, issued, wanted)."""
        return self._waiting

    def _fault(self, up_ms: int, unix_ms: "int | None", issued: int, wanted: "dict[str, Any]") -> str:
        alive = 0
        for name, (to, until, _) in wanted.items():
            target = self.targets.get(name)
            if target is None:
                return "unknown_target"
            if until is None:
                return "no_until"
            if not target.minimum <= to <= target.maximum or (target.boolean and to not in (0.0, 1.0)):
                return "over_limit"
            if unix_ms is None and to != target.safe:
                return "no_clock"
            span = until - issued
            if unix_ms is not None:
                span = min(span, until - unix_ms)
            if span > 0:
                alive += 1
            runs = to != target.safe and span > 0 and not self._interrupted(target, unix_ms, up_ms, issued)
            if runs and not target.limits.allows(up_ms, span):
                return "over_limit"
        return "expired" if wanted and not alive else ""

    def _apply(self, up_ms: int, unix_ms: "int | None", issued: int, wanted: "dict[str, Any]") -> str:
        result = APPLIED
        for name, target in self.targets.items():
            target.free()
            if name not in wanted:
                continue
            to, until, _ = wanted[name]
            if to != target.safe and self._interrupted(target, unix_ms, up_ms, issued):
                result = INTERRUPTED
                continue
            target.lease_to = to
            target.lease_until = until
            target.lease_span_up_ms = up_ms + until - issued
            self._date(target, up_ms, unix_ms)
            if target.locked or target.local is not None:
                result = OVERRIDDEN
        return result

    def _interrupted(self, target: Target, unix_ms: "int | None", up_ms: int, issued: int) -> bool:
        return not target.resume and unix_ms is not None and issued < unix_ms - (up_ms - self._boot_up_ms)

    # ---- other claims

    def lock(self, name: str, active: bool) -> None:
        self.targets[name].locked = active

    def hand(self, name: str, value: "float | None") -> None:
        target = self.targets[name]
        target.local = None if value is None else min(target.maximum, max(target.minimum, float(value)))

    # ---- time goes on

    def clock_set(self, up_ms: int, unix_ms: int) -> None:
        """The date changed: what ends at a date may end earlier or later, never after its span."""
        for target in self.targets.values():
            if target.lease_to is not None:
                self._date(target, up_ms, unix_ms)

    def settle(self, up_ms: int, answered: bool = False) -> "list[str]":
        """Names of the targets whose value or ruler changed.

        `result` follows from RESULTS, unless the change is the work of a lease that was just `answered`.
        """
        changed = []
        for name, target in self.targets.items():
            before = target.by
            if target.settle(up_ms):
                changed.append(name)
                if before != target.by and self.version and not answered:
                    self.result = RESULTS.get((before, target.by), self.result)
        return changed

    def wake_up_ms(self, up_ms: int) -> int:
        wake = NEVER
        for target in self.targets.values():
            wake = min(wake, target.wake_up_ms(up_ms))
        return wake

    def today(self, up_ms: int, day: "int | None", jumped: bool) -> None:
        for target in self.targets.values():
            target.limits.today(up_ms, day, jumped)

    def carry(self, up_ms: int) -> "dict[str, Any]":
        """What must survive a reset, by target; empty for a kind without limits."""
        return {name: target.limits.carry(up_ms) for name, target in self.targets.items() if target.limits.any}

    def _date(self, target: Target, up_ms: int, unix_ms: "int | None") -> None:
        end = target.lease_span_up_ms
        if unix_ms is not None:
            end = min(end, up_ms + target.lease_until - unix_ms)
        target.lease_end_up_ms = end


def _limit_ms(settings: "dict[str, Any]", name: str) -> int:
    """A limit in ms. A limit that is named must be there: a valve without one would run for ever."""
    return int(settings[name]) * 1000 if name else 0
