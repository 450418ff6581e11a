"""Promises of wire.md, "Keeping": a node holds each reading until `kept` names it."""

from contract.wire import messages
from contract.wire.mqtt import Session
from firmware.net.link import Link
from tests.firmware.behaviour.driven import HOUR, MINUTE, NOON, Driven, last, only, seqs


def backlog(count: int) -> Driven:
    """A node that took `count` readings, one a minute, before it found the broker."""
    node = Driven("waste_bin", connected=False)
    for _ in range(count):
        node.agent.measure(node.up, {"fill_level": 0.5})
        node.up += MINUTE
    node.agent.will()
    node.agent.connected(node.up)
    return node


def test_a_reading_is_named_once_and_sent_at_once() -> None:
    node = Driven("waste_bin")
    first = last(node.measure(fill_level=0.414), "telemetry")
    assert first["stream"] == "9f3c01aa"
    assert first["boot"] == 12
    assert first["clock"] == "synced"
    assert first["readings"] == [{"seq": 1, "at": NOON, "v": {"fill_level": 0.41}}]
    node.kept(1)
    node.up += 5
    assert last(node.measure(fill_level=0.5), "telemetry")["readings"][0]["seq"] == 2


def test_a_reading_is_held_until_kept_names_it() -> None:
    node = backlog(5)
    node.step()
    assert node.agent.outbox_count == 5
    node.kept(0, also=[(2, 3)])
    assert node.agent.outbox_count == 3
    node.kept(0, also=[(5, 5)])
    node.kept(1)
    assert node.agent.outbox_count == 1, "the union of all that was heard"
    node.kept(1)
    assert node.agent.outbox_count == 1, "an older answer takes nothing back"
    node.kept(5)
    assert node.agent.outbox_count == 0


def test_kept_of_another_stream_is_not_ours() -> None:
    node = Driven("waste_bin")
    node.measure(fill_level=0.4)
    node.kept(9, stream="00000001")
    assert node.agent.outbox_count == 1
    assert node.agent.ignored == 1


def test_kept_that_breaks_the_wire_forgets_nothing_and_is_counted() -> None:
    node = Driven("waste_bin")
    node.measure(fill_level=0.4)
    said = node.tell("kept", b'{"stream":"9f3c01aa","upto":"all"}')
    assert node.agent.outbox_count == 1
    assert node.agent.bad_messages == 1
    assert last(said, "log")["event"] == "bad_kept_wrong_type"


def test_kept_that_names_what_was_never_given_out_is_not_believed_in_that() -> None:
    node = backlog(400)
    node.step()
    said = node.kept(401, also=[(1, 2), (390, 500)])
    assert node.agent.outbox_count == 398, "the range that is all its own is true"
    assert node.agent.bad_messages == 1
    assert last(said, "log")["event"] == "bad_kept_out_of_range"
    node.kept(400)
    assert node.agent.outbox_count == 0


def test_the_newest_goes_first_and_the_backlog_oldest_first_in_four_messages_at_most() -> None:
    node = backlog(400)
    sent = seqs(node.step())
    assert sent[0] == [400], "the city as it is now"
    assert sent[1] == list(range(1, 65))
    assert sent[4] == list(range(193, 257))
    assert len(sent) == 5
    assert node.agent.outbox.flying == 5
    assert seqs(node.kept(64)) == [list(range(257, 321))], "a freed place is used at once"


def test_a_live_reading_does_not_wait_for_the_backlog() -> None:
    node = backlog(400)
    node.step()
    node.kept(0, also=[(400, 400)])
    assert seqs(node.measure(fill_level=0.6)) == [[401]]
    assert seqs(node.measure(fill_level=0.6)) == [], "one live message, no more"


def test_messages_stay_within_the_wire() -> None:
    node = Driven("irrigation_valve", connected=False)
    for _ in range(200):
        node.agent.measure(node.up, {"metric_with_a_long_name_" + str(index): 123456.789 for index in range(8)})
    node.agent.connected(node.up)
    node.step()
    telemetry = [message for message in node.raw if message[0].endswith("telemetry")]
    assert len(telemetry) == 5
    for _, payload, qos, retain in telemetry:
        assert len(payload) <= messages.PAYLOAD_BYTES_MAX
        assert qos == 1
        assert not retain
    assert max(len(document["readings"]) for document in only(node.said, "telemetry")) > 10


