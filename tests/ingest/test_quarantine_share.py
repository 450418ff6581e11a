"""One device that sends what cannot be read is held alone: others go on, and nothing is called kept that is not."""

import json
from pathlib import Path

import pytest

from contract.ports import Message
from contract.quarantine import TOPIC_SHOWN, Wanted
from ingest.pipeline import parse_topic
from tests.ingest.house import IngestHouse, birth, device, message, telemetry

SHARE = 30_000
OUT = {"power_w": 10**9}


@pytest.fixture
def house(tmp_path: Path) -> IngestHouse:
    return IngestHouse(tmp_path, bytes_max=10_000_000, device_bytes_max=SHARE)


def fill(house: IngestHouse, device: str = "lamp-1") -> int:
    """Readings out of range, one a message, until there is no room for more; the first seq that was not kept."""
    for seq in range(1, 1_000):
        house.hear(telemetry(seq, values=OUT), device=device)
        if house.count("quarantine_held"):
            return seq
    raise AssertionError("the share has no end")


def test_beyond_its_share_nothing_of_a_device_is_kept_and_it_is_not_told_so(house: IngestHouse) -> None:
    first = fill(house)
    outcome = house.hear(telemetry(first, values=OUT))
    assert len(outcome.acknowledge) == 1, "the broker must go on: its window is everyone's"
    assert house.kept()["upto"] == first - 1
    assert house.log.quarantine_rows.count() == first - 1
    assert (house.count("deferred"), house.count("quarantine_held")) == (2, 2)
    assert house.books_balance()


def test_the_others_go_on_and_so_do_its_own_good_readings(house: IngestHouse) -> None:
    first = fill(house)
    house.hear(telemetry(1, 2), device="lamp-2")
    house.hear(b"{", device="lamp-2")
    house.hear(telemetry(first, first + 1, values={"power_w": 50.0}))
    assert [name for name in house.readings() if name[0] == "lamp-2"] == [
        ("lamp-2", "9f3c01aa", 1),
        ("lamp-2", "9f3c01aa", 2),
    ]
    assert house.kept()["upto"] == first + 1
    assert house.log.quarantine_rows.page(1)[0].device == "lamp-2"


def test_in_one_message_the_good_are_kept_and_the_bad_are_not(house: IngestHouse) -> None:
    first = fill(house)
    mixed = telemetry(first, first + 1)
    mixed["readings"][0]["v"] = OUT
    house.hear(mixed)
    assert house.kept() == {"stream": "9f3c01aa", "upto": first - 1, "also": [[first + 1, first + 1]]}
    assert house.books_balance()


def test_a_batch_cannot_overdraw_the_share(house: IngestHouse) -> None:
    house.hear(*(telemetry(seq, values=OUT) for seq in range(1, 300)))
    use = house.log.quarantine_rows.use()
    assert SHARE <= use.bytes <= SHARE + 8_192 + 512
    assert [device for device, _ in use.full] == ["lamp-1"]


def test_what_is_there_already_is_counted_beyond_the_share(house: IngestHouse) -> None:
    house.hear(b"{")
    first = fill(house)
    house.hear(b"{")
    assert max(row.count for row in house.log.quarantine(1_000)) == 2
    assert house.count("quarantined") == first + 1


def test_junk_without_a_name_is_held_too_and_births_are_answered(house: IngestHouse) -> None:
    fill(house)
    rows = house.log.quarantine_rows.count()
    house.hear(b"{{", b"[]")
    house.hear({"online": True}, channel="status")
    assert house.log.quarantine_rows.count() == rows
    assert house.hear(birth(1), channel="status").kept


@pytest.mark.parametrize("act", ["drop", "replay"])
def test_when_there_is_room_again_what_it_held_is_kept(house: IngestHouse, act: str) -> None:
    first = fill(house)
    numbers = [row.number for row in house.log.quarantine(1_000)]
    if act == "drop":
        house.pipeline.drop(numbers, "amina")
        assert house.log.quarantine_rows.use().full == ()
    else:
        told, _ = house.pipeline.replay(numbers, "amina")
        assert all(one.stays for one in told), "a full share keeps nothing from staying"
        house.pipeline.drop(numbers[:2], "amina")
    house.hear(telemetry(first, values=OUT))
    assert house.kept()["upto"] == first
    assert house.log.quarantine(1)[0].seqs == (first,)


def test_a_topic_longer_than_any_of_the_wire_is_quarantined_whole_and_not_remembered(house: IngestHouse) -> None:
    long = f"nabd/1/{'x' * 60_000}/telemetry"
    parse_topic.cache_clear()
    house.pipeline.process([Message(long, b"{}", token=1)])
    [row] = house.log.quarantine(10)
    assert (row.code, row.topic, row.sender) == ("bad_topic", long, long[:TOPIC_SHOWN])
    assert parse_topic.cache_info().currsize == 0


def test_long_topics_that_are_none_fill_the_share_of_nobody_and_no_more(house: IngestHouse) -> None:
    for n in range(10):
        house.pipeline.process([Message(f"nabd/1/مصباح{n}{'x' * 9_000}/telemetry", b"{}", token=n)])
    use = house.log.quarantine_rows.use()
    assert (use.rows, [device for device, _ in use.full]) == (4, [""])
    house.restart()
    assert house.log.quarantine_rows.use() == use
    house.hear(telemetry(1))
    assert house.readings()


def test_all_names_that_nobody_has_registered_have_one_share_together(house: IngestHouse) -> None:
    for name in range(20):
        house.hear(*(b"%d" % n + b"{" * 4_000 for n in range(4)), device=f"stranger-{name}")
        house.hear(b"[" * 4_000, device=f"stranger-{name}", channel="status")
    use = house.log.quarantine_rows.use()
    assert [device for device, _ in use.full] == [""]
    assert use.bytes < 2 * SHARE
    house.pipeline.process([message(b"{", "one-more"), message(telemetry(1)), message(b"{", "lamp-2")])
    assert house.readings() == [("lamp-1", "9f3c01aa", 1)]
    assert house.log.quarantine_rows.page(1)[0].device == "lamp-2"
    assert house.books_balance()


def test_who_looks_for_a_device_finds_what_came_before_it_was_registered(house: IngestHouse) -> None:
    house.hear(b"{", device="stranger")
    house.hear(b"{", device="stranger-2")
    table, wanted = house.log.quarantine_rows, Wanted(device="stranger")
    house.devices["stranger"] = device("stranger")
    house.hear(b"{{", device="stranger")
    assert [(row.topic, row.device) for row in table.behind(0, 10, wanted)] == [
        ("nabd/1/stranger/telemetry", ""),
        ("nabd/1/stranger/telemetry", "stranger"),
    ]
    assert table.count(wanted) == 2


def test_the_share_is_the_same_after_a_restart(house: IngestHouse) -> None:
    first = fill(house)
    use = house.log.quarantine_rows.use()
    house.restart()
    assert house.log.quarantine_rows.use() == use
    house.hear(telemetry(first, values=OUT))
    assert house.kept()["upto"] == first - 1
    assert json.loads(house.log.quarantine(1)[0].payload)["readings"][0]["seq"] == first - 1
