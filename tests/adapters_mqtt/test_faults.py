"""A broker that misbehaves, and a queue that overflows: the receiver lives on and counts."""

import asyncio
import logging

import pytest

from adapters.mqtt import receiver as module
from adapters.mqtt.receiver import Receiver
from contract.ports import Message
from contract.wire.packets import encode_publish
from tests.adapters_mqtt.brokers import packet, run, scripted, welcome
from tests.waiting import until

GOOD = encode_publish("nabd/1/lamp-1/telemetry", b"good", 1, False, 1)


def receiver_at(port: int, keepalive_s: int = 30) -> Receiver:
    return Receiver("127.0.0.1", port, connections=1, keepalive_s=keepalive_s, chance=lambda: 0.0)


async def idle(reader: asyncio.StreamReader) -> None:
    while await reader.read(4096):
        pass


@pytest.mark.parametrize(
    "bytes_of_the_broker",
    [b"\x00\x00", b"\xff" * 100, b"HTTP/1.1 200 OK\r\n\r\n", b"\x34\x05\x00\x01a\x00\x01", b"\x30\xff\xff\xff\xff\x7f"],
)
def test_malformed_bytes_end_the_connection_and_the_next_one_works(bytes_of_the_broker: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        writer.write(bytes_of_the_broker if number == 1 else GOOD)
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            assert [m.payload for m in await receiver.receive(10)] == [b"good"]
            await receiver.stop()

    run(main())


def test_an_oversized_message_comes_cut_can_be_acknowledged_and_ends_nothing() -> None:
    acknowledged: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        writer.write(encode_publish("nabd/1/lamp-1/telemetry", b"x" * 300_000, 1, False, 9) + GOOD)
        acknowledged.append(await packet(reader))
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            messages: list[Message] = []
            while len(messages) < 2:
                messages += await receiver.receive(10)
            assert 8192 < len(messages[0].payload) < 70_000
            assert messages[1].payload == b"good"
            assert receiver.oversized == 1
            receiver.acknowledge([messages[0].token])
            await until(lambda: bool(acknowledged), "the acknowledgement arrives")
            assert acknowledged == [b"\x40\x02\x00\x09"]
            await receiver.stop()

    run(main())


def test_a_topic_that_is_not_utf8_is_handed_on_and_counted() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        writer.write(b"\x32\x13\x00\x0dnabd/1/\xff\xfe/xyz\x00\x05hi")
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            messages = await receiver.receive(10)
            assert [(m.topic, m.payload) for m in messages] == [("nabd/1/\ufffd\ufffd/xyz", b"hi")]
            assert receiver.malformed_topics == 1
            await receiver.stop()
            assert receiver.malformed_topics == 1

    run(main())


def test_a_broker_that_answers_no_ping_is_given_up_and_tried_again() -> None:
    pings: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        if number > 1:
            writer.write(GOOD)
        while (await packet(reader))[0] == 0xC0:
            pings.append(number)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port, keepalive_s=1)
            await receiver.start()
            assert [m.payload for m in await receiver.receive(10)] == [b"good"]
            assert 1 in pings
            await receiver.stop()

    run(main())


def test_a_broker_that_answers_pings_is_kept() -> None:
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        connections.append(number)
        await welcome(reader, writer)
        answered = 0
        while (await packet(reader))[0] == 0xC0:
            writer.write(b"\xd0\x00")
            answered += 1
            if answered == 3:
                writer.write(GOOD)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port, keepalive_s=1)
            await receiver.start()
            assert [m.payload for m in await receiver.receive(10)] == [b"good"]
            assert connections == [1]
            await receiver.stop()

    run(main())


def test_refused_credentials_are_said_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    tries: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        tries.append(number)
        await packet(reader)
        writer.write(b"\x20\x02\x00\x05")
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            await until(lambda: len(tries) >= 3, "three tries")
            assert not receiver.connected
            await receiver.stop()

    with caplog.at_level(logging.INFO):
        run(main())
    said = [record.getMessage() for record in caplog.records if "mqtt=" in record.getMessage()]
    assert len(said) == 1
    assert "not authorized" in said[0]


def test_a_refused_subscription_is_no_connection() -> None:
    tries: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        tries.append(number)
        await packet(reader)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await packet(reader)
        writer.write(b"\x90\x08" + subscribe[2:4] + b"\x01\x01\x80\x01\x01\x00")
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            await until(lambda: len(tries) >= 2, "a second try")
            assert not receiver.connected
            await receiver.stop()

    run(main())


def test_qos_0_beyond_the_bound_is_dropped_and_counted_and_qos_1_is_not() -> None:
    question = encode_publish("nabd/1/lamp-1/time", b'{"nonce":1}', 0, False, 0)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        writer.write(question * (module.QOS0_QUEUE_MAX + 100) + GOOD)
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            await until(lambda: receiver.queued > module.QOS0_QUEUE_MAX, "everything was read")
            messages = await receiver.receive(100_000)
            assert receiver.dropped == 100
            assert len(messages) == module.QOS0_QUEUE_MAX + 1
            assert messages[-1].payload == b"good"
            await receiver.stop()

    run(main())


def test_a_full_queue_stops_the_reading_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes: TCP holds the broker back. Somebody takes: everything comes, once and in order."""
    monkeypatch.setattr(module, "QUEUE_MAX", 1000)
    total = 200_000

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await welcome(reader, writer)
        for start in range(0, total, 1000):
            writer.write(
                b"".join(
                    encode_publish("nabd/1/lamp-1/telemetry", b"%d" % n, 1, False, n % 65535 + 1)
                    for n in range(start, start + 1000)
                )
            )
            await writer.drain()
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            receiver = receiver_at(port)
            await receiver.start()
            await until(lambda: receiver.queued > 1000, "the queue is full")
            before = receiver.queued
            await asyncio.sleep(0.1)
            assert receiver.queued == before
            assert before < total
            seen = 0
            while seen < total:
                for message in await receiver.receive(5000):
                    assert int(message.payload) == seen
                    seen += 1
            await receiver.stop()

    run(main())


def test_one_link_shares_nothing_and_several_share_the_telemetry() -> None:
    subscriptions: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await packet(reader)
        writer.write(b"\x20\x02\x00\x00")
        subscriptions.append(await packet(reader))
        await idle(reader)

    async def main() -> None:
        async with scripted(talk) as port:
            for links in (1, 3):
                subscriptions.clear()
                receiver = Receiver("127.0.0.1", port, connections=links)
                await receiver.start()
                await until(lambda links=links: len(subscriptions) == links, "all subscribe")  # type: ignore[misc]
                assert sum(b"$share/nabd/nabd/1/+/telemetry" in one for one in subscriptions) == (
                    links if links > 1 else 0
                )
                assert sum(b"nabd/1/+/status" in one for one in subscriptions) == 1
                await receiver.stop()

    run(main())


def test_a_host_that_is_no_name_is_a_fault_that_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        receiver = Receiver("mqtt..example", 1883, chance=lambda: 0.0)
        await receiver.start()
        await until(lambda: receiver._links[0].generation > 1, "it is tried again")
        assert "'mqtt..example' is no name of a host" in receiver.fault
        await receiver.stop()

    with caplog.at_level(logging.WARNING, "mqtt"):
        run(main())
    assert [one.message.count("mqtt..example:1883") for one in caplog.records] == [1], "said once"


def test_the_receiver_sends_at_qos_0_only() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="QoS 0 only"):
            Receiver("127.0.0.1", 1, connections=1).publish("nabd/1/lamp-1/lease", b"{}", qos=1)

    run(main())
