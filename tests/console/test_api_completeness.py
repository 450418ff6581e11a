"""The API on completeness and gaps. Of lamp-006 one reading is gone, two are missing, one could not be read."""

from typing import Any

import pytest

from contract.records import Reading, Telemetry
from tests.console.client import ApiClient
from tests.console.demo_platform import HOUR_MS, START_MS, DemoCity
from tests.console.test_api_devices import problem

LOST = {"expected": 17, "had": 14, "quarantined": 1, "missing": 2, "gone": 1}


def item(client: ApiClient, query: str) -> Any:
    return client.get(f"/api/v1/completeness?{query}").json()["items"][0]


def test_the_least_complete_asset_comes_first_with_what_became_of_its_readings(client: ApiClient) -> None:
    answer = client.get("/api/v1/completeness").json()
    first = answer["items"][0]
    assert first == {"asset": "pole-006", **LOST, "completeness": round(14 / 17, 6)}
    assert all(one["completeness"] == 1 for one in answer["items"][1:])
    assert answer["total"] == len(answer["items"]) == 19
    whole = answer["all"]
    assert whole["expected"] == sum(one["expected"] for one in answer["items"])
    assert (whole["missing"], whole["gone"], whole["quarantined"]) == (2, 1, 1)
    assert answer["timezone"] == "Africa/Casablanca"
    assert (answer["from"], answer["to"]) == ("2026-11-16T23:00:00.000Z", "2026-11-23T23:00:00.000Z")


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("by=device", {"device": "lamp-006"}),
        ("by=zone&asset=pole-006", {"commune": "berkane", "zone": "centre"}),
        ("by=day&device=lamp-006", {"day": "2026-11-23"}),
    ],
)
def test_it_is_told_by_device_zone_and_local_day(client: ApiClient, query: str, key: dict[str, str]) -> None:
    assert item(client, query) == {**key, **LOST, "completeness": round(14 / 17, 6)}


def test_a_page_is_a_part_of_the_whole(client: ApiClient) -> None:
    whole = client.get("/api/v1/completeness?limit=1000").json()["items"]
    pages = [client.get(f"/api/v1/completeness?limit=7&offset={at}").json()["items"] for at in (0, 7, 14)]
    assert [one for page in pages for one in page] == whole


def test_only_the_days_and_the_kind_that_were_asked_for_count(client: ApiClient) -> None:
    assert client.get("/api/v1/completeness?from=2026-11-20T00:00:00Z&to=2026-11-22T00:00:00Z").json()["items"] == []
    bins = client.get("/api/v1/completeness?kind=waste_bin").json()
    assert [one["asset"] for one in bins["items"]] == ["bin-001", "bin-002"]


def test_what_cannot_be_asked_is_named(client: ApiClient) -> None:
    long = client.get("/api/v1/completeness?from=2026-01-01T00:00:00Z")
    assert "93" in problem(long, 422, "invalid")["detail"]
    backwards = client.get("/api/v1/completeness?from=2026-11-20T00:00:00Z&to=2026-11-19T00:00:00Z")
    assert problem(backwards, 422, "invalid")["faults"][0].startswith("from")
    assert "street_light" in problem(client.get("/api/v1/gaps?kind=lamp"), 422, "invalid")["detail"]
    problem(client.get("/api/v1/gaps?state=lost"), 422, "invalid")
    problem(client.get("/api/v1/completeness?by=week"), 422, "invalid")


def test_gaps_are_told_part_by_part_with_the_times_beside_them(client: ApiClient) -> None:
    answer = client.get("/api/v1/gaps?asset=pole-006").json()
    parts = [(one["first"], one["last"], one["count"], one["state"]) for one in answer["items"]]
    assert parts == [(5, 5, 1, "gone"), (6, 7, 2, "open"), (8, 8, 1, "quarantined")]
    missing = answer["items"][1]
    assert (missing["from"], missing["to"]) == ("2026-11-23T12:20:00.000Z", "2026-11-23T13:50:00.000Z")
    assert (missing["device"], missing["stream"], missing["closed_at"]) == ("lamp-006", "9f3c01aa", None)
    only = client.get("/api/v1/gaps?state=open&state=gone").json()["items"]
    assert [one["state"] for one in only] == ["gone", "open"]


def test_late_data_raise_the_figure_of_their_day_and_the_gap_is_told_as_late(client: ApiClient, city: DemoCity) -> None:
    late = tuple(Reading(seq, START_MS - 6 * HOUR_MS + seq * 1000, {"level": 0.0}) for seq in (6, 7))
    city.append(
        Telemetry(device="lamp-006", asset="pole-006", kind="street_light", stream="9f3c01aa", boot=3, readings=late)
    )
    assert item(client, "by=device&device=lamp-006")["missing"] == 0
    found = client.get("/api/v1/gaps?device=lamp-006&state=late").json()["items"]
    assert [(one["first"], one["last"], one["closed_at"]) for one in found] == [(6, 7, "2026-11-23T18:20:00.000Z")]
