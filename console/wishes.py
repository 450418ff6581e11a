"""People's wishes as they stand: those of one request together, each asset with how far it got."""

from collections.abc import Mapping, Sequence

import msgspec

from console import acts
from console.desk import Desk
from contract.decisions import IntentState, Lease, Step

INTENTS_MAX = 2 * acts.ASSETS_MAX  # that are read at once; those that are over give way
RULED = frozenset({Step.WON, Step.CLAMPED, Step.LEASED, Step.SENT, Step.CONFIRMED, Step.UNCONFIRMED, Step.OVERRIDDEN})
WELL = frozenset({Step.WON, Step.LEASED, Step.SENT, Step.CONFIRMED, Step.WITHDRAWN, Step.EXPIRED})


class Progress(msgspec.Struct, frozen=True):
    """One asset of a wish: the intent's own step, or, once it rules, how far its lease got."""

    asset: str
    step: Step
    why: str


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    newest: IntentState
    parts: tuple[Progress, ...]
    running: bool


class Wishes(msgspec.Struct, frozen=True):
    running: Sequence[Wish]
    past: Sequence[Wish]
    cut: bool  # more is running than was read


def read_wishes(desk: Desk) -> Wishes:
    """People's wishes, newest first; those of one request together."""
    state = desk.platform.state
    now_ms = desk.platform.clock.now_ms()
    rows = state.intents(wished=True, living_first=True, limit=INTENTS_MAX)
    groups: dict[str, list[IntentState]] = {}
    for row in rows:
        groups.setdefault(row.intent.wish, []).append(row)
    leases = {lease.asset: lease for lease in state.leases()}
    running: list[Wish] = []
    past: list[Wish] = []
    for name, parts in groups.items():
        parts.sort(key=lambda row: row.intent.asset)
        wish = Wish(
            id=name,
            newest=max(parts, key=lambda row: row.at_ms),
            parts=tuple(progress(row, leases) for row in parts),
            running=any(is_running(row, now_ms) for row in parts),
        )
        (running if wish.running else past).append(wish)
    for wishes in (running, past):
        wishes.sort(key=lambda wish: -wish.newest.intent.decided_at_ms)
    return Wishes(running, past, cut=len(rows) == INTENTS_MAX and is_running(rows[-1], now_ms))


def progress(row: IntentState, leases: Mapping[str, Lease]) -> Progress:
    """How far one asset of a wish got. A lease made for another wish says nothing of this one."""
    intent = row.intent
    lease = leases.get(intent.asset)
    leased = lease.targets.get(intent.target) if lease else None
    if row.step in RULED and lease is not None and leased is not None and leased.intent == intent.intent:
        return Progress(intent.asset, lease.state, lease.code or row.why)
    return Progress(intent.asset, row.step, row.why)


def is_running(row: IntentState, now_ms: int) -> bool:
    until_ms = row.intent.until_ms
    return row.step not in acts.ENDED and (until_ms is None or until_ms > now_ms)
