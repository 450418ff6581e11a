"""The receiver on real brokers: nothing is lost, nothing is acknowledged that was not asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from adapters.mqtt.connection import PACKET_ID_BITS
from adapters.mqtt.receiver import Receiver
from contract.ports import Message
from contract.wire import topics
from tests.adapters_mqtt.brokers import Broker, PahoDevice, run
from tests.waiting import until

TELEMETRY = "nabd/1/lamp-1/telemetry"


@contextlib.asynccontextmanager
async def receiving(broker: Broker, connections: int = 1, client_id: str = "nabd-ingest") -> AsyncIterator[Receiver]:
    receiver = Receiver("127.0.0.1", broker.port, connections=connections, client_id=client_id)
    await receiver.start()
    try:
        await until(lambda: receiver.connected, "the receiver is connected")
        yield receiver
    finally:
        await receiver.stop()


@contextlib.asynccontextmanager
async def device(broker: Broker, name: str = "lamp-1", filters: tuple[str, ...] = ()) -> AsyncIterator[PahoDevice]:
    made = await asyncio.to_thread(PahoDevice, broker.port, name, filters)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.close)


async def take(receiver: Receiver, count: int, timeout_s: float = 10.0) -> list[Message]:
    messages: list[Message] = []
    async with asyncio.timeout(timeout_s):
        while len(messages) < count:
            messages += await receiver.receive(count - len(messages))
    return messages


async def nothing_comes(receiver: Receiver, for_s: float = 0.3) -> None:
    with pytest.raises(TimeoutError):
        await take(receiver, 1, for_s)


async def drop(receiver: Receiver) -> None:
    """Break the connection of link 0 and wait for the next one."""
    link = receiver._links[0]
    assert link.connection is not None
    generation = link.generation
    link.connection.fail("broken by the test")
    await until(lambda: link.generation > generation and link.ready, "link 0 is back")


def test_every_upward_channel_arrives_and_no_downward_one(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker, connections=2) as receiver, device(broker) as lamp:
            for channel in topics.UPWARD + topics.DOWNWARD:
                qos = 0 if channel in (topics.TIME, topics.KEPT, topics.NOW) else 1
                await asyncio.to_thread(lamp.publish, topics.topic("lamp-1", channel), channel.encode(), qos)
            messages = await take(receiver, len(topics.UPWARD))
            assert {(m.topic, m.payload) for m in messages} == {
                (topics.topic("lamp-1", channel), channel.encode()) for channel in topics.UPWARD
            }
            assert [m.topic for m in messages if m.token is None] == ["nabd/1/lamp-1/time"]
            await nothing_comes(receiver)

    run(main())


def test_retained_status_of_a_device_that_came_earlier_arrives(broker: Broker) -> None:
    async def main() -> None:
        async with device(broker) as lamp:
            await asyncio.to_thread(lamp.publish, "nabd/1/lamp-1/status", b"birth", 1, True)
            async with receiving(broker) as receiver:
                assert [m.payload for m in await take(receiver, 1)] == [b"birth"]

    run(main())


def test_what_was_not_acknowledged_comes_again_after_a_reconnect_and_nothing_else(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker) as receiver, device(broker) as lamp:
            await asyncio.to_thread(lamp.publish_all, [(TELEMETRY, b"%d" % n) for n in range(10)])
            first = await take(receiver, 10)
            receiver.acknowledge([m.token for m in first if int(m.payload) < 6])
            await asyncio.sleep(0.1)  # the acknowledgements are on their way
            await drop(receiver)
            again = await take(receiver, 4)
            assert [m.payload for m in again] == [b"6", b"7", b"8", b"9"]
            receiver.acknowledge(m.token for m in again)
            await nothing_comes(receiver)

    run(main())


def test_messages_sent_while_nobody_listened_wait_in_the_session(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker):
            pass
        async with device(broker) as lamp:
            await asyncio.to_thread(lamp.publish_all, [("nabd/1/lamp-1/log", b"%d" % n) for n in range(5)])
        async with receiving(broker) as receiver:
            assert [m.payload for m in await take(receiver, 5)] == [b"0", b"1", b"2", b"3", b"4"]

    run(main())


def test_a_token_of_an_earlier_connection_acknowledges_nothing(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker) as receiver, device(broker) as lamp:
            await asyncio.to_thread(lamp.publish, TELEMETRY, b"1")
            old = await take(receiver, 1)
            await drop(receiver)
            assert [m.payload for m in await take(receiver, 1)] == [b"1"]
            receiver.acknowledge([old[0].token])
            await asyncio.sleep(0.1)
            await drop(receiver)
            new = await take(receiver, 1)
            assert new[0].payload == b"1"
            assert new[0].token != old[0].token
            receiver.acknowledge([new[0].token])
            await asyncio.sleep(0.1)
            await drop(receiver)
            await nothing_comes(receiver)

    run(main())


@pytest.mark.parametrize("connections", [1, 4])
def test_each_connection_lets_100_messages_be_unacknowledged(broker: Broker, connections: int) -> None:
    async def main() -> None:
        async with receiving(broker, connections) as receiver, device(broker) as lamp:
            total = 100 * connections + 60
            await asyncio.to_thread(lamp.publish_all, [(TELEMETRY, b"%d" % n) for n in range(total)])
            first = await take(receiver, 100 * connections)
            await nothing_comes(receiver)
            assert {m.token >> PACKET_ID_BITS & 0xFF for m in first} == set(range(connections))
            receiver.acknowledge(m.token for m in first)
            rest = await take(receiver, 60)
            receiver.acknowledge(m.token for m in rest)
            assert sorted(int(m.payload) for m in first + rest) == list(range(total))

    run(main())


def test_a_broker_killed_and_back_is_found_again(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker, connections=2) as receiver:
            connects: list[int] = []
            receiver.on_connect.append(lambda: connects.append(1))
            await asyncio.to_thread(broker.kill)
            await until(lambda: not receiver.connected, "the loss is noticed")
            receiver.publish("nabd/1/lamp-1/kept", b"{}")
            assert receiver.lost == 1
            await asyncio.to_thread(broker.start)
            await until(lambda: receiver.connected, "the receiver is back")
            assert connects == [1]
            async with device(broker) as lamp:
                await asyncio.to_thread(lamp.publish, TELEMETRY, b"after")
                assert [m.payload for m in await take(receiver, 1)] == [b"after"]

    run(main())


def test_a_receiver_that_starts_before_its_broker_waits_for_it(broker: Broker) -> None:
    async def main() -> None:
        await asyncio.to_thread(broker.kill)
        receiver = Receiver("127.0.0.1", broker.port, connections=1)
        await receiver.start()
        await asyncio.sleep(0.2)
        assert not receiver.connected
        await asyncio.to_thread(broker.start)
        await until(lambda: receiver.connected, "the broker is found")
        await receiver.stop()

    run(main())


def test_kept_reaches_the_device_it_is_meant_for(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker) as receiver, device(broker, filters=("nabd/1/lamp-1/kept",)) as lamp:
            receiver.publish("nabd/1/lamp-2/kept", b"not mine")
            receiver.publish("nabd/1/lamp-1/kept", b"mine")
            await until(lambda: bool(lamp.heard), "kept arrives")
            assert [m.payload for m in lamp.heard] == [b"mine"]

    run(main())


def test_a_message_of_64_kib_passes_so_that_ingest_can_judge_it(broker: Broker) -> None:
    async def main() -> None:
        async with receiving(broker) as receiver, device(broker) as lamp:
            await asyncio.to_thread(lamp.publish, TELEMETRY, b"x" * 65536)
            assert [len(m.payload) for m in await take(receiver, 1)] == [65536]
            assert receiver.connected

    run(main())


def test_stop_writes_the_acknowledgements_out_and_ends_receive(broker: Broker) -> None:
    async def main() -> None:
        async with device(broker) as lamp:
            async with receiving(broker) as receiver:
                await asyncio.to_thread(lamp.publish, TELEMETRY, b"1")
                messages = await take(receiver, 1)
                waiting = asyncio.create_task(receiver.receive(10))
                await asyncio.sleep(0)
                receiver.acknowledge(m.token for m in messages)
                await receiver.stop()
                assert await waiting == []
            async with receiving(broker) as receiver:
                await nothing_comes(receiver)

    run(main())


def test_a_broker_with_a_window_is_acknowledged_in_its_order_however_many_questions_come_between() -> None:
    """rumqttd closes the connection otherwise; questions of QoS 0 fill the queue beyond its window."""
    receiver = Receiver("127.0.0.1", 1, connections=1, window=100)
    receiver._queue.extend(
        Message("nabd/1/lamp-1/telemetry", b"x" * size, number) for number, size in enumerate((5_000, 200) * 50)
    )
    receiver._queue.extend(Message("nabd/1/lamp-2/time", b"{}", None) for _ in range(900))
    messages = asyncio.run(receiver.receive(2_000))
    assert [one.token for one in messages if one.token is not None] == list(range(100))
