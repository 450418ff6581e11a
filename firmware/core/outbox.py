"""Holds each reading until the platform says `kept`.

Theory of operation. A reading is *waiting*, *flying* (part of a message that was sent and not kept) or *set aside*; it
leaves only when a `kept` names it, or when the outbox is full and something must be shed.

    add ──▶ waiting ──sent──▶ flying ──kept──▶ (forgotten)
               ▲                │ message refused 3 times: its readings wait again, to be sent one by one
               └────────────────┤
                                └ such a single one refused 3 more times ──▶ set aside: sent last, shed first

In flight are at most one *live* message (the newest reading, so that the city is seen as it is now) and four of the
*backlog* (the oldest waiting readings, as many as fit); when another reading is measured, what was live is backlog.
A message that is not kept is sent again after 60 s, doubling to 1 h, with jitter; any `kept` brings that back to 60 s.
After a reconnect the wait is shorter (5 s): the broker may have lost what it had acknowledged, and the `kept` that
answers the birth says what arrived. The newest reading does not wait then, nor when a deferral ends: the platform
dates a boot without a clock by what it hears first.

Silence is not refusal. A send counts as refused only when a `kept` names for the first time something that was first
sent *after* it, and does not name it: then the platform has read past it. Of what was sent twice the answer may be to
the first send: a platform that is slow has read no further. A `kept` that lists as many ranges as it can proves nothing
about what lies above them.

`deferred` (the device is not registered yet) stops all sending but one try an hour; a `kept` without it ends that and
everything is sent at once. All waits are real time: multiplied by `scale` they are up_ms.
"""

import json

from contract.wire.messages import ALSO_MAX, PAYLOAD_BYTES_MAX, READINGS_MAX
from firmware.core.chance import Chance
from firmware.core.constants import NEVER, const

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BACKLOG_MAX = const(4)  # messages in flight beside the live one
RESEND_FIRST_MS = const(60_000)
RESEND_LAST_MS = const(3_600_000)
RECONNECT_MS = const(5_000)
REFUSALS_MAX = const(3)
HEAD_BYTES = const(160)  # stream, boot, clock, oldest and brackets, at their longest


class Held:
    """One reading that is not kept."""

    __slots__ = ("alone", "aside", "clock", "gone", "reading", "seq", "urgent")

    def __init__(self, seq: int, reading: "dict[str, Any]", clock: str, urgent: bool) -> None:
        self.seq = seq
        self.reading = reading
        self.clock = clock  # quality at the time of measuring; one message has one
        self.urgent = urgent  # tells of a change of an output: shed last
        self.alone = False  # its message was refused: it travels in its own
        self.aside = False
        self.gone = False  # kept


class Flight:
    """One message that was sent and is not kept whole."""

    __slots__ = ("counted", "due_up_ms", "first", "held", "refusals", "sent", "wait_ms")

    def __init__(self, held: "list[Held]") -> None:
        self.held = held
        self.first = 0  # order of its first send
        self.sent = 0  # and of its last
        self.counted = False  # has that send been counted as refused?
        self.refusals = 0
        self.wait_ms = RESEND_FIRST_MS
        self.due_up_ms = 0


