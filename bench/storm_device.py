"""A lean device: it speaks the wire as firmware does and costs little, so that ten thousand fit into one process.

Theory of operation. What it holds is not stored but made anew from its seq: reading n was measured `spacing_ms` after
reading n - 1. Its rules are those of docs/wire.md: at most four messages of backlog unkept on the way and one live one,
a message not kept is sent again after 60 s, doubling to 1 h, back to 60 s at any `kept`, and 5 s after a reconnect;
it forgets a reading when `kept` names it. It answers each lease as applied. It counts all it sends.
"""

from collections import deque
from random import Random
from typing import Any

import msgspec

from contract.wire import messages, topics

BACKLOG_MAX = 4
READINGS_A_MESSAGE = 64
RESEND_FIRST_S, RESEND_LAST_S, RECONNECT_S = 60.0, 3600.0, 5.0
KIND = "street_light"

Message = tuple[str, bytes, int, bool]


class Tally:
    """What a whole fleet did; the times are seconds from the first send of a live reading to its `kept`."""

    def __init__(self) -> None:
        self.measured = self.kept = self.sent = self.messages = self.resent = self.births = self.leases = 0
        self.bytes_sent = self.backlog_kept = 0
        self.live_s: list[float] = []


class _Flight:
    __slots__ = ("due_s", "live", "sent_s", "seqs", "wait_s")

    def __init__(self, seqs: list[int], live: bool) -> None:
        self.seqs, self.live = seqs, live
        self.wait_s, self.due_s, self.sent_s = RESEND_FIRST_S, 0.0, 0.0


