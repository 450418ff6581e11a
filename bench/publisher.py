"""A publisher in a process of its own: it costs little, so that the sides are what is measured.

    python -m bench.publisher --port 1883 --messages 1000 --readings 1 --devices 10 [--rate 500] [--until-kept]

Theory of operation. All packets are made first; then it says `ready` and waits for a line. It keeps WINDOW messages in
flight on one connection; acknowledgements come in the order of the messages (MQTT-4.6.0-2), so one number says which
are acknowledged. When the broker goes, it comes back and sends again what was not acknowledged, and no more: an
acknowledged message is the broker's to keep. With `--until-kept` it does as a device does: after that it sends again
whatever `kept` has not named. At the end it says in one line of JSON when it began and ended (monotonic s).
"""

import argparse
import json
import select
import socket
import sys
import threading
import time
from dataclasses import asdict, dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.load import Load, made
from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import PUBACK, encode_publish

WINDOW = 2_000
CHUNK = 64  # packets a write
IDS = 60_000  # packet ids in use, far more than WINDOW
AWAY_S_MAX = 60.0
STILL_S = 4.0  # `kept` names nothing new for so long: send again what it has not named. A device waits for 60 s


@dataclass(frozen=True)
class Sent:
    """What the publisher says in the end. Times are monotonic seconds, the same in every process of the machine."""

    began_s: float
    done_s: float
    acknowledged: int
    connections: int
    resent: int = 0  # messages sent again because `kept` had not named them


class Publisher:
    """Sends packets of QoS 1 over one plain socket."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.connections = 0
        self._socket = self._connect()

    def send(self, packets: list[bytes], rate: int) -> None:
        """Until all are acknowledged. `packets` have the ids 1 … IDS in turn; `rate` a second, 0 for no limit."""
        acknowledged = sent = 0
        rest = b""
        began_s = time.monotonic()
        while acknowledged < len(packets):
            try:
                due = len(packets) if not rate else min(len(packets), int((time.monotonic() - began_s) * rate))
                while sent < min(due, acknowledged + WINDOW):
                    chunk = packets[sent : min(sent + CHUNK, due)]
                    self._socket.sendall(b"".join(chunk))
                    sent += len(chunk)
                if sent == acknowledged or not select.select([self._socket], [], [], 0.005 if rate else 1.0)[0]:
                    time.sleep(0.002 if sent == acknowledged else 0)
                    continue
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError("closed by the broker")
                rest += data
                whole = len(rest) // 4
                if any(rest[at] != PUBACK for at in range(0, whole * 4, 4)):
                    raise ValueError("the broker said something else than PUBACK")
                acknowledged += whole
                rest = rest[whole * 4 :]
            except OSError:
                self._socket.close()
                self._socket = self._connect()
                sent, rest = acknowledged, b""

    def close(self) -> None:
        self._socket.close()

    def _connect(self) -> socket.socket:
        end_s = time.monotonic() + AWAY_S_MAX
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), 5.0)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                session = Session("bench-publisher", keepalive_s=0, clean=True)
                connection.sendall(session.connect(0))
                if session.feed(connection.recv(4), 0)[0][0] == "connected":
                    connection.settimeout(30.0)
                    self.connections += 1
                    return connection
            except (OSError, IndexError):
                if time.monotonic() > end_s:
                    raise
            time.sleep(0.05)


class Kept:
    """Hears `kept` of every device and knows which messages are not named yet."""

    def __init__(self, port: int, work: list[tuple[str, bytes]]) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, dict[int, list[int]]] = {}  # device → message → its seqs that are not kept
        for number, (device, payload) in enumerate(work):
            seqs = [reading["seq"] for reading in json.loads(payload)["readings"]]
            self._open.setdefault(device, {})[number] = seqs
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "bench-kept", protocol=paho.MQTTv311)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(topics.topic("+", topics.KEPT), 0)
        self._client.on_message = lambda client, userdata, message: self._heard(message.topic, bytes(message.payload))
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def wait_while_heard(self, still_s: float) -> list[int]:
        """When all is kept, or nothing new was for so long: numbers of the messages that are not kept whole."""
        before, since_s = -1, time.monotonic()
        while True:
            with self._lock:
                waiting = sorted(number for of_device in self._open.values() for number in of_device)
            if len(waiting) != before:
                before, since_s = len(waiting), time.monotonic()
            if not waiting or time.monotonic() - since_s > still_s:
                return waiting
            time.sleep(0.1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, topic: str, payload: bytes) -> None:
        said = json.loads(payload)
        ranges = [(1, said["upto"]), *said.get("also", ())]
        with self._lock:
            mine = self._open.get(topic.split("/")[2], {})
            for number, seqs in list(mine.items()):
                left = [seq for seq in seqs if not any(first <= seq <= last for first, last in ranges)]
                if left:
                    mine[number] = left
                else:
                    del mine[number]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "messages", "readings", "devices"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--until-kept", action="store_true")
    chosen = parser.parse_args()
    load = Load(chosen.messages, chosen.readings, chosen.devices, chosen.rate)
    work = list(made(load, int(time.time() * 1000)))
    packets = _packets(work)
    publisher = Publisher(chosen.port)
    kept = Kept(chosen.port, work) if chosen.until_kept else None
    print("ready", flush=True)
    sys.stdin.readline()
    began_s = time.monotonic()
    publisher.send(packets, load.rate)
    done_s = time.monotonic()
    resent = 0
    if kept is not None:
        while waiting := kept.wait_while_heard(STILL_S):
            publisher.send(_packets([work[number] for number in waiting]), 0)
            resent += len(waiting)
        kept.close()
    publisher.close()
    print(json.dumps(asdict(Sent(began_s, done_s, len(packets), publisher.connections, resent))), flush=True)


def _packets(work: list[tuple[str, bytes]]) -> list[bytes]:
    return [
        encode_publish(topics.topic(device, topics.TELEMETRY), payload, 1, False, number % IDS + 1)
        for number, (device, payload) in enumerate(work)
    ]


if __name__ == "__main__":
    main()
