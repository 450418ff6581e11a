"""Times as people give them to a command: ISO 8601, a day in the city's zone, or counted back from now."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contract.quantity import duration_ms
from nabd.fault import Refused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END_MS = 7_258_118_400_000  # the year 2200: InfluxDB and zone files count so far
HOW = "write a time like 2026-11-24T17:00Z, a day like 2026-11-24, now, or -7d"


def time_ms(option: str, text: str, *, now_ms: int, zone: str) -> int:
    """Unix ms. A time without an offset, and a day (its first moment), are the city's; ``-7d`` is before `now_ms`.

    Raises Refused for what is none, and for what lies outside of 1970 to 2200.
    """
    ms = _time_ms(option, text.strip(), now_ms, ZoneInfo(zone))
    if not 0 <= ms <= END_MS:
        raise Refused(f"{option} {text!r}: must lie in the years 1970 to 2200; {HOW}")
    return ms


def _time_ms(option: str, text: str, now_ms: int, zone: ZoneInfo) -> int:
    if text == "now":
        return now_ms
    try:
        if text.startswith("-"):
            return now_ms - duration_ms(text[1:])
        if len(text) == len("2026-11-24"):
            moment = datetime.combine(date.fromisoformat(text), time(), zone)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        return (moment - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise Refused(f"{option} {text!r}: is no time; {HOW}") from None
