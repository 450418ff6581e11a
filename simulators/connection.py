"""One device's own MQTT connection: the house's session on an asyncio transport.

Theory of operation. A Connection lives as long as its device and is the protocol of one socket after another:

    down ──opening()──▶ opening ──connection_made──▶ greeting ──CONNACK──▶ up
     ▲                     │ refused by the network     │ refused, fault      │ lost
     └─────────────────────┴────────────────────────────┴─────────────────────┘

It subscribes before it says `up`, so that the answer to a birth cannot be missed; with a session that the broker still
has, nothing is subscribed again. A subscription that is refused ends the connection: it would hear no `kept`. The
session is persistent (clean=False): leases sent while the device was away wait. Whoever owns it opens the socket and
decides when to try again; `wait_s` says how long it should wait.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import cast

from contract.wire import topics
from contract.wire.mqtt import Session
from contract.wire.packets import ProtocolFault

Message = tuple[str, bytes, int, bool]
IN_FLIGHT_MAX = 20
WRITE_BUFFER_MAX = 262_144  # bytes the network has not taken: a peer that does not read is as good as dead


class Connection(asyncio.Protocol):
    """See the head of this file. Everything runs on the loop's thread."""

    def __init__(
        self,
        client_id: str,
        subscriptions: Sequence[tuple[str, int]],
        *,
        will: Callable[[], Message],
        on_up: Callable[[], None],
        on_lost: Callable[[], None],
        on_message: Callable[[str, bytes], None],
        now_ms: Callable[[], int],
        chance: Random,
        password: str | None = None,
        keepalive_s: int = 60,
        backoff_s: tuple[float, float] = (0.5, 30.0),
    ) -> None:
        """`will` is asked before each connection. `now_ms` is real monotonic time. `on_lost` is
        called whenever a socket is gone, whether it was ever up or not.

        `backoff_s`: the first wait after a failure and the longest; it doubles between, with jitter from `chance`.
        """
        self.session = Session(
            client_id,
            keepalive_s=keepalive_s,
            username=client_id,
            password=password,
            clean=False,
            in_flight_max=IN_FLIGHT_MAX,
        )
        self._subscriptions = list(subscriptions)
        self._subscribed = False
        self._will = will
        self._on_up = on_up
        self._on_lost = on_lost
        self._on_message = on_message
        self._now_ms = now_ms
        self._chance = chance
        self._backoff_s = backoff_s
        self._failures = 0
        self._transport: asyncio.Transport | None = None
        self._up = False
        self.planned = False  # somebody is going to open it: nobody else needs to
        self.connects = 0
        self.faults = 0  # connections ended because a peer broke the protocol, refused us or was dead
        self.last_fault = ""

    @property
    def up(self) -> bool:
        """Connected, subscribed and free to publish."""
        return self._up

    @property
    def open(self) -> bool:
        """There is a socket."""
        return self._transport is not None

    @property
    def room(self) -> int:
        """How many messages can be published now."""
        return IN_FLIGHT_MAX - self.session.in_flight if self._up else 0

    def wait_s(self) -> float:
        """Real seconds to wait before the next try: doubling, each within half of itself, so that a fleet spreads."""
        first, longest = self._backoff_s
        wait = min(first * 2.0 ** min(self._failures, 16), longest)
        self._failures += 1
        return wait * self._chance.uniform(0.5, 1.5)

    def publish(self, messages: Sequence[Message]) -> None:
        """Write them all; at most `room` of them. The caller sees to it that the connection is up."""
        if messages:
            self._write(b"".join(self._packet(*message) for message in messages))

    def _packet(self, topic: str, payload: bytes, qos: int, retain: bool) -> bytes:
        again = not topic.endswith(
            "/" + topics.TELEMETRY
        )  # that its outbox sends again, the newest first, as a node's does
        return self.session.publish(topic, payload, qos, retain, again)[1]

    def keepalive(self) -> None:
        """Call every few seconds: pings when due, and ends a connection on which the broker is silent."""
        try:
            ping = self.session.keepalive(self._now_ms())
        except ProtocolFault as fault:
            self._fail(str(fault))
        else:
            if ping is not None:
                self._write(ping)

    def cut(self) -> None:
        """End the connection as a power cut does: without a farewell, so that the broker publishes the will."""
        self._up = False
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.session.will = self._will()
        self._write(self.session.connect(self._now_ms()))

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        try:
            events = self.session.feed(data, self._now_ms())
        except ProtocolFault as fault:
            self._fail(str(fault))
            return
        for event in events:
            if event[0] == "message":
                _, topic, payload, qos, _, packet_id, _ = event
                self._on_message(topic, payload)
                if qos:
                    self._write(self.session.acknowledge(packet_id))
            elif event[0] == "connected":
                self._greeted(event[1])
            elif event[0] == "subscribed":
                if 128 in event[2]:
                    self._fail("the broker refused a subscription; does its access list let this device in?")
                    return
                self._subscribed = True
                self._failures = 0
            elif event[0] == "refused":
                self._fail(f"the broker refused the connection with code {event[1]}")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._up = False
        self._on_lost()

    # ---- details

    def _greeted(self, session_present: bool) -> None:
        if session_present and self._subscribed:
            self._failures = 0
        else:
            self._subscribed = False
            self._write(self.session.subscribe(self._subscriptions))
        self._write(self.session.resend())
        self.connects += 1
        self._up = True
        self._on_up()

    def _write(self, data: bytes) -> None:
        if not data or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > WRITE_BUFFER_MAX:
            self._fail(f"the broker does not read: more than {WRITE_BUFFER_MAX} bytes wait")

    def _fail(self, sentence: str) -> None:
        self.faults += 1
        self.last_fault = sentence
        self.cut()
