"""Cuts a range of time into slices that hold few enough readings to be fetched whole, each by one question.

A question that is answered whole leaves no transaction open, however long the reader takes over the answer; slices of
time need no sorting beyond themselves, and a store of either kind finds them by its own order.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from contract.extracts import ROWS_MAX


class Sized(Protocol):
    @property
    def num_rows(self) -> int: ...


Slice = TypeVar("Slice", bound=Sized)


def in_slices(
    first_ms: int,
    last_ms: int,
    count: int,
    fetch: Callable[[int, int, int | None], Slice],
    rows_max: int = ROWS_MAX,
) -> Iterator[Slice]:
    """What `fetch(start, end, limit)` finds from the first reading to the last of about `count`, slice by slice.

    A slice that turns out to hold more than `rows_max` is cut smaller and fetched again; only the readings of one and
    the same millisecond are never cut apart, and fetched without a limit. Slices without readings are left out.
    """
    step_ms = max(1, (last_ms - first_ms + 1) * rows_max // max(1, count) // 2)
    at_ms = first_ms
    while at_ms <= last_ms:
        end_ms = min(at_ms + step_ms, last_ms + 1)
        single = end_ms - at_ms == 1
        found = fetch(at_ms, end_ms, None if single else rows_max + 1)
        if found.num_rows > rows_max and not single:
            step_ms = max(1, (end_ms - at_ms) // 2)
            continue
        if found.num_rows:
            yield found
        at_ms = end_ms
        if found.num_rows < rows_max // 4:
            step_ms *= 2
