"""Hard limits: they clamp or veto whatever won, whoever wished it. An interlock has no rank.

A *run* is a target away from its safe value. Three limits of a kind bound it, each a setting of the device in s: one
run (`run`), all runs of a local day (`day`), and the least time at safe between two (`rest`).

Runs are charged at their worst. The arbiter cannot see the device: a lease that ends a run may not have arrived, so a
run counts until the latest end of any lease the device may still hold, and is cut short only by the device's own word
(applied, expired, interrupted, or refused from the start). So a new run is measured against what may have happened,
not against what should have.
"""

from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from actuation.memory import Slot
from contract.decisions import LeaseTarget
from contract.kind import Kind, Target


class Limit(msgspec.Struct, frozen=True):
    setting: str  # its name, for the explanation
    ms: int

    def __str__(self) -> str:
        return f"{self.setting} {self.ms // 1000} s"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    run: Limit | None = None
    day: Limit | None = None
    rest: Limit | None = None
    missing: str = ""  # a limit that should be known and is not: no run without it


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the interlocks leave of a wish."""

    to: float
    until_ms: int
    clamped: str = ""  # why the value or the end is not the one wished for
    shortened: str = ""  # why the end is not the one wished for
    veto: str = ""


def limits_of(kind: Kind, target: Target, settings: dict[str, float | str]) -> Limits:
    """The limits of one device's target: its settings, or the kind's defaults where it has none."""
    found: dict[str, Limit] = {}
    missing = ""
    for which, name in (("run", target.run_limit), ("day", target.day_limit), ("rest", target.rest_limit)):
        if not name:
            continue
        value = settings.get(name, kind.settings[name].default)
        if isinstance(value, (int, float)):
            found[which] = Limit(name, int(value * 1000))
        else:
            missing = (
                f"{target.name}: the setting {name} is not known, so a run has no limit; register the device again"
            )
    return Limits(run=found.get("run"), day=found.get("day"), rest=found.get("rest"), missing=missing)


def is_tracked(target: Target) -> bool:
    """Does a run of this target have to be remembered?"""
    return not target.resume or bool(target.run_limit or target.day_limit or target.rest_limit)


def is_running(target: Target, slot: Slot, now_ms: int) -> bool:
    """Does the last lease made keep the target away from its safe value now?"""
    leased = slot.leased
    return slot.run is not None and leased is not None and leased.to != target.safe and leased.until_ms > now_ms


def judge(target: Target, limits: Limits, slot: Slot, wish: LeaseTarget, now_ms: int, zone: ZoneInfo) -> Verdict:
    """Clamp or veto what one intent would lease now. Call `settle_run` first; the wish ends after now_ms."""
    to, until_ms = wish.to, wish.until_ms
    value = min(max(to, target.minimum), target.maximum)
    clamped = ""
    if value != to:
        bound = "over its maximum" if to > value else "under its minimum"
        clamped = f"{target.name} {to:g} is {bound} {value:g}"
    if value == target.safe or not is_tracked(target):
        return Verdict(to=value, until_ms=until_ms, clamped=clamped)
    if limits.missing:
        return Verdict(to=value, until_ms=until_ms, veto=limits.missing)
    if veto := _rest_veto(target, limits, slot, wish, now_ms):
        return Verdict(to=value, until_ms=until_ms, veto=veto)
    start_ms = slot.run.start_ms if slot.run else now_ms
    end_ms, shortened, allowed_ms = until_ms, "", now_ms
    if limits.run and start_ms + limits.run.ms < end_ms:
        end_ms, shortened = start_ms + limits.run.ms, f"over {limits.run}"
    if limits.day:
        day_end_ms, next_day_ms = _clamp_by_day(start_ms, end_ms, slot.days, limits.day.ms, zone)
        if day_end_ms < end_ms:
            end_ms, shortened, allowed_ms = day_end_ms, f"over {limits.day}", next_day_ms
    if end_ms <= now_ms:
        later = f"; allowed from {instant(allowed_ms)}" if allowed_ms > now_ms else ""
        return Verdict(to=value, until_ms=until_ms, veto=shortened + later)
    return Verdict(to=value, until_ms=end_ms, clamped=clamped or shortened, shortened=shortened)


def settle_run(slot: Slot, now_ms: int, zone: ZoneInfo) -> None:
    """A run whose worst end has passed is over; days that are past are forgotten."""
    if slot.run and slot.run.worst_ms < now_ms:
        end_run(slot, slot.run.worst_ms, zone)
    if slot.days:
        today_ms = local_day(now_ms, zone)[0]
        for day_ms in [day_ms for day_ms in slot.days if day_ms < today_ms]:
            del slot.days[day_ms]


def end_run(slot: Slot, end_ms: int, zone: ZoneInfo) -> None:
    """Charge the run to its local days and start the rest. Without a run nothing happens."""
    run, slot.run = slot.run, None
    if run is None:
        return
    end_ms = max(run.start_ms, min(end_ms, run.worst_ms))
    at_ms = run.start_ms
    while at_ms < end_ms:
        day_ms, next_day_ms = local_day(at_ms, zone)
        stop_ms = min(end_ms, next_day_ms)
        slot.days[day_ms] = slot.days.get(day_ms, 0) + stop_ms - at_ms
        at_ms = stop_ms
    slot.rested_from_ms = end_ms


def _rest_veto(target: Target, limits: Limits, slot: Slot, wish: LeaseTarget, now_ms: int) -> str:
    """A run that goes on needs no rest; a new one needs it after the last one's worst end.

    Another intent makes a run go on only while the device must still be running, if it ever began: once the earliest
    end of a lease that it may hold has passed without its word, it may have closed, and opening it again is a new run.
    """
    if not limits.rest or not limits.rest.ms:
        return ""
    run, leased = slot.run, slot.leased
    goes_on = run and leased and (leased.intent == wish.intent or now_ms < run.soonest_ms)
    if goes_on and is_running(target, slot, now_ms):
        return ""
    last_end_ms = run.worst_ms if run else slot.rested_from_ms
    if last_end_ms is None or now_ms >= last_end_ms + limits.rest.ms:
        return ""
    allowed_ms = last_end_ms + limits.rest.ms
    return f"rests after its last run for {limits.rest}; allowed from {instant(allowed_ms)}"


def _clamp_by_day(start_ms: int, until_ms: int, days: dict[int, int], limit_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """(the latest end ≤ until_ms that keeps every local day within its limit, start of the day after that end)."""
    at_ms = start_ms
    while at_ms < until_ms:
        day_ms, next_day_ms = local_day(at_ms, zone)
        left_ms = max(0, limit_ms - days.get(day_ms, 0))
        stop_ms = min(until_ms, next_day_ms)
        if stop_ms - at_ms > left_ms:
            return at_ms + left_ms, next_day_ms
        at_ms = stop_ms
    return until_ms, until_ms


def local_day(at_ms: int, zone: ZoneInfo) -> tuple[int, int]:
    """[start, end) in Unix ms of the local day that holds `at_ms`; 23 to 25 hours long where clocks change."""
    day_ms, next_day_ms = _day_of_hour(at_ms // 3_600_000, zone)
    # A zone's offset changes on the hour, but a day may begin inside one (offsets of a half or quarter hour).
    return (day_ms, next_day_ms) if at_ms < next_day_ms else _day_of_hour(at_ms // 3_600_000 + 1, zone)


@lru_cache(maxsize=256)
def _day_of_hour(hour: int, zone: ZoneInfo) -> tuple[int, int]:
    day = datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).date()
    start = datetime.combine(day, time(), zone)
    end = datetime.combine(day + timedelta(days=1), time(), zone)
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)


def instant(at_ms: int) -> str:
    """RFC 3339, UTC, whole seconds, rounded up: a time given as "allowed from" is never too early."""
    return datetime.fromtimestamp(-(-at_ms // 1000), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
