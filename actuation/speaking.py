"""What devices and the broker say of a lease, and what follows from it.

A device's word is only ever about its last lease, named by version: an older version is old news; a higher one means
that it holds what we do not know (a restored server), so what is wanted now is made anew above it.
"""

from collections.abc import Collection

from actuation.interlocks import is_tracked
from actuation.leases import BECOMES, REISSUES_MAX, VERSION_MAX, Event
from actuation.memory import Asset, Device, Slot
from actuation.settling import Settling
from contract.decisions import Step
from contract.kind import Target
from contract.records import LeaseSent, LeaseUnconfirmed, Reported, Status

WAITS_FOR_CLOCK = "no_clock"
"""The one refusal that is not final: the device judges the lease again when its clock is set (docs/wire.md)."""


class Hearing:
    """Takes Status, Reported, LeaseSent and LeaseUnconfirmed. Used by the arbiter only."""

    def __init__(self, settling: Settling) -> None:
        self._settling = settling

    # ---- the broker

    def sent(self, record: LeaseSent) -> None:
        device = self._last(record.device, record.version)
        if device is None:
            return
        changed = self._move(device, Event.SENT, "")
        if not device.quiet:
            # The device may answer before the broker's receipt is noted: a row all the same, but no step back.
            self._note(device, Step.SENT, "" if changed else "noted late", row_only=not changed)

    def unconfirmed(self, record: LeaseUnconfirmed) -> None:
        device = self._last(record.device, record.version)
        if device is not None and self._move(device, Event.UNCONFIRMED, ""):
            device.quiet = False
            why = f"no answer in {record.waited_s:g} s; it is sent again at the device's next birth"
            self._note(device, Step.UNCONFIRMED, why)

    # ---- the device

    def status(self, status: Status) -> None:
        """A birth in a later boot: the device was reset, and a run is over, whether it was confirmed or not.

        The device takes up no run that was leased before its boot; here it ends without waiting for its word.
        """
        device = self._settling.memory.devices.get(status.device)
        if device is None or not status.online:
            return
        reset = device.boot is not None and status.boot > device.boot
        device.boot = status.boot
        asset = self._asset(device)
        why = f"{status.device} was reset ({status.reset or 'no cause given'})"
        for _, target, slot in self._targets(asset) if asset else ():
            run = slot.run
            if run and not target.resume and (reset or (run.boot is not None and status.boot > run.boot)):
                self._interrupt(slot, target, why)
        self._settling.settle_touched()

    def reported(self, reported: Reported) -> None:
        device = self._settling.memory.devices.get(reported.device)
        if device is None or not 0 <= reported.version <= VERSION_MAX:
            return
        issued = device.lease.version if device.lease else 0
        if reported.version > max(issued, device.reported_version):
            device.reported_version = reported.version
        if device.boot is None:
            device.boot = reported.boot
        if reported.version > issued:
            self._reissue(device, reported.version)
            return
        asset = self._asset(device)
        if reported.result == Event.INTERRUPTED and asset is not None:
            self._interrupted(asset, device, reported)
        elif reported.version == issued and issued:
            self._answered(asset, device, reported)
        self._settling.settle_touched()

    def _answered(self, asset: Asset | None, device: Device, reported: Reported) -> None:
        # "stale" with our own version: it holds the lease already, and applied it before.
        word = Event.APPLIED if reported.result == "stale" else reported.result
        if word not in tuple(Event) or word in (Event.SENT, Event.UNCONFIRMED):
            return
        event = Event(word)
        changed = self._move(device, event, reported.code)
        if event is Event.APPLIED:
            device.reissues = 0
        ended = set()
        for name, target, slot in self._targets(asset) if asset is not None else ():
            if event in (Event.APPLIED, Event.OVERRIDDEN):
                self._confirm(target, slot, reported)
            elif event is Event.REFUSED and reported.code != WAITS_FOR_CLOCK:
                ended |= {name} if self._refuse(device, target, slot, reported.code) else set()
            elif event is Event.EXPIRED and reported.by.get(name) != "lease":
                ended |= {name} if self._expire(target, slot) else set()
        if changed and not (device.quiet and event is Event.APPLIED):
            device.quiet = False
            self._note(device, BECOMES[Step.LEASED][event], self._why(event, reported), ended)

    def _confirm(self, target: Target, slot: Slot, reported: Reported) -> None:
        """The device holds exactly the last lease: a run is as long as that says, or over."""
        run = slot.run
        if run is None:
            return
        if slot.leased and slot.leased.to != target.safe:
            run.worst_ms = run.soonest_ms = slot.leased.until_ms
            run.boot = reported.boot
        else:
            self._settling.end_run(slot)

    def _refuse(self, device: Device, target: Target, slot: Slot, code: str) -> bool:
        """A refused run is over, and its lease is replaced: nothing is to open later by itself. Was there one?"""
        leased = slot.leased
        if target.resume or leased is None or leased.to == target.safe or leased.intent not in slot.held:
            return False
        if slot.run and device.lease and slot.run.version == device.lease.version:
            slot.run = None  # it never began
        self._settling.end(leased.intent, Step.REFUSED, code or "refused without a code")
        return True

    def _expire(self, target: Target, slot: Slot) -> bool:
        """The device ended a run by its own clock. Was there one that is over with it?"""
        leased = slot.leased
        if slot.run is None or leased is None or leased.to == target.safe:
            return False
        self._settling.end_run(slot)
        if target.resume or leased.intent not in slot.held:
            return False
        self._settling.end(leased.intent, Step.EXPIRED, "the device ended the run")
        return True

    def _interrupted(self, asset: Asset, device: Device, reported: Reported) -> None:
        """A reset ended what is not resumed. What else is wanted is leased anew, so that it holds again."""
        issued = device.lease.version if device.lease else 0
        over = False
        for name, target, slot in self._targets(asset):
            run = slot.run
            if run is None or target.resume or reported.by.get(name) == "lease":
                continue
            # A version of 0 tells nothing of a lease under way, so it only ends a run that the device once confirmed.
            if run.boot is not None if reported.version == 0 else reported.version >= run.version:
                self._interrupt(slot, target, f"{device.device} was reset in the run")
                over = True
        if reported.version == issued and issued and self._move(device, Event.INTERRUPTED, reported.code):
            if not over:
                self._note(device, Step.INTERRUPTED, self._why(Event.INTERRUPTED, reported))
            if device.lease and device.lease.targets:
                self._settling.settle(asset, f"{device.device} was reset")

    def _interrupt(self, slot: Slot, target: Target, why: str) -> None:
        leased = slot.leased
        self._settling.end_run(slot)
        if leased and leased.to != target.safe and leased.intent in slot.held:
            self._settling.end(leased.intent, Step.INTERRUPTED, why)

    def _reissue(self, device: Device, version: int) -> None:
        """The device holds a version above our last one."""
        if device.reissues >= REISSUES_MAX:
            return
        device.reissues += 1
        asset = self._asset(device)
        why = f"{device.device} holds version {version}, above the last one issued"
        if asset is not None:
            self._settling.settle(asset, why)
        else:
            self._settling.free(device, why)

    # ---- in short

    def _last(self, name: str, version: int) -> Device | None:
        """The device, when `version` is that of its last lease."""
        device = self._settling.memory.devices.get(name)
        return device if device and device.lease and device.lease.version == version else None

    def _asset(self, device: Device | None) -> Asset | None:
        return self._settling.memory.assets.get(device.asset) if device and device.asset else None

    def _targets(self, asset: Asset) -> list[tuple[str, Target, Slot]]:
        """The targets whose runs are remembered."""
        kind = self._settling.kinds.get(asset.kind)
        targets = kind.targets if kind else {}
        return [
            (name, targets[name], slot)
            for name, slot in list(asset.slots.items())
            if name in targets and is_tracked(targets[name])
        ]

    def _move(self, device: Device, event: Event, code: str) -> bool:
        """Bring the last lease on; False when it stays where it is."""
        assert device.lease is not None
        step = BECOMES[device.lease.state][event]
        if (step, code) == (device.lease.state, device.lease.code):
            return False
        if event in (Event.SENT, Event.UNCONFIRMED) and step is device.lease.state:
            return False  # the device's own code stays
        self._settling.tell_lease(device, step, code)
        return True

    def _note(
        self, device: Device, step: Step, why: str, ended: Collection[str] = (), *, row_only: bool = False
    ) -> None:
        """One row for each target that the lease changed; trouble is told of every target in it.

        Targets in `ended` have their row already: the one that ended their intent.
        """
        assert device.lease is not None
        news = step in (Step.SENT, Step.CONFIRMED)
        names = device.touched if news else sorted(device.lease.targets)
        for name in names or [""]:
            if name in ended:
                continue
            if row_only:
                leased = device.lease.targets.get(name)
                self._settling.note(step, device.lease.asset, device.device, name, why, version=device.lease.version,
                                    to=leased.to if leased else None,
                                    until_ms=leased.until_ms if leased else None)  # fmt: skip
            else:
                self._settling.note_lease(device, name, step, why)

    def _why(self, event: Event, reported: Reported) -> str:
        if event is Event.REFUSED:
            return reported.code or "refused without a code"
        if event is Event.APPLIED:
            return ""
        others = [f"{name} by {who}" for name, who in sorted(reported.by.items()) if who != "lease"]
        return ", ".join(others) or reported.code
