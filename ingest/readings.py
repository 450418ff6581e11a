"""The readings of one telemetry message: dated, judged, and told apart from what is kept already.

Everything happens on the batch's own copies. Each reading has one of three ends here: accepted, duplicate, quarantined
(`deferred` is the fourth, of whole messages, in `pipeline`).
"""

from collections.abc import Sequence

from contract.ports import Device, Log
from contract.records import Quality, Reading, Telemetry
from contract.wire.messages import CONFLICT, OUT_OF_RANGE, WireFault
from ingest.batch import Batch
from ingest.dating import CLOCK_BITS, NO_CLOCK, dated_ms, fix_clock, fix_offset
from ingest.decode import FaultyReading, ReadingIn, TelemetryIn, Unreadable
from ingest.ledger import RANGES_MAX, Stream
from ingest.unknown import UnknownMetrics
from ingest.validate import Validator, judge_time

CLOCK_NONE = int(Quality.CLOCK_NONE)
LATE = int(Quality.LATE)
CLOCK_OFF = int(Quality.CLOCK_OFF)
DATED_ROUGHLY = int(Quality.DATED_ROUGHLY)


class Intake:
    """Takes the telemetry of registered devices into a batch."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.unknown = UnknownMetrics()

    def take(
        self, batch: Batch, device: Device, validator: Validator, telemetry: TelemetryIn, newest_up_ms: int | None
    ) -> None:
        """`newest_up_ms`: of this boot's readings at hand, where they have no other time."""
        if newest_up_ms is None and self._take_next(batch, device, validator, telemetry):
            return
        stream = batch.stream(device.device, telemetry.stream)
        batch.kept[device.device, telemetry.stream] = False
        for name, count in telemetry.notes.items():
            batch.count(name, count)
        if telemetry.unknown:
            self.unknown.note(device.device, telemetry.unknown)
        oldest, before, in_order = telemetry.oldest, 0, True
        for given in telemetry.readings:
            in_order = in_order and given.seq >= before
            before, oldest = given.seq, min(oldest, given.seq)
        # What the device no longer holds and never came will not come; what it sends it holds, whatever it says.
        if oldest > stream.settled:
            batch.count("gone", stream.add_gone(oldest))
        offset_ms = self._fix_time(batch, stream, telemetry, newest_up_ms)
        for faulty in telemetry.faulty:
            self._turn_away(batch, stream, faulty)
        bits = CLOCK_BITS[telemetry.clock] | (DATED_ROUGHLY | LATE if telemetry.boot in stream.rough else 0)
        accepted = batch.at_hand
        try:
            for given in telemetry.readings:
                reading = _dated(batch, stream, validator, telemetry, given, offset_ms, bits)
                if self._is_news(batch, stream, reading):
                    accepted.append(reading)
        finally:  # what is in the stream is in a record, even when a fault of ours ends the message half-way
            if accepted:
                readings = accepted if in_order else sorted(accepted, key=_seq)
                batch.accept(_record(device, validator, telemetry, readings))

    @staticmethod
    def _fix_time(batch: Batch, stream: Stream, telemetry: TelemetryIn, newest_up_ms: int | None) -> int:
        """Learn what dates the readings of this message; returns the offset of `up` times, where they say those."""
        if not telemetry.readings:
            return 0

        def is_live() -> bool:
            return _is_latest(batch, stream, telemetry.boot)

        if newest_up_ms is not None:
            return fix_offset(stream, telemetry.boot, newest_up_ms, batch.now_ms, is_live=is_live)
        fix_clock(stream, telemetry.boot, telemetry.clock, telemetry.readings, batch.now_ms, is_live=is_live)
        return 0

    @staticmethod
    def _take_next(batch: Batch, device: Device, validator: Validator, telemetry: TelemetryIn) -> bool:
        """Take a message whose readings are simply the next ones of its stream, as nearly all are; else do nothing."""
        key = device.device, telemetry.stream
        end = batch.ends.get(key) or batch.end(key)
        if end is None or telemetry.faulty or telemetry.notes:
            return False
        stream, seq = end
        if telemetry.oldest > seq or stream.misses(telemetry.oldest):
            return False  # something is gone
        if telemetry.readings and (telemetry.readings[-1].at or 0) < batch.punctual_ms:
            return False  # backlog, or a clock that is behind
        bits, fresh_since_ms = CLOCK_BITS[telemetry.clock], batch.now_ms - validator.fresh_ms
        readings = []
        for given in telemetry.readings:
            at_ms = given.at
            if given.seq != seq or at_ms is None or not batch.earliest_ms <= at_ms <= batch.latest_ms:
                return False
            readings.append(Reading(seq, at_ms, given.v, bits if at_ms >= fresh_since_ms else bits | LATE))
            seq += 1
        batch.kept[key] = False
        if readings:
            batch.ends[key] = stream, seq
            batch.accept(_record(device, validator, telemetry, readings))
        return True

    def refuse(self, batch: Batch, device: str, fault: Unreadable) -> None:
        """A message that cannot be used: what can be named of it counts as kept, so that it need not come again."""
        if not fault.stream or not fault.seqs:
            batch.turn_away(fault, device=device, stream=fault.stream)
            return
        stream = batch.stream(device, fault.stream)
        batch.kept[device, fault.stream] = False
        for seq in fault.seqs:
            self._turn_away(batch, stream, FaultyReading(seq, fault.code, f"seq {seq}: {fault.sentence}"))

    def _is_news(self, batch: Batch, stream: Stream, reading: Reading) -> bool:
        """Accept this reading, or see to it otherwise."""
        if stream.has(reading.seq):
            self._again(batch, stream, reading)
            return False
        fault = judge_time(reading.measured_at_ms, batch.now_ms)
        if fault is not None:
            self._turn_away(
                batch, stream, FaultyReading(reading.seq, fault.code, f"seq {reading.seq}: {fault.sentence}")
            )
            return False
        if not stream.has_room(reading.seq):
            sentence = f"seq {reading.seq}: would open one more gap than the {RANGES_MAX} of a stream; not kept"
            self._quarantine(batch, stream, FaultyReading(reading.seq, OUT_OF_RANGE, sentence))
            return False
        batch.count("forgotten_gaps", stream.add(reading.seq, reading.seq))
        return True

    def _again(self, batch: Batch, stream: Stream, reading: Reading) -> None:
        """A name that has come before: the same reading once more, or another one under its name."""
        known = self._known(batch, stream, reading.seq)
        if known is None or _is_same(known, reading):
            batch.count("received")
            batch.count("duplicate")
        else:
            self._conflict(batch, stream, reading.seq)

    def _turn_away(self, batch: Batch, stream: Stream, faulty: FaultyReading) -> None:
        """A bad reading: quarantined, and kept as far as the device is concerned, if the quarantine took it."""
        seq = faulty.seq
        if seq is None or not stream.has(seq):
            counts = seq is not None and stream.has_room(seq)
            if self._quarantine(batch, stream, faulty, counts=counts) and counts and seq is not None:
                batch.count("forgotten_gaps", stream.add(seq, seq))
        elif self._known(batch, stream, seq) is None:
            batch.count("received")
            batch.count("duplicate")
        else:
            self._conflict(batch, stream, seq)

    def _conflict(self, batch: Batch, stream: Stream, seq: int) -> None:
        sentence = f"seq {seq}: kept with other content in stream {stream.stream}; is the node a copy of another?"
        self._quarantine(batch, stream, FaultyReading(seq, CONFLICT, sentence))
        batch.conflict(stream.device, stream.stream, seq)

    def _known(self, batch: Batch, stream: Stream, seq: int) -> Reading | None:
        """The reading of this name; None when it was quarantined, or is too old for the log."""
        known = batch.find(stream.device, stream.stream, seq)
        return known if known is not None else self._log.reading(stream.device, stream.stream, seq)

    @staticmethod
    def _quarantine(batch: Batch, stream: Stream, faulty: FaultyReading, *, counts: bool = False) -> bool:
        fault = WireFault(faulty.code, faulty.sentence)
        return batch.turn_away(fault, device=stream.device, stream=stream.stream, seq=faulty.seq, counts=counts)


