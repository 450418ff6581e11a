"""A device that says too much waits its turn: nothing of it is lost, nobody else notices, and it is told by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.over_limit import MESSAGES, READINGS, STREAMS
from contract.ports import LogFull
from ingest.limits import TOLD_MAX, WINDOWS_MAX, Gate, Limits
from ingest.pipeline import Pipeline
from tests.ingest.house import KINDS, NOW_MS, IngestHouse, birth, message, telemetry, without_clock

PERIOD_MS = 900_000  # of a street light
LIMITS = Limits(readings_per_period=20, messages_per_minute=30, streams_per_day=5)


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[IngestHouse]:
    house = IngestHouse(tmp_path)
    house.pipeline = Pipeline(KINDS, house.devices.get, house.log, house.clock, limits=LIMITS)
    yield house
    house.log.close()


def chatter(house: IngestHouse, first: int, readings: int) -> int:
    """One reading a second, told as it is measured; how many were kept."""
    before = len(house.readings())
    for seq in range(first, first + readings):
        house.clock.advance(1000)
        house.hear(telemetry(seq, at=house.clock.ms, oldest=1))
    return len(house.readings()) - before


def told(house: IngestHouse) -> list[tuple[str, str]]:
    return [(one.device, one.what) for one in house.pipeline.gate.told(house.clock.ms)]


def test_a_backlog_of_months_is_no_chatter(limited: IngestHouse) -> None:
    """10,000 readings at once, each measured in its own time: all are kept."""
    for first in range(1, 10_001, 64):
        limited.clock.advance(2_500)  # a device sends a few messages a second
        seqs = range(first, min(first + 64, 10_001))
        document = telemetry(*seqs)
        for reading in document["readings"]:
            reading["at"] = NOW_MS - (10_001 - reading["seq"]) * PERIOD_MS
        limited.hear(document)
    assert len(limited.readings()) == 10_000
    assert told(limited) == []


def test_a_backlog_of_a_device_without_a_clock_is_none_either(limited: IngestHouse) -> None:
    for first in range(1, 1_001, 20):
        limited.clock.advance(2_500)
        limited.hear(without_clock([(seq, seq * PERIOD_MS) for seq in range(first, first + 20)]))
    assert len(limited.readings()) == 1_000
    assert told(limited) == []
    limited.clock.advance(60_000)
    for first in range(1_001, 1_101, 10):
        limited.hear(without_clock([(seq, 1_001 * PERIOD_MS) for seq in range(first, first + 10)]))
    assert told(limited) == [("lamp-1", READINGS)]


def test_what_is_over_the_limit_is_acknowledged_not_kept_and_not_answered(limited: IngestHouse) -> None:
    assert chatter(limited, 1, 20) == 20
    outcome = limited.hear(telemetry(21, at=limited.clock.ms, oldest=1))
    assert (len(outcome.acknowledge), outcome.kept) == (1, [])  # silence: the device holds, and nothing is refused
    assert limited.kept()["upto"] == 20
    assert limited.count("over_limit_readings") == 1
    assert limited.books_balance()


def test_what_a_device_measured_too_fast_comes_in_when_it_has_calmed_down(limited: IngestHouse) -> None:
    began_ms = limited.clock.ms
    chatter(limited, 1, 100)
    held = list(range(21, 101))
    while held:  # it sends again what is not kept, an hour later and later again
        limited.clock.advance(3_600_000)
        limited.hear(*(telemetry(seq, at=began_ms + seq * 1000, oldest=held[0]) for seq in held[:30]))
        kept = limited.kept()["upto"]
        assert kept >= held[0], "at least something at each try"
        held = [seq for seq in held if seq > kept]
    assert [seq for _, _, seq in limited.readings()] == list(range(1, 101))
    assert limited.stream().gone == ()


def test_the_others_do_not_notice(limited: IngestHouse) -> None:
    chatter(limited, 1, 60)
    outcome = limited.pipeline.process([message(telemetry(61, at=limited.clock.ms)), message(telemetry(1), "lamp-2")])
    assert [device for device, _, _ in outcome.kept] == ["lamp-2"]
    assert {device for device, _ in told(limited)} == {"lamp-1"}


def test_it_is_told_how_fast_it_is_against_which_limit_until_it_has_calmed_down(limited: IngestHouse) -> None:
    chatter(limited, 1, 25)
    [over] = limited.pipeline.gate.told(limited.clock.ms)
    assert (over.device, over.what, over.count, over.limit, over.window_ms) == ("lamp-1", READINGS, 25, 20, PERIOD_MS)
    assert (over.left, over.last_ms - over.since_ms) == (5, 4_000)
    limited.clock.advance(3 * PERIOD_MS)
    assert told(limited) == []


def test_a_device_that_repeats_itself_is_not_read_beyond_its_messages(limited: IngestHouse) -> None:
    for _ in range(50):
        limited.hear(telemetry(1))
    assert limited.count("over_limit_messages") == 20
    assert (told(limited)[0], limited.readings()) == (("lamp-1", MESSAGES), [("lamp-1", "9f3c01aa", 1)])
    limited.clock.advance(60_000)
    limited.clock.advance(PERIOD_MS)
    assert limited.hear(telemetry(2, at=limited.clock.ms)).kept == [("lamp-1", "9f3c01aa", False)]


def test_a_device_that_begins_a_stream_at_every_boot_has_so_many_a_day(limited: IngestHouse) -> None:
    for boot in range(8):
        limited.clock.advance(10_000)
        stream = f"{boot:08x}"
        limited.hear(birth(1, boot, stream), channel="status")
        limited.hear(telemetry(1, at=limited.clock.ms, stream=stream, boot=boot))
    assert {stream for _, stream, _ in limited.readings()} == {f"{boot:08x}" for boot in range(5)}
    assert told(limited) == [("lamp-1", STREAMS)]
    limited.hear(telemetry(2, at=limited.clock.ms, stream="00000004", boot=4))  # one that is known goes on
    assert limited.kept(stream="00000004")["upto"] == 2
    limited.clock.advance(86_400_000)
    assert limited.hear(telemetry(1, at=limited.clock.ms, stream="000000aa")).kept == [("lamp-1", "000000aa", False)]


@pytest.mark.parametrize("what", ["nothing", "a bad reading", "a message that names its readings and is no good"])
def test_streams_in_which_nothing_reads_count_as_well(limited: IngestHouse, what: str) -> None:
    for number in range(20):
        limited.clock.advance(10_000)
        document = telemetry(*([] if what == "nothing" else [1]), values={"power_w": "much"}, stream=f"{number:08x}")
        if what.startswith("a message"):
            document["clock"] = "sundial"
        limited.hear(document)
    assert len(limited.pipeline.ledger("lamp-1")) == 5
    assert (limited.count("over_limit_streams"), told(limited)) == (15, [("lamp-1", STREAMS)])


def test_a_clock_that_is_set_back_does_not_tell_a_device_for_years(limited: IngestHouse) -> None:
    limited.clock.advance(10 * 365 * 86_400_000)
    chatter(limited, 1, 25)
    assert told(limited) == [("lamp-1", READINGS)]
    limited.clock.advance(-10 * 365 * 86_400_000)
    assert told(limited) == []


def test_trying_a_batch_again_while_the_log_is_full_makes_nobody_a_chatterer(
    limited: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [message(telemetry(seq, at=NOW_MS, oldest=1)) for seq in range(1, 16)]

    def full(*_: object, **__: object) -> int:
        raise LogFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(limited.log, "append", full)
        for _ in range(10):
            with pytest.raises(LogFull):
                limited.pipeline.process(batch)
    limited.pipeline.process(batch)
    assert (len(limited.readings()), told(limited)) == (15, [])


def test_what_a_device_is_told_of_counts_no_message_twice_while_the_log_is_full(
    limited: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [message(telemetry(seq, at=NOW_MS, oldest=1)) for seq in range(1, 26)]

    def full(*_: object, **__: object) -> int:
        raise LogFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr(limited.log, "append", full)
        for _ in range(10):
            with pytest.raises(LogFull):
                limited.pipeline.process(batch)
            assert told(limited) == []
    limited.pipeline.process(batch)
    assert [one.left for one in limited.pipeline.gate.told(NOW_MS)] == [5]


def test_without_limits_everything_is_let_in(house: IngestHouse) -> None:
    assert chatter(house, 1, 200) == 200


def test_memory_is_bounded_however_many_chatter_and_wherever_they_date() -> None:
    gate = Gate(Limits(readings_per_period=1))
    gate.begin(NOW_MS, 0.0)
    for number in range(TOLD_MAX + 50):
        for age in range(10):
            gate.takes_readings(f"lamp-{number}", PERIOD_MS, NOW_MS - age * PERIOD_MS, 2)
            gate.takes_readings(f"lamp-{number}", PERIOD_MS, NOW_MS - age * PERIOD_MS, 2)
    assert len(gate.told(NOW_MS)) == TOLD_MAX
    assert gate.untold > 0
    assert max(len(counts) for counts in gate._windows.values()) == WINDOWS_MAX


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 64)), max_size=60), st.integers(1, 100))
def test_undo_leaves_every_count_as_it_was(told_of: list[tuple[int, int]], limit: int) -> None:
    gate = Gate(Limits(readings_per_period=limit))
    gate.begin(NOW_MS, 0.0)
    gate.takes_readings("lamp-1", PERIOD_MS, NOW_MS, 1)
    gate.begin(NOW_MS, 0.0)
    before = dict(gate._windows["lamp-1"])
    for age, readings in told_of:
        gate.takes_readings("lamp-1", PERIOD_MS, NOW_MS - age * PERIOD_MS, readings)
    gate.undo()
    assert gate._windows["lamp-1"] == before
    assert (gate.told(NOW_MS), gate._undo) == ([], [])


def test_forgetting_windows_costs_a_batch_of_backlog_no_more_than_counting_them() -> None:
    gate = Gate(Limits(readings_per_period=1000))
    gate.begin(NOW_MS, 0.0)
    for age in range(2_000):
        gate.takes_readings("lamp-1", PERIOD_MS, NOW_MS - age * PERIOD_MS, 1)
    assert len(gate._undo) <= 2 * 2_000 + 1, "noted once each, and never searched"
