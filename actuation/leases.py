"""A lease: the whole desired state of one device; when it must be made anew, and how far it got.

`BECOMES` is the life of a lease, total: whatever a device says, in whatever order, has a cell, because a device's
word comes from outside and must never stop the arbiter. An event about any lease but the device's last is no event.
"""

from collections.abc import Mapping
from enum import StrEnum

from actuation.memory import Device
from contract.decisions import LeaseTarget, Step

VERSION_MAX = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8259, section 6); a higher one is ignored."""

REISSUES_MAX = 5
"""A device that keeps naming higher versions gets this many new leases, then none before it confirms one."""


class Event(StrEnum):
    """What happens to a lease after it was made."""

    SENT = "sent"  # the broker took it
    UNCONFIRMED = "unconfirmed"  # the deadline passed
    APPLIED = "applied"
    REFUSED = "refused"
    OVERRIDDEN = "overridden"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"


_WORD = {
    Event.APPLIED: Step.CONFIRMED,
    Event.REFUSED: Step.REFUSED,
    Event.OVERRIDDEN: Step.OVERRIDDEN,
    Event.EXPIRED: Step.EXPIRED,
    Event.INTERRUPTED: Step.INTERRUPTED,
}
"""The device's word always counts, and later words replace earlier ones."""

BECOMES: dict[Step, dict[Event, Step]] = {
    Step.LEASED: {Event.SENT: Step.SENT, Event.UNCONFIRMED: Step.UNCONFIRMED, **_WORD},
    Step.SENT: {Event.SENT: Step.SENT, Event.UNCONFIRMED: Step.UNCONFIRMED, **_WORD},
    # Sent again after a birth or a reconnect: still without an answer.
    Step.UNCONFIRMED: {Event.SENT: Step.UNCONFIRMED, Event.UNCONFIRMED: Step.UNCONFIRMED, **_WORD},
    # The device has answered: the broker's receipt and the deadline come too late to matter.
    Step.CONFIRMED: {Event.SENT: Step.CONFIRMED, Event.UNCONFIRMED: Step.CONFIRMED, **_WORD},
    Step.REFUSED: {Event.SENT: Step.REFUSED, Event.UNCONFIRMED: Step.REFUSED, **_WORD},
    Step.OVERRIDDEN: {Event.SENT: Step.OVERRIDDEN, Event.UNCONFIRMED: Step.OVERRIDDEN, **_WORD},
    Step.EXPIRED: {Event.SENT: Step.EXPIRED, Event.UNCONFIRMED: Step.EXPIRED, **_WORD},
    Step.INTERRUPTED: {Event.SENT: Step.INTERRUPTED, Event.UNCONFIRMED: Step.INTERRUPTED, **_WORD},
}


def next_version(device: Device, now_ms: int) -> int:
    """Above the last one issued and the highest one reported, so that a restored server cannot fall behind."""
    issued = device.lease.version if device.lease else 0
    return max(now_ms, issued + 1, device.reported_version + 1)


def renewal_ms(leased: LeaseTarget, lease_ms: int) -> int:
    """When a lease that runs `lease_ms` is renewed: at two thirds, so that one lost renewal is survived."""
    return leased.until_ms - lease_ms // 3


def same_wish(leased: LeaseTarget | None, wanted: LeaseTarget) -> bool:
    """Do both ask for the same value for the same reason, whatever their ends?"""
    return leased is not None and (leased.to, leased.intent, leased.reason) == (wanted.to, wanted.intent, wanted.reason)


def differing(leased: Mapping[str, LeaseTarget], wanted: Mapping[str, LeaseTarget]) -> list[str]:
    """Targets that are not the same in both, by name."""
    return sorted(name for name in leased.keys() | wanted.keys() if leased.get(name) != wanted.get(name))
