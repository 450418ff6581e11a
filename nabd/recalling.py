"""What the live view is told of the time before it began: entries that the store did not have at the start.

Theory of operation. After hours without a store, neither the store's newest readings nor the log's end say what a
device measured last. The live view begins at the log's end, so that it is never behind what comes; this goes backwards
from there in the background, newest first, to where the store's knowledge begins. An entry recalled fills what is not
known yet and replaces nothing. It takes a third of its time at most: life goes first.
"""

import asyncio
import logging

from console.live import LiveView
from contract.ports import Clock, Log
from nabd.standing import Standing

logger = logging.getLogger("consumers")

BATCH = 1_000
REST = 2.0  # times as long as a batch took
RETRY_S = 5.0


class Recall:
    """On the live view's loop. `left` is how many positions remain."""

    def __init__(self, log: Log, view: LiveView, clock: Clock, after: int, upto: int) -> None:
        """Of the entries behind position `after` up to `upto`."""
        self._log, self._view, self._clock = log, view, clock
        self._after, self._upto = after, upto
        self._standing = Standing(logger, "recall", RETRY_S)

    @property
    def fault(self) -> str:
        """Why it stands still, or empty."""
        return self._standing.why

    @property
    def left(self) -> int:
        return max(0, self._upto - self._after)

    async def run(self) -> None:
        """To the end, once."""
        if not self.left:
            return
        count = self.left
        while self.left:
            began_s = self._clock.monotonic_s()
            try:
                await self._step()
            except Exception as error:  # also ours
                await asyncio.sleep(self._standing.because(error))
            else:
                self._standing.over()
                await asyncio.sleep((self._clock.monotonic_s() - began_s) * REST)
        logger.info("event=recalled entries=%d", count)

    async def _step(self) -> None:
        """The newest that are left. Raises OSError."""
        after = max(self._after, self._upto - BATCH)
        entries = await asyncio.to_thread(self._log.read, after, self._upto - after)
        now_ms = self._clock.now_ms()
        for entry in reversed(entries):
            if entry.position <= self._upto:  # over a hole the log reads further
                self._view.recall(entry, now_ms)
        self._upto = after
