"""The golden vectors of the upward channels, and what a bad radio, a bad program or a bad person makes of them."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from random import Random

from contract.ports import Message

VECTORS = Path(__file__).parents[1] / "vectors"
CHANNELS = ("telemetry", "status", "reported", "result", "log", "time")
DEVICES = ("lamp-1", "lamp-2", "lamp-3", "valve-1", "stranger")
BYTES_MAX = 65_536  # what a broker lets through
TOPICS = (
    "nabd/1/{}/{}/x", "nabd/2/{}/{}", "nabd/1//{}{}", "{}{}", "nabd/1/{}\ud800/{}", "\x00{}{}", "nabd/1/{}/via/{}/x",
)  # fmt: skip

NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")
PAIR = re.compile(rb'"[a-z_]+":(?:"[^"]*"|[^,{}\[\]]+)')
TEXT = re.compile(rb'"[^"]*"')
VALUE = re.compile(rb'(?<=:)(?:"[^"]*"|[^,{}\[\]]+)')

NUMBERS = [
    b"-1", b"0", b"-0", b"1e400", b"-1e400", b"1e-400", b"9" * 400, b"9" * 5_000, b"9007199254740992",
    b"9007199254740993", b"18446744073709551616", b"-9223372036854775809", b"1.5", b"1E5", b"01", b"1.", b"0x10",
]  # fmt: skip
OTHER_TYPES = [b"null", b"true", b"{}", b"[]", b'""', b'"1"', b"[1]", b'{"a":1}', b"1.25"]
NOT_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"nan"]
SURROGATES = [b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\xed\xa0\x80"', b'"\\ud83d\\ude00"']
NOT_UTF8 = [b"\xff", b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x82", b"\xfe\xff"]
MARKS = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff"]

Harm = Callable[[Random, bytes], bytes]


def _replaced(chance: Random, payload: bytes, pattern: re.Pattern[bytes], by: list[bytes]) -> bytes:
    found = list(pattern.finditer(payload))
    if not found:
        return payload
    one = chance.choice(found)
    return payload[: one.start()] + chance.choice(by) + payload[one.end() :]


def flip(chance: Random, payload: bytes) -> bytes:
    data = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def truncate(chance: Random, payload: bytes) -> bytes:
    return payload[: chance.randrange(len(payload) + 1)]


def repeat_a_key(chance: Random, payload: bytes) -> bytes:
    found = list(PAIR.finditer(payload))
    if not found:
        return payload
    first, second = chance.choice(found), chance.choice(found)
    return payload[: second.end()] + b"," + first[0] + payload[second.end() :]


def nest(chance: Random, payload: bytes) -> bytes:
    """Within a message, or around it; deep enough that a careless parser overflows its stack."""
    deep = chance.choice([2, 30, 500, 2_000, 4_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"v":', b"}")])
    if chance.random() < 0.3:
        closing = b""
    inside = chance.choice([b"1", b"", payload[:100]])
    nested = opening * deep + inside + closing * deep
    return _replaced(chance, payload, VALUE, [nested]) if chance.random() < 0.8 else nested


def grow(chance: Random, payload: bytes) -> bytes:
    """To a size about the wire's limit, or the broker's."""
    size = chance.choice([8_191, 8_192, 8_193, 20_000, BYTES_MAX]) if chance.random() < 0.2 else 8_192
    missing = max(0, size - len(payload))
    return chance.choice([payload + b" " * missing, _replaced(chance, payload, TEXT, [b'"' + b"x" * missing + b'"'])])


def lose(chance: Random, payload: bytes) -> bytes:
    at = chance.randrange(len(payload) + 1)
    return payload[:at] + payload[at + chance.randint(1, 30) :]


def double(chance: Random, payload: bytes) -> bytes:
    at, to = chance.randrange(len(payload) + 1), chance.randrange(len(payload) + 1)
    return payload[:to] + payload[at:]


def insert(chance: Random, payload: bytes, pieces: list[bytes]) -> bytes:
    at = chance.randrange(len(payload) + 1)
    return payload[:at] + chance.choice(pieces) + payload[at:]


HARMS: dict[str, Harm] = {
    "bits are flipped": flip,
    "the end is missing": truncate,
    "a key is given twice": repeat_a_key,
    "it is nested deeply": nest,
    "a number is huge, or none": lambda chance, payload: _replaced(chance, payload, NUMBER, NUMBERS),
    "a value has another type": lambda chance, payload: _replaced(chance, payload, VALUE, OTHER_TYPES),
    "a number is NaN": lambda chance, payload: _replaced(chance, payload, NUMBER, NOT_NUMBERS),
    "a text has half a character": lambda chance, payload: _replaced(chance, payload, TEXT, SURROGATES),
    "it is not UTF-8": lambda chance, payload: insert(chance, payload, NOT_UTF8),
    "it begins with a byte order mark": lambda chance, payload: chance.choice(MARKS) + payload,
    "it is very long": grow,
    "a part is missing": lose,
    "a part comes twice": double,
}


def vectors(*, only_valid: bool = False) -> list[tuple[str, bytes]]:
    """(channel, payload) of every upward golden vector."""
    return [
        (channel, base64.b64decode(case["payload_base64"]) if "payload_base64" in case else case["payload"].encode())
        for channel in CHANNELS
        for case in json.loads((VECTORS / f"{channel}.json").read_text(encoding="utf-8"))
        if case["valid"] or not only_valid
    ]


class Fuzzer:
    """Endless messages; the same from the same seed."""

    def __init__(self, seed: str) -> None:
        self._chance = Random(seed)
        self._vectors = vectors()
        self._telemetry = [one for one in vectors(only_valid=True) if one[0] == "telemetry"]
        self._made = 0

    def message(self) -> Message:
        chance = self._chance
        self._made += 1
        channel, payload = chance.choice(self._telemetry if chance.random() < 0.5 else self._vectors)
        if chance.random() < 0.5:  # another reading than in the message before, so that it can be news
            payload = payload.replace(b"88213", str(100_000 + self._made).encode())
        for _ in range(chance.choice([0, 1, 1, 1, 1, 2, 3])):
            payload = chance.choice(list(HARMS.values()))(chance, payload)[:BYTES_MAX]
        shape = "nabd/1/{}/{}" if chance.random() < 0.97 else chance.choice(TOPICS)
        return Message(shape.format(chance.choice(DEVICES), channel), payload, token=self._made)
