"""Waiting for what really happens: sockets, threads and processes tell nobody when they are done."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

WITHIN_S = 30.0
POLL_S = 0.02
Seen = TypeVar("Seen")
What = str | Callable[[], str]
"""What is waited for; a callable is asked when the time is over."""


def eventually(look: Callable[[], Seen], what: What, within_s: float = WITHIN_S) -> Seen:
    """The first true thing that `look` returns; fails with `what` and the last look when it takes too long."""
    for seen in _looks(look, what, within_s):
        if seen:
            return seen
        time.sleep(POLL_S)
    raise AssertionError("_looks fails before it ends")


async def until(look: Callable[[], Seen], what: What, within_s: float = WITHIN_S) -> Seen:
    """The same for a test on an event loop."""
    for seen in _looks(look, what, within_s):
        if seen:
            return seen
        await asyncio.sleep(POLL_S)
    raise AssertionError("_looks fails before it ends")


def _looks(look: Callable[[], Seen], what: What, within_s: float) -> Iterator[Seen]:
    end_s = time.monotonic() + within_s
    while True:
        seen = look()
        yield seen
        if time.monotonic() > end_s:
            told = what() if callable(what) else what
            raise AssertionError(f"not within {within_s:g} s: {told}; last seen: {seen!r}")
