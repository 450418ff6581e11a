"""Bytes a reading on the disk: a month of a small city in each store, raw and aggregated; and whether a file that keeps
a bound on its readings keeps a bound on its size."""

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from adapters.stores.duckdb_store import DuckStore
from adapters.stores.influx_store import InfluxStore
from contract.aggregates import HOUR_MS
from contract.kind import DAY_MS, Keep, Kinds
from contract.kind_file import load_kinds
from contract.records import Entry, Reading, Telemetry
from stand.influxdb import InfluxServer
from stand.peers import PeerMissing, peer

START_MS = 1_793_491_200_000
DAYS = 30
LIGHTS, BINS, VALVES = 60, 20, 10
BATCH = 5_000
QUIET_S, COMPACT_S_MAX = 8.0, 90.0
AT_ONCE = {  # InfluxDB would wait ten minutes and four hours
    "INFLUXD_STORAGE_CACHE_SNAPSHOT_WRITE_COLD_DURATION": "1s",
    "INFLUXD_STORAGE_COMPACT_FULL_WRITE_COLD_DURATION": "2s",
}
NOBODY_ADDS = 3 * HOUR_MS


def month(first_day: int, days: int) -> Iterator[Entry]:
    """What a city tells, day after day: lamps each 15 min, bins each hour, valves each 15 min."""
    dice, position = random.Random(first_day), first_day * 10_000_000
    fleet = [("street_light", f"lamp-{n}", 96) for n in range(LIGHTS)]
    fleet += [("waste_bin", f"bin-{n}", 24) for n in range(BINS)]
    fleet += [("irrigation_valve", f"valve-{n}", 96) for n in range(VALVES)]
    for quarter in range(first_day * 96, (first_day + days) * 96):
        for number, (kind, device, a_day) in enumerate(fleet):
            if quarter % (96 // a_day):
                continue
            at_ms = START_MS + quarter * 900_000 + number * 53 % 900 * 1000 + dice.randrange(1000)
            position += 1
            record = Telemetry(
                device=device, asset=device, kind=kind, stream=f"{number:08x}", boot=1, commune="berkane",
                zone=f"zone-{number % 7}", group=f"c-{number % 12}",
                readings=(Reading(quarter, at_ms, _values(kind, quarter, dice)),),
            )  # fmt: skip
            yield Entry(position, at_ms + 400, record)


def _values(kind: str, quarter: int, dice: random.Random) -> dict[str, float | str]:
    hour = quarter // 4 % 24
    if kind == "street_light":
        is_lit = hour < 6 or hour >= 19
        nights = quarter // 96 * 11 + (min(hour, 6) + max(hour - 19, 0))
        return {
            "level": float(is_lit), "level_by": "schedule", "power_w": round(60 + dice.gauss(0, 1), 1) * is_lit,
            "energy_wh": float(nights * 60 + quarter % 4 * 15 * is_lit), "voltage_v": round(230 + dice.gauss(0, 2), 1),
            "illuminance_lx": 3.0 if is_lit else float(dice.randrange(5_000, 60_000)),
            "temperature_c": round(20 + dice.gauss(0, 3), 1), "tilt_deg": 0.4,
        }  # fmt: skip
    if kind == "waste_bin":
        return {"fill_level": round(quarter % 288 / 288, 2), "temperature_c": round(22 + dice.gauss(0, 3), 1)}
    return {"open": float(hour == 5), "flow_l_min": 12.5 if hour == 5 else 0.0, "volume_ml": float(quarter * 3000)}


def measure(folder: Path) -> list[str]:
    kinds = load_kinds()
    lines = [_duckdb(folder, kinds), _bounded(folder, kinds)]
    try:
        peer("influxd")
    except PeerMissing as missing:
        return [*lines, str(missing)]
    return [*lines, _influxdb(folder / "influx", kinds)]


def _fill(store: DuckStore | InfluxStore, first_day: int, days: int) -> int:
    batch: list[Entry] = []
    readings = 0
    for entry in month(first_day, days):
        batch.append(entry)
        if len(batch) == BATCH:
            readings += store.write(batch, batch[-1].at_ms)
            batch = []
    return readings + (store.write(batch, batch[-1].at_ms) if batch else 0)


def _drain(store: DuckStore | InfluxStore, now_ms: int) -> float:
    """Aggregate all; CPU seconds of this process."""
    began_s = time.process_time()
    while store.aggregates.downsample(now_ms):
        pass
    return time.process_time() - began_s


def _duckdb(folder: Path, kinds: Kinds) -> str:
    path, now_ms = folder / "month.duckdb", START_MS + DAYS * DAY_MS + NOBODY_ADDS
    store = DuckStore(path, kinds)
    empty = _checkpointed(store)
    began_s = time.process_time()
    readings = _fill(store, 0, DAYS)
    written_s = time.process_time() - began_s
    raw = _checkpointed(store) - empty
    aggregated_s = _drain(store, now_ms)
    both = _checkpointed(store) - empty
    store.close()
    return (
        f"DuckDB, {readings:,} readings of {DAYS} days: {raw / readings:.1f} bytes a raw reading, "
        f"{(both - raw) / readings:.1f} bytes for its aggregates; {written_s / readings * 1e6:.1f} µs CPU a reading to "
        f"make and write it, {aggregated_s / readings * 1e6:.1f} to aggregate it"
    )


def _bounded(folder: Path, kinds: Kinds) -> str:
    """Three days are kept of what goes on for thirty."""
    short = {name: msgspec.structs.replace(kind, keep=Keep(raw_ms=3 * DAY_MS)) for name, kind in kinds.items()}
    path, sizes = folder / "bounded.duckdb", []
    store = DuckStore(path, short)
    for day in range(DAYS):
        _fill(store, day, 1)
        now_ms = START_MS + (day + 1) * DAY_MS + NOBODY_ADDS
        _drain(store, now_ms)
        while store.aggregates.retire(now_ms):
            pass
        raw = store._connection.execute("SELECT count(*) FROM readings_street_light").fetchall()[0][0]
        sizes.append((day + 1, path.stat().st_size / 1e6, raw))
    store.close()
    told = ", ".join(f"{size:.1f} MB after {day} days ({raw:,} raw lamp readings)" for day, size, raw in sizes[4::5])
    return f"DuckDB that keeps raw readings for 3 days (aggregates stay): {told}"


def _checkpointed(store: DuckStore) -> int:
    store._connection.execute("CHECKPOINT")
    blocks = store._connection.execute("SELECT used_blocks, block_size FROM pragma_database_size()").fetchall()[0]
    return int(blocks[0]) * int(blocks[1])


def _influxdb(folder: Path, kinds: Kinds) -> str:
    os.environ.update(AT_ONCE)
    server = InfluxServer(folder)
    try:
        store = InfluxStore(server.url, server.org, server.bucket, server.token, kinds, 60.0)
        readings = _fill(store, 0, DAYS)
        raw = _compacted(server)
        store.close()
        store = InfluxStore(server.url, server.org, server.bucket, server.token, kinds, 60.0)
        aggregated_s = _drain(store, START_MS + DAYS * DAY_MS + NOBODY_ADDS)
        both = _compacted(server)
        store.close()
    finally:
        server.end()
    return (
        f"InfluxDB, the same readings: {raw / readings:.1f} bytes a raw reading, "
        f"{(both - raw) / readings:.1f} bytes for its aggregates; "
        f"{aggregated_s / readings * 1e6:.1f} µs CPU a reading in Nabd to aggregate it"
    )


def _compacted(server: InfluxServer) -> int:
    """Bytes of the data files when all that was written is in them and compacted; the log of writes is no data."""
    size, same_since_s, began_s = -1, time.monotonic(), time.monotonic()
    while time.monotonic() - same_since_s < QUIET_S and time.monotonic() - began_s < COMPACT_S_MAX:
        time.sleep(0.5)
        found = sum(file.stat().st_size for file in (server.folder / "engine" / "data").rglob("*.tsm") if file.exists())
        if found != size:
            size, same_since_s = found, time.monotonic()
    return size
