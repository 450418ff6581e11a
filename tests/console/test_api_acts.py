"""The API on alarms, intents, decisions, rules, health and metrics."""

import dataclasses
from contextlib import closing
from typing import Any

import pytest

from console.app import create_app
from contract.decisions import Alarm, AlarmState, Intent, IntentState, Rank, Severity, Step
from contract.losses import Loss
from contract.over_limit import OverLimit
from contract.ports import Effects, LogFull, StoreFault
from contract.records import Record, Wished, Withdrawn
from tests.console.client import ApiClient
from tests.console.demo_platform import START_MS, DemoCity
from tests.console.test_api_devices import problem

WISH = {"asset": "pole-001", "target": "level", "to": 0.4, "for": "20m", "reason": "film on the square", "by": "amina"}


def first_alarm(client: ApiClient) -> Any:
    return client.get("/api/v1/alarms?open=true").json()["items"][0]


def test_alarms_are_filtered_by_open_and_asset(client: ApiClient, city: DemoCity) -> None:
    gone = Alarm(
        alarm="a" * 16, rule="lamp_failed", device="lamp-001", asset="pole-001", kind="street_light",
        severity=Severity.MAJOR, state=AlarmState.RESOLVED, since_ms=START_MS - 1, resolved_at_ms=START_MS,
    )  # fmt: skip
    city.state.commit(Effects(alarms=[gone]), 1)
    assert client.get("/api/v1/alarms").json()["total"] == 4
    assert client.get("/api/v1/alarms?open=true").json()["total"] == 3
    of_one = client.get("/api/v1/alarms?asset=pole-011").json()
    assert [(item["rule"], item["severity"], item["state"]) for item in of_one["items"]] == [
        ("lamp_failed", "major", "firing")
    ]
    assert of_one["items"][0]["text"]["ar"]
    assert len(client.get("/api/v1/alarms?limit=1&offset=1").json()["items"]) == 1


def test_acknowledging_names_who_has_seen_it_and_does_not_resolve_it(client: ApiClient) -> None:
    alarm = first_alarm(client)
    seen = client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"by": "amina"}).json()
    assert (seen["acknowledged"], seen["acknowledged_by"], seen["state"]) == (True, "amina", "firing")


def test_acknowledging_twice_keeps_the_first_and_writes_nothing(client: ApiClient, city: DemoCity) -> None:
    alarm = first_alarm(client)
    client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"by": "amina"})
    before = city.log.last()
    again = client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"by": "youssef"})
    assert again.status_code == 200
    assert again.json()["acknowledged_by"] == "amina"
    assert city.log.last() == before


def test_what_cannot_be_acknowledged_is_refused(client: ApiClient, city: DemoCity) -> None:
    alarm = first_alarm(client)
    problem(client.post("/api/v1/alarms/none/acknowledge", json={"by": "amina"}), 404, "not-found")
    problem(client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"by": "  "}), 422, "invalid")
    problem(client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={}), 422, "invalid")
    pending = Alarm(
        alarm="b" * 16, rule="r", device="lamp-001", asset="pole-001", kind="street_light",
        severity=Severity.MINOR, state=AlarmState.PENDING, since_ms=START_MS,
    )  # fmt: skip
    city.state.commit(Effects(alarms=[pending]), 1)
    problem(client.post(f"/api/v1/alarms/{'b' * 16}/acknowledge", json={"by": "amina"}), 409, "conflict")


def test_a_wish_becomes_one_record_and_is_answered_when_decided(client: ApiClient, city: DemoCity) -> None:
    response = client.post("/api/v1/intents", json=WISH)
    assert response.status_code == 201
    answer = response.json()
    assert answer["assets"] == ["pole-001"]
    assert [result["step"] for result in answer["results"]] == ["sent"]
    record = city.log.entries[-1].record
    assert isinstance(record, Wished)
    assert (record.rank, record.until_ms, record.by) == ("operator", START_MS + 1_200_000, "amina")
    listed = client.get("/api/v1/intents?asset=pole-001").json()["items"]
    assert [item["id"] for item in listed] == [answer["id"]]
    decisions = client.get("/api/v1/decisions?asset=pole-001").json()["items"]
    assert [item["step"] for item in decisions] == ["sent", "leased", "won"]
    (lease,) = client.get("/api/v1/leases?device=lamp-001").json()["items"]
    assert lease["targets"]["level"]["to"] == 0.4


