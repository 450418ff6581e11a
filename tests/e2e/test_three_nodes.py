"""The whole way round: three real MicroPython nodes, a real broker, one platform."""

import re
import sqlite3
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from tests.e2e.conftest import City
from tests.waiting import eventually

START = "2026-11-24T11:00:00Z"  # noon in Berkane: the lamp's own schedule keeps it dark
SPEED = 20
PLACE = {"speed": SPEED, "lat": 34.92, "lon": -2.32, "utc_offset_min": 60, "period_s": 20}

RULE = """\
group: test
rules:
  - name: lit_at_noon
    kind: street_light
    when: between(12:00, 18:00) and temperature_c > -40
    set: {level: 0.4}
    lease: 2m
"""


def test_readings_are_stored_once_a_rules_lease_is_obeyed_and_its_end_brings_the_schedule_back(city: City) -> None:
    platform = city.up("--start", START, "--speed", str(SPEED))
    city.add("node-light", "street_light", settings={"rated_power_w": 60})
    city.add("node-bin", "waste_bin")
    city.add("node-valve", "irrigation_valve", settings={"open_s_max": 600})
    said = city.node("node-light", "street_light", **PLACE)
    city.node("node-bin", "waste_bin", **PLACE)
    city.node("node-valve", "irrigation_valve", **PLACE)

    for device in ("node-light", "node-bin", "node-valve"):
        eventually(lambda device=device: ranges(city, device), f"readings of {device}")  # type: ignore[misc]
    # Its very first readings may be older than its clock: until then it holds its safe value.
    eventually(lambda: levels(city)[-1] == 0.0, "at noon, without a lease, the lamp follows its own schedule")

    # A rule's lease reaches the light, the node obeys and says so.
    for shipped in (city.data / "site" / "rules").glob("*.yaml"):
        shipped.unlink()
    (city.data / "site" / "rules" / "test.yaml").write_text(RULE, encoding="utf-8")
    platform.process.send_signal(1)  # SIGHUP loads changed rules
    lease = eventually(lambda: confirmed(city), "a confirmed lease")
    assert lease["targets"]["level"]["to"] == 0.4
    assert lease["targets"]["level"]["reason"] == "rule:lit_at_noon"
    eventually(lambda: 0.4 in levels(city), "a reading with the leased level")
    eventually(lambda: {"won", "leased", "sent", "confirmed"} <= steps(city, "node-light"), "every step in the audit")

    # A valve that an operator opens closes by itself at the lease's end.
    wish(city, "node-valve", "open", True, "2m")
    eventually(lambda: (True, False) in pairwise(values(city, "node-valve", "open")), "open and closed again", 60)
    assert values(city, "node-valve", "open")[-1] is False

    # Nobody renews the lease any more: the node returns to its schedule by itself.
    platform.kill()
    eventually(lambda: re.search(r"by=schedule[^\n]*\Z|by=schedule(?![\s\S]*by=lease)", said.read_text()), "schedule")

    # Without the rule, or the platform could lease again before the node has measured once by its schedule.
    (city.data / "site" / "rules" / "test.yaml").unlink()
    city.up()
    leased = levels(city).index(0.4)
    # The node may be back at the broker before ingest is: what it sends then is sent again after a minute.
    eventually(lambda: 0.0 in levels(city)[leased:], "what it did meanwhile comes to the store", 100)
    assert "schedule" in values(city, "node-light", "level_by")[leased:]
    each_stored_once(city)


def test_a_node_that_is_not_registered_is_shown_loses_nothing_and_sends_at_once_when_it_is(city: City) -> None:
    city.up()
    city.node("node-bin", "waste_bin", speed=1, period_s=2)
    waiting = eventually(lambda: city.get("deferred")["items"], "a deferred device")
    assert (waiting[0]["device"], waiting[0]["kind"]) == ("node-bin", "waste_bin")
    assert city.get("ledger")["accepted"] == 0
    time.sleep(3)  # some readings gather on the node
    city.add("node-bin", "waste_bin")
    eventually(lambda: city.get("ledger")["accepted"] >= 2, "what it held, at once", 10)
    assert eventually(lambda: ranges(city, "node-bin"), "its ledger")[0][0] == 1, "from the first reading on"
    eventually(lambda: not city.get("deferred")["items"], "nobody waits any more")


def wish(city: City, asset: str, target: str, to: object, duration: str) -> None:
    assert city.platform is not None
    city.platform.client.post(
        "intents", {"asset": asset, "target": target, "to": to, "for": duration, "reason": "test", "by": "amina"}
    )


def steps(city: City, asset: str) -> set[str]:
    return {decision["step"] for decision in city.get("decisions", asset=asset)["items"]}


def ranges(city: City, device: str) -> list[list[int]]:
    streams = city.get(f"devices/{device}/ledger")["streams"]
    return [run for stream in streams for run in stream["have"]]


def values(city: City, device: str, metric: str) -> list[object]:
    return [value for _, value in city.get(f"devices/{device}/readings", metric=metric)["readings"]]


def levels(city: City) -> list[object]:
    return eventually(lambda: values(city, "node-light", "level"), "levels")


def confirmed(city: City) -> Any:
    leases = city.get("leases", device="node-light")["items"]
    live = [lease for lease in leases if lease["state"] == "confirmed" and lease["targets"]]
    return live[0] if live else None


def each_stored_once(city: City) -> None:
    """What the ledger has is in the store, each reading once: read from the files, platform stopped."""
    assert city.platform is not None
    counts = city.get("ledger")
    assert counts["received"] == sum(counts[name] for name in ("accepted", "duplicate", "quarantined", "deferred"))
    expected = {
        (device, stream["stream"], seq)
        for device in ("node-light", "node-bin", "node-valve")
        for stream in city.get(f"devices/{device}/ledger")["streams"]
        for first, last in stream["have"]
        for seq in range(first, last + 1)
    }
    assert city.platform.stop() == 0
    stored = stored_names(city.data)
    assert len(stored) == len(set(stored)), "no reading is stored twice"
    assert expected <= set(stored), "no reading that was kept is missing"


def stored_names(data: Path) -> list[tuple[str, str, int]]:
    with duckdb.connect(str(data / "store.duckdb"), read_only=True) as store:
        tables = [name for (name,) in store.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return [
            row
            for table in tables
            if table.startswith("readings_")
            for row in store.execute(f"SELECT device, stream, seq FROM {table}").fetchall()
        ]


def test_the_log_is_a_plain_sqlite_file_that_passes_its_own_check(city: City) -> None:
    platform = city.up("--lights", "3", "--speed", "60")
    eventually(lambda: city.get("ledger")["accepted"] >= 3, "some readings")
    platform.kill()
    with sqlite3.connect(city.data / "log.db") as log:
        assert log.execute("PRAGMA integrity_check").fetchone() == ("ok",)
