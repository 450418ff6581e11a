"""A batch meets a log that cannot be written or read, or a fault of ours: what is kept, and what comes again."""

import sqlite3
from typing import Any

import pytest

from adapters.log.sqlite_log import SqliteLog
from contract.ports import LogFull
from ingest.credible import Credible
from tests.ingest.house import (
    STREAM,
    IngestHouse,
    birth,
    device,
    message,
    telemetry,
)


def snapshot(house: IngestHouse) -> Any:
    return house.log.last(), dict(house.log.counts()), list(house.log.ledger()), len(house.log.quarantine(100))


@pytest.mark.parametrize("error", [LogFull("full"), OSError(28, "no space")], ids=["log full", "disk full"])
def test_a_batch_that_cannot_be_appended_leaves_no_trace_and_succeeds_later(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    house.hear(birth(1), device="stranger", channel="status")
    house.devices["stranger"] = device("stranger")
    house.pipeline.registered("stranger")
    house.hear(telemetry(1))
    batch = [message(telemetry(2)), message(b"{"), message(birth(9), channel="status"), message(telemetry(3, oldest=9))]
    before = snapshot(house), house.kept(), house.pipeline.missing_total()

    def refuse(*args: object, **more: object) -> int:
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(SqliteLog, "append", refuse)
        for _ in range(3):
            with pytest.raises(type(error)):
                house.pipeline.process(batch)
    assert (snapshot(house), house.kept(), house.pipeline.missing_total()) == before
    outcome = house.pipeline.process(batch)
    assert len(outcome.acknowledge) == 4
    assert [seq for _, _, seq in house.readings()] == [1, 2, 3]
    assert house.count("quarantined") == 1
    assert house.births() == ["stranger", "lamp-1"]


def test_a_welcome_that_could_not_be_appended_is_not_forgotten(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hear(birth(1), device="stranger", channel="status")
    house.devices["stranger"] = device("stranger")
    house.pipeline.registered("stranger")

    def refuse(*args: object, **more: object) -> int:
        raise LogFull("full")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteLog, "append", refuse)
        with pytest.raises(LogFull):
            house.pipeline.process([])
    house.pipeline.process([])
    assert house.births() == ["stranger"]


def test_a_log_that_cannot_be_read_keeps_the_batch_for_later_and_quarantines_nothing(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.hear(telemetry(1))
    house.hear(birth(1), device="stranger", channel="status")
    house.devices["stranger"] = device("stranger")
    house.pipeline.registered("stranger")

    def broken_disk(*args: object) -> None:
        raise OSError(5, "input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteLog, "reading", broken_disk)
        with pytest.raises(OSError, match="input/output"):
            house.hear(telemetry(1), telemetry(2))
    assert house.codes() == []
    house.hear(telemetry(1), telemetry(2))
    assert house.births() == ["stranger"]
    assert (house.count("accepted"), house.count("duplicate")) == (2, 1)


def test_a_fault_of_ours_costs_one_message_and_its_bytes_are_kept(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr("ingest.small_channels.read_result", fails)
    house.pipeline.process([message({"id": "c"}, channel="result"), message(telemetry(1))])
    assert house.codes() == ["internal_error"]
    assert house.readings() == [("lamp-1", STREAM, 1)]
    assert house.books_balance()


def test_a_reading_that_cannot_be_marked_for_a_fault_of_ours_is_kept_as_its_devices_own(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the short way and on the long one."""

    def fail(*_: object) -> None:
        raise ValueError("a mistake of ours")

    house.hear(telemetry(1), device="lamp-1")
    with monkeypatch.context() as patch:
        patch.setattr(Credible, "mark", fail)
        for _ in range(2):
            house.pipeline.process([message(telemetry(2), "lamp-1"), message(telemetry(7, oldest=1), "lamp-2")])
            house.hear(telemetry(8, oldest=1), device="lamp-3")
    assert house.readings() == [
        ("lamp-1", STREAM, 1), ("lamp-1", STREAM, 2), ("lamp-2", STREAM, 7), ("lamp-3", STREAM, 8)
    ]  # fmt: skip
    assert (house.count("duplicate"), house.codes()) == (3, [])
    assert house.books_balance()


def test_a_damaged_chunk_of_the_log_costs_marks_and_nothing_that_comes(house: IngestHouse) -> None:
    sent = telemetry(1, values={"temperature_c": 20.0})
    house.hear(sent)
    house.pipeline.checkpoint()
    house.log.close()
    with sqlite3.connect(house.path) as file:
        file.execute("UPDATE chunks SET bodies = substr(bodies, 1, 12)")
    file.close()
    house.open()
    house.hear(sent, telemetry(2, values={"temperature_c": 20.0}))
    assert house.kept()["upto"] == 2
    assert (house.count("accepted"), house.count("duplicate")) == (2, 1)
    assert [entry.position for entry in house.log.read(1, 10)] == [2]
    assert "the log is damaged: the chunk that ends at position 1 " in house.log.damage
