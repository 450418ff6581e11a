"""Every panel's query against a real InfluxDB that a simulated city filled, and its numbers against the console's."""

import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from contract.kind_file import load_kinds
from dashboards.build import build
from dashboards.provisioning import alerts
from nabd.process import Child
from stand.asking import every_panel, interpolated, panel_queries
from stand.influxdb import InfluxServer
from tests.e2e.conftest import City
from tests.waiting import eventually

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

SPEED = 400
RUNS_S = 40  # four and a half hours of the city, from before dusk
DOCUMENTS = build(load_kinds(), "fr")
MAY_BE_EMPTY = {"aucun", "aucune alarme", "tous répondent"}
"""What a panel says when there is none: such panels count or list what is wrong."""

QUIET = {"Commandes aux vannes", "Relevés à réserver sur 24 h"}
"""Counts of what may not have happened in these hours."""


class Filled:
    """A city after its fleet has gone: the readings stand still."""

    def __init__(self, city: City, influx: InfluxServer, bucket: str) -> None:
        self.city, self.influx, self.bucket = city, influx, bucket
        self.assets: list[dict[str, Any]] = []
        self.last_ms = 0

    def get(self, path: str, **parameters: Any) -> Any:
        return self.city.get(path, **parameters)

    def now_ms(self) -> int:
        assert self.city.platform is not None
        return _ms(self.city.platform.client.health()["now"])

    def newest_ms(self, measurement: str) -> int:
        """Just after its newest sample: a city that runs this fast has samples further apart than a panel looks."""
        (row,) = self.ask(f'SELECT * FROM "{measurement}" ORDER BY time DESC LIMIT 1')
        return int(row["time"]) // 10**6 + 1_000

    def ask(self, query: str) -> list[dict[str, Any]]:
        return self.influx.ask(query, self.bucket)

    def read_assets(self) -> None:
        listed = self.get("assets", limit=1000)["items"]
        self.assets = [self.get(f"assets/{one['id']}") for one in listed]
        newest_ms = max(_ms(latest["measured_at"]) for one in self.assets for latest in one["latest"].values())
        self.last_ms = newest_ms + 1_000  # a point's time has digits below the millisecond

    def latest(self, kind: str, metric: str, within_ms: int) -> dict[str, Any]:
        """Asset → its newest value in the console, when it is younger than `within_ms` at the last reading."""
        return {
            one["id"]: one["latest"][metric]["value"]
            for one in self.assets
            if one["kind"] == kind
            and metric in one["latest"]
            and _ms(one["latest"][metric]["measured_at"]) >= self.last_ms - within_ms
        }

    def number(self, uid: str, title: str, end_ms: int | None = None) -> Any:
        """What a panel of one number shows; None for nothing."""
        (row,) = self.rows(uid, title, end_ms) or [{}]
        values = [value for name, value in row.items() if name not in ("time", "measurement")]
        return values[0] if values else None

    def rows(self, uid: str, title: str, end_ms: int | None = None) -> list[dict[str, Any]]:
        document = DOCUMENTS[uid]
        panel = next(one for one in every_panel(document) if one["title"] == title)
        (query,) = panel_queries(document, panel, end_ms or self.last_ms)
        return self.ask(query)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.fixture(scope="module")
