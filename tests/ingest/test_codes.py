"""Every code of docs/wire.md, by a message that earns it: quarantined whole, counted, kept where it can be named."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.wire.messages import AGE_MS_MAX, AHEAD_MS_MAX, FAULT_CODES, PAYLOAD_BYTES_MAX, SEQ_MAX
from tests.ingest.house import KINDS, NOW_MS, STREAM, IngestHouse, message, telemetry

WIRE = Path(__file__).parents[2] / "docs" / "wire.md"


def without(key: str) -> dict[str, Any]:
    document = telemetry(1)
    del document["readings"][0][key]
    return document


# code → payload, channel, is its seq 1 kept afterwards?, what the sentence says
EARNED: dict[str, tuple[Any, str, bool, str]] = {
    "not_json": (b'{"stream":', "telemetry", False, "not JSON"),
    "too_large": (b" " * (PAYLOAD_BYTES_MAX + 1), "telemetry", False, "8193 bytes; the limit is 8192"),
    "bad_topic": (telemetry(1), "kept", False, "'nabd/1/lamp-1/kept' is not"),
    "missing_key": (without("at"), "telemetry", True, "seq 1: at: missing"),
    "wrong_type": (telemetry(1, values={"level": "high"}), "telemetry", True, "seq 1: level: 'high' is not a number"),
    "out_of_range": (telemetry(1, values={"level": 7}), "telemetry", True, "seq 1: level: 7 ratio is not within 0 and"),
    "too_old": (telemetry(1, at=NOW_MS - AGE_MS_MAX - 1), "telemetry", True, "366 days ago, more than 366"),
}


def test_the_codes_of_the_page_are_those_of_the_contract() -> None:
    section = WIRE.read_text(encoding="utf-8").split("\n## Codes\n")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(FAULT_CODES)
    assert set(FAULT_CODES) - set(EARNED) == {"conflict", "in_future"}


@pytest.mark.parametrize("code", EARNED)
def test_a_message_that_earns_a_code_is_quarantined_with_it_whole(house: IngestHouse, code: str) -> None:
    payload, channel, is_kept, says = EARNED[code]
    sent = message(payload, "lamp-1", channel)
    house.pipeline.process([sent])
    [row] = house.log.quarantine(10)
    assert (row.code, row.topic, row.payload, row.received_at_ms) == (code, sent.topic, sent.payload, NOW_MS)
    assert says in row.sentence
    assert house.count(f"quarantined.{code}") == house.count("quarantined") == house.count("received") == 1
    assert house.records() == []
    assert house.kept()["upto"] == (1 if is_kept else 0)


def test_a_conflict_is_quarantined_and_the_first_content_stays(house: IngestHouse) -> None:
    house.hear(telemetry(1, values={"level": 0.1}))
    other = telemetry(1, values={"level": 0.2})
    house.hear(other)
    [row] = house.log.quarantine(10)
    assert (row.code, row.seq, json.loads(row.payload)) == ("conflict", 1, other)
    kept = house.log.reading("lamp-1", "9f3c01aa", 1)
    assert kept is not None
    assert kept.values == {"level": 0.1}


def test_a_reading_sent_again_after_its_kind_learned_a_metric_is_no_conflict(house: IngestHouse) -> None:
    """Nor after it lost one: what only one of the two could say says nothing of whether they are the same."""
    lamp = KINDS["street_light"]
    fewer = {name: metric for name, metric in lamp.metrics.items() if name != "level"}
    house.restart({**KINDS, "street_light": msgspec.structs.replace(lamp, metrics=fewer)})
    sent = telemetry(1, values={"power_w": 60.0, "level": 0.5})
    house.hear(sent)
    house.restart(KINDS)
    house.hear(sent, telemetry(2, values={"power_w": 60.0, "level": 0.5}))
    house.hear(telemetry(2, values={"power_w": 60.0}))
    assert (house.codes(), house.count("duplicate")) == ([], 2)


def test_a_seq_that_no_device_reaches_is_refused_and_makes_nothing_missing_or_gone(house: IngestHouse) -> None:
    """One flipped bit; and sums over many streams stay within what SQLite counts in."""
    house.hear(telemetry(1, 2, 2**45 + 3, oldest=1), telemetry(oldest=SEQ_MAX + 1))
    assert house.codes() == ["out_of_range", "out_of_range"]
    assert (house.pipeline.missing_total(), house.pipeline.gone_total()) == (0, 0)
    assert house.kept() == {"stream": STREAM, "upto": 2}
    house.hear(*(telemetry(stream=f"{n:08x}", oldest=SEQ_MAX) for n in range(250)))
    house.restart()
    assert house.count("gone") == house.pipeline.gone_total() == 250 * (SEQ_MAX - 1)


def test_a_time_in_the_future_that_no_clock_of_this_boot_can_have_said_is_quarantined(house: IngestHouse) -> None:
    """A clock that is ahead is corrected; a time a year from that of the reading beside it is noise."""
    sent = telemetry(1, 2)
    sent["readings"][1]["at"] = NOW_MS + AGE_MS_MAX
    house.hear(sent)
    [row] = house.log.quarantine(10)
    assert (row.code, json.loads(row.payload)) == ("in_future", sent)
    assert "31622400 s ahead, more than 600" in row.sentence
    assert house.readings() == [("lamp-1", "9f3c01aa", 1)]
    assert house.kept()["upto"] == 2


@pytest.mark.parametrize("at", [NOW_MS - AGE_MS_MAX, NOW_MS + AHEAD_MS_MAX])
def test_the_bounds_of_time_are_those_of_the_contract(house: IngestHouse, at: int) -> None:
    house.hear(telemetry(1, at=at))
    assert house.codes() == []
    assert len(house.readings()) == 1
