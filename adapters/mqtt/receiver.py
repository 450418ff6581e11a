"""The hot side of the broker: every upward message in, acknowledgements and `kept` out.

Theory of operation. A Receiver has several links, each a client id with a persistent session at the broker and, while
it lasts, one Connection. A broker lets only so many messages be unacknowledged on one connection (rumqttd: 100), so
more links, which share the telemetry (``$share/…``), are more messages on the way. Link 0 alone has the channels whose
order counts. A message's token names link, connection and packet id in one number: after a reconnect the broker sends
again what was not acknowledged, so a token of an earlier connection acknowledges nothing.

One link is the default and shares nothing, for two reasons found in rumqttd 0.20, the embedded broker: its router
panics, and no client connects again, when the last link of a share is disconnected with a message unacknowledged; and
it keeps nothing for a share while no link of it is connected. Use more links with Mosquitto or EMQX.

The queue is bounded: QoS 1 by the broker's window and, beyond QUEUE_MAX, by not reading the sockets (TCP holds the
broker back, who holds the messages); QoS 0 by dropping, counted in `dropped`.
"""

import asyncio
import contextlib
import ssl
import struct
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from adapters.mqtt.connection import PACKET_ID_BITS
from adapters.mqtt.link import CHANCE, INDEX_BITS, Link
from adapters.mqtt.turn import take_in_order, take_turn
from contract.ports import Message
from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import encode_publish

QUEUE_MAX = 20_000  # messages read and not yet taken: beyond it no socket is read
GATHER_S, GATHER_STEP_S = 0.06, 0.02  # how long a read waits for more, and how long nothing more may come
QOS0_QUEUE_MAX = 5_000  # messages in the queue beyond which QoS 0 is dropped
PUBACK_WORD = 0x4002_0000  # a whole PUBACK as a number, but for its packet id
WRITE_BYTES_MAX = 4 * 1024 * 1024  # unsent bytes of a link beyond which `publish` drops

ORDERED = tuple(
    (topics.topic("+", channel), 0 if channel == topics.TIME else 1)
    for channel in topics.UPWARD
    if channel != topics.TELEMETRY
)


