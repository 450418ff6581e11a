"""The API on assets, devices and readings."""

import base64
import math
from typing import Any

import pytest

from contract.quarantine import Quarantined
from contract.records import Entry, Quality, Reading, Telemetry
from tests.console.client import ApiClient
from tests.console.demo_platform import SILENT, START_MS, DemoCity

NEW = {"id": "lamp-new-1", "kind": "street_light", "commune": "berkane"}


def problem(response: Any, status: int, word: str) -> Any:
    """The problem document of a refusal, its form checked."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:nabd:problem:{word}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert isinstance(document["faults"], list)
    return document


def test_kinds_are_given_whole(client: ApiClient) -> None:
    listed = client.get("/api/v1/kinds").json()
    assert listed["total"] == len(listed["items"]) == 4
    one = client.get("/api/v1/kinds/irrigation_valve").json()
    assert one["targets"]["open"]["run_limit"] == "open_s_max"
    assert one in listed["items"]


def test_an_unknown_kind_is_not_found_and_the_nearest_is_named(client: ApiClient) -> None:
    assert "street_light" in problem(client.get("/api/v1/kinds/street_ligt"), 404, "not-found")["detail"]


def test_a_device_is_registered_with_its_asset_and_default_settings(client: ApiClient, city: DemoCity) -> None:
    response = client.post("/api/v1/devices", json={**NEW, "zone": "centre", "circuit": "c9", "lat": 34.9, "lon": -2.3})
    assert response.status_code == 201
    assert response.headers["location"] == "/api/v1/devices/lamp-new-1"
    device = response.json()
    assert device["asset"] == "lamp-new-1"
    assert device["settings"] == {"rated_power_w": 60.0, "circuit": "c9", "lighting_class": "m4"}
    assert device["contact"] == "never"
    assert device["last_seen"] is None
    assert client.get("/api/v1/devices/lamp-new-1").json()["zone"] == "centre"
    assert client.get("/api/v1/deferred").json() == {"items": [], "total": 0}


def test_settings_are_taken_flat_and_under_settings(client: ApiClient) -> None:
    body = {**NEW, "rated_power_w": 90, "settings": {"circuit": "c7"}}
    assert client.post("/api/v1/devices", json=body).json()["settings"]["rated_power_w"] == 90.0
    assert client.get("/api/v1/devices/lamp-new-1").json()["settings"]["circuit"] == "c7"


def test_registering_again_changes_the_facts_and_is_no_second_device(client: ApiClient) -> None:
    assert client.post("/api/v1/devices", json=NEW).status_code == 201
    again = client.post("/api/v1/devices", json={**NEW, "name": "Pole at the school"})
    assert again.status_code == 200
    assert again.json()["name"] == "Pole at the school"
    found = client.get("/api/v1/devices", params={"text": "school"}).json()
    assert [device["id"] for device in found["items"]] == ["lamp-new-1"]


def test_a_swapped_controller_keeps_the_asset_and_its_history(client: ApiClient) -> None:
    client.post("/api/v1/devices", json={**NEW, "asset": "pole-001"}).raise_for_status()
    asset = client.get("/api/v1/assets/pole-001").json()
    assert asset["device"] == "lamp-new-1"
    assert [binding["device"] for binding in asset["bindings"]] == ["lamp-001", "lamp-new-1"]
    assert asset["bindings"][0]["until"] == asset["bindings"][1]["from"]
    assert asset["bindings"][1]["until"] is None
    listed = client.get("/api/v1/assets", params={"text": "pole-001"}).json()
    assert [(item["id"], item["device"]) for item in listed["items"]] == [("pole-001", "lamp-new-1")]


def test_a_device_of_another_kind_is_a_conflict(client: ApiClient) -> None:
    body = {"id": "lamp-001", "kind": "waste_bin", "commune": "berkane"}
    assert "street_light" in problem(client.post("/api/v1/devices", json=body), 409, "conflict")["detail"]


def test_all_faults_of_a_registration_come_at_once(client: ApiClient) -> None:
    body = {
        "id": "Lamp 1", "kind": "street_light", "commune": "berkan", "lat": 95, "rated_power_w": 0, "colour": "red",
        "circuit": "x" * 65, "by": " ",
    }  # fmt: skip
    faults = problem(client.post("/api/v1/devices", json=body), 422, "invalid")["faults"]
    for start in ("id:", "commune:", "lat, lon:", "lat:", "settings.rated_power_w:", "settings.colour:",
                  "settings.circuit:", "by:"):  # fmt: skip
        assert any(fault.startswith(start) for fault in faults), (start, faults)
    assert any("did you mean 'berkane'" in fault for fault in faults)


@pytest.mark.parametrize(
    "body",
    [
        '{"id":"a","kind":"street_light","commune":"berkane","rated_power_w":NaN}',
        '{"id":"a","kind":"street_light","commune":"berkane","rated_power_w":1e400}',
        '{"id":"a","kind":"street_light","commune":"berkane","rated_power_w":' + "9" * 400 + "}",
        '{"id":"a","kind":"irrigation_valve","commune":"berkane","open_s_max":Infinity}',
        '{"id":"a","kind":"street_light","commune":"berkane","circuit":"\\ud800"}',
        '{"id":"a","kind":"street_light","commune":"berkane","\\ud800":1}',
        '{"id":"a","kind":"street_light","commune":"berkane","name":"\\u0000"}',
        '{"id":"a","kind":"street_light","commune":"berkane","lat":NaN,"lon":NaN}',
        '{"id":"a","kind":"street_light","commune":"berkane","settings":{"circuit":{"a":[]}}}',
        '{"id":"a","kind":"street_light","commune":"berkane","zone":"nowhere"}',
        '{"id":"nabd","kind":"street_light","commune":"berkane"}',
        '{"id":7,"kind":[],"commune":null}',
        "[]",
        "null",
        "{}",
    ],
)
def test_a_body_that_cannot_be_meant_is_refused_and_nothing_is_written(
    client: ApiClient, city: DemoCity, body: str
) -> None:
    before = city.log.last()
    response = client.post("/api/v1/devices", content=body, headers={"content-type": "application/json"})
    problem(response, 422, "invalid")
    assert city.log.last() == before


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 20_000, b"1" * 5_000])
def test_a_body_that_cannot_be_read_is_malformed(client: ApiClient, body: bytes) -> None:
    response = client.post("/api/v1/devices", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert response.headers["content-type"] == "application/problem+json"


def test_a_form_of_another_site_is_refused_unread(client: ApiClient, city: DemoCity) -> None:
    before = city.log.last()
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = client.post("/api/v1/devices", content=b"{}", headers={"content-type": media_type})
        problem(response, 415, "unsupported-media-type")
    assert city.log.last() == before


def test_a_body_over_the_limit_is_refused_told_or_not_told_its_length(client: ApiClient) -> None:
    large = b'{"id":"' + b"a" * 70_000 + b'"}'
    headers = {"content-type": "application/json"}
    problem(client.post("/api/v1/devices", content=large, headers=headers), 413, "too-large")
    pieces = [large[start : start + 10_000] for start in range(0, len(large), 10_000)]
    problem(client.post_in_pieces("/api/v1/devices", pieces, headers), 413, "too-large")


def test_devices_are_filtered_and_paged(client: ApiClient) -> None:
    everything = client.get("/api/v1/devices").json()
    assert everything["total"] == len(everything["items"]) == 19
    lamps = client.get("/api/v1/devices", params={"kind": "street_light", "offset": 10, "limit": 3}).json()
    assert lamps["total"] == 14
    assert [device["id"] for device in lamps["items"]] == ["lamp-011", "lamp-012", "lamp-013"]
    zone = client.get("/api/v1/devices", params={"zone": "park", "kind": "waste_bin"}).json()
    assert zone["total"] == sum(d["zone"] == "park" and d["kind"] == "waste_bin" for d in everything["items"])
    assert client.get("/api/v1/devices", params={"offset": 1_000_000_000}).json()["items"] == []


def test_a_misspelt_filter_is_a_fault_and_not_an_answer(client: ApiClient) -> None:
    detail = problem(client.get("/api/v1/devices?comune=berkane"), 422, "invalid")["detail"]
    assert "did you mean 'commune'" in detail
    problem(client.get("/api/v1/assets?kind=street_ligth"), 422, "invalid")
    problem(client.get("/api/v1/kinds?x=1"), 422, "invalid")


def test_an_asset_tells_unknown_zero_and_no_contact_apart(client: ApiClient) -> None:
    dark = client.get("/api/v1/assets/pole-011").json()
    assert dark["latest"]["power_w"]["value"] == 0.0
    assert dark["latest"]["power_w"]["stale"] is False
    assert "illuminance_lx" not in dark["latest"]
    assert dark["contact"] == "online"
    silent = client.get(f"/api/v1/assets/{SILENT.replace('lamp', 'pole')}").json()
    assert silent["contact"] == "lost"
    assert silent["latest"]["power_w"]["stale"] is True


def test_booleans_go_out_as_true_and_false(client: ApiClient) -> None:
    valve = client.get("/api/v1/assets/valve-001").json()
    assert valve["latest"]["open"]["value"] is False
    assert valve["latest"]["flow_l_min"]["unit"] == "l_min"
    readings = client.get("/api/v1/devices/valve-001/readings?metric=open").json()["readings"]
    assert {type(value) for _, value in readings} == {bool}


def test_a_held_clock_is_said_of_the_value(client: ApiClient) -> None:
    assert client.get("/api/v1/assets/pole-005").json()["latest"]["level"]["quality"] == ["clock_held"]


def test_readings_have_metric_unit_and_times_in_utc(client: ApiClient) -> None:
    document = client.get("/api/v1/devices/lamp-001/readings", params={"metric": "power_w"}).json()
    assert (document["device"], document["metric"], document["unit"]) == ("lamp-001", "power_w", "W")
    times = [at for at, _ in document["readings"]]
    assert times == sorted(times)
    assert times[-1] == "2026-11-23T18:19:40.000Z"
    assert "next" not in document


def temperatures(client: ApiClient, **more: str) -> Any:
    parameters = {"metric": "temperature_c", **more}
    return client.get("/api/v1/devices/lamp-005/readings", params=parameters)


def test_readings_are_filtered_by_their_marks_and_the_marks_are_told(client: ApiClient, city: DemoCity) -> None:
    """Of lamp-005 every reading has the mark of a held clock; one more is a spike."""
    record = Telemetry(
        device="lamp-005", asset="pole-005", kind="street_light", stream="9f3c01aa", boot=1,
        readings=(Reading(9001, START_MS - 1000, {"temperature_c": 90.0, "power_w": 1.0}, int(Quality.RATE)),),
    )  # fmt: skip
    city.store.write([Entry(10**9, START_MS, record)], START_MS)
    whole = temperatures(client).json()
    spike = [at for at, value in whole["readings"] if value == 90.0]
    assert [at for at, words in whole["marks"] if words == ["rate"]] == spike
    assert len(whole["marks"]) == len(whole["readings"])
    assert temperatures(client, quality="good").json()["readings"] == []
    assert [at for at, _ in temperatures(client, quality="rate").json()["readings"]] == spike
    assert temperatures(client, quality="rate,clock_held").json()["readings"] == whole["readings"]
    others = [row for row in whole["readings"] if row[0] not in spike]
    assert temperatures(client, quality="clock_held").json()["readings"] == others
    power = {"metric": "power_w", "quality": "good"}
    [row] = client.get("/api/v1/devices/lamp-005/readings", params=power).json()["readings"]
    assert row == [spike[0], 1.0], "nobody said how fast a power may change"
    assert "is not good, nor one or more of" in problem(temperatures(client, quality="bad"), 422, "invalid")["detail"]


def test_readings_lie_from_start_to_before_end(client: ApiClient) -> None:
    whole = client.get("/api/v1/devices/lamp-001/readings", params={"metric": "power_w"}).json()["readings"]
    start, end = whole[2][0], whole[5][0]
    part = client.get(
        "/api/v1/devices/lamp-001/readings", params={"metric": "power_w", "start": start, "end": end}
    ).json()
    assert part["readings"] == whole[2:5]


def test_pages_of_readings_join_to_the_whole(client: ApiClient) -> None:
    parameters: dict[str, Any] = {"metric": "power_w", "start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z"}
    whole = client.get("/api/v1/devices/lamp-001/readings", params=parameters).json()["readings"]
    joined = []
    while True:
        page = client.get("/api/v1/devices/lamp-001/readings", params={**parameters, "limit": 4}).json()
        assert len(page["readings"]) <= 4
        joined += page["readings"]
        if "next" not in page:
            break
        parameters["start"] = page["next"]
    assert joined == whole
    assert len(whole) > 8


def test_readings_of_one_moment_are_not_torn_apart_by_a_page(client: ApiClient, city: DemoCity) -> None:
    at_ms = START_MS - 1_000
    values = ({"power_w": 1.0}, {"power_w": 2.0}, {"power_w": 3.0})
    readings = tuple(Reading(900 + n, at_ms + (n == 0) * -5, value) for n, value in enumerate(values))
    city.append(
        Telemetry(device="lamp-002", asset="pole-002", kind="street_light", stream="0000aaaa", boot=1,
                  readings=readings)
    )  # fmt: skip
    start = "2026-11-23T18:19:58Z"
    parameters = {"metric": "power_w", "start": start, "end": "2026-11-23T18:20:00Z", "limit": 2}
    page = client.get("/api/v1/devices/lamp-002/readings", params=parameters).json()
    assert [value for _, value in page["readings"]] == [1.0]
    rest = client.get("/api/v1/devices/lamp-002/readings", params={**parameters, "start": page["next"]}).json()
    assert [value for _, value in rest["readings"]] == [2.0, 3.0]
    alone = client.get("/api/v1/devices/lamp-002/readings", params={**parameters, "start": page["next"], "limit": 1})
    assert alone.json()["readings"] == rest["readings"], "a page of one reading takes all of its moment"


def test_every_gives_the_mean_of_each_step(client: ApiClient) -> None:
    parameters = {"metric": "voltage_v", "every": "2h", "start": "2026-11-23T12:00:00Z", "end": "2026-11-23T18:00:00Z"}
    steps = client.get("/api/v1/devices/lamp-001/readings", params=parameters).json()["readings"]
    assert [at for at, _ in steps] == [f"2026-11-23T{hour}:00:00.000Z" for hour in (12, 14, 16)]
    assert all(229 < value < 233 for _, value in steps)


def steps_of(client: ApiClient, metric: str, aggregate: str, device: str = "lamp-001") -> dict[str, Any]:
    asked = {"metric": metric, "every": "2h", "start": "2026-11-23T12:00:00Z", "end": "2026-11-23T18:00:00Z"}
    document: dict[str, Any] = client.get(
        f"/api/v1/devices/{device}/readings", params={**asked, "aggregate": aggregate}
    ).json()
    return document


def test_a_step_says_what_it_is_asked_for(client: ApiClient) -> None:
    told = {way: steps_of(client, "voltage_v", way) for way in ("min", "mean", "max", "last", "count")}
    of_first = {way: document["readings"][0][1] for way, document in told.items()}
    assert of_first["min"] <= of_first["mean"] <= of_first["max"]
    assert of_first["min"] <= of_first["last"] <= of_first["max"]
    assert {way: document["unit"] for way, document in told.items()} == {
        "min": "V", "mean": "V", "max": "V", "last": "V", "count": "",
    }  # fmt: skip
    energy = steps_of(client, "energy_wh", "increase")
    assert (energy["unit"], [grown for _, grown in energy["readings"]]) == ("Wh", [2.0, 2.0, 2.0])


def test_the_last_of_a_step_keeps_its_type(client: ApiClient) -> None:
    assert {type(value) for _, value in steps_of(client, "open", "last", "valve-001")["readings"]} == {bool}
    assert {value for _, value in steps_of(client, "level_by", "last")["readings"]} == {"schedule"}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "query.metric"),
        ("metric=powr_w", "did you mean 'power_w'"),
        ("metric=level_by&every=5m", "words have no mean"),
        ("metric=power_w&every=5", "not a duration"),
        ("metric=power_w&aggregate=max", "aggregate: 'max' is told of steps only; say how long one is, like every=1h"),
        ("metric=power_w&every=1h&aggregate=median", "'median'"),
        ("metric=power_w&every=1h&aggregate=increase", "of type number; it has mean, min, max, last, count"),
        (
            "metric=energy_wh&every=1h&aggregate=max",
            "aggregate: 'max' is nothing that energy_wh has, of type counter; ",
        ),
        ("metric=energy_wh&every=1h&aggregate=mean", "it has last, count, increase"),
        ("metric=level_by&every=1h&aggregate=min", "it has last, count"),
        ("metric=power_w&every=1ms", "must lie from"),
        ("metric=power_w&every=99999999d", "must lie from"),
        ("metric=power_w&start=yesterday", "RFC 3339"),
        ("metric=power_w&start=2026-13-01T00:00:00Z", "no time"),
        ("metric=power_w&end=0001-01-01T00:00:00Z", "must lie from"),
        ("metric=power_w&start=2026-11-24T00:00:00Z&end=2026-11-23T00:00:00Z", "before end"),
        ("metric=power_w&limit=0", "query.limit"),
        ("metric=power_w&limit=50001", "query.limit"),
    ],
)
def test_a_wrong_question_about_readings_is_explained(client: ApiClient, query: str, said: str) -> None:
    document = problem(client.get(f"/api/v1/devices/lamp-001/readings?{query}"), 422, "invalid")
    assert any(said in fault for fault in document["faults"]), document


def test_the_ledger_of_a_device_names_what_is_missing_and_gone(client: ApiClient) -> None:
    (stream,) = client.get("/api/v1/devices/lamp-003/ledger").json()["streams"]
    assert stream["stream"] == "9f3c01aa"
    assert stream["have"] == [[1, 40], [46, 120]]
    assert stream["gone"] == [[41, 42]]
    assert stream["missing"] == [[43, 45]]


def test_a_deferred_device_is_listed_and_its_page_says_how_to_register_it(client: ApiClient) -> None:
    (waiting,) = client.get("/api/v1/deferred").json()["items"]
    assert (waiting["device"], waiting["kind"], waiting["readings"]) == ("lamp-new-1", "street_light", 41)
    assert "POST /api/v1/devices" in problem(client.get("/api/v1/devices/lamp-new-1"), 404, "not-found")["detail"]


def test_quarantine_gives_text_as_text_and_bytes_in_base64(client: ApiClient) -> None:
    items = client.get("/api/v1/quarantine").json()["items"]
    assert [item["number"] for item in items] == [3, 2, 1]
    assert items[0]["payload"] == '{"fill_level":7}'
    assert base64.b64decode(items[1]["payload_base64"]) == b"\xff\xfe\x00"
    assert "payload" not in items[1]


def test_quarantine_is_paged_by_number(client: ApiClient, city: DemoCity) -> None:
    rows = [
        Quarantined(topic="t", payload=b"", code="not_json", sentence="s", received_at_ms=0, number=number)
        for number in range(4, 12)
    ]
    city.log.append([], 0, quarantine=rows)
    seen: list[int] = []
    page = client.get("/api/v1/quarantine", params={"limit": 3}).json()
    while True:
        seen += [item["number"] for item in page["items"]]
        if "next" not in page:
            break
        page = client.get("/api/v1/quarantine", params={"limit": 3, "before": page["next"]}).json()
    assert seen == list(range(11, 0, -1))


def test_counts_of_the_ledger_add_up(client: ApiClient) -> None:
    counts = client.get("/api/v1/ledger").json()
    assert list(counts) == ["received", "accepted", "duplicate", "quarantined", "deferred", "missing", "gone"]
    assert counts["received"] == counts["accepted"] + counts["duplicate"] + counts["quarantined"] + counts["deferred"]


def test_addresses_and_methods_that_do_not_exist_are_problems_too(client: ApiClient) -> None:
    problem(client.get("/api/v1/nothing"), 404, "not-found")
    problem(client.get("/api/v1/devices/absent"), 404, "not-found")
    problem(client.get("/api/v1/assets/absent"), 404, "not-found")
    response = client.put("/api/v1/devices", json={})
    assert "GET" in problem(response, 405, "method-not-allowed")["detail"] + response.headers.get("allow", "")


def test_a_number_that_is_none_never_leaves_the_platform(client: ApiClient, city: DemoCity) -> None:
    city.store.rows[("lamp-001", "power_w")].append((START_MS - 1, math.nan))
    readings = client.get("/api/v1/devices/lamp-001/readings?metric=power_w").json()["readings"]
    assert readings[-1][1] is None


def test_a_device_registered_twice_at_once_with_two_kinds_has_the_first(client: ApiClient) -> None:
    bodies = [{"id": "lamp-77", "kind": kind, "commune": "berkane"} for kind in ("street_light", "waste_bin")]
    answers = client.post_together("/api/v1/devices", bodies)
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    accepted = next(answer for answer in answers if answer.status_code == 201)
    assert client.get("/api/v1/devices/lamp-77").json()["kind"] == accepted.json()["kind"]
