"""Clocks of devices that are wrong: found out, corrected and marked; what cannot be dated is never guessed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.clocks import PUNCTUAL_MS, Skew
from contract.records import Quality, Reading, Telemetry
from ingest.clocks import STEADY_READINGS, fix_clock
from ingest.decode import ReadingIn
from ingest.deferred import BOOTS_MAX
from ingest.ledger import Stream
from tests.ingest.house import NOW_MS, STREAM, IngestHouse, birth, device, telemetry, without_clock

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 366 * DAY
EPOCH_2000 = 946_684_800_000


def kept(house: IngestHouse, device: str = "lamp-1") -> dict[int, Reading]:
    return {
        reading.seq: reading
        for record in house.records()
        if isinstance(record, Telemetry) and record.device == device
        for reading in record.readings
    }


def live(house: IngestHouse, seq: int, ahead_ms: int, device: str = "lamp-1", **other: Any) -> Reading:
    """A reading measured now by a clock that is ahead by so much, as it is kept."""
    house.hear(telemetry(seq, at=house.clock.now_ms() + ahead_ms, oldest=1, **other), device=device)
    return kept(house, device)[seq]


@pytest.mark.parametrize("ahead_ms", [PUNCTUAL_MS + 1, HOUR, 40 * YEAR])
def test_a_clock_that_is_ahead_is_corrected_at_its_first_reading_and_marked(house: IngestHouse, ahead_ms: int) -> None:
    reading = live(house, 1, ahead_ms)
    assert (reading.measured_at_ms, reading.device_at_ms) == (NOW_MS, NOW_MS + ahead_ms)
    assert reading.quality == Quality.CLOCK_OFF, "in time: rules may use it"
    assert house.stream().skews == (Skew(12, "synced", 1, ahead_ms),)
    assert house.codes() == []


def test_a_clock_that_is_a_little_ahead_is_left_alone(house: IngestHouse) -> None:
    reading = live(house, 1, PUNCTUAL_MS)
    assert (reading.measured_at_ms, reading.device_at_ms, reading.quality) == (NOW_MS + PUNCTUAL_MS, None, 0)
    assert house.stream().skews == ()


def test_backlog_of_a_wrong_clock_is_corrected_by_what_its_live_reading_told_also_after_a_crash(
    house: IngestHouse,
) -> None:
    live(house, 9, HOUR)
    house.restart()
    house.clock.advance(MINUTE)
    house.hear(telemetry(5, 6, at=NOW_MS - 3 * HOUR + HOUR, oldest=1))
    early = kept(house)[5]
    assert (early.measured_at_ms, early.device_at_ms) == (NOW_MS - 3 * HOUR, NOW_MS - 2 * HOUR)
    assert early.quality == Quality.CLOCK_OFF | Quality.LATE


def test_the_estimate_with_the_least_delay_holds(house: IngestHouse) -> None:
    """Backlog came first, and so the clock seemed less ahead than it is."""
    house.hear(telemetry(1, at=NOW_MS - 3 * HOUR + DAY))
    assert kept(house)[1].measured_at_ms == NOW_MS
    assert live(house, 2, DAY).measured_at_ms == NOW_MS
    house.hear(telemetry(3, at=NOW_MS - 2 * HOUR + DAY, oldest=1))
    assert kept(house)[3].measured_at_ms == NOW_MS - 2 * HOUR


@pytest.mark.parametrize("epoch_ms", [0, EPOCH_2000])
def test_a_clock_that_was_never_set_is_dated_by_its_newest_reading(house: IngestHouse, epoch_ms: int) -> None:
    house.hear(telemetry(1, 2, at=epoch_ms + HOUR))
    assert [reading.measured_at_ms for reading in kept(house).values()] == [NOW_MS - 1000, NOW_MS]
    house.clock.advance(15 * MINUTE)
    house.hear(telemetry(3, at=epoch_ms + HOUR + 1000 + 15 * MINUTE, oldest=1))
    reading = kept(house)[3]
    assert (reading.measured_at_ms, reading.quality) == (house.clock.now_ms(), Quality.CLOCK_OFF)
    assert house.codes() == []


def test_a_clock_set_to_the_day_it_was_made_is_known_by_the_birth(house: IngestHouse) -> None:
    """Two years ago: readings of two years ago could be backlog, a birth of two years ago could not."""
    house.hear({**birth(1), "at": NOW_MS - 2 * YEAR}, channel="status")
    house.restart()
    reading = live(house, 1, -2 * YEAR)
    assert (reading.measured_at_ms, reading.device_at_ms) == (NOW_MS, NOW_MS - 2 * YEAR)
    assert reading.quality == Quality.CLOCK_OFF


def test_a_clock_that_is_behind_is_believed_until_it_is_steadily_so_and_moves_nothing_meanwhile(
    house: IngestHouse,
) -> None:
    """An hour off: somebody set local time. One late reading could as well be backlog."""
    for seq in range(1, STEADY_READINGS):
        reading = live(house, seq, -HOUR)
        assert (reading.quality, reading.device_at_ms) == (Quality.LATE, None)
        house.clock.advance(15 * MINUTE + seq * 1000)
    reading = live(house, STEADY_READINGS, -HOUR - 2_000)
    assert reading.quality == Quality.CLOCK_OFF
    assert house.clock.now_ms() - reading.measured_at_ms == 2_000
    house.restart()
    house.clock.advance(15 * MINUTE)
    assert live(house, STEADY_READINGS + 1, -HOUR).measured_at_ms == house.clock.now_ms()


def test_backlog_that_is_worked_off_oldest_first_is_never_taken_for_a_clock_that_is_behind(house: IngestHouse) -> None:
    for seq in range(1, 97):
        house.hear(telemetry(seq, at=NOW_MS - DAY + seq * 15 * MINUTE, oldest=seq))
        house.clock.advance(2_000)
    assert house.stream().skews == ()
    assert all(reading.device_at_ms is None for reading in kept(house).values())


def test_readings_that_come_in_time_end_the_watch_of_a_clock_that_seems_behind(house: IngestHouse) -> None:
    """Each fifth message came three minutes late, at its second resend: never two in a row."""
    for seq in range(1, 5 * STEADY_READINGS + 5):
        assert live(house, seq, -3 * MINUTE if seq % 5 == 0 else -500).device_at_ms is None
        house.clock.advance(15 * MINUTE)
    assert house.stream().skews == ()


def test_a_burst_that_waited_in_the_broker_is_never_taken_for_a_clock_that_is_behind(house: IngestHouse) -> None:
    for seq in range(1, 200):
        house.hear(telemetry(seq, at=NOW_MS - HOUR + seq * 100, oldest=seq))
        house.clock.advance(100)
    assert house.stream().skews == ()


@pytest.mark.parametrize("ahead_ms", [2 * HOUR, 40 * YEAR, -30 * YEAR])
def test_a_clock_that_is_set_right_meanwhile_is_believed_at_once_and_older_backlog_is_still_corrected(
    house: IngestHouse, ahead_ms: int
) -> None:
    live(house, 5, ahead_ms)
    house.clock.advance(MINUTE)
    reading = live(house, 6, 0)
    assert (reading.measured_at_ms, reading.device_at_ms, reading.quality) == (NOW_MS + MINUTE, None, 0)
    house.hear(telemetry(4, at=NOW_MS - HOUR + ahead_ms, oldest=1))
    assert kept(house)[4].measured_at_ms == NOW_MS - HOUR
    assert live(house, 7, 0).device_at_ms is None


def test_another_boot_and_another_state_of_the_clock_are_judged_anew(house: IngestHouse) -> None:
    live(house, 1, HOUR, clock="held")
    assert live(house, 2, 0, clock="synced").device_at_ms is None
    assert live(house, 3, 0, boot=13).device_at_ms is None
    house.hear(telemetry(4, at=NOW_MS - HOUR, clock="synced", oldest=1))
    assert kept(house)[4].measured_at_ms == NOW_MS - HOUR


def test_a_reading_sent_again_is_a_duplicate_whatever_is_thought_of_its_clock_now(house: IngestHouse) -> None:
    first = telemetry(1, at=NOW_MS - 3 * HOUR + DAY)
    house.hear(first)
    live(house, 2, DAY)
    house.hear(first)
    live(house, 3, 0)
    house.restart()
    house.hear(first)
    assert (house.count("duplicate"), house.count("quarantined")) == (2, 0)


def test_the_same_name_at_another_time_of_a_wrong_clock_is_a_conflict(house: IngestHouse) -> None:
    house.hear(telemetry(1, at=NOW_MS + DAY, values={"level": 1}))
    house.hear(telemetry(1, at=NOW_MS + DAY + 1, values={"level": 1}))
    house.hear(without_clock([(2, 5000)]))
    house.hear(without_clock([(2, 5001)]))
    assert house.codes() == ["conflict", "conflict"]


def test_what_a_node_without_clock_said_is_kept_beside_the_time_it_was_given(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 5000)]))
    assert (kept(house)[1].measured_at_ms, kept(house)[1].device_at_ms) == (NOW_MS, 5000)


def test_a_boot_first_heard_by_its_backlog_is_dated_better_by_the_readings_that_follow(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 1000)]))
    house.clock.advance(MINUTE)
    house.hear(without_clock([(9, DAY)]))
    house.hear(without_clock([(2, HOUR)]))
    assert kept(house)[9].measured_at_ms == NOW_MS + MINUTE
    assert kept(house)[2].measured_at_ms == NOW_MS + MINUTE - 23 * HOUR


def test_a_boot_never_heard_live_is_an_interval_between_those_around_it(house: IngestHouse) -> None:
    house.hear(without_clock([(1, MINUTE)], boot=3))
    house.clock.advance(10 * HOUR)
    house.hear(without_clock([(9, HOUR)], boot=5))
    house.hear(without_clock([(4, 10 * MINUTE)], boot=4))
    began_3, began_5 = NOW_MS - MINUTE, NOW_MS + 9 * HOUR
    assert kept(house)[4].measured_at_ms == began_5
    assert kept(house)[4].quality & Quality.DATED_ROUGHLY
    assert house.stream().rough == {4: began_5 - 10 * MINUTE - began_3}
    assert not kept(house)[9].quality & Quality.DATED_ROUGHLY


def test_what_a_clock_dated_that_was_set_in_a_boot_never_heard_live_is_as_good_as_any_backlog(
    house: IngestHouse,
) -> None:
    house.hear(birth(1, boot=13), channel="status")
    house.hear(without_clock([(1, 1000), (2, 2000)], boot=12), telemetry(3, at=NOW_MS - HOUR, boot=12, oldest=1))
    assert kept(house)[2].quality == Quality.CLOCK_NONE | Quality.LATE | Quality.DATED_ROUGHLY
    assert (kept(house)[3].measured_at_ms, kept(house)[3].quality) == (NOW_MS - HOUR, Quality.LATE)


def registered(house: IngestHouse, name: str) -> None:
    house.devices[name] = device(name)
    house.pipeline.registered(name)
    house.pipeline.process([])


def test_what_a_node_without_clock_sent_while_it_waited_is_dated_by_when_it_was_first_heard(house: IngestHouse) -> None:
    """It repeats the same message each hour, which is no newer for that."""
    first = without_clock([(4, 45 * MINUTE)]), without_clock([(1, MINUTE), (3, 31 * MINUTE)])
    house.hear(first[1], first[0], device="new-1")
    for _ in range(19):
        house.clock.advance(HOUR)
        house.hear(first[0], device="new-1")
    registered(house, "new-1")
    house.restart()
    house.hear(*first, device="new-1")
    began_ms = NOW_MS - 45 * MINUTE
    assert {seq: reading.measured_at_ms - began_ms for seq, reading in kept(house, "new-1").items()} == {
        1: MINUTE,
        3: 31 * MINUTE,
        4: 45 * MINUTE,
    }
    assert all(reading.quality == Quality.CLOCK_NONE | Quality.LATE for reading in kept(house, "new-1").values())


def test_a_boot_that_ran_while_its_node_waited_is_dated_exactly_and_one_before_it_roughly(house: IngestHouse) -> None:
    house.hear(birth(1, boot=3), device="new-1", channel="status")
    house.hear(without_clock([(5, HOUR)], boot=3), without_clock([(2, MINUTE)], boot=2), device="new-1")
    house.clock.advance(DAY)
    house.hear(birth(1, boot=4), device="new-1", channel="status")
    house.hear(without_clock([(9, MINUTE)], boot=4), device="new-1")
    registered(house, "new-1")
    row = house.stream("new-1")
    assert row.boots == {2: NOW_MS - HOUR - MINUTE, 3: NOW_MS - HOUR, 4: NOW_MS + DAY - MINUTE}
    assert row.rough == {2: None}


def test_boots_remembered_of_a_node_that_waits_are_bounded_and_what_is_forgotten_is_counted(house: IngestHouse) -> None:
    for boot in range(1, BOOTS_MAX + 3):
        house.hear(without_clock([(boot, MINUTE)], boot=boot), device="new-1")
    assert house.pipeline.boots_forgotten == 2
    registered(house, "new-1")
    assert set(house.stream("new-1").boots) == set(range(3, BOOTS_MAX + 3))


def test_a_node_that_began_anew_is_heard_live_also_before_its_birth_comes(house: IngestHouse) -> None:
    """It counts its boots anew: the stream it had before says nothing of them."""
    house.hear(birth(1, boot=57), channel="status")
    house.hear(without_clock([(1, 1000)], boot=1, stream="bbbbbbbb"))
    assert kept(house)[1].quality == Quality.CLOCK_NONE
    assert house.stream(stream="bbbbbbbb").rough == {}


def test_a_fleet_whose_clocks_are_wrong_alike_is_told_as_such(house: IngestHouse) -> None:
    for lamp in ("lamp-1", "lamp-2", "lamp-3"):
        live(house, 1, HOUR, lamp)
    live(house, 1, 3 * DAY, "valve-1", values={"pressure_bar": 2.0})
    house.restart()
    clocks = house.pipeline.clocks()
    assert (clocks.off, clocks.alike, round(clocks.ahead_ms / HOUR, 1)) == (4, 3, 1.0)
    assert clocks.is_common
    assert "3 of 4 devices are 3600 s ahead of this machine's clock, all alike: check this clock" in clocks.fault
    house.clock.advance(MINUTE)
    live(house, 2, 0, "lamp-1")
    assert (house.pipeline.clocks().off, house.pipeline.clocks().alike) == (3, 2)
    assert house.pipeline.clocks().fault == ""


def test_a_clock_that_is_right_in_the_stream_of_the_last_birth_is_right_whatever_it_was_in_those_before(
    house: IngestHouse,
) -> None:
    house.hear(birth(1, stream="bbbbbbbb"), channel="status")
    live(house, 1, HOUR, stream="bbbbbbbb")
    assert house.pipeline.clocks().off == 1
    house.clock.advance(MINUTE)
    house.hear(birth(1, boot=13, stream="aaaaaaaa"), channel="status")
    live(house, 1, 0, stream="aaaaaaaa", boot=13)
    assert house.pipeline.clocks().off == 0
    live(house, 2, HOUR, stream="bbbbbbbb")
    assert house.pipeline.clocks().off == 0, "what it still sent of before"
    house.restart()
    assert house.pipeline.clocks().off == 0


@settings(max_examples=200, deadline=None)
@given(
    ahead_ms=st.one_of(st.integers(PUNCTUAL_MS + 60_001, 50 * YEAR), st.integers(-50 * YEAR, -30 * YEAR)),
    gaps_ms=st.lists(st.integers(1_000, DAY), min_size=1, max_size=20),
    delays_ms=st.lists(st.integers(0, 60_000), min_size=20, max_size=20),
)
def test_whatever_impossible_clock_it_is_every_live_reading_is_dated_within_its_delay(
    ahead_ms: int, gaps_ms: list[int], delays_ms: list[int]
) -> None:
    stream, true_ms = Stream("a", STREAM), NOW_MS
    for seq, (gap_ms, delay_ms) in enumerate(zip(gaps_ms, delays_ms, strict=False), 1):
        true_ms += gap_ms
        said_ms = max(0, true_ms + ahead_ms)
        if said_ms == 0:
            continue
        fix_clock(stream, 1, "synced", [ReadingIn(seq, {}, said_ms)], true_ms + delay_ms, is_live=lambda: True)
        dated_ms = said_ms - stream.ahead_ms(1, "synced", seq)
        assert -PUNCTUAL_MS <= dated_ms - true_ms <= PUNCTUAL_MS + 60_000
        stream.add(seq, seq)
