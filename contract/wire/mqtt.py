"""The MQTT 3.1.1 session of every client of the house, without I/O. Runs on MicroPython too (packets: packets.py).

Theory of operation. A Session belongs to one client id and outlives its connections. Its owner opens a socket, writes
what ``connect()`` returns, hands every byte it reads to ``feed()`` and acts on the events that come back, writes what
the other methods return, and calls ``keepalive()`` about once a second. Nothing here waits, reads a clock or keeps a
socket: ``now_ms`` is the owner's monotonic time in ms, of which only differences count.

    offline ──connect()──▶ connecting ──CONNACK 0──▶ online
       ▲                       │ refused, fault         │ disconnect(), fault
       └───────────────────────┴────────────────────────┘

QoS 1 publishes are held until the broker acknowledges them, at most ``in_flight_max``; after the next ("connected", …)
the owner writes ``resend()``. Of what the owner itself sends anew nothing but the packet id is held. QoS 2 is never
asked for, so a broker that sends it is at fault. A PUBLISH longer than ``packet_bytes_max`` comes with its payload cut
there, longer than the wire allows: whoever reads it says too_large and it is acknowledged like any other, where closing
the connection would bring it back for ever. After a ProtocolFault the owner closes the socket and connects again.
MQTT-n.n.n-n in comments are the numbered statements of the OASIS standard.
"""

from contract.wire.packets import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PACKET_ID_MAX,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    ProtocolFault,
    encode_length,
    encode_publish,
    frame,
    string,
    text,
)

TYPE_CHECKING = False  # MicroPython has no typing; type checkers take this name for true
if TYPE_CHECKING:
    from typing import Any

_OFFLINE = 0
_CONNECTING = 1
_ONLINE = 2


class NotConnected(Exception):
    """The owner's mistake: only a connected session publishes and subscribes."""


class SessionFull(Exception):
    """As many publishes are unacknowledged as the session holds: publish again after an "acked"."""


