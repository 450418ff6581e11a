"""Which readings of a stream have come, which never will, and which are missing. Pure: no clock, no I/O.

Theory of operation. A set of seqs is a flat sorted list of edges, ``[first, end, first, end, …]``, half open: an even
index opens a range, an odd one closes it. So membership is the parity of one bisection, and adding or removing a range
is one slice. `have` holds what is stored or quarantined; `covered` is `have` and what is gone. Whatever lies below the
last covered seq in neither is missing: it may still come. A seq that is gone and comes after all is simply had.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping

from contract.clocks import Skew
from contract.ports import LedgerRow
from contract.records import Telemetry
from ingest.clocks import Lags

Ranges = tuple[tuple[int, int], ...]
"""Inclusive, sorted, disjoint, not touching."""

RANGES_MAX = 1024
"""Ranges between open gaps in one stream; a reading that would open one more is not kept. Honest devices have few."""

GONE_MAX = 4096
"""Gaps remembered as gone in one stream; the oldest are forgotten first (and count as had), for a row is written anew
with each batch. A device that loses a reading every day has ten years of them."""

BOOTS_MAX = 32
"""Dated boots remembered in one stream; the oldest go first: nothing of theirs is on its way any more."""

SKEWS_MAX = 16
"""Wrong clocks remembered in one stream: one for each boot, and one more for each time it was set anew meanwhile."""

STREAMS_MAX = 64
"""Streams of one device in memory: each is a formatted journal or, on a node without one, a boot."""


class Stream:
    """The seqs of one (device, stream), and what dates and orders its messages."""

    __slots__ = (
        "boots", "born_at_ms", "covered", "device", "have", "lags",
        "reported", "rough", "seen_at_ms", "skews", "status", "stream", "told",
    )  # fmt: skip

    def __init__(self, device: str, stream: str) -> None:
        self.device = device
        self.stream = stream
        self.have: list[int] = []
        self.covered: list[int] = []
        self.boots: Mapping[int, int] = {}  # replaced, never changed in place: copies share it
        self.rough: Mapping[int, int | None] = {}  # so is this
        self.skews: tuple[Skew, ...] = ()
        self.told: tuple[int, int] | None = None
        self.lags: Lags | None = None  # only in memory: how late its newest readings come, while that is being watched
        self.seen_at_ms = 0
        self.status: tuple[int, int, int] | None = None
        self.reported: tuple[int, int] | None = None
        self.born_at_ms = 0

    @classmethod
    def from_row(cls, row: LedgerRow) -> "Stream":
        self = cls(row.device, row.stream)
        for first, last in row.have:
            _add(self.have, first, last + 1)
            _add(self.covered, first, last + 1)
        for first, last in row.gone:
            _add(self.covered, first, last + 1)
        self.boots, self.rough = row.boots, row.rough
        self.skews, self.told = row.skews, row.told
        self.seen_at_ms = row.seen_at_ms
        self.status = row.status
        self.reported = row.reported
        self.born_at_ms = row.born_at_ms
        return self

    def row(self) -> LedgerRow:
        return LedgerRow(
            device=self.device,
            stream=self.stream,
            have=_inclusive(self.have),
            gone=self.gone(),
            boots=self.boots,
            rough=self.rough,
            skews=self.skews,
            told=self.told,
            seen_at_ms=self.seen_at_ms,
            status=self.status,
            reported=self.reported,
            born_at_ms=self.born_at_ms,
        )

    def copy(self) -> "Stream":
        twin = Stream.__new__(Stream)
        twin.device = self.device
        twin.stream = self.stream
        twin.have = self.have.copy()
        twin.covered = self.covered.copy()
        twin.boots, twin.rough = self.boots, self.rough
        twin.skews, twin.told, twin.lags = self.skews, self.told, self.lags
        twin.seen_at_ms = self.seen_at_ms
        twin.status = self.status
        twin.reported = self.reported
        twin.born_at_ms = self.born_at_ms
        return twin

    @property
    def next_seq(self) -> int:
        """The seq that comes next where the last that is known of has come and no clock is in doubt; else 0."""
        have, covered = self.have, self.covered
        is_simple = have and have[-1] == covered[-1] and not self.skews and self.lags is None
        return have[-1] if is_simple else 0

    def would_lose(self, oldest: int) -> bool:
        """Is something missing below `oldest`, as far as the stream goes, that is gone when the device says so?"""
        covered = self.covered
        return (len(covered) > 2 or covered[0] > 1) and oldest > self.settled

    def grow(self, next_seq: int) -> None:
        """All from the present `next_seq` up to this one have come. `have` goes first: who looks sees nothing gone."""
        self.have[-1] = next_seq
        self.covered[-1] = next_seq

    def has(self, seq: int) -> bool:
        return bisect_right(self.have, seq) % 2 == 1

    def has_room(self, seq: int) -> bool:
        """Would the stream stay within RANGES_MAX ranges with `seq`? What lies in a range or beside one opens none."""
        covered = self.covered
        if len(covered) < 2 * RANGES_MAX:
            return True
        low = bisect_left(covered, seq)
        return low % 2 == 1 or bisect_right(covered, seq + 1) > low

    def add(self, first: int, last: int) -> int:
        """These have come: stored or quarantined. A range that was gone, or partly had, is had now.

        Returns how many gaps that are gone had to be forgotten (GONE_MAX).
        """
        _add(self.have, first, last + 1)
        _add(self.covered, first, last + 1)
        return self._forget()

    def take_back(self, seqs: Iterable[int], *, as_gone: bool = False) -> int:
        """These had come, and count so no more: they come again now, or with `as_gone` never will.

        Returns how many gaps that are gone had to be forgotten.
        """
        for seq in seqs:
            _remove(self.have, seq, seq + 1)
            if not as_gone:
                _remove(self.covered, seq, seq + 1)
        return self._forget()

    def _forget(self) -> int:
        """The oldest gaps that are gone beyond GONE_MAX: they count as had."""
        have = self.have
        forgotten = 0
        while len(have) > 2 * (GONE_MAX + 1) and _covers(self.covered, have[1], have[2]):
            del have[1:3]
            forgotten += 1
        return forgotten

    @property
    def settled(self) -> int:
        """Every seq below it has come or is gone; at least 1."""
        covered = self.covered
        return covered[1] if covered and covered[0] == 1 else 1

    def add_gone(self, oldest: int) -> int:
        """The device holds nothing below `oldest`: what never came of it is gone. Returns how many are newly so."""
        if oldest <= self.settled:
            return 0
        covered = self.covered
        new = oldest - 1 - sum(min(end, oldest) - first for first, end in _pairs(covered) if first < oldest)
        _add(covered, 1, oldest)
        return new

    def gone(self) -> Ranges:
        rest = self.covered.copy()
        for first, end in _pairs(self.have):
            _remove(rest, first, end)
        return _inclusive(rest)

    def missing(self) -> Ranges:
        """What lies below the last covered seq and is neither had nor gone."""
        if not self.covered:
            return ()
        rest = [1, self.covered[-1]]
        for first, end in _pairs(self.covered):
            _remove(rest, first, end)
        return _inclusive(rest)

    def missing_count(self) -> int:
        covered = self.covered
        return sum(covered[::2]) - sum(covered[1:-1:2]) - 1 if covered else 0

    def gone_count(self) -> int:
        return sum(last - first + 1 for first, last in self.gone())

    def kept(self, most: int) -> tuple[int, Ranges]:
        """(upto, also) for the device: all up to `upto`, and up to `most` ranges above it, lowest first."""
        covered = self.covered
        if not covered:
            return 0, ()
        if covered[0] != 1:
            return 0, _inclusive(covered[: 2 * most])
        return covered[1] - 1, _inclusive(covered[2 : 2 + 2 * most])

    def is_newest(self, seq: int) -> bool:
        """Has nothing later than this seq come?"""
        return not self.covered or seq >= self.covered[-1]

    def fix_boot(self, boot: int, offset_ms: int) -> None:
        """Remember what dates the `up` times of `boot`."""
        boots = {**self.boots, boot: offset_ms}
        while len(boots) > BOOTS_MAX:
            del boots[min(boots)]
        self.boots = boots

    def date_roughly(self, boot: int, earlier_ms: int | None) -> None:
        """`boot` was never heard live: its readings may be older than they are dated, by up to `earlier_ms`."""
        rough = {**self.rough, boot: earlier_ms}
        while len(rough) > BOOTS_MAX:
            del rough[min(rough)]
        self.rough = rough

    def ahead_ms(self, boot: int, clock: str, seq: int) -> int:
        """By how much the clock is ahead that dated this reading, as far as is known."""
        for skew in reversed(self.skews):
            if skew.boot == boot and skew.clock == clock and skew.since_seq <= seq:
                return skew.ahead_ms
        return 0

    def fix_skew(self, skew: Skew) -> None:
        """Remember a wrong clock; what was known of its readings from there on no longer holds."""
        others = [
            known
            for known in self.skews
            if known.since_seq < skew.since_seq or (known.boot, known.clock) != (skew.boot, skew.clock)
        ]
        self.skews = tuple(sorted([*others, skew], key=lambda one: (one.boot, one.since_seq))[-SKEWS_MAX:])
        self.lags = None

    @property
    def ahead_now_ms(self) -> int:
        """By how much the device's clock is ahead in the boot it runs in, as far as is known; 0 when it is right."""
        boot = max(self.status[0] if self.status is not None else 0, self.skews[-1].boot if self.skews else 0)
        return self.ahead_in_ms(boot)

    def ahead_in_ms(self, boot: int) -> int:
        """By how much the clock is ahead that dated the last readings of a boot, as far as is known."""
        return next((skew.ahead_ms for skew in reversed(self.skews) if skew.boot == boot), 0)


