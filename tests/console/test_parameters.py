"""What comes in through an address: never a 500, whatever it is."""

import json
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.parameters import parse_duration, parse_time
from console.problems import Problem
from contract.moments import TIME_MAX_MS, rfc3339
from tests.console.client import ApiClient
from tests.console.demo_platform import DemoCity

PATHS = (
    "/kinds", "/assets", "/devices", "/devices/lamp-001/readings", "/devices/lamp-001/ledger", "/deferred", "/leases",
    "/alarms", "/intents", "/decisions", "/rules", "/ledger", "/quarantine",
)  # fmt: skip
NAMES = ("limit", "offset", "kind", "zone", "commune", "text", "asset", "device", "metric", "start", "end", "every",
         "open", "before", "by", "nonsense")  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=30),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(
        ["power_w", "level_by", "2026-11-23T18:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60+23:59",
         "2026-11-23T18:00:00 01:00", "5m", "1ms", "99999999999999999999d", "true", "1e308", "-0", "\x00", "%00"]
    ),
)  # fmt: skip


@given(st.integers(min_value=0, max_value=TIME_MAX_MS))
def test_every_time_that_is_written_is_read_back(ms: int) -> None:
    written = rfc3339(ms)
    assert written is not None
    assert parse_time("at", written) == ms


@given(st.integers(min_value=0, max_value=TIME_MAX_MS), st.integers(min_value=-23 * 60 - 59, max_value=23 * 60 + 59))
def test_times_with_an_offset_agree_with_the_standard_library(ms: int, offset_minutes: int) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    try:
        written = datetime.fromtimestamp(ms / 1000, zone).isoformat(timespec="milliseconds")
    except OverflowError:  # beyond year 9999 in that zone
        return
    assert abs(parse_time("at", written) - ms) <= 1  # the standard library rounds through a float


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00.5z", 500),
        ("1970-01-01 01:00:00+01:00", 0),
        ("1970-01-01T01:00:00 01:00", 0),
        ("1970-01-01T00:00:00.123456789Z", 123),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("1969-12-31T19:00:00-05:00", 0),
    ],
)
def test_rfc_3339_in_all_its_forms_is_read(text: str, expected: int) -> None:
    assert parse_time("at", text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-23", "20261123T180000Z", "2026-11-23T18:00Z", "2026-11-23T18:00:00", "2026-02-30T00:00:00Z",
     "2026-11-23T24:00:00Z", "2026-11-23T18:00:61Z", "2026-11-23T18:00:00+24:00", "1969-12-31T23:59:59Z",
     "٢٠٢٦-11-23T18:00:00Z", "2026-11-23T18:00:00Z\n", "0000-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_time("start", text)
    assert caught.value.status == 422
    assert caught.value.detail.startswith("start: ")


@given(st.text(max_size=60))
def test_any_text_is_a_duration_within_bounds_or_a_problem(text: str) -> None:
    status = 0
    try:
        ms = parse_duration("every", text, 1, 1_000)
    except Problem as problem:
        status = problem.status
    assert status == 422 or 1 <= ms <= 1_000


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PATHS), query=st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=4))
def test_no_question_breaks_the_api(client: ApiClient, path: str, query: dict[str, str]) -> None:
    response = client.get(f"/api/v1{path}", params=query)
    assert response.status_code in (200, 404, 422), (response.status_code, response.text)
    if response.status_code != 200:
        assert response.headers["content-type"] == "application/problem+json"


BODY_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    address=st.sampled_from(("/intents", "/devices", "/alarms/x/acknowledge")),
    changes=st.dictionaries(
        st.sampled_from(("id", "kind", "commune", "asset", "selector", "target", "to", "until", "for", "reason", "by",
                         "rank", "lat", "lon", "settings", "name", "circuit")),
        BODY_VALUES,
        max_size=5,
    ),
)  # fmt: skip
def test_no_body_breaks_the_api(client: ApiClient, city: DemoCity, address: str, changes: dict[str, object]) -> None:
    bodies: dict[str, dict[str, object]] = {
        "/intents": {"asset": "pole-001", "target": "level", "to": 0.4, "for": "20m", "reason": "r", "by": "b"},
        "/devices": {"id": "new-1", "kind": "street_light", "commune": "berkane"},
        "/alarms/x/acknowledge": {"by": "b"},
    }
    body = json.dumps({**bodies[address], **changes})
    response = client.post(f"/api/v1{address}", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (200, 201, 400, 404, 409, 422), (response.status_code, response.text)
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