def test_a_valve_is_opened_with_true_and_says_true(client: ApiClient) -> None:
    body = {**WISH, "asset": "valve-001", "target": "open", "to": True, "for": "10m"}
    answer = client.post("/api/v1/intents", json=body).json()
    assert answer["to"] is True
    assert answer["results"][0]["to"] is True


def test_a_selector_finds_the_assets_of_a_zone_and_circuit(client: ApiClient, city: DemoCity) -> None:
    selector = {"kind": "street_light", "commune": "berkane", "zone": "centre", "circuit": "c1"}
    body = {key: value for key, value in WISH.items() if key != "asset"} | {"selector": selector}
    answer = client.post("/api/v1/intents", json=body).json()
    expected = [
        live.facts.asset
        for live in city.live.assets()
        if live.facts.kind == "street_light"
        and live.facts.zone == "centre"
        and live.facts.settings.get("circuit") == "c1"
    ]
    assert answer["assets"] == sorted(expected)
    assert expected
    assert len(answer["results"]) == len(expected)
    whole = client.get(f"/api/v1/intents/{answer['id']}").json()
    assert whole["total"] == len(expected)


def test_the_same_id_twice_is_one_wish_and_another_wish_under_it_a_conflict(client: ApiClient, city: DemoCity) -> None:
    body = {**WISH, "id": "order-17", "until": "2026-11-23T19:00:00Z"}
    del body["for"]
    assert client.post("/api/v1/intents", json=body).status_code == 201
    before = city.log.last()
    again = client.post("/api/v1/intents", json=body)
    assert again.status_code == 200
    assert again.json()["repeated"] is True
    assert city.log.last() == before
    problem(client.post("/api/v1/intents", json={**body, "to": 0.9}), 409, "conflict")


def test_who_heard_no_answer_may_ask_again_though_the_end_was_given_as_a_duration(
    client: ApiClient, city: DemoCity
) -> None:
    body = {**WISH, "id": "order-18"}
    assert client.post("/api/v1/intents", json=body).status_code == 201
    city.clock.advance(3_000)
    assert client.post("/api/v1/intents", json=body).json()["repeated"] is True
    problem(client.post("/api/v1/intents", json={**body, "for": "25m"}), 409, "conflict")
    problem(client.post("/api/v1/intents", json={**body, "rank": "emergency"}), 409, "conflict")


def test_a_wish_asked_again_after_its_end_is_answered_with_what_became_of_it(client: ApiClient, city: DemoCity) -> None:
    body = {**WISH, "id": "order-19", "until": "2026-11-23T19:00:00Z"}
    del body["for"]
    assert client.post("/api/v1/intents", json=body).status_code == 201
    city.clock.advance(86_400_000)
    assert client.post("/api/v1/intents", json=body).status_code == 200


def test_of_two_wishes_under_one_id_that_come_at_once_one_is_a_conflict(client: ApiClient) -> None:
    answers = client.post_together(
        "/api/v1/intents", [{**WISH, "id": "order-20", "by": by} for by in ("amina", "omar")]
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]


def test_the_same_wish_twice_at_once_is_written_once(client: ApiClient, city: DemoCity) -> None:
    before = city.log.last()
    answers = client.post_together("/api/v1/intents", [{**WISH, "id": "order-21"}] * 5)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 200, 201]
    assert city.log.last() == before + 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"asset": None}, "exactly one"),
        ({"selector": {"kind": "street_light"}}, "exactly one"),
        ({"for": None}, "always ends"),
        ({"until": "2026-11-23T19:00:00Z"}, "always ends"),
        ({"for": "soon"}, "not a duration"),
        ({"for": "400d"}, "must lie from"),
        ({"for": None, "until": "2026-11-23T10:00:00Z"}, "not after now"),
        ({"target": "levle"}, "no target"),
        ({"to": 1.7}, "outside"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 300}, "reason"),
        ({"by": "\t"}, "by"),
        ({"rank": "rule"}, "rank"),
        ({"rank": "king"}, "rank"),
        ({"id": "a b"}, "id"),
        ({"colour": "red"}, "colour"),
        ({"asset": None, "selector": {"kind": "street_light", "zone": "nowhere"}}, "matches"),
        ({"asset": None, "selector": {"kind": "street_light", "crop": "olive"}}, "no such label"),
        ({"asset": None, "selector": {"kind": "lamp"}}, "not a kind"),
        ({"asset": None, "selector": {}}, "not a kind"),
    ],
)
def test_a_wish_that_cannot_be_granted_says_why_and_writes_nothing(
    client: ApiClient, city: DemoCity, change: dict[str, Any], said: str
) -> None:
    before = city.log.last()
    body = {key: value for key, value in (WISH | change).items() if value is not None}
    document = problem(client.post("/api/v1/intents", json=body), 422, "invalid")
    assert any(said in fault for fault in document["faults"]), document
    assert city.log.last() == before


