"""What is kept of readings for years: five minutes and hours, and who makes them.

Theory of operation. A store holds raw readings for `Kind.keep.raw_ms`, and beside them, for longer, one aggregate for
each five minutes and each hour, device, asset and place that had readings. Whatever is written marks its hour, for
everyone or for the devices concerned, durably, before the log's position moves past it. `Aggregating.downsample` takes
the oldest marked hour that is over, makes its aggregates anew from the readings, and takes the mark away with that: so
late readings, repetitions and crashes lead to what readings on time would have led to.

Of a number and a boolean an aggregate has count, sum, last and its time (of a number the least and the greatest, too);
of a counter first, last and the increase; of an enum the last word and how often each was told. A counter's increase
is the sum of its differences, each counted where its later reading lies; the reading before may lie in any bucket
before. A counter that shows less than before was reset, and what it shows has come since.

Where raw readings are gone already and a late one comes, it is added to what the aggregate was: count, sum, least,
greatest and last are exact, and so is the increase unless the counter was reset between that bucket's first and last
reading. Where five minutes are gone, too, that bucket is the hour: it is kept as it was, for nothing is left of which
it could be made anew, and the late one is added to it, once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from contract.kind import Value
from contract.records import Quality

FIVE_MINUTES_MS = 300_000
HOUR_MS = 3_600_000
FOREVER_MS = 2**53
"""Later than any time there is."""
SETTLE_MS = 120_000
"""An hour is aggregated so long after its end (city time): most of what is a little late is in it then."""

MARKED = int(Quality.RATE | Quality.STUCK)
"""Readings whose values are doubtful: with one of these bits they count in an aggregate like all others,
and once more under `marked`."""


def hour_of(ms: int) -> int:
    """The first millisecond of its hour."""
    return ms - ms % HOUR_MS


class Place(msgspec.Struct, frozen=True, order=True):
    """Whose aggregate it is. A device that moves within a bucket has one at each place."""

    device: str
    asset: str
    commune: str = ""
    zone: str = ""
    group: str = ""


class Row(msgspec.Struct, kw_only=True):
    """One aggregate. `cells` are named ``readings``, ``marked`` and ``metric.part``; what is unknown is absent."""

    place: Place
    at_ms: int  # its first millisecond
    cells: dict[str, Value]


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What one call of `downsample` has done."""

    kind: str
    start_ms: int
    end_ms: int
    rows: int  # five minutes and hours written


class Behind(msgspec.Struct, frozen=True, kw_only=True):
    """How far the aggregates of all kinds are behind the readings."""

    hours: int = 0  # that are over and not yet aggregated
    oldest_ms: int | None = None  # the first of them


class Gone(NamedTuple):
    """Up to when a store has no raw readings any more, and no five minutes; 0 while it has all."""

    raw_ms: int
    five_minutes_ms: int


class Aggregating(Protocol):
    """The part of a store that makes aggregates and retires what is old. One thread; everything raises StoreFault."""

    def downsample(self, now_ms: int) -> Step | None:
        """Some hours of one kind, the oldest; None when no hour that is over is marked."""

    def retire(self, now_ms: int) -> int:
        """Delete a bounded part of what is past its time; how many rows, 0 when nothing is. Nothing raw goes before
        it is aggregated."""

    def behind(self, now_ms: int) -> Behind: ...


class AggregateArchive(Protocol):
    """The part of a store by which aggregates of readings that are gone move into another.

    The log may bring such readings again to whoever begins before a position that was reached already. They count in
    aggregates: `Store.write` leaves out what was measured before `Gone.raw_ms`, up to position `counted_upto`.
    """

    counted_upto: int

    def gone(self, kind: str) -> Gone: ...

    def aggregates(self, kind: str, every_ms: int, before_ms: int) -> Iterator[Row]:
        """The aggregates of one width that begin before a moment."""

    def counts(self, kind: str, before_ms: int) -> int:
        """How many readings those hours count that begin before a moment."""

    def take_aggregates(self, kind: str, every_ms: int, rows: Sequence[Row]) -> None:
        """Store these in place of what was there."""

    def take_gone(self, kind: str, gone: Gone) -> None:
        """From now on readings of this time are gone here, too, and its aggregates are the truth."""

    def take_counted(self, upto: int) -> None:
        """From now on the aggregates of what is gone count what the log has up to this position, if not to a later."""
