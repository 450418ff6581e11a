"""Who wins: the order of intents, what may become of one, and how it is explained.

One table says which step may follow which in the life of an intent::

    (new) ──▶ WON ◀──▶ LOST ──▶ LOST (to another, or there is no device to lease it to)
      │        │        │
      ▼        ▼        ▼
    over: VETOED, REFUSED, INTERRUPTED, WITHDRAWN, EXPIRED

An intent whose last state is one of `OVER` is over; whatever else it says, it lives and may win again.
"""

import math

from actuation.memory import Held
from contract.decisions import OVER, Intent, Rank, Step, identify
from contract.kind import MetricType, Target
from contract.records import Wished

PADLOCK = "a lock-out in software never replaces a padlock: lock the thing itself before you put a hand in it"

WISH_RANKS = (Rank.MAINTENANCE, Rank.EMERGENCY, Rank.OPERATOR, Rank.EVENT, Rank.SCHEDULE)

FOLLOWS: dict[Step | None, frozenset[Step]] = {
    None: frozenset({Step.WON, Step.LOST, Step.VETOED, Step.WITHDRAWN, Step.EXPIRED}),
    Step.WON: frozenset({Step.LOST}) | OVER,
    Step.LOST: frozenset({Step.WON, Step.LOST, Step.VETOED, Step.WITHDRAWN, Step.EXPIRED}),
}


class IllegalEvent(Exception):
    """The caller broke the order of events (see the table or the arbiter's theory of operation). Nothing changed."""


def follow(held: Held, step: Step) -> None:
    """May `step` come next in this intent's life? Raises IllegalEvent when the table says no."""
    if step not in FOLLOWS[held.standing]:
        was = held.standing or "new"
        raise IllegalEvent(f"intent {held.intent.intent}: {step} cannot follow {was}; this is a fault of the arbiter")


def strength(held: Held) -> tuple[int, int, str]:
    """The order of intents: rank, then the newer decision, then the id, so that no two are ever equal."""
    return held.intent.rank, held.intent.decided_at_ms, held.intent.intent


def label(intent: Intent) -> str:
    """``operator:amina``, ``rule:dim_at_night``."""
    return f"{intent.rank.name.lower()}:{intent.by}"


def won_because(winner: Held, others: int) -> str:
    why = f"strongest of {others + 1}" if others else "nothing else wishes for it"
    return f"{why}; {PADLOCK}" if winner.intent.rank is Rank.MAINTENANCE else why


def lost_because(loser: Held, winner: Held) -> str:
    mine, other = loser.intent.rank, winner.intent.rank
    if other != mine:
        return f"lost to {label(winner.intent)} ({other.name.lower()} > {mine.name.lower()})"
    order = "newer" if winner.intent.decided_at_ms > loser.intent.decided_at_ms else "same time, by id"
    return f"lost to {label(winner.intent)} ({order})"


def intents_of(wish: Wished, decided_at_ms: int) -> list[tuple[Intent, str]]:
    """The intents of one request, one an asset, each with a fault or "".

    A request for one asset gives its own id to its intent. For several assets the intent of each has the id
    ``identify(request, asset)``; `Intent.wish` holds the request's id in both cases.
    """
    rank = next((rank for rank in WISH_RANKS if rank.name.lower() == wish.rank), None)
    fault = ""
    if rank is None:
        known = ", ".join(rank.name.lower() for rank in WISH_RANKS)
        fault = f"unknown rank {wish.rank!r}; known: {known}"
    assets = tuple(dict.fromkeys(wish.assets))
    return [
        (
            Intent(
                intent=wish.intent if len(assets) == 1 else identify(wish.intent, asset),
                asset=asset,
                target=wish.target,
                to=wish.to,
                rank=rank or Rank.DEFAULT,
                reason=wish.reason,
                by=wish.by,
                decided_at_ms=decided_at_ms,
                until_ms=wish.until_ms,
                wish=wish.intent,
            ),
            fault,
        )
        for asset in assets
    ]


def end_of(intent: Intent, target: Target, now_ms: int) -> int | None:
    """When an intent admitted at `now_ms` is over by itself; None: when it is withdrawn.

    A run that is not resumed (valves) has a fixed end from the start: one lease, never renewed.
    """
    if target.resume or intent.lease_ms is None:
        return intent.until_ms
    run_end_ms = now_ms + intent.lease_ms
    return run_end_ms if intent.until_ms is None else min(run_end_ms, intent.until_ms)


def value_fault(target: Target, to: float) -> str:
    """Why this value can never be leased, or ""; a value out of range is clamped elsewhere."""
    if not math.isfinite(to):
        return f"{target.name}: {to} is no number"
    if target.type is MetricType.BOOLEAN and to not in (0.0, 1.0):
        return f"{target.name}: {to} is neither true (1) nor false (0)"
    return ""
