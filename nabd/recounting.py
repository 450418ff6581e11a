"""Does the store hold what the ledger says, each reading once? Pure: what was read of log and store goes in.

Theory of operation. Of each (device, stream): what must be there is what the ledger has, without what stands in the
quarantine (it may be in the store as well, when it was a second reading of a name) and without what the log still
holds behind the store's position. What the store holds beyond the ledger is unexpected, unless the log brought it
since. Where a store deletes what is old, seqs below the first that it holds of the time it keeps may have gone that
way: they are retired, unless the log still has them with a time that the store keeps. (What came late for the time
before may lie among them.)
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from contract import ranges
from contract.extracts import Held
from contract.ports import LedgerRow
from contract.ranges import Range, Ranges
from contract.records import Entry, Telemetry
from ingest.ledger import GONE_MAX

Key = tuple[str, str]
"""(device, stream)"""
RANGES_SHOWN = 16


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with one stream; the first RANGES_SHOWN ranges of it, and how many readings in all."""

    what: str  # missing, doubled, unexpected
    device: str
    stream: str
    readings: int
    ranges: tuple[Range, ...]


class Expected:
    """What the log says of every stream."""

    def __init__(self) -> None:
        self.have: dict[Key, Ranges] = {}
        self.quarantined: dict[Key, ranges.Gathered] = {}
        self.waiting: dict[Key, ranges.Gathered] = {}
        self.forgotten: set[Key] = set()  # streams whose first gone seqs the ledger counts as had
        self.last = 0  # the log was read up to here

    def take_ledger(self, rows: Iterable[LedgerRow]) -> None:
        for row in rows:
            self.have[row.device, row.stream] = row.have
            if len(row.have) > GONE_MAX:
                self.forgotten.add((row.device, row.stream))

    def take_entries(self, entries: Iterable[Entry], *, ledger_upto: int, stored_upto: int) -> None:
        """What the log holds behind the ledger's rows, and behind the store's position."""
        news: dict[Key, ranges.Gathered] = {}
        for key, position, seqs in names(entries):
            if position > ledger_upto:
                news.setdefault(key, ranges.Gathered()).add(seqs)
            if position > stored_upto:
                self.waiting.setdefault(key, ranges.Gathered()).add(seqs)
            self.last = max(self.last, position)
        for key, gathered in news.items():
            self.have[key] = ranges.united(self.have.get(key, ()), gathered.ranges)

    def take_quarantine(self, rows: Iterable[tuple[str, str, int]]) -> None:
        for device, stream, seq in rows:
            self.quarantined.setdefault((device, stream), ranges.Gathered()).add([seq])


