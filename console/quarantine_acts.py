"""What a person does with the quarantine: look for rows, replay them, drop them. API and pages act through here."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec

from console.acts import NAME_LENGTH_MAX, check_text
from console.platform import Platform
from console.problems import Problem
from contract.ports import LogFull
from contract.quarantine import QuarantineChanged, Quarantined, Replayed, Wanted

ROWS_MAX = 200
"""Rows of one act: each act is one append, and ingest waits for it."""

FAULTS = (QuarantineChanged, LogFull, OSError)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of an act came to."""

    dropped: int = 0
    stored: int = 0  # readings
    stay: int = 0  # rows
    why: str = ""  # … the first of them does


async def find(platform: Platform, wanted: Wanted, after: int, upto: int | None, limit: int) -> Sequence[Quarantined]:
    """Oldest first, behind number `after`, up to number `upto`: what came after somebody looked is not meant.

    Raises Problem.
    """
    try:
        rows = await asyncio.to_thread(platform.log.quarantine_rows.behind, after, min(limit, ROWS_MAX), wanted)
    except FAULTS as error:
        raise _problem(error) from None
    return [row for row in rows if upto is None or row.number <= upto]


async def replay(platform: Platform, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
    """Store what reads now of these rows. Raises Problem."""
    _check(numbers, by)
    try:
        return await platform.quarantine.replay(numbers, by.strip())
    except FAULTS as error:
        raise _problem(error) from None


async def drop(platform: Platform, numbers: Sequence[int], by: str) -> int:
    """Let go of these rows for good; how many there were. Raises Problem."""
    _check(numbers, by)
    try:
        return await platform.quarantine.drop(numbers, by.strip())
    except FAULTS as error:
        raise _problem(error) from None


async def in_parts(
    platform: Platform, act: str, by: str, wanted: Wanted, *, numbers: Sequence[int] | None, upto: int | None
) -> AsyncIterator[Done]:
    """Replay or drop these rows, or all that are wanted, ROWS_MAX at once: after each part what all came to so far.

    Raises Problem. What was told before it has been done all the same.
    """
    done = Done()
    async for part in _parts(platform, wanted, numbers, upto):
        if act == "drop":
            done = Done(dropped=done.dropped + await drop(platform, part, by))
        else:
            told = await replay(platform, part, by)
            done = Done(
                stored=done.stored + sum(one.readings for one in told),
                stay=done.stay + sum(one.stays for one in told),
                why=done.why or next((one.sentence for one in told if one.stays), ""),
            )
        yield done


async def _parts(
    platform: Platform, wanted: Wanted, numbers: Sequence[int] | None, upto: int | None
) -> AsyncIterator[Sequence[int]]:
    if numbers is not None:
        yield numbers
        return
    after = 0
    while rows := await find(platform, wanted, after, upto, ROWS_MAX):
        yield [row.number for row in rows]
        after = rows[-1].number


def _check(numbers: Sequence[int], by: str) -> None:
    faults = check_text("by", by, NAME_LENGTH_MAX, required=True)
    if len(numbers) > ROWS_MAX:
        faults.append(f"numbers: {len(numbers)} are more than {ROWS_MAX} at once; ask again for the rest")
    if faults:
        raise Problem("invalid", faults[0], faults)


def _problem(error: Exception) -> Problem:
    if isinstance(error, QuarantineChanged):
        return Problem("conflict", f"{error}; look again, then repeat it")
    return Problem("unavailable", f"the log cannot be used: {error}", headers={"Retry-After": "5"})
