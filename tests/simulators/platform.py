"""An independent platform for fleets: paho-mqtt on a real broker, with a dict for a ledger."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion


class Platform:
    """Answers `kept` and `now` as docs/wire.md says, and remembers what it heard. Its thread is paho's."""

    def __init__(self, port: int, now_ms: Callable[[], int]) -> None:
        self.lock = threading.Lock()
        self.readings: dict[str, dict[int, dict[str, Any]]] = {}  # device → seq → reading
        self.telemetry: list[tuple[str, list[int]]] = []  # (device, seqs), in order of arrival
        self.status: dict[str, list[dict[str, Any]]] = {}
        self.reported: dict[str, list[dict[str, Any]]] = {}
        self.conflicts = 0
        self.keeping = True
        self.subscribed = threading.Event()
        self._streams: dict[str, str] = {}
        self._now_ms = now_ms
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="platform", clean_session=True)
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = lambda client, *_: client.subscribe("nabd/1/+/#", qos=1)
        self._client.on_message = self._heard
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_disconnect = lambda *_: self.subscribed.clear()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, device: str, channel: str, payload: bytes, *, retain: bool = False) -> None:
        self._client.publish(f"nabd/1/{device}/{channel}", payload, qos=1, retain=retain)

    def missing(self) -> list[str]:
        """Devices with a hole in their seqs."""
        with self.lock:
            return [name for name, seqs in self.readings.items() if max(seqs) != len(seqs)]

    def count(self) -> int:
        with self.lock:
            return sum(map(len, self.readings.values()))

    def _heard(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        device, channel = message.topic.split("/")[2:]
        if channel in ("kept", "lease", "now"):
            return
        document = json.loads(message.payload)
        with self.lock:
            if channel == "status":
                self.status.setdefault(device, []).append(document)
            elif channel == "reported":
                self.reported.setdefault(device, []).append(document)
            elif channel == "time":
                answer = {"nonce": document["nonce"], "at": self._now_ms()}
                client.publish(f"nabd/1/{device}/now", json.dumps(answer))
            elif channel == "telemetry":
                self._keep(device, document)
            if self.keeping and (channel == "telemetry" or document.get("online")):
                self._answer(device, document["stream"])

    def _keep(self, device: str, document: dict[str, Any]) -> None:
        assert self._streams.setdefault(device, document["stream"]) == document["stream"]
        self.telemetry.append((device, [reading["seq"] for reading in document["readings"]]))
        known = self.readings.setdefault(device, {})
        for reading in document["readings"]:
            if known.setdefault(reading["seq"], reading) != reading:
                self.conflicts += 1

    def _answer(self, device: str, stream: str) -> None:
        ranges: list[list[int]] = []
        for seq in sorted(self.readings.get(device, {})):
            if ranges and ranges[-1][1] == seq - 1:
                ranges[-1][1] = seq
            else:
                ranges.append([seq, seq])
        upto = ranges.pop(0)[1] if ranges and ranges[0][0] == 1 else 0
        payload = json.dumps({"stream": stream, "upto": upto, "also": ranges[:16]})
        self._client.publish(f"nabd/1/{device}/kept", payload)


@contextmanager
def platform_on(port: int, now_ms: Callable[[], int]) -> Iterator[Platform]:
    platform = Platform(port, now_ms)
    try:
        yield platform
    finally:
        platform.close()
