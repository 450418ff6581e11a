"""Keeps the audit within its bound: decisions, intents and alarms that are over go when they are older than that."""

import logging

from adapters.state.sqlite_state import SqliteState
from contract.kind import DAY_MS
from contract.ports import Clock
from nabd.standing import Standing

logger = logging.getLogger("wiring")

EVERY_S = 3600.0


class Pruner:
    def __init__(self, state: SqliteState, clock: Clock, days_max: int) -> None:
        """`days_max`: city days that an entry is kept."""
        self._state, self._clock, self._days_max = state, clock, days_max
        self._standing = Standing(logger, "audit", EVERY_S)

    @property
    def fault(self) -> str:
        """Why nothing goes, or empty."""
        return self._standing.why

    def prune(self) -> None:
        """Raises nothing: the city goes on beside an audit that grows, or of which a page is damaged."""
        try:
            dropped = self._state.prune(self._clock.now_ms() - self._days_max * DAY_MS)
        except Exception as error:  # also ours
            self._standing.because(error)
            return
        self._standing.over()
        if dropped:
            logger.info("event=audit_pruned rows=%d", dropped)
