"""Opens connections for a fleet: at a bounded rate, a few at a time, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from ssl import SSLContext

from contract.ports import Clock
from simulators.connection import Connection

OPENING_MAX = 64  # attempts at the same time
OPEN_S_MAX = 10.0  # real time to get a socket
BURST_S = 0.1  # a pause earns this much of the rate, no more
IDLE_S = 10.0  # nothing can be opened before something happens


class Opener:
    """`ask` for a connection, call `open_some` when it says; `on_end` tells that an attempt is over, well or not."""

    def __init__(
        self,
        clock: Clock,
        host: str,
        port: int,
        per_s: float,
        tls: SSLContext | None,
        on_end: Callable[[Connection], None],
    ) -> None:
        """`per_s`: attempts begun per real second."""
        self._clock = clock
        self._host = host
        self._port = port
        self._step_s = 1.0 / per_s
        self._tls = tls
        self._on_end = on_end
        self._waiting: deque[Connection] = deque()  # each connection at most once
        self._tasks: set[asyncio.Task[None]] = set()
        self._next_s = float("-inf")
        self._error: BaseException | None = None
        self.failed = 0

    def ask(self, connection: Connection) -> None:
        """Open this connection when its turn comes."""
        connection.planned = True
        self._waiting.append(connection)

    def open_some(self, now_s: float) -> float:
        """Begin as many attempts as the rate allows; return real seconds until it allows more."""
        self._next_s = max(self._next_s, now_s - BURST_S)
        while self._waiting and self._next_s <= now_s and len(self._tasks) < OPENING_MAX:
            self._next_s += self._step_s
            connection = self._waiting.popleft()
            connection.planned = False
            task = asyncio.get_running_loop().create_task(self._open(connection))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if not self._waiting or len(self._tasks) >= OPENING_MAX:
            return IDLE_S
        return max(self._next_s - now_s, self._step_s)

    def check(self) -> None:
        """Raise what an attempt died of, if it was no ordinary failure of the network."""
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Give up all attempts."""
        self._waiting.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _open(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(OPEN_S_MAX):
                await loop.create_connection(lambda: connection, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError):
            self.failed += 1
            connection.cut()  # a handshake may have been going on still
        self._on_end(connection)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
