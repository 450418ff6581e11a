"""Completeness, gaps and two nodes under one identity, through a real broker and a `kill -9`."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from console.parameters import parse_time
from contract.wire import topics
from nabd.tallying import LocalDays
from rules.identity import RULE
from tests.e2e.conftest import City
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)


class Node:
    """Publishes what it is told to, under any stream; answers nothing."""

    def __init__(self, city: City, device: str) -> None:
        self.device = device
        self._client = Client(CallbackAPIVersion.VERSION2, client_id=device)
        connected = threading.Event()
        self._client.on_connect = lambda *_: connected.set()
        self._client.connect("127.0.0.1", city.mqtt_port)
        self._client.loop_start()
        assert connected.wait(30), "the broker lets it in"

    def send(self, stream: str, oldest: int, *readings: tuple[int, int, float]) -> None:
        """(seq, measured_at_ms, level); returns when the platform has it."""
        message = {
            "stream": stream, "boot": 1, "clock": "synced", "oldest": oldest,
            "readings": [{"seq": seq, "at": at_ms, "v": {"level": level}} for seq, at_ms, level in readings],
        }  # fmt: skip
        topic = topics.topic(self.device, topics.TELEMETRY)
        self._client.publish(topic, json.dumps(message, separators=(",", ":")), qos=1).wait_for_publish(30)

    def end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def node(city: City) -> Iterator[Node]:
    city.up()
    city.add("lamp-1", "street_light", zone="centre", asset="pole-1")
    node = Node(city, "lamp-1")
    yield node
    node.end()


def now_ms(city: City) -> int:
    return parse_time("now", city.running.client.health()["now"])


def figures(city: City) -> dict[str, int]:
    item = city.get("completeness", asset="pole-1")["all"]
    return {name: item[name] for name in ("expected", "had", "quarantined", "missing", "gone")}


def test_gaps_are_counted_named_closed_by_late_data_and_survive_a_kill(city: City, node: Node) -> None:
    start_ms = now_ms(city) - 20 * 60_000

    def at_ms(seq: int) -> int:
        return start_ms + seq * 60_000

    node.send("9f3c01aa", 1, *((seq, at_ms(seq), 0.5) for seq in (1, 2, 3, 8)), (9, at_ms(9), 7.0))
    node.send("9f3c01aa", 1, *((seq, at_ms(seq), 0.5) for seq in (10, 12)))
    eventually(lambda: figures(city)["expected"] == 12, "all that is known of is expected")
    assert figures(city) == {"expected": 12, "had": 7, "quarantined": 1, "missing": 5, "gone": 0}
    city.running.kill()
    city.up()
    again = Node(city, "lamp-1")
    again.send("9f3c01aa", 6, *((seq, at_ms(seq), 0.5) for seq in (6, 7, 11, 13)))
    eventually(lambda: figures(city)["expected"] == 13, "the next reading is kept")
    again.end()
    assert figures(city) == {"expected": 13, "had": 11, "quarantined": 1, "missing": 0, "gone": 2}
    gaps = city.get("gaps", asset="pole-1")["items"]
    told = sorted((gap["first"], gap["last"], gap["state"]) for gap in gaps)
    assert told == [(4, 5, "gone"), (6, 7, "late"), (9, 9, "quarantined"), (11, 11, "late")]
    by_day = city.get("completeness", by="day")["items"]
    assert sum(item["had"] for item in by_day) == 11
    days = LocalDays(ZoneInfo("Africa/Casablanca"))
    assert {item["day"] for item in by_day} == {
        date.fromordinal(days.day(at_ms(seq))).isoformat() for seq in range(1, 14)
    }


def test_two_nodes_under_one_identity_are_told_and_one_that_began_anew_is_not(city: City, node: Node) -> None:
    def told() -> list[str]:
        return [alarm["device"] for alarm in city.get("alarms", open="true")["items"] if alarm["rule"] == RULE]

    def sends(stream: str, seq: int) -> None:
        node.send(stream, 1, (seq, now_ms(city), 0.5))
        eventually(lambda: have(stream) >= seq, "it is kept")

    def have(stream: str) -> int:
        streams = city.get("devices/lamp-1/ledger")["streams"]
        return max((row["have"][-1][1] for row in streams if row["stream"] == stream), default=0)

    for stream in ("aaaaaaaa", "bbbbbbbb", "cccccccc"):
        for seq in (1, 2):
            sends(stream, seq)
    assert told() == []
    for seq in (3, 4, 5):
        for stream in ("bbbbbbbb", "cccccccc"):
            sends(stream, seq)
    eventually(lambda: told() == ["lamp-1"], "two nodes take turns")
