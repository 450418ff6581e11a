"""Runs the console's app on the loop that is there already, and leaves signals to whoever owns the process."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

STOP_S = 3


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn would take SIGTERM for itself and raise it again when done; here the wiring stops rooms in order.
        yield


class Server:
    """Serves an app on a socket that listens already; `start` returns when it answers."""

    def __init__(self, app: FastAPI, listener: socket.socket) -> None:
        self._listener = listener
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=STOP_S,
            server_header=False,
        )
        self._server = _Server(config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what ended the server, if it did not come up."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="http")
        while not self._server.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended while starting")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
