"""The quarantine once more: after a kind is corrected, what now reads is stored, once, under its own name."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.kind import Kinds
from contract.quarantine import QuarantineChanged, Quarantined, Replayed, Settled, Wanted
from contract.records import Quality, QuarantineAct, Telemetry
from contract.wire.messages import CONFLICT
from ingest.dating import date
from tests.ingest.house import KINDS, NOW_MS, STREAM, IngestHouse, birth, device, message, telemetry, without_clock

BAD_W = 900.0
DAY_MS = 86_400_000


def narrow() -> Kinds:
    """A kind whose file is wrong: a lamp of 900 W is out of its range."""
    return with_maximum(100.0)


def with_maximum(most: float) -> Kinds:
    lamp = KINDS["street_light"]
    power = msgspec.structs.replace(lamp.metrics["power_w"], maximum=most)
    return {**KINDS, "street_light": msgspec.structs.replace(lamp, metrics={**lamp.metrics, "power_w": power})}


@pytest.fixture
def house(tmp_path: Path) -> IngestHouse:
    return IngestHouse(tmp_path, kinds=narrow())


def reading(seq: int, power_w: Any = 50.0, at: int = NOW_MS - 1000) -> dict[str, Any]:
    return {"seq": seq, "at": at, "v": {"power_w": power_w}}


def of(*readings: dict[str, Any]) -> dict[str, Any]:
    return {**telemetry(), "oldest": 1, "readings": list(readings)}


def rows(house: IngestHouse) -> list[Quarantined]:
    return list(house.log.quarantine_rows.behind(0, 1_000))


def replay(house: IngestHouse) -> list[Replayed]:
    told, _ = house.pipeline.replay([row.number for row in rows(house)], "amina")
    return told


def stored(house: IngestHouse) -> Counter[int]:
    return Counter(seq for _, _, seq in house.readings())


def test_what_reads_after_its_kind_is_corrected_is_stored_once_and_its_row_goes(house: IngestHouse) -> None:
    house.hear(of(reading(1), reading(2, BAD_W), reading(3, BAD_W), reading(4)))
    [row] = rows(house)
    assert (row.code, row.seqs) == ("out_of_range", (2, 3))
    assert replay(house)[0].stays, "nothing is corrected yet"
    assert stored(house) == {1: 1, 4: 1}
    house.restart(KINDS)
    house.clock.advance(DAY_MS)
    [told] = replay(house)
    assert (told.readings, told.stays) == (2, False)
    assert stored(house) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert rows(house) == []
    assert replay(house) == []
    assert house.kept()["upto"] == 4
    assert (house.count("replayed"), house.count("accepted"), house.count("quarantined")) == (2, 4, 2)
    assert house.books_balance()


def test_a_replayed_reading_keeps_its_time_says_when_it_came_and_decides_nothing(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W)))
    house.restart(KINDS)
    house.clock.advance(400 * DAY_MS)  # judged against the moment it came: now it would be too old
    replay(house)
    [record] = [one for one in house.records() if isinstance(one, Telemetry)]
    assert (record.came_at_ms, record.readings[0].measured_at_ms) == (NOW_MS, NOW_MS - 1000)
    assert record.readings[0].quality & Quality.LATE
    assert house.stream().seen_at_ms == NOW_MS, "the device said nothing today"


def test_a_reading_without_time_is_dated_as_the_rest_of_its_boot(house: IngestHouse) -> None:
    message_of = without_clock([(1, 5_000), (2, 10_000)])
    message_of["readings"][0]["v"]["power_w"] = BAD_W
    house.hear(message_of)
    house.restart(KINDS)
    house.clock.advance(DAY_MS)
    replay(house)
    dated = {
        one.seq: one.measured_at_ms
        for record in house.records()
        if isinstance(record, Telemetry)
        for one in record.readings
    }
    assert dated == {1: NOW_MS - 5_000, 2: NOW_MS}


def test_what_still_does_not_read_stays_whole_under_its_number_with_its_new_sentence(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W), reading(2, 2_000_000.0)))
    [before] = rows(house)
    house.restart(with_maximum(1_000.0))
    [told] = replay(house)
    [after] = rows(house)
    assert (told.readings, told.stays, told.number) == (1, True, before.number)
    assert (after.number, after.seqs, after.payload) == (before.number, (2,), before.payload)
    assert "seq 2" in after.sentence
    assert "1000" in after.sentence
    assert after.received_at_ms == before.received_at_ms
    assert house.kept()["upto"] == 2, "the device need not send it again"


def test_two_faults_of_one_message_are_two_rows_and_each_replays_its_own(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W), reading(2, "much"), reading(3)))
    house.restart(KINDS)
    assert [(told.readings, told.stays, told.code) for told in replay(house)] == [
        (1, False, ""),
        (0, True, "wrong_type"),
    ]
    assert stored(house) == {1: 1, 3: 1}
    assert [(row.code, row.seqs) for row in rows(house)] == [("wrong_type", (2,))]


def test_a_conflict_is_never_replayed_and_says_why(house: IngestHouse) -> None:
    house.hear(of(reading(1, 10.0)))
    house.hear(of(reading(1, 20.0)))
    for _ in range(2):
        [told] = replay(house)
        assert (told.code, told.stays) == (CONFLICT, True)
        assert told.sentence.count("never overwrites") == 1
    [record] = [one for one in house.records() if isinstance(one, Telemetry)]
    assert record.readings[0].values == {"power_w": 10.0}


def test_a_message_nobody_could_read_is_a_conflict_where_other_content_came_meanwhile(house: IngestHouse) -> None:
    """It named no seq, so the device sent it again, otherwise."""
    payload = json.dumps(of(reading(1, 11.0))).encode()
    put_away(house, payload, "not_json")
    house.hear(of(reading(1, 12.0)))
    assert replay(house)[0].code == CONFLICT
    assert stored(house) == {1: 1}


def test_a_message_nobody_could_read_stores_what_is_new_and_nothing_twice(house: IngestHouse) -> None:
    payload = json.dumps(of(reading(1), reading(2), reading(3))).encode()
    put_away(house, payload, "internal_error")
    house.hear(of(reading(2)))
    [told] = replay(house)
    assert (told.readings, told.stays) == (2, False)
    assert stored(house) == {1: 1, 2: 1, 3: 1}
    assert house.kept()["upto"] == 3


def test_a_name_that_is_had_is_not_stored_again_when_the_log_no_longer_tells(house: IngestHouse) -> None:
    house.hear(of(reading(1)))
    put_away(house, json.dumps(of(reading(1, 3.0), reading(2))).encode(), "not_json")
    house.clock.advance(40 * DAY_MS)
    house.hear(birth(1), channel="status")
    house.pipeline.checkpoint()
    house.log.cut(house.clock.now_ms())
    assert house.log.reading("lamp-1", STREAM, 1) is None
    [told] = replay(house)
    assert (told.readings, told.stays) == (1, True)
    assert "seq 1: had already" in told.sentence
    assert stored(house) == {1: 1, 2: 1}, "the first is still in memory"


def test_what_is_no_reading_stays_and_says_so(house: IngestHouse) -> None:
    house.hear({"online": True}, channel="status")
    house.pipeline.process([message({}, "lamp-1", "nonsense")])
    told = replay(house)
    assert ["is not taken up later" in one.sentence for one in told] == [True, False]
    assert all(one.stays for one in told)


def test_a_device_that_is_not_registered_any_more_keeps_its_row(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W)))
    house.restart(KINDS)
    known = house.devices.pop("lamp-1")
    [told] = replay(house)
    assert "not registered" in told.sentence
    house.devices["lamp-1"] = known
    assert replay(house)[0].readings == 1


def test_what_came_before_its_device_was_registered_is_stored_as_the_devices(house: IngestHouse) -> None:
    payload = json.dumps(telemetry(1)).encode()
    row = Quarantined(topic="nabd/1/stranger/telemetry", payload=payload, code="internal_error", sentence="once",
        received_at_ms=NOW_MS)  # fmt: skip
    house.log.append([], NOW_MS, quarantine=[row])
    assert "not registered" in replay(house)[0].sentence
    house.devices["stranger"] = device("stranger")
    [told] = replay(house)
    assert (told.device, told.readings, told.stays) == ("stranger", 1, False)
    assert house.readings() == [("stranger", STREAM, 1)]
    assert {one.device for one in house.log.ledger()} == {"stranger"}


def test_nabd_failing_on_one_row_again_holds_up_no_other(house: IngestHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house.hear(of(reading(1, BAD_W)))
    house.hear(of(reading(2, BAD_W)))
    house.restart(KINDS)

    def fails(batch: Any, stream: Any, fresh_ms: int, part: Any, beside: Any) -> Any:
        if part.readings[0].seq == 1:
            raise ZeroDivisionError
        return date(batch, stream, fresh_ms, part, beside)

    monkeypatch.setattr("ingest.pipeline.date", fails)
    assert [(told.readings, told.code) for told in replay(house)] == [(0, "internal_error"), (1, "")]
    monkeypatch.undo()
    [row] = rows(house)
    assert row.seqs == (1,)
    assert replay(house)[0].readings == 1
    assert stored(house) == {1: 1, 2: 1}


def test_a_row_that_somebody_else_has_settled_is_not_stored_again(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W)))
    house.restart(KINDS)
    [row] = rows(house)
    batch, _ = house.pipeline._replay.replay([row], "amina", {})
    house.log.append([], NOW_MS, settled=[Settled(row.number)])
    with pytest.raises(QuarantineChanged, match=f"row {row.number}"):
        house.pipeline._append(batch)
    assert stored(house) == {}
    assert house.pipeline.replay([row.number], "amina")[0] == []


def test_dropped_rows_go_and_their_readings_are_named_as_gone(house: IngestHouse) -> None:
    house.hear(of(reading(1), reading(2, BAD_W), reading(3, BAD_W)))
    assert house.pipeline.drop([row.number for row in rows(house)], "amina") == 1
    assert rows(house) == []
    assert (house.stream().have, house.stream().gone) == (((1, 1),), ((2, 3),))
    assert house.kept()["upto"] == 3, "they need not come again"
    assert (house.count("quarantine_dropped"), house.count("gone"), house.pipeline.gone_total()) == (1, 2, 2)
    house.restart()
    assert house.stream().gone == ((2, 3),)
    assert house.pipeline.gone_total() == 2


def test_who_replayed_and_who_dropped_stands_in_the_log(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W)))
    replay(house)
    house.pipeline.drop([rows(house)[0].number], "youssef")
    acts = [one for one in house.records() if isinstance(one, QuarantineAct)]
    assert [(one.act, one.by, one.rows, one.what) for one in acts] == [
        ("replay", "amina", 1, "lamp-1: out_of_range"),
        ("drop", "youssef", 1, "lamp-1: out_of_range"),
    ]


def test_rows_are_found_by_code_device_and_time(house: IngestHouse) -> None:
    house.hear(of(reading(1, BAD_W)))
    house.clock.advance(1000)
    house.hear(b"{", device="lamp-2")
    table = house.log.quarantine_rows
    assert [row.code for row in table.page(10, wanted=Wanted(device="lamp-2"))] == ["not_json"]
    assert [row.device for row in table.page(10, wanted=Wanted(code="out_of_range"))] == ["lamp-1"]
    assert [row.device for row in table.behind(0, 10, Wanted(since_ms=NOW_MS + 1))] == ["lamp-2"]
    assert [table.count(), table.count(Wanted(code="not_json")), table.count(Wanted(code="too_old"))] == [2, 1, 0]


def put_away(house: IngestHouse, payload: bytes, code: str) -> None:
    """As an earlier Nabd did that could not read it."""
    house.log.append(
        [],
        NOW_MS,
        quarantine=[
            Quarantined(
                topic="nabd/1/lamp-1/telemetry",
                payload=payload,
                code=code,
                sentence="once",
                received_at_ms=NOW_MS,
                device="lamp-1",
            )
        ],
    )


# ------------------------------------------------------------------------------------------------------- exactness

POWERS = st.sampled_from([50.0, 150.0, 900.0, 2_000_000.0, "much"])
MESSAGES = st.lists(
    st.lists(st.tuples(st.integers(1, 12), POWERS), min_size=1, max_size=5, unique_by=lambda one: one[0]),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(MESSAGES, st.lists(st.sampled_from([100.0, 200.0, 1_000.0]), min_size=1, max_size=4), st.data())
def test_replays_in_any_order_store_the_first_content_of_every_name_that_reads_once(
    tmp_path_factory: pytest.TempPathFactory, sent: list[Any], maxima: list[float], data: st.DataObject
) -> None:
    """A model of dictionaries: the first content under a name is the one that counts, whatever reads when."""
    house = IngestHouse(tmp_path_factory.mktemp("replay"), kinds=narrow())
    first: dict[int, Any] = {}
    for content in sent:
        house.hear(of(*(reading(seq, power) for seq, power in content)))
        for seq, power in content:
            first.setdefault(seq, power)
    limit = 100.0
    for most in maxima:
        limit = max(limit, most)
        house.restart(with_maximum(limit))
        numbers = [row.number for row in rows(house)]
        chosen = data.draw(st.permutations(numbers)) if numbers else []
        for number in chosen:
            house.pipeline.replay([number], "amina")
            if data.draw(st.booleans()):
                house.restart()
    expected = {seq: power for seq, power in first.items() if isinstance(power, float) and power <= limit}
    found = [
        (one.seq, one.values["power_w"])
        for record in house.records()
        if isinstance(record, Telemetry)
        for one in record.readings
    ]
    assert sorted(found) == sorted(expected.items())
    waiting = sorted(seq for row in rows(house) for seq in row.seqs)
    assert waiting == sorted(first.keys() - expected.keys()), "every other name stands in exactly one row"
    assert house.books_balance()
    house.log.close()


def test_a_replay_that_could_not_be_kept_judges_its_values_anew_the_next_time(
    house: IngestHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = of(*(reading(seq, BAD_W, NOW_MS - 9000 + seq * 1000) for seq in (1, 2, 3)))
    for one, degrees in zip(sent["readings"], (20.0, 80.0, 20.0), strict=True):
        one["v"]["temperature_c"] = degrees
    house.hear(sent)
    house.restart(KINDS)

    def refuse(*_: object, **__: object) -> int:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", refuse)
        with pytest.raises(OSError, match="no space"):
            replay(house)
    replay(house)
    [record] = [one for one in house.records() if isinstance(one, Telemetry)]
    assert [bool(one.quality & Quality.RATE) for one in record.readings] == [False, True, False]
