"""Ingest reads every upward golden vector as docs/wire.md says."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from contract.ports import Message
from contract.records import DeviceLog, Reading, Reported, Result, Status, Telemetry
from tests.ingest.house import IngestHouse, message

VECTORS = Path(__file__).parents[1] / "vectors"
DEVICE_OF_KIND = {"street_light": "lamp-1", "irrigation_valve": "valve-1"}


def cases(channel: str) -> list[Any]:
    return [
        pytest.param(case, id=case["name"])
        for case in json.loads((VECTORS / f"{channel}.json").read_text(encoding="utf-8"))
    ]


def payload_of(case: dict[str, Any]) -> bytes:
    if "payload_base64" in case:
        return base64.b64decode(case["payload_base64"])
    return str(case["payload"]).encode()


def said_ms(reading: Reading) -> int:
    """What the device said, whatever we made of it."""
    return reading.measured_at_ms if reading.device_at_ms is None else reading.device_at_ms


def refused(house: IngestHouse, case: dict[str, Any]) -> None:
    assert house.codes() == [case["code"]]
    [row] = house.log.quarantine(10)
    assert row.payload == payload_of(case)
    assert row.sentence
    assert house.records() == []
    assert house.books_balance()


@pytest.mark.parametrize("case", cases("telemetry"))
def test_telemetry_is_read_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    device = DEVICE_OF_KIND[case.get("kind", "street_light")]
    house.clock.ms = case.get("received_at", 1_795_457_855_400)
    for earlier in case.get("before", []):
        house.hear(earlier.encode(), device=device)
    before = len(house.records())
    counts = dict(house.log.counts())
    house.hear(payload_of(case), device=device)
    if not case["valid"]:
        refused(house, case)
        return
    parsed, faults = case["parsed"], case.get("faults", [])
    told = [record for record in house.records()[before:] if isinstance(record, Telemetry)]
    readings = [
        {"seq": reading.seq, "v": dict(reading.values)} | ({"at": said_ms(reading)} if "at" in wanted else {})
        for record in told
        for reading, wanted in zip(record.readings, parsed["readings"], strict=True)
    ]
    wanted = [{key: value for key, value in one.items() if key != "up"} for one in parsed["readings"]]
    assert readings == wanted
    assert all((record.stream, record.boot) == (parsed["stream"], parsed["boot"]) for record in told)
    assert sorted(row.code for row in house.log.quarantine(100)) == sorted({fault["code"] for fault in faults})
    assert house.count("quarantined") - counts.get("quarantined", 0) == len(faults)
    assert house.count("duplicate") == len(case.get("duplicates", []))
    assert house.count("unknown_keys") + house.count("unknown_metrics") == case.get("unknown_keys", 0)
    have = house.stream(device, parsed["stream"]).have
    for fault in faults:
        assert fault["seq"] is None or any(first <= fault["seq"] <= last for first, last in have)
    assert house.books_balance()


@pytest.mark.parametrize("case", cases("status"))
def test_status_is_read_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    house.hear(payload_of(case), channel="status")
    if not case["valid"]:
        refused(house, case)
        return
    [status] = house.records()
    assert isinstance(status, Status)
    told = {
        "online": status.online, "n": status.n, "boot": status.boot, "at": status.measured_at_ms,
        "stream": status.stream or None, "kind": status.kind or None, "model": status.model or None,
        "firmware": status.firmware or None, "reset": status.reset or None, "period_s": status.period_s,
        "asleep_until": status.asleep_until_ms,
    }  # fmt: skip
    assert {key: value for key, value in told.items() if value is not None} == case["parsed"]
    assert house.count("unknown_keys") == case.get("unknown_keys", 0)


@pytest.mark.parametrize("case", cases("reported"))
def test_reported_is_read_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    device = "valve-1" if "open" in str(case.get("payload")) else "lamp-1"
    house.hear(payload_of(case), device=device, channel="reported")
    if not case["valid"]:
        refused(house, case)
        return
    [told] = house.records()
    assert isinstance(told, Reported)
    parsed = case["parsed"]
    assert (told.n, told.boot, told.version, told.result) == tuple(
        parsed[key] for key in ("n", "boot", "version", "result")
    )
    assert (told.code or None, told.measured_at_ms) == (parsed.get("code"), parsed.get("at"))
    assert (dict(told.state), dict(told.by)) == (parsed["state"], parsed["by"])
    assert house.count("unknown_keys") == case.get("unknown_keys", 0)


@pytest.mark.parametrize("case", cases("result"))
def test_result_is_read_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    house.hear(payload_of(case), channel="result")
    if not case["valid"]:
        refused(house, case)
        return
    [told] = house.records()
    assert isinstance(told, Result)
    parsed = case["parsed"]
    assert (told.call, told.status, told.code or None) == (parsed["id"], parsed["status"], parsed.get("code"))


@pytest.mark.parametrize("case", cases("log"))
def test_log_is_read_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    house.hear(payload_of(case), channel="log")
    if not case["valid"]:
        refused(house, case)
        return
    [told] = house.records()
    assert isinstance(told, DeviceLog)
    parsed = case["parsed"]
    assert (told.boot, told.level, told.event) == (parsed["boot"], parsed["level"], parsed["event"])
    assert told.measured_at_ms == parsed.get("at")


@pytest.mark.parametrize("case", cases("time"))
def test_time_is_answered_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    outcome = house.hear(payload_of(case), channel="time")
    if not case["valid"]:
        refused(house, case)
        return
    [(topic, payload)] = outcome.replies
    assert topic == "nabd/1/lamp-1/now"
    assert json.loads(payload) == {"nonce": case["parsed"]["nonce"], "at": house.clock.now_ms()}


@pytest.mark.parametrize("case", cases("topics"))
def test_a_topic_is_taken_or_quarantined_as_its_vector_says(house: IngestHouse, case: dict[str, Any]) -> None:
    house.pipeline.process([Message(case["topic"], b"{}")])
    assert (house.codes() == ["bad_topic"]) is not case["valid"]
    assert house.log.quarantine(1)[0].topic == case["topic"]


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
@pytest.mark.parametrize("case", cases("order"))
def test_order_tells_news_from_old_news_as_its_vector_says(
    house: IngestHouse, case: dict[str, Any], together: bool
) -> None:
    batch = [message(one["payload"].encode(), "lamp-1", one["channel"]) for one in case["messages"]]
    if together:
        house.pipeline.process(batch)
        assert len(house.records()) == sum(case["news"])
    else:
        news = []
        for one in batch:
            before = len(house.records())
            house.pipeline.process([one])
            news.append(len(house.records()) > before)
            house.restart()
        assert news == case["news"]
    assert house.count("old_news") == case["news"].count(False)
