"""How fast the pipeline alone is, append and fsync included."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from adapters.log.sqlite_log import SqliteLog
from bench.city import percentile
from contract.kind_file import load_kinds
from contract.ports import Device, Message
from ingest.pipeline import Pipeline
from nabd.settings import Settings, limits_of

NOW_MS = 1_795_457_855_400
DEVICES = 1_000
MESSAGES = 60_000
BATCH = 500


class StillClock:
    speed = 1.0

    def now_ms(self) -> int:
        return NOW_MS

    def monotonic_s(self) -> float:
        return 0.0


def device(name: str) -> Device:
    return Device(
        device=name, kind="street_light", commune="berkane", zone="", asset=name, name="", lat=None, lon=None,
        settings={}, registered_at_ms=0,
    )  # fmt: skip


def batches(messages: int, readings: int) -> list[list[Message]]:
    made = []
    for n in range(messages):
        first = 1 + n // DEVICES * readings
        items = [
            {"seq": first + i, "at": NOW_MS - 5_000 + i, "v": {"power_w": 61.2, "level": 0.8, "level_by": "schedule",
             "energy_wh": 1000}}
            for i in range(readings)
        ]  # fmt: skip
        document = {"stream": "9f3c01aa", "boot": 1, "clock": "synced", "oldest": first, "readings": items}
        payload = json.dumps(document, separators=(",", ":")).encode()
        made.append(Message(f"nabd/1/lamp-{n % DEVICES}/telemetry", payload, n))
    return [made[n : n + BATCH] for n in range(0, messages, BATCH)]


def run(work: Sequence[Sequence[Message]], pipeline: Pipeline) -> tuple[float, float, list[float]]:
    """(real s, CPU s, ms of each batch)."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    each = []
    for batch in work:
        start_s = time.perf_counter()
        pipeline.process(batch)
        each.append((time.perf_counter() - start_s) * 1000)
    return time.perf_counter() - began_s, time.process_time() - began_cpu_s, each


def measure(folder: Path) -> list[str]:
    devices = {name: device(name) for name in (f"lamp-{n}" for n in range(DEVICES))}
    lines = []
    for readings, messages in ((1, MESSAGES), (16, MESSAGES // 6)):
        log = SqliteLog(folder / f"log-{readings}.db", bytes_max=10**10, days_max=30)
        pipeline = Pipeline(load_kinds(), devices.get, log, StillClock(), limits=limits_of(Settings()))
        work = batches(messages, readings)
        for name in ("new", "all duplicates"):
            took_s, cpu_s, each = run(work, pipeline)
            lines.append(
                f"{readings:2} readings a message, {name}: {messages / took_s:,.0f} messages/s, "
                f"{messages * readings / took_s:,.0f} readings/s, {cpu_s / messages * 1e6:.1f} µs CPU per message, "
                f"batches of {BATCH}: p50 {percentile(each, 0.5):.1f} ms, p99 {percentile(each, 0.99):.1f} ms"
            )
        log.close()
    return lines
