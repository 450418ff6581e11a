"""A stream of MQTT packets, as a broker writes it and a network cuts it; and a reader of our own to say what is in it.

The reader takes packets one by one, plainly, from the text of MQTT 3.1.1: chapter 2 for the frame, 3.3 for PUBLISH.
"""

import asyncio
from collections.abc import Iterator
from random import Random

from adapters.mqtt.connection import PACKET_ID_BITS, Connection
from contract.ports import Message
from contract.wire.mqtt import Session
from contract.wire.packets import text
from tests.fuzz.mutations import Fuzzer

PACKET_BYTES_MAX = 65_536 + 256
NAME = 37
CONNACK = b"\x20\x02\x00\x00"
OTHERS = (b"\xd0\x00", b"\x40\x02\x00\x07", b"\x90\x03\x00\x01\x01")  # PINGRESP, PUBACK, SUBACK


def length(size: int) -> bytes:
    encoded = b""
    while True:
        size, digit = divmod(size, 128)
        encoded += bytes([digit | (128 if size else 0)])
        if not size:
            return encoded


def publish(topic: bytes, payload: bytes, packet_id: int, flags: int) -> bytes:
    """QoS 1 with a packet id, QoS 0 for 0."""
    body = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if packet_id else b"") + payload
    return bytes([0x30 | flags | (2 if packet_id else 0)]) + length(len(body)) + body


def read(data: bytes) -> Iterator[Message]:
    """The messages up to the end, or to the first thing that is not sound and of a known type."""
    at = 0
    while at < len(data):
        first, at = data[at], at + 1
        size = shift = 0
        while True:
            if at >= len(data) or shift > 21:
                return
            digit, at = data[at], at + 1
            size |= (digit & 127) << shift
            shift += 7
            if digit < 128:
                break
        body, at = data[at : at + size], at + size
        if len(body) < size or at > len(data):
            return
        if bytes([first]) + length(size) + body in OTHERS:
            continue
        qos = first >> 1 & 3
        if first >> 4 != 3 or qos > 1 or (first & 8 and not qos) or size > PACKET_BYTES_MAX - 16 or size < 2:
            return
        topic_end = 2 + int.from_bytes(body[:2], "big")
        packet_id = int.from_bytes(body[topic_end : topic_end + 2], "big") if qos else 0
        payload_at = topic_end + 2 * qos
        if payload_at > size or (qos and not packet_id):
            return
        yield Message(
            text(body[2:topic_end]),
            body[payload_at:],
            NAME << PACKET_ID_BITS | packet_id if qos else None,
        )


def stream(chance: Random, fuzzer: Fuzzer, packets: int) -> bytes:
    """Sound packets with whatever payloads."""
    made = []
    for _ in range(packets):
        if chance.random() < 0.1:
            made.append(chance.choice(OTHERS))
            continue
        message = fuzzer.message()
        packet_id = chance.choice([0, chance.randint(1, 65_535)])
        flags = chance.choice([0, 1, 8, 9] if packet_id else [0, 1])
        made.append(publish(message.topic.encode("utf-8", "replace"), message.payload, packet_id, flags))
    return b"".join(made)


def cut(chance: Random, data: bytes) -> list[bytes]:
    """As reads of a socket bring it: single bytes, small pieces, or much at one time."""
    most = chance.choice([3, 60, 1_500, 65_536, 1_000_000])
    pieces = []
    at = 0
    while at < len(data):
        size = chance.randint(1, most)
        pieces.append(data[at : at + size])
        at += size
    return pieces


class Transport:
    """What the connection writes to; it reads until it is given up."""

    aborted = False

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True

    def is_reading(self) -> bool:
        return True


def receive(pieces: list[bytes]) -> tuple[list[Message], bool]:
    """(what the receiver's connection makes of it, whether it gave the connection up). Lets every exception out."""

    async def main() -> tuple[list[Message], bool]:
        messages: list[Message] = []
        session = Session("fuzz", packet_bytes_max=PACKET_BYTES_MAX)
        connection = Connection(session, NAME, lambda: 0.0, messages.extend, lambda _: None)
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        for piece in (CONNACK, *pieces):
            if not transport.aborted:
                connection.data_received(piece)
        return messages, transport.aborted

    return asyncio.run(main())
