"""How complete the readings are, and the gaps by name: the count of what is stored joined with the ledger's verdict.

Theory of operation. `contract.tally` says how many readings are stored of each place and day, and which seqs are not;
the ledger says what each of these is: missing (it may still come), gone (the device no longer holds it) or quarantined
(it came and could not be read: had, though not stored). The ledger is asked first and the count brought up to date
afterwards, so that what arrives meanwhile is in the count and in no gap any more. The work is bounded by DAYS_MAX and
GAPS_MAX, whoever asks.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from enum import StrEnum

import msgspec

from console.platform import Platform
from console.problems import Problem
from contract.ports import LedgerRow
from contract.tally import By, Gap, Key, Scope

DAYS_MAX = 93
GAPS_MAX = 100_000
ALWAYS = (-(1 << 62), 1 << 62)


class Fate(StrEnum):
    """What became of the seqs of a gap."""

    OPEN = "open"  # missing: the device may still send them
    GONE = "gone"  # the device no longer holds them
    QUARANTINED = "quarantined"  # they came and could not be read
    LATE = "late"  # they came late and are stored


class NamedGap(msgspec.Struct, frozen=True, kw_only=True):
    """Seqs of one stream that follow one another and have one fate. Times as in `contract.tally.Gap`."""

    gap: Gap  # with the seqs and times of this part alone
    fate: Fate


class Sum(msgspec.Struct):
    """Readings by what became of them. `had` = stored + quarantined; expected = had + missing + gone."""

    stored: int = 0
    quarantined: int = 0
    missing: int = 0
    gone: int = 0

    @property
    def had(self) -> int:
        return self.stored + self.quarantined

    @property
    def expected(self) -> int:
        return self.had + self.missing + self.gone

    @property
    def completeness(self) -> float | None:
        """None where nothing was expected."""
        return self.had / self.expected if self.expected else None

    def add(self, fate: Fate, count: int) -> None:
        if fate is Fate.QUARANTINED:
            self.quarantined += count
        elif fate is Fate.GONE:
            self.gone += count
        else:
            self.missing += count


def day_start_ms(day: int, zone: tzinfo) -> int:
    """When a local day begins."""
    return round((datetime.fromordinal(day).replace(tzinfo=zone)).timestamp() * 1000)


def day_of(at_ms: int, zone: tzinfo) -> int:
    """The local day of a moment, as `date.toordinal()`."""
    return datetime.fromtimestamp(at_ms / 1000, zone).toordinal()


def completeness(platform: Platform, zone: tzinfo, by: By, scope: Scope, days: range) -> dict[Key, Sum]:
    """Every asset, zone, device or day of which readings were expected on these local days. Raises Problem, OSError."""
    if len(days) > DAYS_MAX:
        sentence = f"to: {len(days)} days are more than {DAYS_MAX}; ask for a shorter time"
        raise Problem("invalid", sentence, [sentence])
    book = platform.tally.book
    verdicts = _Verdicts(platform, scope)
    sums = {key: Sum(stored=stored) for key, stored in book.stored(by, scope, days).items()}
    starts = [day_start_ms(day, zone) for day in (*days, days.stop)]
    for gap in _bounded(book.gaps(scope, starts[0], starts[-1])):
        for part in verdicts.parts(gap):
            for key, count in _shares(part, gap, by, days, starts):
                sums.setdefault(key, Sum()).add(part.fate, count)
    return sums


def named_gaps(
    platform: Platform, scope: Scope, fates: Sequence[Fate] = tuple(Fate), span: tuple[int, int] = ALWAYS
) -> list[NamedGap]:
    """Those that reach into `span` (Unix ms, its end not included), opened last first. Raises Problem, OSError."""
    book = platform.tally.book
    verdicts = _Verdicts(platform, scope)
    found: list[NamedGap] = []
    if set(fates) - {Fate.LATE}:
        found = [part for gap in _bounded(book.gaps(scope, *span)) for part in verdicts.parts(gap)]
    if Fate.LATE in fates:
        found += [NamedGap(gap=gap, fate=Fate.LATE) for gap in _bounded(book.gaps(scope, *span, closed=True))]
    found = [part for part in found if part.fate in fates]
    found.sort(key=lambda part: (-part.gap.opened_ms, part.gap.place.device, part.gap.stream, part.gap.first))
    return found


def verdict(gap: Gap, row: LedgerRow | None) -> Iterator[NamedGap]:
    """The parts of an open gap, in order, by what the ledger says of each seq. What it does not know is missing."""
    marks: list[tuple[int, int, Fate]] = []
    if row is not None:
        for spans, fate in ((row.have, Fate.QUARANTINED), (row.gone, Fate.GONE)):
            index = max(0, bisect_right(spans, gap.first, key=_first) - 1)
            while index < len(spans) and spans[index][0] <= gap.last:
                first, last = max(spans[index][0], gap.first), min(spans[index][1], gap.last)
                if first <= last:
                    marks.append((first, last, fate))
                index += 1
    following = gap.first
    for first, last, fate in (*sorted(marks), (gap.last + 1, gap.last + 1, Fate.OPEN)):
        if following < first:
            yield _part(gap, following, first - 1, Fate.OPEN)
        if first <= gap.last:
            yield _part(gap, first, last, fate)
        following = last + 1


class _Verdicts:
    """The ledger's rows of the devices that have open gaps now. After it was made the count is never behind them."""

    def __init__(self, platform: Platform, scope: Scope) -> None:
        self._rows: dict[tuple[str, str], LedgerRow] = {}
        platform.tally.catch_up()
        for device in platform.tally.book.gap_devices(scope):
            for row in platform.ledger(device):
                self._rows[device, row.stream] = row
        platform.tally.catch_up()

    def parts(self, gap: Gap) -> Iterator[NamedGap]:
        return verdict(gap, self._rows.get((gap.place.device, gap.stream)))