def test_a_valve_is_not_opened_over_its_longest_run(client: ApiClient) -> None:
    body = {**WISH, "asset": "valve-001", "target": "open", "to": True, "for": "2h"}
    assert "open_s_max" in problem(client.post("/api/v1/intents", json=body), 422, "invalid")["detail"]


def test_a_wish_for_an_unknown_asset_is_not_found(client: ApiClient) -> None:
    problem(client.post("/api/v1/intents", json={**WISH, "asset": "absent"}), 404, "not-found")


def test_a_number_that_is_none_is_no_wish(client: ApiClient) -> None:
    for number in ("NaN", "Infinity", "1e999", "9" * 400):
        body = '{"asset":"pole-001","target":"level","to":' + number + ',"for":"20m","reason":"r","by":"b"}'
        response = client.post("/api/v1/intents", content=body, headers={"content-type": "application/json"})
        problem(response, 422, "invalid")


def test_a_wish_is_taken_back_once_and_again_without_harm(client: ApiClient, city: DemoCity) -> None:
    wish = client.post("/api/v1/intents", json=WISH).json()
    taken = client.delete(f"/api/v1/intents/{wish['id']}?by=youssef")
    assert [item["step"] for item in taken.json()["items"]] == ["withdrawn"]
    record = city.log.entries[-1].record
    assert isinstance(record, Withdrawn)
    assert record.by == "youssef"
    before = city.log.last()
    assert client.delete(f"/api/v1/intents/{wish['id']}").status_code == 200
    assert city.log.last() == before


def test_what_a_rule_wished_cannot_be_taken_back_by_a_person(client: ApiClient, city: DemoCity) -> None:
    intent = Intent(
        intent="c" * 16, asset="pole-001", target="level", to=0.5, rank=Rank.RULE, reason="rule:dim_at_night",
        by="dim_at_night", decided_at_ms=START_MS,
    )  # fmt: skip
    city.state.commit(Effects(intents=[IntentState(intent=intent, step=Step.WON, at_ms=START_MS)]), 1)
    assert "rule:dim_at_night" in problem(client.delete(f"/api/v1/intents/{'c' * 16}"), 409, "conflict")["detail"]
    problem(client.delete("/api/v1/intents/absent"), 404, "not-found")


def test_rules_are_listed_as_far_as_they_are_known(client: ApiClient) -> None:
    (rule,) = client.get("/api/v1/rules").json()["items"]
    assert rule["name"] == "lamp_failed"
    assert rule["for_ms"] == 600_000
    assert "set" not in rule


def test_a_full_log_is_said_with_when_to_come_back(client: ApiClient, city: DemoCity) -> None:
    async def full(_: Record) -> int:
        raise LogFull("4000000000 bytes, the store is behind")

    city.refuse = full
    response = client.post("/api/v1/intents", json=WISH)
    assert "store is behind" in problem(response, 503, "unavailable")["detail"]
    assert int(response.headers["retry-after"]) > 0


def test_a_disk_that_refuses_is_said(client: ApiClient, city: DemoCity) -> None:
    async def broken(_: Record) -> int:
        raise OSError("no space left on device")

    city.refuse = broken
    assert "no space left" in problem(client.post("/api/v1/intents", json=WISH), 503, "unavailable")["detail"]