def _record(device: Device, validator: Validator, telemetry: TelemetryIn, readings: Sequence[Reading]) -> Telemetry:
    if validator.credible is not None:
        readings = validator.credible.mark(device.device, telemetry.stream, readings)
    return Telemetry(
        device=device.device,
        asset=device.asset,
        kind=device.kind,
        stream=telemetry.stream,
        boot=telemetry.boot,
        readings=tuple(readings),
        commune=device.commune,
        zone=device.zone,
        group=str(device.settings.get(validator.group, "")),
    )


def _dated(
    batch: Batch,
    stream: Stream,
    validator: Validator,
    telemetry: TelemetryIn,
    given: ReadingIn,
    offset_ms: int,
    bits: int,
) -> Reading:
    """A reading with its time: the device's, or ours, and the device's beside it."""
    said_ms: int | None = None
    if given.at is None:
        said_ms = given.up or 0
        at_ms = dated_ms(offset_ms, said_ms, batch.now_ms)
    else:
        at_ms = given.at
        ahead_ms = stream.ahead_ms(telemetry.boot, telemetry.clock, given.seq) if stream.skews else 0
        if ahead_ms:
            said_ms, at_ms = at_ms, dated_ms(-ahead_ms, at_ms, batch.now_ms)
            bits |= CLOCK_OFF
    if at_ms < batch.now_ms - validator.fresh_ms:
        bits |= LATE
    return Reading(given.seq, at_ms, given.v, bits, said_ms)


def _is_same(known: Reading, given: Reading) -> bool:
    """The same content? A time that the platform gave says nothing: it may have come out otherwise this time."""
    if known.values != given.values:
        return False
    if known.quality & given.quality & CLOCK_NONE:  # both say ms since boot
        return None in (known.device_at_ms, given.device_at_ms) or known.device_at_ms == given.device_at_ms
    return _said_ms(known) == _said_ms(given) or bool((known.quality | given.quality) & CLOCK_NONE)


def _said_ms(reading: Reading) -> int:
    return reading.measured_at_ms if reading.device_at_ms is None else reading.device_at_ms


def _is_latest(batch: Batch, stream: Stream, boot: int) -> bool:
    """Is this the boot the device runs in, as far as its births and its other messages say?"""
    current = batch.current(stream.device)
    latest = max(stream.boots, default=boot)
    return boot >= max(latest, current.status[0] if current.status is not None else boot)


def _seq(reading: Reading) -> int:
    return reading.seq


def newest_up_ms(telemetry: TelemetryIn) -> int | None:
    """Of a message of a node without a clock."""
    if telemetry.clock != NO_CLOCK:
        return None
    return max((given.up for given in telemetry.readings if given.up is not None), default=None)
