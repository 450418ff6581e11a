"""When a reading was measured: the device's word, or, without a set clock, an estimate fixed once a boot."""

from collections.abc import Iterable, Mapping

from contract.records import Quality

NO_CLOCK = "none"
HELD = "held"


def boot_offset_ms(boots: Mapping[int, int], boot: int, ups_ms: Iterable[int], now_ms: int) -> int | None:
    """What dates the `up` times of a boot: fixed already, or from the newest of the readings at hand, just measured.

    None when there is nothing to go by. The first message after a boot brings its newest reading within seconds; a
    boot first heard late is dated too late by as much, and its readings are marked so that no rule uses them.
    """
    known = boots.get(boot)
    if known is not None:
        return known
    newest_ms = max(ups_ms, default=None)
    return None if newest_ms is None else now_ms - newest_ms


def quality(clock: str, measured_at_ms: int, now_ms: int, fresh_ms: int) -> int:
    """The quality bits that time alone decides."""
    bits = Quality.GOOD
    if clock == HELD:
        bits |= Quality.CLOCK_HELD
    elif clock == NO_CLOCK:
        bits |= Quality.CLOCK_NONE
    if now_ms - measured_at_ms > fresh_ms:
        bits |= Quality.LATE
    return int(bits)
