"""Brokers for the tests: the embedded one, a real Mosquitto, and one that says whatever a test wants."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as paho
import uvloop
from paho.mqtt.enums import CallbackAPIVersion

from adapters.mqtt.broker import EmbeddedBroker
from stand.mosquitto import PlainMosquitto


def run(main: Coroutine[Any, Any, None], timeout_s: float = 60.0) -> None:
    """Run a test on the loop that the platform uses."""

    async def bounded() -> None:
        async with asyncio.timeout(timeout_s):
            await main

    uvloop.run(bounded())


class Broker(Protocol):
    name: str
    port: int

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def stop(self) -> None: ...


class Rumqttd:
    name = "rumqttd"

    def __init__(self) -> None:
        self.port = 0
        self._broker: EmbeddedBroker | None = None

    def start(self) -> None:
        self._broker = EmbeddedBroker(port=self.port, connections_max=100)
        self._broker.start()
        self.port = self._broker.port

    def kill(self) -> None:
        """End it as a crash does, without a word to its clients."""
        assert self._broker is not None
        process = self._broker._broker._process  # type: ignore[union-attr]
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self) -> None:
        if self._broker is not None:
            self._broker.stop()


class Mosquitto(PlainMosquitto):
    name = "mosquitto"

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            "persistence false",
            "max_inflight_messages 100",
            "max_queued_messages 0",
            "message_size_limit 65792",
        )


class PahoDevice:
    """An independent eye: a device on paho that publishes at QoS 1 and remembers what it hears."""

    def __init__(self, port: int, client_id: str, filters: tuple[str, ...] = ()) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self._subscribed = 0
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv311)
        self._client.max_inflight_messages_set(1000)
        self._client.on_message = lambda client, userdata, message: self.heard.append(message)
        self._client.on_subscribe = self._count
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        for name in filters:
            self._client.subscribe(name, 1)
        deadline = time.monotonic() + 10
        while self._subscribed < len(filters) or not self._client.is_connected():
            assert time.monotonic() < deadline, "not connected and subscribed"
            time.sleep(0.01)

    def _count(self, *_: Any) -> None:
        self._subscribed += 1

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> None:
        """Returns when the broker has it."""
        self._client.publish(topic, payload, qos, retain).wait_for_publish(10)

    def publish_all(self, messages: list[tuple[str, bytes]]) -> None:
        for waiting in [self._client.publish(topic, payload, 1) for topic, payload in messages]:
            waiting.wait_for_publish(20)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@contextlib.asynccontextmanager
async def scripted(talk: Talk) -> AsyncIterator[int]:
    """A server on a free port; `talk` gets each connection with its number, from 1. Yields the port."""
    count = 0
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer, count)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def packet(reader: asyncio.StreamReader) -> bytes:
    """The next packet of a client, whole."""
    head = await reader.readexactly(2)
    length = head[1] & 127
    shift = 7
    while head[-1] > 127:
        head += await reader.readexactly(1)
        length |= (head[-1] & 127) << shift
        shift += 7
    return head + await reader.readexactly(length)


async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """CONNACK and SUBACK, as a broker with a new session gives them."""
    connect = await packet(reader)
    assert connect[0] == 0x10
    writer.write(b"\x20\x02\x00\x00")
    subscribe = await packet(reader)
    assert subscribe[0] == 0x82
    codes = bytes(1 for _ in range(_filters(subscribe)))
    writer.write(bytes((0x90, 2 + len(codes))) + subscribe[2:4] + codes)


def _filters(subscribe: bytes) -> int:
    at = 4  # every SUBSCRIBE of the tests has a length of at most two bytes
    if subscribe[1] > 127:
        at = 5
    count = 0
    while at < len(subscribe):
        at += 3 + int.from_bytes(subscribe[at : at + 2], "big")
        count += 1
    return count
