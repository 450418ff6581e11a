"""The quarantine once more: what reads now is stored under its own name, what does not stays with its new sentence.

Theory of operation. A row says which seqs count as had because they stand in it and nowhere else (`Quarantined.seqs`).
A replay takes these back from a copy of their stream and sends them the way of every message: decode, validate (the
time is judged against the moment the message first came), deduplicate, append. What reads is in a record of the log,
what does not counts as had again, and the row changes or goes in the same transaction. So a crash leaves either the row
or the readings, and a reading is never stored twice: a seq that is had for any other reason is not taken back, it is a
duplicate or a conflict as ever. A reading that comes so late decides nothing (Quality.LATE).

Not replayed, and said so: a conflict, because another reading is kept under its name; and what is no telemetry, because
it said how things were then. For the thread of `Pipeline.process` only.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from contract.ports import Clock, Device, Log, Message
from contract.quarantine import INTERNAL_ERROR, STORE_REFUSED, Quarantined, Replayed, Settled
from contract.records import Quality, QuarantineAct, Telemetry
from contract.wire import topics
from contract.wire.messages import CONFLICT, WireFault
from ingest.batch import Batch
from ingest.decode import JsonReader, TelemetryIn, decode_telemetry
from ingest.ledger import Ledger
from ingest.validate import Validator

logger = logging.getLogger("ingest")

REPLAY, DROP = "replay", "drop"
NAMES_MAX = 5  # devices and codes that the audit names of one act
LATE = int(Quality.LATE)

Take = Callable[[Batch, Device, Validator, TelemetryIn, Callable[[], Iterable[TelemetryIn]]], None]
"""The pipeline's way of a message that is decoded: (batch, device, rules, message, others of the device beside it)."""

LookupAt = Callable[[str, int], tuple[Device | None, int, int]]
"""(device id, Unix ms) → the device on the asset it sat on then, and from when until before when that holds."""


class Bindings:
    """Which device sat where, asked once a device and binding; and the rules its kind has now."""

    def __init__(self, lookup_at: LookupAt, validators: Mapping[str, Validator]) -> None:
        self._lookup_at, self._validators = lookup_at, validators
        self._known: dict[str, tuple[Device | None, int, int]] = {}  # device → the answer before

    def known(self, device_id: str, at_ms: int) -> tuple[Device, Validator] | None:
        found = self._known.get(device_id)
        if found is None or not found[1] <= at_ms < found[2]:
            found = self._known[device_id] = self._lookup_at(device_id, at_ms)
        device = found[0]
        validator = self._validators.get(device.kind) if device is not None else None
        return (device, validator) if device is not None and validator is not None else None


NEVER = "; a replay never overwrites what is kept: compare the two, then drop this one"
NOT_TELEMETRY = (
    "no reading: it said how things were when it came, and is not taken up later; what holds the device says again"
)
UNKNOWABLE = "had already, and the log no longer tells with which content; compare, then drop"


class ReplayFailed(Exception):
    """Nabd failed on a row; nothing of the batch was kept."""

    def __init__(self, row: Quarantined, error: Exception) -> None:
        self.number = row.number
        super().__init__(f"Nabd failed to read it ({type(error).__name__}); the bytes are kept")


class ReplayBatch(Batch):
    """A batch of messages that came earlier: `now_ms` is when the one at hand did. All take the long way, for a copy of
    their stream is there already. What it turns away has its room already."""

    def has_room(self, row: Quarantined) -> bool:
        return True


