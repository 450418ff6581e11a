"""How many messages a second go from the broker into the store, and what each costs."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.city import FastPublisher, cpu_s, register, running
from bench.load import SPAN_MS, reading
from contract.wire import messages
from nabd.process import PlatformProcess

DEVICES = 200
CONNECTIONS = 4
MESSAGES = 60_000  # a multiple of CONNECTIONS
BATCHED_MESSAGES = 6_000
READINGS_A_BATCH = 16
WAIT_S_MAX = 300


def measure(folder: Path) -> list[str]:
    lines = []
    for name, count, readings in (("1 reading", MESSAGES, 1), ("16 readings", BATCHED_MESSAGES, READINGS_A_BATCH)):
        inside = folder / name.replace(" ", "-")
        inside.mkdir()
        lines += _run(inside, name, count, readings)
    return lines


def _run(folder: Path, name: str, count: int, readings: int) -> list[str]:
    with running(folder) as platform:
        devices = register(platform, DEVICES)
        share = count // CONNECTIONS
        work = list(_lanes(devices, share, readings, int(time.time() * 1000)))
        total = share * CONNECTIONS * readings
        publishers = [FastPublisher(platform.mqtt_port, f"bench-publisher-{lane}") for lane in range(CONNECTIONS)]
        own_before, broker_before = cpu_s(platform)
        began_s = time.monotonic()
        threads = [
            threading.Thread(target=publisher.send, args=(items,))
            for publisher, items in zip(publishers, work, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent_s = time.monotonic() - began_s
        stored_s = _until_stored(platform, total, began_s)
        own_after, broker_after = cpu_s(platform)
        return [
            f"{name} a message: {count / stored_s:,.0f} messages/s, {total / stored_s:,.0f} readings/s from the first "
            f"publish until all were stored (publisher done after {sent_s:.1f} s of {stored_s:.1f} s)",
            f"{name} a message: {(own_after - own_before) / count * 1e6:.1f} µs CPU per message in the platform, "
            f"{(broker_after - broker_before) / count * 1e6:.1f} µs in its broker",
        ]


def _lanes(devices: Sequence[str], share: int, readings: int, now_ms: int) -> Iterator[list[tuple[str, bytes]]]:
    """(device, payload) of every message of each connection; the readings lie within the last minute."""
    streams = DEVICES // CONNECTIONS  # of one connection
    step_ms = SPAN_MS // (-(-share // streams) * readings)
    for lane in range(CONNECTIONS):
        items = []
        for n in range(share):
            before = n // streams * readings
            rows = [reading(before + i, now_ms - SPAN_MS + (before + i) * step_ms) for i in range(readings)]
            device = devices[(n * CONNECTIONS + lane) % DEVICES]
            items.append((device, messages.telemetry(f"0000{lane:04x}", 1, "synced", 1, rows)))
        yield items


def _until_stored(platform: PlatformProcess, total: int, began_s: float) -> float:
    """Seconds until the store has them all, asked over the API ten times a second."""
    client = platform.client
    while time.monotonic() - began_s < WAIT_S_MAX:
        counts = client.get("ledger")
        lag = client.health()["store_lag"]
        if counts["accepted"] >= total and lag == 0:
            return time.monotonic() - began_s
        time.sleep(0.1)
    raise SystemExit(f"only {client.get('ledger')['accepted']} of {total} readings arrived within {WAIT_S_MAX} s")
