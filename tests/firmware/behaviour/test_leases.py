"""Promises of wire.md, "Leases": who rules an output, until when, and what the device says of it."""

from contract.wire import messages
from tests.firmware.behaviour.driven import HOUR, MINUTE, NOON, Driven, last, only

EVENING = NOON + 7 * HOUR  # 20:00 in Berkane: the schedule says 1.0


def light() -> Driven:
    node = Driven("street_light", EVENING)
    assert node.agent.output("level") == 1.0
    assert node.agent.by("level") == "schedule"
    return node


def valve() -> Driven:
    """A valve that has been up for ten minutes; limits: 30 min a run, 2 h a day, 5 min rest."""
    node = Driven("irrigation_valve")
    node.later(10 * MINUTE)
    return node


def test_a_lease_is_obeyed_answered_and_ends_by_itself() -> None:
    node = light()
    answer = node.lease("level", 0.3, HOUR)
    assert answer["result"] == "applied"
    assert answer["state"] == {"level": 0.3}
    assert answer["by"] == {"level": "lease"}
    assert answer["version"] == EVENING
    assert "code" not in answer
    assert node.agent.output("level") == 0.3
    assert node.later(HOUR - 1) == []
    ended = last(node.later(1), "reported")
    assert ended["result"] == "expired"
    assert ended["by"] == {"level": "schedule"}
    assert ended["state"] == {"level": 1.0}
    assert ended["version"] == EVENING, "it says of which lease"


def test_every_change_of_an_output_or_of_its_ruler_is_a_reading_at_once() -> None:
    node = light()
    node.measure()
    assert not node.agent.reading_due(node.up)
    node.lease("level", 0.3, HOUR)
    assert node.agent.reading_due(node.up)
    assert node.agent.next_ms(node.up) == 0
    values = last(node.measure(power_w=20.0), "telemetry")["readings"][-1]["v"]
    assert values == {"power_w": 20.0, "level": 0.3, "level_by": "lease"}
    assert not node.agent.reading_due(node.up)
    node.lease("level", 1.0, HOUR, version=EVENING + 1)
    node.measure()
    node.later(HOUR)
    assert node.agent.reading_due(node.up), "the value stays 1.0, but the schedule rules again"


def test_a_boolean_target_is_true_or_false_on_the_wire() -> None:
    node = valve()
    answer = node.lease("open", True, 10 * MINUTE)
    assert answer["state"] == {"open": True}
    assert node.agent.output("open") == 1.0
    values = last(node.measure(), "telemetry")["readings"][-1]["v"]
    assert values["open"] is True
    assert values["open_by"] == "lease"
    node.later(10 * MINUTE)
    assert node.agent.output("open") == 0.0
    assert node.agent.by("open") == "safe"


def test_a_clock_set_back_does_not_lengthen_a_lease() -> None:
    node = valve()
    node.lease("open", True, 10 * MINUTE)
    node.agent.set_clock(node.up, NOON - 24 * HOUR, "synced")
    node.later(10 * MINUTE)
    assert node.agent.output("open") == 0.0


def test_a_clock_set_forward_ends_a_lease_at_its_until() -> None:
    node = light()
    node.lease("level", 0.3, HOUR)
    node.agent.set_clock(node.up, EVENING + 50 * MINUTE, "synced")
    node.later(10 * MINUTE)
    assert node.agent.by("level") == "schedule"


def test_a_late_lease_lasts_no_longer_than_its_until() -> None:
    node = light()
    node.later(50 * MINUTE)
    assert node.lease("level", 0.3, HOUR, issued=EVENING)["result"] == "applied"
    node.later(10 * MINUTE)
    assert node.agent.by("level") == "schedule"


def test_an_older_version_is_stale_and_the_same_is_answered_again() -> None:
    node = light()
    first = node.lease("level", 0.3, HOUR)
    stale = node.lease("level", 0.9, HOUR, version=EVENING - 1)
    assert stale["result"] == "stale"
    assert stale["version"] == EVENING
    assert node.agent.output("level") == 0.3
    again = node.lease("level", 0.3, HOUR, version=EVENING)
    assert (again["result"], again["version"], again["state"]) == ("applied", EVENING, {"level": 0.3})
    assert again["n"] > first["n"]
    node.later(HOUR)
    assert node.lease("level", 0.3, HOUR, version=EVENING, issued=EVENING)["result"] == "expired"


