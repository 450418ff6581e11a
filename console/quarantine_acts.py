"""What a person does with the quarantine: look for rows, replay them, drop them. API and pages act through here."""

import asyncio
from collections.abc import Sequence

from console.acts import NAME_LENGTH_MAX, check_text
from console.platform import Platform
from console.problems import Problem
from contract.ports import LogFull, StoreFault
from contract.quarantine import QuarantineChanged, Quarantined, Replayed, Wanted

ROWS_MAX = 200
"""Rows of one act: each act is one append, and ingest waits for it."""


async def find(platform: Platform, wanted: Wanted, after: int, upto: int | None, limit: int) -> Sequence[Quarantined]:
    """Oldest first, behind number `after`, up to number `upto`: what came after somebody looked is not meant."""
    rows = await asyncio.to_thread(platform.log.quarantine_rows.behind, after, min(limit, ROWS_MAX), wanted)
    return [row for row in rows if upto is None or row.number <= upto]


async def replay(platform: Platform, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
    """Store what reads now of these rows. Raises Problem."""
    _check(numbers, by)
    try:
        return await platform.quarantine.replay(numbers, by.strip())
    except (QuarantineChanged, LogFull, StoreFault, OSError) as error:
        raise _problem(error) from None


async def drop(platform: Platform, numbers: Sequence[int], by: str) -> int:
    """Let go of these rows for good; how many there were. Raises Problem."""
    _check(numbers, by)
    try:
        return await platform.quarantine.drop(numbers, by.strip())
    except (QuarantineChanged, LogFull, StoreFault, OSError) as error:
        raise _problem(error) from None


def _check(numbers: Sequence[int], by: str) -> None:
    faults = check_text("by", by, NAME_LENGTH_MAX, required=True)
    if len(numbers) > ROWS_MAX:
        faults.append(f"numbers: {len(numbers)} are more than {ROWS_MAX} at once; ask again for the rest")
    if faults:
        raise Problem("invalid", faults[0], faults)


def _problem(error: Exception) -> Problem:
    if isinstance(error, QuarantineChanged):
        return Problem("conflict", f"{error}; look again, then repeat it")
    room = "store" if isinstance(error, StoreFault) else "log"
    return Problem("unavailable", f"the {room} cannot be used: {error}", headers={"Retry-After": "5"})
