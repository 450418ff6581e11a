"""Counts the log's readings by asset and local day, and finds the gaps between them. Pure; `nabd.tally` drives it.

Theory of operation: `contract.tally`. The log has each reading once, so counting is adding. A reading that is the next
of its stream only moves the end of it; one further on opens a gap; one inside a gap makes it smaller or splits it, and
what it filled is a gap closed by late data: readings that fill a gap one after the other close it as one.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, tzinfo

import msgspec

from contract.records import Entry, Reading, Telemetry
from contract.tally import DayCount, Gap, News, Place, StreamEnd

STREAMS_MAX = 30_000
"""Streams remembered between two commits; the others are read from the book when they speak."""

QUARTER_MS = 900_000
"""No local day begins but at a full quarter of an hour UTC."""

QUARTERS_MAX = 20_000

StreamKey = tuple[str, str]


class LocalDays:
    """Unix ms → `date.toordinal()` of the local day."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._known: dict[int, int] = {}

    def day(self, at_ms: int) -> int:
        quarter = at_ms // QUARTER_MS
        day = self._known.get(quarter)
        if day is None:
            if len(self._known) >= QUARTERS_MAX:
                self._known.clear()
            day = datetime.fromtimestamp(quarter * QUARTER_MS / 1000, self._zone).toordinal()
            self._known[quarter] = day
        return day


class StreamTally:
    """The end and the open gaps of one stream."""

    __slots__ = ("began_ms", "closing", "floor", "gaps", "heard_ms", "key", "last_ms", "next_seq")

    def __init__(self, key: StreamKey, floor: int, began_ms: int) -> None:
        self.key = key
        self.floor = floor
        self.next_seq = floor
        self.last_ms: int | None = None
        self.began_ms = began_ms
        self.heard_ms = began_ms
        self.gaps: list[Gap] = []
        self.closing: Gap | None = None  # closed last: the reading after it closes it further

    @classmethod
    def restored(cls, end: StreamEnd, gaps: Sequence[Gap]) -> "StreamTally":
        self = cls((end.device, end.stream), end.floor, end.began_ms)
        self.next_seq, self.last_ms, self.heard_ms = end.next_seq, end.last_ms, end.heard_ms
        self.gaps = list(gaps)
        return self

    def end(self) -> StreamEnd:
        assert self.last_ms is not None, "a stream is known by its first reading"
        device, stream = self.key
        return StreamEnd(
            device=device,
            stream=stream,
            floor=self.floor,
            next_seq=self.next_seq,
            last_ms=self.last_ms,
            began_ms=self.began_ms,
            heard_ms=self.heard_ms,
        )

    def open(self, reading: Reading, place: Place, at_ms: int) -> None:
        """A reading behind `next_seq`: those before it are missing."""
        gap = Gap(
            place=place,
            stream=self.key[1],
            first=self.next_seq,
            last=reading.seq - 1,
            from_ms=self.last_ms,
            to_ms=reading.measured_at_ms,
            opened_ms=at_ms,
        )
        self.gaps.append(gap)

    def fill(self, reading: Reading, at_ms: int) -> Gap | None:
        """A reading below `next_seq`: the closed gap it makes, or makes longer; None when it was in no gap."""
        seq, measured_ms = reading.seq, reading.measured_at_ms
        index = bisect_right(self.gaps, seq, key=_first) - 1
        if index < 0 or self.gaps[index].last < seq:
            return None
        gap = self.gaps[index]
        rest = []
        if gap.first < seq:
            rest.append(msgspec.structs.replace(gap, last=seq - 1, to_ms=measured_ms))
        if seq < gap.last:
            rest.append(msgspec.structs.replace(gap, first=seq + 1, from_ms=measured_ms))
        self.gaps[index : index + 1] = rest
        before = self.closing
        if before is not None and before.last == seq - 1 and before.opened_ms == gap.opened_ms:
            closed = msgspec.structs.replace(before, last=seq, to_ms=measured_ms, closed_ms=at_ms)
        else:
            closed = msgspec.structs.replace(
                gap, first=seq, last=seq, from_ms=measured_ms, to_ms=measured_ms, closed_ms=at_ms
            )
        self.closing = closed
        return closed


