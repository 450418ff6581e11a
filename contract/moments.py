"""Moments as texts, the one way Nabd writes them."""

from datetime import UTC, datetime, timedelta
from typing import overload

TIME_MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write
_CALENDAR_MIN_MS = -62_135_596_800_000  # 0001-01-01


@overload
def rfc3339(ms: int) -> str: ...


@overload
def rfc3339(ms: None) -> None: ...


@overload
def rfc3339(ms: int | None) -> str | None: ...


def rfc3339(ms: int | None) -> str | None:
    """Unix ms as ``2026-11-23T21:00:00.000Z``; None stays None. Times beyond the calendar are held at its ends.

    Texts of moments from the year 1000 on are in the order of time.
    """
    if ms is None:
        return None
    held = min(max(ms, _CALENDAR_MIN_MS), TIME_MAX_MS)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=held)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{held % 1000:03d}Z" if moment.year >= 1000 else moment.isoformat()
