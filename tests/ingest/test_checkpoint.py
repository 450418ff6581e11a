"""The ledger's rows may be older than the ledger: what they lack is told by the log, after any crash."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.ports import LedgerRow
from ingest.pipeline import LEDGER
from tests.ingest.house import STREAM, IngestHouse, telemetry


def test_seqs_that_follow_one_another_are_known_after_a_crash_though_no_row_was_written(house: IngestHouse) -> None:
    house.hear(telemetry(1))
    for seq in range(2, 6):
        house.hear(telemetry(seq))
    assert [row.have for row in house.log.ledger()] == [((1, 1),)]
    assert house.stream().have == ((1, 5),)
    house.restart()
    assert house.stream().have == ((1, 5),)
    house.hear(telemetry(5))
    assert (house.count("accepted"), house.count("duplicate")) == (5, 1)


def test_a_quarantined_seq_is_written_at_once_for_the_log_has_no_reading_of_it(house: IngestHouse) -> None:
    house.hear(telemetry(1))
    house.hear(telemetry(2))
    house.hear(telemetry(3, values={"level": 7}))
    house.restart()
    assert house.stream().have == ((1, 3),)
    assert house.kept() == {"stream": STREAM, "upto": 3}


def test_a_device_with_thousands_of_streams_costs_others_nothing(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown stream is looked for by its key: reading all of the device's rows would cost more with each."""
    for number in range(100):
        house.hear(telemetry(1, stream=f"{number:08x}"))
    asked: list[tuple[object, ...]] = []
    ledger = house.log.ledger

    def asking(*key: str) -> Iterable[LedgerRow]:
        asked.append(key)
        return ledger(*key)

    monkeypatch.setattr(house.log, "ledger", asking)
    house.hear(telemetry(1, stream="ffffffff"), telemetry(2, stream="00000000"))
    assert asked == [("lamp-1", "ffffffff"), ("lamp-1", "00000000")]
    assert house.stream(stream="00000000").have == ((1, 2),)


def test_a_checkpoint_writes_what_waited_and_lets_the_log_go(house: IngestHouse) -> None:
    house.hear(telemetry(1))
    house.hear(telemetry(2))
    assert house.log.consumers().get(LEDGER, 0) == 0
    house.pipeline.checkpoint()
    assert [row.have for row in house.log.ledger()] == [((1, 2),)]
    assert house.log.consumers()[LEDGER] == house.log.last()


def test_until_the_first_checkpoint_nothing_of_the_log_is_cut(house: IngestHouse) -> None:
    for seq in range(1, 4):
        house.hear(telemetry(seq))
    house.log.consumed("store", house.log.last())
    assert house.log.cut(house.clock.now_ms() + 100 * 86_400_000) == 0
    house.pipeline.checkpoint()
    assert house.log.cut(house.clock.now_ms() + 100 * 86_400_000) == 2
    house.restart()
    assert house.stream().have == ((1, 3),)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.one_of(st.integers(1, 12), st.sampled_from(["crash", "checkpoint", "bad"])), max_size=40))
def test_with_crashes_and_checkpoints_anywhere_the_ledger_is_the_set_of_what_came(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    house = IngestHouse(Path(tmp_path_factory.mktemp("house")))
    came: set[int] = set()
    newest = 0
    for step in steps:
        if step == "crash":
            house.restart()
        elif step == "checkpoint":
            house.pipeline.checkpoint()
        elif step == "bad":
            newest += 1
            came.add(newest)
            house.hear(telemetry(newest, oldest=1, values={"level": 7}))
        else:
            assert isinstance(step, int)
            seq = newest + 1 if step > 4 else max(1, newest - step)
            newest = max(newest, seq)
            came.add(seq)
            house.hear(telemetry(seq, oldest=1, values={"level": 0.5}))
        if came:
            row = house.stream()
            assert {seq for first, last in row.have for seq in range(first, last + 1)} == came
            assert house.pipeline.missing_total() == max(came) - len(came)
    house.log.close()
