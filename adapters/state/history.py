"""What the state has changed, in the order of its commits: the queries behind contract.ports.History."""

from typing import Any

from sqlalchemy import Row, Select, select, tuple_

from adapters.state import rows, schema
from contract.decisions import AlarmState, Rank, Step
from contract.ports import AlarmChange, LeaseStep

LEASE_STEPS = (
    Step.LEASED, Step.SENT, Step.CONFIRMED, Step.REFUSED, Step.OVERRIDDEN, Step.UNCONFIRMED, Step.INTERRUPTED,
    Step.WITHDRAWN, Step.EXPIRED,
)  # fmt: skip
"""What happens to a lease, and what ends the intent behind it; who won over whom is for the audit alone."""


def alarm_changes(after: tuple[int, str], limit: int) -> Select[Any]:
    """Pending alarms, and those that never fired, are nobody's news."""
    alarms = schema.alarms.c
    query = select(schema.alarms).where(tuple_(alarms.changed, alarms.alarm) > tuple_(*after))
    query = query.where(alarms.state != AlarmState.PENDING.value, alarms.fired_at_ms.is_not(None))
    return query.order_by(alarms.changed, alarms.alarm).limit(limit)


def alarm_change_of(row: Row[Any]) -> AlarmChange:
    return AlarmChange(position=row.changed, row=rows.alarm_of(row), commune=row.commune, zone=row.zone)


def lease_steps(after: int, limit: int) -> Select[Any]:
    decisions, assets, intents = schema.decisions, schema.assets, schema.intents
    query = select(decisions, assets.c.kind, assets.c.commune, assets.c.zone, intents.c.rank)
    query = query.select_from(
        decisions.outerjoin(assets, assets.c.asset == decisions.c.asset).outerjoin(
            intents, intents.c.intent == decisions.c.intent
        )
    )
    query = query.where(decisions.c.number > after, decisions.c.step.in_([step.value for step in LEASE_STEPS]))
    return query.order_by(decisions.c.number).limit(limit)


def lease_step_of(row: Row[Any]) -> LeaseStep:
    return LeaseStep(
        number=row.number,
        decision=rows.decision_of(row),
        kind=row.kind or "",
        commune=row.commune or "",
        zone=row.zone or "",
        rank=Rank(row.rank).name.lower() if row.rank is not None else "",
    )
