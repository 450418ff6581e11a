"""What becomes of a batch: kept once, counted, answered; or nothing at all and again."""

import json
import threading

import pytest

from contract.ports import Message
from contract.records import Conflicted, Quality, Telemetry
from ingest.ledger import RANGES_MAX, STREAMS_MAX
from tests.ingest.house import (
    NOW_MS,
    STREAM,
    IngestHouse,
    birth,
    device,
    message,
    telemetry,
    without_clock,
)


def test_a_reading_is_kept_with_its_device_asset_kind_and_name(house: IngestHouse) -> None:
    outcome = house.hear(telemetry(7, 8, values={"power_w": 61.2, "level": 1, "temperature_c": None}))
    [record] = house.records()
    assert isinstance(record, Telemetry)
    assert (record.device, record.asset, record.kind) == ("lamp-1", "asset-of-lamp-1", "street_light")
    assert (record.commune, record.zone, record.group) == ("berkane", "centre", "c-7")
    assert (record.stream, record.boot, [one.seq for one in record.readings]) == (STREAM, 12, [7, 8])
    assert record.readings[0].values == {"power_w": 61.2, "level": 1.0}
    assert record.readings[0].measured_at_ms == NOW_MS - 1000
    assert outcome.kept == [("lamp-1", STREAM, False)]
    assert len(outcome.acknowledge) == 1
    assert outcome.readings == 2


def test_every_message_is_acknowledged_whatever_it_was(house: IngestHouse) -> None:
    batch = [
        message(telemetry(1)),
        message(b"\xff"),
        message(telemetry(1)),
        message(telemetry(1), device="stranger"),
        message(birth(1), channel="status"),
        message({"nonce": 1}, channel="time"),
        Message("nabd/2/x/y", b"", token="t"),
    ]
    assert house.pipeline.process(batch).acknowledge == [one.token for one in batch]
    assert house.books_balance()


@pytest.mark.parametrize("restart", [False, True], ids=["same process", "after a crash"])
def test_a_message_that_comes_again_is_kept_once(house: IngestHouse, restart: bool) -> None:
    house.hear(telemetry(1, 2, 3))
    if restart:
        house.restart()
    outcome = house.hear(telemetry(2, 3, 4, at=NOW_MS), telemetry(1, 2, 3))
    assert house.readings() == [("lamp-1", STREAM, seq) for seq in (1, 2, 3, 4)]
    assert outcome.kept == [("lamp-1", STREAM, False)]
    assert (house.count("accepted"), house.count("duplicate"), house.count("quarantined")) == (4, 5, 0)
    assert house.kept() == {"stream": STREAM, "upto": 4}
    assert house.books_balance()


def test_the_same_reading_twice_in_one_batch_or_one_message_is_kept_once(house: IngestHouse) -> None:
    twice = telemetry(2)
    twice["readings"] *= 2
    house.hear(telemetry(1), telemetry(1), twice)
    assert house.readings() == [("lamp-1", STREAM, 1), ("lamp-1", STREAM, 2)]
    assert house.count("duplicate") == 2


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_the_same_name_with_other_content_is_quarantined_and_not_kept(house: IngestHouse, together: bool) -> None:
    first, second = telemetry(1, values={"level": 0.5}), telemetry(1, values={"level": 0.6})
    if together:
        house.hear(first, second)
    else:
        house.hear(first)
        house.restart()
        house.hear(second)
    record, note = house.records()
    assert isinstance(record, Telemetry)
    assert record.readings[0].values == {"level": 0.5}
    assert note == Conflicted(device="lamp-1", stream=STREAM, seq=1)
    [row] = house.log.quarantine(10)
    assert (row.code, row.seq, row.device, row.stream) == ("conflict", 1, "lamp-1", STREAM)
    assert json.loads(row.payload) == second
    assert house.books_balance()


def test_a_seq_quarantined_before_comes_again_as_a_duplicate(house: IngestHouse) -> None:
    bad = telemetry(1, values={"level": 7})
    house.hear(bad)
    house.hear(bad)
    assert (house.count("quarantined"), house.count("duplicate")) == (1, 1)
    assert house.kept() == {"stream": STREAM, "upto": 1}
    assert len(house.log.quarantine(10)) == 1


def test_one_bad_reading_does_not_take_the_good_ones_with_it(house: IngestHouse) -> None:
    mixed = telemetry(1, 2, 3, 4, values={"level": 0.5})
    mixed["readings"][1]["v"] = {"level": 7}
    mixed["readings"][3]["v"] = {"level": "high"}
    house.hear(mixed)
    assert [seq for _, _, seq in house.readings()] == [1, 3]
    assert house.codes() == ["out_of_range", "wrong_type"]
    assert [row.seq for row in house.log.quarantine(10)] == [4, 2]
    assert house.kept() == {"stream": STREAM, "upto": 4}
    assert (house.count("accepted"), house.count("quarantined"), house.count("quarantined_messages")) == (2, 2, 1)