class Replay:
    """Takes rows of the quarantine into a batch, which the pipeline appends."""

    def __init__(
        self,
        ledger: Ledger,
        log: Log,
        take: Take,
        reader: JsonReader,
        devices: tuple[LookupAt, Mapping[str, Validator]],
        clock: Clock,
    ) -> None:
        self._ledger, self._log, self._take = ledger, log, take
        self._reader, self._devices, self._clock = reader, devices, clock

    def replay(self, rows: Sequence[Quarantined], by: str, failed: Mapping[int, str]) -> tuple[Batch, list[Replayed]]:
        """The batch to append, and what becomes of each row with it. `failed`: rows that Nabd failed on, and how.

        Raises ReplayFailed for one more of these, OSError while the log cannot be read.
        """
        now_ms = self._clock.now_ms()
        batch, bindings = ReplayBatch(self._ledger, self._log, now_ms), Bindings(*self._devices)
        told = [
            _stays(batch, row, failed[row.number], INTERNAL_ERROR)
            if row.number in failed
            else self._row(batch, row, bindings, now_ms)
            for row in rows
        ]
        batch.now_ms = now_ms
        readings = sum(one.readings for one in told)
        batch.counts.clear()  # they were counted when they came; what is stored now is received once more
        batch.count("replayed", readings)
        batch.records.append(QuarantineAct(act=REPLAY, rows=len(rows), readings=readings, by=by, what=_names(rows)))
        return batch, told

    def drop(self, rows: Sequence[Quarantined], by: str, lacking: Collection[int] = ()) -> Batch:
        """The batch that lets go of these rows for good: their readings are gone, and named so.

        `lacking`: numbers of rows whose reading the log has and the store will never have: gone as well.
        """
        batch = Batch(self._ledger, self._log, self._clock.now_ms())
        gone = 0
        for row in rows:
            batch.settled.append(Settled(row.number))
            lacks = row.seq if row.number in lacking else None
            if lacks is not None or (row.seqs and row.code != STORE_REFUSED):
                stream = batch.stream(row.device, row.stream)
                own = self._own(batch, row) if lacks is None else {lacks} if stream.has(lacks) else set()
                batch.count("forgotten_gaps", stream.take_back(own, as_gone=True))
                gone += len(own)
                self._not_seen(batch, row.device, row.stream)
        batch.count("gone", gone)
        batch.count("quarantine_dropped", len(rows))
        batch.records.append(QuarantineAct(act=DROP, rows=len(rows), readings=gone, by=by, what=_names(rows)))
        return batch

    # -- one row

    def _row(self, batch: Batch, row: Quarantined, bindings: Bindings, now_ms: int) -> Replayed:
        batch.now_ms = row.received_at_ms  # the message at hand came then
        if row.code == CONFLICT:
            return _stays(batch, row, f"{row.sentence.removesuffix(NEVER)}{NEVER}")
        if row.code == STORE_REFUSED:
            return _stays(batch, row, row.sentence)
        device_id, channel = topics.parse(row.topic) or ("", "")
        if channel != topics.TELEMETRY:
            return _stays(batch, row, NOT_TELEMETRY if channel in topics.UPWARD else row.sentence)
        known = bindings.known(device_id, row.received_at_ms)
        if known is None:
            return _stays(batch, row, f"{device_id} is not registered, or its kind is not loaded; register it first")
        row = msgspec.structs.replace(row, device=device_id)  # whose it is now, though nobody knew it when it came
        try:
            telemetry = decode_telemetry(row.payload, known[1], self._reader)
        except WireFault as fault:
            return _stays(batch, row, fault.sentence, fault.code)
        try:
            return self._telemetry(batch, row, known, telemetry, now_ms)
        except OSError:
            raise  # the log cannot be read
        except Exception as error:
            logger.exception("event=replay_failed row=%d", row.number)
            raise ReplayFailed(row, error) from None

    def _telemetry(
        self,
        batch: Batch,
        row: Quarantined,
        known: tuple[Device, Validator],
        telemetry: TelemetryIn,
        now_ms: int,
    ) -> Replayed:
        device, validator = known
        stream = batch.stream(device.device, telemetry.stream)
        own = self._own(batch, row) if telemetry.stream == row.stream else set()
        unknowable = self._unknowable(batch, row, telemetry, own)
        part = _part(row, telemetry, unknowable)
        stream.take_back(own)
        put_before, records_before = len(batch.quarantine), len(batch.records)
        batch.begin(Message(row.topic, row.payload))
        self._take(batch, device, validator, part, lambda: (telemetry,))
        self._not_seen(batch, device.device, telemetry.stream)
        readings = _mark(batch, records_before, row.received_at_ms, now_ms - validator.fresh_ms)
        left = batch.quarantine[put_before:]
        del batch.quarantine[put_before:]
        lost = {seq for seq in own if not stream.has(seq)}  # the message does not name them any more
        if lost:
            for seq in lost:
                stream.add(seq, seq)
        if not left and (unknowable or lost):
            which = ", ".join(map(str, sorted(unknowable | lost)[:8]))
            left = [msgspec.structs.replace(row, sentence=f"seq {which}: {UNKNOWABLE}")]
        if not left:
            batch.settled.append(Settled(row.number))
            sentence = "stored" if readings else "nothing new: what reads of it is kept already"
            return Replayed(number=row.number, device=row.device, readings=readings, stays=False, sentence=sentence)
        return self._leave(batch, row, left, lost, readings)

    @staticmethod
    def _leave(batch: Batch, row: Quarantined, left: Sequence[Quarantined], lost: set[int], readings: int) -> Replayed:
        """What does not read stays under its number; a second fault of the same message gets a row of its own."""
        first = msgspec.structs.replace(
            left[0], number=row.number, count=row.count, seqs=tuple(sorted({*left[0].seqs, *lost}))
        )
        batch.settled.append(Settled(row.number, first))
        batch.quarantine += left[1:]
        return Replayed(number=row.number, device=row.device, readings=readings, stays=True, code=first.code,
            sentence=first.sentence)  # fmt: skip

    def _own(self, batch: Batch, row: Quarantined) -> set[int]:
        """The seqs that are had because of this row only."""
        stream = batch.stream(row.device, row.stream)
        return {seq for seq in row.seqs if stream.has(seq) and not self._is_kept(batch, row.device, row.stream, seq)}

    def _unknowable(self, batch: Batch, row: Quarantined, telemetry: TelemetryIn, own: set[int]) -> set[int]:
        """Seqs this row is about that are had already, where nobody can tell any more with which content."""
        stream = batch.stream(row.device, telemetry.stream)
        named = own if row.seqs else {given.seq for given in telemetry.readings}
        return {
            seq
            for seq in named - own
            if stream.has(seq) and not self._is_kept(batch, row.device, telemetry.stream, seq)
        }

    def _is_kept(self, batch: Batch, device: str, stream: str, seq: int) -> bool:
        """Does the log hold a reading of this name?"""
        return batch.find(device, stream, seq) is not None or self._log.reading(device, stream, seq) is not None

    def _not_seen(self, batch: Batch, device: str, stream: str) -> None:
        """The device said nothing now."""
        known = self._ledger.get(device, stream)
        batch.streams[device, stream].seen_at_ms = known.seen_at_ms if known is not None else 0


