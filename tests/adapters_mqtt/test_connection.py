"""The fast path says exactly what the session says, however the bytes are cut."""

import asyncio
import socket
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.mqtt.connection import PACKET_ID_BITS, QUICK, Connection
from contract.ports import Message
from contract.wire import packets, topics
from contract.wire.mqtt import Session
from contract.wire.packets import ProtocolFault

LIMIT = 400


class Transport:
    """Remembers what was written; reads for ever."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.aborted = True

    def is_reading(self) -> bool:
        return True


def sound(topic: bytes, payload: bytes, qos: int, packet_id: int, flags: int) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + (packet_id.to_bytes(2, "big") if qos else b"") + payload
    return bytes((0x30 | qos << 1 | flags,)) + packets.encode_length(len(body)) + body


TOPICS = st.sampled_from([b"", b"a", b"nabd/1/lamp-1/telemetry", b"nabd/\xff\xfe/x", "nabd/مصباح".encode()])
PAYLOADS = st.binary(max_size=6) | st.integers(100, 500).map(lambda size: b"x" * size)
PUBLISH = st.builds(sound, TOPICS, PAYLOADS, st.integers(0, 1), st.integers(1, 65535), st.sampled_from([0, 1]))
DUPLICATE = st.builds(sound, TOPICS, PAYLOADS, st.just(1), st.integers(1, 65535), st.sampled_from([8, 9]))
OTHERS = st.sampled_from(
    [
        b"\xd0\x00",  # PINGRESP
        b"\x40\x02\x00\x07",  # PUBACK
        b"\x90\x03\x00\x01\x01",  # SUBACK
        b"\x30\x84\x00\x00\x01ab",  # a length written longer than needed
        b"\x30\x84\x80\x00\x00\x01ab",
        b"\x30\x84\x80\x80\x00\x00\x01ab",
    ]
)
BROKEN = st.sampled_from(
    [
        b"\x00\x00",
        b"\x34\x05\x00\x01a\x00\x01",
        b"\x32\x04\x00\x01a\x00",
        b"\x32\x05\x00\x01a\x00\x00",
        b"\x38\x03\x00\x01a",
    ]
)
STREAMS = st.lists(st.one_of(PUBLISH, PUBLISH, DUPLICATE, OTHERS), max_size=12)


def by_session(pieces: list[bytes]) -> tuple[list[Message], list[tuple[Any, ...]], bool, int]:
    session = Session("x", packet_bytes_max=LIMIT)
    session.connect(0)
    messages, events = [], []
    broken = False
    try:
        for piece in pieces:
            for event in session.feed(piece, 0):
                if event[0] == "message":
                    messages.append(Message(event[1], event[2], 37 << PACKET_ID_BITS | event[5] if event[3] else None))
                else:
                    events.append(event)
        session.keepalive(0)
    except ProtocolFault:
        broken = True
    return messages, events, broken, session.oversized


def by_connection(pieces: list[bytes]) -> tuple[list[Message], list[tuple[Any, ...]], bool, int]:
    session = Session("x", packet_bytes_max=LIMIT)
    messages: list[Message] = []
    events: list[tuple[Any, ...]] = []

    async def main() -> bool:
        connection = Connection(session, 37, lambda: 0.0, messages.extend, events.append)
        transport = Transport()
        connection.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            if not transport.aborted:
                connection.data_received(piece)
        connection.keep_alive()
        return transport.aborted

    return messages, events, asyncio.run(main()), session.oversized


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:stop] for start, stop in pairwise(edges)]


@settings(max_examples=150, deadline=None)
@given(STREAMS, st.lists(st.integers(0, 10_000), max_size=8))
def test_the_fast_path_reads_what_the_session_reads(stream: list[bytes], places: list[int]) -> None:
    pieces = cut(b"\x20\x02\x01\x00" + b"".join(stream), places)
    assert by_connection(pieces) == by_session(pieces)


@settings(max_examples=100, deadline=None)
@given(STREAMS, BROKEN, STREAMS, st.lists(st.integers(0, 10_000), max_size=8))
def test_the_fast_path_finds_every_fault_and_keeps_what_came_before_it(
    before: list[bytes], broken: bytes, after: list[bytes], places: list[int]
) -> None:
    pieces = cut(b"\x20\x02\x00\x00" + b"".join((*before, broken, *after)), places)
    messages, events, failed, _ = by_connection(pieces)
    expected, expected_events, _, _ = by_session(cut(b"\x20\x02\x00\x00" + b"".join(before), places))
    assert failed
    assert messages == expected
    assert events == expected_events


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=5))
def test_no_bytes_of_a_broker_raise(data: bytes, places: list[int]) -> None:
    by_connection(cut(b"\x20\x02\x00\x00" + data, places))


def test_a_read_of_many_messages_is_handed_on_once() -> None:
    batches: list[int] = []

    async def main() -> None:
        connection = Connection(Session("x"), 1, lambda: 0.0, lambda batch: batches.append(len(batch)), lambda _: None)
        connection.connection_made(Transport())  # type: ignore[arg-type]
        connection.data_received(b"\x20\x02\x00\x00")
        connection.data_received(sound(b"a", b"payload", 1, 5, 0) * 1000)

    asyncio.run(main())
    assert batches == [1000]


def test_topics_that_are_not_utf8_are_counted_on_the_fast_path() -> None:
    async def main() -> int:
        connection = Connection(Session("x"), 1, lambda: 0.0, lambda _: None, lambda _: None)
        connection.connection_made(Transport())  # type: ignore[arg-type]
        connection.data_received(b"\x20\x02\x00\x00")
        connection.data_received(sound(b"nabd/1/\xff/x", b"", 0, 0, 0) * 3)
        return connection.malformed_topics

    assert asyncio.run(main()) == 3


def test_topics_longer_than_any_of_the_wire_are_handed_on_and_not_remembered() -> None:
    taken: list[str] = []

    async def main() -> Connection:
        connection = Connection(
            Session("x"), 1, lambda: 0.0, lambda batch: taken.extend(one.topic for one in batch), lambda _: None
        )
        connection.connection_made(Transport())  # type: ignore[arg-type]
        connection.data_received(b"\x20\x02\x00\x00")
        for topic in (longest, longest + "x"):
            connection.data_received(sound(topic.encode(), b"", 0, 0, 0) * 2)
        return connection

    longest = topics.topic("d" * topics.DEVICE_ID_LENGTH_MAX, max(topics.UPWARD, key=len))
    connection = asyncio.run(main())
    assert taken == [longest] * 2 + [longest + "x"] * 2
    assert list(connection._topics.values()) == [longest]


@pytest.mark.skipif(QUICK is None, reason="the kernel has no TCP_QUICKACK")
def test_the_kernel_can_be_hastened_to_acknowledge_what_was_read() -> None:
    """Else a broker that writes in small pieces holds the next one back for 40 ms (Nagle's algorithm)."""
    quick: list[tuple[bool, bool]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"\x20\x02\x00\x00")
        for _ in range(3):
            writer.write(sound(b"a", b"payload", 1, 5, 0))
            await reader.read(1024)  # the answer that makes the kernel wait for answers from now on
        writer.close()

    async def main() -> None:
        all_read = asyncio.Event()

        def take(batch: list[Message]) -> None:
            assert connection.transport is not None
            link = connection.transport.get_extra_info("socket")
            before = bool(link.getsockopt(socket.IPPROTO_TCP, QUICK))
            connection.hasten()
            quick.append((before, bool(link.getsockopt(socket.IPPROTO_TCP, QUICK))))
            connection.transport.write(b"\x40\x02\x00\x05")
            if len(quick) == 3:
                all_read.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        connection = Connection(Session("x"), 1, asyncio.get_running_loop().time, take, lambda _: None)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: connection, "127.0.0.1", server.sockets[0].getsockname()[1]
            )
            await asyncio.wait_for(all_read.wait(), 10)
        finally:
            connection.fail("the test is over")
            server.close()

    asyncio.run(main())
    assert quick == [(True, True), (False, True), (False, True)]
