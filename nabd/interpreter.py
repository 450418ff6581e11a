"""How Python runs a house of busy threads and many small records, rather than a script."""

import gc
import sys

SWITCH_S = 0.001  # threads that come back from the disk wait this long for a busy one, not Python's 5 ms
COLLECT_EVERY = (50_000, 20, 20)  # objects, and rounds of the younger generation; Python's is (700, 10, 10)


def prepare() -> None:
    """Before the threads start."""
    sys.setswitchinterval(SWITCH_S)


def settle() -> None:
    """When the house stands: what was made up to here stays to the end, and need not be looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)


def leave() -> None:
    """When the house is empty: let go of what `settle` kept, or DuckDB counts it as leaked at the end, line by line."""
    gc.unfreeze()
    gc.collect()
