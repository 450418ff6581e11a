"""The loop around the pipeline: receive → process in one worker thread → acknowledge → `kept`.

Theory of operation. One batch is on its way at a time; what arrives meanwhile is the next, so batches grow with the
load by themselves. When the log is full or the disk refuses (or Nabd itself fails), the same batch is tried again with
growing pauses and nothing is acknowledged: the broker's window fills, and the devices hold. `stop` ends after the batch
at hand, with one more for what had been read, and answers every stream that is owed a `kept`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from contract.ports import Clock, LogFull, Message, Receiver
from contract.quarantine import Replayed
from ingest.kept import Keeper
from ingest.pipeline import Outcome, Pipeline
from ingest.rates import Rates

logger = logging.getLogger("ingest")
T = TypeVar("T")

BATCH = 2_000
KEPT_EVERY_S = 0.1
CHECKPOINT_S = 10.0  # of the ledger; a start after a crash reads as much of the log again
RETRY_S, RETRY_S_MAX = 0.5, 5.0


class IngestService:
    """Runs on the event loop until `stop`."""

    def __init__(self, receiver: Receiver, pipeline: Pipeline, clock: Clock) -> None:
        self._receiver, self._pipeline, self._clock = receiver, pipeline, clock
        self._keeper = Keeper()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="ingest")
        self._stopping = asyncio.Event()
        self.holding = ""  # why nothing is kept at the moment, or empty
        self._rates = Rates()
        self._messages = self._readings = self._batches = self._retries = 0
        self._at_hand = 0  # messages of the batch that is on its way
        self._last_batch_ms = 0.0
        self._ledger_waits = False

    async def run(self) -> None:
        """Until `stop`: keep what arrives."""
        beside = [
            asyncio.create_task(self._answer(), name="kept"),
            asyncio.create_task(self._checkpoint(), name="ledger"),
        ]
        try:
            while not self._stopping.is_set():
                await self._keep(await self._receive())
            await self._keep(await self._receive_rest())
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._keeper.flush(self._clock.monotonic_s(), self._say_kept, all_due=True)
            await self._write_ledger()
            self._worker.shutdown()

    async def stop(self) -> None:
        """Read no more; `run` appends and acknowledges what was read, says `kept`, and ends."""
        self._stopping.set()

    async def replay(self, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
        """See Pipeline.replay; the streams concerned are answered. Between two batches, also while nothing is kept."""
        told, outcome = await self._work(self._pipeline.replay, numbers, by)
        for device, stream, deferred in outcome.kept:
            self._keeper.add(device, stream, deferred=deferred)
        return told

    async def drop(self, numbers: Sequence[int], by: str, lacking: Collection[int] = ()) -> int:
        """See Pipeline.drop."""
        return await self._work(partial(self._pipeline.drop, lacking=lacking), numbers, by)

    async def _work(self, act: Callable[[Sequence[int], str], T], numbers: Sequence[int], by: str) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, act, numbers, by)
        except RuntimeError as error:  # of an executor that takes nothing any more
            if not self._stopping.is_set():
                raise
            raise OSError(f"ingest has stopped ({error}); ask again when it runs") from None

    @property
    def listening(self) -> bool:
        """Would a device be heard now? Silence counts only while it is so."""
        return self._receiver.connected and not self.holding and not self._stopping.is_set()

    def status(self) -> Mapping[str, object]:
        """For health and metrics: rates over the last 10 s, `backlog` messages read and not yet kept, times in ms."""
        messages_per_s, readings_per_s = self._rates.per_s(self._clock.monotonic_s())
        clocks = self._pipeline.clocks()
        return {
            "holding": self.holding,
            "messages_per_s": messages_per_s,
            "readings_per_s": readings_per_s,
            "backlog": self._at_hand + self._receiver.queued,
            "messages": self._messages,
            "readings": self._readings,
            "batches": self._batches,
            "retries": self._retries,
            "last_batch_ms": round(self._last_batch_ms, 3),
            "slowest_batch_ms": round(self._rates.slowest_ms(self._clock.monotonic_s()), 3),
            "kept_sent": self._keeper.sent,
            "kept_waiting": self._keeper.waiting,
            "deferred_forgotten": self._pipeline.forgotten,
            "deferred_boots_forgotten": self._pipeline.boots_forgotten,
            "credible_forgotten": self._pipeline.credible_forgotten,
            "over_limit": self._pipeline.gate.told(self._clock.now_ms()),
            "over_limit_untold": self._pipeline.gate.untold,
            "clocks_off": clocks.off,
            "clocks_off_alike": clocks.alike,
            "clocks_ahead_ms": clocks.ahead_ms,
        }

    async def _receive(self) -> Sequence[Message]:
        """What has arrived; empty when asked to stop, or when a device was registered and wants an answer."""
        receiving = asyncio.ensure_future(self._receiver.receive(BATCH))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while not receiving.done():
                await asyncio.wait((receiving, stopping), timeout=KEPT_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if self._stopping.is_set() or self._pipeline.has_news():
                    break
        finally:
            stopping.cancel()
            receiving.cancel()
        try:
            return await receiving  # it may have come too late to be cancelled: what it took is taken
        except asyncio.CancelledError:
            return ()

    async def _receive_rest(self) -> Sequence[Message]:
        """What had been read when the stop came."""
        try:
            return await asyncio.wait_for(self._receiver.receive(BATCH), KEPT_EVERY_S)
        except TimeoutError:
            return ()

    async def _keep(self, messages: Sequence[Message]) -> None:
        if not messages and not self._pipeline.has_news():
            return
        began_s = self._clock.monotonic_s()
        self._at_hand = len(messages)
        outcome = await self._process(messages)
        self._at_hand = 0
        if outcome is None:
            return
        self._receiver.acknowledge(outcome.acknowledge)
        for topic, payload in outcome.replies:
            self._receiver.publish(topic, payload)
        for device, stream, deferred in outcome.kept:
            self._keeper.add(device, stream, deferred=deferred)
        self._messages += len(messages)
        self._readings += outcome.readings
        self._batches += 1
        now_s = self._clock.monotonic_s()
        self._last_batch_ms = (now_s - began_s) * 1000
        self._rates.add(now_s, len(messages), outcome.readings, self._last_batch_ms)
        self._keeper.flush(now_s, self._say_kept)

    async def _process(self, messages: Sequence[Message]) -> Outcome | None:
        """None when asked to stop while nothing can be kept: the broker has the messages still."""
        loop = asyncio.get_running_loop()
        pause_s = RETRY_S
        while True:
            try:
                outcome = await loop.run_in_executor(self._worker, self._pipeline.process, messages)
            except Exception as error:
                is_expected = isinstance(error, (LogFull, OSError))
                if not self.holding:
                    logger.error("event=holding reason=%s", error, exc_info=None if is_expected else error)
                self.holding = str(error) if is_expected else f"{type(error).__name__}: {error}"
                self._retries += 1
                if self._stopping.is_set():
                    return None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause_s)
                pause_s = min(pause_s * 2, RETRY_S_MAX)
            else:
                if self.holding:
                    logger.info("event=keeping_again")
                self.holding = ""
                return outcome

    async def _answer(self) -> None:
        """Say what became due while no batch came."""
        while True:
            await asyncio.sleep(KEPT_EVERY_S)
            self._keeper.flush(self._clock.monotonic_s(), self._say_kept)

    async def _checkpoint(self) -> None:
        while True:
            await asyncio.sleep(CHECKPOINT_S)
            await self._write_ledger()

    async def _write_ledger(self) -> None:
        """Nothing is lost when it fails: the log is held, and tells after a crash what the rows do not."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._worker, self._pipeline.checkpoint)
        except OSError as error:
            if not self._ledger_waits:
                logger.warning("event=ledger_waits reason=%s", error)
            self._ledger_waits = True
        else:
            self._ledger_waits = False

    def _say_kept(self, device: str, stream: str, deferred: bool) -> None:
        self._receiver.publish(*self._pipeline.answer(device, stream, deferred=deferred))
