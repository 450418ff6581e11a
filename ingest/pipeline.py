"""What becomes of a message: decode → validate → date → deduplicate → append → acknowledge → `kept`.

Theory of operation. `process` turns a batch of raw messages into one append to the log and says afterwards what to
acknowledge and which streams to answer. Everything up to the append works on copies (`Batch`); the append is one
transaction; only after it does the ledger in memory change. So a batch that cannot be appended leaves no trace and may
be processed again, and a crash at any moment means that messages come again and are recognised. Outcomes are counted
in readings, durably: received = accepted + duplicate + quarantined + deferred.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from contract.kind import Kinds
from contract.ports import Clock, Device, LedgerRow, Log, Message
from contract.records import Quality, Reading, Telemetry
from contract.wire import messages, topics
from contract.wire.messages import BAD_TOPIC, CONFLICT, OUT_OF_RANGE, WireFault
from ingest.batch import NO_STREAM, STREAMS_MAX, Batch
from ingest.channels import read_device_log, read_reported, read_result, read_status, read_time_request
from ingest.dating import NO_CLOCK, boot_offset_ms, quality
from ingest.decode import JsonReader, ReadingIn, TelemetryIn, Unreadable, decode_telemetry
from ingest.deferred import Deferred, Waiting
from ingest.ledger import RANGES_MAX, Ledger, Stream
from ingest.order import take_birth, take_reported, take_will
from ingest.validate import Validator, judge_time

logger = logging.getLogger("ingest")

INTERNAL = "internal_error"  # our own fault: the bytes are kept for when it is mended


class Outcome(msgspec.Struct, frozen=True):
    """What to do now that the batch is kept."""

    acknowledge: list[Any] = []  # tokens
    kept: list[tuple[str, str, bool]] = []  # (device, stream, deferred) to answer
    replies: list[tuple[str, bytes]] = []  # (topic, payload) to send at once
    births: list[str] = []  # devices that came on line


class Pipeline:
    """Stateful only in the ledger, which the log has too. `process` is for one thread; the rest may be asked by any."""

    def __init__(self, kinds: Kinds, lookup: Callable[[str], Device | None], log: Log, clock: Clock) -> None:
        self._validators = {name: Validator(kind) for name, kind in kinds.items()}
        self._lookup, self._log, self._clock = lookup, log, clock
        self._ledger = Ledger(log.ledger())
        self._waiting = Waiting()
        self._reader = JsonReader()
        self._registered: list[Deferred] = []
        self._registered_lock = threading.Lock()
        self._channels: Mapping[str, Callable[[Batch, str, Message], None]] = {
            topics.TELEMETRY: self._telemetry,
            topics.STATUS: self._status,
            topics.REPORTED: self._reported,
            topics.RESULT: self._result,
            topics.LOG: self._device_log,
            topics.TIME: self._time,
        }

    # -- the way of a batch

    def process(self, incoming: Sequence[Message]) -> Outcome:
        """Keep a batch whole. LogFull and OSError mean that nothing was kept: call again with the same messages."""
        batch = Batch(self._ledger, self._clock.now_ms())
        welcomed = self._welcome(batch)
        for message in incoming:
            self._take(batch, message)
        try:
            self._append(batch)
        except BaseException:
            with self._registered_lock:
                self._registered[:0] = welcomed
            raise
        return Outcome(
            acknowledge=[message.token for message in incoming if message.token is not None],
            kept=[(device, stream, deferred) for (device, stream), deferred in batch.kept.items()],
            replies=batch.replies,
            births=[birth.device for birth in batch.births],
        )

    def _take(self, batch: Batch, message: Message) -> None:
        parsed = topics.parse(message.topic)
        channel = self._channels.get(parsed[1]) if parsed is not None else None
        if parsed is None or channel is None:
            sentence = f"{message.topic[:200]!r} is not nabd/1/<device>/<channel> of this wire version"
            batch.turn_away(message.topic, message.payload, BAD_TOPIC, sentence)
            return
        device = parsed[0]
        try:
            channel(batch, device, message)
        except WireFault as fault:
            batch.turn_away(message.topic, message.payload, fault.code, fault.sentence, device=device)
        except Exception as error:  # our fault, not the device's: keep the bytes, and go on with the others
            logger.exception("event=internal_error topic=%s", message.topic)
            sentence = f"Nabd failed to read it ({type(error).__name__}); the bytes are kept"
            batch.turn_away(message.topic, message.payload, INTERNAL, sentence, device=device)

    def _append(self, batch: Batch) -> None:
        if not batch.is_empty:
            self._log.append(
                batch.records,
                batch.now_ms,
                ledger=[stream.row() for stream in batch.streams.values()],
                quarantine=batch.quarantine,
                counts=batch.counts,
            )
            self._ledger.replace(batch.streams.values())
        for heard in batch.waiting:
            self._waiting.heard(now_ms=batch.now_ms, **heard)

    # -- telemetry

    def _telemetry(self, batch: Batch, device_id: str, message: Message) -> None:
        device = self._lookup(device_id)
        validator = self._validators.get(device.kind) if device is not None else None
        try:
            telemetry = decode_telemetry(message.payload, validator, self._reader)
        except Unreadable as fault:
            self._unreadable(batch, device_id, message, fault, known=validator is not None)
            return
        if device is None or validator is None:
            self._defer(batch, device_id, telemetry)
            return
        stream = batch.stream(device_id, telemetry.stream)
        if stream is None:
            raise WireFault(OUT_OF_RANGE, f"stream: the device has {STREAMS_MAX} already; its memory does not last")
        batch.kept[device_id, telemetry.stream] = False
        for name, count in telemetry.notes.items():
            batch.count(name, count)
        self._gone(batch, stream, telemetry)
        for faulty in telemetry.faulty:
            self._turn_reading_away(batch, stream, message, faulty.seq, faulty.code, faulty.sentence)
        accepted = self._accept(batch, stream, telemetry, message, validator.fresh_ms)
        if accepted:
            batch.records.append(
                Telemetry(
                    device=device_id,
                    asset=device.asset,
                    kind=device.kind,
                    stream=telemetry.stream,
                    boot=telemetry.boot,
                    readings=tuple(accepted),
                )
            )

    def _accept(
        self, batch: Batch, stream: Stream, telemetry: TelemetryIn, message: Message, fresh_ms: int
    ) -> list[Reading]:
        """Date, judge and deduplicate; what is new is marked in the stream."""
        live = self._is_live(batch, stream, telemetry.boot)
        offset_ms = 0
        if telemetry.clock == NO_CLOCK and telemetry.readings:
            ups = [reading.up for reading in telemetry.readings if reading.up is not None]
            offset_ms = boot_offset_ms(stream.boots, telemetry.boot, ups, batch.now_ms) or 0
            stream.fix_boot(telemetry.boot, offset_ms)
        accepted = []
        for given in telemetry.readings:
            measured_at_ms = given.at if given.at is not None else offset_ms + (given.up or 0)
            if stream.has(given.seq):
                self._again(batch, stream, given, message)
                continue
            fault = judge_time(measured_at_ms, batch.now_ms)
            if fault is not None:
                self._turn_reading_away(batch, stream, message, given.seq, fault.code, fault.sentence)
                continue
            if not stream.has_room(given.seq):
                sentence = f"seq {given.seq}: would open one more gap than the {RANGES_MAX} a stream may have"
                batch.turn_away(
                    message.topic, message.payload, OUT_OF_RANGE, sentence, device=stream.device, stream=stream.stream
                )
                continue
            bits = quality(telemetry.clock, measured_at_ms, batch.now_ms, fresh_ms)
            if not live and telemetry.clock == NO_CLOCK:
                bits |= Quality.LATE  # dated by guess: no rule may use it
            batch.count("forgotten_gaps", stream.add(given.seq, given.seq))
            batch.values[stream.device, stream.stream, given.seq] = given.v
            batch.count("received")
            batch.count("accepted")
            accepted.append(Reading(given.seq, measured_at_ms, given.v, bits))
        return accepted

    def _again(self, batch: Batch, stream: Stream, given: ReadingIn, message: Message) -> None:
        """A name that has come before: the same reading again, or another one under its name."""
        known = batch.values.get((stream.device, stream.stream, given.seq))
        if known is None:
            known = self._log.find(stream.device, stream.stream, given.seq)  # type: ignore[assignment]  # read only
        if known is None or known == given.v:
            batch.count("received")
            batch.count("duplicate")
            return
        sentence = (
            f"seq {given.seq} of stream {stream.stream} is kept with other values; is the node a copy of another?"
        )
        batch.turn_away(
            message.topic,
            message.payload,
            CONFLICT,
            sentence,
            device=stream.device,
            stream=stream.stream,
            seq=given.seq,
        )

    def _turn_reading_away(
        self, batch: Batch, stream: Stream, message: Message, seq: int | None, code: str, sentence: str
    ) -> None:
        """One reading to the quarantine; it counts as kept, so that the device need not send it again."""
        batch.turn_away(
            message.topic, message.payload, code, sentence, device=stream.device, stream=stream.stream, seq=seq
        )
        if seq is not None and not stream.has(seq) and stream.has_room(seq):
            stream.add(seq, seq)

    def _unreadable(self, batch: Batch, device: str, message: Message, fault: Unreadable, *, known: bool) -> None:
        stream = batch.stream(device, fault.stream) if known and fault.stream else None
        seqs = fault.seqs if stream is not None else ()
        if stream is not None:
            batch.kept[device, fault.stream] = False
        if stream is None or not seqs:
            batch.turn_away(
                message.topic, message.payload, fault.code, fault.sentence, device=device, stream=fault.stream
            )
            return
        for seq in seqs:
            self._turn_reading_away(batch, stream, message, seq, fault.code, fault.sentence)

    def _gone(self, batch: Batch, stream: Stream, telemetry: TelemetryIn) -> None:
        """What the device no longer holds and never came will not come."""
        seqs = [reading.seq for reading in telemetry.readings]
        oldest = min([telemetry.oldest, *seqs])
        batch.count("gone", stream.add_gone(oldest))

    def _defer(self, batch: Batch, device: str, telemetry: TelemetryIn) -> None:
        readings = len(telemetry.readings) + len(telemetry.faulty)
        batch.count("received", readings)
        batch.count("deferred", readings)
        batch.kept[device, telemetry.stream] = True
        batch.waiting.append({"device": device, "readings": readings, "stream": telemetry.stream})

    def _is_live(self, batch: Batch, stream: Stream, boot: int) -> bool:
        """Is this the boot the device runs in, as far as its last birth says?"""
        current = self._ledger.current(stream.device)
        status = stream.status if stream.status is not None else (current.status if current is not None else None)
        return status is None or boot >= status[0]

    # -- the small channels

    def _status(self, batch: Batch, device_id: str, message: Message) -> None:
        document, duplicates = self._reader.read(message.payload)
        status, unknown = read_status(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        device = self._lookup(device_id)
        if device is None or device.kind not in self._validators:
            if status.online:
                batch.waiting.append({"device": device_id, "stream": status.stream, "birth": status})
                batch.kept[device_id, status.stream] = True
            return
        if not status.online:
            if take_will(batch.current(device_id), status):
                batch.records.append(status)
            else:
                batch.count("old_news")
            return
        stream = batch.stream(device_id, status.stream)
        if stream is None:
            raise WireFault(OUT_OF_RANGE, f"stream: the device has {STREAMS_MAX} already; its memory does not last")
        batch.kept[device_id, status.stream] = False
        if not take_birth(stream, status):
            batch.count("old_news")
            return
        if status.kind != device.kind:
            batch.count("kind_differs")
            logger.warning("event=kind_differs device=%s registered=%s born=%s", device_id, device.kind, status.kind)
        batch.births.append(status)
        batch.records.append(status)

    def _reported(self, batch: Batch, device_id: str, message: Message) -> None:
        document, duplicates = self._reader.read(message.payload)
        device = self._lookup(device_id)
        validator = self._validators.get(device.kind) if device is not None else None
        reported, unknown = read_reported(device_id, document, validator.kind if validator is not None else None)
        batch.count("unknown_keys", unknown)
        batch.count("duplicate_keys", duplicates)
        if validator is None:
            batch.count("reports_of_unregistered")
        elif take_reported(batch.current(device_id), reported):
            batch.records.append(reported)
        else:
            batch.count("old_news")

    def _result(self, batch: Batch, device_id: str, message: Message) -> None:
        document, _ = self._reader.read(message.payload)
        result, unknown = read_result(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.records.append(result)

    def _device_log(self, batch: Batch, device_id: str, message: Message) -> None:
        document, _ = self._reader.read(message.payload)
        remark, unknown = read_device_log(device_id, document)
        batch.count("unknown_keys", unknown)
        batch.records.append(remark)

    def _time(self, batch: Batch, device_id: str, message: Message) -> None:
        document, _ = self._reader.read(message.payload)
        nonce, unknown = read_time_request(document)
        batch.count("unknown_keys", unknown)
        batch.replies.append((topics.topic(device_id, topics.NOW), messages.now(nonce, self._clock.now_ms())))

    # -- registration and questions

    def registered(self, device: str) -> None:
        """It is registered now: the next `process` welcomes it. Any thread."""
        waiting = self._waiting.take(device)
        if waiting is not None:
            with self._registered_lock:
                self._registered.append(waiting)

    def has_news(self) -> bool:
        """Is there something to process though no message came?"""
        return bool(self._registered)

    def _welcome(self, batch: Batch) -> list[Deferred]:
        """Take over the births of devices registered since, and answer them so that they send what they hold."""
        with self._registered_lock:
            welcomed, self._registered = self._registered, []
        for waiting in welcomed:
            if waiting.birth is not None:
                stream = batch.stream(waiting.device, waiting.birth.stream)
                if stream is not None and take_birth(stream, waiting.birth):
                    batch.births.append(waiting.birth)
                    batch.records.append(waiting.birth)
            for name in waiting.streams:
                batch.kept[waiting.device, name] = False
        return welcomed

    def answer(self, device: str, stream: str, *, deferred: bool) -> tuple[str, bytes]:
        """(topic, payload) of the `kept` that holds for a stream now."""
        known = self._ledger.get(device, stream)
        upto, also = known.kept(messages.ALSO_MAX) if known is not None else (0, ())
        return topics.topic(device, topics.KEPT), messages.kept(stream, upto, also, deferred)

    def deferred(self) -> list[Deferred]:
        """Devices that speak and are not registered, those heard last first."""
        return self._waiting.devices()

    def ledger(self, device: str) -> list[LedgerRow]:
        """What is known of each of the device's streams."""
        return [stream.row() for stream in self._ledger.of(device) if stream.stream != NO_STREAM]

    def missing_total(self) -> int:
        return self._ledger.missing_total

    def gone_total(self) -> int:
        return self._ledger.gone_total
