"""Decides anew for one asset: who rules each target, what the interlocks leave of it, and whether a lease is due.

Used by the arbiter only; its theory of operation is there. Everything that changes an asset marks it (`touch`), and
`settle` brings it to rest: called again without a change and at the same time, it does nothing.
"""

import heapq
from zoneinfo import ZoneInfo

import msgspec

from actuation.intents import follow, lost_because, strength, won_because
from actuation.interlocks import Verdict, end_run, is_running, is_tracked, judge, limits_of, settle_run
from actuation.leases import differing, next_version, renewal_ms, same_wish
from actuation.memory import Asset, Device, Held, Memory, Run, Slot
from contract.decisions import OVER, Decision, Intent, IntentState, Lease, LeaseTarget, Step, identify
from contract.kind import Kind, Kinds, Target


class Outcome(msgspec.Struct):
    """What one event changed, in order."""

    intents: list[IntentState] = []
    decisions: list[Decision] = []
    leases: list[Lease] = []  # state LEASED: to be sent; other states: how far the device's last lease got


class Settling:
    """Memory, and the one way it changes."""

    def __init__(self, kinds: Kinds, zone: ZoneInfo) -> None:
        self.kinds = kinds
        self.zone = zone
        self.memory = Memory()
        self._outcome = Outcome()
        self._number = 0  # of the next decision of this position
        self._touched: dict[str, None] = {}
        # What follows is made from memory and not part of a snapshot.
        self._places: dict[str, tuple[str, str]] = {}  # intent → (asset, target)
        self._parts: dict[str, list[str]] = {}  # request → its live intents
        self._due: dict[str, int] = {}  # asset → when it must be settled
        self._queue: list[tuple[int, str]] = []  # (due, asset); an item that `_due` does not confirm is old

    # ---- one event

    def begin(self, position: int, at_ms: int) -> Outcome:
        """A new entry. City time never goes back."""
        self.memory.position, self.memory.at_ms = position, max(self.memory.at_ms, at_ms)
        self._number = 0
        return self.go_on()

    def go_on(self) -> Outcome:
        """A further event of the same entry: a new outcome, the numbers of decisions go on."""
        self._outcome = Outcome()
        return self._outcome

    def pass_time(self) -> None:
        """Settle what became due, in order of time and asset."""
        now_ms = self.memory.at_ms
        while self._queue and self._queue[0][0] <= now_ms:
            due_ms, name = heapq.heappop(self._queue)
            if self._due.get(name) == due_ms:
                self.settle(self.memory.assets[name])

    def remember(self, memory: Memory) -> None:
        """Take a restored memory, and make from it what is not part of it."""
        self.memory = memory
        self._touched, self._places, self._parts, self._due, self._queue = {}, {}, {}, {}, []
        for asset in memory.assets.values():
            for name, slot in asset.slots.items():
                for held in slot.held.values():
                    self._index(held.intent, asset.asset, name)
            self._schedule(asset)

    # ---- intents

    def place_of(self, intent: str) -> tuple[str, str] | None:
        return self._places.get(intent)

    def parts_of(self, request: str) -> list[str]:
        """The live intents of a request, by its id or by the id of one of them. Rules' intents are in no request."""
        if request in self._parts:
            return list(self._parts[request])
        place = self._places.get(request)
        return [request] if place and self._held(request).intent.wish else []

    def slot(self, asset: Asset, target: str) -> Slot:
        return asset.slots.setdefault(target, Slot())

    def hold(self, asset: Asset, slot: Slot, held: Held) -> None:
        slot.held[held.intent.intent] = held
        self._index(held.intent, asset.asset, held.intent.target)
        self.touch(asset.asset)

    def touch(self, asset: str) -> None:
        self._touched[asset] = None

    def settle_touched(self) -> None:
        touched, self._touched = self._touched, {}
        for name in touched:
            self.settle(self.memory.assets[name])

    def end(self, intent: str, step: Step, why: str, *, by: str = "") -> None:
        """An intent is over: one row, and it is forgotten. The asset is settled by the caller or `settle_touched`."""
        assert step in OVER
        asset_name, target = self._places[intent]
        asset = self.memory.assets[asset_name]
        slot = asset.slots[target]
        held = slot.held[intent]
        follow(held, step)
        del slot.held[intent], self._places[intent]
        if slot.ruling == intent:
            slot.ruling = ""
        if held.intent.wish:
            parts = self._parts[held.intent.wish]
            parts.remove(intent)
            if not parts:
                del self._parts[held.intent.wish]
        self.note_intent(step, held.intent, why, device=asset.device, by=by)
        self.touch(asset_name)

    def _held(self, intent: str) -> Held:
        asset, target = self._places[intent]
        return self.memory.assets[asset].slots[target].held[intent]

    def _index(self, intent: Intent, asset: str, target: str) -> None:
        self._places[intent.intent] = (asset, target)
        if intent.wish:
            self._parts.setdefault(intent.wish, []).append(intent.intent)

    # ---- the audit

    def note(
        self, step: Step, asset: str, device: str, target: str, why: str, *, intent: Intent | None = None,
        to: float | None = None, until_ms: int | None = None, version: int | None = None, by: str = "",
    ) -> None:  # fmt: skip
        """One row of the audit."""
        self._outcome.decisions.append(
            Decision(
                decision=identify(self.memory.position, self._number),
                at_ms=self.memory.at_ms,
                asset=asset,
                device=device,
                target=target,
                step=step,
                intent=intent.intent if intent else "",
                to=to if to is not None or intent is None else intent.to,
                until_ms=until_ms if until_ms is not None or intent is None else intent.until_ms,
                version=version,
                reason=intent.reason if intent else "",
                why=why,
                by=by or (intent.by if intent else ""),
            )
        )
        self._number += 1

    def note_intent(
        self, step: Step, intent: Intent, why: str, *, device: str, to: float | None = None,
        until_ms: int | None = None, version: int | None = None, by: str = "",
    ) -> None:  # fmt: skip
        """A row, and the intent's new state."""
        self.note(step, intent.asset, device, intent.target, why, intent=intent, to=to, until_ms=until_ms,
                  version=version, by=by)  # fmt: skip
        self._outcome.intents.append(IntentState(intent=intent, step=step, at_ms=self.memory.at_ms, why=why))

    def note_lease(self, device: Device, target: str, step: Step, why: str) -> None:
        """What became of a device's last lease, for one target of it; "" for an empty one."""
        lease = device.lease
        assert lease is not None
        leased = lease.targets.get(target)
        if leased is None or leased.intent not in self._places:
            self.note(step, lease.asset, device.device, target, why, version=lease.version,
                      to=leased.to if leased else None, until_ms=leased.until_ms if leased else None)  # fmt: skip
            return
        intent = self._held(leased.intent).intent
        if step in OVER:  # of the lease; the intent lives on, and its state says so
            self.note(step, lease.asset, device.device, target, why, intent=intent, to=leased.to,
                      until_ms=leased.until_ms, version=lease.version)  # fmt: skip
            told = IntentState(
                intent=intent, step=Step.WON, at_ms=self.memory.at_ms, why=f"{step} by the device: {why}"
            )
            self._outcome.intents.append(told)
            return
        self.note_intent(step, intent, why, device=device.device, to=leased.to, until_ms=leased.until_ms,
                         version=lease.version)  # fmt: skip

    def tell_lease(self, device: Device, step: Step, code: str) -> None:
        """The device's last lease got as far as `step`."""
        assert device.lease is not None
        device.lease = msgspec.structs.replace(device.lease, state=step, code=code)
        self._outcome.leases.append(device.lease)

    # ---- settling

    def settle(self, asset: Asset, force: str = "") -> None:
        """Bring an asset to rest. `force`: make a lease in any case, for this reason."""
        kind = self.kinds.get(asset.kind)
        wanted: dict[str, LeaseTarget] = {}
        due = False
        for name in kind.targets if kind else ():
            slot = asset.slots.get(name)
            if slot is None:
                continue
            assert kind is not None
            leased = self._settle_target(asset, kind, kind.targets[name], slot)
            if leased is not None:
                wanted[name] = leased
                due = due or self._is_due(kind.targets[name], slot, leased)
        before = {name: slot.leased for name, slot in asset.slots.items() if slot.leased}
        gone = before.keys() - wanted.keys()
        if asset.device and (force or due or gone):
            assert kind is not None or not wanted
            self._make_lease(asset, kind, before, wanted, force)
        self._touched.pop(asset.asset, None)
        self._schedule(asset)

    def _settle_target(self, asset: Asset, kind: Kind, target: Target, slot: Slot) -> LeaseTarget | None:
        now_ms = self.memory.at_ms
        settle_run(slot, now_ms, self.zone)
        for held in [held for held in slot.held.values() if held.end_ms is not None and held.end_ms <= now_ms]:
            self.end(held.intent.intent, Step.EXPIRED, held.end_why or "its time is over")
        if not asset.device:
            for held in slot.held.values():
                self._stand(held, Step.LOST, "no device is on the asset now; it waits for one", device="")
            slot.ruling = ""
            return None
        limits = limits_of(kind, target, asset.settings)
        for held in sorted(slot.held.values(), key=strength, reverse=True):
            intent = held.intent
            wish = LeaseTarget(
                to=intent.to, until_ms=self._until_ms(target, held), reason=intent.reason, intent=intent.intent
            )
            verdict = judge(target, limits, slot, wish, now_ms, self.zone)
            if not verdict.veto:
                self._crown(asset, slot, held)
                self._clamp(asset, held, verdict)
                return msgspec.structs.replace(wish, to=verdict.to, until_ms=verdict.until_ms)
            self.end(held.intent.intent, Step.VETOED, verdict.veto)
        slot.ruling = ""
        return None

    def _until_ms(self, target: Target, held: Held) -> int:
        """When a lease made for this intent now would end, before the interlocks."""
        if held.end_ms is not None and not (target.resume and held.intent.lease_ms):
            return held.end_ms
        assert held.intent.lease_ms, "admission lets nothing in that has neither an end nor a lease"
        until_ms = self.memory.at_ms + held.intent.lease_ms
        return until_ms if held.end_ms is None else min(until_ms, held.end_ms)

    def _crown(self, asset: Asset, slot: Slot, winner: Held) -> None:
        slot.ruling = winner.intent.intent
        for held in sorted(slot.held.values(), key=strength, reverse=True):
            if held is winner:
                if held.standing is not Step.WON:
                    self._stand(held, Step.WON, won_because(winner, len(slot.held) - 1), device=asset.device)
            else:
                self._stand(held, Step.LOST, lost_because(held, winner), device=asset.device)

    def _stand(self, held: Held, step: Step, why: str, *, device: str) -> None:
        """Tell a new standing once; the same again is no step."""
        if (held.standing, held.why) == (step, why):
            return
        follow(held, step)
        held.standing, held.why = step, why
        self.note_intent(step, held.intent, why, device=device)

    def _clamp(self, asset: Asset, held: Held, verdict: Verdict) -> None:
        """Tell a clamp once. A wish that an interlock shortens is over at that time, and does not begin anew."""
        if verdict.shortened:
            held.end_ms, held.end_why = verdict.until_ms, verdict.shortened
        if verdict.clamped and verdict.clamped != held.clamped:
            held.clamped = verdict.clamped
            self.note_intent(Step.CLAMPED, held.intent, verdict.clamped, device=asset.device, to=verdict.to,
                             until_ms=verdict.until_ms)  # fmt: skip

    def _is_due(self, target: Target, slot: Slot, wanted: LeaseTarget) -> bool:
        """Must there be a new lease for this: another wish, another end, or time to renew?"""
        leased = slot.leased
        if leased is None or not same_wish(leased, wanted):
            return True
        lease_ms = slot.held[wanted.intent].intent.lease_ms
        if not (target.resume and lease_ms) or wanted.until_ms < leased.until_ms:
            return wanted.until_ms != leased.until_ms
        return wanted.until_ms > leased.until_ms and self.memory.at_ms >= renewal_ms(leased, lease_ms)

    # ---- leases

    def _make_lease(
        self,
        asset: Asset,
        kind: Kind | None,
        before: dict[str, LeaseTarget],
        wanted: dict[str, LeaseTarget],
        force: str,
    ) -> None:
        device = self.memory.devices[asset.device]
        renews = before.keys() == wanted.keys() and all(same_wish(before[name], wanted[name]) for name in wanted)
        confirmed = device.lease is not None and device.lease.state is Step.CONFIRMED
        device.quiet = renews and confirmed and not force
        device.touched = sorted(wanted) if force else differing(before, wanted)
        self._issue(device, asset.asset, wanted)
        assert device.lease is not None
        for name, slot in asset.slots.items():
            slot.leased = wanted.get(name)
            target = kind.targets.get(name) if kind else None
            if slot.leased and target and is_tracked(target) and slot.leased.to != target.safe:
                until_ms = slot.leased.until_ms
                if slot.run is None:
                    slot.run = Run(start_ms=self.memory.at_ms, worst_ms=until_ms, soonest_ms=until_ms,
                                   version=device.lease.version)  # fmt: skip
                slot.run.worst_ms = max(slot.run.worst_ms, until_ms)
                slot.run.soonest_ms = min(slot.run.soonest_ms, until_ms)
        for name in device.touched:
            why = (
                force
                or ("renewed" if renews else "")
                or ("" if name in wanted else "nothing rules it: it is free again")
            )
            self.note_lease(device, name, Step.LEASED, why)
        if not device.touched:
            self.note_lease(device, "", Step.LEASED, force or "nothing rules: everything is free")

    def _issue(self, device: Device, asset: str, targets: dict[str, LeaseTarget]) -> None:
        now_ms = self.memory.at_ms
        version = next_version(device, now_ms)
        device.lease = Lease(
            device=device.device, asset=asset, version=version, issued_ms=now_ms, targets=targets, kind=device.kind
        )
        self._outcome.leases.append(device.lease)

    def free(self, device: Device, why: str) -> None:
        """An empty lease to a device that is on no asset."""
        device.touched, device.quiet = [], False
        self._issue(device, device.lease.asset if device.lease else "", {})
        self.note_lease(device, "", Step.LEASED, f"{why}: everything is free")

    # ---- the registry

    def unbind(self, asset: Asset, why: str) -> None:
        """The device leaves its asset. A run is over; whatever else was wished waits for the next device."""
        kind = self.kinds.get(asset.kind)
        for name, slot in asset.slots.items():
            target = kind.targets.get(name) if kind else None
            if target and not target.resume and slot.ruling and is_running(target, slot, self.memory.at_ms):
                self.end(slot.ruling, Step.INTERRUPTED, why)
            slot.leased = None
        device = self.memory.devices[asset.device]
        device.asset, asset.device = "", ""
        self.settle(asset)

    def drop_unknown_targets(self, asset: Asset) -> bool:
        """An asset that became another kind loses what the new kind does not have; was there anything?"""
        kind = self.kinds.get(asset.kind)
        unknown = [name for name in asset.slots if kind is None or name not in kind.targets]
        for name in unknown:
            for intent in list(asset.slots[name].held):
                self.end(intent, Step.VETOED, f"{asset.kind} has no target {name}")
            del asset.slots[name]
        return bool(unknown)

    # ---- time

    def end_run(self, slot: Slot) -> None:
        """The device said that a run is over now."""
        end_run(slot, self.memory.at_ms, self.zone)

    def _schedule(self, asset: Asset) -> None:
        """Note the next moment at which settling this asset could change something."""
        kind = self.kinds.get(asset.kind)
        times: list[int] = []
        for name, slot in asset.slots.items():
            times += [held.end_ms for held in slot.held.values() if held.end_ms is not None]
            leased = slot.leased
            if leased is None:
                continue
            times.append(leased.until_ms)
            held = slot.held.get(leased.intent)
            target = kind.targets.get(name) if kind else None
            if held and target and target.resume and held.intent.lease_ms and held.end_ms != leased.until_ms:
                times.append(renewal_ms(leased, held.intent.lease_ms))
        if not times:
            self._due.pop(asset.asset, None)
            return
        due_ms = max(min(times), self.memory.at_ms + 1)
        if self._due.get(asset.asset) != due_ms:
            self._due[asset.asset] = due_ms
            heapq.heappush(self._queue, (due_ms, asset.asset))
