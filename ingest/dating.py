"""When a reading was measured: the device's word, or, without a set clock, an estimate fixed once a boot."""

from collections.abc import Mapping

from contract.records import Quality

NO_CLOCK = "none"
HELD = "held"


def boot_offset_ms(boots: Mapping[int, int], boot: int, newest_up_ms: int, now_ms: int) -> int:
    """What dates the `up` times of a boot: fixed already, or from the newest reading at hand, as if just measured.

    The first message after a boot brings its newest reading within seconds. A boot first heard late is dated too late,
    but never later than the start of a boot that is known to have come after it.
    """
    known = boots.get(boot)
    if known is not None:
        return known
    ended_ms = min((offset_ms for later, offset_ms in boots.items() if later > boot), default=now_ms)
    return min(ended_ms, now_ms) - newest_up_ms


def dated_ms(offset_ms: int, up_ms: int, now_ms: int) -> int:
    """When a reading without time was measured: not after it came, whatever the estimate says."""
    return min(offset_ms + up_ms, now_ms)


CLOCK_BITS: Mapping[str, int] = {
    "synced": int(Quality.GOOD),
    HELD: int(Quality.CLOCK_HELD),
    NO_CLOCK: int(Quality.CLOCK_NONE),
}
"""What a message's `clock` says against the times of its readings."""
