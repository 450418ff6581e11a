"""Telemetry: bytes → typed readings, or a fault with its stable code and a sentence.

A message without fault takes one pass in C (`Validator.fast`). Any other is read again exactly: each bad reading is
named and the good ones go on; duplicate and unknown keys are counted.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from contract.wire.messages import (
    CLOCKS,
    INTEGER_MAX,
    MISSING_KEY,
    NOT_JSON,
    OUT_OF_RANGE,
    PAYLOAD_BYTES_MAX,
    READINGS_MAX,
    SEQ_MAX,
    STREAM_LENGTH,
    TOO_LARGE,
    WRONG_TYPE,
    WireFault,
    is_stream,
)
from ingest.clocks import NO_CLOCK
from ingest.validate import Validator, excerpt

_is_stream = lru_cache(65_536)(is_stream)  # asked of names of the right length only; thousands of messages tell each

_MESSAGE_KEYS = frozenset(("stream", "boot", "clock", "oldest", "readings"))
_READING_KEYS = frozenset(("seq", "at", "up", "v"))


class ReadingIn(msgspec.Struct, gc=False):
    """A reading as the device dated it: `at` (Unix ms), or `up` (ms since boot) when its clock is not set."""

    seq: int
    v: dict[str, Any]  # validated: contract.kind.Value
    at: int | None = None
    up: int | None = None


class FaultyReading(msgspec.Struct):
    seq: int | None  # None when even that cannot be read
    code: str
    sentence: str


class TelemetryIn(msgspec.Struct, gc=False):
    """One message, its good readings apart from its bad ones."""

    stream: str
    boot: int
    clock: str
    oldest: int
    readings: list[ReadingIn]
    faulty: Sequence[FaultyReading] = ()
    notes: Mapping[str, int] = {}  # counters to raise: unknown_keys, duplicate_keys, unknown_metrics
    unknown: Sequence[str] = ()  # the metrics among them, a name as often as it came


class Unreadable(WireFault):
    """A message that cannot be used at all. What could be named of it (stream, seqs) need not be sent again."""

    def __init__(self, fault: WireFault, stream: str = "", seqs: tuple[int, ...] = ()) -> None:
        super().__init__(fault.code, fault.sentence)
        self.stream = stream
        self.seqs = seqs


class JsonReader:
    """Reads JSON objects exactly: no NaN, no infinity, no other encoding than UTF-8; counts keys given twice."""

    def __init__(self) -> None:
        self._duplicates = 0
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object, parse_constant=_no_constant, parse_int=_integer_or_float
        )

    def read(self, payload: bytes) -> tuple[dict[str, Any], int]:
        """(object, keys given twice; the last one holds). Raises WireFault: too_large, not_json, wrong_type."""
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise WireFault(TOO_LARGE, f"the payload has {len(payload)} bytes; the limit is {PAYLOAD_BYTES_MAX}")
        self._duplicates = 0
        try:
            document = self._decoder.decode(str(payload, "utf-8"))
        except UnicodeDecodeError as error:
            raise WireFault(NOT_JSON, f"not UTF-8 at byte {error.start}") from None
        except RecursionError:
            raise WireFault(NOT_JSON, "nested too deeply to be read") from None
        except ValueError as error:
            raise WireFault(NOT_JSON, f"not JSON: {error}") from None
        if not isinstance(document, dict):
            raise WireFault(WRONG_TYPE, f"the payload is not a JSON object but {excerpt(document)}")
        return document, self._duplicates

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        self._duplicates += len(pairs) - len(document)
        return document


class Fields:
    """Takes typed fields out of a JSON object and counts the rest. Raises WireFault naming the key.

    Null is absent where a field may be absent, and of the wrong type where it must be there.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._asked: set[str] = set()

    @property
    def unknown(self) -> int:
        return len(self._document.keys() - self._asked)

    def take(self, key: str) -> Any:
        self._asked.add(key)
        return self._document.get(key)

    def require(self, key: str) -> Any:
        if key not in self._document:
            raise WireFault(MISSING_KEY, f"{key}: missing")
        return self.take(key)

    def integer(self, key: str, least: int = 0, most: int = INTEGER_MAX) -> int:
        return _integer(key, self.require(key), least, most)

    def integer_or_none(self, key: str, least: int = 0) -> int | None:
        value = self.take(key)
        return None if value is None else _integer(key, value, least)

    def boolean(self, key: str) -> bool:
        value = self.require(key)
        if not isinstance(value, bool):
            raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} is not true or false")
        return value

    def word(self, key: str, words: tuple[str, ...]) -> str:
        value = self.text(key)
        if value not in words:
            raise WireFault(OUT_OF_RANGE, f"{key}: {excerpt(value)} is not one of {', '.join(words)}")
        return value

    def text(self, key: str, most: int = 64) -> str:
        return _text(key, self.require(key), most)

    def text_or_empty(self, key: str, most: int = 64) -> str:
        value = self.take(key)
        return "" if value is None else _text(key, value, most)

    def stream(self) -> str:
        stream = self.text("stream")
        if not is_stream(stream):
            raise WireFault(OUT_OF_RANGE, f"stream: {excerpt(stream)} is not 8 hex digits in lower case")
        return stream


