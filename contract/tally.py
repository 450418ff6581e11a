"""What came, per asset and local day, and the gaps between what came: the port of whoever keeps count of it.

Theory of operation. Readings are counted as the log brings them, on the local day they were measured. A seq that never
came has no time and no asset of its own; it has those of its gap: a *gap* is a run of seqs of one stream of which none
is stored, and lies between two stored readings. The n seqs of a gap are taken to lie evenly between the times of the
two, so a gap over midnight is shared out between the days in proportion. Before the first stored reading of a stream
nothing is known: such a gap lies where that reading was measured. What lies behind the last stored reading becomes a
gap when a later one is stored; a device that is silent owes nothing that anybody knows of yet.

Which seqs of a gap may still come, which are gone and which did come but could not be read, the ledger says.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class Place(msgspec.Struct, frozen=True, gc=False):
    """Whose readings these are, as of the day they were accepted (of a gap: when it opened)."""

    device: str
    asset: str
    kind: str
    commune: str
    zone: str


class Gap(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Seqs `first` to `last` of a stream: not stored, or (with `closed_ms`) stored late.

    `from_ms` and `to_ms`: when the readings before and after it were measured; of one that is closed, when its own
    first and last were. `from_ms` is None before the first stored reading of a stream. `to_ms` may be smaller where a
    clock was set back.
    """

    place: Place
    stream: str
    first: int
    last: int
    from_ms: int | None
    to_ms: int
    opened_ms: int  # city time at which a later reading was kept
    closed_ms: int | None = None  # city time at which the last of it was kept

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    def before(self, time_ms: int) -> int:
        """How many of its seqs are taken to have been measured before `time_ms`."""
        start_ms, end_ms = self._bounds()
        if time_ms <= start_ms:
            return 0
        if time_ms > end_ms:
            return self.count
        # The i-th of n is measured at start + i·(end - start)/(n + 1): before `time_ms` are all i below the quotient.
        return min(self.count, ((time_ms - start_ms) * (self.count + 1) - 1) // (end_ms - start_ms))

    def at_ms(self, seq: int) -> int:
        """When `seq` is taken to have been measured; `first` - 1 and `last` + 1 are the readings beside the gap."""
        start_ms, end_ms = self._bounds()
        return start_ms + (seq - self.first + 1) * (end_ms - start_ms) // (self.count + 1)

    def _bounds(self) -> tuple[int, int]:
        start_ms = self.to_ms if self.from_ms is None else self.from_ms
        return min(start_ms, self.to_ms), max(start_ms, self.to_ms)


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How far the stored readings of a stream go."""

    device: str
    stream: str
    floor: int  # the first seq that is counted: 1, unless the count began when the stream was under way
    next_seq: int
    last_ms: int  # when the reading before `next_seq` was measured
    began_ms: int  # city time at which the first of it was kept
    heard_ms: int  # … and the last


class DayCount(msgspec.Struct, frozen=True, gc=False):
    """How many more readings of a place were measured on a local day (`date.toordinal()`)."""

    day: int
    place: Place
    stored: int


class News(msgspec.Struct, kw_only=True):
    """What a stretch of the log changes, committed with its position in one transaction."""

    counts: list[DayCount] = []
    ends: list[StreamEnd] = []
    open: dict[tuple[str, str], Sequence[Gap]] = {}  # (device, stream) → all its open gaps as they are now
    closed: list[Gap] = []  # again, with the same first seq, replaces


class By(StrEnum):
    """What completeness is told by."""

    ASSET = "asset"
    ZONE = "zone"
    DEVICE = "device"
    DAY = "day"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Whose readings: every one that is given must fit."""

    device: str | None = None
    asset: str | None = None
    kind: str | None = None
    commune: str | None = None
    zone: str | None = None


Key = tuple[str, ...] | int
"""By day its number, by zone (commune, zone), else (name,)."""


class TallyBook(Protocol):
    """Where the count is kept. Everything raises OSError when the disk refuses."""

    def began(self) -> tuple[int, int, int] | None:
        """(city time, first and last position the log had) when the count began; None while it has not."""

    def begin(self, at_ms: int, first: int, last: int) -> None:
        """The count begins now, with a log that has these positions."""

    def position(self) -> int: ...

    def commit(self, news: News, position: int) -> None: ...

    def streams(self, keys: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], tuple[StreamEnd, Sequence[Gap]]]:
        """The end and the open gaps, in order, of those of these streams that are known."""

    def ends(self, device: str) -> Sequence[StreamEnd]:
        """The streams of a device, the one heard last first; 64 at most."""

    def stored(self, by: By, scope: Scope, days: range) -> Mapping[Key, int]:
        """How many readings are stored of these local days."""

    def gaps(self, scope: Scope, start_ms: int, end_ms: int, *, closed: bool = False) -> Iterator[Gap]:
        """Gaps that reach into [start, end): the open ones or those that late data closed; those opened last first."""

    def gap_devices(self, scope: Scope) -> Sequence[str]:
        """Devices with open gaps."""

    def prune(self, before_day: int, before_ms: int) -> int:
        """Drop counts of days, and closed gaps closed, before; return how many rows went."""


class Tally(Protocol):
    """What the console may ask of the count."""

    book: TallyBook

    def catch_up(self) -> int:
        """Count what is in the log by now, as far as that is little; how many entries are left. Raises OSError."""