class Counting:
    """All streams that spoke lately, and what has changed since the last commit."""

    def __init__(self, days: LocalDays, begun_late_upto: int) -> None:
        """`begun_late_upto`: streams first heard at or before this log position may have been under way for long, as
        the count began with a log whose beginning was cut; 0 when it was there from the first."""
        self._days = days
        self._begun_late_upto = begun_late_upto
        self._streams: dict[StreamKey, StreamTally] = {}
        self._places: dict[tuple[str, ...], Place] = {}
        self._counts: Counter[tuple[int, Place]] = Counter()
        self._spoke: dict[StreamKey, StreamTally] = {}
        self._changed: set[StreamKey] = set()
        self._closed: dict[tuple[StreamKey, int], Gap] = {}

    @property
    def pending(self) -> int:
        """Rows that the next commit will write, about."""
        return len(self._counts) + len(self._spoke) + len(self._closed)

    def strangers(self, entries: Iterable[Entry]) -> Collection[StreamKey]:
        """Streams in these entries that must be restored from the book first, where it knows them."""
        records = (entry.record for entry in entries)
        keys = {(record.device, record.stream) for record in records if type(record) is Telemetry}
        return keys - self._streams.keys()

    def restore(self, known: Mapping[StreamKey, tuple[StreamEnd, Sequence[Gap]]]) -> None:
        for key, (end, gaps) in known.items():
            self._streams[key] = StreamTally.restored(end, gaps)

    def apply(self, entry: Entry) -> None:
        """Entries come once, in the order of the log."""
        record = entry.record
        if type(record) is not Telemetry or not record.readings:
            return
        key = record.device, record.stream
        place = self._place(record)
        stream = self._streams.get(key)
        if stream is None:
            begun_late = entry.position <= self._begun_late_upto
            stream = StreamTally(key, record.readings[0].seq if begun_late else 1, entry.at_ms)
            self._streams[key] = stream
        if not record.came_at_ms:  # what a replay stores was heard long ago
            stream.heard_ms = entry.at_ms
        self._spoke[key] = stream
        for reading in record.readings:
            self._counts[self._days.day(reading.measured_at_ms), place] += 1
            if reading.seq < stream.next_seq:
                self._fill(stream, reading, entry.at_ms)
                continue
            if reading.seq > stream.next_seq:
                stream.open(reading, place, entry.at_ms)
                self._changed.add(key)
            stream.next_seq = reading.seq + 1
            stream.last_ms = reading.measured_at_ms

    def news(self) -> News:
        """All changes since `done`; they stay until then."""
        return News(
            counts=[DayCount(day, place, number) for (day, place), number in self._counts.items()],
            ends=[stream.end() for stream in self._spoke.values()],
            open={key: tuple(self._streams[key].gaps) for key in self._changed},
            closed=list(self._closed.values()),
        )

    def done(self) -> None:
        """The changes are committed. Streams that were silent for longest are put aside when there are many."""
        self._counts.clear()
        self._spoke.clear()
        self._changed.clear()
        self._closed.clear()
        if len(self._streams) > STREAMS_MAX:
            by_age = sorted(self._streams.values(), key=lambda stream: stream.heard_ms)
            for stream in by_age[: len(by_age) - STREAMS_MAX // 2]:
                del self._streams[stream.key]
        if len(self._places) > STREAMS_MAX:
            self._places.clear()

    def _fill(self, stream: StreamTally, reading: Reading, at_ms: int) -> None:
        closed = stream.fill(reading, at_ms)
        if closed is not None:
            self._closed[stream.key, closed.first] = closed
            self._changed.add(stream.key)

    def _place(self, record: Telemetry) -> Place:
        key = record.device, record.asset, record.kind, record.commune, record.zone
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(*key)
        return place


def _first(gap: Gap) -> int:
    return gap.first
