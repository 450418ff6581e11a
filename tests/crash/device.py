"""A device in the street on paho-mqtt, with nothing of the platform's codec: it sends each reading until `kept`.

It sends again after seconds instead of a minute, so that a crash is soon over for it.
"""

import time
from collections import deque
from dataclasses import dataclass
from random import Random

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.crash.journal import Journal

AGAIN_S = 2.0  # an unkept message is sent again
ON_THE_WAY_MAX = 12  # messages


@dataclass
class Sent:
    """One message on its way."""

    seqs: list[int]
    again_s: float


class VirtualDevice:
    """`send`, and all that is done with `journal`, is for one thread; what the broker says waits in a queue."""

    def __init__(self, name: str, kind: str, port: int, chance: Random) -> None:
        self.journal = Journal(name, kind, chance)
        self.resent = 0  # messages
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
        client.subscribe(self._topic("kept"), 0)
        client.publish(self._topic("status"), self.journal.birth(self._births, int(time.time() * 1000)), 1, retain=True)

    def _topic(self, channel: str) -> str:
        return f"nabd/1/{self.journal.name}/{channel}"

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
        while len(self._sent) < ON_THE_WAY_MAX and (seqs := self.journal.choose(self._waits)):
            self._client.publish(self._topic("telemetry"), self.journal.telemetry(seqs), 1)
            self._sent.append(Sent(seqs, now_s + AGAIN_S * self._chance.uniform(0.7, 1.3)))
            self._waits.update(seqs)

    def _hear(self, payload: bytes) -> None:
        if self.journal.hear(payload):
            held = self.journal.held
            on_the_way = [sent for sent in self._sent if any(seq in held for seq in sent.seqs)]
            self._sent = on_the_way
            self._waits = {seq for sent in on_the_way for seq in sent.seqs}