def test_a_state_that_cannot_be_read_is_said(
    client: ApiClient, city: DemoCity, caplog: pytest.LogCaptureFixture
) -> None:
    city.fill_or_free_disk()
    response = client.get("/api/v1/alarms")
    assert "state.db: its disk is full" in problem(response, 503, "unavailable")["detail"]
    assert int(response.headers["retry-after"]) > 0
    assert "reason=state.db" in caplog.text
    assert "Traceback" not in caplog.text
    city.fill_or_free_disk()
    assert client.get("/api/v1/alarms").status_code == 200


def test_a_store_that_is_away_is_said(client: ApiClient, city: DemoCity, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreFault("connection refused")

    monkeypatch.setattr(city.store, "readings", away)
    problem(client.get("/api/v1/devices/lamp-001/readings?metric=power_w"), 503, "unavailable")


def test_an_error_of_ours_is_a_problem_without_our_insides(
    client: ApiClient, city: DemoCity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(city.state, "decisions", broken)
    document = problem(client.get("/api/v1/decisions"), 500, "failed")
    assert "secret detail" not in str(document)


def test_health_is_well_with_clock_lag_and_version(client: ApiClient) -> None:
    response = client.get("/healthz")
    assert response.status_code == 200
    health = response.json()
    assert health["status"] == "ok"
    assert set(health["clock"]) == {"city_origin_ms", "real_origin_ms", "speed"}
    assert health["store_lag"] == 3
    assert health["connected"] is True
    assert health["holding"] == ""
    assert health["version"] == "0.1.0"
    assert health["ingest"]["append_p99_ms"] == 4.25


def test_how_far_each_is_behind_in_seconds_and_how_the_log_fares_is_told_and_measured(
    client: ApiClient, city: DemoCity
) -> None:
    city.log.unread_since = lambda: city.clock.now_ms() - 90_000
    city.told |= {"log": {"full_in_s": 5_000.0, "ticks_missed": 3, "clock_jumps": 1, "clock_jump_s": None}}
    city.told |= {"last_batch_ms": 12.5, "slowest_batch_ms": 80.25}
    health = client.get("/healthz").json()
    assert [health["consumers"][name]["lag_s"] for name in ("store", "decider")] == [90.0, 0.0]
    assert health["log"]["full_in_s"] == 5_000.0
    assert health["ingest"] == {"append_p99_ms": 4.25, "last_batch_ms": 12.5, "slowest_batch_ms": 80.25}
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'nabd_consumer_lag_seconds{consumer="store"} 90.0',
        "nabd_log_append_p99_ms 4.25",
        "nabd_log_full_in_s 5000.0",
        "nabd_log_ticks_missed_total 3.0",
        "nabd_clock_jumps_total 1.0",
        "nabd_ingest_slowest_batch_ms 80.25",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"connected": False}, "broker"),
        ({"holding": "disk full"}, "disk full"),
        ({"holding": True}, "keeps nothing"),
        ({"faults": ["store: connection refused"]}, "connection refused"),
    ],
)
def test_health_is_503_with_the_reason(client: ApiClient, city: DemoCity, told: dict[str, object], said: str) -> None:
    city.told |= told
    response = client.get("/healthz")
    assert response.status_code == 503
    assert any(said in reason for reason in response.json()["reasons"])


def test_health_is_503_when_the_store_is_far_behind(client: ApiClient, city: DemoCity) -> None:
    city.behind = 60_000
    city.log.entries += city.log.entries[:1] * 60_000
    assert any("behind" in reason for reason in client.get("/healthz").json()["reasons"])


def test_how_far_aggregates_are_behind_is_told(client: ApiClient, city: DemoCity) -> None:
    city.told["aggregates"] = {"hours_behind": 3, "seconds_behind": 7200, "steps": 9, "rows_retired": 4}
    assert client.get("/healthz").json()["aggregates"] == city.told["aggregates"]
    lines = client.get("/metrics").text.splitlines()
    assert "nabd_aggregates_hours_behind 3.0" in lines
    assert "nabd_aggregates_rows_retired_total 4.0" in lines