def test_a_property_that_is_not_named_is_free() -> None:
    node = light()
    node.lease("level", 0.3, HOUR)
    answer = last(node.tell("lease", messages.lease(EVENING + 5, EVENING + 5, {})), "reported")
    assert answer["result"] == "applied"
    assert answer["by"] == {"level": "schedule"}
    assert answer["version"] == EVENING + 5


def refused(node: Driven, code: str, payload: bytes) -> None:
    before = [node.agent.output(name) for name in node.agent.leases.targets]
    answer = last(node.tell("lease", payload), "reported")
    assert (answer["result"], answer.get("code")) == ("refused", code), answer
    assert [node.agent.output(name) for name in node.agent.leases.targets] == before, "a refused lease changes nothing"


def test_what_cannot_be_obeyed_is_refused_with_its_code() -> None:
    node = light()
    now = node.unix

    def wish(to: object, until: "int | None", target: str = "level") -> "dict[str, object]":
        return {target: {"to": to, "until": until, "reason": "x"}}

    refused(node, "over_limit", messages.lease(now + 1, now, wish(1.5, now + HOUR)))
    refused(node, "expired", messages.lease(now + 2, now - HOUR, wish(0.5, now)))
    refused(node, "expired", messages.lease(now + 3, now, wish(0.5, now)))
    refused(node, "no_until", messages.lease(now + 4, now, wish(0.5, None)))
    refused(node, "unknown_target", messages.lease(now + 5, now, wish(1, now + HOUR, "open")))
    answer = last(node.tell("lease", messages.lease(now + 5, now, wish(1, now + HOUR, "open"))), "reported")
    assert answer["code"] == "unknown_target", "sent twice, answered twice"
    refused(valve(), "over_limit", messages.lease(now + 6, now, wish(0.5, NOON + 40 * MINUTE, "open")))


def test_a_lease_that_breaks_the_wire_is_refused_by_its_version_and_an_empty_one_is_nothing() -> None:
    node = light()
    refused(node, "wrong_type", b'{"version":7,"issued":7,"targets":[]}')
    refused(node, "missing_key", b'{"version":7,"targets":{}}')
    said = node.tell("lease", b'{"version":"7"}')
    assert only(said, "reported") == []
    assert last(said, "log")["event"] == "bad_lease_wrong_type"
    assert node.tell("lease", b"") == []
    assert node.agent.bad_messages == 3


def test_a_kind_without_targets_answers_too() -> None:
    node = Driven("waste_bin")
    assert node.lease("lid", True, HOUR)["code"] == "unknown_target"


def test_without_a_clock_only_a_return_to_safe_is_obeyed() -> None:
    node = Driven("street_light", None)
    assert node.lease("level", 0.3, HOUR, version=5)["code"] == "no_clock"
    assert node.agent.output("level") == 1.0
    assert node.lease("level", 1.0, HOUR, version=6)["result"] == "applied"
    assert node.agent.by("level") == "lease"
    node.later(HOUR)
    assert node.agent.by("level") == "safe", "it ends by the monotonic clock alone"


def test_a_lease_that_came_before_the_clock_is_judged_when_the_clock_comes() -> None:
    node = Driven("street_light", None)
    assert node.lease("level", 0.3, HOUR)["code"] == "no_clock"
    node.agent.set_clock(node.up, NOON + 1000, "synced")
    answer = last(node.step(), "reported")
    assert (answer["result"], answer["version"]) == ("applied", NOON)
    assert node.agent.output("level") == 0.3


