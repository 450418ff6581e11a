"""Promises of wire.md, "Time", and of the node's own schedule."""

from contract.wire import messages
from firmware.core.schedule import Schedule, ScheduleFault
from tests.firmware.behaviour.driven import HOUR, MINUTE, NOON, SCHEDULE, Driven, last, only, seqs


def test_without_a_clock_readings_carry_the_time_since_boot() -> None:
    node = Driven("waste_bin", None)
    node.up = 41_000
    message = last(node.measure(fill_level=0.2), "telemetry")
    assert message["clock"] == "none"
    assert message["readings"] == [{"seq": 1, "up": 41_000, "v": {"fill_level": 0.2}}]
    assert "at" not in last(node.said, "status")


def test_one_message_has_readings_of_one_clock_and_none_is_dated_afterwards() -> None:
    node = Driven("waste_bin", None, connected=False)
    for index in range(6):
        if index == 3:
            node.agent.set_clock(node.up, NOON, "synced")
        node.agent.measure(node.up, {})
    node.agent.connected(node.up)
    clocks = {}
    for message in only(node.step(), "telemetry"):
        for reading in message["readings"]:
            clocks[reading["seq"]] = (message["clock"], "up" in reading, "at" in reading)
    assert [clocks[seq] for seq in range(1, 7)] == [("none", True, False)] * 3 + [("synced", False, True)] * 3


def test_it_asks_until_it_is_answered_and_takes_half_the_round_trip() -> None:
    node = Driven("waste_bin", None)
    nonces = [document["nonce"] for document in only(node.said, "time")]
    assert len(nonces) == 1
    nonces += [document["nonce"] for document in only(node.later(HOUR), "time")]
    assert 8 <= len(nonces) <= 20
    assert len(set(nonces)) == len(nonces), "asked again, and less and less often"
    while not only(node.step(), "time"):
        node.up += 1000
    nonce = last(node.said, "time")["nonce"]
    node.up += 300
    node.tell("now", messages.now(nonce - 1, NOON))
    assert node.agent.unix_ms(node.up) is None, "an answer to an older question says nothing"
    node.tell("now", messages.now(nonce, NOON))
    assert node.agent.unix_ms(node.up) == NOON + 150
    node.tell("now", messages.now(nonce, NOON + HOUR))
    assert node.agent.unix_ms(node.up) == NOON + 150, "one answer a question"


def test_an_answer_that_took_too_long_or_is_no_time_is_not_believed() -> None:
    node = Driven("waste_bin", None)
    node.up += 2000
    nonce = last(node.said, "time")["nonce"]
    node.tell("now", messages.now(nonce, 1000))
    assert node.agent.unix_ms(node.up) is None
    node.up += 31_000
    node.agent.received(node.up, "nabd/1/node-1/now", messages.now(nonce, NOON))
    assert node.agent.unix_ms(node.up) is None


def test_a_clock_is_synced_for_a_day_then_held_and_asked_for_before() -> None:
    node = Driven("waste_bin", connected=False)
    assert node.agent.clock.quality(node.up + 24 * HOUR) == "synced"
    assert node.agent.clock.quality(node.up + 24 * HOUR + 1) == "held"
    node = Driven("waste_bin")
    assert only(node.said, "time") == [], "set already"
    asked = only(node.later(24 * HOUR), "time")
    assert asked, "before it is held"
    node.agent.set_clock(node.up, NOON, "held")
    assert node.agent.clock.quality(node.up) == "held", "a source that has run on alone makes no synced clock"


def test_the_schedule_rules_when_nobody_else_does() -> None:
    node = Driven("street_light", NOON)
    assert node.agent.output("level") == 0.0
    assert node.agent.by("level") == "schedule", "daylight"
    levels = []  # type: list[tuple[int, float]]
    for _ in range(24 * 4):
        node.later(15 * MINUTE)
        if not levels or levels[-1][1] != node.agent.output("level"):
            levels.append((node.unix - NOON, node.agent.output("level")))
    assert [level for _, level in levels] == [0.0, 1.0, 0.7, 0.5, 0.7, 0.0]
    hours = [since / HOUR for since, _ in levels[1:]]
    assert hours[1:4] == [9.5, 11.5, 16.5], "22:30, 00:30 and 05:30 in Berkane, from noon UTC"
    assert hours[0] == 5.0
    assert hours[4] == 19.0, "sunset at 16:54 and sunrise at 06:57 UTC, seen every quarter"


