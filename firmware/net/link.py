"""One MQTT connection over asyncio streams: connects, keeps alive, comes back, and stops without leaving anything.

Theory of operation. `run()` is one task: it connects, reads, and beats once a second; on any fault it closes, waits
(doubling from 0.25 s to 10 s, with jitter, from the start again after a connection that stood) and connects anew. A
second task, alive only while a socket is, writes what stands in `_out`: nobody else writes to the socket, for two
tasks draining one stream would send its bytes twice, and nobody waits for a write, for a dead peer must not keep a
valve from closing.

    down ──socket, CONNACK──▶ greeting ──SUBACK──▶ up        any fault, or no CONNACK and SUBACK within 10 s ──▶ down

Runs on MicroPython (ESP32 and unix port). Resolving a name blocks there: give an address, or live with it.
"""

import asyncio
import gc

from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import REFUSALS, ProtocolFault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ECONNRESET = 104
CONNECT_MS = 10000
BEAT_MS = 1000
BACKOFF_FIRST_MS = 250
BACKOFF_LAST_MS = 10000
STOP_MS = 1000
READ_BYTES = 512
OUT_BYTES_MAX = 1024  # unsent, beyond which the agent is asked for nothing more: one full message at a time in memory
ROOM_MAX = 8


class Link:
    """`owner`: will(), subscriptions(), link_up(), link_down(why), link_message(topic, payload),
    link_room(), link_remark(event)."""

    def __init__(
        self, session: Session, host: str, port: int, board: "Any", owner: "Any", chance: "Any", tls: "Any" = None
    ) -> None:
        """`tls`: a firmware.net.tls.Tls, or None for plain text."""
        self._session = session
        self._host = host
        self._port = port
        self._board = board
        self._owner = owner
        self._chance = chance
        self._tls = tls
        self._verdict = None  # type: Any  # what the handshake said of the broker's certificate, if it was no good
        self._out = b""
        self._unsent = 0  # bytes that the socket was given and has not taken
        self._wanted = asyncio.Event()  # something stands in _out
        self._stopping = False
        self._task = None  # type: Any
        self.up = False
        self.connects = 0
        self.moved_ms = board.up_ms()  # when this task last went round

    def start(self) -> None:
        self._task = asyncio.create_task(self.run())

    @property
    def room(self) -> int:
        """How many messages `publish` takes now."""
        if not self.up or len(self._out) + self._unsent > OUT_BYTES_MAX:
            return 0
        return min(ROOM_MAX, self._session.in_flight_max - self._session.in_flight)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """Queue one message; at most `room` of them."""
        # The outbox sends telemetry again itself, the newest first; the session would put what is hours old before it.
        _, packet = self._session.publish(topic, payload, qos, retain, not topic.endswith("/" + topics.TELEMETRY))
        self._write(packet)

    async def stop(self) -> None:
        """Say good-bye (the broker then publishes no will), close, and leave no task and no socket."""
        self._stopping = True
        if self.up:
            self._write(self._session.disconnect())
            for _ in range(STOP_MS // 20):
                if not self._out and not self._unsent:
                    break
                await asyncio.sleep(0.02)
        task = self._task
        if task is not None:
            self._task = None
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
        for _ in range(3):  # what it cancelled in its turn ends too: the pump, the timer of a read
            await asyncio.sleep(0)

    async def run(self) -> None:
        wait_ms = BACKOFF_FIRST_MS
        while not self._stopping:
            stood = self.connects
            self.moved_ms = self._board.up_ms()
            try:
                await self._serve()
                why = "stopped"
            except asyncio.TimeoutError:
                why = "no connection within %d ms" % CONNECT_MS
            except ProtocolFault as fault:
                why = str(fault)
            except MemoryError:
                gc.collect()
                why = "out of memory"
            except OSError as fault:
                why = "%s (%s)" % (fault, self._host)
                if self._verdict is not None:
                    why = self._tls.explain(self._verdict)
                elif fault.errno == ECONNRESET and not self._session.online:
                    why = self._nobody()
            if self._stopping:
                return
            self._owner.link_down(why)
            if self.connects != stood:
                wait_ms = BACKOFF_FIRST_MS
            await asyncio.sleep(self._chance.around(wait_ms) / 1000)
            wait_ms = min(2 * wait_ms, BACKOFF_LAST_MS)

    async def _serve(self) -> None:
        """One connection, until it ends. Raises OSError, TimeoutError or ProtocolFault."""
        network = self._board.network
        if network is not None and not await network.ready():
            raise OSError("no network")
        self._verdict = None
        session = self._session
        session.will = self._owner.will()
        # The first connection of a boot forgets the broker's session: it says what was delivered to a node that forgot
        # it, and a broker that resumes a session need not send a retained lease again (rumqttd does not).
        session.clean = self.connects == 0
        reader, writer = await asyncio.wait_for(self._open(), CONNECT_MS / 1000)
        began_ms = self._board.up_ms()
        self._out = session.connect(began_ms)
        self._wanted.set()
        pump = asyncio.create_task(self._pump(writer))
        try:
            while not self._stopping:
                try:
                    data = await asyncio.wait_for(reader.read(READ_BYTES), BEAT_MS / 1000)
                except asyncio.TimeoutError:
                    data = None
                except ValueError as fault:
                    self._verdict = fault
                    raise OSError("certificate refused")  # noqa: B904 - MicroPython
                if data == b"":
                    # A refused connection reads as an end here: the port tells no difference.
                    raise OSError("closed by the broker" if session.online else self._nobody())
                self.moved_ms = now_ms = self._board.up_ms()
                for event in session.feed(data, now_ms) if data else ():
                    self._handle(event)
                self._write(session.keepalive(now_ms))
                if not self.up and now_ms - began_ms > CONNECT_MS:
                    raise asyncio.TimeoutError
                if pump.done():
                    raise OSError("the broker takes nothing")
        finally:
            self.up = False
            self._out = b""
            self._unsent = 0
            pump.cancel()
            writer.close()
            await _quietly(writer.wait_closed())

    def _open(self) -> "Any":
        if self._tls is None:
            return asyncio.open_connection(self._host, self._port)
        return asyncio.open_connection(self._host, self._port, ssl=self._tls.context(), server_hostname=self._tls.name)

    def _nobody(self) -> str:
        return "no broker on port %d%s" % (self._port, "" if self._tls else " without TLS")

    def _handle(self, event: "tuple[Any, ...]") -> None:
        session = self._session
        what = event[0]
        if what == "message":
            _, topic, payload, qos, retain, packet_id, _ = event
            if retain and topic.endswith("/" + topics.CALL):
                self._owner.link_remark("retained_call")  # it would be done again at each connection: not obeyed
            else:
                self._owner.link_message(topic, payload)
            if qos:
                self._write(session.acknowledge(packet_id))
        elif what == "connected":
            self._write(session.subscribe(self._owner.subscriptions()))
            self._write(session.resend())
        elif what == "subscribed":
            if 128 in event[2]:
                raise ProtocolFault("the broker refused a subscription; does its access list let this device in?")
            self.up = True
            self.connects += 1
            self._owner.link_up()
        elif what == "refused":
            raise ProtocolFault("the broker refused the connection: %s" % REFUSALS.get(event[1], "code %d" % event[1]))
        elif what == "acked":
            self._owner.link_room()

    def _write(self, data: "bytes | None") -> None:
        if data:
            self._out += data
            self._wanted.set()

    async def _pump(self, writer: "Any") -> None:
        """Write what stands in _out, for as long as the socket lives."""
        try:
            while True:
                await self._wanted.wait()
                self._wanted.clear()
                while self._out:
                    data = self._out
                    self._out = b""
                    self._unsent = len(data)
                    writer.write(data)
                    await writer.drain()
                    self._unsent = 0
        except ValueError as fault:  # the handshake goes on while its first bytes are written: it may fail here,
            self._verdict = fault  # and only here with a reason; the reader is told that it failed
        except OSError:
            pass  # the reader sees it too, and says why


async def _quietly(awaitable: "Any") -> None:
    try:
        await awaitable
    except (OSError, ValueError):
        pass