class Outbox:
    """Bounded, in memory. `most`: readings held; `scale`: city ms per real ms."""

    def __init__(self, most: int, scale: int, chance: Chance) -> None:
        if most < 1:
            raise ValueError("outbox_max: %d; it must hold at least one reading" % most)
        self._most = most
        self._scale = scale
        self._chance = chance
        self._all = []  # type: list[Held]  # by seq
        self._waiting = []  # type: list[Held]  # by seq; neither flying nor set aside
        self._aside = []  # type: list[Held]
        self._flights = []  # type: list[Flight]
        self._sends = 0
        self._seq = 0
        self._retry_up_ms = 0  # the next try while deferred
        self._aside_up_ms = 0
        self.deferred = False
        self.shed = 0  # readings dropped because the outbox was full; the platform sees them as gone
        self.refused = 0  # sends counted as refused
        self.set_aside = 0  # readings ever set aside

    @property
    def count(self) -> int:
        """How many readings are held."""
        return len(self._all)

    @property
    def flying(self) -> int:
        """How many messages are in flight."""
        return len(self._flights)

    @property
    def oldest(self) -> int:
        """The lowest seq held; what is below it and never came is gone. Empty: the next seq."""
        return self._all[0].seq if self._all else self._seq + 1

    def add(self, values: "dict[str, Any]", key: str, moment_ms: int, clock: str, urgent: bool) -> int:
        """Hold a reading, shedding another when full; `key` is "at" or "up". Return its seq."""
        if len(self._all) >= self._most:
            self.make_room()
        self._seq += 1
        held = Held(self._seq, {"seq": self._seq, key: moment_ms, "v": values}, clock, urgent)
        self._all.append(held)
        self._waiting.append(held)
        return self._seq

    def make_room(self) -> None:
        """Drop a reading, without taking memory for it: one set aside, else the oldest, changes of an output last."""
        if not self._all:
            return
        victim = self._aside[0] if self._aside else self._all[0]
        if not victim.aside:
            for held in self._all:
                if not held.urgent:
                    victim = held
                    break
        self.shed += 1
        self._all.remove(victim)
        for place in (self._waiting, self._aside):
            if victim in place:
                place.remove(victim)
        for flight in self._flights:
            if victim in flight.held:
                flight.held.remove(victim)
                if not flight.held:
                    self._flights.remove(flight)
                break

    # ---- what the platform says

    def kept(self, up_ms: int, upto: int, also: "list[tuple[int, int]]", deferred: bool) -> bool:
        """Forget what is named; judge what is not; send again sooner.

        Was every seq that is named given out? An `upto` or a range that goes beyond them is not believed.
        """
        sight = also[-1][1] if len(also) >= ALSO_MAX else NEVER
        sound = upto <= self._seq and all(last <= self._seq for _, last in also)
        if not sound:
            upto = upto if upto <= self._seq else 0
            also = [(first, last) for first, last in also if last <= self._seq]
        named = False
        for held in self._all:
            if held.seq <= upto or _within(held.seq, also):
                held.gone = named = True
        if named:
            proof = self._forget()
            if not deferred:
                self._judge(proof, sight)
        for flight in self._flights:
            flight.wait_ms = RESEND_FIRST_MS
            flight.due_up_ms = min(flight.due_up_ms, self._after(up_ms, RESEND_FIRST_MS))
        if deferred:
            if not self.deferred:  # nothing was tried yet: the birth was deferred, so the first try is now
                self._retry_up_ms = self._after(up_ms, RESEND_LAST_MS) if self._flights else up_ms
        elif self.deferred:
            self._recall_newest()
            for flight in self._flights:
                flight.due_up_ms = up_ms
        self.deferred = deferred
        return sound

    def reconnected(self, up_ms: int) -> None:
        self._recall_newest()
        for flight in self._flights:
            flight.wait_ms = RESEND_FIRST_MS
            flight.due_up_ms = self._after(up_ms, RECONNECT_MS)

    # ---- what to send

    def take(self, up_ms: int) -> "tuple[str, list[Any]] | None":
        """(clock, readings) of one message to send now, or None. Call until None, or as often as there is room."""
        if self.deferred:
            if up_ms < self._retry_up_ms or not self._all:
                return None
            self._retry_up_ms = self._after(up_ms, RESEND_LAST_MS)
            return self._send(up_ms, self._flights[0] if self._flights else self._next_flight())
        if self._waits_newest() and self._has_slot():
            return self._send(up_ms, self._next_flight())
        for flight in self._flights:
            if flight.due_up_ms <= up_ms:
                flight.wait_ms = min(2 * flight.wait_ms, RESEND_LAST_MS)
                return self._send(up_ms, flight)
        if self._waiting:
            return self._send(up_ms, self._next_flight())
        if self._aside and up_ms >= self._aside_up_ms:
            self._aside_up_ms = self._after(up_ms, RESEND_LAST_MS)
            held = self._aside.pop(0)
            self._aside.append(held)
            return held.clock, [held.reading]
        return None

    def wake_up_ms(self) -> int:
        """When `take` has something next, as things are; 0 for now."""
        if self.deferred:
            return self._retry_up_ms if self._all else NEVER
        if self._waiting and self._has_slot():
            return 0
        wake = self._aside_up_ms if self._aside and not self._waiting else NEVER
        for flight in self._flights:
            wake = min(wake, flight.due_up_ms)
        return wake

    # ---- details

    def _after(self, up_ms: int, wait_ms: int) -> int:
        return up_ms + self._chance.around(wait_ms * self._scale)

    def _has_slot(self) -> bool:
        """May one more message fly? The fifth is the newest reading's, or flies beside it."""
        return len(self._flights) < BACKLOG_MAX + (1 if self._waits_newest() or self._live() else 0)

    def _waits_newest(self) -> bool:
        """Does the newest reading wait, to be sent before all else?"""
        return bool(self._waiting) and self._waiting[-1].seq == self._seq and not self._waiting[-1].alone

    def _live(self) -> "Flight | None":
        """The message in flight that holds the newest reading."""
        for flight in self._flights:
            if flight.held[-1].seq == self._seq:
                return flight
        return None

    def _recall_newest(self) -> None:
        """The newest reading waits again, for it leaves before all else."""
        flight = self._live()
        if flight is not None and not flight.held[-1].alone:
            self._flights.remove(flight)
            self._waiting += flight.held

    def _next_flight(self) -> "Flight | None":
        """A new message: the newest reading if it waits, else the oldest that do; None without a slot."""
        waiting = self._waiting
        if not waiting or not self._has_slot():
            return None
        if self._waits_newest():
            flight = Flight([waiting.pop()])
        else:
            count = self._fitting()
            flight = Flight(waiting[:count])
            del waiting[:count]
        self._flights.append(flight)
        return flight

    def _fitting(self) -> int:
        """How many of the oldest waiting readings make one message."""
        first = self._waiting[0]
        if first.alone:
            return 1
        space = PAYLOAD_BYTES_MAX - HEAD_BYTES
        count = 0
        for held in self._waiting:
            space -= len(json.dumps(held.reading)) + 1
            if held.alone or held.clock != first.clock or count == READINGS_MAX or (space < 0 and count):
                break
            count += 1
        return count

    def _send(self, up_ms: int, flight: "Flight | None") -> "tuple[str, list[Any]] | None":
        if flight is None:
            return None
        self._sends += 1
        flight.sent = self._sends
        flight.first = flight.first or flight.sent
        flight.counted = False
        flight.due_up_ms = self._after(up_ms, flight.wait_ms)
        return flight.held[0].clock, [held.reading for held in flight.held]

    def _forget(self) -> int:
        """Drop what is gone from every list; return the order of the newest first send that lost something by it."""
        self._all = [held for held in self._all if not held.gone]
        self._waiting = [held for held in self._waiting if not held.gone]
        if self._aside:
            self._aside = [held for held in self._aside if not held.gone]
        proof = 0
        flights = []
        for flight in self._flights:
            held = [one for one in flight.held if not one.gone]
            if len(held) != len(flight.held):
                proof = max(proof, flight.first)
                flight.held = held
            if held:
                flights.append(flight)
        self._flights = flights
        return proof

    def _judge(self, proof: int, sight: int) -> None:
        """Count as refused what was sent before `proof`; seqs above `sight` could not be named."""
        for flight in list(self._flights):
            if flight.sent >= proof or flight.counted or flight.held[0].seq > sight:
                continue
            flight.counted = True
            flight.refusals += 1
            self.refused += 1
            if flight.refusals >= REFUSALS_MAX:
                self._flights.remove(flight)
                self._ground(flight.held)

    def _ground(self, refused: "list[Held]") -> None:
        """A message refused too often: its readings travel alone from now on, or, if they did, are set aside."""
        for held in refused:
            if held.alone:
                held.aside = True
                self._aside.append(held)
                self.set_aside += 1
            else:
                held.alone = True
                self._waiting.append(held)
        self._waiting.sort(key=_seq)


def _seq(held: Held) -> int:
    return held.seq


def _within(seq: int, ranges: "list[tuple[int, int]]") -> bool:
    return any(first <= seq <= last for first, last in ranges)
