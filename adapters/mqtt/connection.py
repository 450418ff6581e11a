"""One TCP connection of the receiver: the fast path from the socket's bytes to messages.

Theory of operation. Nearly all that a receiver reads are whole, well-formed PUBLISH packets of QoS 0 or 1; these are
cut out of the read buffer here, in one loop. Everything else (CONNACK, SUBACK, PINGRESP, a packet longer than allowed,
a malformed one) is handed to the Session, which knows the whole protocol and raises ProtocolFault where it is broken.
The end of a read is mostly the beginning of a packet; it waits here for the rest, so that the loop stays fast.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from contract.ports import Message
from contract.wire.mqtt import Session
from contract.wire.packets import PUBLISH, ProtocolFault, frame, text
from contract.wire.topics import LENGTH_MAX

PACKET_ID_BITS = 16
"""A token, which acknowledges a message of QoS 1, is its connection's name and, in the last bits, its packet id."""

TOPICS_MAX = 65_536  # topics remembered as text; a city's devices say the same few thousand again and again

QUICK = getattr(socket, "TCP_QUICKACK", None)  # Linux has it

CLOSED = "closed by the broker"


class Connection(asyncio.Protocol):
    """Parses what comes; tells its owner through the callbacks. All on the loop's thread."""

    def __init__(
        self,
        session: Session,
        name: int,
        clock: Callable[[], float],
        messages: Callable[[list[Message]], None],
        event: Callable[[tuple[Any, ...]], None],
    ) -> None:
        """`name` is the head of each token; `clock` gives monotonic seconds.

        `messages` gets all of one read at once; `event` gets the session's other events.
        """
        self.session = session
        self.closed = asyncio.get_running_loop().create_future()  # of the reason, a sentence
        self.transport: asyncio.Transport | None = None
        self.malformed_topics = 0
        self.welcomed = False  # has the broker let us in?
        self._name = name
        self._clock = clock
        self._messages = messages
        self._event = event
        self._rest = b""
        self._online = False
        self._topics: dict[bytes, str] = {}

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.write(self.session.connect(self.now_ms()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._online = False
        self.transport = None
        if not self.closed.done():
            ended = exc is None or (isinstance(exc, ConnectionResetError) and not self.welcomed)
            self.closed.set_result(CLOSED if ended else f"connection lost: {exc}")

    def fail(self, reason: str) -> None:
        """Give this connection up: whatever was not acknowledged comes again on the next."""
        self._online = False
        if not self.closed.done():
            self.closed.set_result(reason)
        if self.transport is not None:
            self.transport.abort()

    def keep_alive(self) -> None:
        """Ping when it is due; give up a peer that is dead. To be called several times a keep-alive."""
        if self.transport is None or self.closed.done():
            return
        if not self.transport.is_reading():  # silence is our own choice
            self.session.heard(self.now_ms())
        try:
            ping = self.session.keepalive(self.now_ms())
        except ProtocolFault as fault:
            self.fail(str(fault))
            return
        if ping:
            self.transport.write(ping)

    def hasten(self) -> None:
        """Let the kernel acknowledge now what was read, else it waits up to 40 ms for an answer of ours; and a broker
        that does not set TCP_NODELAY (rumqttd) holds the rest of its window back until then.

        The kernel forgets it with the next packet it sends.
        """
        if QUICK is not None and self.transport is not None and not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, QUICK, 1)

    def data_received(self, data: bytes) -> None:
        out: list[Message] = []
        try:
            self._take(data, out)
        except ProtocolFault as fault:
            self.fail(str(fault))
        if out:
            self._messages(out)

    def _take(self, data: bytes, out: list[Message]) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        stop = len(data)
        if self._online and self.session.between_packets:
            self.session.heard(self.now_ms())
            at = self._publishes(data, 0, out)
        while at < stop:
            if not (self._online and self.session.between_packets):  # within an oversized packet, or before CONNACK
                self._slowly(data[at:], out)
                return
            span = frame(data, at, stop)
            if span is not None and span[1] - at > self.session.packet_bytes_max:
                self._slowly(data[at:], out)
                return
            if span is None or span[1] > stop:
                if data[at] & 0xF0 != PUBLISH:  # tiny, or no packet at all: the session sees that at once
                    self._slowly(data[at:], out)
                else:
                    self._rest = data[at:]
                return
            self._slowly(data[at : span[1]], out)
            at = self._publishes(data, span[1], out)

    def _slowly(self, data: bytes, out: list[Message]) -> None:
        for event in self.session.feed(data, self.now_ms()):
            if event[0] == "message":
                _, topic, payload, qos, _, packet_id, _ = event
                out.append(Message(topic, payload, self._name << PACKET_ID_BITS | packet_id if qos else None))
            else:
                if event[0] == "connected":
                    self._online = self.welcomed = True
                self._event(event)

    def _publishes(self, data: bytes, at: int, out: list[Message]) -> int:
        """Append the whole, sound PUBLISH packets from `at` on; return where they end."""
        head = self._name << PACKET_ID_BITS
        known = self._topics
        limit = self.session.packet_bytes_max
        stop = len(data)
        while at + 4 < stop:
            first = data[at]
            # 0x30 0x31: QoS 0. 0x32 0x33 0x3a 0x3b: QoS 1.
            if first & 0xF4 != 0x30 or first & 10 == 8:
                break
            length = data[at + 1]
            topic_at = at + 4
            if length > 127:
                high = data[at + 2]
                if high < 128:
                    length += (high << 7) - 128
                    topic_at = at + 5
                else:
                    highest = data[at + 3]
                    if highest > 127:
                        break
                    length += (high - 128 << 7) + (highest << 14) - 128
                    topic_at = at + 6
            end = topic_at - 2 + length
            if end > stop or length < 2 or end - at > limit:
                break
            payload_at = topic_end = topic_at + (data[topic_at - 2] << 8 | data[topic_at - 1])
            token = None
            if first & 2:
                payload_at += 2
                if payload_at > end:
                    break
                packet_id = data[topic_end] << 8 | data[topic_end + 1]
                if not packet_id:
                    break
                token = head | packet_id
            elif payload_at > end:
                break
            topic = known.get(data[topic_at:topic_end]) or self._topic(data[topic_at:topic_end])
            out.append(Message(topic, data[payload_at:end], token))
            at = end
        return at

    def _topic(self, name: bytes) -> str:
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            self.malformed_topics += 1
            return text(name)
        if len(name) > LENGTH_MAX:  # no topic of the wire: it may be as long as a packet
            return topic
        if len(self._topics) >= TOPICS_MAX:
            self._topics.clear()
        self._topics[name] = topic
        return topic
