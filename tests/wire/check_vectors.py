"""Run the golden vectors against contract.wire. Python of two kinds: CPython's pytest and MicroPython run this file.

From the root of the repository: ``micropython -X heapsize=4m -m tests.wire.check_vectors``. Prints each failing case
and ends with the number of cases; exit code 1 when one failed.
"""

import binascii
import json
import sys

from contract.wire import messages, mqtt, packets, topics

TYPE_CHECKING = False  # MicroPython has no typing; type checkers take this name for true
if TYPE_CHECKING:
    from typing import Any

VECTORS = "tests/vectors/"
PARSERS = {
    "kept": messages.parse_kept,
    "lease": messages.parse_lease,
    "call": messages.parse_call,
    "now": messages.parse_now,
}  # type: dict[str, Any]


def load(name: str, root: str = VECTORS) -> "list[dict[str, Any]]":
    with open(root + name + ".json", encoding="utf-8") as file:
        return list(json.load(file))


def payload_of(case: "dict[str, Any]") -> bytes:
    if "payload_base64" in case:
        return binascii.a2b_base64(case["payload_base64"])
    return str(case["payload"]).encode()


def plain(channel: str, parsed: "Any") -> "dict[str, Any]":
    """What a parser returns, in the form of the vectors."""
    if channel == "kept":
        stream, upto, also, deferred = parsed
        return {"stream": stream, "upto": upto, "also": [list(pair) for pair in also], "deferred": deferred}
    if channel == "lease":
        version, issued, targets = parsed
        return {"version": version, "issued": issued, "targets": {name: list(wish) for name, wish in targets.items()}}
    if channel == "call":
        call_id, do, args, expires = parsed
        return {"id": call_id, "do": do, "args": args, "expires": expires}
    nonce, at = parsed
    return {"nonce": nonce, "at": at}


def check_downward(channel: str, case: "dict[str, Any]") -> "str | None":
    """None when the parser says what the case says, else a sentence."""
    try:
        found = plain(channel, PARSERS[channel](payload_of(case)))
    except messages.WireFault as fault:
        if case["valid"]:
            return "refused: " + str(fault)
        return None if fault.code == case["code"] else f"code {fault.code} instead of {case['code']}"
    if not case["valid"]:
        return f"read as {found!r} instead of {case['code']}"
    return None if found == case["parsed"] else f"read as {found!r} instead of {case['parsed']!r}"


def encode_upward(channel: str, parsed: "dict[str, Any]") -> bytes:
    """The payload that the device's encoder makes of what a valid case says."""
    p = parsed
    if channel == "telemetry":
        return messages.telemetry(p["stream"], p["boot"], p["clock"], p["oldest"], p["readings"])
    if channel == "status" and not p["online"]:
        return messages.will(p["boot"], p["n"])
    if channel == "status":
        words = {key: value for key, value in p.items() if key != "online"}
        words.setdefault("at", None)
        return messages.birth(**words)
    if channel == "reported":
        return messages.reported(
            p["n"], p["boot"], p.get("at"), p["version"], p["state"], p["by"], p["result"], p.get("code")
        )
    if channel == "result":
        return messages.result(p["id"], p["status"], p.get("at"), p.get("code"))
    if channel == "time":
        return messages.time_request(p["nonce"])
    return messages.device_log(p["boot"], p.get("at"), p["level"], p["event"])


def check_upward(channel: str, case: "dict[str, Any]") -> "str | None":
    """The device's encoder says what a valid case says, within the limit of the wire."""
    if not case["valid"]:
        return None
    payload = encode_upward(channel, case["parsed"])
    if len(payload) > messages.PAYLOAD_BYTES_MAX:
        return f"{len(payload)} bytes"
    found = json.loads(payload)
    return None if found == case["parsed"] else f"written as {found!r} instead of {case['parsed']!r}"


def check_topic(case: "dict[str, Any]") -> "str | None":
    found = topics.parse(case["topic"])
    if found is not None and found[1] not in topics.UPWARD:
        found = None
    expected = (case["parsed"]["device"], case["parsed"]["channel"]) if case["valid"] else None
    return None if found == expected else f"read as {found!r} instead of {expected!r}"


def hexed(event: "tuple[Any, ...]") -> "list[Any]":
    return [str(binascii.hexlify(part), "ascii") if isinstance(part, bytes) else part for part in event]


def feed(case: "dict[str, Any]", piece: int) -> "list[list[Any]]":
    """The events of a case's packets, fed in pieces of `piece` bytes. Raises packets.ProtocolFault."""
    session = mqtt.Session("lamp-1")
    session.connect(0)
    if not case.get("connecting"):
        session.feed(b"\x20\x02\x00\x00", 0)
    data = binascii.unhexlify(case["hex"])
    events = []  # type: list[tuple[Any, ...]]
    for start in range(0, len(data), piece):
        events += session.feed(data[start : start + piece], 0)
    session.keepalive(0)  # raises what the last call put off
    return [[list(part) if isinstance(part, tuple) else part for part in hexed(event)] for event in events]


def check_read(case: "dict[str, Any]") -> "str | None":
    for piece in (1, 2, 3, 7, 4096):
        try:
            events = feed(case, piece)
        except packets.ProtocolFault as fault:
            if case["valid"]:
                return f"refused: {fault}"
            continue
        if not case["valid"]:
            return f"read as {events!r} in pieces of {piece}"
        if events != case["parsed"]:
            return f"read as {events!r} in pieces of {piece}"
    return None


def check_written(case: "dict[str, Any]") -> "str | None":
    arguments = dict(case["arguments"])
    method = case["method"]
    if method == "connect":
        if "will" in arguments:
            topic, payload, qos, retain = arguments["will"]
            arguments["will"] = (topic, binascii.unhexlify(payload), qos, retain)
        written = mqtt.Session(**arguments).connect(0)
    else:
        session = mqtt.Session("lamp-1")
        session.connect(0)
        session.feed(b"\x20\x02\x00\x00", 0)
        if "payload" in arguments:
            arguments["payload"] = binascii.unhexlify(arguments["payload"])
        written = getattr(session, method)(**arguments)
        if method == "publish":
            written = written[1]
    found = str(binascii.hexlify(written), "ascii")
    return None if found == case["hex"] else f"written as {found} instead of {case['hex']}"


def check(name: str, case: "dict[str, Any]") -> "str | None":
    """None when the contract says what the case says, else a sentence."""
    if name == "topics":
        return check_topic(case)
    if name == "mqtt":
        return check_read(case) if case["direction"] == "in" else check_written(case)
    if name in PARSERS:
        return check_downward(name, case)
    return check_upward(name, case)


FILES = ("telemetry", "status", "reported", "result", "time", "log", "kept", "lease", "call", "now", "topics", "mqtt")


def main() -> int:
    count = failed = 0
    for name in FILES:
        for case in load(name):
            count += 1
            sentence = check(name, case)
            if sentence:
                failed += 1
                print(f"{name}: {case['name']}: {sentence}")
    print(f"{count} cases, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