class LeanDevice:
    """Without I/O and without a clock: `now_s` is real monotonic time, `now_ms` the city's."""

    def __init__(self, name: str, tally: Tally, chance: Random, *, now_ms: int, backlog: int, spacing_ms: int) -> None:
        """It holds `backlog` readings, the newest measured at `now_ms` as this device's clock has it."""
        self.name = name
        self.stream, self.boot = f"{chance.getrandbits(32):08x}", 1
        self._tally, self._chance = tally, chance
        self._prefix = topics.topic(name, "")
        self._began_ms, self._spacing_ms = now_ms - backlog * spacing_ms, spacing_ms
        self._live_at: dict[int, int] = {}  # live readings that are held → when they were measured
        self._base = backlog
        self.newest = backlog
        self._waiting: deque[int] = deque(range(1, backlog + 1))
        self._flights: list[_Flight] = []
        self._n = 0
        self._birth_n = 0
        self.due_s = 0.0  # when `take` has something next
        self.connected = False
        tally.measured += backlog

    @property
    def held(self) -> int:
        return len(self._waiting) + sum(len(flight.seqs) for flight in self._flights)

    def subscriptions(self) -> list[tuple[str, int]]:
        return [(self._prefix + topics.KEPT, 0), (self._prefix + topics.LEASE, 1)]

    def will(self) -> Message:
        self._n += 1
        self._birth_n = self._n
        return self._prefix + topics.STATUS, messages.will(self.boot, self._n), 1, True

    def birth(self, now_ms: int) -> Message:
        self._tally.births += 1
        said = messages.birth(self._birth_n, self.boot, self.stream, now_ms, KIND, "nabd-lean", "1.0", "power_on", 900)
        return self._prefix + topics.STATUS, said, 1, True

    def reconnected(self, now_s: float) -> None:
        self.connected, self.due_s = True, now_s
        for flight in self._flights:
            flight.wait_s, flight.due_s = RESEND_FIRST_S, now_s + self._around(RECONNECT_S)

    def measure(self, now_ms: int) -> None:
        """A live reading, now."""
        self.newest += 1
        self._live_at[self.newest] = now_ms
        self._waiting.append(self.newest)
        self._tally.measured += 1
        self.due_s = 0.0

    def take(self, now_s: float, room: int) -> list[Message]:
        """What to publish now, `room` messages at most."""
        out: list[Message] = []
        for flight in self._flights:
            if len(out) < room and flight.due_s <= now_s:
                flight.wait_s = min(2 * flight.wait_s, RESEND_LAST_S)
                self._tally.resent += len(flight.seqs)
                out.append(self._send(flight, now_s))
        while len(out) < room and self._waiting:
            flying = [flight.live for flight in self._flights]
            if self._waiting[-1] == self.newest and not any(flying):
                flight = _Flight([self._waiting.pop()], True)
            elif flying.count(False) < BACKLOG_MAX:
                count = min(READINGS_A_MESSAGE, len(self._waiting))
                flight = _Flight([self._waiting.popleft() for _ in range(count)], False)
            else:
                break
            self._flights.append(flight)
            out.append(self._send(flight, now_s))
        self.due_s = min((flight.due_s for flight in self._flights), default=float("inf"))
        return out

    def received(self, topic: str, payload: bytes, now_s: float, now_ms: int) -> Message | None:
        """Take what the platform says; what to answer to it at once."""
        if topic.endswith(topics.KEPT):
            self._kept(*messages.parse_kept(payload), now_s=now_s)
        elif topic.endswith(topics.LEASE) and payload:
            return self._lease(payload, now_ms)
        return None

    # ---- details

    def _kept(self, stream: str, upto: int, also: Any, deferred: bool, *, now_s: float) -> None:
        if stream != self.stream or deferred:
            return
        flights = []
        for flight in self._flights:
            if flight.seqs[-1] <= upto:
                left: list[int] = []
            else:
                left = [seq for seq in flight.seqs if seq > upto and not any(a <= seq <= b for a, b in also)]
            self._tally.kept += len(flight.seqs) - len(left)
            self._tally.backlog_kept += sum(seq <= self._base for seq in flight.seqs) - sum(
                seq <= self._base for seq in left
            )
            if flight.live and not left:
                self._tally.live_s.append(now_s - flight.sent_s)
                self._live_at.pop(flight.seqs[0], None)
            flight.seqs, flight.wait_s = left, RESEND_FIRST_S
            flight.due_s = min(flight.due_s, now_s + self._around(RESEND_FIRST_S))
            if left:
                flights.append(flight)
        self._flights = flights
        self.due_s = 0.0

    def _lease(self, payload: bytes, now_ms: int) -> Message:
        version, _, targets = messages.parse_lease(payload)
        self._n += 1
        self._tally.leases += 1
        state: dict[str, bool | float] = {name: target[0] for name, target in targets.items()}
        by = dict.fromkeys(targets, "lease")
        said = messages.reported(self._n, self.boot, now_ms, version, state, by, "applied")
        return self._prefix + topics.REPORTED, said, 1, True

    def _send(self, flight: _Flight, now_s: float) -> Message:
        flight.due_s = now_s + self._around(flight.wait_s)
        flight.sent_s = flight.sent_s or now_s
        held = [other.seqs[0] for other in self._flights]
        oldest = min(held + ([self._waiting[0]] if self._waiting else []))
        document = {
            "stream": self.stream,
            "boot": self.boot,
            "clock": "synced",
            "oldest": oldest,
            "readings": [self._reading(seq) for seq in flight.seqs],
        }
        payload = msgspec.json.encode(document)
        self._tally.messages += 1
        self._tally.sent += len(flight.seqs)
        self._tally.bytes_sent += len(payload)
        return self._prefix + topics.TELEMETRY, payload, 1, False

    def _reading(self, seq: int) -> dict[str, Any]:
        at_ms = self._live_at.get(seq) or self._began_ms + seq * self._spacing_ms
        values = {"power_w": 60 + seq % 37 / 10, "level": 0.8, "level_by": "schedule", "energy_wh": 1000 + 11 * seq}
        return {"seq": seq, "at": at_ms, "v": values}

    def _around(self, wait_s: float) -> float:
        return wait_s * self._chance.uniform(0.75, 1.25)