def test_many_bad_readings_of_one_message_share_a_row_and_are_all_counted_and_named(house: IngestHouse) -> None:
    house.hear(telemetry(*range(1, 65), values={"level": 7}))
    [row] = house.log.quarantine(10)
    assert row.count == 1
    assert row.sentence.startswith("seq 1: level: 7 ratio is not within 0 and 1; seq 2: level")
    assert (house.count("quarantined"), house.count("quarantined.out_of_range")) == (64, 64)
    assert house.kept() == {"stream": STREAM, "upto": 64}


def test_an_unreadable_message_counts_as_one_reading_and_byte_identical_ones_as_one_row(house: IngestHouse) -> None:
    house.hear(b"{", b"{", b"")
    assert (house.count("received"), house.count("quarantined")) == (3, 3)
    assert sorted((row.payload, row.count) for row in house.log.quarantine(10)) == [(b"", 1), (b"{", 2)]


def test_a_message_without_boot_still_names_what_need_not_come_again(house: IngestHouse) -> None:
    broken = telemetry(1, 2)
    del broken["boot"]
    house.hear(broken)
    assert house.readings() == []
    assert house.codes() == ["missing_key"]
    assert house.count("quarantined") == 2
    assert house.kept() == {"stream": STREAM, "upto": 2}


def test_out_of_order_readings_open_gaps_that_late_ones_close(house: IngestHouse) -> None:
    house.hear(telemetry(1, 2, oldest=1), telemetry(10, oldest=3), telemetry(7, oldest=3))
    assert house.kept() == {"stream": STREAM, "upto": 2, "also": [[7, 7], [10, 10]]}
    assert house.pipeline.missing_total() == 6
    house.restart()
    assert house.pipeline.missing_total() == 6
    house.hear(telemetry(3, 4, 5, 6), telemetry(8, 9))
    assert house.kept() == {"stream": STREAM, "upto": 10}
    assert house.pipeline.missing_total() == 0


def test_what_the_device_no_longer_holds_is_gone_and_named_so(house: IngestHouse) -> None:
    house.hear(telemetry(1, 2, oldest=1), telemetry(10, oldest=6))
    assert house.stream().gone == ((3, 5),)
    assert house.kept() == {"stream": STREAM, "upto": 5, "also": [[10, 10]]}
    assert (house.pipeline.gone_total(), house.pipeline.missing_total(), house.count("gone")) == (3, 4, 3)
    house.restart()
    house.hear(telemetry(4, oldest=6))
    assert ("lamp-1", STREAM, 4) in house.readings()
    assert house.stream().gone == ((3, 3), (5, 5))


def test_a_message_without_readings_that_holds_nothing_any_more_names_what_is_gone_behind_the_end(
    house: IngestHouse,
) -> None:
    house.hear(telemetry(1))
    house.hear(telemetry(oldest=3))
    assert house.stream().gone == ((2, 2),)
    house.hear(telemetry(3), telemetry(oldest=6))
    assert (house.stream().gone, house.pipeline.gone_total()) == (((2, 2), (4, 5)), 3)


def test_a_gap_closes_as_gone_by_the_very_message_that_says_so_though_its_reading_simply_follows(
    house: IngestHouse,
) -> None:
    house.hear(telemetry(1), telemetry(5, oldest=1), telemetry(6, oldest=1))
    assert (house.pipeline.missing_total(), house.pipeline.gone_total()) == (3, 0)
    house.hear(telemetry(7, oldest=2), telemetry(8, oldest=4), telemetry(9, oldest=4))
    assert house.stream().have == ((1, 1), (5, 9))
    assert house.stream().gone == ((2, 3),)
    house.hear(telemetry(10, oldest=10))
    assert (house.pipeline.missing_total(), house.pipeline.gone_total()) == (0, 3)


def test_what_a_message_brings_is_not_gone_whatever_it_says_of_the_oldest(house: IngestHouse) -> None:
    house.hear(telemetry(5, oldest=2**32 - 1))
    assert house.stream().gone == ((1, 4),)
    house.hear(telemetry(oldest=1))
    assert house.stream().have == ((5, 5),)


