"""Every benchmark that has no test of its own runs small, on the real platform: it ends, and says what it measured."""

import re
from pathlib import Path

import pytest

from bench import bytes_on_disk, catching_up, growth, ingest_micro, latency, starting, store_micro, throughput
from contract.kind_file import load_kinds

pytestmark = pytest.mark.slow


def figure(line: str, pattern: str) -> float:
    """The number that stands in a line where the pattern has its group."""
    found = re.search(pattern, line)
    assert found is not None, line
    return float(found[1].replace(",", ""))


def test_the_pipeline_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest_micro, "MESSAGES", 3_000)
    lines = ingest_micro.measure(tmp_path)
    assert [figure(line, r"([\d.]+) µs CPU per message") > 0 for line in lines] == [True] * 4


def test_a_fleet_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "MESSAGES", 2_000)
    assert growth.measure_one(5_000, tmp_path)["cpu_us"] > 0


def test_from_broker_to_store(tmp_path: Path) -> None:
    rate, cpu = throughput._run(tmp_path, "1 reading", 400, 1)
    assert figure(rate, r"([\d,]+) messages/s") > 0
    assert figure(cpu, r"([\d.]+) µs CPU per message in the platform") > 0


def test_how_long_a_reading_takes_under_a_steady_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("DEVICES", 20), ("RATE", 100), ("SECONDS", 2)):
        monkeypatch.setattr(latency, name, value)
    queryable, kept = latency.measure(tmp_path)
    assert figure(queryable, r"at ([\d,]+) messages/s") > 50
    assert figure(kept, r"p99 (\d+) ms") > 0


def test_lines_for_influxdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("BATCH", 320), ("BATCHES", 2), ("ROUNDS", 1)):
        monkeypatch.setattr(store_micro, name, value)
    lines = store_micro.measure(tmp_path)
    assert figure(lines[0], r"([\d.]+) µs CPU a reading") > 0


def test_bytes_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bytes_on_disk, "DAYS", 2)
    line = bytes_on_disk._duckdb(tmp_path, load_kinds())
    assert figure(line, r"([\d.]+) bytes a raw reading") > 0


def test_a_store_that_was_away_catches_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "AFTER_S", 1.0)
    caught_up, _, afterwards = catching_up.measure(tmp_path, "duckdb", 20_000, 100)
    assert figure(caught_up, r"([\d,]+) readings of") == 20_000
    assert figure(afterwards, r"kept p50 ([\d.]+) s") > 0


def test_a_start_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", "")  # the bench sets it: as it was afterwards
    monkeypatch.setattr(starting, "STEADY_S", 1.0)
    monkeypatch.setattr(starting, "MEASURED", 1)
    (line,) = starting.measure(tmp_path, 0.001, 50, store_behind=False)
    assert figure(line, r"kept after ([\d.]+) s") > 0
