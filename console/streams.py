"""Long answers in pieces: how many at one time, and no longer than somebody takes them.

Theory of operation. What makes the pieces runs in threads of its own, so that the threads the platform lives by are
never all taken by readers. A piece is made when the one before is on its way: a slow client costs one piece of memory
and, while it is waited for, nothing else. A client that goes away ends its answer before the next piece; one that takes
nothing for STALLED_S loses it. An answer that ends before its time is never finished (its last chunk does not come), so
that every HTTP client tells a broken answer from a whole one.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fastapi import Response
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.types import Receive, Scope, Send

from console.problems import Problem
from contract.ports import StoreFault

logger = logging.getLogger("console")

STREAMS_MAX = 4
THREADS = 2
STALLED_S = 60.0
ENDS = ("whole", "gone", "stalled", "failed", "stopped")
"""How an answer ended: taken to its end; its client went away, took nothing for too long; the store failed; the
platform stopped."""

Result = TypeVar("Result")
Prepare = Callable[[], tuple[Iterator[bytes], Mapping[str, str]]]
"""Gives the pieces of an answer and its headers."""


class Streams:
    """The room for long answers. `registry` gets its figures."""

    def __init__(self, registry: CollectorRegistry, *, most: int = STREAMS_MAX, stalled_s: float = STALLED_S) -> None:
        self.most, self.stalled_s = most, stalled_s
        self.open = 0  # on the event loop's thread only
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="streams")
        self.ended = Counter("nabd_streams_ended", "Long answers by how they ended", ["how"], registry=None)
        self.refused = Counter("nabd_streams_refused", "Long answers refused: too many at one time", registry=None)
        self.readings = Counter("nabd_streams_readings", "Readings given in long answers", registry=None)
        opened = Gauge("nabd_streams_open", "Long answers being given now", registry=None)
        opened.set_function(lambda: self.open)
        for how in ENDS:
            self.ended.labels(how)
        for figure in (self.ended, self.refused, self.readings, opened):
            registry.register(figure)

    async def begin(self, prepare: Prepare, *, media_type: str) -> Response:
        """The answer whose pieces and headers `prepare` gives, begun: what fails before the first piece is raised here.

        No piece is empty; `prepare` and the pieces are asked in a thread of ours. Raises Problem when there is no room.
        """
        self._take_room()
        try:
            pieces, headers = await self.run(prepare)
            first = await self.run(lambda: next(pieces, b""))
        except BaseException:
            self.open -= 1
            raise
        return _Stream(self, first, pieces, media_type, headers)

    async def head(self, prepare: Prepare, *, media_type: str) -> Response:
        """The headers of that answer, and none of it; in the same room. Raises Problem."""
        self._take_room()
        try:
            _, headers = await self.run(prepare)
        finally:
            self.open -= 1
        return Response(b"", 200, {**headers, "Cache-Control": "no-store"}, media_type)

    def _take_room(self) -> None:
        if self.open >= self.most:
            self.refused.inc()
            detail = f"{self.open} long answers are being given, {self.most} is the most; try again when one has ended"
            raise Problem("unavailable", detail, headers={"Retry-After": "5"})
        self.open += 1

    async def run(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _Stream(Response):
    def __init__(
        self, streams: Streams, first: bytes, pieces: Iterator[bytes], media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(b"", 200, {**headers, "Cache-Control": "no-store"}, media_type)
        del self.headers["content-length"]
        self._streams, self._first, self._pieces = streams, first, pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        leaving = asyncio.ensure_future(_left(receive))
        how = "gone"
        try:
            start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            how = await self._give(send, start, leaving)
        finally:
            leaving.cancel()
            self._streams.open -= 1
            self._streams.ended.labels(how).inc()
            with contextlib.suppress(ValueError):  # it is being made at this moment, and ends with this generator
                getattr(self._pieces, "close", lambda: None)()

    async def _give(self, send: Send, start: Mapping[str, object], leaving: "asyncio.Future[None]") -> str:
        """How it ended; an end other than `whole` leaves the answer without its last chunk."""
        piece = self._first
        try:
            await self._send(send, dict(start))
            while piece and not leaving.done():
                await self._send(send, {"type": "http.response.body", "body": piece, "more_body": True})
                piece = await self._streams.run(lambda: next(self._pieces, b""))
            if leaving.done():
                return "gone"
            await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            logger.warning("event=stream_stalled after_s=%g", self._streams.stalled_s)
            return "stalled"
        except StoreFault as fault:
            logger.error("event=stream_failed reason=%s", fault)
            return "failed"
        except OSError:
            return "gone"
        except asyncio.CancelledError:  # the server stops, and nothing is waited for behind this answer
            return "stopped"
        return "whole"

    def _send(self, send: Callable[..., Awaitable[None]], message: dict[str, object]) -> Awaitable[None]:
        return asyncio.wait_for(send(message), self._streams.stalled_s)


async def _left(receive: Receive) -> None:
    """Until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
