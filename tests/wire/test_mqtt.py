"""The session across connections: bounded, honest about time, nothing acknowledged that was not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.wire import packets
from contract.wire.mqtt import NotConnected, Session, SessionFull
from contract.wire.packets import ProtocolFault

CONNACK = b"\x20\x02\x00\x00"
RESUMED = b"\x20\x02\x01\x00"
PINGREQ = b"\xc0\x00"
STARTS = [0, -5, 10**15, 2**30 - 1]


def online(session: Session, now_ms: int = 0, connack: bytes = CONNACK) -> Session:
    session.connect(now_ms)
    assert session.feed(connack, now_ms) == [("connected", connack == RESUMED)]
    return session


def test_publishes_are_held_until_acknowledged_and_refused_beyond_the_bound() -> None:
    session = online(Session("lamp-1", in_flight_max=2))
    first, _ = session.publish("a", b"1", 1)
    session.publish("a", b"2", 1)
    with pytest.raises(SessionFull):
        session.publish("a", b"3", 1)
    assert (session.in_flight, session.refused) == (2, 1)
    session.publish("a", b"qos 0 needs no room")
    assert session.feed(b"\x40\x02" + first.to_bytes(2, "big"), 0) == [("acked", first)]
    assert session.in_flight == 1
    session.publish("a", b"3", 1)


def test_a_resumed_session_repeats_in_order_as_duplicates_once() -> None:
    session = online(Session("lamp-1"))
    one = session.publish("a", b"1", 1)[1]
    two = session.publish("a", b"2", 1)[1]
    online(session, connack=RESUMED)
    assert session.resend() == bytes((one[0] | 8,)) + one[1:] + bytes((two[0] | 8,)) + two[1:]
    assert session.resend() == b""


def test_a_new_session_at_the_broker_gets_them_as_new() -> None:
    session = online(Session("lamp-1"))
    one = session.publish("a", b"1", 1)[1]
    online(session)
    assert session.resend() == one


def test_what_is_published_on_the_new_connection_is_not_resent_on_it() -> None:
    session = online(Session("lamp-1"))
    online(session)
    session.publish("a", b"1", 1)
    assert session.resend() == b""


def test_what_its_owner_sends_anew_takes_room_until_acknowledged_and_is_forgotten_with_the_connection() -> None:
    session = online(Session("lamp-1", in_flight_max=2))
    first, _ = session.publish("a", b"1", 1, again=False)
    two = session.publish("a", b"2", 1)[1]
    assert session.in_flight == 2
    session.feed(b"\x40\x02" + first.to_bytes(2, "big"), 0)
    session.publish("a", b"3", 1, again=False)
    online(session)
    assert (session.in_flight, session.resend()) == (1, two)


def test_packet_ids_skip_those_still_in_use_and_never_become_zero() -> None:
    session = online(Session("lamp-1"))
    kept, _ = session.publish("a", b"held for long", 1)
    seen = set()
    for _ in range(65540):
        packet_id, _ = session.publish("a", b"", 1)
        session.feed(b"\x40\x02" + packet_id.to_bytes(2, "big"), 0)
        seen.add(packet_id)
    assert seen == set(range(1, 65536)) - {kept}


def test_nobody_publishes_or_subscribes_without_a_connection() -> None:
    session = Session("lamp-1")
    with pytest.raises(NotConnected):
        session.publish("a", b"1", 1)
    session.connect(0)
    with pytest.raises(NotConnected):
        session.subscribe([("a", 1)])
    session.feed(b"\x20\x02\x00\x05", 0)
    with pytest.raises(NotConnected):
        session.publish("a", b"1")
    assert session.in_flight == 0


@pytest.mark.parametrize("start", STARTS)
def test_a_ping_is_due_every_three_quarters_of_the_keep_alive_whatever_the_clock_begins_with(start: int) -> None:
    session = online(Session("lamp-1", keepalive_s=60), start)
    assert session.keepalive(start + 44_999) is None
    assert session.keepalive(start + 45_000) == PINGREQ
    assert session.keepalive(start + 45_001) is None
    session.feed(b"\xd0\x00", start + 45_050)
    assert session.keepalive(start + 90_000) == PINGREQ


@pytest.mark.parametrize("start", STARTS)
def test_a_silent_peer_is_dead_after_one_and_a_half_keep_alives(start: int) -> None:
    session = online(Session("lamp-1", keepalive_s=60), start)
    session.keepalive(start + 90_000)
    with pytest.raises(ProtocolFault, match="nothing was heard"):
        session.keepalive(start + 90_001)
    assert session.keepalive(start + 90_002) is None  # it is offline now


def test_a_peer_that_never_answers_the_connect_is_dead_too() -> None:
    session = Session("lamp-1", keepalive_s=10)
    session.connect(0)
    assert session.keepalive(14_000) is None
    with pytest.raises(ProtocolFault):
        session.keepalive(15_001)


def test_a_keep_alive_of_zero_is_none() -> None:
    session = online(Session("lamp-1", keepalive_s=0))
    assert session.keepalive(10**9) is None


def test_what_stood_before_a_fault_is_not_lost_and_the_next_call_raises() -> None:
    session = online(Session("lamp-1"))
    good = packets.encode_publish("a", b"1", 1, False, 9)
    assert session.feed(good + b"\x00\x00", 0) == [("message", "a", b"1", 1, False, 9, False)]
    with pytest.raises(ProtocolFault):
        session.keepalive(1)
    session.connect(2)
    assert session.feed(CONNACK, 2) == [("connected", False)]


def test_half_a_packet_of_a_broken_connection_does_not_reach_the_next() -> None:
    session = online(Session("lamp-1"))
    session.feed(packets.encode_publish("a", b"12345", 0, False, 0)[:6], 0)
    online(session)
    assert session.feed(packets.encode_publish("a", b"1", 0, False, 0), 0) == [
        ("message", "a", b"1", 0, False, 0, False)
    ]


@pytest.mark.parametrize("piece", [1, 100, 1000, 100000])
def test_an_oversized_publish_comes_cut_is_counted_and_the_next_packet_is_whole(piece: int) -> None:
    session = online(Session("lamp-1", packet_bytes_max=8192 + 256))
    data = packets.encode_publish("a", b"x" * 50_000, 1, False, 3) + packets.encode_publish("b", b"next", 0, False, 0)
    events = []
    for start in range(0, len(data), piece):
        events += session.feed(data[start : start + piece], 0)
    assert [(event[1], event[5]) for event in events] == [("a", 3), ("b", 0)]
    assert 8192 < len(events[0][2]) <= 8192 + 256
    assert session.oversized == 1


def test_the_buffer_never_grows_beyond_the_largest_packet() -> None:
    session = online(Session("lamp-1", packet_bytes_max=1000))
    head = b"\x30" + packets.encode_length(200_000_000) + b"\x00\x01a"
    session.feed(head, 0)
    for _ in range(100):
        session.feed(b"x" * 999, 0)
        assert len(session._buffer) <= 1000


def test_the_owner_may_use_its_read_buffer_again() -> None:
    session = online(Session("lamp-1"))
    packet = packets.encode_publish("a", b"payload", 0, False, 0)
    buffer = bytearray(packet[:6])
    session.feed(buffer, 0)
    buffer[:] = b"\x00" * 6
    assert session.feed(packet[6:], 0) == [("message", "a", b"payload", 0, False, 0, False)]


def test_a_clean_session_that_is_resumed_is_a_fault() -> None:
    session = Session("lamp-1", clean=True)
    session.connect(0)
    with pytest.raises(ProtocolFault):
        session.feed(RESUMED, 0)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_raise_anything_but_a_protocol_fault(data: bytes, piece: int) -> None:
    session = online(Session("lamp-1", packet_bytes_max=128))
    try:
        for start in range(0, len(data), piece):
            session.feed(data[start : start + piece], 0)
    except ProtocolFault:
        assert not session.online


@given(st.integers(0, packets.LENGTH_MAX))
def test_a_length_is_read_as_it_was_written(length: int) -> None:
    packet = b"\x30" + packets.encode_length(length)
    assert packets.frame(packet, 0, len(packet)) == (len(packet), len(packet) + length)
    assert all(packets.frame(packet, 0, stop) is None for stop in range(1, len(packet)))


@pytest.mark.parametrize("length", [-1, packets.LENGTH_MAX + 1])
def test_a_length_beyond_the_protocol_is_the_callers_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        packets.encode_length(length)


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "x" * 65536])
def test_topics_that_nobody_can_publish_to_are_the_callers_mistake(topic: str) -> None:
    with pytest.raises(ValueError, match="cannot be published to"):
        packets.encode_publish(topic, b"", 0, False, 0)


def test_settings_that_mqtt_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="keepalive_s"):
        Session("a", keepalive_s=65536)
    with pytest.raises(ValueError, match="in_flight_max"):
        Session("a", in_flight_max=0)
    with pytest.raises(ValueError, match="password"):
        Session("a", password="secret")
