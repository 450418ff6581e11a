"""What a thousand devices at 60 times life cost: memory and CPU of `nabd up` with its own fleet."""

import time
from pathlib import Path

import psutil

from bench.city import cpu_s, running

FLEET = ("--lights", "770", "--bins", "150", "--valves", "79", "--speed", "60")
SETTLE_S = 30
MEASURE_S = 30


def measure(folder: Path) -> list[str]:
    with running(folder, *FLEET) as platform:
        time.sleep(SETTLE_S)
        before = platform.client.get("ledger")["accepted"]
        own_before, broker_before = cpu_s(platform)
        began_s = time.monotonic()
        peak = 0
        while time.monotonic() - began_s < MEASURE_S:
            peak = max(peak, psutil.Process(platform.pid).memory_info().rss)
            time.sleep(1)
        elapsed_s = time.monotonic() - began_s
        own_after, broker_after = cpu_s(platform)
        children = psutil.Process(platform.pid).children(recursive=True)
        broker_bytes = sum(child.memory_info().rss for child in children)
        counts = platform.client.get("ledger")
        return [
            f"1,000 devices at 60 ×, fleet and platform in one process: {peak / 1e6:.0f} MB resident "
            f"(its broker {broker_bytes / 1e6:.0f} MB more)",
            f"{(own_after - own_before) / elapsed_s:.0%} of a core ({(broker_after - broker_before) / elapsed_s:.0%} "
            f"more for the broker), {(counts['accepted'] - before) / elapsed_s:.0f} readings/s, "
            f"{counts['missing']} missing",
        ]
