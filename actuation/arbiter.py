"""From wishes to leases: one winner per asset and target, and the whole desired state of each device.

Theory of operation. The arbiter is a pure state machine over log entries: the same entries give the same outcomes,
live or in a replay; it has no clock (the entry's `at_ms` is now), no chance, no I/O. Order of events, for each entry::

    apply(entry)                      positions grow; anything else is an IllegalEvent and changes nothing
    wish(entry, intents, ends)        any number of times, for the entry applied last

`apply` first lets time pass (what is due, in order of time and asset), then takes the record. Whatever changed an
asset ends in `Settling.settle(asset)`, which decides anew for all its targets:

    1. intents whose time is over end; a run past its worst end is charged
    2. the strongest intent (rank, newer decision, id) goes to the interlocks (`interlocks`): a veto ends it, and the
       next strongest goes; a clamp changes its value or shortens it
    3. it WON, the others LOST: they are kept, and one of them wins when it ends
    4. when what is wanted differs from the device's last lease, or a renewal is due, a new lease is made for the whole
       device; when nothing is wanted any more, one empty lease

What may follow what is in two tables: `intents.FOLLOWS` for the life of an intent, `leases.BECOMES` for a lease's.
A device's word can be anything and never raises. Every step is one Decision; ids are identify(position, n).

Bounded: ended intents are forgotten at once (the state database has them), SLOT_MAX intents a target, WISHES_MAX ids
of requests until their end, one lease a device.
"""

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from actuation.intents import IllegalEvent, end_of, intents_of, value_fault
from actuation.interlocks import instant
from actuation.memory import FORM, Asset, Device, Held, Memory
from actuation.settling import Outcome, Settling
from actuation.speaking import Hearing
from contract.decisions import Intent, IntentEnd, Step
from contract.kind import Kinds, Target
from contract.ports import SnapshotFault
from contract.records import (
    Entry,
    LeaseSent,
    LeaseUnconfirmed,
    Registered,
    Reported,
    Status,
    Wished,
    Withdrawn,
)

SLOT_MAX = 64
"""Intents that may wait for one target of one asset; more are vetoed."""

WISHES_MAX = 10_000
"""Requests remembered until their end, so that the same one twice is one wish; beyond it the oldest is forgotten."""

__all__ = ["Arbiter", "IllegalEvent", "Outcome"]


