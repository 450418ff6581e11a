"""What a device says and hears in a day, counted on a real connection; bench.wire_page makes a page of it.

Theory of operation. A fleet (`nabd simulate`, the firmware's own core) lives through a day of city time, at each kind's
period, against a real platform; between the two a meter counts the bytes of every MQTT packet by what it says. Pings
go by real time and depend on nothing else: they are reckoned. TLS is measured apart, at a Mosquitto as deploy/ sets it
up: the handshake, and what a record adds. The headers of TCP and IP cannot be counted on loopback as a radio sends
them: they are an estimate, and the page says so.
"""

import socket
import ssl
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.city import running
from contract.wire import topics
from contract.wire.mqtt import Session
from firmware.main import KEEPALIVE_S
from nabd.process import Child, PlatformProcess
from stand.city_broker import CityBroker
from stand.metering import DOWN, UP, Meter, metering

SPEED = 360.0  # a day in four minutes: the shortest usual period is 2.5 s, longer than `kept` is put together for
DAY_S = 86_400.0
EACH = 3  # devices of a kind, of which the mean is taken
START = "2026-11-24T12:00:00+01:00"
WISHES = {"street_light": ("level", 0.4), "irrigation_valve": ("open", 1)}  # an operator's, once a run
HEADER_BYTES = 40  # of IPv4 and TCP, without options
ONCE = ("connect", "connack", "subscribe", "suback", "disconnect", topics.STATUS)
CONNECTION, PINGS = "one connection", "keep-alive"
TLS_RECORDS = 20


@dataclass(frozen=True)
class Row:
    """What one thing costs one device in a day, both ways: packets and bytes of MQTT, and the mean of one packet."""

    what: str
    packets: float
    octets: float
    packet_bytes: float


@dataclass(frozen=True)
class Tls:
    handshake: int  # bytes of both ways, certificate included
    record: float  # bytes that each write gains


def on_the_wire(row: Row, tls_record: float) -> float:
    """With the estimate: each packet is a segment, and each segment is acknowledged by one of its own."""
    return row.octets + row.packets * (2 * HEADER_BYTES + tls_record)


def ping_row(keepalive_s: float = KEEPALIVE_S) -> Row:
    """One there and one back, at every three quarters of the keep-alive (contract.wire.mqtt)."""
    pings = 2 * DAY_S / (keepalive_s * 0.75)
    return Row(PINGS, pings, 2 * pings, 2.0)


def live_a_day(folder: Path, seconds: float) -> tuple[dict[str, list[str]], Meter]:
    """(kind → its devices, what the meter counted) of a fleet that lived so many real seconds."""
    with (
        running(folder, "--speed", str(SPEED), "--start", START) as platform,
        metering("127.0.0.1", platform.mqtt_port) as meter,
        (folder / "fleet.log").open("wb") as output,
    ):
        command = [sys.executable, "-m", "nabd", "simulate", "--url", platform.client.url]
        command += ["--mqtt-port", str(meter.port)]
        for kind in ("lights", "bins", "valves"):
            command += [f"--{kind}", str(EACH)]
        fleet = Child(command, output=output)
        try:
            time.sleep(seconds / 2)
            devices = _devices(platform)
            _wish(platform, devices)
            time.sleep(seconds / 2)
        finally:
            fleet.stop()
        return {kind: [device["id"] for device in of_kind] for kind, of_kind in devices.items()}, meter


def _devices(platform: PlatformProcess) -> dict[str, list[dict[str, Any]]]:
    devices: dict[str, list[dict[str, Any]]] = {}
    for device in platform.client.get("devices", limit=1000)["items"]:
        devices.setdefault(device["kind"], []).append(device)
    return devices


def _wish(platform: PlatformProcess, devices: dict[str, list[dict[str, Any]]]) -> None:
    for kind, (target, to) in WISHES.items():
        for device in devices[kind]:
            body = {
                "asset": device["asset"],
                "target": target,
                "to": to,
                "for": "20m",
                "reason": "bench",
                "by": "bench",
            }
            platform.client.post("intents", body)


def rows(meter: Meter, devices: list[str], days: float) -> list[Row]:
    """Of a mean device of these, in a day; what a connection costs, once."""
    packets: Counter[str] = Counter()
    octets: Counter[str] = Counter()
    for (name, direction, word), count in meter.packets.items():
        if name in devices and not word.startswith("ping"):
            packets[_what(word, direction)] += count
            octets[_what(word, direction)] += meter.bytes[name, direction, word]
    made = []
    for what in sorted(packets, key=lambda what: (what == CONNECTION, -octets[what])):
        times = len(devices) * (1 if what == CONNECTION else days)
        made.append(Row(what, packets[what] / times, octets[what] / times, octets[what] / packets[what]))
    return [ping_row(), *made]


def _what(word: str, direction: str) -> str:
    if word in ONCE:
        return CONNECTION
    if word == "puback":
        return "broker's acknowledgements" if direction == DOWN else "device's acknowledgements"
    return word


def measure_tls(version: ssl.TLSVersion) -> Tls:
    """At the city's Mosquitto: what a connection costs before MQTT begins, and a record beside what it holds."""
    with CityBroker() as broker, metering("127.0.0.1", broker.port, parses=False) as meter:
        context = broker.tls()
        context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", meter.port)) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as line,
        ):
            name, password = "nabd-platform", broker.password("mqtt_platform_password")
            hello = Session(name, username=name, password=password, clean=True).connect(0)
            line.sendall(hello)
            greeting = line.recv(100)
            before = meter.raw[UP] + meter.raw[DOWN]
            content = 0
            for _ in range(TLS_RECORDS):
                line.sendall(PING)
                content += len(PING) + len(line.recv(100))
            record = (meter.raw[UP] + meter.raw[DOWN] - before - content) / (2 * TLS_RECORDS)
            return Tls(before - len(hello) - len(greeting) - round(2 * record), record)


PING = b"\xc0\x00"
