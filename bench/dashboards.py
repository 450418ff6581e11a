"""`make bench-dashboards`: how long each panel's query takes on thirty days of a thousand devices, in a real InfluxDB.

The points are written as line protocol in the layout the platform writes, at each kind's own period: readings, the
ledger every five minutes, zones every quarter of an hour, health every ten seconds, alarms and leases. Then each query
is asked as Grafana would, over the time its panel shows by itself and over the whole thirty days.
"""

import argparse
import os
import platform as machine
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from zlib import crc32

from contract.kind import Kind, Kinds, Metric, MetricType
from contract.kind_file import load_kinds
from dashboards.build import build
from tests.dashboards.asking import every_panel, interpolated, panel_queries, span_s
from tests.influxdb import InfluxServer

DAYS = 30
DAY_MS = 86_400_000
END_MS = 1_790_000_100_000  # a multiple of five minutes
FLEET = {"street_light": 800, "waste_bin": 140, "irrigation_valve": 50, "weather_station": 10}
ZONES, CIRCUITS = 12, 30
LINES = 20_000  # a request
LIMIT_MS = 300.0
ROUNDS = 5


@dataclass
class Thing:
    kind: Kind
    device: str
    zone: str
    group: str
    offset_ms: int
    tags: str = field(init=False)

    def __post_init__(self) -> None:
        group = f",{self.kind.group}={self.group}" if self.kind.group else ""
        self.tags = f"asset={self.device},commune=berkane,device={self.device},zone={self.zone}{group}"


def city(kinds: Kinds, chance: random.Random, scale: float) -> list[Thing]:
    things = []
    for name, count in FLEET.items():
        kind = kinds[name]
        setting = kind.settings.get(kind.group)
        for number in range(max(1, round(count * scale))):
            values = setting.values if setting is not None and setting.values else ()
            group = values[number % len(values)] if values else f"C{number % CIRCUITS}"
            offset_ms = chance.randrange(kind.period_s * 1000)
            things.append(Thing(kind, f"{name}-{number}", f"zone-{number % ZONES}", group, offset_ms))
    return things


