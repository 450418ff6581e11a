"""`make bench`: what a reading costs and how long it takes, from broker to store, on the real platform.

Prints one line a figure. Everything runs on loopback: `nabd up` in its own process with its embedded broker, a
publisher in this one, as fast as the broker takes it.
"""

import argparse
import os
import platform as machine
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import bytes_on_disk, fleet_memory, growth, ingest_micro, latency, store_micro, throughput

BENCHES: dict[str, Callable[[Path], list[str]]] = {
    "ingest": ingest_micro.measure,
    "growth": growth.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "stores": store_micro.measure,
    "memory": fleet_memory.measure,
    "bytes": bytes_on_disk.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[[], *BENCHES], help="which figures; default: all")
    chosen = parser.parse_args().only or list(BENCHES)
    print(f"machine: {os.cpu_count()} cores, {machine.machine()}, Python {machine.python_version()}, {sys.platform}")
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="nabd-bench-") as folder:
            for line in BENCHES[name](Path(folder)):
                print(f"{name}: {line}", flush=True)


if __name__ == "__main__":
    main()