def test_a_stream_with_too_many_gaps_keeps_nothing_new_until_some_are_closed(house: IngestHouse) -> None:
    seqs = list(range(2, 2 * RANGES_MAX + 40, 2))
    for n in range(0, len(seqs), 64):
        house.hear(telemetry(*seqs[n : n + 64], oldest=1, at=NOW_MS - 100_000))
    assert house.count("accepted") == RANGES_MAX
    assert house.count("quarantined") == len(seqs) - RANGES_MAX
    assert not any(first <= seqs[-1] <= last for first, last in house.stream().have)
    house.hear(telemetry(3, 5, oldest=1))
    assert house.count("accepted") == RANGES_MAX + 2
    assert house.books_balance()


def test_a_device_with_a_new_stream_each_boot_goes_on_for_ever_and_nothing_is_kept_twice(house: IngestHouse) -> None:
    streams = [f"{number:08x}" for number in range(STREAMS_MAX + 20)]
    for stream in streams:
        house.hear(telemetry(1, 2, stream=stream))
        house.clock.advance(1000)
    house.hear(telemetry(1, 2, stream=streams[0]), telemetry(2, 3, at=NOW_MS, stream=streams[1]))
    assert house.count("accepted") == 2 * len(streams) + 1
    assert house.count("duplicate") == 3
    assert len(house.pipeline.ledger("lamp-1")) == len(streams)


# -- quality and time


def test_quality_says_held_none_and_late(house: IngestHouse) -> None:
    house.hear(telemetry(1), telemetry(2, clock="held"), telemetry(3, at=NOW_MS - 120_001), without_clock([(4, 50)]))
    bits = [
        reading.quality for record in house.records() if isinstance(record, Telemetry) for reading in record.readings
    ]
    assert bits == [Quality.GOOD, Quality.CLOCK_HELD, Quality.LATE, Quality.CLOCK_NONE]


def test_the_shortest_fresh_of_the_kind_says_what_is_late(house: IngestHouse) -> None:
    house.hear(telemetry(1, at=NOW_MS - 120_000), telemetry(2, at=NOW_MS - 120_001), device="valve-1")
    bits = [
        reading.quality for record in house.records() if isinstance(record, Telemetry) for reading in record.readings
    ]
    assert bits == [Quality.GOOD, Quality.LATE]


@pytest.mark.parametrize(("offset_ms", "code"), [(-366 * 86_400_000 - 1, "too_old"), (-366 * 86_400_000, "")])
def test_what_is_too_old_to_be_told_from_a_wrong_clock_is_quarantined(
    house: IngestHouse, offset_ms: int, code: str
) -> None:
    house.hear(telemetry(1, at=NOW_MS + offset_ms))
    assert house.codes() == ([code] if code else [])
    assert house.kept()["upto"] == 1


def dates(house: IngestHouse) -> dict[int, int]:
    return {
        reading.seq: reading.measured_at_ms
        for record in house.records()
        if isinstance(record, Telemetry)
        for reading in record.readings
    }


def test_a_boot_without_clock_is_dated_once_by_its_newest_reading(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 1000), (2, 61_000)]))
    house.clock.advance(500_000)
    house.restart()
    house.hear(without_clock([(3, 121_000)]))
    assert dates(house) == {1: NOW_MS - 60_000, 2: NOW_MS, 3: NOW_MS + 60_000}
    assert house.stream().boots == {1: NOW_MS - 61_000}


def test_backlog_is_dated_by_the_live_message_beside_it(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 1000), (2, 2000)]), without_clock([(9, 601_000)]))
    assert dates(house) == {1: NOW_MS - 600_000, 2: NOW_MS - 599_000, 9: NOW_MS}


def test_a_reading_without_clock_is_never_dated_after_it_came(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 1000)]))
    house.hear(without_clock([(2, 10_000_000)]))
    assert dates(house) == {1: NOW_MS, 2: NOW_MS}
    assert house.count("accepted") == 2


def test_an_earlier_boot_never_heard_live_ends_before_the_next_began_and_decides_nothing(house: IngestHouse) -> None:
    house.hear(birth(1, boot=5), channel="status")
    house.hear(without_clock([(10, 5000)], boot=5))
    house.hear(without_clock([(8, 1000), (9, 3000)], boot=4))
    assert dates(house) == {10: NOW_MS, 8: NOW_MS - 7000, 9: NOW_MS - 5000}
    early = [record for record in house.records() if isinstance(record, Telemetry) and record.boot == 4]
    doubts = Quality.CLOCK_NONE | Quality.LATE | Quality.DATED_ROUGHLY
    assert all(reading.quality == doubts for reading in early[0].readings)
    house.restart()
    house.hear(without_clock([(11, 4000)], boot=4))
    [again] = [reading for record in house.records()[-1:] for reading in record.readings]  # type: ignore[union-attr]
    assert again.quality == doubts, "as long as the boot is known"


