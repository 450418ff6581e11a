"""The short way through dating and the search for duplicates: readings that are simply the next ones of their stream.

Nearly all are. What `take_next` takes ends exactly as on the long way (tested against it); at the least doubt it leaves
the message to that.
"""

from collections.abc import Sequence

from contract.records import Quality, Reading
from ingest.batch import Batch
from ingest.clocks import CLOCK_BITS
from ingest.decode import TelemetryIn

LATE = int(Quality.LATE)


def take_next(batch: Batch, device: str, fresh_ms: int, telemetry: TelemetryIn) -> Sequence[Reading] | None:
    """The message's readings, noted as news of their stream; None, and nothing done, where it is not so simple.

    `fresh_ms`: what is older is LATE.
    """
    key = device, telemetry.stream
    end = batch.ends.get(key) or batch.end(key)
    if end is None or telemetry.faulty or telemetry.notes:
        return None
    stream, seq = end
    if telemetry.oldest > seq or stream.would_lose(telemetry.oldest):
        return None  # something is gone
    if telemetry.readings and (telemetry.readings[-1].at or 0) < batch.punctual_ms:
        return None  # backlog, or a clock that is behind
    bits, fresh_since_ms = CLOCK_BITS[telemetry.clock], batch.now_ms - fresh_ms
    readings = []
    for given in telemetry.readings:
        at_ms = given.at
        if given.seq != seq or at_ms is None or not batch.earliest_ms <= at_ms <= batch.latest_ms:
            return None
        readings.append(Reading(seq, at_ms, given.v, bits if at_ms >= fresh_since_ms else bits | LATE))
        seq += 1
    batch.kept[key] = False
    if readings:
        batch.ends[key] = stream, seq
    return readings
