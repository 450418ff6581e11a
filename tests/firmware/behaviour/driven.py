"""Drives an Agent by hand in virtual time, with a platform that says only what a test tells it to."""

import json

from contract.wire import messages, topics
from firmware.core.agent import Agent
from firmware.core.kinds import KINDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STREAM = "9f3c01aa"
NOON = 1795435200000  # 2026-11-23 12:00 UTC, 13:00 in Berkane; the sun sets at 16:5x UTC
HOUR = 3600000
MINUTE = 60000
SCHEDULE = [["sunset", 1.0], ["22:30", 0.7], ["00:30", 0.5], ["05:30", 0.7], ["sunrise", 0.0]]


class Driven:
    """An agent, its clock `up`, and everything it has said, decoded: (channel, document)."""

    def __init__(self, kind: str, unix_ms: "int | None" = NOON, connected: bool = True, **config: "Any") -> None:
        full = {
            "device": "node-1",
            "model": "m",
            "firmware": "1.4.0",
            "reset": "power_on",
            "lat": 34.92,
            "lon": -2.32,
            "utc_offset_min": 60,
            "schedule": SCHEDULE,
        }  # type: dict[str, Any]
        full.update(config)
        self.up = 1000
        self.unix_at_boot = None if unix_ms is None else unix_ms - self.up
        self.agent = Agent(full, KINDS[kind], STREAM, 12, 0)
        self.said = []  # type: list[tuple[str, dict[str, Any]]]
        self.raw = []  # type: list[tuple[str, bytes, int, bool]]
        if unix_ms is not None:
            self.agent.set_clock(self.up, unix_ms, "synced")
        if connected:
            self.agent.will()
            self.agent.connected(self.up)
            self.step()

    @property
    def unix(self) -> int:
        unix_ms = self.agent.unix_ms(self.up)
        assert unix_ms is not None
        return unix_ms

    def step(self) -> "list[tuple[str, dict[str, Any]]]":
        """Step until nothing more is said; return what was."""
        new = []
        for _ in range(200):
            out = self.agent.step(self.up)
            assert len(out) <= 8
            for message in out:
                self.raw.append(message)
                new.append((message[0].split("/")[3], json.loads(message[1])))
            if not out:
                break
        self.said += new
        return new

    def later(self, ms: int) -> "list[tuple[str, dict[str, Any]]]":
        """Let `ms` go by as a node would: sleep as told, step, never measure. Return what was said."""
        end = self.up + ms
        new = []  # type: list[tuple[str, dict[str, Any]]]
        while True:
            new += self.step()
            wake = max(1, self.agent.next_ms(self.up))
            if self.agent.reading_due(self.up):
                wake = MINUTE  # the reading is not taken: look again in a minute
            if self.up + wake > end:
                break
            self.up += wake
        self.up = end
        return new + self.step()

    def measure(self, **values: "Any") -> "list[tuple[str, dict[str, Any]]]":
        self.agent.measure(self.up, values)
        return self.step()

    def tell(self, channel: str, payload: bytes) -> "list[tuple[str, dict[str, Any]]]":
        self.agent.received(self.up, topics.topic("node-1", channel), payload)
        return self.step()

    def kept(
        self, upto: int, also: "Any" = (), deferred: bool = False, stream: str = STREAM
    ) -> "list[tuple[str, dict[str, Any]]]":
        return self.tell("kept", messages.kept(stream, upto, also, deferred))

    def lease(
        self, target: str, to: "Any", for_ms: int, version: "int | None" = None, issued: "int | None" = None
    ) -> "dict[str, Any]":
        """Send a lease of one target; return what was reported of it."""
        unix_ms = self.agent.unix_ms(self.up)
        now = issued if issued is not None else unix_ms if unix_ms is not None else NOON
        wanted = {target: {"to": to, "until": now + for_ms, "reason": "rule:test"}}
        return last(self.tell("lease", messages.lease(version or now, now, wanted)), "reported")


def last(said: "list[tuple[str, dict[str, Any]]]", channel: str) -> "dict[str, Any]":
    """The last document of a channel."""
    found = only(said, channel)
    assert found, "nothing was said on " + channel
    return found[-1]


def only(said: "list[tuple[str, dict[str, Any]]]", channel: str) -> "list[dict[str, Any]]":
    return [document for where, document in said if where == channel]


def seqs(said: "list[tuple[str, dict[str, Any]]]") -> "list[list[int]]":
    """The seqs of each telemetry message."""
    return [[reading["seq"] for reading in document["readings"]] for document in only(said, "telemetry")]