class Receiver:
    """Implements contract.ports.Receiver. Everything on the event loop's thread."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        client_id: str = "nabd-ingest",
        connections: int = 1,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        group: str = "nabd",
        keepalive_s: int = 30,
        window: int | None = None,
        chance: Callable[[], float] = CHANCE,
    ) -> None:
        """`connections` links with the client ids ``{client_id}-{i}``; more than one share the telemetry as `group`.

        More than one is not for the embedded broker (see above). `window`: how many messages the broker leaves
        unacknowledged on one connection, where that is known: with so many at hand no more can come, and they are
        taken in the order of arrival. `chance` (0 to 1) spreads the new tries.
        """
        if not 1 <= connections <= 1 << INDEX_BITS:
            raise ValueError(f"connections: {connections} is not within 1 and {1 << INDEX_BITS}")
        self.dropped = 0  # QoS 0 messages that found the queue full
        self.lost = 0  # publishes that found no connection, or a broker too slow to take them
        self.on_connect: list[Callable[[], None]] = []  # called each time all links are connected and subscribed
        telemetry = topics.topic("+", topics.TELEMETRY)
        shared = (telemetry if connections == 1 else f"$share/{group}/{telemetry}", 1)
        self._links = [
            Link(
                index,
                Session(f"{client_id}-{index}", keepalive_s, username, password),
                [shared, *ORDERED] if index == 0 else [shared],
                (host, port, tls),
                chance,
                self._take,
                self._changed,
            )
            for index in range(connections)
        ]
        self._is_windowed = window is not None
        self._at_most = window * connections if window is not None else QUEUE_MAX  # that can be here
        # rumqttd closes a connection whose PUBACKs come in another order than its messages went out.
        self._turn = take_turn if window is None else take_in_order
        self._outgoing: list[bytes] = []  # packets published and not yet written
        self._queue: deque[Message] = deque()
        self._arrived = asyncio.Event()  # `_enough` messages, or the end
        self._enough = 1
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped = False
        self._was_connected = False
        self._waiting = False  # the sockets are not read: the queue is full

    @property
    def connected(self) -> bool:
        """Are all links connected and subscribed? Only then nothing upward is missed."""
        return self._was_connected

    @property
    def fault(self) -> str:
        """Why a link is not connected, in a sentence; empty while all are, and before the first try has failed."""
        return next((link.fault for link in self._links if link.fault), "")

    @property
    def queued(self) -> int:
        return len(self._queue)

    @property
    def oversized(self) -> int:
        """Messages longer than a broker should pass on; their payloads were cut, and are too large still."""
        return sum(link.session.oversized for link in self._links)

    @property
    def malformed_topics(self) -> int:
        """Topics that were not UTF-8; handed on with U+FFFD for what could not be read."""
        return sum(link.malformed_topics for link in self._links)

    async def start(self) -> None:
        """Begin to connect; return at once (see `connected`, `on_connect`)."""
        if not self._tasks:
            self._stopped = False
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(link.run(), name=link.session.client_id) for link in self._links]

    async def stop(self) -> None:
        """Write out what is acknowledged, say goodbye, close. The sessions stay at the broker for the next start."""
        self._stopped = True
        self._write_out()
        await asyncio.gather(*(link.close() for link in self._links))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._arrived.set()

    async def receive(self, most: int) -> list[Message]:
        """Wait for at least one message, and a moment for more while they keep coming; up to `most`, and in
        their order as `turn` says. Empty only when stopped and drained."""
        while not self._queue:
            if self._stopped:
                return []
            await self._arrival(1)
        await self._gather(min(most, self._at_most))
        messages = self._turn(self._queue, most)
        if self._waiting:
            self._read_or_wait()
        return messages

    async def _gather(self, enough: int) -> None:
        """Whatever is done with a batch costs a commit, however small it is."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + GATHER_S
        seen = 0
        while seen < len(self._queue) < enough and clock() < end_s and not self._stopped:
            seen = len(self._queue)
            if self._is_windowed:
                self._hasten()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._arrival(enough), GATHER_STEP_S)

    def _hasten(self) -> None:
        """The rest of the window may wait for the kernel's acknowledgement of what came (see Connection.hasten)."""
        for link in self._links:
            if link.connection is not None:
                link.connection.hasten()

    async def _arrival(self, enough: int) -> None:
        """Wait until so many are queued, or the receiver stops. For one caller at a time."""
        self._enough = enough
        self._arrived.clear()
        await self._arrived.wait()

    def acknowledge(self, tokens: Iterable[Any]) -> None:
        """PUBACK these, one write a link. None (QoS 0) and tokens of an earlier connection are ignored."""
        packets: dict[int, list[int]] = {}
        for token in tokens:
            if token is not None:
                packets.setdefault(token >> PACKET_ID_BITS, []).append(PUBACK_WORD | token & 0xFFFF)
        for link in self._links:
            acks = packets.get(link.name)
            if acks and link.transport is not None:
                link.transport.write(struct.pack(f">{len(acks)}I", *acks))

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send at QoS 0; lost, and counted in `lost`, when there is no connection. ValueError for another QoS."""
        if qos:
            raise ValueError(f"qos: {qos}; the receiver sends at QoS 0 only, the sender does the rest")
        if not any(link.ready for link in self._links):
            self.lost += 1
            return
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._write_out)
        self._outgoing.append(encode_publish(topic, payload, 0, retain, 0))

    def _write_out(self) -> None:
        """What was published in this turn of the loop, in one write: `kept` goes to many devices at once."""
        packets, self._outgoing = self._outgoing, []
        for link in self._links:
            transport = link.transport
            if link.ready and transport is not None and transport.get_write_buffer_size() <= WRITE_BYTES_MAX:
                transport.write(b"".join(packets))
                return
        self.lost += len(packets)

    # ---- for the links

    def _take(self, messages: list[Message]) -> None:
        """Queue what one read brought."""
        queue = self._queue
        room = QOS0_QUEUE_MAX - len(queue)
        if room >= len(messages):
            queue.extend(messages)
        else:
            for message in messages:
                if message.token is None and len(queue) >= QOS0_QUEUE_MAX:
                    self.dropped += 1
                else:
                    queue.append(message)
        if len(queue) >= self._enough:
            self._arrived.set()
        if len(queue) > QUEUE_MAX:
            self._read_or_wait()

    def _read_or_wait(self) -> None:
        """Read the sockets while there is room; begin again at half the queue, so as not to flutter."""
        if self._waiting:
            self._waiting = len(self._queue) > QUEUE_MAX // 2
        else:
            self._waiting = len(self._queue) > QUEUE_MAX
        for link in self._links:
            transport = link.transport
            if transport is None or transport.is_closing() or transport.is_reading() is not self._waiting:
                continue
            if self._waiting:
                transport.pause_reading()
            else:
                transport.resume_reading()

    def _changed(self) -> None:
        """A link came or went."""
        self._read_or_wait()
        connected = all(link.ready for link in self._links)
        if connected and not self._was_connected:
            self._was_connected = True
            for callback in self.on_connect:
                callback()
        self._was_connected = connected
