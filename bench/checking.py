"""Before anything is timed: does a side write the right points, all of them, and no others?"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.city import FastPublisher
from bench.load import KIND, PROBE, Load, made, names
from bench.measuring import new_bucket, wait_until_ready
from bench.servers import Servers
from bench.sides import Side, turn
from stand.program import wait_for

METRICS = ("power_w", "level", "voltage_v", "energy_wh")
LOAD = Load(messages=120, readings=3, devices=7)
WITHIN_S = 60.0

Point = tuple[object, ...]  # device, measured_at in ms, seq, and the metrics in their order


def check(side: Side, servers: Servers, folder: Path, load: Load = LOAD) -> int:
    """How many points were compared. Raises SystemExit with the first that is missing, wrong or too many."""
    mosquitto, influx = servers
    bucket = new_bucket(servers)
    work = list(made(load, int(time.time() * 1000)))
    with turn(side, folder / f"check-{bucket}", bucket, [PROBE, *names(load.devices)], mosquitto):
        wait_until_ready(servers, bucket)
        publisher = FastPublisher(mosquitto.port, "bench-checker")
        publisher.send(work)
        publisher.close()
        wait_for(
            lambda: influx.count(bucket, KIND) > load.total, f"{side.name} brings all of {load.total} points", WITHIN_S
        )
    found, sent = _stored(servers, bucket), _sent(work)
    if difference := compare(found, sent):
        raise SystemExit(f"{side.name} writes other points than were sent: {difference}")
    return len(found)


def compare(found: Sequence[Point], sent: Sequence[Point]) -> str:
    """What is missing and what is too much, in any order; empty when both are the same points."""
    missing = list((Counter(sent) - Counter(found)).elements())
    surplus = list((Counter(found) - Counter(sent)).elements())
    if not missing and not surplus:
        return ""
    return f"{len(missing)} missing, first {missing[:1]}; {len(surplus)} not sent, first {surplus[:1]}"


def _sent(work: list[tuple[str, bytes]]) -> list[Point]:
    return [
        (device, reading["at"], float(reading["seq"]), *(float(reading["v"][metric]) for metric in METRICS))
        for device, payload in work
        for reading in json.loads(payload)["readings"]
    ]


def _stored(servers: Servers, bucket: str) -> list[Point]:
    fields = ", ".join(f'"{name}"' for name in ("device", "seq", *METRICS))
    rows = servers[1].ask(f'SELECT {fields} FROM "{KIND}"', bucket)
    return [
        (row["device"], row["time"] // 1_000_000, *(float(row[name]) for name in ("seq", *METRICS)))
        for row in rows
        if row["device"] != PROBE
    ]
