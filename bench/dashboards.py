"""`make bench-dashboards`: how long each panel's query takes on thirty days of a thousand devices, in a real InfluxDB.

The points are made by the platform's own functions, at each kind's own period: readings, the ledger every five minutes,
zones every quarter of an hour, health every ten seconds, alarms and leases. Then each query is asked as Grafana would,
over the time its panel shows by itself and over the whole thirty days.
"""

import argparse
import os
import platform as machine
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil

from adapters.stores.influx_lines import LineMaker, point_line
from contract.decisions import Alarm, AlarmState, Decision, Severity, Step
from contract.kind import Kind, Kinds, Metric, MetricType, Value
from contract.kind_file import load_kinds
from contract.ports import AlarmChange, AlarmRow, Device, LeaseStep, LedgerRow
from contract.records import Entry, Quality, Reading, Telemetry
from dashboards.build import build
from nabd.annals import alarm_points, health_point, lease_point, ledger_points
from nabd.recorder import HEALTH_EVERY_MS, LEDGER_EVERY_MS, ZONES_EVERY_MS
from nabd.recording import PRESET
from nabd.zones import Thing, Zones
from stand.asking import every_panel, interpolated, panel_queries, span_s
from stand.influxdb import InfluxServer

DAYS = 30
DAY_MS = 86_400_000
END_MS = 1_790_000_100_000  # a multiple of five minutes
FLEET = {"street_light": 800, "waste_bin": 140, "irrigation_valve": 50, "weather_station": 10}
ZONES, CIRCUITS = 12, 30
LINES = 20_000  # a request
LIMIT_MS = 300.0
ROUNDS = 5


@dataclass(frozen=True)
class Placed:
    """A device of any kind, on a thing of its own name."""

    kind: Kind
    facts: Device
    offset_ms: int

    @property
    def group(self) -> str:
        return str(self.facts.settings.get(self.kind.group, "")) if self.kind.group else ""


def city(kinds: Kinds, chance: random.Random, scale: float) -> list[Placed]:
    things = []
    for name, count in FLEET.items():
        kind = kinds[name]
        setting = kind.settings.get(kind.group)
        for number in range(max(1, round(count * scale))):
            values = setting.values if setting is not None and setting.values else ()
            group = values[number % len(values)] if values else f"C{number % CIRCUITS}"
            facts = Device(
                device=f"{name}-{number}", asset=f"{name}-{number}", kind=name, commune="berkane",
                zone=f"zone-{number % ZONES}", name="", lat=None, lon=None, registered_at_ms=0,
                settings={kind.group: group} if kind.group else {},
            )  # fmt: skip
            things.append(Placed(kind, facts, chance.randrange(kind.period_s * 1000)))
    return things