def test_a_repeat_dated_by_us_is_a_duplicate_though_the_time_comes_out_otherwise(house: IngestHouse) -> None:
    house.hear(without_clock([(1, 1000)]))
    house.clock.advance(50_000)
    repeat = without_clock([(1, 1000)])
    repeat["clock"], repeat["readings"][0]["at"] = "synced", NOW_MS - 333
    house.hear(without_clock([(1, 1000)]), repeat)
    assert (house.count("accepted"), house.count("duplicate"), house.count("quarantined")) == (1, 2, 0)


# -- who is not registered


def test_readings_of_strangers_are_deferred_counted_and_not_kept(house: IngestHouse) -> None:
    outcome = house.hear(telemetry(1, 2), telemetry(1, 2), device="stranger")
    assert house.records() == []
    assert outcome.kept == [("stranger", STREAM, True)]
    assert house.kept("stranger", deferred=True) == {"stream": STREAM, "upto": 0, "deferred": True}
    assert (house.count("received"), house.count("deferred")) == (4, 4)
    [waiting] = house.pipeline.deferred()
    assert (waiting.device, waiting.readings, waiting.first_ms, waiting.kind) == ("stranger", 4, NOW_MS, "")


def test_a_device_of_a_kind_that_is_not_loaded_is_deferred(house: IngestHouse) -> None:
    house.devices["siren-1"] = device("siren-1", kind="siren")
    outcome = house.hear(telemetry(1), device="siren-1")
    house.pipeline.registered("siren-1")
    assert outcome.kept == [("siren-1", STREAM, True)]
    assert not house.pipeline.has_news()
    assert len(house.pipeline.deferred()) == 1


def test_a_registered_device_is_told_at_once_to_send_and_its_birth_is_taken_over(house: IngestHouse) -> None:
    house.hear(birth(4), device="stranger", channel="status")
    house.hear(telemetry(1, stream="00000002"), device="stranger")
    assert house.records() == []
    [waiting] = house.pipeline.deferred()
    assert (waiting.kind, waiting.model) == ("street_light", "nabd-light-1")
    house.devices["stranger"] = device("stranger")
    house.pipeline.registered("stranger")
    assert house.pipeline.has_news()
    outcome = house.pipeline.process([])
    assert outcome.kept == [("stranger", STREAM, False), ("stranger", "00000002", False)]
    assert house.births() == ["stranger"]
    assert house.pipeline.deferred() == []
    assert not house.pipeline.has_news()
    house.hear(telemetry(1, stream="00000002"), device="stranger")
    assert house.readings() == [("stranger", "00000002", 1)]


def test_a_device_registered_while_its_message_was_on_its_way_is_not_forgotten(house: IngestHouse) -> None:
    def registered_meanwhile(position: int) -> None:
        house.devices["stranger"] = device("stranger")
        house.pipeline.registered("stranger")

    house.log.on_append.append(registered_meanwhile)
    house.hear(telemetry(1), device="stranger")
    assert house.pipeline.deferred() == []
    assert house.pipeline.process([]).kept == [("stranger", STREAM, False)]


# -- other threads


def test_other_threads_may_ask_at_any_time_and_answers_never_go_back(house: IngestHouse) -> None:
    done = threading.Event()
    faults: list[Exception] = []
    asked = [0]

    def ask() -> None:
        upto = 0
        try:
            while not done.is_set():
                now = house.kept()["upto"]
                assert now >= upto
                upto = now
                durable = [row.have for row in house.pipeline.ledger("lamp-1")]
                assert all(len(have) == 1 for have in durable)
                assert all(waiting.readings >= 1 for waiting in house.pipeline.deferred())
                assert house.pipeline.missing_total() >= 0
                asked[0] += 1
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for seq in range(1, 100):
        house.pipeline.process([message(telemetry(seq)), message(telemetry(1), device=f"stranger-{seq}")])
    done.set()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert asked[0] > 0
    assert house.kept()["upto"] == 99


# -- trouble


def test_a_stream_that_was_put_aside_since_is_answered_from_the_log(house: IngestHouse) -> None:
    """More streams at once than are in memory of one device: each hears what it may forget."""
    streams = [f"{number:08x}" for number in range(STREAMS_MAX + 20)]
    house.hear(*(telemetry(1, 2, stream=stream) for stream in streams))
    assert {house.kept(stream=stream)["upto"] for stream in streams} == {2}


def test_a_new_stream_is_answered_rightly_after_the_clock_was_set_back(house: IngestHouse) -> None:
    house.hear(*(telemetry(1, stream=f"{number:08x}") for number in range(STREAMS_MAX + 1)))
    house.clock.advance(-3_600_000)
    for seq in range(1, 4):
        house.hear(telemetry(seq, at=house.clock.ms, stream="000000aa"))
        assert house.kept(stream="000000aa")["upto"] == seq
