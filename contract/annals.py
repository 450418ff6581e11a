"""Facts beside the readings, for dashboards: the point, its time, and the part of a store that keeps points."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

NS_PER_MS = 1_000_000


def point_ns(at_ms: int, number: int = 0) -> int:
    """The time of a point, Unix ns, of a moment in Unix ms.

    A store of points keeps one a series and time: facts of one millisecond are told apart by the digits below it, which
    come from `number` (>= 0; its last six digits) and mean nothing else. The same fact must always have the same one.
    """
    return at_ms * NS_PER_MS + number % NS_PER_MS


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One fact beside the readings that a dashboard shows: an alarm that changed, the platform's own health."""

    measurement: str
    tags: Mapping[str, str]  # an empty value is no tag
    fields: Mapping[str, float | str]  # numbers always as floats
    at_ns: int  # city time, by `point_ns`; the same fact has the same one, so that it may be written again


class RefusedPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point that the store will never take, however often it is tried, and the store's own words on why."""

    point: Point
    sentence: str


@runtime_checkable
class Annals(Protocol):
    """The part of a store that keeps such facts, for stores that dashboards read."""

    def record(self, points: Sequence[Point]) -> Sequence[RefusedPoint]:
        """Write them; again is once. Returns those refused for good: all others are there, and whoever writes goes on.

        Raises contract.ports.StoreFault when it must be tried again.
        """

    def remember(self, name: str, fields: Mapping[str, float | str]) -> None:
        """Keep how far a writer of annals is, for its own log, beside what it wrote. Raises StoreFault, also when this
        is refused for good: a writer that cannot keep its place must not go on in silence."""

    def remembered(self, name: str) -> Mapping[str, float | str]:
        """What was last kept under this name for this log; empty when nothing was. Raises StoreFault."""
