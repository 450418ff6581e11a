"""One client id of the receiver: connects, subscribes, and connects again until it is cancelled."""

import asyncio
import logging
import random
import ssl
from collections.abc import Callable
from typing import Any

from adapters.clock import real_ms
from adapters.mqtt.connection import CLOSED, Connection
from adapters.mqtt.probe import refusal, unanswered
from adapters.mqtt.tls import explain
from contract.ports import Message
from contract.wire.mqtt import Session

DELAY_S_MIN = 0.1  # before the first new try; doubles up to the maximum, each spread by half to one and a half
DELAY_S_MAX = 5.0
STEADY_S = 5.0  # a connection that lasted so long begins again at the shortest delay
INDEX_BITS = 8
READY_S_MAX = 10.0  # for TCP, TLS, CONNACK and SUBACK together

CHANCE = random.SystemRandom().random

logger = logging.getLogger("mqtt")


class Link:
    """A persistent session at the broker and, while it lasts, one connection of it. All on the loop's thread."""

    def __init__(
        self,
        index: int,
        session: Session,
        filters: list[tuple[str, int]],
        address: tuple[str, int, ssl.SSLContext | None],
        chance: Callable[[], float],
        take: Callable[[list[Message]], None],
        changed: Callable[[], None],
        now_ms: Callable[[], int] = real_ms,
    ) -> None:
        """`take` gets the messages of each read, `changed` is called when `ready` became true or false."""
        self.index = index
        self.session = session
        self.generation = 0  # of the connection
        self.ready = False  # connected and subscribed
        self.fault = ""  # why not, as the last try told it
        self.connection: Connection | None = None
        self._filters = filters
        self._address = address
        self._chance = chance
        self._take = take
        self._changed = changed
        self._now_ms = now_ms
        self._said = ""
        self._malformed_topics = 0  # of connections that are gone

    @property
    def name(self) -> int:
        """Of the connection at hand, other than that of any link and connection before it; tokens carry it."""
        return self.generation << INDEX_BITS | self.index

    @property
    def transport(self) -> asyncio.Transport | None:
        """Where to write; None without a connection."""
        return self.connection.transport if self.connection is not None else None

    @property
    def malformed_topics(self) -> int:
        now = self.connection.malformed_topics if self.connection is not None else 0
        return self._malformed_topics + now + self.session.malformed_topics

    async def run(self) -> None:
        """For ever: a connection, a pause, the next one."""
        clock = asyncio.get_running_loop().time
        delay_s = DELAY_S_MIN
        while True:
            began_s = clock()
            reason = self.fault = await self._once()
            if clock() - began_s > STEADY_S:
                delay_s = DELAY_S_MIN
            self._say("disconnected", reason)
            await asyncio.sleep(delay_s * (0.5 + self._chance()))
            delay_s = min(DELAY_S_MAX, 2 * delay_s)

    async def close(self) -> None:
        """Write out what is due and say goodbye; the session stays at the broker."""
        transport = self.transport
        if self.connection is None or transport is None:
            return
        if self.session.online:
            transport.write(self.session.disconnect())
        self._say("stopped", "")
        transport.close()
        await asyncio.wait((self.connection.closed,), timeout=2.0)

    async def _once(self) -> str:
        """One connection from its beginning to its end; return why it ended."""
        loop = asyncio.get_running_loop()
        host, port, tls = self._address
        self.generation += 1
        subscribed = loop.create_future()

        def event(event: tuple[Any, ...]) -> None:
            self._event(event, connection, subscribed)

        connection = Connection(self.session, self.name, loop.time, self._take, event)
        self.connection = connection  # its first events may come before create_connection returns
        beat = loop.create_task(self._beat(connection))
        try:
            async with asyncio.timeout(READY_S_MAX):
                name = host if tls is not None else None
                await loop.create_connection(lambda: connection, host, port, ssl=tls, server_hostname=name)
                await asyncio.wait((connection.closed, subscribed), return_when=asyncio.FIRST_COMPLETED)
            reason = str(await connection.closed)
            return unanswered(port, tls is not None) if reason == CLOSED and not connection.welcomed else reason
        except TimeoutError:
            return f"not connected and subscribed within {READY_S_MAX:g} s"
        except OSError as fault:
            return explain(fault, host, port, self._now_ms()) if tls is not None else str(fault)
        except ValueError as fault:  # of a host that cannot be looked up
            return f"{host!r} is no name of a host ({fault})"
        finally:
            beat.cancel()
            connection.fail("given up")
            self.connection = None
            self.ready = False
            self._malformed_topics += connection.malformed_topics
            self._changed()

    async def _beat(self, connection: Connection) -> None:
        while True:
            await asyncio.sleep(max(0.05, self.session.keepalive_s / 8))
            connection.keep_alive()

    def _event(self, event: tuple[Any, ...], connection: Connection, subscribed: "asyncio.Future[None]") -> None:
        if connection.transport is None:
            return
        if event[0] == "connected":
            # Also to a session that was kept: it costs nothing, and retained states come again after a gap.
            connection.transport.write(self.session.subscribe(self._filters))
        elif event[0] == "refused":
            connection.fail(refusal(event[1], self.session.username))
        elif event[0] == "subscribed" and not subscribed.done():
            refused = [name for (name, _), code in zip(self._filters, event[2], strict=False) if code == 128]
            if refused or len(event[2]) != len(self._filters):
                user = self.session.username or "without a user name"
                connection.fail(
                    f"the broker refused to subscribe to {', '.join(refused) or 'all filters'}; "
                    f"do its topic rules let {user} hear what devices say?"
                )
                return
            subscribed.set_result(None)
            self.ready = True
            self.fault = ""
            self._say("connected", "")
            self._changed()

    def _say(self, state: str, reason: str) -> None:
        """One line a change of state, not one a try."""
        if state == self._said:
            return
        self._said = state
        level = logging.WARNING if state == "disconnected" else logging.INFO
        logger.log(
            level, "event=%s mqtt=%s broker=%s:%d reason=%r", state, self.session.client_id, *self._address[:2], reason
        )
