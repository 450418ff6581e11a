"""A device in the street, as docs/wire.md has it, on paho-mqtt: it names its readings and holds each until `kept`.

It is here to be hard to please. It sends again after seconds instead of a minute, now and then what it has said
already, newest first or with holes; and it does not hear every `kept`. What it measured is known to it alone: the
values follow from kind and seq, the times are those of its own clock.
"""

import json
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

HELD_MAX = 4_000  # readings; a device that holds so many measures nothing, so that none is ever shed
AGAIN_S = 2.0  # an unkept message is sent again
ON_THE_WAY_MAX = 12  # messages
MESSAGE_READINGS_MAX = 60
MESSAGE_BYTES_MAX = 8_192
DEAF = 0.1  # the share of `kept` that it does not hear
REPEATS = 0.05  # the share of its messages that repeat readings it was told are kept
TWINS = 0.02  # the share of readings measured in the same millisecond as the one before

Value = float | bool | str
Name = tuple[str, str, int]


def street_light(seq: int) -> dict[str, Value | None]:
    return {
        "power_w": 40 + seq % 997 / 16,
        "level": seq % 101 / 100,
        "level_by": ("lease", "schedule", "safe")[seq % 3],
        "energy_wh": seq,
        "voltage_v": None if seq % 7 == 0 else 220 + seq % 13 / 4,
    }


def waste_bin(seq: int) -> dict[str, Value | None]:
    return {"fill_level": seq % 31 / 100, "temperature_c": 15 + seq % 997 / 64, "lid_open": seq % 5 == 0}


def irrigation_valve(seq: int) -> dict[str, Value | None]:
    return {"open": False, "volume_ml": seq * 3, "pressure_bar": 2 + seq % 997 / 1024, "soil_moisture": 0.3}


MEASURES: Mapping[str, Callable[[int], dict[str, Value | None]]] = {
    "street_light": street_light,
    "waste_bin": waste_bin,
    "irrigation_valve": irrigation_valve,
}
SURE = {"street_light": "energy_wh", "waste_bin": "temperature_c", "irrigation_valve": "volume_ml"}
"""Of each kind a metric that every reading has."""


@dataclass
class Sent:
    """One message on its way."""

    seqs: list[int]
    again_s: float


class VirtualDevice:
    """`measure` and `send` are for one thread; what the broker says comes on paho's and waits in a queue."""

    def __init__(self, name: str, kind: str, port: int, chance: Random) -> None:
        self.name, self.kind = name, kind
        self.stream = f"{chance.randrange(16**8):08x}"
        self.held: dict[int, None] = {}  # in order of seq
        self.resent = self.kept_heard = 0
        self._at_ms = array("q")  # of reading seq, at seq - 1
        self._chance = chance
        self._sent: list[Sent] = []
        self._waits: set[int] = set()  # seqs on the way
        self._heard: deque[bytes] = deque(maxlen=1_000)
        self._births = 0
        self._port = port
        self._client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=True, protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(0.2, 0.5)  # type: ignore[arg-type]  # parts of a second work
        self._client.on_connect = self._connected
        self._client.on_message = lambda client, userdata, message: self._heard.append(bytes(message.payload))

    def start(self) -> None:
        self._client.connect_async("127.0.0.1", self._port, keepalive=5)
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: paho.Client, *_: object) -> None:
        self._births += 1
        birth = {
            "online": True, "n": self._births, "boot": 1, "stream": self.stream, "at": int(time.time() * 1000),
            "kind": self.kind, "model": "virtual", "firmware": "1", "reset": "power_on", "period_s": 60,
        }  # fmt: skip
        client.subscribe(f"nabd/1/{self.name}/kept", 0)
        client.publish(f"nabd/1/{self.name}/status", json.dumps(birth), 1, retain=True)

    # -- measuring

    @property
    def measured(self) -> int:
        return len(self._at_ms)

    def measure(self, count: int, now_ms: int) -> None:
        """So many readings, each at a millisecond of its own but for twins; none is measured before `now_ms`."""
        for _ in range(min(count, HELD_MAX - len(self.held))):
            last = self._at_ms[-1] if self._at_ms else 0
            is_twin = last and self._chance.random() < TWINS
            self._at_ms.append(last if is_twin else max(now_ms, last + 1))
            self.held[len(self._at_ms)] = None

    def readings(self) -> Iterator[tuple[int, dict[str, Value]]]:
        """(measured at, values) of every one: what a store must have in the end, once."""
        for seq, at_ms in enumerate(self._at_ms, 1):
            measured = MEASURES[self.kind](seq)
            yield at_ms, {metric: value for metric, value in measured.items() if value is not None}

    # -- sending and forgetting

    def send(self) -> None:
        """Hear what came, then send what is due."""
        while self._heard:
            self._hear(self._heard.popleft())
        now_s = time.monotonic()
        if not self._client.is_connected():
            return
        for sent in [one for one in self._sent if one.again_s <= now_s]:
            self._sent.remove(sent)
            self._waits.difference_update(sent.seqs)
            self.resent += 1
        while len(self._sent) < ON_THE_WAY_MAX and (seqs := self._choose()):
            self._publish(seqs)
            self._sent.append(Sent(seqs, now_s + AGAIN_S * self._chance.uniform(0.7, 1.3)))
            self._waits.update(seqs)

    def _choose(self) -> list[int]:
        """Readings for the next message: mostly the oldest, sometimes the newest, or with holes."""
        due = [seq for seq in self.held if seq not in self._waits]
        most = self._chance.randint(1, MESSAGE_READINGS_MAX)
        way = self._chance.random()
        if way < 0.1:
            return due[-most:]
        if way < 0.2:
            return sorted(self._chance.sample(due, min(most, len(due))))
        return due[:most]

    def _publish(self, seqs: list[int]) -> None:
        if self._chance.random() < REPEATS:  # as when the `kept` of these was not heard
            first = self._chance.randint(1, self.measured)
            seqs = sorted({*seqs, *range(first, min(first + 10, self.measured + 1))})[:MESSAGE_READINGS_MAX]
        readings = [{"seq": seq, "at": self._at_ms[seq - 1], "v": MEASURES[self.kind](seq)} for seq in seqs]
        oldest = next(iter(self.held), self.measured + 1)
        message = {"stream": self.stream, "boot": 1, "clock": "synced", "oldest": oldest, "readings": readings}
        payload = json.dumps(message, separators=(",", ":"))
        assert len(payload) <= MESSAGE_BYTES_MAX, "what is measured here fits"
        self._client.publish(f"nabd/1/{self.name}/telemetry", payload, 1)

    def _hear(self, payload: bytes) -> None:
        """Forget what is durable."""
        if self._chance.random() < DEAF:
            return
        kept = json.loads(payload)
        if kept["stream"] != self.stream:
            return
        self.kept_heard += 1
        for first, last in [(1, kept["upto"]), *kept.get("also", ())]:
            assert last <= self.measured, f"{self.name} is told to forget {last}, which it never measured"
            if last - first > len(self.held):
                named = [seq for seq in self.held if first <= seq <= last]
            else:
                named = [seq for seq in range(first, last + 1) if seq in self.held]
            for seq in named:
                del self.held[seq]
        for sent in self._sent:
            if not any(seq in self.held for seq in sent.seqs):
                self._waits.difference_update(sent.seqs)
        self._sent = [sent for sent in self._sent if any(seq in self.held for seq in sent.seqs)]