def readings(things: list[Thing], start_ms: int) -> Iterator[str]:
    for thing in things:
        period_ms = thing.kind.period_s * 1000
        digits = crc32(b"s1")
        head = f"{thing.kind.name},{thing.tags} "
        for seq in range(1, (END_MS - start_ms) // period_ms):
            at_ms = start_ms + thing.offset_ms + seq * period_ms
            values = ",".join(_value(metric, seq) for metric in thing.kind.metrics.values())
            quality = 4 if seq % 50 == 0 else 0
            yield (
                f'{head}{values},stream="s1",seq={seq},boot=1,quality={quality},received_at_ms={at_ms + 500},'
                f"stored_at_ms={at_ms + 700} {at_ms * 1_000_000 + (digits + seq) % 1_000_000}"
            )


def _value(metric: Metric, seq: int) -> str:
    if metric.type is MetricType.COUNTER:
        return f"{metric.name}={seq * 15}"
    if metric.type is MetricType.BOOLEAN:
        return f"{metric.name}={seq % 2}"
    if metric.type is MetricType.ENUM:
        return f'{metric.name}="{metric.values[seq % len(metric.values)]}"'
    if metric.maximum is not None and metric.maximum <= 1:
        return f"{metric.name}={seq % 97 / 97:.2f}"
    return f"{metric.name}={20 + seq % 37 * 1.1:.1f}"


def ledger(things: list[Thing], start_ms: int) -> Iterator[str]:
    for thing in things:
        tags = f"asset={thing.device},commune=berkane,device={thing.device},kind={thing.kind.name},zone={thing.zone}"
        for number, at_ms in enumerate(range(start_ms, END_MS, 300_000)):
            have = 1000 + number // 3
            yield (
                f"nabd_ledger,{tags} have={have},missing={number % 3},gone=1,completeness={have / (have + 3):.4f},"
                f"online={int(number % 100 > 0)},last_measured_at_ms={at_ms} {at_ms}000000"
            )


def zones(things: list[Thing], start_ms: int) -> Iterator[str]:
    sums = {(thing.kind.name, thing.zone, thing.group): thing.kind for thing in things}
    for (name, zone, group), kind in sums.items():
        tags = f"commune=berkane,{f'{kind.group}={group},' if kind.group else ''}kind={name},zone={zone}"
        for number, at_ms in enumerate(range(start_ms - start_ms % 900_000, END_MS, 900_000)):
            yield f"nabd_zones,{tags} things=10,online=9,{_sums(kind, number)} {at_ms}000000"


def _sums(kind: Kind, number: int) -> str:
    parts = []
    for metric in kind.metrics.values():
        if metric.type is MetricType.ENUM:
            parts += [f"{metric.name}_{value}=2" for value in metric.values]
        elif metric.type is MetricType.COUNTER:
            parts.append(f"{metric.name}={number % 200}")
        else:
            parts += [f"{metric.name}={number % 97 / 10:.1f}", f"{metric.name}_n=10"]
    return ",".join(parts)


def health(start_ms: int) -> Iterator[str]:
    for number, at_ms in enumerate(range(start_ms, END_MS, 10_000)):
        yield (
            f"nabd_health received={number * 10},accepted={number * 10},duplicate={number // 50},deferred=0,"
            f"quarantined={number // 500},missing={number % 40},gone={number // 900},log_bytes={10**8 + number},"
            f"log_bytes_max=4000000000,log_position={number * 11},store_position={number * 11 - 20},"
            f"decider_position={number * 11 - 3},live_position={number * 11},connected=1,faults=0,devices=1000,"
            f"devices_online=990,cpu_s={number * 0.4:.1f},memory_bytes=250000000,alarms_open=3 {at_ms}000000"
        )


def events(things: list[Thing], start_ms: int, chance: random.Random) -> Iterator[str]:
    """Two alarms a device in the month, each fired and most resolved; two leases a day of every lamp and valve."""
    for thing in things:
        place = f"asset={thing.device},commune=berkane"
        for number in range(2):
            at_ms = chance.randrange(start_ms, END_MS - 3_600_000)
            for change, is_open, after_ms in (("fired", 1, 0), ("resolved", 0, 1_800_000))[
                : 2 - (number == 1 and chance.random() < 0.05)
            ]:
                yield (
                    f"nabd_alarms,{place},change={change},kind={thing.kind.name},rule=silent,severity=minor,"
                    f'zone={thing.zone} alarm="{thing.device}{number}",title_ar="صامت",title_fr="Muet",'
                    f'title_en="Silent",open={is_open} {at_ms + after_ms}000000'
                )
        for target in thing.kind.targets:
            for at_ms in range(start_ms + thing.offset_ms, END_MS, DAY_MS // 2):
                for change, moment_ms in (("sent", at_ms), ("confirmed", at_ms + 2_000)):
                    yield (
                        f"nabd_leases,{place},change={change},device={thing.device},kind={thing.kind.name},rank=rule,"
                        f'target={target},zone={thing.zone} reason="rule:lights",to=1,version=3 {moment_ms}000000'
                    )


def fill(server: InfluxServer, things: list[Thing], days: int) -> None:
    start_ms, chance = END_MS - days * DAY_MS, random.Random(1)
    parts = {
        "readings": readings(things, start_ms),
        "ledger": ledger(things, start_ms),
        "zones": zones(things, start_ms),
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


def measure(server: InfluxServer, kinds: Kinds, days: int) -> list[tuple[float, float, str]]:
    """(p50 over its own time, p50 over all days, which) of every query; ms."""
    found = []
    for uid, document in build(kinds, "en").items():
        for panel in every_panel(document):
            own = panel_queries(document, panel, END_MS)
            whole = panel_queries(document, panel, END_MS, seconds=days * 86_400)
            for number, (query, long_query) in enumerate(zip(own, whole, strict=True)):
                own_ms, whole_ms = _times(server, query), _times(server, long_query)
                which = f"{uid.removesuffix('-en')} / {panel['title']}" + (f" ({number + 1})" if len(own) > 1 else "")
                span = span_s(document, panel)
                print(
                    f"{which:70} shown {span / 3600:5g} h: p50 {median(own_ms):5.0f} max {max(own_ms):5.0f} ms    "
                    f"{days} days: p50 {median(whole_ms):5.0f} max {max(whole_ms):5.0f} ms",
                    flush=True,
                )
                found.append((median(own_ms), median(whole_ms), which))
        _others(server, document, days)
    return found


def _others(server: InfluxServer, document: dict[str, Any], days: int) -> None:
    start_ms = END_MS - days * DAY_MS
    queries = {
        f"marks {one['name']}": one["target"]["query"] for one in document.get("annotations", {}).get("list", [])
    }
    queries |= {
        f"variable {one['name']}": one["query"] for one in document["templating"]["list"] if one["type"] == "query"
    }
    for name, query in queries.items():
        took_ms = _times(server, interpolated(query, start_ms, END_MS))
        print(f"{document['uid']} / {name}: p50 {median(took_ms):.0f} max {max(took_ms):.0f} ms", flush=True)


def _times(server: InfluxServer, query: str) -> list[float]:
    took_ms = []
    for _ in range(ROUNDS):
        began_s = time.monotonic()
        server.ask(query)
        took_ms.append((time.monotonic() - began_s) * 1000)
    return took_ms


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
            fill(server, things, options.days)
            found = measure(server, kinds, options.days)
        finally:
            server.end()
    shown = {
        "as shown": [(own_ms, which) for own_ms, _, which in found],
        f"over {options.days} days": [(whole_ms, which) for _, whole_ms, which in found],
    }
    for name, times in shown.items():
        slowest_ms, which = max(times)
        slow = sum(ms > LIMIT_MS for ms, _ in times)
        print(
            f"{name}: {len(times)} queries of {len(things)} devices, slowest p50 {slowest_ms:.0f} ms ({which}), "
            f"{slow} over {LIMIT_MS:g} ms"
        )


if __name__ == "__main__":
    main()
