"""So many harmed messages through ingest, with a look at the memory."""

import gc
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import psutil

from tests.fuzz.ending import Endings
from tests.fuzz.mutations import Fuzzer
from tests.ingest.house import IngestHouse

HOUSE_MESSAGES = 10_000  # then a new log: nobody looks at this quarantine, and it is bounded
GROWTH_BYTES_MAX = 32_000_000
"""More memory than after the first log, and something leaks: a leak of 1 kB a message would show after 32,000."""


def fuzz(messages: int, seed: str) -> tuple[Counter[str], int]:
    """(how many messages ended how, growth of memory in bytes since the first log). Raises AssertionError."""
    print(f"seed {seed}")
    fuzzer = Fuzzer(seed)
    total: Counter[str] = Counter()
    memory = Path("/dev/shm")  # a log there is as good here, and sixty times faster
    first = 0
    for start in range(0, messages, HOUSE_MESSAGES):
        folder = Path(tempfile.mkdtemp(prefix="nabd-fuzz-", dir=memory if memory.is_dir() else None))
        house = IngestHouse(folder, bytes_max=1_000_000_000)
        try:
            endings = Endings(house)
            for _ in range(min(HOUSE_MESSAGES, messages - start)):
                endings.take(fuzzer.message())
            endings.settle()
            total += endings.total
        finally:
            house.log.close()
            shutil.rmtree(folder)
        del endings, house
        gc.collect()
        now = psutil.Process().memory_info().rss
        first = first or now
        last = now
    return total, last - first