class Arbiter:
    """See the theory of operation above. Not thread-safe: one decider drives it."""

    def __init__(self, kinds: Kinds, timezone: str) -> None:
        """`timezone`: the site's IANA zone, for limits a day."""
        self._settling = Settling(kinds, ZoneInfo(timezone))
        self._hearing = Hearing(self._settling)
        self._memory = self._settling.memory
        self._take: dict[type, Callable[[Any], None]] = {
            Registered: self._register,
            Wished: self._wished,
            Withdrawn: self._withdrawn,
            Status: self._hearing.status,
            Reported: self._hearing.reported,
            LeaseSent: self._hearing.sent,
            LeaseUnconfirmed: self._hearing.unconfirmed,
        }

    # ---- events

    def apply(self, entry: Entry) -> Outcome:
        """Let time pass to this entry and take its record.

        Raises IllegalEvent when its position is not above the last one's.
        """
        if entry.position <= self._memory.position:
            raise IllegalEvent(
                f"position {entry.position} is not above {self._memory.position}: entries are applied once, in order"
            )
        outcome = self._settling.begin(entry.position, entry.at_ms)
        self._settling.pass_time()
        take = self._take.get(type(entry.record))
        if take is not None:
            take(entry.record)
        return outcome

    def wish(self, entry: Entry, intents: Sequence[Intent], ends: Sequence[IntentEnd]) -> Outcome:
        """Take what the rules made of the entry applied last. Ends come first: a rule gives way before it asks anew.

        An end of an intent that is over already changes nothing: rules do not hear of vetoes and clamps.
        Raises IllegalEvent for another entry, an intent without id, or the id of an intent of another target.
        """
        if entry.position != self._memory.position:
            raise IllegalEvent(
                f"wishes of position {entry.position}, but {self._memory.position} was applied last; "
                "call apply(entry) first"
            )
        for intent in intents:
            known = self._settling.place_of(intent.intent)
            if not intent.intent or (known and known != (intent.asset, intent.target)):
                raise IllegalEvent(f"intent id {intent.intent!r} of {intent.asset}.{intent.target} is not its own")
        outcome = self._settling.go_on()
        for end in ends:
            self._end(end)
        for intent in intents:
            self._admit(intent, from_rules=True)
        self._settling.settle_touched()
        return outcome

    # ---- memory

    def snapshot(self) -> bytes:
        """Everything that later outcomes depend on."""
        return msgspec.msgpack.encode(self._memory)

    def restore(self, snapshot: bytes) -> None:
        """Go on as the arbiter that made the snapshot would. Raises SnapshotFault and changes nothing."""
        try:
            memory = msgspec.msgpack.decode(snapshot, type=Memory)
        except (msgspec.DecodeError, ValueError) as error:
            raise SnapshotFault(f"not a snapshot of the arbiter: {error}") from None
        if memory.form != FORM:
            raise SnapshotFault(f"a snapshot of form {memory.form}; this arbiter reads form {FORM}")
        self._settling.remember(memory)
        self._memory = memory

    @property
    def forgotten_wishes(self) -> int:
        """Requests whose ids were forgotten before their end, because WISHES_MAX were remembered."""
        return self._memory.forgotten_wishes

    def ruling(self, asset: str) -> dict[str, str]:
        """Target → id of the intent that rules it now; a target that is free is absent."""
        known = self._memory.assets.get(asset)
        return {name: slot.ruling for name, slot in known.slots.items() if slot.ruling} if known else {}

    # ---- wishes

    def _wished(self, wish: Wished) -> None:
        wishes, now_ms = self._memory.wishes, self._memory.at_ms
        if wish.intent in wishes:
            return  # the same request twice is one wish
        for known in [known for known, end_ms in wishes.items() if end_ms <= now_ms]:
            del wishes[known]
        if len(wishes) >= WISHES_MAX:
            del wishes[next(iter(wishes))]
            self._memory.forgotten_wishes += 1
        wishes[wish.intent] = wish.until_ms
        for intent, fault in intents_of(wish, now_ms):
            if self._settling.place_of(intent.intent):  # another's: its state is not ours to write
                self._settling.note(
                    Step.VETOED, intent.asset, "", intent.target, f"the id {intent.intent} is in use", by=intent.by
                )
            elif fault:
                self._turn_away(intent, fault)
            else:
                self._admit(intent, from_rules=False)
        self._settling.settle_touched()

    def _withdrawn(self, withdrawn: Withdrawn) -> None:
        for intent in self._settling.parts_of(withdrawn.intent):
            self._settling.end(intent, Step.WITHDRAWN, f"withdrawn by {withdrawn.by}", by=withdrawn.by)
        self._settling.settle_touched()

    def _end(self, end: IntentEnd) -> None:
        place = self._settling.place_of(end.intent)
        if place is None:
            return
        slot = self._memory.assets[place[0]].slots[place[1]]
        held = slot.held[end.intent]
        if not end.lapse:
            self._settling.end(end.intent, Step.WITHDRAWN, "its condition is false")
        elif slot.ruling == end.intent and slot.leased and slot.leased.intent == end.intent:
            end_ms = slot.leased.until_ms
            held.end_ms = end_ms if held.end_ms is None else min(held.end_ms, end_ms)
            held.end_why = "its condition is unknown, and its lease ran out"
            self._settling.touch(place[0])
        else:
            self._settling.end(end.intent, Step.EXPIRED, "its condition is unknown, and it held no lease")

    def _admit(self, intent: Intent, *, from_rules: bool) -> None:
        """Let an intent into the arbitration for its target, or veto it for good."""
        asset = self._memory.assets.get(intent.asset)
        kind = self._settling.kinds.get(asset.kind) if asset else None
        target = kind.targets.get(intent.target) if kind else None
        if asset is None or target is None:
            what = f"{asset.kind} has no target {intent.target}" if asset else "no such asset is registered"
            self._turn_away(intent, f"{intent.asset}: {what}")
            return
        slot = self._settling.slot(asset, intent.target)
        known = slot.held.get(intent.intent)
        if fault := self._admission_fault(intent, target, from_rules=from_rules):
            if known is None:
                self._turn_away(intent, fault)
            return
        end_ms = end_of(intent, target, self._memory.at_ms)
        if end_ms is not None and end_ms <= self._memory.at_ms:
            self._turn_away(intent, f"its end {instant(end_ms)} was past when it came", Step.EXPIRED)
        elif known is not None:
            if target.resume:  # decided anew; a run is one run, whatever comes later under its id
                known.intent, known.end_ms, known.end_why = intent, end_ms, ""
                self._settling.touch(intent.asset)
        elif len(slot.held) >= SLOT_MAX:
            self._turn_away(intent, f"{SLOT_MAX} intents wait for {intent.target} already; withdraw some")
        else:
            self._settling.hold(asset, slot, Held(intent=intent, end_ms=end_ms))

    def _admission_fault(self, intent: Intent, target: Target, *, from_rules: bool) -> str:
        if fault := value_fault(target, intent.to):
            return fault
        if intent.until_ms is None and not intent.lease_ms:
            return "it has neither an end nor a lease: every lease expires"
        age_ms = self._memory.at_ms - intent.decided_at_ms
        if from_rules and age_ms > target.fresh_ms:
            return f"stale: decided {age_ms / 1000:g} s ago, fresh is {target.fresh_ms / 1000:g} s"
        return ""

    def _turn_away(self, intent: Intent, why: str, step: Step = Step.VETOED) -> None:
        asset = self._memory.assets.get(intent.asset)
        self._settling.note_intent(step, intent, why, device=asset.device if asset else "")

    # ---- the registry

    def _register(self, registered: Registered) -> None:
        memory, settling = self._memory, self._settling
        device = memory.devices.setdefault(registered.device, Device(device=registered.device))
        if device.asset and device.asset != registered.asset:
            settling.unbind(memory.assets[device.asset], f"{device.device} moved to {registered.asset}")
        asset = memory.assets.setdefault(registered.asset, Asset(asset=registered.asset))
        if asset.device and asset.device != registered.device:
            old = memory.devices[asset.device]
            settling.unbind(asset, f"{old.device} was replaced by {registered.device}")
            if old.lease and old.lease.targets:
                settling.free(old, f"{old.device} is on no asset now")
        fresh = asset.device != registered.device
        asset.device, device.asset = registered.device, registered.asset
        asset.kind = device.kind = registered.kind
        # Whole numbers as floats, as they come back from a snapshot.
        asset.settings = {
            name: value if isinstance(value, str) else float(value) for name, value in registered.settings.items()
        }
        why = f"{asset.asset} is a {asset.kind} now" if settling.drop_unknown_targets(asset) else ""
        # A device that comes from elsewhere may still hold what it was told there.
        if fresh and ((device.lease and device.lease.targets) or device.reported_version):
            why = f"{device.device} is on {asset.asset} now"
        settling.settle(asset, why)
