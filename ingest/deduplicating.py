"""Which readings are news: each name (device, stream, seq) is kept once, and a name with two contents is a conflict.

Stage of the pipeline between dating and the append. Everything happens on the batch's own copies. A reading has one of
three ends here: accepted, duplicate, quarantined (`deferred` is the fourth, of whole messages, in `deferred`).
"""

from collections.abc import Sequence

from contract.ports import Log
from contract.records import Quality, Reading
from contract.wire.messages import CONFLICT, OUT_OF_RANGE, WireFault
from ingest.batch import Batch
from ingest.decode import FaultyReading, Unreadable
from ingest.ledger import RANGES_MAX, Stream
from ingest.validate import judge_time

CLOCK_NONE = int(Quality.CLOCK_NONE)


class Deduplicator:
    """Tells what is kept already from the ledger, and with which content from the batch and the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def accept_news(self, batch: Batch, stream: Stream, readings: Sequence[Reading]) -> None:
        """Those that are news are at the batch's hand then; the others are seen to. Raises OSError."""
        for reading in readings:
            if self._is_news(batch, stream, reading):
                batch.at_hand.append(reading)

    def turn_away(self, batch: Batch, stream: Stream, faulty: FaultyReading) -> None:
        """A bad reading: quarantined, and kept as far as the device is concerned, if the quarantine took it."""
        seq = faulty.seq
        if seq is None or not stream.has(seq):
            counts = seq is not None and stream.has_room(seq)
            if _quarantine(batch, stream, faulty, counts=counts) and counts and seq is not None:
                batch.count("forgotten_gaps", stream.add(seq, seq))
        elif self._known(batch, stream, seq) is None:
            batch.count("received")
            batch.count("duplicate")
        else:
            _conflict(batch, stream, seq)

    def refuse(self, batch: Batch, device: str, fault: Unreadable) -> None:
        """A message that cannot be used: what can be named of it counts as kept, so that it need not come again."""
        if not fault.stream or not fault.seqs:
            batch.turn_away(fault, device=device, stream=fault.stream)
            return
        stream = batch.stream(device, fault.stream)
        batch.kept[device, fault.stream] = False
        for seq in fault.seqs:
            self.turn_away(batch, stream, _faulty(seq, fault))

    def _is_news(self, batch: Batch, stream: Stream, reading: Reading) -> bool:
        """Accept this reading, or see to it otherwise."""
        if stream.has(reading.seq):
            self._again(batch, stream, reading)
            return False
        fault = judge_time(reading.measured_at_ms, batch.now_ms)
        if fault is not None:
            self.turn_away(batch, stream, _faulty(reading.seq, fault))
            return False
        if not stream.has_room(reading.seq):
            sentence = f"would open one more gap than the {RANGES_MAX} of a stream; not kept"
            _quarantine(batch, stream, _faulty(reading.seq, WireFault(OUT_OF_RANGE, sentence)))
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
            _conflict(batch, stream, reading.seq)

    def _known(self, batch: Batch, stream: Stream, seq: int) -> Reading | None:
        """The reading of this name; None when it was quarantined, or is too old for the log."""
        known = batch.find(stream.device, stream.stream, seq)
        return known if known is not None else self._log.reading(stream.device, stream.stream, seq)


def _conflict(batch: Batch, stream: Stream, seq: int) -> None:
    sentence = f"kept with other content in stream {stream.stream}; is the node a copy of another?"
    _quarantine(batch, stream, _faulty(seq, WireFault(CONFLICT, sentence)))
    batch.conflict(stream.device, stream.stream, seq)


def _quarantine(batch: Batch, stream: Stream, faulty: FaultyReading, *, counts: bool = False) -> bool:
    fault = WireFault(faulty.code, faulty.sentence)
    return batch.turn_away(fault, device=stream.device, stream=stream.stream, seq=faulty.seq, counts=counts)


def _faulty(seq: int, fault: WireFault) -> FaultyReading:
    return FaultyReading(seq, fault.code, f"seq {seq}: {fault.sentence}")


def _is_same(known: Reading, given: Reading) -> bool:
    """The same content? A time that the platform gave says nothing: it may have come out otherwise this time. Nor does
    a metric that one of them lacks: the kind may have learned it meanwhile."""
    if any(given.values.get(name, value) != value for name, value in known.values.items()):
        return False
    if known.quality & given.quality & CLOCK_NONE:  # both say ms since boot
        return None in (known.device_at_ms, given.device_at_ms) or known.device_at_ms == given.device_at_ms
    return _said_ms(known) == _said_ms(given) or bool((known.quality | given.quality) & CLOCK_NONE)


def _said_ms(reading: Reading) -> int:
    return reading.measured_at_ms if reading.device_at_ms is None else reading.device_at_ms
