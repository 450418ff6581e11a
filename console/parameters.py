"""What comes in through an address: times, durations, paging. Everything out of bounds is a fault with its limit."""

import difflib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec
from fastapi import Depends, Query, Request
from fastapi.routing import APIRoute

from console.problems import Problem
from contract.moments import TIME_MAX_MS
from contract.quality import word
from contract.quantity import duration_ms
from contract.records import Quality

ITEMS_MAX = 1_000
OFFSET_MAX = 1_000_000_000
TIME_MIN_MS = 0
SHOWN_MAX = 40  # of a wrong value, in a fault

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+\- ])(\d\d):(\d\d))", re.ASCII
)


class Paging(msgspec.Struct, frozen=True):
    offset: int
    limit: int


def paging(
    offset: Annotated[int, Query(ge=0, le=OFFSET_MAX, description="how many to pass over")] = 0,
    limit: Annotated[int, Query(ge=1, le=ITEMS_MAX, description="how many to return at most")] = 100,
) -> Paging:
    return Paging(offset, limit)


PageOf = Annotated[Paging, Depends(paging)]
Limit = Annotated[int, Query(ge=1, le=ITEMS_MAX, description="how many to return at most")]
Text = Annotated[str | None, Query(max_length=64)]


def known_parameters(request: Request) -> None:
    """A parameter the address does not know is a fault: a misspelt filter must not look like an answer."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = set(_names(route.dependant))
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        faults = [f"query.{name[:SHOWN_MAX]}: unknown parameter{_hint(name, known)}" for name in unknown[:16]]
        raise Problem("invalid", faults[0], faults)


def _names(dependant: object) -> Iterable[str]:
    for field in getattr(dependant, "query_params", ()):
        yield field.alias
    for inner in getattr(dependant, "dependencies", ()):
        yield from _names(inner)


def _hint(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else "; this address takes none"


def parse_time(name: str, text: str) -> int:
    """Unix ms of an RFC 3339 time. Raises Problem. A ``+`` that arrived as a space is read as the plus it was."""
    found = _RFC3339.fullmatch(text)
    if found is None:
        sentence = f"{name}: {text[:SHOWN_MAX]!r} is not an RFC 3339 time; write it like 2026-11-23T21:00:00Z"
        raise Problem("invalid", sentence, [sentence])
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    millisecond = int((found[7] or "0").ljust(9, "0")[:3])
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        offset_minutes = 0
        if found[8] is None:
            hours, minutes = int(found[10]), int(found[11])
            if hours > 23 or minutes > 59 or second > 60:
                raise ValueError("offset must be below 24:00")
            offset_minutes = (hours * 60 + minutes) * (-1 if found[9] == "-" else 1)
        elif second > 60:
            raise ValueError("second must be in 0..60")
    except ValueError as error:
        sentence = f"{name}: {text[:SHOWN_MAX]!r} is no time: {error}"
        raise Problem("invalid", sentence, [sentence]) from None
    leap_ms = 1000 if second == 60 else 0
    ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    ms += millisecond + leap_ms - offset_minutes * 60_000
    if not TIME_MIN_MS <= ms <= TIME_MAX_MS:
        sentence = f"{name}: {text[:SHOWN_MAX]!r} must lie from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59.999Z"
        raise Problem("invalid", sentence, [sentence])
    return ms


def parse_duration(name: str, text: str, least_ms: int, most_ms: int) -> int:
    """Milliseconds of a duration such as ``5m``, within bounds. Raises Problem."""
    try:
        if len(text) > SHOWN_MAX:
            raise ValueError(f"{text[:SHOWN_MAX]!r}… is not a duration; write it like 10m")
        ms = duration_ms(text)
    except (ValueError, OverflowError) as error:
        raise Problem("invalid", f"{name}: {error}", [f"{name}: {error}"]) from None
    if not least_ms <= ms <= most_ms:
        sentence = f"{name}: {text} must lie from {least_ms // 1000}s to {most_ms // 1000}s"
        raise Problem("invalid", sentence, [sentence])
    return ms


QUALITY_SAYS = "good: only readings that nothing is known against; or the words of what may be: late,clock_held"


def parse_quality(text: str | None) -> int:
    """The bits of the readings to leave out. Raises Problem."""
    if text is None:
        return 0
    bits = {word(flag): int(flag) for flag in Quality if flag}
    asked = [] if text == "good" else text.split(",")
    unknown = next((one for one in asked if one not in bits), None)
    if unknown is not None:
        sentence = f"quality: {unknown[:SHOWN_MAX]!r} is not good, nor one or more of {','.join(bits)}"
        raise Problem("invalid", sentence, [sentence])
    return sum(bit for one, bit in bits.items() if one not in asked)