class Session:
    """One client id's side of MQTT 3.1.1, across connections."""

    def __init__(
        self,
        client_id: str,
        keepalive_s: int = 60,
        username: "str | None" = None,
        password: "str | bytes | None" = None,
        will: "tuple[str, bytes, int, bool] | None" = None,
        clean: bool = False,
        in_flight_max: int = 20,
        packet_bytes_max: int = 65536 + 256,
    ) -> None:
        """`will` is (topic, payload, qos, retain) and may be set anew before each connect. A keep-alive of 0: none."""
        if not 1 <= in_flight_max < PACKET_ID_MAX:
            raise ValueError("in_flight_max: %d is not within 1 and %d" % (in_flight_max, PACKET_ID_MAX - 1))
        if not 0 <= keepalive_s <= 65535:
            raise ValueError("keepalive_s: %d is not within 0 and 65535" % keepalive_s)
        if password is not None and username is None:
            raise ValueError("password: MQTT 3.1.1 has none without a user name")
        self.client_id = client_id
        self.keepalive_s = keepalive_s
        self.username = username
        self.password = password
        self.will = will
        self.clean = clean
        self.in_flight_max = in_flight_max
        self.packet_bytes_max = packet_bytes_max
        self.refused = 0  # publishes refused with SessionFull
        self.oversized = 0  # PUBLISH packets whose payload was cut
        self.malformed_topics = 0  # topics that were not UTF-8
        self._held = []  # type: list[list[Any]]  # [packet_id, packet or b"", written on this connection], oldest first
        self._last_id = 0
        self._resumed = False  # the broker still had the session
        self._state = _OFFLINE
        self._begin(0)

    def _begin(self, now_ms: int) -> None:
        self._buffer = b""  # type: bytes | bytearray
        self._skip = 0  # bytes of an oversized packet still to be thrown away
        self._fault = ""
        self._heard_ms = now_ms
        self._pinged_ms = now_ms

    @property
    def in_flight(self) -> int:
        """How many QoS 1 publishes the broker has not acknowledged."""
        return len(self._held)

    @property
    def online(self) -> bool:
        return self._state == _ONLINE

    @property
    def between_packets(self) -> bool:
        """Is no packet begun: may a faster parser take the next bytes? (It then calls `heard`.)"""
        return not self._buffer and not self._skip and not self._fault

    # ---- what the owner writes

    def connect(self, now_ms: int) -> bytes:
        """CONNECT, the first bytes of a new connection. Forgets the old one's bytes, keeps unacknowledged publishes."""
        self._begin(now_ms)
        self._state = _CONNECTING
        self._held = [held for held in self._held if held[1]]
        for held in self._held:
            held[2] = False
        flags = 2 if self.clean else 0
        tail = string(self.client_id)
        if self.will is not None:
            topic, payload, qos, retain = self.will
            flags |= 4 | qos << 3 | (32 if retain else 0)
            tail += string(topic) + string(payload)
        if self.username is not None:
            flags |= 128
            tail += string(self.username)
            if self.password is not None:
                flags |= 64
                tail += string(self.password)
        body = b"\x00\x04MQTT\x04" + bytes((flags,)) + self.keepalive_s.to_bytes(2, "big") + tail
        return bytes((CONNECT,)) + encode_length(len(body)) + body

    def publish(
        self, topic: str, payload: bytes, qos: int = 0, retain: bool = False, again: bool = True
    ) -> "tuple[int, bytes]":
        """(packet_id, bytes to write); the id is 0 for QoS 0. QoS 1 is held until it is acknowledged.

        Without `again` it is only counted, and forgotten with the connection: the owner sends it anew.
        Raises SessionFull when in_flight_max are unacknowledged, NotConnected while not connected.
        """
        self._require_online()
        if not qos:
            return 0, encode_publish(topic, payload, 0, retain, 0)
        if len(self._held) >= self.in_flight_max:
            self.refused += 1
            raise SessionFull("%d publishes are unacknowledged; the limit is in_flight_max" % len(self._held))
        packet = encode_publish(topic, payload, qos, retain, self._next_id())
        self._held.append([self._last_id, packet if again else b"", True])
        return self._last_id, packet

    def resend(self) -> bytes:
        """What earlier connections left unacknowledged, in order. Write it once after ("connected", …).

        With a session at the broker these are duplicates and say so; without one they are new to it.
        """
        out = bytearray()
        for held in self._held:
            if not held[2]:
                packet = held[1]
                if self._resumed:
                    packet = bytes((packet[0] | 8,)) + packet[1:]
                out += packet
                held[2] = True
        return bytes(out)

    def acknowledge(self, packet_id: int) -> bytes:
        """PUBACK of a received message."""
        return bytes((PUBACK, 2)) + packet_id.to_bytes(2, "big")

    def subscribe(self, filters: "list[tuple[str, int]]") -> bytes:
        """SUBSCRIBE to [(filter, qos), …]; answered by ("subscribed", packet_id, codes). Raises NotConnected."""
        self._require_online()
        if not filters:
            raise ValueError("filters: a SUBSCRIBE needs at least one")  # MQTT-3.8.3-3
        body = self._next_id().to_bytes(2, "big")
        for name, qos in filters:
            body += string(name) + bytes((qos,))
        return bytes((SUBSCRIBE,)) + encode_length(len(body)) + body

    def disconnect(self) -> bytes:
        """DISCONNECT: the broker does not publish the will. Close the socket after writing it."""
        self._state = _OFFLINE
        return bytes((DISCONNECT, 0))

    def keepalive(self, now_ms: int) -> "bytes | None":
        """PINGREQ when one is due (every three quarters of the keep-alive), else None.

        Raises ProtocolFault when nothing was heard for one and a half keep-alives, or a fault that `feed` put off.
        """
        self._raise_put_off()
        if self._state == _OFFLINE or not self.keepalive_s:
            return None
        if now_ms - self._heard_ms > self.keepalive_s * 1500:
            raise self._failed("nothing was heard for %d ms" % (now_ms - self._heard_ms))
        # Pings do not wait for silence: who only sends QoS 0 hears nothing else, who only receives says nothing else.
        if self._state == _ONLINE and now_ms - self._pinged_ms >= self.keepalive_s * 750:
            self._pinged_ms = now_ms
            return bytes((PINGREQ, 0))
        return None

    # ---- what the owner read

    def heard(self, now_ms: int) -> None:
        """The peer lives: bytes came that did not pass through `feed`."""
        self._heard_ms = now_ms

    def feed(self, data: "bytes | bytearray", now_ms: int) -> "list[tuple[Any, ...]]":
        """Take bytes as they came, in pieces of any size; return what they mean, in order:

        ("connected", session_present) · ("refused", code) · ("message", topic, payload, qos, retain, packet_id, dup) ·
        ("acked", packet_id) · ("subscribed", packet_id, codes). A code of 128 in `codes` is a refused subscription.

        Raises ProtocolFault. What stood before the fault is returned first; the next call raises.
        """
        self._raise_put_off()
        if self._state == _OFFLINE:
            raise ProtocolFault("bytes came without a connection")
        if data:
            self._heard_ms = now_ms
        events = []  # type: list[tuple[Any, ...]]
        try:
            self._parse(data, events)
        except ProtocolFault as fault:
            if not events:
                raise self._failed(str(fault))  # noqa: B904 - MicroPython
            self._fault = str(fault)
        return events

    def _parse(self, data: "bytes | bytearray", events: "list[tuple[Any, ...]]") -> None:
        at = 0
        if self._skip:
            at = min(self._skip, len(data))
            self._skip -= at
        if self._buffer:
            data = self._buffer + data[at:]
            self._buffer = b""
            at = 0
        stop = len(data)
        while at < stop:
            self._begins(data[at])
            span = frame(data, at, stop)
            if span is None:
                break
            body, end = span
            kept = min(end, at + self.packet_bytes_max)
            if kept > stop:
                break
            if kept < end:
                self._oversize(data[at], end - at)
            self._packet(data, at, body, kept, events)
            at = min(end, stop)
            self._skip = end - at
        self._buffer = bytes(data[at:]) if at < stop else b""  # a copy: the owner may use its buffer again

    def _begins(self, first: int) -> None:
        """Raise at once for a byte that begins no packet of a server: the rest of it might never come."""
        if self._state == _CONNECTING:
            if first != CONNACK:
                raise ProtocolFault("the first packet, 0x%02x, is no CONNACK" % first)
        elif first & 0xF0 != PUBLISH and first not in (PUBACK, SUBACK, PINGRESP):
            raise ProtocolFault("the packet 0x%02x is not for a client" % first)

    def _oversize(self, first: int, length: int) -> None:
        if first & 0xF0 != PUBLISH:
            raise ProtocolFault("a packet of %d bytes is no PUBLISH; the limit is %d" % (length, self.packet_bytes_max))
        self.oversized += 1

    def _packet(self, data: "bytes | bytearray", at: int, body: int, end: int, events: "list[tuple[Any, ...]]") -> None:
        first = data[at]
        if self._state == _OFFLINE:
            raise ProtocolFault("bytes came after the connection was refused")
        if self._state == _CONNECTING:
            self._connack(data, body, end, events)
        elif first & 0xF0 == PUBLISH:
            events.append(self._message(first, data, body, end))
        elif first == PUBACK and end - body == 2:
            self._puback(data[body] << 8 | data[body + 1], events)
        elif first == SUBACK and end - body >= 3:
            codes = tuple(data[body + 2 : end])
            if not all(code in (0, 1, 2, 128) for code in codes):  # MQTT-3.9.3-2
                raise ProtocolFault("a SUBACK has the codes %r" % (codes,))
            events.append(("subscribed", data[body] << 8 | data[body + 1], codes))
        elif first == PINGRESP and end == body:
            pass
        else:
            raise ProtocolFault("the packet 0x%02x of %d bytes is not for a client" % (first, end - body))

    def _connack(self, data: "bytes | bytearray", body: int, end: int, events: "list[tuple[Any, ...]]") -> None:
        if end - body != 2 or data[body] > 1:
            raise ProtocolFault("a CONNACK of %d bytes is malformed" % (end - body))
        code = data[body + 1]
        if code:
            self._state = _OFFLINE
            events.append(("refused", code))
            return
        self._resumed = data[body] == 1
        if self._resumed and self.clean:
            raise ProtocolFault("a clean session was resumed")  # MQTT-3.2.2-1
        self._state = _ONLINE
        events.append(("connected", self._resumed))

    def _message(self, first: int, data: "bytes | bytearray", body: int, end: int) -> "tuple[Any, ...]":
        qos = first >> 1 & 3
        if qos > 1 or (first & 8 and not qos):  # MQTT-3.3.1-2, -4
            raise ProtocolFault("a PUBLISH has the flags 0x%x" % (first & 15))
        topic_at = body + 2
        payload_at = topic_at + (data[body] << 8 | data[body + 1]) if end - body >= 2 else end + 1
        packet_id = 0
        name_end = payload_at
        if qos:
            payload_at += 2
        if payload_at > end:
            raise ProtocolFault("a PUBLISH ends within its header")
        if qos:
            packet_id = data[name_end] << 8 | data[name_end + 1]
            if not packet_id:  # MQTT-2.3.1-1
                raise ProtocolFault("a PUBLISH of QoS 1 has the packet id 0")
        name = data[topic_at:name_end]
        topic = text(name)
        if "\ufffd" in topic:
            self.malformed_topics += 1
        return "message", topic, bytes(data[payload_at:end]), qos, bool(first & 1), packet_id, bool(first & 8)

    def _puback(self, packet_id: int, events: "list[tuple[Any, ...]]") -> None:
        for index, held in enumerate(self._held):
            if held[0] == packet_id:
                self._held.pop(index)
                events.append(("acked", packet_id))
                return
        # An id that nobody holds was acknowledged twice, or by a session older than this process: no harm.

    # ---- details

    def _next_id(self) -> int:
        used = [held[0] for held in self._held]
        while True:
            self._last_id = self._last_id % PACKET_ID_MAX + 1
            if self._last_id not in used:
                return self._last_id

    def _require_online(self) -> None:
        if self._state != _ONLINE:
            raise NotConnected("%s is not connected: wait for the connected event" % self.client_id)

    def _raise_put_off(self) -> None:
        if self._fault:
            raise self._failed(self._fault)

    def _failed(self, sentence: str) -> ProtocolFault:
        self._state = _OFFLINE
        self._fault = ""
        self._buffer = b""
        return ProtocolFault(sentence)
