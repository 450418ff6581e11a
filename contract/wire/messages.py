"""Payloads of the wire, version 1: what each channel's JSON says. Runs on MicroPython too.

Encoders give compact UTF-8 JSON as bytes and trust their caller, except that no number that is not finite leaves the
house. Parsers are for the device's side (``kept``, ``lease``, ``call``, ``now``); they trust nobody, ignore keys they
do not know, and raise WireFault with a stable code of docs/wire.md. Times and versions are integers in ms (floats on
the ESP32 are single precision). The words of the wire: ``at`` here is ``measured_at_ms`` elsewhere, ``to`` of a
boolean target is JSON true or false.
"""

import json
import sys

TYPE_CHECKING = False  # MicroPython has no typing; type checkers take this name for true
if TYPE_CHECKING:
    from typing import Any

PAYLOAD_BYTES_MAX = 8192
READINGS_MAX = 64  # in one telemetry message
ALSO_MAX = 16  # ranges in one kept
TARGETS_MAX = 16  # in one lease
NAME_LENGTH_MAX = 32  # a target, what a call does
ID_LENGTH_MAX = 64  # of a call
TEXT_LENGTH_MAX = 64  # characters: kind, model, firmware, reset, event
REASON_LENGTH_MAX = 200  # characters of a lease's reason
INTEGER_MAX = 9007199254740991  # 2**53 - 1: what every JSON reader holds exactly
STREAM_LENGTH = 8  # hex digits
SEQ_MAX = 4294967295  # 2**32 - 1: a reading a second for 136 years; sums over all streams stay far within 64 bits
AGE_MS_MAX = 31622400000  # 366 days: a reading older than that at ingest is too_old
PERIOD_S_MAX = 2592000  # 30 days between readings
SLEEP_MS_MAX = 2592000000  # 30 days: as long as a device may say that it sleeps
AHEAD_MS_MAX = 600000  # 10 minutes: a reading further ahead of ingest's clock is in_future

# Codes of what breaks the wire; docs/wire.md says each in a sentence.
NOT_JSON = "not_json"
TOO_LARGE = "too_large"
BAD_TOPIC = "bad_topic"
MISSING_KEY = "missing_key"
WRONG_TYPE = "wrong_type"
OUT_OF_RANGE = "out_of_range"
TOO_OLD = "too_old"
IN_FUTURE = "in_future"
CONFLICT = "conflict"
FAULT_CODES = (NOT_JSON, TOO_LARGE, BAD_TOPIC, MISSING_KEY, WRONG_TYPE, OUT_OF_RANGE, TOO_OLD, IN_FUTURE, CONFLICT)

CLOCKS = ("synced", "held", "none")
CONTROLLERS = ("lease", "schedule", "safe", "interlock", "local")
LEASE_RESULTS = ("applied", "refused", "stale", "overridden", "expired", "interrupted")
LEASE_CODES = ("over_limit", "expired", "no_until", "no_clock", "unknown_target")
CALL_STATUSES = ("done", "failed", "refused", "expired")
LOG_LEVELS = ("debug", "info", "warning", "error")


class WireFault(ValueError):
    """A payload that breaks the wire: ``code`` is stable, ``sentence`` names key, value and limit."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code + ": " + sentence)
        self.code = code
        self.sentence = sentence


# ------------------------------------------------------------------------------------------------ device → platform


def telemetry(stream: str, boot: int, clock: str, oldest: int, readings: "list[dict[str, Any]]") -> bytes:
    """Readings of one boot, oldest first: ``{"seq": 1, "at": ms, "v": {metric: value}}``, or ``"up"`` for ``"at"``.

    `oldest` is the lowest seq the device still holds. A value that is not finite is sent as null (unknown).
    Raises ValueError for more than READINGS_MAX readings.
    """
    if len(readings) > READINGS_MAX:
        raise ValueError("readings: %d are more than the %d of one message" % (len(readings), READINGS_MAX))
    sound = readings
    for index, reading in enumerate(readings):
        values = reading["v"]
        for value in values.values():
            if type(value) is float and value - value != 0.0:
                if sound is readings:
                    sound = list(readings)
                sound[index] = _without_infinity(reading)
                break
    return _encode({"stream": stream, "boot": boot, "clock": clock, "oldest": oldest, "readings": sound})


def birth(
    n: int,
    boot: int,
    stream: str,
    at: "int | None",
    kind: str,
    model: str,
    firmware: str,
    reset: str,
    period_s: int,
    asleep_until: "int | None" = None,
) -> bytes:
    """The device is here. Without a clock `at` is None and left out; before sleep `asleep_until` says when it is back.

    `period_s` is the time between readings, in seconds of city time.
    """
    document = {
        "online": True,
        "n": n,
        "boot": boot,
        "stream": stream,
        "kind": kind,
        "model": model,
        "firmware": firmware,
        "reset": reset,
        "period_s": period_s,
    }  # type: dict[str, Any]
    if at is not None:
        document["at"] = at
    if asleep_until is not None:
        document["asleep_until"] = asleep_until
    return _encode(document)


def will(boot: int, n: int) -> bytes:
    """What the broker says for a device that is gone; `n` is that of the birth which the same connection sends."""
    return _encode({"online": False, "n": n, "boot": boot})


def reported(
    n: int,
    boot: int,
    at: "int | None",
    version: int,
    state: "dict[str, bool | float]",
    by: "dict[str, str]",
    result: str,
    code: "str | None" = None,
) -> bytes:
    """What the device's targets are now (`state`), who rules them (`by`), and how the lease `version` fared."""
    document = {
        "n": n,
        "boot": boot,
        "version": version,
        "state": state,
        "by": by,
        "result": result,
    }  # type: dict[str, Any]
    if at is not None:
        document["at"] = at
    if code is not None:
        document["code"] = code
    return _encode(document)


