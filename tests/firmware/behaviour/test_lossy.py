"""The agent against a platform over a bad line: each reading is kept once, or shed and told."""

import json
import random

from contract.wire import messages
from firmware.core.agent import Agent
from firmware.core.kinds import KINDS
from tests.firmware.behaviour.driven import NOON, STREAM

SECOND = 1000


class Platform:
    """Keeps readings by name, answers as wire.md says, and finds a name with two contents."""

    def __init__(self) -> None:
        self.kept = {}  # type: dict[int, object]
        self.oldest = 1

    def take(self, payload: bytes) -> None:
        message = json.loads(payload)
        self.oldest = max(self.oldest, message["oldest"])
        for reading in message["readings"]:
            content = (reading.get("at"), reading.get("up"), sorted(reading["v"].items()))
            assert self.kept.setdefault(reading["seq"], content) == content, "conflict"

    def answer(self) -> bytes:
        upto = self.oldest - 1
        while upto + 1 in self.kept:
            upto += 1
        also = []  # type: list[tuple[int, int]]
        for seq in sorted(self.kept):
            if seq > upto:
                if also and also[-1][1] == seq - 1:
                    also[-1] = (also[-1][0], seq)
                else:
                    also.append((seq, seq))
        return messages.kept(STREAM, upto, also)


def city(seed: int) -> None:
    random.seed(seed)
    config = {"device": "node-1", "model": "m", "firmware": "1", "reset": "power_on", "outbox_max": 100, "period_s": 20}
    agent = Agent(config, KINDS["waste_bin"], STREAM, 1, 0)
    agent.set_clock(0, NOON, "synced")
    platform = Platform()
    wire = []  # type: list[tuple[int, str, bytes]]  # (arrives, channel, payload)
    online = False
    measured = 0
    up = 0
    while up < 6000 * SECOND:
        calm = up > 4000 * SECOND
        if online and not calm and random.randrange(300) == 0:
            online = False
            agent.disconnected(up)
            wire = []
        elif not online and (calm or random.randrange(100) == 0):
            online = True
            agent.will()
            agent.connected(up)
        for topic, payload, _, _ in agent.step(up):
            if topic.split("/")[3] in ("telemetry", "status"):
                for _ in range(1 if calm else random.choice((0, 1, 1, 1, 2))):
                    wire.append((up + random.randrange(1, 3000), topic.split("/")[3], payload))
        arrived = [message for message in wire if message[0] <= up]
        wire = [message for message in wire if message[0] > up]
        for _, channel, payload in arrived:
            if channel == "kept":
                agent.received(up, "nabd/1/node-1/kept", payload)
                continue
            if channel == "telemetry":
                platform.take(payload)
            if calm or random.randrange(4):
                wire.append((up + random.randrange(1, 3000), "kept", platform.answer()))
        if agent.reading_due(up) and up < 5000 * SECOND:
            agent.measure(up, {"fill_level": random.randrange(100) / 100})
            measured += 1
        assert agent.outbox.flying <= 5
        assert agent.outbox_count <= 100
        up += 500
    assert agent.outbox_count == 0, (seed, agent.outbox_count)
    assert len(platform.kept) + agent.shed_count >= measured > 200, seed
    assert set(platform.kept) <= set(range(1, measured + 1)), (seed, "none invented")
    gone = set(range(1, platform.oldest)) - set(platform.kept)
    assert len(gone) == measured - len(platform.kept), (seed, "what never came is told by oldest")


def test_every_reading_is_kept_once_or_shed_and_told() -> None:
    for seed in range(6):
        city(seed)
