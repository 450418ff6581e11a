"""What TLS costs the receiver: `python -m bench.receiver_tls` (needs Mosquitto).

Two Mosquittos on the shipped configuration, one with its TLS lines left out, take turns. Two devices publish at QoS 1,
200 messages at a time; the receiver acknowledges what came every 4 ms, as ingest does after a commit.
"""

import asyncio
import resource
import socket
import statistics
import subprocess
import sys
from pathlib import Path

import psutil
import uvloop

from adapters.mqtt.dynsec import Credentials
from adapters.mqtt.receiver import Receiver
from adapters.mqtt.tls import client_context
from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import encode_publish
from stand.city_broker import CityBroker

MESSAGES = 60_000
ROUNDS = 4
DEVICES = ("bench-0", "bench-1")
CHUNK = 200
COMMIT_S = 0.004
PAYLOAD = (
    b'{"stream":"9f3c01aa","boot":12,"clock":"synced","oldest":1,'
    b'"readings":[{"seq":8,"at":1795457855372,"v":{"power_w":61}}]}'
)
TLS_LINES = ("certfile", "keyfile", "tls_version", "ciphers")


class PlainBroker(CityBroker):
    """The same, without TLS."""

    def start(self) -> None:
        file = self.root / "work" / "config" / "mosquitto.conf"
        lines = [line for line in file.read_text().splitlines() if not line.startswith(TLS_LINES)]
        file.write_text("\n".join([*lines, ""]))
        super().start()


def main() -> None:
    with CityBroker() as secure, PlainBroker() as plain:
        found: dict[str, list[tuple[float, float]]] = {"plain text": [], "TLS": []}
        for broker, tls in ((secure, True), (plain, False)):
            context = client_context(broker.ca_file) if tls else None
            password = broker.password("mqtt_admin_password")
            with Credentials("localhost", broker.port, password=password, tls=context) as credentials:
                credentials.create_all(dict.fromkeys(DEVICES, "bench"))
        for _ in range(ROUNDS):
            found["plain text"].append(uvloop.run(measure(plain, tls=False)))
            found["TLS"].append(uvloop.run(measure(secure, tls=True)))
    for name, figures in found.items():
        own, brokers = (statistics.median(column) for column in zip(*figures, strict=True))
        print(
            f"{name}: {own:.1f} µs CPU a message in the receiver, {brokers:.1f} µs in the broker (median of {ROUNDS})"
        )


async def measure(broker: CityBroker, *, tls: bool) -> tuple[float, float]:
    """µs CPU a message of receiver and broker."""
    receiver = Receiver(
        "localhost", broker.port, connections=4, username="nabd-platform",
        password=broker.password("mqtt_platform_password"), tls=client_context(broker.ca_file) if tls else None,
    )  # fmt: skip
    await receiver.start()
    while not receiver.connected:
        await asyncio.sleep(0.05)
    arguments = [str(broker.port), str(broker.ca_file) if tls else ""]
    publishers = [
        subprocess.Popen([sys.executable, "-m", "bench.receiver_tls", device, *arguments]) for device in DEVICES
    ]
    own_s, broker_s, got = _own_cpu_s(), _cpu_s(broker), 0
    while got < MESSAGES:
        messages = await receiver.receive(1000)
        got += len(messages)
        receiver.acknowledge([message.token for message in messages])
        await asyncio.sleep(COMMIT_S)
    figures = (_own_cpu_s() - own_s) / MESSAGES * 1e6, (_cpu_s(broker) - broker_s) / MESSAGES * 1e6
    await receiver.stop()
    for publisher in publishers:
        publisher.wait()
    return figures


def publish(device: str, port: int, ca_file: str) -> None:
    """One device's share, as fast as the broker acknowledges it."""
    peer = socket.create_connection(("127.0.0.1", port))
    if ca_file:
        peer = client_context(Path(ca_file)).wrap_socket(peer, server_hostname="localhost")
    peer.sendall(Session(device, 30, device, "bench", clean=True).connect(0))
    if peer.recv(4) != b"\x20\x02\x00\x00":
        raise SystemExit("not let in")
    topic = topics.topic(device, topics.TELEMETRY)
    chunk = b"".join(encode_publish(topic, PAYLOAD, 1, False, packet + 1) for packet in range(CHUNK))
    for _ in range(MESSAGES // len(DEVICES) // CHUNK):
        peer.sendall(chunk)
        missing = 4 * CHUNK  # bytes of PUBACK
        while missing:
            missing -= len(peer.recv(65536))
    peer.close()


def _own_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _cpu_s(broker: CityBroker) -> float:
    times = psutil.Process(broker.pid).cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        publish(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        main()