def decode_telemetry(payload: bytes, validator: Validator | None, reader: JsonReader) -> TelemetryIn:
    """One telemetry message. Without a validator (the device is not known) values are not judged and left out.

    Raises Unreadable.
    """
    if validator is not None and len(payload) <= PAYLOAD_BYTES_MAX:
        try:
            message = validator.fast.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # read exactly below, to name the fault
        else:
            if _is_without_remark(message, payload):
                nulls = b"null" in payload
                if nulls or validator.has_booleans:
                    for reading in message.readings:
                        validator.settle(reading.v, nulls=nulls)
                return message  # type: ignore[no-any-return]  # it has all that a TelemetryIn has
    try:
        document, duplicates = reader.read(payload)
    except WireFault as fault:
        raise Unreadable(fault) from None
    try:
        return _exact(document, duplicates, validator)
    except WireFault as fault:
        raise Unreadable(fault, *_salvage(document)) from None


def _is_without_remark(message: Any, payload: bytes) -> bool:
    """Is the stream one, is there nothing to count and no time missing?

    A compact message has one ``":`` for each key. A message written otherwise, or with a key that is unknown or given
    twice, has another number of them than the keys that were taken, and is read again exactly.
    """
    has_clock = message.clock != NO_CLOCK
    keys = 5
    for reading in message.readings:
        if (reading.at if has_clock else reading.up) is None:
            return False
        keys += 3 + len(reading.v)
    return payload.count(b'":') == keys and len(message.stream) == STREAM_LENGTH and _is_stream(message.stream)


def _exact(document: dict[str, Any], duplicates: int, validator: Validator | None) -> TelemetryIn:
    fields = Fields(document)
    stream = fields.stream()
    boot = fields.integer("boot")
    clock = fields.word("clock", CLOCKS)
    oldest = fields.integer("oldest", least=1, most=SEQ_MAX)
    given = fields.require("readings")
    if not isinstance(given, list):
        raise WireFault(WRONG_TYPE, "readings: not a list")
    if len(given) > READINGS_MAX:
        raise WireFault(OUT_OF_RANGE, f"readings: {len(given)} are more than {READINGS_MAX}")
    unknown: list[str] = []
    readings: list[ReadingIn] = []
    faulty: list[FaultyReading] = []
    notes = {"unknown_keys": len(document.keys() - _MESSAGE_KEYS), "duplicate_keys": duplicates, "unknown_metrics": 0}
    for reading in given:
        try:
            seq = _seq(reading)
        except WireFault as fault:
            faulty.append(FaultyReading(None, fault.code, fault.sentence))
            continue
        notes["unknown_keys"] += len(reading.keys() - _READING_KEYS)
        try:
            good, others = _reading(reading, seq, "up" if clock == "none" else "at", validator)
        except WireFault as fault:
            faulty.append(FaultyReading(seq, fault.code, f"seq {seq}: {fault.sentence}"))
        else:
            notes["unknown_metrics"] += len(others)
            unknown += others
            readings.append(good)
    told = {name: count for name, count in notes.items() if count}
    return TelemetryIn(stream, boot, clock, oldest, readings, faulty, told, unknown)


def _reading(
    given: dict[str, Any], seq: int, dated_by: str, validator: Validator | None
) -> tuple[ReadingIn, list[str]]:
    fields = Fields(given)
    time = fields.integer(dated_by)
    values = fields.require("v")
    if not isinstance(values, dict):
        raise WireFault(WRONG_TYPE, f"v: {excerpt(values)} is not an object")
    judged, unknown = ({}, []) if validator is None else validator.judge(values)
    at, up = (None, time) if dated_by == "up" else (time, None)
    return ReadingIn(seq, judged, at, up), unknown


def _seq(reading: Any) -> int:
    if not isinstance(reading, dict):
        raise WireFault(WRONG_TYPE, f"readings: {excerpt(reading)} is not an object")
    return Fields(reading).integer("seq", least=1, most=SEQ_MAX)


def _salvage(document: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """(stream, seqs) of a message that is otherwise no good, as far as they can be read."""
    stream, readings = document.get("stream"), document.get("readings")
    if not isinstance(stream, str) or not is_stream(stream):
        return "", ()
    if not isinstance(readings, list) or len(readings) > READINGS_MAX:
        return stream, ()
    seqs = []
    for reading in readings:
        try:
            seqs.append(_seq(reading))
        except WireFault:
            continue
    return stream, tuple(dict.fromkeys(seqs))


def _integer(key: str, value: Any, least: int, most: int = INTEGER_MAX) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} is not an integer")
    if not least <= value <= most:
        raise WireFault(OUT_OF_RANGE, f"{key}: {excerpt(value)} is not within {least} and {most}")
    return value


def _text(key: str, value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} is not a text")
    if not 1 <= len(value) <= most:
        raise WireFault(OUT_OF_RANGE, f"{key}: {len(value)} characters are not within 1 and {most}")
    if not value.isprintable():  # control characters, and half a surrogate pair that no database takes
        raise WireFault(WRONG_TYPE, f"{key}: {excerpt(value)} holds characters that cannot be printed")
    return value


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _integer_or_float(text: str) -> int | float:
    """Python refuses integers of more than 4,300 digits; as a float they are out of every range, as they should be."""
    return int(text) if len(text) <= 4_000 else float(text)
