"""Metrics that a kind does not have are counted by device and name, within bounds."""

import pytest

from adapters.log.sqlite_log import SqliteLog
from ingest.unknown import DEVICES_MAX, LENGTH_MAX, NAMES_MAX, UnknownMetrics
from tests.ingest.house import IngestHouse, telemetry


def test_unknown_metrics_are_counted_by_name(house: IngestHouse) -> None:
    house.hear(telemetry(1, 2, values={"level": 1, "hum": 0.5}), telemetry(3, values={"Power": None, "hum": "?"}))
    assert house.pipeline.unknown_metrics("lamp-1") == {"hum": 3, "Power": 1}
    assert house.pipeline.unknown_metrics("lamp-2") == {}
    assert house.count("unknown_metrics") == 4
    assert house.count("accepted") == 3


def test_a_batch_that_could_not_be_kept_has_told_none(house: IngestHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> int:
        raise OSError(28, "no space")

    with monkeypatch.context() as full:
        full.setattr(SqliteLog, "append", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="no space"):
                house.hear(telemetry(1, values={"hum": 0.5}))
    assert house.pipeline.unknown_metrics("lamp-1") == {}
    house.hear(telemetry(1, values={"hum": 0.5}))
    assert house.pipeline.unknown_metrics("lamp-1") == {"hum": 1}


def test_what_is_remembered_of_them_is_bounded() -> None:
    unknown = UnknownMetrics()
    unknown.note("a", [f"m{n}" for n in range(NAMES_MAX + 5)] + ["m0", "\ud800" * 100])
    assert len(unknown.of("a")) == NAMES_MAX
    assert unknown.of("a")["m0"] == 2
    unknown.note("b", ["x" * 100, "\ud800"])
    assert list(unknown.of("b")) == ["x" * LENGTH_MAX, "\\ud800"]
    for n in range(DEVICES_MAX):
        unknown.note(f"d{n}", ["m"])
    assert unknown.of("a") == unknown.of("b") == {}
    assert unknown.of("d0") == {"m": 1}
