"""The machine's clock is set by an hour or a day while readings come: none is lost, the log's time never goes back."""

import json
from pathlib import Path

import pytest

from tests.ingest.house import IngestHouse, telemetry

HOUR_MS = 3_600_000


@pytest.mark.parametrize("by_ms", [HOUR_MS, 24 * HOUR_MS, -HOUR_MS, -24 * HOUR_MS])
@pytest.mark.parametrize("restarts", [False, True])
def test_each_reading_has_an_ending_when_the_clock_jumps_and_the_logs_time_never_goes_back(
    tmp_path: Path, by_ms: int, restarts: bool
) -> None:
    house = IngestHouse(tmp_path)
    house.hear(telemetry(1, 2, at=house.clock.ms - 2000))
    right_ms = house.clock.ms
    house.clock.advance(by_ms)
    if restarts:
        house.restart()
    house.hear(telemetry(3, 4, at=right_ms))
    house.hear(telemetry(3, 4, at=right_ms), telemetry(5, at=house.clock.ms))
    house.clock.advance(-by_ms)
    if restarts:
        house.restart()
    house.hear(telemetry(6, at=house.clock.ms))
    house.hear(telemetry(1, 2, at=right_ms - 2000))
    times = [entry.at_ms for entry in house.log.read(0, 1000)]
    assert times == sorted(times)
    assert house.books_balance()
    names = house.readings()
    aside = [json.loads(row.payload)["readings"] for row in house.log.quarantine(1000)]
    turned_away = {reading["seq"] for readings in aside for reading in readings}
    assert len(names) == len(set(names)), "none is in the log twice"
    assert {seq for _, _, seq in names} | turned_away == {1, 2, 3, 4, 5, 6}, "none is lost: kept, or in the quarantine"
    assert {1, 2, 6} <= {seq for _, _, seq in names}, "what is dated right by a right clock is kept"
    house.log.close()