def filled(influx: InfluxServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    folder = tmp_path_factory.mktemp("filled")
    bucket = "dashboards"
    influx.add_bucket(bucket)
    (folder / "token").write_text(influx.token, encoding="utf-8")
    config = folder / "nabd.toml"
    config.write_text(
        f'[store]\nkind = "influxdb"\n[influxdb]\nurl = "{influx.url}"\nbucket = "{bucket}"\n'
        f'token_file = "{folder / "token"}"\n',
        encoding="utf-8",
    )
    city = City(folder)
    try:
        city.up("--config", str(config), "--speed", str(SPEED), "--start", "2026-11-24T15:30Z")
        filled = Filled(city, influx, bucket)
        _fill(filled)
        yield filled
    finally:
        city.end()


def _fill(filled: Filled) -> None:
    city = filled.city
    assert city.platform is not None
    fleet: Child = city.run([
        sys.executable, "-m", "nabd", "simulate", "--lights", "24", "--bins", "10", "--valves", "6", "--url",
        city.platform.client.url, "--mqtt-port", str(city.mqtt_port), "--for", str(RUNS_S),
    ])  # fmt: skip
    eventually(lambda: not fleet.alive(), "the fleet has run", RUNS_S + 60)
    assert fleet.stop() == 0
    eventually(lambda: city.platform is not None and city.platform.client.health()["store_lag"] == 0, "all is stored")
    filled.read_assets()
    after = f'SELECT "online" FROM "nabd_ledger" WHERE time > {filled.last_ms + 1_800_000}ms LIMIT 1'
    eventually(lambda: filled.ask(after), "the ledger of the time after the fleet is written", 60)


@pytest.mark.parametrize("uid", DOCUMENTS)
def test_every_query_is_answered_and_has_data_where_something_was_measured(filled: Filled, uid: str) -> None:
    document, empty = DOCUMENTS[uid], []
    for panel in every_panel(document):
        asked = json.dumps(panel["targets"])
        sampled = next((name for name in ("nabd_ledger", "nabd_health") if name in asked), None)
        end_ms = filled.newest_ms(sampled) if sampled else filled.last_ms
        answers = [filled.ask(query) for query in panel_queries(document, panel, end_ms)]
        may_be_empty = panel["fieldConfig"]["defaults"]["noValue"] in MAY_BE_EMPTY or panel["title"] in QUIET
        if not any(answers) and not may_be_empty:
            empty.append(panel["title"])
    for marks in document.get("annotations", {}).get("list", []):
        filled.ask(interpolated(marks["target"]["query"], filled.last_ms - 86_400_000, filled.last_ms))
    assert empty == []


@pytest.mark.parametrize("uid", [uid for uid in DOCUMENTS if uid != "nabd-platform-fr"])
def test_variables_offer_what_there_is_chained(filled: Filled, uid: str) -> None:
    offered: dict[str, list[str]] = {}
    for variable in DOCUMENTS[uid]["templating"]["list"]:
        if variable["type"] == "query":
            offered[variable["name"]] = [row["value"] for row in filled.ask(interpolated(variable["query"], 0, 1))]
    assert offered.pop("commune") == ["berkane"]
    known = {one["zone"] for one in filled.assets if one["zone"]}
    assert set(offered["zone"]) <= known
    assert all(offered.values()) or uid == "nabd-weather-station-fr"


def test_a_chosen_zone_shows_that_zone_alone(filled: Filled) -> None:
    document = DOCUMENTS["nabd-lighting-fr"]
    panel = next(one for one in every_panel(document) if one["title"] == "Derniers relevés")
    zone = next(one["zone"] for one in filled.assets if one["kind"] == "street_light" and one["zone"])
    (query,) = panel_queries(document, panel, filled.last_ms, chosen={"zone": zone, "commune": "(berkane|saidia)"})
    assert {row["zone"] for row in filled.ask(query)} == {zone}


HALF_HOUR_MS = 1_800_000
TWO_HOURS_MS = 7_200_000


def test_lighting_shows_the_console_s_numbers(filled: Filled) -> None:
    power = filled.latest("street_light", "power_w", HALF_HOUR_MS)
    level = filled.latest("street_light", "level", HALF_HOUR_MS)
    assert sum(power.values()) > 0, "it is night"
    assert filled.number("nabd-lighting-fr", "Puissance") == pytest.approx(sum(power.values()))
    assert filled.number("nabd-lighting-fr", "Allumés") == sum(value > 0.005 for value in level.values())
    shown = {row["asset"]: row["power_w"] for row in filled.rows("nabd-lighting-fr", "Derniers relevés")}
    assert shown == power


def test_waste_shows_the_console_s_numbers(filled: Filled) -> None:
    fill = filled.latest("waste_bin", "fill_level", TWO_HOURS_MS)
    shown = {row["asset"]: row["fill_level"] for row in filled.rows("nabd-waste-fr", "À collecter en premier")}
    assert shown == fill
    mean = sum(fill.values()) / len(fill)
    assert filled.number("nabd-waste-fr", "Remplissage moyen") == pytest.approx(mean)
    full = sum(value >= 0.8 for value in fill.values())
    assert (filled.number("nabd-waste-fr", "Pleins") or 0) == full


def test_irrigation_shows_the_console_s_numbers(filled: Filled) -> None:
    opened = filled.latest("irrigation_valve", "open", HALF_HOUR_MS)
    flow = filled.latest("irrigation_valve", "flow_l_min", HALF_HOUR_MS)
    assert filled.number("nabd-irrigation-fr", "Vannes ouvertes") == sum(map(float, opened.values()))
    assert filled.number("nabd-irrigation-fr", "Débit") == pytest.approx(sum(flow.values()))


def _grown(filled: Filled, kind: str, metric: str) -> float:
    """By the console's API: the last reading of each device's counter minus its first, within a day."""
    grown = 0.0
    for one in filled.assets:
        if one["kind"] == kind:
            answer = filled.get(f"devices/{one['device']}/readings", metric=metric, start="2026-11-24T00:00:00Z",
                                end="2026-11-25T23:00:00Z", limit=50_000)  # fmt: skip
            readings = answer["readings"]
            grown += readings[-1][1] - readings[0][1]
    return grown


@pytest.mark.parametrize(
    ("title", "kind", "metric", "factor"),
    [("Énergie sur 24 h", "street_light", "energy_wh", 1.0), ("Eau sur 24 h", "irrigation_valve", "volume_ml", 0.001)],
)
def test_energy_and_water_of_a_day_are_what_the_counters_grew(
    filled: Filled, title: str, kind: str, metric: str, factor: float
) -> None:
    grown = _grown(filled, kind, metric)
    assert filled.number("nabd-energy-water-fr", title) == pytest.approx(grown * factor)
    by_day = {"energy_wh": "Énergie par jour", "volume_ml": "Eau par jour"}[metric]
    summed = sum(row[metric] for row in filled.rows("nabd-energy-water-fr", by_day, filled.last_ms + HALF_HOUR_MS))
    assert 0 < summed <= grown * factor * 1.000001, "from the first sample of each device on"


def test_open_alarms_are_those_of_the_console(filled: Filled) -> None:
    def both() -> tuple[int, int]:
        end_ms = filled.now_ms()
        shown = sum(
            int(filled.number(f"nabd-{board}-fr", "Alarmes ouvertes", end_ms) or 0)
            for board in ("lighting", "waste", "irrigation", "weather-station")
        )
        return shown, filled.get("alarms", open="true", limit=1)["total"]

    eventually(lambda: both()[0] > 0, "somebody is silent by now", 60)
    eventually(lambda: len({*both()}) == 1, lambda: f"dashboards and console agree: {both()}", 60)


def test_completeness_is_that_of_the_console_s_ledger(filled: Filled) -> None:
    have = missing = gone = 0
    for one in filled.assets:
        for stream in filled.get(f"devices/{one['device']}/ledger")["streams"]:
            have += _size(stream["have"])
            missing += _size(stream["missing"])
            gone += _size(stream["gone"])
    end_ms = filled.newest_ms("nabd_ledger")
    assert filled.number("nabd-data-fr", "Relevés manquants", end_ms) == missing
    assert filled.number("nabd-data-fr", "Relevés perdus", end_ms) == gone
    shown = filled.number("nabd-data-fr", "Complétude", end_ms)
    assert shown == pytest.approx(have / (have + missing + gone))
    assert have > 500


def _size(spans: list[list[int]]) -> int:
    return sum(last - first + 1 for first, last in spans)


def test_the_platform_s_own_numbers_are_those_it_tells(filled: Filled) -> None:
    end_ms = filled.newest_ms("nabd_health")
    assert filled.number("nabd-platform-fr", "Courtier MQTT", end_ms) == 1
    assert filled.number("nabd-platform-fr", "Pannes signalées", end_ms) == 0
    counts = filled.get("ledger")
    (row,) = filled.ask('SELECT last("accepted") AS "accepted", "devices" FROM "nabd_health"')
    assert row["accepted"] == counts["accepted"]
    assert row["devices"] == len(filled.assets)


@pytest.mark.parametrize("name", [alert.name for alert in alerts()])
def test_an_alert_s_query_gives_one_number(filled: Filled, name: str) -> None:
    (alert,) = [alert for alert in alerts() if alert.name == name]
    end_ms = filled.newest_ms("nabd_ledger" if "nabd_ledger" in alert.query.text() else "nabd_health")
    (row,) = filled.ask(interpolated(alert.query.text(), end_ms - alert.within_s * 1000, end_ms))
    assert len([value for key, value in row.items() if key not in ("time", "measurement")]) == 1


def test_a_store_that_refuses_what_ingest_believed_is_shown_and_sets_off_the_alert(
    influx: InfluxServer, influx_bucket: str
) -> None:
    end_ms = influx.now_ms()
    for ago_ms, refused in ((60_000, 0), (30_000, 30), (1_000, 45)):
        fields = f"quarantined=7,deferred=0,duplicate=0,store_refused={refused}"
        influx.write(f"nabd_health {fields} {(end_ms - ago_ms) * 1_000_000}", influx_bucket)
    (alert,) = [alert for alert in alerts() if alert.name == "quarantine"]
    asked = interpolated(alert.query.text(), end_ms - alert.within_s * 1000, end_ms)
    (row,) = influx.ask(asked, influx_bucket)
    assert row["quarantined"] == 45 > alert.bound
    document = DOCUMENTS["nabd-data-fr"]
    panels = {panel["title"]: panel for panel in every_panel(document)}
    (query,) = panel_queries(document, panels["En quarantaine sur 24 h"], end_ms)
    assert [row["quarantined"] for row in influx.ask(query, influx_bucket)] == [45]
    bars = [
        row["store_refused"]
        for query in panel_queries(document, panels["Refusés ou répétés"], end_ms, seconds=300)
        if "store_refused" in query
        for row in influx.ask(query.replace("GROUP BY time(300s)", "GROUP BY time(10s)"), influx_bucket)
    ]
    assert sum(bars) == 45