def readings(kinds: Kinds, things: list[Placed], start_ms: int) -> Iterator[str]:
    """One a message."""
    maker = LineMaker(kinds)
    for thing in things:
        period_ms, facts = thing.kind.period_s * 1000, thing.facts
        for seq in range(1, (END_MS - start_ms) // period_ms):
            at_ms = start_ms + thing.offset_ms + seq * period_ms
            quality = Quality.LATE if seq % 50 == 0 else Quality(0)
            record = Telemetry(
                device=facts.device, asset=facts.asset, kind=facts.kind, stream="s1", boot=1, commune=facts.commune,
                zone=facts.zone, group=thing.group, readings=(Reading(seq, at_ms, values(thing.kind, seq), quality),),
            )  # fmt: skip
            maker.add([Entry(seq, at_ms + 500, record)], at_ms + 700)
        for _, lines in maker.take():
            yield from lines


def values(kind: Kind, seq: int) -> dict[str, Value]:
    return {metric.name: _value(metric, seq) for metric in kind.metrics.values()}


def _value(metric: Metric, seq: int) -> Value:
    if metric.type is MetricType.COUNTER:
        return float(seq * 15)
    if metric.type is MetricType.BOOLEAN:
        return float(seq % 2)
    if metric.type is MetricType.ENUM:
        return metric.values[seq % len(metric.values)]
    if metric.maximum is not None and metric.maximum <= 1:
        return round(seq % 97 / 97, 2)
    return round(20 + seq % 37 * 1.1, 1)


def ledger(things: list[Placed], start_ms: int) -> Iterator[str]:
    devices = {thing.facts.device: thing.facts for thing in things}
    for number, at_ms in enumerate(range(start_ms, END_MS, LEDGER_EVERY_MS)):
        have, missing = 1_000 + number // 3, number % 3
        ranges = ((1, have), (have + missing + 1, have + missing + 1))
        rows = [LedgerRow(device=name, stream="s1", have=ranges, gone=()) for name in devices]
        online = dict.fromkeys(devices, number % 100 > 0)
        yield from map(point_line, ledger_points(rows, devices, online, dict.fromkeys(devices, at_ms), at_ms))


def zones(kinds: Kinds, things: list[Placed], start_ms: int) -> Iterator[str]:
    maker = Zones(kinds)
    for number, at_ms in enumerate(range(start_ms - start_ms % ZONES_EVERY_MS, END_MS, ZONES_EVERY_MS)):
        now = {thing.kind.name: values(thing.kind, number) for thing in things}
        seen = [
            Thing(
                thing.facts,
                number % 100 > 0,
                now[thing.kind.name],
                {
                    metric.name: float(number * 15)
                    for metric in thing.kind.metrics.values()
                    if metric.type is MetricType.COUNTER
                },
            )
            for thing in things
        ]
        yield from map(point_line, maker.points(seen, at_ms))


def health(start_ms: int) -> Iterator[str]:
    for number, at_ms in enumerate(range(start_ms, END_MS, HEALTH_EVERY_MS)):
        yield point_line(health_point(figures(number), at_ms))


def figures(number: int) -> dict[str, float]:
    """What the recorder samples of a platform; a test holds the two together."""
    return {
        **dict.fromkeys(PRESET, 0), "received": number * 10, "accepted": number * 10, "duplicate": number // 50,
        "quarantined": number // 500, "missing": number % 40, "gone": number // 900,
        "log_bytes": 10**8 + number, "log_bytes_max": 4 * 10**9, "log_position": number * 11,
        "store_position": number * 11 - 20, "decider_position": number * 11 - 3, "live_position": number * 11,
        "store_passed_over": 0, "recorder_dropped": 0, "recorder_refused": 0,
        "connected": 1, "faults": 0, "devices": 1_000, "devices_online": 990, "alarms_open": 3,
        "cpu_s": number * 0.4, "memory_bytes": 25 * 10**7,
    }  # fmt: skip


def events(things: list[Placed], start_ms: int, chance: random.Random) -> Iterator[str]:
    """Two alarms a device in the month, each fired and most resolved; two leases a day of every target."""
    for thing in things:
        facts = thing.facts
        for number in range(2):
            at_ms = chance.randrange(start_ms, END_MS - 3_600_000)
            is_open = number == 1 and chance.random() < 0.05
            alarm = Alarm(
                alarm=f"{facts.device}{number}", rule="silent", device=facts.device, asset=facts.asset,
                kind=facts.kind, severity=Severity.MINOR, since_ms=at_ms, fired_at_ms=at_ms,
                state=AlarmState.FIRING if is_open else AlarmState.RESOLVED,
                resolved_at_ms=None if is_open else at_ms + 1_800_000,
                text={"ar": "صامت", "fr": "Muet", "en": "Silent"},
            )  # fmt: skip
            row = AlarmRow(alarm=alarm, acknowledged_by=None, acknowledged_at_ms=None)
            change = AlarmChange(position=1, row=row, commune=facts.commune, zone=facts.zone)
            yield from map(point_line, alarm_points(change))
        for target in thing.kind.targets:
            for at_ms in range(start_ms + thing.offset_ms, END_MS, DAY_MS // 2):
                yield _lease(thing, target, Step.SENT, at_ms)
                yield _lease(thing, target, Step.CONFIRMED, at_ms + 2_000)


def _lease(thing: Placed, target: str, step: Step, at_ms: int) -> str:
    facts = thing.facts
    decision = Decision(
        decision=f"{facts.device}{at_ms}", at_ms=at_ms, asset=facts.asset, device=facts.device, target=target,
        step=step, intent="i1", to=1.0, until_ms=at_ms + DAY_MS // 2, version=3, reason="rule:lights",
    )  # fmt: skip
    told = LeaseStep(number=1, decision=decision, kind=facts.kind, commune=facts.commune, zone=facts.zone, rank="rule")
    return point_line(lease_point(told))


def fill(server: InfluxServer, kinds: Kinds, things: list[Placed], days: int) -> None:
    start_ms, chance = END_MS - days * DAY_MS, random.Random(1)
    parts = {
        "readings": readings(kinds, things, start_ms),
        "ledger": ledger(things, start_ms),
        "zones": zones(kinds, things, start_ms),
        "health": health(start_ms),
        "alarms and leases": events(things, start_ms, chance),
    }
    for name, lines in parts.items():
        began_s, total, batch = time.monotonic(), 0, []
        for line in lines:
            batch.append(line)
            if len(batch) == LINES:
                server.write("\n".join(batch))
                total, batch = total + len(batch), []
        if batch:
            server.write("\n".join(batch))
            total += len(batch)
        print(f"written: {total:,} points of {name} in {time.monotonic() - began_s:.0f} s", flush=True)


class Asker:
    """Asks on one connection, as Grafana does, and watches the CPU time of the server: that is the same on a busy
    machine, where the times until the answer are not."""

    def __init__(self, url: str, token: str, bucket: str, pid: int) -> None:
        self._server = psutil.Process(pid)
        self._http = httpx.Client(
            base_url=url,
            params={"db": bucket, "epoch": "ms"},
            headers={"Authorization": f"Token {token}"},
            timeout=60,
        )

    def close(self) -> None:
        self._http.close()

    def time(self, query: str) -> "Took":
        took_ms, before_s = [], self._cpu_s()
        for _ in range(ROUNDS):
            began_s = time.monotonic()
            answer = self._http.post("/query", data={"q": query})
            took_ms.append((time.monotonic() - began_s) * 1000)
            assert b'"error"' not in answer.content[:200], answer.text[:200]
        return Took(median(took_ms), max(took_ms), (self._cpu_s() - before_s) * 1000 / ROUNDS)

    def _cpu_s(self) -> float:
        used = self._server.cpu_times()
        return float(used.user + used.system)


@dataclass(frozen=True)
class Took:
    p50_ms: float
    max_ms: float
    cpu_ms: float  # of the server, a query

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:5.0f} max {self.max_ms:5.0f} cpu {self.cpu_ms:5.0f} ms"


def measure(asker: Asker, kinds: Kinds, days: int) -> list[tuple[Took, Took, str]]:
    """(over its own time, over all days, which) of every query."""
    found = []
    for uid, document in build(kinds, "en").items():
        for panel in every_panel(document):
            own = panel_queries(document, panel, END_MS)
            whole = panel_queries(document, panel, END_MS, seconds=days * 86_400)
            for number, (query, long_query) in enumerate(zip(own, whole, strict=True)):
                shown, long = asker.time(query), asker.time(long_query)
                which = f"{uid.removesuffix('-en')} / {panel['title']}" + (f" ({number + 1})" if len(own) > 1 else "")
                hours = span_s(document, panel) / 3600
                print(f"{which:58} {hours:5g} h: {shown}   {days} d: {long}", flush=True)
                found.append((shown, long, which))
        _others(asker, document, days)
    return found


def _others(asker: Asker, document: dict[str, Any], days: int) -> None:
    start_ms = END_MS - days * DAY_MS
    queries = {
        f"marks {one['name']}": one["target"]["query"] for one in document.get("annotations", {}).get("list", [])
    }
    queries |= {
        f"variable {one['name']}": one["query"] for one in document["templating"]["list"] if one["type"] == "query"
    }
    for name, query in queries.items():
        print(f"{document['uid']} / {name}: {asker.time(interpolated(query, start_ms, END_MS))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-dashboards", description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--scale", type=float, default=1.0, help="of the thousand devices")
    options = parser.parse_args()
    print(f"machine: {os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}, {sys.platform}")
    kinds = load_kinds()
    things = city(kinds, random.Random(2), options.scale)
    with tempfile.TemporaryDirectory(prefix="nabd-bench-") as folder:
        server = InfluxServer(Path(folder) / "influxdb")
        try:
            fill(server, kinds, things, options.days)
            asker = Asker(server.url, server.token, server.bucket, server.pid)
            found = measure(asker, kinds, options.days)
            asker.close()
        finally:
            server.end()
    shown = {"as shown": [(own, which) for own, _, which in found]}
    shown[f"over {options.days} days"] = [(whole, which) for _, whole, which in found]
    for name, times in shown.items():
        slowest, which = max(times, key=lambda one: one[0].p50_ms)
        slow = sum(one.p50_ms > LIMIT_MS for one, _ in times)
        dear = sum(one.cpu_ms > LIMIT_MS for one, _ in times)
        print(
            f"{name}: {len(times)} queries of {len(things)} devices; p50 over {LIMIT_MS:g} ms: {slow}; "
            f"more CPU than that: {dear}; slowest: {which}, {slowest}"
        )


if __name__ == "__main__":
    main()
