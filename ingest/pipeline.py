"""What becomes of a batch: decode → validate → date → deduplicate → append → acknowledge → `kept`.

Theory of operation. The stages are in the rooms of their names: `decode` and `validate` (in one pass), `dating`,
`deduplicating`, and `next_in_line`, the short way through the last two; `deferred` is for devices that nobody knows.
`process` turns a batch of raw messages into one append to the log and says afterwards what to
acknowledge and which streams to answer. Everything up to the append works on copies (`Batch`); the append is one
transaction; only after it does the ledger in memory change. So a batch that cannot be appended leaves no trace and may
be processed again, and a crash at any moment means that messages come again and are recognised. Outcomes are counted
in readings, durably: received = accepted + duplicate + quarantined + deferred.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from contract.kind import Kinds
from contract.ports import Clock, Device, LedgerRow, Log, Message
from contract.quarantine import INTERNAL_ERROR as INTERNAL
from contract.quarantine import Replayed
from contract.records import Reading, Telemetry
from contract.wire import messages, topics
from contract.wire.messages import BAD_TOPIC, INTEGER_MAX, WireFault
from ingest.batch import NO_STREAM, Batch
from ingest.clocks import Clocks, fleet_clocks
from ingest.dating import date
from ingest.decode import JsonReader, TelemetryIn, Unreadable, decode_telemetry
from ingest.deduplicating import Deduplicator
from ingest.deferred import Deferred, Waiting, defer, welcome
from ingest.ledger import Ledger, Stream
from ingest.limits import Gate, Limits
from ingest.next_in_line import take_next
from ingest.replay import LookupAt, Replay, ReplayFailed
from ingest.small_channels import SmallChannels
from ingest.unknown import UnknownMetrics
from ingest.validate import Validator

logger = logging.getLogger("ingest")

LEDGER = "ledger"  # a consumer of the log: what it has not read yet is not in the ledger's rows
REPLAY = 5_000  # entries a read, at the start

TOPICS_MAX = 65_536  # remembered, so that a device's topic is taken apart once
parse_topic = lru_cache(TOPICS_MAX)(topics.parse)


class Outcome(msgspec.Struct, frozen=True):
    """What to do now that the batch is kept."""

    acknowledge: list[Any] = []  # tokens
    kept: list[tuple[str, str, bool]] = []  # (device, stream, deferred) to answer
    replies: list[tuple[str, bytes]] = []  # (topic, payload) to send at once
    readings: int = 0  # received, whatever became of them


class Pipeline:
    """Stateful only in the ledger, which the log has too. `process` is for one thread; the rest may be asked by any."""

    def __init__(
        self,
        kinds: Kinds,
        lookup: Callable[[str], Device | None],
        log: Log,
        clock: Clock,
        lookup_at: LookupAt | None = None,
        limits: Limits = Limits(),  # noqa: B008  # frozen
    ) -> None:
        """`lookup_at`: how a device was bound at a moment, for what is replayed; without it, as it is now."""
        self._validators = {name: Validator(kind, log.reading) for name, kind in kinds.items()}
        self._lookup, self._log, self._clock = lookup, log, clock
        if LEDGER not in log.consumers():  # from the first moment: what it has not written must not be cut
            log.consumed(LEDGER, 0)
        self._ledger = Ledger(log.ledger(), _telemetry_behind(log, log.consumers()[LEDGER]))
        self.gate = Gate(limits)
        self._deduplicator = Deduplicator(log)
        self._unknown = UnknownMetrics()
        self._waiting = Waiting()
        self._reader = JsonReader()
        self._small = SmallChannels(self._known, self._reader, clock, self.gate).takers
        devices = (lookup_at or (lambda device, _: (lookup(device), 0, INTEGER_MAX)), self._validators)
        self._replay = Replay(self._ledger, log, self._take_readings, self._reader, devices, clock)

    # -- the way of a batch

    def process(self, incoming: Sequence[Message]) -> Outcome:
        """Keep a batch whole. LogFull and OSError mean that nothing was kept: call again with the same messages."""
        batch = Batch(self._ledger, self._log, self._clock.now_ms())
        self.gate.begin(batch.now_ms, self._clock.monotonic_s())
        registered = self._waiting.take_registered()
        try:
            welcome(batch, registered)
            for message in incoming:
                self._take(batch, message, incoming)
            self._append(batch)
        except BaseException:
            self.gate.undo()
            self._forget()
            self._waiting.put_back(registered)
            raise
        return Outcome(
            acknowledge=[message.token for message in incoming if message.token is not None],
            kept=[(device, stream, deferred) for (device, stream), deferred in batch.kept.items()],
            replies=batch.replies,
            readings=batch.accepted + batch.counts["received"],
        )

    def _take(self, batch: Batch, message: Message, incoming: Sequence[Message]) -> None:
        """Decode and judge one message into the batch. Whatever is wrong with it ends in the quarantine."""
        batch.begin(message)
        parse = parse_topic if len(message.topic) <= topics.LENGTH_MAX else topics.parse  # a long one is not remembered
        device, channel = parse(message.topic) or ("", "")
        try:
            if channel == topics.TELEMETRY:
                self._telemetry(batch, device, message, incoming)
            elif channel in self._small:
                self._small[channel](batch, device, message)
            else:
                sentence = f"{message.topic[:200]!r} is not nabd/1/<device>/<channel> of this wire version"
                raise WireFault(BAD_TOPIC, sentence)
        except WireFault as fault:
            batch.turn_away(fault, device=self._whose(device))
        except OSError:
            raise  # the log cannot be read: nothing of this batch is kept, and it is tried again
        except Exception as error:  # our fault, not the device's: keep the bytes, and go on with the others
            logger.exception("event=internal_error topic=%s", message.topic)
            sentence = f"Nabd failed to read it ({type(error).__name__}); the bytes are kept"
            batch.turn_away(WireFault(INTERNAL, sentence), device=self._whose(device))

    def _telemetry(self, batch: Batch, device_id: str, message: Message, incoming: Sequence[Message]) -> None:
        """A message of readings: decode and validate it, unless its device says too much."""
        known = self._known(device_id)
        if known is None:
            defer(batch, device_id, decode_telemetry(message.payload, None, self._reader))
            return
        device, validator = known
        if not self.gate.takes_message(batch, device_id):
            return
        try:
            telemetry = decode_telemetry(message.payload, validator, self._reader)
        except Unreadable as fault:
            is_named = fault.stream and fault.seqs  # then it begins a stream as well
            if not is_named or self.gate.takes_stream(batch, device_id, fault.stream):
                self._deduplicator.refuse(batch, device_id, fault)
            return
        if not self.gate.takes_telemetry(batch, device_id, validator.period_ms, telemetry):
            return
        self._take_readings(batch, device, validator, telemetry, lambda: self._beside(message, validator, incoming))

    def _take_readings(
        self,
        batch: Batch,
        device: Device,
        validator: Validator,
        telemetry: TelemetryIn,
        beside: Callable[[], Iterable[TelemetryIn]] = tuple,
    ) -> None:
        """Date the readings of a message and keep those that are news. `beside`: see `date`."""
        news = take_next(batch, device.device, validator.fresh_ms, telemetry)
        if news is not None:
            if news:
                batch.accept(_record(device, validator, telemetry, news))
            return
        stream = batch.stream(device.device, telemetry.stream)
        batch.kept[device.device, telemetry.stream] = False
        for name, count in telemetry.notes.items():
            batch.count(name, count)
        if telemetry.unknown:
            batch.unknown.append((device.device, telemetry.unknown))
        # What the device no longer holds and never came will not come; what it sends it holds, whatever it says.
        oldest = min((given.seq for given in telemetry.readings), default=telemetry.oldest)
        batch.count("gone", stream.add_gone(min(oldest, telemetry.oldest)))
        readings = date(batch, stream, validator.fresh_ms, telemetry, beside)
        for faulty in telemetry.faulty:
            self._deduplicator.turn_away(batch, stream, faulty)
        try:
            self._deduplicator.accept_news(batch, stream, readings)
        finally:  # what is in the stream is in a record, even when a fault of ours ends the message half-way
            if batch.at_hand:
                batch.accept(_record(device, validator, telemetry, sorted(batch.at_hand, key=_seq)))

    def _beside(self, message: Message, validator: Validator, incoming: Sequence[Message]) -> Iterator[TelemetryIn]:
        """The device's other messages that came with this one."""
        for other in incoming:
            if other.topic == message.topic and other is not message:
                with contextlib.suppress(Unreadable):
                    yield decode_telemetry(other.payload, validator, self._reader)

    def _append(self, batch: Batch) -> None:
        """The one place that keeps: records, quarantine, counters and whatever the log's telemetry does not tell of the
        ledger, in one transaction."""
        if not batch.is_empty:
            self._log.append(
                batch.records,
                batch.now_ms,
                ledger=[stream.row() for stream in batch.streams.values()],
                quarantine=batch.quarantine,
                settled=batch.settled,
                counts=batch.totals(),
            )
            self._ledger.grow(batch.ends.values(), batch.now_ms)
            self._ledger.replace(batch.streams.values())
        for device, names in batch.unknown:
            self._unknown.note(device, names)
        for device, heard in batch.heard:
            self._waiting.heard(device, batch.now_ms, heard)
            self.registered(device)  # if it was while the batch was on its way

    def _forget(self) -> None:
        """What was judged since the last append is not in the log."""
        for validator in self._validators.values():
            validator.forget()

    def checkpoint(self) -> None:
        """Write the rows that waited, and let go of the log up to here. For the thread of `process`; OSError."""
        rows = [stream.row() for stream in self._ledger.unwritten.values()]
        self._log.consumed(LEDGER, self._log.last(), rows)
        self._ledger.unwritten.clear()

    def _known(self, device_id: str) -> tuple[Device, Validator] | None:
        """A device and the rules of its kind; None when it, or its kind, is not known."""
        device = self._lookup(device_id)
        validator = self._validators.get(device.kind) if device is not None else None
        return (device, validator) if device is not None and validator is not None else None

    # -- the quarantine

    def _whose(self, device_id: str) -> str:
        """Whose a message is that cannot be read: of names that nobody has there is no end, so they are one, ""."""
        return device_id if self._lookup(device_id) is not None else ""

    def replay(self, numbers: Sequence[int], by: str) -> tuple[list[Replayed], Outcome]:
        """Store what reads now of these rows of the quarantine: what became of each, and the streams to answer.

        All of it or nothing. For the thread of `process`. Raises LogFull, OSError, QuarantineChanged.
        """
        failed: dict[int, str] = {}
        while True:
            rows = self._log.quarantine_rows.rows(numbers)
            try:
                batch, told = self._replay.replay(rows, by, failed)
                if rows:
                    self._append(batch)
            except ReplayFailed as fault:
                self._forget()
                failed[fault.number] = str(fault)
                continue
            except BaseException:
                self._forget()
                raise
            kept = [(device, stream, deferred) for (device, stream), deferred in batch.kept.items()]
            return told, Outcome(kept=kept)

    def drop(self, numbers: Sequence[int], by: str, lacking: Collection[int] = ()) -> int:
        """Let go of these rows for good; how many there were. `lacking`: see `Replay.drop`. As `replay` in all else."""
        rows = self._log.quarantine_rows.rows(numbers)
        if rows:
            if lacking:
                self.checkpoint()  # after a crash the log behind it would tell that these readings had come
            self._append(self._replay.drop(rows, by, lacking))
        return len(rows)

    # -- registration and questions

    def registered(self, device: str) -> None:
        """It is registered now, or its kind is another: the next `process` welcomes it. Any thread."""
        if self._known(device) is not None:
            self._waiting.registered(device)

    def has_news(self) -> bool:
        """Is there something to process though no message came?"""
        return self._waiting.has_registered

    def answer(self, device: str, stream: str, *, deferred: bool) -> tuple[str, bytes]:
        """(topic, payload) of the `kept` that holds for a stream now."""
        known = self._ledger.get(device, stream)
        if known is None and self._ledger.is_crowded(device):  # put aside since it was heard
            with contextlib.suppress(OSError):  # then it hears less than it may forget, and asks again
                known = next(map(Stream.from_row, self._log.ledger(device, stream)), None)
        upto, also = known.kept(messages.ALSO_MAX) if known is not None else (0, ())
        return topics.topic(device, topics.KEPT), messages.kept(stream, upto, also, deferred)

    def deferred(self) -> list[Deferred]:
        """Devices that speak and are not registered, those heard last first."""
        return self._waiting.devices()

    @property
    def forgotten(self) -> int:
        """How many devices that were not registered had to be forgotten, for there were too many."""
        return self._waiting.forgotten

    @property
    def boots_forgotten(self) -> int:
        """How many boots without a clock, of devices that were not registered, will be dated by what comes later."""
        return self._waiting.boots_forgotten

    @property
    def credible_forgotten(self) -> int:
        """How many devices' last values had to be forgotten since the start, for there were too many."""
        return sum(one.credible.forgotten for one in self._validators.values() if one.credible is not None)

    def ledger(self, device: str) -> list[LedgerRow]:
        """What is known of each of the device's streams."""
        rows = {row.stream: row for row in self._log.ledger(device)}
        rows |= {stream.stream: stream.row() for stream in self._ledger.streams(device)}
        return [row for name, row in sorted(rows.items()) if name != NO_STREAM]

    def missing_total(self) -> int:
        return self._ledger.missing_total

    def gone_total(self) -> int:
        return self._ledger.gone_total

    def unknown_metrics(self, device: str) -> Mapping[str, int]:
        """Metrics that the device sends and its kind does not have: name → how often since the start."""
        return self._unknown.of(device)

    def clocks(self) -> Clocks:
        """How many devices' clocks are wrong, and whether they are wrong alike."""
        return fleet_clocks(list(self._ledger.clocks_off.values()), self._ledger.devices)


def _record(device: Device, validator: Validator, telemetry: TelemetryIn, readings: Sequence[Reading]) -> Telemetry:
    """New readings of one message, in the order of their seqs, with what makes some of them not credible."""
    if validator.credible is not None:
        try:
            readings = validator.credible.mark(device.device, telemetry.stream, readings)
        except OSError:
            raise  # the log cannot be read: nothing of this batch is kept, and it is tried again
        except Exception:  # a fault of ours: these readings count as had, and a mark is advice only
            logger.exception("event=not_marked device=%s", device.device)
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


def _seq(reading: Reading) -> int:
    return reading.seq


def _telemetry_behind(log: Log, position: int) -> Iterator[Telemetry]:
    while entries := log.read(position, REPLAY):
        position = entries[-1].position
        yield from (entry.record for entry in entries if isinstance(entry.record, Telemetry))
