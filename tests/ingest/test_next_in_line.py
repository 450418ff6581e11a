"""The short way ends as the long one does: the same life twice, once with a key nobody knows in each message."""

import random
from pathlib import Path
from typing import Any

import pytest

from contract.records import Telemetry
from tests.ingest.house import STREAM, IngestHouse, birth

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
STEPS = 60
LAGS_MS = [500] * 12 + [3 * MINUTE] * 6 + [2 * HOUR, -HOUR]  # a second resend, backlog, a clock that is ahead


def a_message(chance: random.Random, at_ms: int, boot: int, first: int) -> dict[str, Any]:
    """One to three readings in a row, of the boot the device runs in or of the one before."""
    is_dated = chance.random() < 0.85
    seqs = range(first, first + chance.randint(1, 3))
    readings = [
        {
            "seq": seq,
            "v": {"energy_wh": seq},
            **({"at": at_ms + 100 * (seq - first)} if is_dated else {"up": seq * SECOND}),
        }
        for seq in seqs
    ]
    return {
        "stream": STREAM,
        "boot": boot - (chance.random() < 0.25),
        "clock": "synced" if is_dated else "none",
        "oldest": chance.choice([1] * 9 + [first]),
        "readings": readings,
    }


def told(house: IngestHouse) -> tuple[Any, ...]:
    """The readings as they were kept, and all that stands in the ledger."""
    readings = [
        (record.boot, reading)
        for record in house.records()
        if isinstance(record, Telemetry)
        for reading in record.readings
    ]
    return readings, house.stream(), house.kept(), house.pipeline.clocks(), house.codes()


@pytest.mark.parametrize("seed", range(12))
def test_what_the_short_way_takes_ends_as_on_the_long_one(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    lags_ms = LAGS_MS if seed % 2 else [lag_ms for lag_ms in LAGS_MS if lag_ms > 0]  # a wrong clock ends the short way
    houses = []
    for name in ("short", "long"):
        (tmp_path / name).mkdir()
        houses.append(IngestHouse(tmp_path / name))
    short, long = houses
    boot = seq = 1
    for _ in range(STEPS):
        step_ms = chance.choice([SECOND, MINUTE, 15 * MINUTE])
        for house in houses:
            house.clock.advance(step_ms)
        if chance.random() < 0.1:
            boot += 1
            for house in houses:
                house.hear(birth(1, boot=boot), channel="status")
        seq += chance.random() < 0.05  # a gap
        sent = a_message(chance, short.clock.ms - chance.choice(lags_ms), boot, seq)
        seq = sent["readings"][-1]["seq"] + 1
        short.hear(sent)
        long.hear(sent | {"colour": 1})
    assert told(short) == told(long), f"seed {seed}"
    for house in houses:
        house.log.close()