class Recount:
    """Compares; `faults` are those not yet excused (see `excuse`)."""

    def __init__(self, expected: Expected, *, retires: bool) -> None:
        """`retires`: may the store have deleted what is old?"""
        self._expected, self._retires = expected, retires
        self._left = set(expected.have)
        self.held = self.waiting = self.quarantined = self.forgotten = 0
        self.missing: dict[Key, Ranges] = {}
        self.retired: dict[Key, Ranges] = {}
        self.doubled: dict[Key, Ranges] = {}
        self.unexpected: dict[Key, Ranges] = {}

    def take(self, found: Iterable[Held]) -> None:
        """Everything the store holds."""
        for one in found:
            key = one.device, one.stream
            self._left.discard(key)
            self.held += ranges.size(one.ranges) + ranges.size(one.doubled)
            self._compare(key, one.ranges, one.kept_seq)
            if one.doubled:
                self.doubled[key] = one.doubled
        for key in sorted(self._left):
            self._compare(key, (), None)

    def _compare(self, key: Key, held: Ranges, kept_seq: int | None) -> None:
        have = self._expected.have.get(key, ())
        absent: Ranges = ranges.minus(have, held)
        absent, waiting = _without(absent, self._expected.waiting.get(key))
        absent, quarantined = _without(absent, self._expected.quarantined.get(key))
        self.waiting += waiting
        self.quarantined += quarantined
        if absent and key in self._expected.forgotten:
            self.forgotten += ranges.size(ranges.common(absent, have[:1]))
            absent = ranges.minus(absent, have[:1])
        if absent and self._retires:
            older = absent if kept_seq is None else ranges.common(absent, [(0, kept_seq - 1)]) if kept_seq else ()
            if older:
                self.retired[key] = older
                absent = ranges.minus(absent, older)
        if absent:
            self.missing[key] = absent
        if beyond := ranges.minus(held, have):
            self.unexpected[key] = beyond

    def came_since(self, entries: Iterable[Entry]) -> None:
        """What the log brought after it was read for `expected` is not unexpected."""
        for key, _, seqs in names(entries):
            if key in self.unexpected:
                rest = ranges.minus(self.unexpected[key], ranges.of(seqs))
                self.unexpected[key] = rest
                if not rest:
                    del self.unexpected[key]

    def still_dated(self, entries: Iterable[Entry], keeps_from_ms: Mapping[str, int]) -> None:
        """Of what looks retired, that which the log still has with a time the store keeps is missing."""
        young: dict[Key, ranges.Gathered] = {}
        for entry in entries:
            record = entry.record
            if not isinstance(record, Telemetry) or (record.device, record.stream) not in self.retired:
                continue
            from_ms = keeps_from_ms.get(record.kind, 0)
            seqs = [one.seq for one in record.readings if one.measured_at_ms >= from_ms]
            if seqs:
                young.setdefault((record.device, record.stream), ranges.Gathered()).add(seqs)
        for key, gathered in young.items():
            gone = ranges.common(self.retired[key], gathered.ranges)
            self.retired[key] = ranges.minus(self.retired[key], gone)
            if gone:
                self.missing[key] = ranges.united(self.missing.get(key, ()), gone)

    def faults(self) -> Iterator[Fault]:
        kinds = {"missing": self.missing, "doubled": self.doubled, "unexpected": self.unexpected}
        for what, by_key in kinds.items():
            for (device, stream), found in sorted(by_key.items()):
                yield Fault(what, device, stream, ranges.size(found), tuple(found[:RANGES_SHOWN]))

    def counts(self) -> dict[str, int]:
        expected = sum(map(ranges.size, self._expected.have.values()))
        kinds = {
            "missing": self.missing, "doubled": self.doubled, "unexpected": self.unexpected, "retired": self.retired
        }  # fmt: skip
        return {
            "streams": len(self._expected.have),
            "ledger": expected,
            "held": self.held,
            "quarantined": self.quarantined,
            "waiting": self.waiting,
            "forgotten": self.forgotten,
            **{what: sum(map(ranges.size, by_key.values())) for what, by_key in kinds.items()},
        }


def names(entries: Iterable[Entry]) -> Iterator[tuple[Key, int, list[int]]]:
    for entry in entries:
        record = entry.record
        if isinstance(record, Telemetry):
            yield (record.device, record.stream), entry.position, [one.seq for one in record.readings]


def _without(absent: Ranges, known: ranges.Gathered | None) -> tuple[Ranges, int]:
    """(what is left, how many were in `known`)"""
    if known is None or not absent:
        return absent, 0
    left = ranges.minus(absent, known.ranges)
    return left, ranges.size(absent) - ranges.size(left)


def shown(counts: Mapping[str, int]) -> list[str]:
    """The counts as sentences."""
    lines = [f"ledger: {counts['ledger']} readings of {counts['streams']} streams; store: {counts['held']}"]
    for name, meaning in (
        ("quarantined", "stand in the quarantine and not in the store"),
        ("waiting", "are in the log and not yet written"),
        ("retired", "are older than the store keeps"),
        ("forgotten", "are gaps of long ago that the ledger no longer tells apart"),
    ):
        if counts[name]:
            lines.append(f"{counts[name]} {meaning}")
    return lines