def test_what_went_wrong_on_the_wire_is_told_and_counted(client: ApiClient, city: DemoCity) -> None:
    city.told |= {"mqtt": {"oversized": 2, "answers_lost": 7}, "left_out": {"mqtt_dropped": 3}}
    response = client.get("/healthz")
    assert (response.status_code, response.json()["mqtt"]) == (200, city.told["mqtt"])
    lines = client.get("/metrics").text.splitlines()
    for line in ("nabd_mqtt_oversized_total 2.0", "nabd_mqtt_answers_lost_total 7.0", "nabd_mqtt_dropped_total 3.0"):
        assert line in lines


def test_what_was_left_out_is_told_and_counted(client: ApiClient, city: DemoCity) -> None:
    assert client.get("/healthz").json()["left_out"] == {}
    city.told["left_out"] = {"store_passed_over": 3, "recorder_refused": 2}
    response = client.get("/healthz")
    assert (response.status_code, response.json()["left_out"]) == (200, city.told["left_out"])
    lines = client.get("/metrics").text.splitlines()
    assert "nabd_store_passed_over_total 3.0" in lines
    assert "nabd_recorder_refused_total 2.0" in lines


def test_a_device_that_says_too_much_is_named_with_how_fast_and_what_to_do(client: ApiClient, city: DemoCity) -> None:
    assert client.get("/healthz").json()["over_limit"] == []
    over = OverLimit("lamp-001", "readings", 4213, 1000, 900_000, START_MS, START_MS, 3213)
    city.told |= {"over_limit": [over]}
    response = client.get("/healthz")
    [said] = response.json()["over_limit"]
    assert response.status_code == 200, "the platform is well; one device is not"
    assert (said["device"], said["count"], said["limit"], said["window_s"]) == ("lamp-001", 4213, 1000, 900)
    assert said["sentence"].startswith("4,213 readings within 15 minutes; 1,000 are allowed. Look for")
    assert 'nabd_devices_over_limit{what="readings"} 1.0' in client.get("/metrics").text.splitlines()


def test_metrics_tell_readings_lag_contact_and_alarms(client: ApiClient) -> None:
    client.post("/api/v1/intents", json=WISH)
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    names = {line.split("{")[0].split(" ")[0] for line in lines if line and not line.startswith("#")}
    assert all(name.startswith("nabd_") for name in names)
    for line in (
        'nabd_readings_total{outcome="accepted"} 5120.0',
        'nabd_quarantine_total{code="not_json"} 2.0',
        "nabd_deferred_devices 1.0",
        'nabd_consumer_lag{consumer="store"} 3.0',
        "nabd_connected 1.0",
        "nabd_clock_speed 1.0",
        'nabd_alarms_firing{severity="critical"} 1.0',
        'nabd_alarms_firing{severity="info"} 0.0',
        'nabd_leases{state="sent"} 1.0',
        'nabd_devices{contact="lost"} 1.0',
        "nabd_rules_broken 0.0",
        "nabd_ingest_kept_sent_total 12345.0",
        "nabd_ingest_last_batch_ms 1.5",
    ):
        assert line in lines, line


def test_the_api_describes_itself_without_scripts_from_elsewhere(client: ApiClient) -> None:
    paths = client.get("/api/v1/openapi.json").json()["paths"]
    assert {"/devices", "/assets/{asset}", "/intents", "/quarantine"} <= set(paths)
    problem(client.get("/api/v1/docs"), 404, "not-found")


def test_a_copy_of_the_store_says_where_it_lies_and_a_store_that_is_a_service_has_none(city: DemoCity) -> None:
    for copy, said in (
        (lambda: (7, "copy/a1/store.duckdb"), {"position": 7, "path": "copy/a1/store.duckdb"}),
        (None, {"position": None, "path": None}),
    ):
        with closing(
            ApiClient(create_app(dataclasses.replace(city.platform(), copy_store=copy), pages=False))
        ) as client:
            assert client.post("/api/v1/store/copy", json={}).json() == said


def test_what_the_store_lacks_is_accepted_over_the_api(city: DemoCity) -> None:
    losses: list[Loss | None] = [Loss(first=1, last=8), None]
    platform = dataclasses.replace(city.platform(), accept_loss=lambda: losses.pop(0))
    with closing(ApiClient(create_app(platform, pages=False))) as client:
        assert client.post("/api/v1/store/accept-loss", json={}).json() == {"first": 1, "last": 8}
        assert client.post("/api/v1/store/accept-loss", json={}).json() == {"first": None, "last": None}