def result(call_id: str, status: str, at: "int | None", code: "str | None" = None) -> bytes:
    """The end of a call: `status` is one of CALL_STATUSES."""
    document = {"id": call_id, "status": status}  # type: dict[str, Any]
    if at is not None:
        document["at"] = at
    if code is not None:
        document["code"] = code
    return _encode(document)


def time_request(nonce: int) -> bytes:
    """Ask the platform for the time; the answer carries the same nonce."""
    return _encode({"nonce": nonce})


def device_log(boot: int, at: "int | None", level: str, event: str) -> bytes:
    """A remark of the device about itself: `level` is one of LOG_LEVELS, `event` a word like sensor_timeout."""
    document = {"boot": boot, "level": level, "event": event}  # type: dict[str, Any]
    if at is not None:
        document["at"] = at
    return _encode(document)


# ------------------------------------------------------------------------------------------------ platform → device


def kept(stream: str, upto: int, also: "Any" = (), deferred: bool = False) -> bytes:
    """These seqs are durable: all up to `upto`, and the inclusive ranges `also` (at most ALSO_MAX, the rest is cut).

    `deferred`: the device is not registered yet; without it a deferral ends at once.
    """
    # Written by hand, for every device hears it every second or so; a stream is eight hex digits.
    text = '{"stream":"%s","upto":%d' % (stream, upto)
    if also:
        text += ',"also":[' + ",".join(["[%d,%d]" % (first, last) for first, last in tuple(also)[:ALSO_MAX]]) + "]"
    return (text + (',"deferred":true}' if deferred else "}")).encode()


def lease(version: int, issued: int, targets: "Any") -> bytes:
    """The whole desired state: target → ``{"to": 0.7 or true, "until": ms, "reason": text}``; empty: all free."""
    return _encode({"version": version, "issued": issued, "targets": targets})


def call(call_id: str, do: str, args: "Any", expires: int) -> bytes:
    """Do something once (identify, reboot) before `expires` (ms)."""
    return _encode({"id": call_id, "do": do, "args": args, "expires": expires})


def now(nonce: int, at: int) -> bytes:
    """The time asked for with this nonce."""
    return _encode({"nonce": nonce, "at": at})


# ------------------------------------------------------------------------------------------------- the device parses


def parse_kept(payload: bytes) -> "tuple[str, int, list[tuple[int, int]], bool]":
    """(stream, upto, also, deferred). Raises WireFault."""
    document = parse_object(payload)
    stream = _text(document, "stream", STREAM_LENGTH, None)
    if not is_stream(stream):
        raise WireFault(OUT_OF_RANGE, "stream: %r is not 8 hex digits in lower case" % stream)
    upto = _integer(document, "upto", 0, SEQ_MAX)
    given = document.get("also", [])
    if type(given) is not list:
        raise WireFault(WRONG_TYPE, "also: expected a list of [first, last]")
    if len(given) > ALSO_MAX:
        raise WireFault(OUT_OF_RANGE, "also: %d ranges are more than %d" % (len(given), ALSO_MAX))
    also = []
    for pair in given:
        if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not int or type(pair[1]) is not int:
            raise WireFault(WRONG_TYPE, "also: expected [first, last], two integers")
        if not 1 <= pair[0] <= pair[1] <= SEQ_MAX:
            raise WireFault(OUT_OF_RANGE, "also: %d to %d is not a range of seqs" % (pair[0], pair[1]))
        also.append((pair[0], pair[1]))
    deferred = document.get("deferred", False)
    if type(deferred) is not bool:
        raise WireFault(WRONG_TYPE, "deferred: expected true or false")
    return stream, upto, also, deferred


