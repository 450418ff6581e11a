"""What a reading costs on its way into InfluxDB: the lines alone, then a real server where one has been built."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from influxdb_client.client.write.point import Point

from adapters.stores.influx_store import InfluxStore
from contract.kind_file import load_kinds
from contract.records import Entry, Reading, Telemetry
from stand.influxdb import InfluxServer
from stand.peers import PeerMissing, peer

START_MS = 1_795_457_855_000
DEVICES = 1_000
BATCH = 4_800
BATCHES = 30
ROUNDS = 15


def entries(readings: int, metrics: int, number: int = 0) -> list[Entry]:
    """A batch of `BATCH` readings, `readings` a message; batches of other numbers hold others."""
    made = []
    for n in range(BATCH // readings):
        first = number * BATCH + n * readings
        values: dict[str, float | str] = {
            "level": 0.8, "power_w": 61.2, "level_by": "schedule", "energy_wh": 1000.0 + n, "voltage_v": 229.4,
            "illuminance_lx": 12.5, "temperature_c": 21.5, "tilt_deg": 0.4,
        }  # fmt: skip
        chosen = dict(list(values.items())[:metrics])
        record = Telemetry(
            device=f"lamp-{n % DEVICES}", asset=f"pole-{n % DEVICES}", kind="street_light", stream="9f3c01aa", boot=3,
            commune="berkane", zone="centre", group="c-12",
            readings=tuple(Reading(first + i, START_MS + first + i, chosen) for i in range(readings)),
        )  # fmt: skip
        made.append(Entry(number * BATCH + n + 1, START_MS + first, record))
    return made


def cpu_us(work: Callable[[], object]) -> float:
    """CPU µs a reading of a batch, the best of some rounds."""
    each = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        work()
        each.append(time.process_time() - began_s)
    return min(each) / BATCH * 1e6


def measure(folder: Path) -> list[str]:
    store = InfluxStore("http://127.0.0.1:1", "nabd", "nabd", "none", load_kinds())
    store.link.post = lambda body: None  # type: ignore[method-assign]  # everything but the network,
    store.link.ask = lambda query: iter(())  # type: ignore[method-assign]  # on a store that has no aggregates yet
    lines = []
    for metrics in (2, 4, 8):
        for readings in (1, 16):
            batch = entries(readings, metrics)
            cost = cpu_us(lambda batch=batch: store.write(batch, START_MS))  # type: ignore[misc]
            lines.append(f"{metrics} metrics, {readings:2} readings a message: {cost:.2f} µs CPU a reading")
    store.close()
    lines.append(f"2 metrics by the client's own Point: {cpu_us(by_point):.2f} µs CPU a reading")
    try:
        peer("influxd")
    except PeerMissing as missing:
        return [*lines, str(missing)]
    server = InfluxServer(folder / "influxdb")
    try:
        lines.append(into(server, [entries(1, 2, number) for number in range(BATCHES)]))
    finally:
        server.end()
    return lines


def by_point() -> None:
    make: Any = Point  # it has no types
    for n in range(BATCH):
        point = make("street_light").tag("device", "lamp-1").tag("asset", "pole-1").tag("commune", "berkane")
        point.tag("zone", "centre").tag("circuit", "c-12").field("stream", "9f3c01aa").field("boot", 3.0)
        point.field("received_at_ms", 1.7e12).field("stored_at_ms", 1.7e12).field("quality", 0.0).field("seq", float(n))
        point.field("level", 0.8).field("power_w", 61.2).time(START_MS * 1_000_000 + n).to_line_protocol()


def into(server: InfluxServer, batches: Sequence[Sequence[Entry]]) -> str:
    store = InfluxStore(server.url, server.org, server.bucket, server.token, load_kinds())
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    for batch in batches:
        store.write(batch, START_MS)
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    rows = store.count()
    store.close()
    return f"into a real server: {rows / took_s:,.0f} readings/s, {cpu_s / rows * 1e6:.2f} µs CPU a reading on our side"
