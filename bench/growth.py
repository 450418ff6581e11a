"""What a larger fleet costs ingest: CPU a message, memory and the start, with so many devices known.

The same SENDING devices send in every case, so that only what is known grows: the ledger in memory and its rows in the
log, each of a device with one stream and a gap that closed long ago. Each size runs in a process of its own, for memory
that was used once does not come back.

    python -m bench.growth --known 10000 --folder DIR
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import psutil

from adapters.log.sqlite_log import SqliteLog
from bench.ingest_micro import StillClock, batches, device, run
from contract.kind_file import load_kinds
from contract.ports import Device, LedgerRow
from ingest.pipeline import LEDGER, Pipeline

SENDING = 1_000  # lamp-0 … of bench.ingest_micro
MESSAGES = 100_000
KNOWN = (1_000, 10_000, 100_000, 1_000_000)
PART = 20  # batches; the figure is the median of the parts, for other programs come and go
ROWS_A_WRITE = 50_000


def rows(known: int) -> Iterator[list[LedgerRow]]:
    """Ledger rows of devices that are known and silent."""
    for first in range(SENDING, known, ROWS_A_WRITE):
        yield [
            LedgerRow(device=f"lamp-{n}", stream=f"{n:08x}", have=((1, 40), (43, 9_000 + n % 1_000)), gone=((41, 42),),
                      boots={}, seen_at_ms=1, status=(1, 1, 0), reported=None, born_at_ms=1)
            for n in range(first, min(first + ROWS_A_WRITE, known))
        ]  # fmt: skip


def measure_one(known: int, folder: Path) -> dict[str, float]:
    """CPU µs a message, the ledger's memory in MB and s until it is read."""
    log = SqliteLog(folder / "log.db", bytes_max=10**11, days_max=30)
    for part in rows(known):
        log.consumed(LEDGER, 0, part)
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    began_s = time.perf_counter()
    known_devices: dict[str, Device] = {name: device(name) for name in (f"lamp-{n}" for n in range(SENDING))}
    pipeline = Pipeline(load_kinds(), known_devices.get, log, StillClock())
    start_s = time.perf_counter() - began_s
    ledger_mb = (process.memory_info().rss - before) / 1e6
    work = batches(MESSAGES, 1)
    gc.collect()
    gc.freeze()
    parts = [work[at : at + PART] for at in range(0, len(work), PART)]
    each = [run(part, pipeline)[1] / sum(map(len, part)) for part in parts]
    log.close()
    return {"cpu_us": median(each) * 1e6, "ledger_mb": ledger_mb, "start_s": start_s}


def measure(folder: Path) -> list[str]:
    found: dict[int, dict[str, float]] = {}
    for known in KNOWN:
        part = folder / str(known)
        part.mkdir()
        command = [sys.executable, "-m", "bench.growth", "--known", str(known), "--folder", str(part)]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
        found[known] = json.loads(said)
    least = found[KNOWN[0]]["cpu_us"]
    return [
        f"{known:9,} devices known, {SENDING:,} sending: {one['cpu_us']:.1f} µs CPU per message "
        f"({one['cpu_us'] / least:.2f} x), the ledger takes {one['ledger_mb']:.0f} MB, "
        f"and {one['start_s']:.1f} s at the start"
        for known, one in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--known", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    chosen = parser.parse_args()
    print(json.dumps(measure_one(chosen.known, chosen.folder)))


if __name__ == "__main__":
    main()