def _part(row: Quarantined, telemetry: TelemetryIn, unknowable: set[int]) -> TelemetryIn:
    """What of a message the row is about, oldest first. It says nothing any more of what the device holds."""
    about = set(row.seqs)
    return TelemetryIn(
        stream=telemetry.stream,
        boot=telemetry.boot,
        clock=telemetry.clock,
        oldest=1,
        readings=sorted(
            (one for one in telemetry.readings if one.seq not in unknowable and (not about or one.seq in about)),
            key=lambda one: one.seq,
        ),
        faulty=[
            one
            for one in telemetry.faulty
            if (one.code == row.code if one.seq is None else not about or one.seq in about)
        ],
    )


def _mark(batch: Batch, start: int, came_at_ms: int, fresh_since_ms: int) -> int:
    """Say of what was stored from record `start` on when it came, and that it is late; how many readings."""
    number = 0
    for index, record in enumerate(batch.records[start:], start):
        if isinstance(record, Telemetry):
            number += len(record.readings)
            readings = tuple(
                one
                if one.measured_at_ms >= fresh_since_ms
                else msgspec.structs.replace(one, quality=one.quality | LATE)
                for one in record.readings
            )
            batch.records[index] = msgspec.structs.replace(record, readings=readings, came_at_ms=came_at_ms)
    return number


def _stays(batch: Batch, row: Quarantined, sentence: str, code: str = "") -> Replayed:
    """It stays whole, with this sentence and code."""
    code = code or row.code
    if (row.sentence, row.code) != (sentence, code):
        batch.settled.append(Settled(row.number, msgspec.structs.replace(row, sentence=sentence, code=code)))
    return Replayed(number=row.number, device=row.device, stays=True, code=code, sentence=sentence)


def _names(rows: Sequence[Quarantined]) -> str:
    """Whose rows and which codes, for the audit."""
    told = []
    for names in ({row.sender for row in rows}, {row.code for row in rows}):
        more = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
        told.append(", ".join(sorted(names)[:NAMES_MAX]) + more)
    return f"{told[0]}: {told[1]}"