def test_an_interlock_and_a_hand_override_a_lease_which_returns_when_they_let_go() -> None:
    node = light()
    node.lease("level", 0.3, HOUR)
    node.agent.interlock(node.up, "level", True, "overheat")
    said = node.step()
    report = last(said, "reported")
    assert report["result"] == "overridden"
    assert report["by"] == {"level": "interlock"}
    assert last(said, "log")["event"] == "interlock_overheat"
    assert node.agent.output("level") == 1.0
    assert node.agent.reading_due(node.up)
    node.agent.local(node.up, "level", 0.0)
    assert node.agent.output("level") == 1.0, "an interlock rules over a hand"
    node.agent.interlock(node.up, "level", False, "")
    assert node.agent.output("level") == 0.0
    assert last(node.step(), "reported")["by"] == {"level": "local"}
    answer = node.lease("level", 0.5, HOUR, version=EVENING + 9)
    assert answer["result"] == "overridden"
    assert node.agent.output("level") == 0.0
    node.agent.local(node.up, "level", None)
    report = last(node.step(), "reported")
    assert report["result"] == "applied"
    assert report["state"] == {"level": 0.5}


def test_a_run_beyond_the_limit_is_refused_and_none_outlives_it() -> None:
    node = valve()
    assert node.lease("open", True, 30 * MINUTE + 1)["code"] == "over_limit"
    node.agent.local(node.up, "open", 1.0)
    node.later(30 * MINUTE - 1)
    assert node.agent.output("open") == 1.0
    node.later(1)
    assert node.agent.output("open") == 0.0, "a hand does not open it for longer either"
    node.later(HOUR)
    assert node.agent.output("open") == 0.0


def test_a_run_is_not_made_longer_by_a_second_lease() -> None:
    node = valve()
    node.lease("open", True, 20 * MINUTE)
    node.later(15 * MINUTE)
    assert node.lease("open", True, 16 * MINUTE)["code"] == "over_limit"
    assert node.lease("open", True, 15 * MINUTE, version=NOON * 2)["result"] == "applied"
    node.later(15 * MINUTE)
    assert node.agent.output("open") == 0.0


def test_between_two_runs_the_valve_rests() -> None:
    node = valve()
    node.lease("open", True, 10 * MINUTE)
    node.later(10 * MINUTE)
    assert node.lease("open", True, MINUTE)["code"] == "over_limit"
    node.later(5 * MINUTE)
    assert node.lease("open", True, MINUTE)["result"] == "applied"


def water(node: Driven, minutes: int) -> str:
    """A run and its rest; what became of it."""
    result = node.lease("open", True, minutes * MINUTE)["result"]
    node.later((minutes + 5) * MINUTE)
    return str(result)


def test_the_day_has_a_limit_and_only_time_running_on_ends_a_day() -> None:
    node = valve()
    assert [water(node, 30) for _ in range(5)] == ["applied"] * 4 + ["refused"]
    node.agent.set_clock(node.up, NOON + 48 * HOUR, "synced")
    assert water(node, 30) == "refused", "a jump of the date gives no new allowance"
    node.later(24 * HOUR)
    assert water(node, 30) == "applied"


def test_a_clock_set_back_over_midnight_gives_no_second_allowance_for_a_day() -> None:
    node = valve()
    assert [water(node, 30) for _ in range(5)] == ["applied"] * 4 + ["refused"]
    node.later(24 * HOUR - (node.unix + HOUR) % (24 * HOUR) + 10 * MINUTE)  # ten past midnight
    assert [water(node, 30) for _ in range(5)] == ["applied"] * 4 + ["refused"]
    version = node.unix
    for _ in range(3):
        node.agent.set_clock(node.up, node.unix - (node.unix + HOUR) % (24 * HOUR) - 5 * MINUTE, "synced")
        node.later(10 * MINUTE)
        version += 1
        assert node.lease("open", True, MINUTE, version=version)["code"] == "over_limit"
    node.later(24 * HOUR)
    assert water(node, 30) == "applied"


def test_a_date_that_was_years_ahead_for_a_while_does_not_end_the_watering() -> None:
    node = valve()
    node.agent.set_clock(node.up, NOON + 3650 * 24 * HOUR, "synced")
    node.later(HOUR)
    node.agent.set_clock(node.up, NOON + 2 * HOUR, "synced")
    assert [water(node, 30) for _ in range(5)] == ["applied"] * 4 + ["refused"]
    node.later(48 * HOUR)
    assert water(node, 30) == "applied"


