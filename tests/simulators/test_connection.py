"""A device's connection, without a network: what it writes, what it survives, when it gives up."""

import asyncio
from itertools import pairwise
from random import Random
from typing import Any, cast

import pytest

from contract.wire.packets import PUBLISH, SUBSCRIBE
from simulators.connection import IN_FLIGHT_MAX, Connection
from simulators.opening import OPENING_MAX, Opener

CONNACK = b"\x20\x02\x00\x00"
CONNACK_RESUMED = b"\x20\x02\x01\x00"
SUBACK = b"\x90\x03\x00\x01\x01"
SUBACK_REFUSED = b"\x90\x03\x00\x01\x80"
WILL = ("nabd/1/lamp-1/status", b'{"online":false}', 1, True)


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False
        self.waiting = 0

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Owner:
    """A connection with a clock in its hand."""

    def __init__(self) -> None:
        self.now_ms = 5_000
        self.ups = self.losses = 0
        self.heard: list[tuple[str, bytes]] = []
        self.connection = Connection(
            "lamp-1",
            [("nabd/1/lamp-1/lease", 1)],
            will=lambda: WILL,
            on_up=self._up,
            on_lost=self._lost,
            on_message=lambda topic, payload: self.heard.append((topic, payload)),
            now_ms=lambda: self.now_ms,
            chance=Random(1),
        )

    def connect(self, connack: bytes = CONNACK) -> Wire:
        wire = Wire()
        self.connection.connection_made(cast(asyncio.Transport, wire))
        self.connection.data_received(connack)
        return wire

    def lose(self) -> None:
        self.connection.connection_lost(None)

    def _up(self) -> None:
        self.ups += 1

    def _lost(self) -> None:
        self.losses += 1


def test_it_brings_its_name_and_will_and_subscribes_before_it_is_up() -> None:
    owner = Owner()
    wire = owner.connect()
    assert b"lamp-1" in wire.written
    assert WILL[1] in wire.written
    assert bytes((SUBSCRIBE,)) in wire.written
    assert (owner.ups, owner.connection.up, owner.connection.room) == (1, True, IN_FLIGHT_MAX)


def test_a_resumed_session_is_not_subscribed_again_and_what_is_unacknowledged_goes_out_again_but_for_telemetry() -> (
    None
):
    owner = Owner()
    owner.connect().written = b""
    owner.connection.data_received(SUBACK)
    owner.connection.publish([(f"nabd/1/lamp-1/{channel}", b"{}", 1, False) for channel in ("telemetry", "result")])
    owner.lose()
    wire = owner.connect(CONNACK_RESUMED)
    assert b"nabd/1/lamp-1/lease" not in wire.written
    assert b"nabd/1/lamp-1/telemetry" not in wire.written, "the outbox sends that again, the newest first"
    assert bytes((PUBLISH | 2 | 8,)) in wire.written
    assert owner.connection.room == IN_FLIGHT_MAX - 1


def test_a_session_the_broker_lost_is_subscribed_anew() -> None:
    owner = Owner()
    owner.connect()
    owner.connection.data_received(SUBACK)
    owner.lose()
    assert b"nabd/1/lamp-1/lease" in owner.connect(CONNACK).written


def test_a_message_of_qos_1_is_acknowledged_after_it_was_handed_over() -> None:
    owner = Owner()
    wire = owner.connect()
    wire.written = b""
    topic = b"nabd/1/lamp-1/lease"
    body = len(topic).to_bytes(2, "big") + topic + b"\x00\x09" + b"hello"
    owner.connection.data_received(bytes((0x32, len(body))) + body)
    assert owner.heard == [(topic.decode(), b"hello")]
    assert wire.written == b"\x40\x02\x00\x09"


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x05", b"\xff\xff\xff\xff\xff", b"\x30\x00"])
def test_a_refusal_or_nonsense_ends_the_connection_and_says_why(answer: bytes) -> None:
    owner = Owner()
    wire = owner.connect(answer)
    assert wire.aborted
    assert (owner.ups, owner.connection.up, owner.connection.room) == (0, False, 0)
    assert owner.connection.faults == 1
    assert owner.connection.last_fault
    owner.lose()
    assert owner.losses == 1


def test_a_subscription_that_is_refused_is_a_failure_and_is_asked_for_again_at_the_next_connection() -> None:
    owner = Owner()
    for _ in range(9):
        owner.connection.wait_s()
    wire = owner.connect()
    owner.connection.data_received(SUBACK_REFUSED)
    assert wire.aborted
    assert not owner.connection.up
    assert "refused a subscription" in owner.connection.last_fault
    assert owner.connection.wait_s() >= 15.0
    owner.lose()
    assert b"nabd/1/lamp-1/lease" in owner.connect(CONNACK_RESUMED).written


def test_a_silent_broker_is_left_after_one_and_a_half_keepalives() -> None:
    owner = Owner()
    wire = owner.connect()
    owner.now_ms += 60_000
    owner.connection.keepalive()
    still_there = not wire.aborted
    owner.now_ms += 31_000
    owner.connection.keepalive()
    assert still_there
    assert wire.aborted
    assert owner.connection.room == 0


def test_a_broker_that_does_not_read_is_left() -> None:
    owner = Owner()
    wire = owner.connect()
    wire.waiting = 10**6
    owner.connection.publish([("nabd/1/lamp-1/telemetry", b"{}", 1, False)])
    assert wire.aborted


def test_waits_double_with_jitter_up_to_the_longest_and_start_again_after_a_success() -> None:
    owner = Owner()
    waits = [owner.connection.wait_s() for _ in range(12)]
    for index, wait in enumerate(waits):
        nominal = min(0.5 * 2**index, 30.0)
        assert 0.5 * nominal <= wait <= 1.5 * nominal
    owner.connect()
    owner.connection.data_received(SUBACK)
    assert owner.connection.wait_s() <= 0.75


# ------------------------------------------------------------------------------------------------------------ opening


class NoClock:
    speed = 1.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0


def test_connections_are_opened_at_the_rate_allowed_and_a_pause_earns_no_burst() -> None:
    async def main() -> list[int]:
        ended: list[Any] = []
        opener = Opener(NoClock(), "127.0.0.1", 1, 100.0, None, ended.append)
        owners = [Owner() for _ in range(OPENING_MAX)]
        for owner in owners:
            opener.ask(owner.connection)
        begun = []
        for now_s in (1_000.0, 1_000.05, 1_000.05, 1_000.1, 2_000.0):
            assert opener.open_some(now_s) > 0.0
            begun.append(sum(not owner.connection.planned for owner in owners))
        await opener.close()
        return begun

    begun = asyncio.run(main())
    assert begun[0] <= 11
    assert [after - before for before, after in pairwise(begun)] == [5, 0, 5, 11]


def test_attempts_that_fail_are_counted_and_told() -> None:
    async def main() -> None:
        ended: list[Connection] = []
        opener = Opener(NoClock(), "127.0.0.1", 1, 1_000.0, None, ended.append)
        owner = Owner()
        opener.ask(owner.connection)
        opener.open_some(0.0)
        for _ in range(200):
            if ended:
                break
            await asyncio.sleep(0.01)
        assert ended == [owner.connection]
        assert opener.failed == 1
        opener.check()
        await opener.close()

    asyncio.run(main())
