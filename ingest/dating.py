"""When the readings of a message were measured: the device's word, or ours with the device's beside it.

Stage of the pipeline between validation and the search for duplicates. What is learned of a clock or a boot (see
`clocks`) goes to the batch's own copy of the stream; nothing else changes.
"""

from collections.abc import Callable, Iterable

from contract.records import Quality, Reading
from ingest.batch import Batch
from ingest.clocks import CLOCK_BITS, NO_CLOCK, dated_ms, fix_clock, fix_offset
from ingest.decode import ReadingIn, TelemetryIn
from ingest.ledger import Stream

LATE = int(Quality.LATE)
CLOCK_OFF = int(Quality.CLOCK_OFF)
DATED_ROUGHLY = int(Quality.DATED_ROUGHLY)


def date(
    batch: Batch,
    stream: Stream,
    fresh_ms: int,
    telemetry: TelemetryIn,
    beside: Callable[[], Iterable[TelemetryIn]] = tuple,
) -> list[Reading]:
    """The message's readings with their times and what is to be said of these (Quality), in the message's order.

    `fresh_ms`: what is older is LATE. `beside`: the device's other messages at hand; asked once a boot without a clock.
    """
    if not telemetry.readings:
        return []
    offset_ms = _learn(batch, stream, telemetry, beside)
    bits = CLOCK_BITS[telemetry.clock]
    rough_bits = DATED_ROUGHLY | LATE if telemetry.boot in stream.rough else 0
    late_before_ms = batch.now_ms - fresh_ms
    readings = []
    for given in telemetry.readings:
        at_ms, said_ms, quality = _time(batch.now_ms, stream, telemetry, given, offset_ms, bits)
        if said_ms is not None:  # dated by us
            quality |= rough_bits
        if at_ms < late_before_ms:
            quality |= LATE
        readings.append(Reading(given.seq, at_ms, given.v, quality, said_ms))
    return readings


def _learn(batch: Batch, stream: Stream, telemetry: TelemetryIn, beside: Callable[[], Iterable[TelemetryIn]]) -> int:
    """Learn what dates the readings of this message; the offset of `up` times, where they say those, else 0."""
    boot, now_ms = telemetry.boot, batch.now_ms

    def is_live() -> bool:
        """Is this the boot the device runs in, as far as births and other messages of its stream say? In another one
        boots may be counted anew."""
        born = boot if stream.status is None else stream.status[0]
        return boot >= max(born, max(stream.boots, default=boot))

    if telemetry.clock != NO_CLOCK:
        fix_clock(stream, boot, telemetry.clock, telemetry.readings, now_ms, is_live=is_live)
        return 0
    up_ms = newest_up_ms(telemetry)
    if boot not in stream.boots:  # backlog comes with a live message beside it: the newest reading of all dates best
        for other in beside():
            if (other.stream, other.boot) == (telemetry.stream, boot):
                up_ms = max(up_ms, newest_up_ms(other))
    return fix_offset(stream, boot, up_ms, now_ms, is_live=is_live)


def newest_up_ms(telemetry: TelemetryIn) -> int:
    """When the newest reading of a message without a clock was measured, ms since boot."""
    return max((given.up for given in telemetry.readings if given.up is not None), default=0)


def _time(
    now_ms: int, stream: Stream, telemetry: TelemetryIn, given: ReadingIn, offset_ms: int, bits: int
) -> tuple[int, int | None, int]:
    """(when it was measured, what the device said where that is not it, quality)."""
    if given.at is None:
        up_ms = given.up or 0
        return dated_ms(offset_ms, up_ms, now_ms), up_ms, bits
    ahead_ms = stream.ahead_ms(telemetry.boot, telemetry.clock, given.seq) if stream.skews else 0
    if ahead_ms:
        return dated_ms(-ahead_ms, given.at, now_ms), given.at, bits | CLOCK_OFF
    return given.at, None, bits
