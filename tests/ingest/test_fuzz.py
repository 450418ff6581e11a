"""Whatever comes, ingest does not raise, does not fail inside, and the books balance."""

import json
import random

from contract.kind_file import load_kinds
from contract.ports import Message
from contract.quarantine import INTERNAL_ERROR as INTERNAL
from tests.ingest.house import IngestHouse, birth, reported, telemetry, will, without_clock

SEED = 20_261_124
MESSAGES = 8_000
BATCH = 50


def sound(chance: random.Random) -> list[tuple[str, object]]:
    """One good message of every sort."""
    seq = chance.randrange(1, 3_000)
    return [
        ("telemetry", telemetry(seq, seq + 1, seq + 2)),
        ("telemetry", telemetry(seq, values={"level": 0.5, "level_by": "lease", "energy_wh": 12, "power_w": None})),
        ("telemetry", without_clock([(seq, 100), (seq + 1, 200)], stream="00000002")),
        ("status", birth(seq)),
        ("status", will(seq)),
        ("reported", reported(seq)),
        ("result", {"id": "c-1", "status": "done", "at": 5}),
        ("log", {"boot": 1, "at": 5, "level": "warning", "event": "sensor_timeout"}),
        ("time", {"nonce": 7}),
    ]


PIECES = [
    b"null", b"true", b"-1", b"1e400", b"NaN", b"1.5", b"9" * 5000, b'"\\ud800"', b'"\\u0000"', b"\xff\xfe", b"{}",
    b"[]", b"[[[[[[", b'""', b'"at":', b",", b":", b"}", b"]", b'"', b"\\", b"\x00", b"0" * 40, b"18446744073709551616",
    b'"v":{"level":0.5}', b'"seq":9007199254740993', "م".encode(), b"x" * 9000,
]  # fmt: skip
TOPICS = ["nabd/1/{}/{}", "nabd/1/{}/{}/x", "nabd/2/{}/{}", "nabd/1//{}{}", "{}{}", "nabd/1/{}\ud800/{}", "\x00{}{}"]
DEVICES = ["lamp-1", "lamp-2", "valve-1", "stranger", "nabd", "platform", "UPPER", "a" * 40]


def mutate(chance: random.Random, payload: bytes) -> bytes:
    """One to four small harms."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(payload) + 1)
        to = min(len(payload), at + chance.randrange(12))
        match chance.randrange(5):
            case 0:
                payload = payload[:at] + chance.choice(PIECES) + payload[to:]
            case 1:
                payload = payload[:at] + bytes(chance.randrange(256) for _ in range(chance.randrange(4))) + payload[to:]
            case 2:
                payload = payload[:at] + payload[to:]
            case 3:
                payload = payload[:to] + payload[at:]
            case _:
                payload = payload.replace(chance.choice([b"1", b'"at"', b"12", b"0.5"]), chance.choice(PIECES), 1)
    return payload


def make(chance: random.Random) -> Message:
    channel, document = chance.choice(sound(chance))
    payload = json.dumps(document, separators=chance.choice([(",", ":"), (", ", ": ")])).encode()
    if chance.random() < 0.9:
        payload = mutate(chance, payload)
    shape = TOPICS[0] if chance.random() < 0.95 else chance.choice(TOPICS)
    device = chance.choice(DEVICES[:4]) if chance.random() < 0.95 else chance.choice(DEVICES)
    return Message(shape.format(device, channel), payload, token=object())


def test_no_payload_makes_ingest_raise_or_lose_count(house: IngestHouse) -> None:
    print("seed", SEED)
    chance = random.Random(SEED)
    for _ in range(MESSAGES // BATCH):
        batch = [make(chance) for _ in range(BATCH)]
        outcome = house.pipeline.process(batch)
        assert len(outcome.acknowledge) == BATCH
    house.restart()
    assert house.count(f"quarantined.{INTERNAL}") == 0, [
        row for row in house.log.quarantine(10_000) if row.code == INTERNAL
    ]
    assert house.books_balance()
    assert house.count("accepted") == len(house.readings()) == len(set(house.readings())) > 0
    assert house.count("quarantined") > MESSAGES / 4
    kinds = load_kinds()
    for device in ("lamp-1", "lamp-2", "valve-1"):
        for row in house.pipeline.ledger(device):
            assert house.kept(device, row.stream)["upto"] >= 0
        assert house.devices[device].kind in kinds
