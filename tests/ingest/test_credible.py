"""What a metric cannot have done is marked, stored and not what the next value is compared with."""

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.kind import Value
from contract.kind_file import load_kinds, read_kind
from contract.records import Quality, Reading, Telemetry
from ingest.credible import CREDIBLE_MAX, Credible
from tests.ingest.house import NOW_MS, STREAM, IngestHouse, device, telemetry

KIND = """
kind: thermometer
version: 1
labels: {ar: a, fr: b, en: c}
icon: thermostat
smart_data_model: Device
period: 1m
metrics:
  temperature_c: {type: number, unit: degC, unit_code: CEL, min: -50, max: 90, resolution: 0.5, rate_max_per_s: 0.1,
                  stuck_after: 1h, labels: {ar: a, fr: b, en: c}}
  rain_um: {type: counter, unit: um, unit_code: 4H, rate_max_per_s: 100, labels: {ar: a, fr: b, en: c}}
  door: {type: boolean, labels: {ar: a, fr: b, en: c}}
  by: {type: enum, values: [hand, wind], stuck_after: 1h, labels: {ar: a, fr: b, en: c}}
"""
MINUTE = 60_000
RATE, STUCK, LATE = int(Quality.RATE), int(Quality.STUCK), int(Quality.LATE)


class WeatherHouse(IngestHouse):
    """With one thermometer more."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.kinds = {**load_kinds(), "thermometer": read_kind("thermometer.yaml", KIND)}
        self.devices["t-1"] = device("t-1", "thermometer")
        self.seq = 0
        self.restart()

    def measure(self, minutes: float, *, at_ms: int | None = None, **values: float | str) -> int:
        """What is said against a reading measured so long after the one before."""
        self.clock.advance(round(minutes * MINUTE))
        self.seq += 1
        self.hear(telemetry(self.seq, at=self.clock.ms if at_ms is None else at_ms, values=values), device="t-1")
        return self.qualities()[-1]

    def qualities(self) -> list[int]:
        return [
            reading.quality for record in self.records() if isinstance(record, Telemetry) for reading in record.readings
        ]


@pytest.fixture
def thermometer(tmp_path: Path) -> WeatherHouse:
    return WeatherHouse(tmp_path)


def test_a_change_faster_than_the_kind_believes_is_marked_and_stored(thermometer: WeatherHouse) -> None:
    assert thermometer.measure(1, temperature_c=20.0) == 0
    assert thermometer.measure(1, temperature_c=26.5) == 0, "6 in a minute, and what the sensor resolves"
    assert thermometer.measure(1, temperature_c=33.1) == RATE
    assert thermometer.count("accepted") == 3


def test_a_spike_does_not_taint_what_comes_after_it_and_a_step_is_credible_in_the_end(
    thermometer: WeatherHouse,
) -> None:
    marks = [thermometer.measure(1, temperature_c=value) for value in (20.0, 80.0, 20.0, 80.0)]
    assert marks == [0, RATE, 0, RATE]
    assert [thermometer.measure(5, temperature_c=80.0) for _ in range(2)] == [RATE, 0]


def test_a_counter_that_falls_was_replaced_and_one_that_leaps_did_not(thermometer: WeatherHouse) -> None:
    assert [thermometer.measure(1, rain_um=value) for value in (9000, 0, 6000, 12_001)] == [0, 0, 0, RATE]


def test_a_value_that_stands_still_too_long_is_marked_until_it_moves(thermometer: WeatherHouse) -> None:
    marks = [thermometer.measure(20, temperature_c=20.0) for _ in range(5)]
    assert marks == [0, 0, 0, STUCK, STUCK]
    assert thermometer.measure(20, temperature_c=20.5) == 0
    assert [thermometer.measure(59, by=word) for word in ("hand", "wind", "wind", "wind")] == [0, 0, 0, STUCK]


def test_a_metric_that_may_stand_still_and_an_unknown_one_are_never_marked(thermometer: WeatherHouse) -> None:
    assert [thermometer.measure(600, door=True, gusts=1.0) for _ in range(3)] == [0, 0, 0]
    assert thermometer.count("unknown_metrics") == 3


def test_a_reading_older_than_the_newest_is_not_judged(thermometer: WeatherHouse) -> None:
    thermometer.measure(1, temperature_c=20.0)
    early_ms = thermometer.clock.ms - MINUTE
    assert thermometer.measure(1, at_ms=early_ms, temperature_c=80.0) & RATE == 0
    assert thermometer.measure(1, temperature_c=20.0) == 0


@pytest.mark.parametrize("restarts", [False, True])
def test_marks_are_the_same_whether_or_not_the_platform_was_started_in_between(
    thermometer: WeatherHouse, restarts: bool
) -> None:
    marks = []
    for value in (20.0, 80.0, 20.0, 20.0, 20.0, 20.0, 20.0, 20.0, 70.0, 20.0):
        if restarts:
            thermometer.restart()
        marks.append(thermometer.measure(12, temperature_c=value))
    assert marks == [0, 0, 0, 0, 0, 0, 0, STUCK, 0, 0]
    thermometer.measure(1, temperature_c=80.0)
    if restarts:
        thermometer.restart()
    assert thermometer.measure(1, temperature_c=21.0) == 0
    assert thermometer.qualities()[-2:] == [RATE, 0]


RATED = KIND.replace("stuck_after: 1h, ", "")  # temperature_c and rain_um have a rate, nothing must move


def test_it_looks_back_only_until_each_metric_was_credible_and_no_further_for_one_that_never_comes() -> None:
    looked: list[int] = []
    kept = {seq: Reading(seq, NOW_MS + seq * MINUTE, {"temperature_c": 20.0}) for seq in range(1, 300)}

    def find(_device: str, _stream: str, seq: int) -> Reading:
        looked.append(seq)
        return kept[seq]

    credible = Credible(read_kind("thermometer.yaml", RATED), find)
    leap = [Reading(300, NOW_MS + 300 * MINUTE, {"temperature_c": 80.0, "rain_um": 9.0})]
    assert credible.mark("t-1", STREAM, leap)[0].quality == RATE
    assert len(looked) == CREDIBLE_MAX
    kept[297] = msgspec.structs.replace(kept[297], values={"rain_um": 9.0})
    kept[298] = msgspec.structs.replace(kept[298], values={"temperature_c": 80.0}, quality=RATE)
    kept[299] = msgspec.structs.replace(kept[299], values={"door": 1.0})
    looked.clear()
    credible.forget()
    assert credible.mark("t-1", STREAM, leap)[0].quality == RATE, "against 296: what is marked is compared with nothing"
    assert looked == [299, 298, 297, 296]


def test_readings_of_one_message_are_judged_one_after_the_other(thermometer: WeatherHouse) -> None:
    sent = telemetry(1, 2, 3, at=NOW_MS - 5000)
    for reading, value in zip(sent["readings"], (20.0, 40.0, 20.0), strict=True):
        reading["v"] = {"temperature_c": value}
    thermometer.hear(sent, device="t-1")
    assert thermometer.qualities() == [0, RATE, 0]
    thermometer.hear(sent, device="t-1")
    assert (thermometer.count("duplicate"), thermometer.count("quarantined")) == (3, 0)


def test_a_batch_that_is_not_kept_leaves_no_trace_in_what_is_remembered(
    thermometer: WeatherHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    thermometer.measure(1, temperature_c=20.0)

    def refuse(*_: object, **__: object) -> int:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(thermometer.log, "append", refuse)
        with pytest.raises(OSError, match="no space"):
            thermometer.measure(1, temperature_c=25.0)
    thermometer.seq -= 1
    assert thermometer.measure(0, temperature_c=80.0) == RATE


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3_600_000), st.floats(-50, 90), st.booleans()), min_size=1, max_size=40))
def test_what_is_not_marked_never_changed_faster_than_its_kind_believes(steps: list[tuple[int, float, bool]]) -> None:
    """However often it is forgotten and looked up: between two readings without a mark the rate holds."""
    kept: dict[int, Reading] = {}
    credible = Credible(read_kind("thermometer.yaml", KIND), lambda _device, _stream, seq: kept.get(seq))
    at_ms, good = NOW_MS, []
    for seq, (gap_ms, value, forgets) in enumerate(steps, 1):
        at_ms += gap_ms
        if forgets:
            credible.forget()
        values: dict[str, Value] = {"temperature_c": value, "rain_um": 0.0, "by": "hand"}
        [reading] = credible.mark("t-1", STREAM, [Reading(seq, at_ms, values)])
        kept[seq] = reading
        if not reading.quality & RATE:
            good.append((at_ms, value))
    for (before_ms, before), (after_ms, after) in pairwise(good):
        assert abs(after - before) <= 0.5 + 0.0001 * (after_ms - before_ms) + 1e-9
