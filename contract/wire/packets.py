"""MQTT 3.1.1 packets as bytes: what every client of the house writes and reads. Runs on MicroPython too.

Nothing here keeps a state; ``mqtt.Session`` knows what may follow what.
"""

CONNECT = 0x10
CONNACK = 0x20
PUBLISH = 0x30
PUBACK = 0x40
SUBSCRIBE = 0x82
SUBACK = 0x90
PINGREQ = 0xC0
PINGRESP = 0xD0
DISCONNECT = 0xE0

PACKET_ID_MAX = 65535
LENGTH_MAX = 268435455  # four bytes of seven bits
REFUSALS = {
    1: "protocol version not supported",
    2: "client id not allowed",
    3: "server unavailable",
    4: "bad user name or password",
    5: "not authorized",
}


class ProtocolFault(Exception):
    """The peer broke the protocol, or is dead: close the connection."""


def encode_length(length: int) -> bytes:
    """The remaining length of a packet, one to four bytes. Raises ValueError above LENGTH_MAX."""
    if not 0 <= length <= LENGTH_MAX:
        raise ValueError("length: %d bytes do not fit into a packet of %d" % (length, LENGTH_MAX))
    out = bytearray()
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    out.append(length)
    return bytes(out)


def frame(data: "bytes | bytearray", start: int, stop: int) -> "tuple[int, int] | None":
    """(where the body begins, where the packet ends) of the packet at `start`; None while its length is incomplete.

    The end may lie beyond `stop`. Raises ProtocolFault for a length of more than four bytes.
    """
    length = shift = 0
    at = start + 1
    while at < stop:
        byte = data[at]
        length |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return at, at + length
        shift += 7
        if shift > 21:
            raise ProtocolFault("a remaining length has more than four bytes")
    return None


def encode_publish(topic: str, payload: bytes, qos: int, retain: bool, packet_id: int) -> bytes:
    """A PUBLISH; `packet_id` counts for QoS 1 only. Raises ValueError for a topic or QoS that MQTT does not have."""
    name = topic.encode()
    if not name or len(name) > 65535 or "#" in topic or "+" in topic or "\0" in topic:
        raise ValueError("topic: %r cannot be published to" % topic)
    if qos not in (0, 1):
        raise ValueError("qos: %r is not 0 or 1" % qos)
    length = 2 + len(name) + 2 * qos + len(payload)
    head = bytes((PUBLISH | qos << 1 | (1 if retain else 0),)) + encode_length(length)
    head += len(name).to_bytes(2, "big") + name
    if qos:
        head += packet_id.to_bytes(2, "big")
    return head + payload


def text(data: "bytes | bytearray") -> str:
    """UTF-8 as a string; what is not UTF-8 comes with U+FFFD for each byte that is not ASCII."""
    try:
        return str(data, "utf-8")
    except ValueError:
        return "".join([chr(byte) if byte < 128 else "\ufffd" for byte in data])


def string(value: "str | bytes") -> bytes:
    """A length of two bytes and the text. Raises ValueError when it is longer than MQTT's strings."""
    data = value.encode() if isinstance(value, str) else value
    if len(data) > 65535:
        raise ValueError("a string of %d bytes is longer than the 65535 of MQTT" % len(data))
    return len(data).to_bytes(2, "big") + data