def test_what_is_not_kept_is_sent_again_after_a_minute_doubling_to_an_hour() -> None:
    node = Driven("waste_bin")
    node.measure(fill_level=0.4)
    waits = []
    before = node.up
    for _ in range(9):
        while not seqs(node.later(1000)):
            assert node.up - before < 2 * HOUR
        waits.append(node.up - before)
        before = node.up
    expected = [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    for wait, seconds in zip(waits, expected):  # noqa: B905 - MicroPython
        assert 0.75 * seconds <= wait / 1000 <= 1.25 * seconds + 1, (waits, expected)
    assert len({wait * 1000 // seconds for wait, seconds in zip(waits, expected)}) > 3, "with jitter"  # noqa: B905
    assert {len(found) for found in seqs(node.said)} == {1}


def test_any_kept_brings_the_wait_back_to_a_minute() -> None:
    node = Driven("waste_bin")
    node.measure(fill_level=0.4)
    node.later(HOUR)
    assert seqs(node.later(10 * MINUTE)) == []
    node.kept(0)
    assert seqs(node.later(76_000)) == [[1]]


def test_resends_are_real_time_in_a_faster_city() -> None:
    node = Driven("waste_bin", link_scale=60)
    node.measure(fill_level=0.4)
    assert seqs(node.later(44 * 60_000)) == []
    assert seqs(node.later(32 * 60_000)) == [[1]]


def test_a_reading_keeps_its_content_when_it_is_sent_again() -> None:
    node = Driven("waste_bin")
    first = last(node.measure(fill_level=0.4), "telemetry")["readings"]
    node.agent.set_clock(node.up, NOON + HOUR, "synced")
    assert last(node.later(2 * MINUTE), "telemetry")["readings"] == first


def test_silence_is_not_refusal() -> None:
    node = backlog(64)
    node.step()
    said = node.later(24 * HOUR)
    assert node.agent.refused_count == 0
    assert set(map(len, seqs(said))) <= {1, 63}, "never split"


def refuse(node: Driven, bad: int) -> None:
    """One more reading, after which everything but `bad` is kept."""
    node.measure(fill_level=0.9)
    newest = node.agent.outbox.count and node.agent.measure(node.up, {"fill_level": 0.9})
    node.step()
    node.kept(bad - 1, also=[(bad + 1, newest)])


def test_a_reading_refused_is_sent_alone_then_set_aside_and_told() -> None:
    node = backlog(10)
    node.step()
    refuse(node, 4)
    assert node.agent.refused_count == 1
    assert node.agent.outbox_count == 1
    refuse(node, 4)
    assert node.agent.refused_count == 1, "the same send is refused once"
    for _ in range(5):
        node.later(80_000)  # it is sent again
        refuse(node, 4)
    assert node.agent.refused_count == 6
    assert node.agent.outbox.set_aside == 1
    assert node.agent.outbox_count == 1, "held, not forgotten"
    assert "reading_set_aside" in [document["event"] for document in only(node.said, "log")]
    node.later(2 * HOUR)
    assert seqs(node.said)[-1] == [4], "and still tried, last"
    node.kept(node.agent.measure(node.up, {}))
    assert node.agent.outbox_count == 0


def test_a_message_refused_three_times_is_sent_reading_by_reading() -> None:
    node = backlog(3)
    node.step()  # live [3], backlog [1, 2]
    for _ in range(3):
        newest = node.agent.measure(node.up, {"fill_level": 0.9})
        node.step()
        node.kept(0, also=[(3, newest)])
        said = node.later(80_000)
    assert seqs(said)[-2:] == [[1], [2]] or seqs(said)[-2:] == [[2], [1]]


def test_an_answer_to_something_older_refuses_nothing() -> None:
    node = backlog(2)
    node.step()  # live [2], then backlog [1]
    node.kept(0, also=[(2, 2)])
    assert node.agent.refused_count == 0, "[1] was sent after what this names"


def test_a_late_answer_to_something_sent_twice_refuses_nothing() -> None:
    """A platform that is slow by a minute has read no further."""
    node = backlog(2)
    node.step()
    latest = seqs(node.later(80_000))[-1]  # both were sent again by now
    node.kept(0, also=[(latest[0], latest[0])])
    assert node.agent.refused_count == 0, "it may answer the first send"


def test_a_kept_that_lists_all_it_can_proves_nothing_above_its_list() -> None:
    node = backlog(100)
    node.step()  # live [100] goes first, then [1..64], [65..99]
    node.kept(0, also=[(2 * n + 1, 2 * n + 1) for n in range(16)])
    assert node.agent.refused_count == 0


def test_deferred_is_tried_hourly_never_split_and_ends_at_once() -> None:
    node = backlog(300)
    node.step()
    node.kept(0, deferred=True)
    said = seqs(node.later(10 * HOUR))
    assert 8 <= len(said) <= 13
    assert node.agent.refused_count == 0
    node.measure(fill_level=0.9)
    assert seqs(node.kept(0, deferred=True)) == []
    said = seqs(node.kept(0))
    assert len(said) >= 4, "registered: everything that may fly flies"


def test_a_birth_that_was_deferred_does_not_hold_back_the_first_reading() -> None:
    node = Driven("waste_bin")
    node.kept(0, deferred=True)
    assert seqs(node.measure(fill_level=0.4)) == [[1]]
    assert seqs(node.kept(0, deferred=True)) == []
    assert seqs(node.measure(fill_level=0.4)) == []


def test_a_full_outbox_sheds_ordinary_readings_first_and_says_so_by_oldest() -> None:
    node = Driven("street_light", connected=False, outbox_max=8)
    for index in range(20):
        if index in (3, 12):
            node.agent.interlock(node.up, "level", index == 3, "overheat")
        node.agent.measure(node.up, {"power_w": 60.0})
        node.up += MINUTE
    assert node.agent.outbox_count == 8
    assert node.agent.shed_count == 12
    node.agent.connected(node.up)
    said = node.step()
    held = sorted(seq for found in seqs(said) for seq in found)
    assert held == [4, 13, 15, 16, 17, 18, 19, 20], "changes of the output (4 and 13) outlive ordinary readings"
    assert last(said, "telemetry")["oldest"] == 4
    node.kept(0, also=[(4, 4), (13, 13), (20, 20)])
    assert last(node.measure(power_w=60.0), "telemetry")["oldest"] == 15, "what is below it and never came is gone"
    assert "outbox_full" in [document["event"] for document in only(node.said, "log")]


def test_output_changes_are_shed_when_nothing_else_is_left() -> None:
    node = Driven("street_light", connected=False, outbox_max=3)
    for index in range(9):
        node.agent.interlock(node.up, "level", index % 2 == 0, "overheat")
        node.agent.measure(node.up, {})
    assert node.agent.outbox_count == 3
    assert node.agent.outbox.oldest == 7


def reconnect(node: Driven) -> None:
    """The connection is lost, an hour goes by, and it stands again."""
    node.agent.disconnected(node.up)
    assert node.later(HOUR) == [], "nothing is said without a connection"
    node.agent.will()
    node.agent.connected(node.up)


def test_after_a_reconnect_birth_comes_first_and_the_unkept_within_seconds() -> None:
    node = backlog(3)
    node.step()
    reconnect(node)
    said = node.step()
    assert [channel for channel, _ in said] == ["status", "telemetry"], "its answer tells what arrived"
    assert seqs(said) == [[3]], "what dates the others does not wait"
    assert seqs(node.later(7000)) == [[1, 2]], "the broker may have died with what it had acknowledged"


def test_the_newest_goes_first_after_a_reconnect_too_when_an_older_live_one_was_lost() -> None:
    node = Driven("waste_bin", None)
    node.measure(fill_level=0.5)
    node.agent.disconnected(node.up)
    for _ in range(100):
        node.up += MINUTE
        node.agent.measure(node.up, {"fill_level": 0.5})
    reconnect(node)
    assert seqs(node.step()) == [[101], list(range(2, 66)), list(range(66, 101))]
    assert seqs(node.later(7000)) == [[1]]


class Board:
    """No more of a board than a link asks for before it starts."""

    def up_ms(self) -> int:
        return 0


def test_telemetry_is_sent_again_by_the_outbox_alone_not_by_the_mqtt_session_before_it() -> None:
    session = Session("node-1")
    session.connect(0)
    session.feed(b"\x20\x02\x00\x00", 0)
    link = Link(session, "127.0.0.1", 1883, Board(), None, None)
    link.publish("nabd/1/node-1/telemetry", b"hours old", 1, False)
    link.publish("nabd/1/node-1/result", b"an answer", 1, False)
    session.connect(0)
    session.feed(b"\x20\x02\x01\x00", 0)
    resent = session.resend()
    assert b"an answer" in resent
    assert b"hours old" not in resent


def test_the_newest_goes_first_when_a_deferral_ends() -> None:
    node = Driven("waste_bin", None)
    node.measure(fill_level=0.5)
    node.kept(0, deferred=True)
    for _ in range(3):
        node.measure(fill_level=0.5)
    assert seqs(node.kept(0)) == [[4], [1], [2, 3]]


def test_unknown_is_absent_never_zero() -> None:
    node = Driven("waste_bin")
    values = last(node.measure(fill_level=None, temperature_c=float("nan"), tilt_deg=0.0, lid_open=0), "telemetry")
    assert values["readings"][0]["v"] == {"tilt_deg": 0.0, "lid_open": False}


def test_the_period_is_kept_from_a_phase_of_its_own() -> None:
    node = Driven("waste_bin")
    taken = []  # type: list[int]
    while len(taken) < 5:
        if node.agent.reading_due(node.up):
            node.measure(fill_level=0.5)
            node.kept(node.agent.outbox.oldest)
            taken.append(node.up)
        node.up += max(1, node.agent.next_ms(node.up))
    gaps = [taken[index + 1] - taken[index] for index in range(4)]
    assert gaps[0] < HOUR
    assert set(gaps[1:]) == {HOUR}
    other = Driven("waste_bin", device="node-2")
    other.measure(fill_level=0.5)
    assert other.agent.next_ms(other.up) != gaps[0], "a fleet switched on at once spreads"
