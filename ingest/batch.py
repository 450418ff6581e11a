"""One batch on its way: everything that will be appended together, and what is to be said when it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from contract.clocks import PUNCTUAL_MS
from contract.ports import Log, Message
from contract.quarantine import Quarantined, Settled
from contract.records import Conflicted, Reading, Record, Status, Telemetry
from contract.wire.messages import AGE_MS_MAX, WireFault
from ingest.clocks import told_at_birth
from ingest.ledger import Ledger, Stream

NO_STREAM = ""  # where the order of a device's messages stands while no birth of it was heard
SENTENCE_LENGTH_MAX = 400  # beyond it the further faults of a message are only counted


class Heard(NamedTuple):
    """What a message says of a device that is not registered."""

    stream: str
    readings: int = 0
    birth: Status | None = None
    boot: int = 0
    newest_up_ms: int | None = None  # of a message without a clock


class Batch:
    """Collects; changes nothing outside itself. Streams are copies, so that a batch that fails leaves no trace."""

    def __init__(self, ledger: Ledger, log: Log, now_ms: int) -> None:
        self.now_ms = now_ms
        self.records: list[Record] = []
        self.quarantine: list[Quarantined] = []
        self.settled: list[Settled] = []  # what becomes of rows that were there before
        self.counts: Counter[str] = Counter()
        self.streams: dict[tuple[str, str], Stream] = {}
        self.ends: dict[tuple[str, str], tuple[Stream, int]] = {}  # that only grow, none of `streams`: the next seq
        self.earliest_ms, self.latest_ms = now_ms - AGE_MS_MAX, now_ms + PUNCTUAL_MS  # when a reading can be measured
        self.punctual_ms = now_ms - PUNCTUAL_MS  # a newest reading from before it says something about the clock
        self.accepted = 0  # readings
        self.at_hand: list[Reading] = []  # accepted of the message at hand, not yet a record
        self.kept: dict[tuple[str, str], bool] = {}  # (device, stream) to answer → deferred
        self.replies: list[tuple[str, bytes]] = []
        self.births: dict[str, str] = {}  # devices that came on line → the stream they are born in
        self.heard: list[tuple[str, Heard]] = []  # of devices that are not registered
        self.unknown: list[tuple[str, Sequence[str]]] = []  # devices' metrics that their kinds do not have
        self._ledger, self._log = ledger, log
        self._message = Message("", b"")
        self._faults: dict[str, int | None] = {}  # code → where the message at hand stands for it in `quarantine`
        self._by_name: dict[tuple[str, str, int], Reading] = {}
        self._named = 0  # records whose readings are in `_by_name`
        self._put_bytes: Counter[str] = Counter()  # device → what goes to the quarantine with this batch

    @property
    def is_empty(self) -> bool:
        return not (self.records or self.quarantine or self.counts or self.streams or self.settled)

    def begin(self, message: Message) -> None:
        """The message that is at hand from now on: `turn_away` means it."""
        self._message = message
        if self._faults:
            self._faults = {}
        if self.at_hand:
            self.at_hand = []

    def accept(self, record: Telemetry) -> None:
        """The readings of the message at hand that are kept, as a record."""
        self.records.append(record)
        self.accepted += len(record.readings)
        self.at_hand = []

    def conflict(self, device: str, stream: str, seq: int) -> None:
        """Note that a kept name came again with other content; those of one stream that follow one another in one
        record."""
        last = self.records[-1] if self.records else None
        if isinstance(last, Conflicted) and (last.device, last.stream) == (device, stream):
            self.records[-1] = msgspec.structs.replace(last, count=last.count + 1)
        else:
            self.records.append(Conflicted(device=device, stream=stream, seq=seq))

    def find(self, device: str, stream: str, seq: int) -> Reading | None:
        """The reading this batch has under a name, to tell a duplicate from a conflict."""
        for reading in self.at_hand:
            if reading.seq == seq:
                return reading
        for record in self.records[self._named :]:
            if isinstance(record, Telemetry):
                self._by_name |= {(record.device, record.stream, one.seq): one for one in record.readings}
        self._named = len(self.records)
        return self._by_name.get((device, stream, seq))

    def stream(self, device: str, stream: str) -> Stream:
        """The batch's own copy of a stream, new when nobody knows it."""
        key = (device, stream)
        mine = self.streams.get(key)
        if mine is None:
            known = self._find(device, stream)
            mine = known.copy() if known is not None else Stream(device, stream)
            mine.seen_at_ms = self.now_ms
            grown = self.ends.pop(key, None)
            if grown is not None:
                mine.grow(grown[1])
            self.streams[key] = mine
        return mine

    def is_new(self, device: str, stream: str) -> bool:
        """Has nobody heard of this stream yet?"""
        return (device, stream) not in self.streams and self._find(device, stream) is None

    def _find(self, device: str, stream: str) -> Stream | None:
        """The ledger's own, brought back from the log where it was put aside."""
        known = self._ledger.get(device, stream)
        if known is None and self._ledger.is_crowded(device):
            rows = list(self._log.ledger(device, stream))
            known = self._ledger.recall(rows[0]) if rows else None
        return known

    def end(self, key: tuple[str, str]) -> tuple[Stream, int] | None:
        """A stream at whose end nothing is open, and the seq that comes next; None where it is not so simple."""
        known = self._ledger.get(*key) if key not in self.streams else None
        next_seq = known.next_seq if known is not None else 0
        return (known, next_seq) if known is not None and next_seq else None

    def current(self, device: str) -> Stream:
        """The stream that orders the device's status and reported: of its last birth, in this batch or before."""
        born = self.births.get(device)
        if born is None:
            known = self._ledger.current(device)
            born = known.stream if known is not None else NO_STREAM
        return self.stream(device, born)

    def ordering(self, device: str, status: Status) -> Stream:
        """The stream whose order a birth or will belongs to: a birth names its own, a will means the last one's."""
        return self.stream(device, status.stream) if status.online else self.current(device)

    def born(self, birth: Status) -> None:
        """A birth that is news: what the device says from here on is ordered in its stream."""
        earlier = self.births.get(birth.device)
        before = self._ledger.current(birth.device) if earlier is None else self.streams[birth.device, earlier]
        stream = self.stream(birth.device, birth.stream)
        stream.born_at_ms = max(self.now_ms, before.born_at_ms + 1 if before is not None else 0)
        stream.told = told_at_birth(birth.boot, birth.measured_at_ms, self.now_ms)
        self.births[birth.device] = birth.stream

    def turn_away(
        self, fault: WireFault, *, device: str = "", stream: str = "", seq: int | None = None, counts: bool = False
    ) -> bool:
        """One reading of the message at hand (or all of it) to the quarantine, with the raw bytes.

        Readings of one message with one code share a row: it would hold the same bytes. `counts`: the seq counts as had
        from now on because it stands there. False when the device's share of the quarantine is used up: then nothing
        is kept of it, and the device must not be told so.
        """
        self.count("received")
        is_first = fault.code not in self._faults
        if is_first:
            self._faults[fault.code] = self._put_away(fault, device, stream, seq)
        index = self._faults[fault.code]
        if index is None:
            self.count("deferred")
            self.count("quarantine_held")
            return False
        row = self.quarantine[index]
        tells = not is_first and len(row.sentence) <= SENTENCE_LENGTH_MAX
        self.quarantine[index] = msgspec.structs.replace(
            row,
            sentence=f"{row.sentence}; {fault.sentence}" if tells else row.sentence,
            seqs=(*row.seqs, seq) if counts and seq is not None else row.seqs,
        )
        self.count("quarantined")
        self.count(f"quarantined.{fault.code}")
        return True

    def _put_away(self, fault: WireFault, device: str, stream: str, seq: int | None) -> int | None:
        """Where the row of a new fault stands; None when there is no room for it."""
        row = Quarantined(
            topic=_storable(self._message.topic),
            payload=self._message.payload,
            code=fault.code,
            sentence=fault.sentence,
            received_at_ms=self.now_ms,
            device=device,
            stream=stream,
            seq=seq,
        )
        if not self.has_room(row):
            return None
        if all(index is None for index in self._faults.values()):
            self.count("quarantined_messages")
        self._put_bytes[device] += row.size_bytes
        self.quarantine.append(row)
        return len(self.quarantine) - 1

    def has_room(self, row: Quarantined) -> bool:
        """Is there room for it in its device's share of the quarantine?"""
        return self._log.quarantine_rows.has_room(row, self._put_bytes[row.device])

    def totals(self) -> Mapping[str, int]:
        """What the durable counters grow by; those of accepted readings are taken together here."""
        if not self.accepted:
            return self.counts
        accepted = {"accepted": self.accepted, "received": self.accepted + self.counts["received"]}
        return {**self.counts, **accepted}

    def count(self, name: str, by: int = 1) -> None:
        if by:
            self.counts[name] += by


def _storable(text: str) -> str:
    """The text, with half a surrogate pair (which no database takes) written as an escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
