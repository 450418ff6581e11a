"""Which hours must be aggregated (again): what has been written since, in memory, with what to write down of it.

The store persists each mark that `note` calls new, no later than it moves its position; it reads them back at its
start. Whoever takes an hour does so while nobody writes: what is written after that marks the hour anew.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Set
from typing import NamedTuple

from contract.aggregates import HOUR_MS, SETTLE_MS, Behind, hour_of

EVERYONE = ""
"""Instead of a device: all devices of the kind."""
DEVICES_MAX = 256
"""So many devices marked in one hour are everyone: bounds the marks of a kind to that times 366 days."""


HOURS_MAX = 24  # taken at one time: a step of work has a cost of its own, and is bounded


class Stretch(NamedTuple):
    """Hours that follow one another."""

    kind: str
    start_ms: int
    end_ms: int
    devices: frozenset[str] | None  # None: everyone

    def hours(self) -> Iterator[int]:
        yield from range(self.start_ms, self.end_ms, HOUR_MS)


class Marks:
    """Any thread; but between `note` and `add`, and around `take`, whoever calls holds the store's lock for writing."""

    def __init__(self) -> None:
        self._hours: dict[str, dict[int, set[str]]] = {}
        self._taken: Stretch | None = None
        self._lock = threading.Lock()

    def knows(self, kind: str, first_ms: int, last_ms: int) -> bool:
        """Is every hour from one moment to another marked for everyone? Then there is nothing to note."""
        hours = self._hours.get(kind, {})  # changed by whoever holds the store's lock only, as the caller does
        first, last = hour_of(first_ms), hour_of(last_ms)
        if last - first > 24 * HOUR_MS:
            return False
        return all(EVERYONE in hours.get(at_ms, ()) for at_ms in range(first, last + 1, HOUR_MS))

    def note(self, kind: str, measured: Iterable[tuple[str, int]], now_ms: int) -> list[tuple[int, str]]:
        """Mark the hours of these (device, measured_at_ms); the (hour, device or EVERYONE) that are new.

        An hour that is not over yet is everyone's: all will report in it. Nothing is remembered before `add`.
        """
        hours, this_hour = self._hours.get(kind, {}), hour_of(now_ms)
        news: dict[int, set[str]] = {}
        for device, at_ms in measured:
            hour_ms = hour_of(at_ms)
            fresh = news.get(hour_ms, _NONE)
            known = hours.get(hour_ms, _NONE)
            if EVERYONE in known or EVERYONE in fresh or device in known or device in fresh:
                continue
            if hour_ms >= this_hour or len(known) + len(fresh) >= DEVICES_MAX:
                news[hour_ms] = {EVERYONE}
            else:
                news.setdefault(hour_ms, set()).add(device)
        return [(hour_ms, device) for hour_ms, devices in sorted(news.items()) for device in sorted(devices)]

    def add(self, kind: str, marks: Iterable[tuple[int, str]]) -> None:
        with self._lock:
            hours = self._hours.setdefault(kind, {})
            for hour_ms, device in marks:
                marked = hours.setdefault(hour_ms, set())
                if EVERYONE not in marked:
                    if device == EVERYONE or len(marked) >= DEVICES_MAX:
                        marked.clear()
                        marked.add(EVERYONE)
                    else:
                        marked.add(device)

    def take(self, now_ms: int, raw_from_ms: Callable[[str], int]) -> Stretch | None:
        """Remove the oldest hour that is over and those behind it, and return them; then comes `done` or `put_back`.

        They are marked alike. `raw_from_ms`: from when on raw readings of a kind are there; before, it is one hour.
        """
        with self._lock:
            over = [(hour_ms, kind) for kind, hour_ms in self._over(now_ms)]
            if not over:
                return None
            start_ms, kind = min(over)
            hours = self._hours[kind]
            devices = hours.pop(start_ms)
            end_ms, last_ms = start_ms + HOUR_MS, now_ms - HOUR_MS - SETTLE_MS
            if start_ms >= raw_from_ms(kind):
                last_ms = min(last_ms, start_ms + (HOURS_MAX - 1) * HOUR_MS)
                while end_ms <= last_ms and _are_alike(devices, hours.get(end_ms, _NONE)):
                    devices |= hours.pop(end_ms)
                    end_ms += HOUR_MS
            self._taken = Stretch(kind, start_ms, end_ms, None if EVERYONE in devices else frozenset(devices))
            return self._taken

    def done(self) -> None:
        self._taken = None

    def put_back(self, taken: Stretch) -> None:
        devices = taken.devices or (EVERYONE,)
        self.add(taken.kind, [(hour_ms, device) for hour_ms in taken.hours() for device in devices])
        self._taken = None

    def first_ms(self, kind: str, from_ms: int = 0) -> int | None:
        """The first hour of a kind, not before a moment, that is marked or taken."""
        with self._lock:
            hours = list(self._hours.get(kind, ()))
            if self._taken is not None and self._taken.kind == kind:
                hours += self._taken.hours()
        return min((hour_ms for hour_ms in hours if hour_ms >= from_ms), default=None)

    def is_marked(self, kind: str, hour_ms: int) -> bool:
        with self._lock:
            return hour_ms in self._hours.get(kind, {})

    def behind(self, now_ms: int) -> Behind:
        with self._lock:
            hours = [hour_ms for _, hour_ms in self._over(now_ms)]
        return Behind(hours=len(hours), oldest_ms=min(hours, default=None))

    def _over(self, now_ms: int) -> Iterator[tuple[str, int]]:
        latest_ms = now_ms - HOUR_MS - SETTLE_MS
        for kind, hours in self._hours.items():
            for hour_ms in hours:
                if hour_ms <= latest_ms:
                    yield kind, hour_ms


def _are_alike(one: Set[str], other: Set[str]) -> bool:
    """Both are everyone, or both some devices that together are not too many."""
    if EVERYONE in one or not other:
        return EVERYONE in other
    return EVERYONE not in other and len(one | other) <= DEVICES_MAX


_NONE: frozenset[str] = frozenset()
