"""Looks after the embedded broker: one that died, or takes connections and answers none, is started again.

Theory of operation. The broker is a child process that can be killed alone (by the system when memory is short, by a
hand) or stand still inside while its process lives. Without it nothing comes in, so the platform does not wait for
somebody to notice. What it had in memory is gone with it and comes again: devices hold their readings until `kept`,
and leases are published at each connection.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from adapters.mqtt.broker import BrokerFault

logger = logging.getLogger("broker")

LOOK_S = 0.5
SILENT_S = 10.0  # without the platform's own connection for so long, the broker is asked
RETRY_S, RETRY_S_MAX = 1.0, 30.0


class Broker(Protocol):
    """What is looked after; all may block, so they are called in a thread."""

    @property
    def running(self) -> bool: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def answers(self) -> bool: ...


class BrokerGuard:
    """`run` it as a task, and end it before the broker is stopped. `fault` is why there is no broker, or empty."""

    def __init__(self, broker: Broker, connected: Callable[[], bool], now_s: Callable[[], float]) -> None:
        """`connected`: is the platform itself connected? `now_s`: monotonic seconds."""
        self._broker, self._connected, self._now_s = broker, connected, now_s
        self._heard_s = now_s()
        self._retry_s = RETRY_S
        self.fault = ""
        self.restarts = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(await self.look())

    async def look(self) -> float:
        """Look once, and mend what is wrong; the seconds until the next look."""
        reason = await self._ailment()
        if not reason:
            return LOOK_S
        if not self.fault:
            logger.error("event=broker_failed reason=%r next='starting it again'", reason)
        self.fault = f"the embedded broker {reason}"
        try:
            await asyncio.to_thread(self._restart)
        except (BrokerFault, OSError) as fault:
            wait_s, self._retry_s = self._retry_s, min(self._retry_s * 2, RETRY_S_MAX)
            self.fault = str(fault)
            logger.error("event=broker_not_started reason=%r again_in_s=%g", self.fault, wait_s)
            return wait_s
        self.restarts += 1
        self.fault, self._retry_s, self._heard_s = "", RETRY_S, self._now_s()
        logger.warning("event=broker_started_again restarts=%d", self.restarts)
        return LOOK_S

    async def _ailment(self) -> str:
        """What is wrong with it, or empty."""
        if not self._broker.running:
            return "ended by itself"
        if self._connected():
            self._heard_s = self._now_s()
        elif self._now_s() - self._heard_s >= SILENT_S:
            if not await asyncio.to_thread(self._broker.answers):
                return f"runs, and answers nobody for {SILENT_S:g} s"
            self._heard_s = self._now_s()
        return ""

    def _restart(self) -> None:
        self._broker.stop()
        self._broker.start()
