"""Status, reported and the other small channels, through the real pipeline and log."""

import json

import pytest

from contract.records import Reported, Status
from ingest.clocks import STEADY_READINGS
from tests.ingest.house import (
    NOW_MS,
    STREAM,
    IngestHouse,
    birth,
    message,
    reported,
    telemetry,
    will,
)
from tests.ingest.house import device as a_device

QUARTER_MS = 900_000
YEAR_MS = 365 * 86_400_000


def test_a_birth_is_answered_with_kept_and_a_repeated_one_too(house: IngestHouse) -> None:
    first = house.hear(birth(3), channel="status")
    again = house.hear(birth(3), channel="status")
    assert house.births() == ["lamp-1"]
    assert first.kept == again.kept == [("lamp-1", STREAM, False)]
    assert house.kept() == {"stream": STREAM, "upto": 0}
    assert len(house.records()) == house.count("old_news") == 1


def test_a_node_that_lost_its_memory_counts_anew_and_is_heard(house: IngestHouse) -> None:
    house.hear(birth(90, boot=50), channel="status")
    house.hear(reported(80, boot=50), channel="reported")
    house.clock.advance(1000)
    house.hear(birth(1, boot=1, stream="00000002"), channel="status")
    house.hear(reported(1, boot=1), channel="reported")
    house.restart()
    house.hear(will(1, boot=1), channel="status")
    assert [record.online for record in house.records() if isinstance(record, Status)] == [True, True, False]
    assert [record.n for record in house.records() if isinstance(record, Reported)] == [80, 1]


def test_readings_of_an_earlier_stream_do_not_bring_its_order_back(house: IngestHouse) -> None:
    """They come by other connections than the status, and so in any order with it."""
    house.hear(birth(90, boot=50), channel="status")
    house.hear(reported(80, boot=50), channel="reported")
    house.clock.advance(1000)
    house.hear(birth(1, boot=1, stream="00000002"), channel="status")
    house.clock.advance(1000)
    house.hear(telemetry(1, boot=50))
    house.restart()
    house.hear(reported(1, boot=1), channel="reported")
    house.hear(will(1, boot=1), channel="status")
    assert [record.n for record in house.records() if isinstance(record, Reported)] == [80, 1]
    assert [record.online for record in house.records() if isinstance(record, Status)] == [True, True, False]


def test_of_two_births_in_one_batch_the_later_one_counts_whatever_came_between(house: IngestHouse) -> None:
    batch = [
        message(telemetry(1, stream="00000002")),
        message(birth(90, boot=50), channel="status"),
        message(birth(1, boot=1, stream="00000002"), channel="status"),
        message(telemetry(1)),
    ]
    house.pipeline.process(batch)
    house.restart()
    house.hear(will(1, boot=1), channel="status")
    assert [record.online for record in house.records() if isinstance(record, Status)] == [True, True, False]


def asleep_until_ms(house: IngestHouse, at_ms: int, device: str = "lamp-1") -> int | None:
    """What is kept of a birth that says, at this time of its clock, that it sleeps for a quarter of an hour."""
    house.hear(birth(2) | {"at": at_ms, "asleep_until": at_ms + QUARTER_MS}, device=device, channel="status")
    house.devices[device] = a_device(device)
    house.pipeline.registered(device)
    house.hear()
    told = house.records()[-1]
    assert isinstance(told, Status)
    return told.asleep_until_ms


@pytest.mark.parametrize("at_ms", [NOW_MS, NOW_MS + YEAR_MS, 0])
@pytest.mark.parametrize("device", ["lamp-1", "stranger"])
def test_the_end_of_a_sleep_is_told_by_our_clock_whatever_the_devices_own_is(
    house: IngestHouse, at_ms: int, device: str
) -> None:
    assert asleep_until_ms(house, at_ms, device) == NOW_MS + QUARTER_MS


def test_the_end_of_a_sleep_is_corrected_by_what_the_readings_told_of_a_clock_until_that_is_set_right(
    house: IngestHouse,
) -> None:
    for seq in range(1, STEADY_READINGS + 1):
        house.hear(telemetry(seq, at=house.clock.ms - 4 * QUARTER_MS, oldest=1))
        house.clock.advance(QUARTER_MS)
    now_ms = house.clock.ms
    house.hear(birth(1) | {"at": now_ms - 4 * QUARTER_MS, "asleep_until": now_ms - 3 * QUARTER_MS}, channel="status")
    told = house.records()[-1]
    assert isinstance(told, Status)
    assert told.asleep_until_ms == now_ms + QUARTER_MS
    assert asleep_until_ms(house, now_ms) == now_ms + QUARTER_MS


def test_wills_and_reports_of_strangers_are_counted(house: IngestHouse) -> None:
    house.hear(will(1), device="stranger", channel="status")
    house.hear(reported(1), device="stranger", channel="reported")
    house.hear(b'{"id":"c-1","status":"done","at":1}', device="stranger", channel="result")
    house.hear(b'{"boot":1,"at":1,"level":"info","event":"hello"}', device="stranger", channel="log")
    assert (house.count("wills_of_unregistered"), house.count("reports_of_unregistered")) == (1, 1)
    assert house.count("remarks_of_unregistered") == 2
    assert house.records() == [], "no stranger can fill the log"


def test_the_time_is_the_citys_and_answered_to_anybody(house: IngestHouse) -> None:
    house.clock.advance(777)
    outcome = house.hear({"nonce": 9}, device="stranger", channel="time")
    [(topic, payload)] = outcome.replies
    assert (topic, json.loads(payload)) == ("nabd/1/stranger/now", {"nonce": 9, "at": NOW_MS + 777})
    assert house.log.last() == 0


def test_a_kind_other_than_the_registered_one_is_noted(house: IngestHouse) -> None:
    house.hear(birth(1, kind="waste_bin"), channel="status")
    assert house.count("kind_differs") == 1
    assert [getattr(record, "kind", "") for record in house.records()] == ["waste_bin"]


def test_targets_its_kind_does_not_have_are_left_out_of_a_report_and_counted(house: IngestHouse) -> None:
    odd = reported(1) | {"state": {"level": 0.5, "open": True}, "by": {"level": "local", "open": "lease"}}
    house.hear(odd, channel="reported")
    [record] = house.records()
    assert isinstance(record, Reported)
    assert (record.state, record.by) == ({"level": 0.5}, {"level": "local"})
    assert house.count("unknown_keys") == 2


def test_unknown_and_duplicate_keys_are_counted_and_do_no_harm(house: IngestHouse) -> None:
    raw = json.dumps(telemetry(1, values={"level": 0.5, "colour": 3}))
    house.hear(
        raw.replace('"boot"', '"boot": 11, "boot"').encode(), (raw[:-1] + ',"rssi":-3}').replace("1,", "2,").encode()
    )
    assert house.count("unknown_metrics") >= 1
    assert house.count("unknown_keys") == 1
    assert house.count("duplicate_keys") == 1
    assert house.count("quarantined") == 0


@pytest.mark.parametrize("channel", ["status", "reported"])
def test_what_the_broker_forgets_of_a_device_is_no_fault_of_it(house: IngestHouse, channel: str) -> None:
    before = house.records()
    house.hear(b"", channel=channel)
    assert house.records() == before
    assert (house.count("cleared"), house.count("quarantined")) == (1, 0)
