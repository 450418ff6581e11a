"""How long rooms and loops live: until the stack they stand on unwinds, and not much longer."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

logger = logging.getLogger("wiring")

STOP_S = 10.0


def signal_event(*signals: signal.Signals) -> asyncio.Event:
    """Set whenever one of these comes."""
    event = asyncio.Event()
    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, event.set)
    return event


def on_exit(stack: AsyncExitStack, name: str, stop: Callable[[], Awaitable[Any]]) -> None:
    """End a room within its time; past it, name what was left and go on with the others."""

    async def end() -> None:
        try:
            await asyncio.wait_for(stop(), STOP_S)
        except TimeoutError:
            logger.error("event=left_behind room=%s after_s=%g", name, STOP_S)
        except Exception:
            logger.exception("event=stop_failed stopping=%s", name)

    stack.push_async_callback(end)


def watched(name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Run it as a task; one that dies is a fault of ours and is said so at once, not only when it is waited for."""
    task = asyncio.create_task(work, name=name)

    def ended(task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("event=task_died task=%s", name, exc_info=task.exception())

    task.add_done_callback(ended)
    return task


def run_until_exit(stack: AsyncExitStack, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Run a loop until the stack unwinds, or it ends by itself."""
    task = watched(name, work)

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(end)
    return task
