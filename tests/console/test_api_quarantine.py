"""/api/v1/quarantine: found by what is asked for, replayed and dropped by name, and nothing unseen with it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from console.problems import Problem
from console.quarantine_acts import ROWS_MAX, Done, in_parts
from contract.ports import LogFull
from contract.quarantine import QuarantineChanged, Quarantined, Wanted
from tests.console.client import ApiClient
from tests.console.demo_platform import DemoCity
from tests.console.test_api_devices import problem

HERE = "/api/v1/quarantine"


def add(city: DemoCity, first: int, number: int, **facts: Any) -> None:
    rows = [
        Quarantined(**{"topic": "t", "payload": b"{}", "code": "mended", "sentence": "s", "received_at_ms": 0,
                       "number": n, "device": "lamp-9", **facts})
        for n in range(first, first + number)
    ]  # fmt: skip
    city.log.append([], 0, quarantine=rows)


def acts(city: DemoCity) -> list[tuple[str, list[int], str]]:
    told: list[tuple[str, list[int], str]] = city.log.quarantine_rows.acts
    return told


def test_rows_are_found_by_code_device_and_time_with_how_many_there_are(client: ApiClient, city: DemoCity) -> None:
    found = client.get(HERE, params={"code": "not_json", "limit": 1}).json()
    assert ([item["number"] for item in found["items"]], found["total"], found["next"]) == ([2], 2, 2)
    assert client.get(HERE, params={"device": "bin-002"}).json()["total"] == 1
    since = client.get(HERE).json()["items"][1]["received_at"]
    assert [item["number"] for item in client.get(HERE, params={"since": since}).json()["items"]] == [3, 2]
    assert problem(client.get(HERE, params={"since": "yesterday"}), 422, "invalid")["faults"][0].startswith("since: ")


def test_one_row_is_told_whole_and_its_bytes_come_as_they_came(client: ApiClient) -> None:
    row = client.get(f"{HERE}/2").json()
    assert (row["code"], row["count"], row["bytes"]) == ("not_json", 3, 3)
    raw = client.get(f"{HERE}/2/raw")
    assert raw.content == b"\xff\xfe\x00"
    assert raw.headers["content-type"] == "application/octet-stream"
    assert "attachment" in raw.headers["content-disposition"]
    for path in ("99", "99/raw", "0"):
        assert "there is no row" in problem(client.get(f"{HERE}/{path}"), 404, "not-found")["detail"]


def test_a_replay_says_of_each_row_what_became_of_it(client: ApiClient, city: DemoCity) -> None:
    add(city, 4, 1)
    told = client.post(f"{HERE}/replay", json={"numbers": [3, 4, 77], "by": " amina "}).json()
    assert [(one["number"], one["stored"], one["stays"]) for one in told["items"]] == [(3, 0, True), (4, 1, False)]
    assert (told["stored"], told["stay"], told["total"]) == (1, 1, 2)
    assert acts(city) == [("replay", [3, 4, 77], "amina")]


def test_what_is_looked_for_is_replayed_part_by_part_oldest_first(client: ApiClient, city: DemoCity) -> None:
    add(city, 4, 5, code="too_old")
    body: dict[str, Any] = {"code": "too_old", "by": "amina", "limit": 2, "upto": 7}
    seen = []
    while True:
        told = client.post(f"{HERE}/replay", json=body).json()
        seen += [one["number"] for one in told["items"]]
        if "next" not in told:
            break
        body["after"] = told["next"]
    assert seen == [4, 5, 6, 7], "row 8 came after somebody looked"


def test_a_drop_by_what_it_looks_for_needs_the_newest_row_that_was_seen(client: ApiClient, city: DemoCity) -> None:
    refused = problem(client.post(f"{HERE}/drop", json={"code": "not_json", "by": "amina"}), 422, "invalid")
    assert refused["faults"][0].startswith("upto: missing")
    assert client.post(f"{HERE}/drop", json={"code": "not_json", "by": "amina", "upto": 1}).json() == {"dropped": 1}
    assert [item["number"] for item in client.get(HERE).json()["items"]] == [3, 2]
    assert client.post(f"{HERE}/drop", json={"numbers": [2, 3], "by": "amina"}).json() == {"dropped": 2}
    assert client.get(HERE).json() == {"items": [], "total": 0}


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"numbers": [1]}, "by"),
        ({"numbers": [1], "by": "  "}, "by: missing"),
        ({"numbers": [1], "code": "not_json", "by": "amina"}, "numbers: give either"),
        ({"numbers": list(range(1, 202)), "by": "amina"}, "numbers"),
        ({"numbers": [0], "by": "amina"}, "numbers"),
        ({"numbers": [True], "by": "amina"}, "numbers"),
        ({"numbers": [1], "by": "amina", "colour": 1}, "colour"),
    ],
)
def test_what_is_asked_wrongly_changes_nothing(
    client: ApiClient, city: DemoCity, body: dict[str, Any], fault: str
) -> None:
    for act in ("replay", "drop"):
        told = problem(client.post(f"{HERE}/{act}", json=body), 422, "invalid")
        assert any(fault in one for one in told["faults"]), told
    assert acts(city) == []


def test_who_fills_the_quarantine_is_told_and_makes_the_platform_not_ill(client: ApiClient, city: DemoCity) -> None:
    city.log.quarantine_rows.full = (("lamp-5", 123_456),)
    health = client.get("/healthz")
    assert (health.status_code, health.json()["reasons"]) == (200, [])
    told = health.json()["quarantine"]
    assert told["filled_by"] == [{"device": "lamp-5", "bytes": 123_456}]
    assert told["rows"] == 3
    metrics = client.get("/metrics").text
    for line in ("nabd_quarantine_rows 3.0", "nabd_quarantine_devices_full 1.0", "nabd_quarantine_bytes_max 1e+06"):
        assert line in metrics


@pytest.mark.parametrize(
    ("error", "status", "word", "said"),
    [
        (QuarantineChanged("row 3 is not there any more"), 409, "conflict", "look again"),
        (LogFull("no room"), 503, "unavailable", "the log cannot be used: no room"),
    ],
)
def test_what_cannot_be_done_now_is_said_with_the_next_step(
    client: ApiClient, city: DemoCity, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, word: str,
    said: str,
) -> None:  # fmt: skip
    async def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(city.log.quarantine_rows, "replay", fails)
    monkeypatch.setattr(city.log.quarantine_rows, "drop", fails)
    for act in ("replay", "drop"):
        answer = client.post(f"{HERE}/{act}", json={"numbers": [3], "by": "amina"})
        assert said in problem(answer, status, word)["detail"]


@pytest.mark.parametrize("act", ["replay", "drop"])
def test_what_the_parts_before_a_fault_came_to_is_told(
    city: DemoCity, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    add(city, 4, 2 * ROWS_MAX + 1)
    add(city, 1_000, 1, code="too_old", sentence="too old")
    rows = city.log.quarantine_rows
    real = getattr(rows, act)

    async def fails_at_last(numbers: Sequence[int], by: str) -> Any:
        if len(numbers) < ROWS_MAX:
            raise QuarantineChanged("row 404 is not there any more")
        return await real(numbers, by)

    monkeypatch.setattr(rows, act, fails_at_last)

    async def to_the_fault() -> tuple[Done, str]:
        done = Done()
        try:
            async for so_far in in_parts(city.platform(), act, "amina", Wanted(), numbers=None, upto=None):
                done = so_far
        except Problem as problem:
            return done, problem.detail
        return done, ""

    whole = 2 * ROWS_MAX
    came_to = Done(dropped=whole) if act == "drop" else Done(stored=whole - 3, stay=3, why=rows.held[0].sentence)
    assert asyncio.run(to_the_fault()) == (came_to, "row 404 is not there any more; look again, then repeat it")
