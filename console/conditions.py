"""What a thing looks like from afar: one word an asset, for the map and the lists."""

from enum import StrEnum

from console.live import Contact, LiveDevice
from contract.kind import Kind, MetricType

FULL = 0.995  # a level from here on counts as fully on
ZERO = 0.005


class Condition(StrEnum):
    FAULT = "fault"  # an alarm fires
    NO_CONTACT = "no_contact"
    UNKNOWN = "unknown"  # in contact, but its target's value is not known or too old
    ON = "on"
    DIMMED = "dimmed"
    OFF = "off"
    REPORTING = "reporting"  # in contact, and there is nothing to switch


def condition(kind: Kind | None, live: LiveDevice, now_ms: int, *, alarmed: bool) -> Condition:
    """The most pressing word. An alarm is said before silence, silence before the last value: that one is old news."""
    if alarmed:
        return Condition.FAULT
    if is_silent(live, now_ms):
        return Condition.NO_CONTACT
    target = next(iter(kind.targets.values()), None) if kind else None
    if target is None:
        return Condition.REPORTING
    latest = live.fresh(target.name, now_ms)
    if latest is None or isinstance(latest.value, str):
        return Condition.UNKNOWN
    if latest.value <= ZERO:
        return Condition.OFF
    if target.type is MetricType.BOOLEAN or latest.value >= FULL * target.maximum:
        return Condition.ON
    return Condition.DIMMED


def is_silent(live: LiveDevice, now_ms: int) -> bool:
    return live.contact(now_ms) in (Contact.LOST, Contact.NEVER)
