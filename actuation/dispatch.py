"""Brings leases to devices, and knows which were answered. The only part of Nabd that talks to a device.

Theory of operation. One flight a device: its last lease, and how far it got.

    send ──▶ PUBLISHED ──deadline──▶ AGAIN ──deadline──▶ SILENT (LeaseUnconfirmed, once)
                 │                     │                    │
                 └──── reported ───────┴──▶ ANSWERED ◀──────┘        born, broker_connected: published again

The broker's receipt is noted as LeaseSent, once a version. Both records go to the log, so that the arbiter hears of
them like of everything else. A time window is looked at again at each publication: a target that is over is left out,
and a lease that has nothing left is sent empty, so nothing old moves anything.

Two locks, because a receipt may come while another thread publishes and holds the sender's own lock: `_order` is held
while publishing, so that an older version is never retained over a newer one; `_lock` guards the flights, is held for
moments, and never while anyone else's code runs. Receipts take only `_lock`.

Bounded: one flight a device, RECORDS_MAX records that the log would not take; what is dropped is counted.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from enum import Enum

import msgspec

from contract.decisions import Lease, Step
from contract.kind import Kinds, MetricType
from contract.ports import Clock, Publish
from contract.records import LeaseSent, LeaseUnconfirmed, Record, Reported
from contract.wire import messages, topics

RECORDS_MAX = 10_000
RECORDS_AT_ONCE = 1_000
ANSWERS = frozenset({"applied", "refused", "overridden", "expired", "interrupted", "stale"})

logger = logging.getLogger("actuation")


class Phase(Enum):
    PUBLISHED = "published"
    AGAIN = "again"
    SILENT = "silent"
    ANSWERED = "answered"


class Flight(msgspec.Struct):
    """A device's last lease on its way."""

    lease: Lease
    phase: Phase
    since_s: float  # of the wait for an answer, monotonic
    published_s: float  # first time, monotonic
    confirmed: bool = False  # the device holds it
    receipt_noted: bool = False
    silence_noted: bool = False