def _shares(part: NamedGap, whole: Gap, by: By, days: range, starts: Sequence[int]) -> Iterator[tuple[Key, int]]:
    """How many seqs of a part of a gap lie in the time, by key. They are where the whole gap has them."""
    first, last = part.gap.first - whole.first, part.gap.last - whole.first + 1

    def before(time_ms: int) -> int:
        return min(max(whole.before(time_ms), first), last)

    if by is not By.DAY:
        count = before(starts[-1]) - before(starts[0])
        if count:
            place = whole.place
            yield (place.commune, place.zone) if by is By.ZONE else (getattr(place, by.value),), count
        return
    upto = before(starts[0])
    for day, end_ms in zip(days, starts[1:], strict=True):
        if upto == last:
            return
        count, upto = before(end_ms) - upto, before(end_ms)
        if count:
            yield day, count


def _part(gap: Gap, first: int, last: int, fate: Fate) -> NamedGap:
    if (first, last) == (gap.first, gap.last):
        return NamedGap(gap=gap, fate=fate)
    from_ms = None if gap.from_ms is None else gap.at_ms(first - 1)
    return NamedGap(
        gap=msgspec.structs.replace(gap, first=first, last=last, from_ms=from_ms, to_ms=gap.at_ms(last + 1)), fate=fate
    )


def _bounded(gaps: Iterator[Gap]) -> Iterator[Gap]:
    for number, gap in enumerate(gaps):
        if number == GAPS_MAX:
            sentence = f"more than {GAPS_MAX} gaps; ask for a shorter time, one zone or one kind"
            raise Problem("invalid", sentence, [sentence])
        yield gap


def worst_first(sums: Mapping[Key, Sum]) -> list[tuple[Key, Sum]]:
    """The least complete first; of equals by name."""
    return sorted(sums.items(), key=lambda item: (item[1].completeness or 0.0, item[0]))


def _first(span: tuple[int, int]) -> int:
    return span[0]
