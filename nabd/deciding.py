"""The deciding consumer: log entry → registry, rules, actuation → one commit → leases out.

Theory of operation. Rules and arbitration are pure state machines over the log. Their effects and the position are
committed to the state database in one transaction; their own memory is saved as a snapshot now and then. After a
crash the snapshot is restored and the log is replayed from its position: entries up to the committed position rebuild
memory and their effects are dropped, because they were committed already; from there on life goes on. Leases are
handed to the dispatcher after the commit; what a crash kept from being sent is sent again at start. Most batches have
no effects; then nothing is committed, because deciding them again has none either.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Annotated

import msgspec
from msgspec import Meta, structs

from actuation.arbiter import Arbiter
from actuation.dispatch import Dispatcher
from contract.decisions import Decision, Step, identify
from contract.ports import Clock, Device, Effects, Log, SnapshotFault, State
from contract.records import Acknowledged, Entry, QuarantineAct, Registered, Reported, Status
from nabd.standing import Standing
from rules.engine import Engine
from rules.identity import IdentityWatch

logger = logging.getLogger("deciding")

BATCH = 500
SNAPSHOT_S = 60.0
RETRY_S = 1.0
NAME = "decider"


class Registry:
    """The registered devices in memory, for whoever must ask at every message. Written by the decider only."""

    def __init__(self, devices: Sequence[Device]) -> None:
        self._devices = {device.device: device for device in devices}
        self._on_asset = {device.asset: device.device for device in devices if device.asset}
        self.on_change: list[Callable[[Device], None]] = []

    def lookup(self, device: str) -> Device | None:
        return self._devices.get(device)

    def __len__(self) -> int:
        return len(self._devices)

    def put(self, registered: Registered, at_ms: int) -> None:
        known = self._devices.get(registered.device)
        device = Device(
            device=registered.device,
            kind=registered.kind,
            commune=registered.commune,
            zone=registered.zone,
            asset=registered.asset,
            name=registered.name,
            lat=registered.lat,
            lon=registered.lon,
            settings=registered.settings,
            registered_at_ms=known.registered_at_ms if known else at_ms,
        )
        replaced = self._devices.get(self._on_asset.get(device.asset, ""))
        if replaced is not None and replaced.device != device.device:
            self._devices[replaced.device] = structs.replace(replaced, asset="")
        if known is not None and known.asset != device.asset:
            self._on_asset.pop(known.asset, None)
        self._on_asset[device.asset] = device.device
        self._devices[registered.device] = device
        for tell in self.on_change:
            tell(device)


class Decider:
    """Runs in a thread of its own; `wait_for` lets others wait until a position has been decided."""

    def __init__(
        self,
        log: Log,
        state: State,
        engine: Engine,
        arbiter: Arbiter,
        registry: Registry,
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        self._log, self._state = log, state
        self._engine, self._arbiter = engine, arbiter
        self._registry, self._dispatcher, self._clock = registry, dispatcher, clock
        self._identity = IdentityWatch()
        self._position = 0
        self._committed = state.position()  # effects up to here are in the state
        self._decided = self._committed  # and there are none up to here that are not
        self._snapshot_at_s = clock.monotonic_s()
        self._wake = threading.Condition()
        self._waiting: list[tuple[int, Future[int]]] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=NAME, daemon=True)
        self._standing = Standing(logger, NAME, RETRY_S)
        if state.snapshot() is None:
            self._save_snapshot()
        self._restore()
        log.consumed(NAME, self._position)

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    @property
    def position(self) -> int:
        """All up to here is decided."""
        return self._decided

    def catch_up(self) -> None:
        """Decide all that is in the log, in the caller's thread; before `start`."""
        while self._step():
            pass

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Decide what is there, save a snapshot and end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join()

    def notify(self, position: int) -> None:
        with self._wake:
            self._wake.notify_all()

    def wait_for(self, position: int) -> "Future[int]":
        """Done when the entry at `position` and its effects are committed."""
        future: Future[int] = Future()
        with self._wake:
            if position <= self._decided:
                future.set_result(position)
            else:
                self._waiting.append((position, future))
        return future

    def _run(self) -> None:
        while True:
            wait_s = 0.0
            try:
                if self.fault:  # memory may be ahead of the state
                    self._restore()
                busy = self._step()
                self._save_snapshot_when_due()
                self._standing.over()
            except Exception as error:  # a full disk passes; the position has not moved, so nothing is lost
                wait_s, busy = self._standing.because(error), False
            with self._wake:
                if busy:
                    continue
                if self._stopping:
                    break
                self._wake.wait_for(lambda: self._stopping or self._log.last() > self._position, wait_s or SNAPSHOT_S)
        if not self.fault:
            try:
                self._save_snapshot()
            except OSError as error:  # the one before holds, and the log is replayed from there
                logger.error("event=snapshot_not_saved reason=%s", error)
        for _, future in self._waiting:
            future.cancel()

    def _step(self) -> bool:
        """Decide one batch and commit it; False when there was nothing."""
        entries = self._log.read(self._position, BATCH)
        if not entries:
            return False
        effects = Effects()
        for entry in entries:
            self._decide(entry, effects if entry.position > self._committed else Effects())
        last = entries[-1].position
        if effects:
            self._state.commit(effects, last)
            self._committed = last
        self._position = last
        if last > self._decided:
            self._decided = last
            self._tell(effects, entries)
        return True

    def _decide(self, entry: Entry, effects: Effects) -> None:
        """Add what follows from one entry."""
        record = entry.record
        if isinstance(record, Registered):
            effects.registered.append((entry.at_ms, record))
        elif isinstance(record, Acknowledged):
            effects.acknowledged.append((record.alarm, record.by, entry.at_ms))
        elif isinstance(record, QuarantineAct):
            effects.decisions.append(_audited(entry, record))
        outcome = self._engine.apply(entry)
        effects.alarms += outcome.alarms
        effects.alarms += self._identity.apply(entry)
        for acted in (self._arbiter.apply(entry), self._arbiter.wish(entry, outcome.intents, outcome.ends)):
            effects.intents += acted.intents
            effects.decisions += acted.decisions
            effects.leases += acted.leases

    def _tell(self, effects: Effects, entries: Sequence[Entry]) -> None:
        """What is decided now: memory, devices and those who wait hear of it."""
        for at_ms, registered in effects.registered:
            self._registry.put(registered, at_ms)
        self._dispatcher.send(effects.leases)
        for entry in entries:
            if isinstance(entry.record, Reported):
                self._dispatcher.reported(entry.record)
            elif isinstance(entry.record, Status) and entry.record.online:
                self._dispatcher.born(entry.record.device)
        with self._wake:
            done = [future for position, future in self._waiting if position <= self._decided]
            self._waiting = [(position, future) for position, future in self._waiting if position > self._decided]
        for future in done:
            if future.set_running_or_notify_cancel():
                future.set_result(self._decided)

    def _save_snapshot_when_due(self) -> None:
        replayed = self._position == self._decided
        if replayed and self._clock.monotonic_s() - self._snapshot_at_s >= SNAPSHOT_S:
            self._save_snapshot()

    def _save_snapshot(self) -> None:
        self._snapshot_at_s = self._clock.monotonic_s()
        snapshot = msgspec.msgpack.encode(
            (self._engine.snapshot(), self._arbiter.snapshot(), self._identity.snapshot())
        )
        self._state.commit(Effects(), self._decided, snapshot)
        self._committed = self._decided
        self._log.consumed(NAME, self._decided)

    def _restore(self) -> None:
        """Go back to the snapshot: at start, and after a failed batch, when memory may be ahead of the state.

        Raises SnapshotFault.
        """
        snapshot = self._state.snapshot()
        assert snapshot is not None, "one is saved before anything is decided"
        self._position = snapshot[0]
        try:
            parts = msgspec.msgpack.decode(snapshot[1], type=Annotated[list[bytes], Meta(min_length=2, max_length=3)])
        except msgspec.DecodeError as error:
            raise SnapshotFault(f"not a snapshot of the decider: {error}") from None
        self._engine.restore(parts[0])
        self._arbiter.restore(parts[1])
        self._identity.restore(parts[2] if len(parts) > 2 else b"")  # one of before has none: the watch begins


def _audited(entry: Entry, act: QuarantineAct) -> Decision:
    """The row of the audit for what somebody did with the quarantine."""
    step = Step.REPLAYED if act.act == "replay" else Step.DROPPED
    became = "readings stored" if step is Step.REPLAYED else "readings gone"
    return Decision(
        decision=identify(entry.position, 0), at_ms=entry.at_ms, asset="", device="", target="", step=step, by=act.by,
        reason=act.what, why=f"rows {act.rows}, {became} {act.readings}",
    )  # fmt: skip