class Dispatcher:
    """See the theory of operation above. Thread-safe."""

    def __init__(
        self,
        publish: Publish,
        clock: Clock,
        append: Callable[[Sequence[Record]], object],
        kinds: Kinds,
        deadline_s: float = 15.0,
    ) -> None:
        """`append` writes records to the log and may raise; `deadline_s` is real time, never the city's."""
        self._publish, self._clock, self._append, self._kinds = publish, clock, append, kinds
        self._deadline_s = deadline_s
        self._order = threading.RLock()
        self._lock = threading.Lock()
        self._flights: dict[str, Flight] = {}
        self._records: deque[LeaseSent | LeaseUnconfirmed] = deque()
        self._records_dropped = 0
        self._publish_faults = 0

    # ---- what is there

    @property
    def waiting(self) -> int:
        """Leases that no device has answered yet."""
        with self._lock:
            return sum(flight.phase is not Phase.ANSWERED for flight in self._flights.values())

    @property
    def dropped(self) -> int:
        """Records of receipts and silences lost because the log refused them for too long."""
        return self._records_dropped

    @property
    def publish_faults(self) -> int:
        """Publications that failed on the spot; each is tried again."""
        return self._publish_faults

    # ---- events

    def send(self, leases: Iterable[Lease]) -> None:
        """Publish new leases (state LEASED; others only tell how far one got). The newest of a device counts."""
        newest: dict[str, Lease] = {}
        for lease in leases:
            if lease.state is Step.LEASED and (
                lease.device not in newest or lease.version > newest[lease.device].version
            ):
                newest[lease.device] = lease
        with self._order:
            for lease in newest.values():
                if self._take_off(lease):
                    self._transmit(lease)

    def resume(self, leases: Iterable[Lease]) -> None:
        """At start: publish again what is live and not confirmed; remember what is, for births and reconnects."""
        with self._order:
            for lease in leases:
                confirmed = lease.state is Step.CONFIRMED
                if not (self._is_live(lease) if lease.targets else not confirmed):
                    continue
                if self._take_off(lease, confirmed=confirmed) and not confirmed:
                    self._transmit(lease)

    def reported(self, reported: Reported) -> None:
        """A device spoke: the wait for its last lease is over, or it holds a newer one that we do not know of."""
        with self._lock:
            flight = self._flights.get(reported.device)
            if flight is None or reported.version < flight.lease.version or reported.result not in ANSWERS:
                return
            flight.phase = Phase.ANSWERED
            same = reported.version == flight.lease.version
            flight.confirmed = same and reported.result in ("applied", "stale", "overridden")
            self._land(flight)

    def born(self, device: str) -> None:
        """A device came on line: it hears its lease again."""
        with self._order:
            self._repeat([device])

    def broker_connected(self) -> None:
        """The broker may have forgotten all that was retained."""
        with self._order:
            with self._lock:
                devices = list(self._flights)
            self._repeat(devices)

    def poll(self) -> None:
        """Look at the deadlines; call it at least once a second. Writes to the log: not on an event loop's thread."""
        now_s = self._clock.monotonic_s()
        with self._order:
            for lease in self._overdue(now_s):
                self._transmit(lease)
        while records := self._take_records():
            try:
                self._append(records)
            except Exception as fault:  # whatever the log's trouble is, the records wait for the next poll
                with self._lock:
                    self._records.extendleft(reversed(records))
                    self._drop()
                    waiting = len(self._records)
                logger.warning("event=lease_records_wait waiting=%d fault=%r", waiting, str(fault))
                break

    # ---- flights

    def _take_off(self, lease: Lease, *, confirmed: bool = False) -> bool:
        """Make it the device's flight unless a newer one is there."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            known = self._flights.get(lease.device)
            if known is not None and known.lease.version >= lease.version:
                return False
            self._flights[lease.device] = Flight(
                lease=lease,
                phase=Phase.ANSWERED if confirmed else Phase.PUBLISHED,
                since_s=now_s,
                published_s=now_s,
                confirmed=confirmed,
                receipt_noted=lease.state is not Step.LEASED,
                silence_noted=lease.state is Step.UNCONFIRMED,
            )
            return True

    def _repeat(self, devices: Iterable[str]) -> None:
        """Publish again and wait anew. A lease that is over by time is still sent, empty, until the device knows."""
        now_s = self._clock.monotonic_s()
        for device in devices:
            with self._lock:
                flight = self._flights.get(device)
                if flight is None:
                    continue
                if flight.confirmed and not self._is_live(flight.lease):
                    del self._flights[device]
                    continue
                if not flight.confirmed:
                    flight.phase, flight.since_s = Phase.PUBLISHED, now_s
            self._transmit(flight.lease)

    def _overdue(self, now_s: float) -> list[Lease]:
        """Move every flight on whose deadline has passed; return the leases to publish once more."""
        again = []
        with self._lock:
            for flight in self._flights.values():
                if flight.phase not in (Phase.PUBLISHED, Phase.AGAIN) or now_s - flight.since_s < self._deadline_s:
                    continue
                if flight.phase is Phase.PUBLISHED:
                    flight.phase, flight.since_s = Phase.AGAIN, now_s
                    again.append(flight.lease)
                    continue
                flight.phase = Phase.SILENT
                if not flight.silence_noted:
                    flight.silence_noted = True
                    self._note(
                        LeaseUnconfirmed(
                            device=flight.lease.device,
                            version=flight.lease.version,
                            waited_s=round(now_s - flight.published_s, 1),
                        )
                    )
        return again

    def _is_live(self, lease: Lease) -> bool:
        now_ms = self._clock.now_ms()
        return any(target.until_ms > now_ms for target in lease.targets.values())

    # ---- the wire

    def _transmit(self, lease: Lease) -> None:
        """Publish one lease as it holds now. Called with `_order` held and `_lock` free."""
        try:
            self._publish(
                topics.topic(lease.device, topics.LEASE),
                self._encode(lease),
                qos=1,
                retain=True,
                on_ack=lambda: self._receipt(lease),
            )
        except Exception as fault:  # the sender's trouble is not the decider's: the deadline publishes it again
            self._publish_faults += 1
            logger.warning("event=lease_not_published device=%s fault=%r", lease.device, str(fault))

    def _encode(self, lease: Lease) -> bytes:
        now_ms = self._clock.now_ms()
        targets = {
            name: {"to": self._value(lease.kind, name, target.to), "until": target.until_ms, "reason": target.reason}
            for name, target in lease.targets.items()
            if target.until_ms > now_ms
        }
        return messages.lease(lease.version, lease.issued_ms, targets)

    def _value(self, kind_name: str, name: str, to: float) -> float | bool:
        """Booleans are true and false on the wire, by the kind."""
        kind = self._kinds.get(kind_name)
        target = kind.targets.get(name) if kind else None
        return to != 0.0 if target is not None and target.type is MetricType.BOOLEAN else to

    def _receipt(self, lease: Lease) -> None:
        """The broker has it. May come on any thread, also inside `publish`."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            flight = self._flights.get(lease.device)
            if flight is not None and flight.lease.version == lease.version:
                if flight.phase in (Phase.PUBLISHED, Phase.AGAIN):
                    flight.since_s = now_s
                noted, flight.receipt_noted = flight.receipt_noted, True
                if not noted:
                    self._note(LeaseSent(device=lease.device, version=lease.version))
                self._land(flight)

    def _land(self, flight: Flight) -> None:
        """Free, and it knows, and the receipt is noted: nothing to repeat. Called with `_lock` held."""
        if flight.confirmed and flight.receipt_noted and not flight.lease.targets:
            del self._flights[flight.lease.device]

    def _take_records(self) -> list[LeaseSent | LeaseUnconfirmed]:
        """Those to append at one go: at dusk there is one of every lamp, and each append waits for the disk."""
        with self._lock:
            return [self._records.popleft() for _ in range(min(len(self._records), RECORDS_AT_ONCE))]

    def _note(self, record: LeaseSent | LeaseUnconfirmed) -> None:
        """Keep a record for the log: `poll` writes it, because a receipt's thread must not wait for a disk."""
        self._records.append(record)
        self._drop()

    def _drop(self) -> None:
        while len(self._records) > RECORDS_MAX:
            self._records.popleft()
            self._records_dropped += 1