class Ledger:
    """All streams, as the log has them. Any thread may read one it has got: they are replaced whole, but for their end,
    which grows.

    A stream's row is written with the batch that changed it. Where it only grew at its end the log's telemetry says as
    much: the row waits in `unwritten` for the next checkpoint, and after a crash it is made from the older row and the
    log. Of each device the STREAMS_MAX seen last are in memory; the log has the others too, and `recall` brings one
    back.
    """

    def __init__(self, rows: Iterable[LedgerRow], since: Iterable[Telemetry] = ()) -> None:
        """`since`: at least what the log had after the last checkpoint; what a row has already changes nothing."""
        self._devices: dict[str, dict[str, Stream]] = {}
        self._current: dict[str, Stream] = {}  # device → the stream of its last birth
        self._crowded: set[str] = set()  # devices of which some streams are in the log only
        self.missing_total = 0
        self.gone_total = 0
        self.clocks_off: dict[str, int] = {}  # devices whose clocks are wrong → by how much they are ahead (ms)
        self.unwritten: dict[tuple[str, str], Stream] = {}
        streams = {(row.device, row.stream): Stream.from_row(row) for row in rows}
        for record in since:
            key = record.device, record.stream
            stream = streams.setdefault(key, Stream(*key))
            for reading in record.readings:
                stream.add(reading.seq, reading.seq)
            self.unwritten[key] = stream
        self._take(streams.values())

    def get(self, device: str, stream: str) -> Stream | None:
        streams = self._devices.get(device)
        return None if streams is None else streams.get(stream)

    @property
    def devices(self) -> int:
        """How many were ever heard."""
        return len(self._devices)

    def is_crowded(self, device: str) -> bool:
        """Might the log know streams of this device that are not here?"""
        return device in self._crowded

    def recall(self, row: LedgerRow) -> Stream:
        """Bring a stream back from the log, which has it as it was when it was put aside."""
        stream = Stream.from_row(row)
        self._devices.setdefault(stream.device, {})[stream.stream] = stream
        return stream

    def current(self, device: str) -> Stream | None:
        """The stream of the device's last birth, which orders its `status` and `reported`."""
        return self._current.get(device)

    def streams(self, device: str) -> list[Stream]:
        """Those of a device that are in memory."""
        return list(self._devices.get(device, {}).values())

    def grow(self, ends: Iterable[tuple[Stream, int]], now_ms: int) -> None:
        """These streams have come up to these seqs (those that come next), and the log has the readings."""
        for stream, end in ends:
            stream.grow(end)
            stream.seen_at_ms = now_ms
            self.unwritten[stream.device, stream.stream] = stream

    def replace(self, streams: Collection[Stream]) -> None:
        """Take these streams for what they are now; the log has their rows."""
        for stream in streams:
            self.unwritten.pop((stream.device, stream.stream), None)
        self._take(streams)

    def _take(self, streams: Iterable[Stream]) -> None:
        crowded: set[str] = set()
        for stream in streams:
            others = self._devices.setdefault(stream.device, {})
            before = others.get(stream.stream)
            if before is not None:
                self.missing_total -= before.missing_count()
                self.gone_total -= before.gone_count()
            self.missing_total += stream.missing_count()
            self.gone_total += stream.gone_count()
            others[stream.stream] = stream
            current = self._current.get(stream.device)
            if stream.born_at_ms and (current is None or stream.born_at_ms >= current.born_at_ms):
                current = self._current[stream.device] = stream
            if current is stream or (current is None and stream.skews):  # of a stream before it nothing is said now
                self._note_clock(stream)
            if len(others) > STREAMS_MAX:
                crowded.add(stream.device)
        for device in crowded:  # only now: one of theirs that was recalled may have come later among `streams`
            self._put_aside(device)

    def _note_clock(self, stream: Stream) -> None:
        ahead_ms = stream.ahead_now_ms if stream.skews else 0
        if ahead_ms:
            self.clocks_off[stream.device] = ahead_ms
        else:
            self.clocks_off.pop(stream.device, None)

    def _put_aside(self, device: str) -> None:
        """Keep the STREAMS_MAX seen last, and what the log has no row of yet; the totals still count the others."""
        by_age = sorted(self._devices[device].values(), key=lambda stream: stream.seen_at_ms)
        waiting = [stream for stream in by_age[:-STREAMS_MAX] if (device, stream.stream) in self.unwritten]
        self._devices[device] = {stream.stream: stream for stream in [*waiting, *by_age[-STREAMS_MAX:]]}
        self._crowded.add(device)


def _add(edges: list[int], first: int, end: int) -> None:
    """Unite with [first, end). The common case, growth at the end, costs no search of the middle."""
    if edges and edges[-1] == first:
        edges[-1] = end
        return
    low, high = bisect_left(edges, first), bisect_right(edges, end)
    edges[low:high] = ([first] if low % 2 == 0 else []) + ([end] if high % 2 == 0 else [])


def _remove(edges: list[int], first: int, end: int) -> None:
    low, high = bisect_left(edges, first), bisect_right(edges, end)
    edges[low:high] = ([first] if low % 2 == 1 else []) + ([end] if high % 2 == 1 else [])


def _covers(edges: list[int], first: int, end: int) -> bool:
    low = bisect_right(edges, first)
    return low % 2 == 1 and edges[low] >= end


def _pairs(edges: list[int]) -> Iterable[tuple[int, int]]:
    return zip(edges[::2], edges[1::2], strict=True)


def _inclusive(edges: list[int]) -> Ranges:
    return tuple((first, end - 1) for first, end in _pairs(edges))