def parse_lease(payload: bytes) -> "tuple[int, int, dict[str, tuple[float, int | None, str]]]":
    """(version, issued, target → (to, until, reason)). Booleans come as 0.0 or 1.0.

    A missing `until` is None, for the device answers it with ``no_until``; a missing reason is "". Raises WireFault.
    """
    document = parse_object(payload)
    version = _integer(document, "version", 1)
    issued = _integer(document, "issued", 0)
    given = _object(document, "targets")
    if len(given) > TARGETS_MAX:
        raise WireFault(OUT_OF_RANGE, "targets: %d are more than %d" % (len(given), TARGETS_MAX))
    targets = {}
    for name, wish in given.items():
        if not 1 <= len(name) <= NAME_LENGTH_MAX:
            raise WireFault(OUT_OF_RANGE, "targets: %r is not a name of 1 to %d characters" % (name, NAME_LENGTH_MAX))
        if type(wish) is not dict:
            raise WireFault(WRONG_TYPE, "targets.%s: expected an object" % name)
        until = _integer(wish, "until", 0) if wish.get("until") is not None else None
        reason = _text(wish, "reason", 0, REASON_LENGTH_MAX) if "reason" in wish else ""
        targets[name] = (_number(wish, "to"), until, reason)
    return version, issued, targets


def parse_call(payload: bytes) -> "tuple[str, str, dict[str, Any], int]":
    """(id, do, args, expires). Raises WireFault."""
    document = parse_object(payload)
    call_id = _text(document, "id", 1, ID_LENGTH_MAX)
    do = _text(document, "do", 1, NAME_LENGTH_MAX)
    args = _object(document, "args") if "args" in document else {}
    return call_id, do, args, _integer(document, "expires", 0)


def parse_now(payload: bytes) -> "tuple[int, int]":
    """(nonce, at). Raises WireFault."""
    document = parse_object(payload)
    return _integer(document, "nonce", 0), _integer(document, "at", 0)


def parse_object(payload: bytes) -> "dict[str, Any]":
    """The JSON object of a payload, its keys not judged. Raises WireFault: too_large, not_json, wrong_type."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise WireFault(TOO_LARGE, "the payload has %d bytes; the limit is %d" % (len(payload), PAYLOAD_BYTES_MAX))
    try:
        document = _decode(str(payload, "utf-8"))
    except (ValueError, RuntimeError) as fault:  # RuntimeError: nested deeper than the parser goes
        raise WireFault(NOT_JSON, "the payload is not JSON in UTF-8: %s" % fault)  # noqa: B904 - MicroPython
    if type(document) is not dict:
        raise WireFault(WRONG_TYPE, "the payload is not a JSON object")
    return document


def is_stream(text: str) -> bool:
    """Is it 8 hex digits in lower case?"""
    return len(text) == STREAM_LENGTH and all(character in "0123456789abcdef" for character in text)


# --------------------------------------------------------------------------------------------------------- details


def _without_infinity(reading: "dict[str, Any]") -> "dict[str, Any]":
    sound = dict(reading)
    sound["v"] = {
        name: None if type(value) is float and value - value != 0.0 else value for name, value in reading["v"].items()
    }
    return sound


def _required(document: "dict[str, Any]", key: str) -> "Any":
    if key not in document:
        raise WireFault(MISSING_KEY, "%s: missing" % key)
    return document[key]


def _integer(document: "dict[str, Any]", key: str, least: int, most: int = INTEGER_MAX) -> int:
    value = _required(document, key)
    if type(value) is not int:
        raise WireFault(WRONG_TYPE, "%s: expected an integer" % key)
    if not least <= value <= most:
        raise WireFault(OUT_OF_RANGE, "%s: %d is not within %d and %d" % (key, value, least, most))
    return value


def _number(document: "dict[str, Any]", key: str) -> float:
    value = _required(document, key)
    if type(value) is bool:
        return 1.0 if value else 0.0
    if type(value) is not int and type(value) is not float:
        raise WireFault(WRONG_TYPE, "%s: expected a number, true or false" % key)
    if value - value != 0 or not -INTEGER_MAX <= value <= INTEGER_MAX:
        raise WireFault(OUT_OF_RANGE, "%s: not a finite number" % key)
    return float(value)


def _text(document: "dict[str, Any]", key: str, least: int, most: "int | None") -> str:
    value = _required(document, key)
    if type(value) is not str:
        raise WireFault(WRONG_TYPE, "%s: expected a text" % key)
    if most is not None and not least <= len(value) <= most:
        raise WireFault(OUT_OF_RANGE, "%s: %d characters are not within %d and %d" % (key, len(value), least, most))
    return value


def _object(document: "dict[str, Any]", key: str) -> "dict[str, Any]":
    value = _required(document, key)
    if type(value) is not dict:
        raise WireFault(WRONG_TYPE, "%s: expected an object" % key)
    return value


if sys.implementation.name == "micropython":

    def _encode(document: "dict[str, Any]") -> bytes:
        return json.dumps(document, separators=(",", ":")).encode()

    def _decode(text: str) -> "Any":
        return json.loads(text)

else:
    # Made once: json.dumps with options would make an encoder for every message.
    _writer = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))

    def _no_constant(word: str) -> "Any":
        raise ValueError("%s is not JSON" % word)

    _reader = json.JSONDecoder(parse_constant=_no_constant)

    def _encode(document: "dict[str, Any]") -> bytes:
        return _writer.encode(document).encode()

    def _decode(text: str) -> "Any":
        return _reader.decode(text)