def test_a_change_of_the_schedule_is_reported_and_read_at_once() -> None:
    node = Driven("street_light", NOON)
    node.measure()
    said = node.later(6 * HOUR)
    assert last(said, "reported")["state"] == {"level": 1.0}
    assert node.agent.reading_due(node.up)


def test_a_step_of_the_winter_morning_does_not_light_a_summer_day() -> None:
    midsummer = 1782036000000  # 2026-06-21 10:00 UTC
    schedule = Schedule(SCHEDULE[:-1] + [["06:45", 0.7], ["sunrise", 0.0]], 34.92, -2.32, 60)  # noqa: RUF005 - MicroPython
    value, change = schedule.at(midsummer)
    assert value == 0.0, "06:45 is after sunrise"
    assert 18.5 * HOUR < change % (24 * HOUR) < 19.8 * HOUR, "and next is sunset"


def test_minutes_before_and_after_the_sun_are_understood() -> None:
    early, plain = (Schedule([[event, 1.0]], 34.92, -2.32, 0).at(NOON)[1] for event in ("sunset-10", "sunset"))
    assert plain - early == 10 * MINUTE


def fault_of(entries: "list[list[object]]", latitude: "float | None", longitude: "float | None") -> str:
    try:
        Schedule(entries, latitude, longitude, 0)
    except ScheduleFault as fault:
        return str(fault)
    return ""


def test_a_schedule_that_cannot_be_read_says_where() -> None:
    for entries, word in (
        ([["dusk", 1.0]], "'dusk'"),
        ([["25:00", 1.0]], "'25:00'"),
        ([["sunset-1h", 1.0]], "'sunset-1h'"),
        ([], "0 entries"),
    ):
        assert word in fault_of(entries, 34.92, -2.32)
    assert "lat and lon" in fault_of([["sunset", 1.0]], None, None)


def test_without_a_clock_the_photocell_rules_with_hysteresis_and_without_one_the_safe_value() -> None:
    node = Driven("street_light", None)
    assert node.agent.output("level") == 1.0
    assert node.agent.by("level") == "safe", "in doubt a street is lit"
    seen = []
    for lux in (5000.0, 45.0, 25.0, 45.0, 70.0):
        node.measure(illuminance_lx=lux)
        node.later(MINUTE)
        seen.append(node.agent.output("level"))
    assert seen == [0.0, 0.0, 1.0, 1.0, 0.0]
    assert node.agent.by("level") == "schedule"
    node.later(2 * HOUR)
    assert node.agent.output("level") == 1.0
    assert node.agent.by("level") == "safe", "an old value is unknown"


def test_sleeping_as_told_misses_nothing() -> None:
    """A node that sleeps `next_ms` says the same as one that never sleeps."""

    def run(sleeps: bool) -> "list[tuple[str, object]]":
        node = Driven("street_light", NOON, link_scale=60)
        said = []
        lease = messages.lease(NOON, NOON, {"level": {"to": 0.2, "until": NOON + 7 * HOUR, "reason": "x"}})
        events = [(HOUR, "lease", lease), (2 * HOUR, "kept", messages.kept("9f3c01aa", 2))]
        end = node.up + 12 * HOUR
        while node.up < end:
            while events and node.up >= events[0][0]:
                _, channel, payload = events.pop(0)
                said += node.tell(channel, payload)
            said += node.step()
            if node.agent.reading_due(node.up):
                said += node.measure(power_w=1.0)
            wait = max(1, node.agent.next_ms(node.up)) if sleeps else 1000
            if sleeps and events:
                wait = max(1, min(wait, events[0][0] - node.up))
            node.up += wait
        return [(channel, document.get("state") or document.get("nonce")) for channel, document in said]

    awake = run(False)
    assert run(True) == awake
    assert [channel for channel, _ in awake].count("reported") == 4


def test_messages_of_other_topics_are_counted_not_obeyed() -> None:
    node = Driven("street_light")
    node.agent.received(node.up, "nabd/1/other/kept", b"{}")
    node.agent.received(node.up, "nabd/1/node-1/telemetry", b"{}")
    assert node.agent.ignored == 2
    assert seqs(node.said) == []