def test_what_was_used_today_survives_a_reset() -> None:
    node = valve()
    assert [water(node, 30) for _ in range(3)] == ["applied"] * 3
    node.lease("open", True, 20 * MINUTE)
    carry = node.agent.carry(node.up)  # saved as the run begins; then the power is cut
    assert carry == {"open": {"day": (NOON + HOUR) // (24 * HOUR), "used_ms": 110 * MINUTE}}
    again = Driven("irrigation_valve", node.unix + MINUTE, carry=carry)
    assert again.lease("open", True, MINUTE)["code"] == "over_limit", "the rest begins anew"
    again.later(5 * MINUTE)
    assert again.lease("open", True, 11 * MINUTE)["code"] == "over_limit"
    assert again.lease("open", True, 10 * MINUTE, version=again.unix + 1)["result"] == "applied"


def test_a_run_is_not_taken_up_again_after_a_reset_but_a_light_level_is() -> None:
    node = Driven("irrigation_valve", NOON)
    answer = node.lease("open", True, 20 * MINUTE, issued=NOON - MINUTE)
    assert answer["result"] == "interrupted"
    assert answer["version"] == NOON - MINUTE
    assert node.agent.output("open") == 0.0
    lamp = light()
    assert lamp.lease("level", 0.3, HOUR, issued=EVENING - MINUTE)["result"] == "applied"


def test_a_run_goes_on_without_the_network_and_ends_on_time() -> None:
    node = valve()
    node.lease("open", True, 10 * MINUTE)
    node.agent.disconnected(node.up)
    node.later(10 * MINUTE - 1)
    assert node.agent.output("open") == 1.0
    node.later(1)
    assert node.agent.output("open") == 0.0
    node.agent.will()
    node.agent.connected(node.up)
    report = last(node.step(), "reported")
    assert report["result"] == "expired"
    assert report["state"] == {"open": False}


def test_a_running_valve_is_measured_every_minute() -> None:
    node = valve()
    node.measure()
    node.lease("open", True, 10 * MINUTE)
    taken = 0
    for _ in range(10 * 60):
        if node.agent.reading_due(node.up):
            node.measure(flow_l_min=60.0)
            taken += 1
        node.later(1000)
    assert 10 <= taken <= 12


def test_late_wills_are_old_news_and_due_ones_are_news() -> None:
    node = light()
    births = [last(node.said, "status")["n"]]
    for _ in range(3):
        node.lease("level", 0.3, HOUR, version=node.unix)
        node.agent.disconnected(node.up)
        node.up += MINUTE
        node.agent.will()  # of an attempt that failed
        topic, payload, qos, retain = node.agent.will()
        assert (topic, qos, retain) == ("nabd/1/node-1/status", 1, True)
        node.agent.connected(node.up)
        births.append(last(node.step(), "status")["n"])
        assert messages.parse_object(payload) == {"online": False, "n": births[-1], "boot": 12}
    numbers = [document["n"] for channel, document in node.said if channel in ("status", "reported")]
    assert sorted(set(numbers)) == numbers, "n grows, and each birth is above the will before"


def test_a_call_is_done_once_and_answered_each_time() -> None:
    node = light()
    call = messages.call("c-1", "identify", {}, node.unix + MINUTE)
    assert last(node.tell("call", call), "result") == {"id": "c-1", "status": "done", "at": node.unix}
    shown_until = node.agent.identify_up_ms
    assert shown_until > node.up
    node.up += 1000
    assert last(node.tell("call", call), "result")["status"] == "done"
    assert node.agent.identify_up_ms == shown_until
    late = messages.call("c-2", "identify", {}, node.unix)
    assert last(node.tell("call", late), "result")["code"] == "expired"
    strange = messages.call("c-3", "dance", {}, node.unix + MINUTE)
    assert last(node.tell("call", strange), "result")["code"] == "unknown_call"
    node.measure()
    node.tell("call", messages.call("c-4", "measure", {}, node.unix + MINUTE))
    assert node.agent.reading_due(node.up)


def test_a_storm_of_leases_is_answered_within_bounds() -> None:
    node = light()
    for version in range(100):
        node.agent.received(node.up, "nabd/1/node-1/lease", messages.lease(EVENING + version, EVENING, {}))
    assert len(only(node.step(), "reported")) == 8
    assert node.agent.speech.dropped == 92
