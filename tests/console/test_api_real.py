"""The API over the real log, state and store: what the fakes promise, the adapters keep."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from adapters.stores.duckdb_store import DuckStore
from console.app import create_app
from console.live import LiveView
from contract.kind_file import load_kinds
from tests.console.client import ApiClient
from tests.console.demo_platform import DemoCity


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoCity]:
    folder: Path = tmp_path_factory.mktemp("data")
    log = SqliteLog(folder / "log.db", bytes_max=100_000_000, days_max=30)
    state = SqliteState(folder / "state.db")
    store = DuckStore(folder / "store.duckdb", load_kinds())
    city = DemoCity(lights=14, speed=1.0, rooms=(log, store, state))
    city.history(hours=7)
    yield city
    for room in (store, state, log):
        room.close()


@pytest.fixture(scope="module")
def client(city: DemoCity) -> Iterator[ApiClient]:
    client = ApiClient(create_app(city.platform(), pages=False))
    yield client
    client.close()


def test_devices_and_readings_come_back_as_they_went_in(client: ApiClient) -> None:
    assert client.get("/api/v1/devices?kind=street_light&limit=5").json()["total"] == 14
    readings = client.get("/api/v1/devices/lamp-001/readings?metric=voltage_v").json()["readings"]
    assert len(readings) == 15
    assert all(at.startswith("2026-11-23T") and 229 < value < 233 for at, value in readings)
    steps = client.get("/api/v1/devices/lamp-001/readings?metric=voltage_v&every=2h&start=2026-11-23T12:00:00Z").json()[
        "readings"
    ]
    assert [at for at, _ in steps][:3] == [f"2026-11-23T{hour}:00:00.000Z" for hour in (12, 14, 16)]


def test_a_step_of_a_counter_says_how_much_it_grew(client: ApiClient) -> None:
    asked = {"metric": "energy_wh", "every": "2h", "start": "2026-11-23T12:00:00Z", "end": "2026-11-23T18:00:00Z"}
    steps = client.get("/api/v1/devices/lamp-001/readings", params={**asked, "aggregate": "increase"}).json()
    assert (steps["unit"], [grown for _, grown in steps["readings"]]) == ("Wh", [2.0, 2.0, 2.0])


def test_booleans_and_words_keep_their_type(client: ApiClient) -> None:
    opened = client.get("/api/v1/devices/valve-001/readings?metric=open").json()["readings"]
    assert {type(value) for _, value in opened} == {bool}
    by = client.get("/api/v1/devices/lamp-001/readings?metric=level_by").json()["readings"]
    assert {value for _, value in by} == {"schedule"}


def test_a_day_of_a_technician(client: ApiClient) -> None:
    """Register what waits, acknowledge an alarm, dim a zone, look at the audit, take the command back."""
    device = client.post("/api/v1/devices", json={"id": "lamp-new-1", "kind": "street_light", "commune": "berkane"})
    assert device.status_code == 201
    alarm = client.get("/api/v1/alarms?open=true").json()["items"][0]
    seen = client.post(f"/api/v1/alarms/{alarm['id']}/acknowledge", json={"by": "amina"}).json()
    assert seen["acknowledged_by"] == "amina"
    body = {
        "selector": {"kind": "street_light", "zone": "centre"}, "target": "level", "to": 0.5, "for": "1h",
        "reason": "film on the square", "by": "amina", "id": "order-1",
    }  # fmt: skip
    wish = client.post("/api/v1/intents", json=body)
    assert wish.status_code == 201
    assert len(wish.json()["results"]) == len(wish.json()["assets"]) > 2
    asset = wish.json()["assets"][0]
    audit = client.get(f"/api/v1/decisions?asset={asset}").json()["items"]
    assert [item["step"] for item in audit] == ["sent", "leased", "won"]
    taken = client.delete("/api/v1/intents/order-1?by=amina").json()
    assert {item["step"] for item in taken["items"]} == {"withdrawn"}


def test_counts_quarantine_health_and_metrics_are_read_from_the_log(client: ApiClient) -> None:
    assert client.get("/api/v1/ledger").json()["received"] == 5204
    items = client.get("/api/v1/quarantine?limit=2").json()
    assert [item["device"] for item in items["items"]] == ["bin-002", "valve-001"]
    assert "next" in items
    assert client.get("/healthz").status_code == 200
    assert 'nabd_readings_total{outcome="accepted"} 5120.0' in client.get("/metrics").text


def test_the_live_view_is_rebuilt_from_state_and_store(city: DemoCity) -> None:
    view = LiveView(city.kinds)
    view.restore(city.state.devices()[1], city.store.latest(), city.clock.now_ms())
    for live in city.live.assets():
        again = view.asset(live.facts.asset)
        assert again is not None
        assert {name: latest.value for name, latest in again.values.items()} == {
            name: latest.value for name, latest in live.values.items()
        }
