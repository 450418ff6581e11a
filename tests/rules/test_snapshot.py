"""A snapshot taken anywhere and restored into a new engine goes on as if nothing had happened."""

from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.kind import Value, check_settings
from contract.ports import SnapshotFault
from contract.records import (
    DeviceLog,
    Entry,
    Quality,
    Reading,
    Record,
    Registered,
    RulesLoaded,
    Status,
    Telemetry,
    Tick,
)
from rules.engine import Engine
from tests.rules.story import KINDS, LATE, SITE, TEXT, H, M, S, Story, at, rule

RATE, ROUGH = int(Quality.RATE), int(Quality.DATED_ROUGHLY)

FIRST = rule("mute", "silent(10m)")
RULES = f"""
group: mixed
rules:
  - {{name: hot, kind: street_light, when: temperature_c > 60 degC, for: 2m, keep_for: 3m,
     alarm: {{severity: minor, {TEXT}}}}}
  - {{name: high, kind: street_light, when: "avg(power_w, 6m) > 50 W and age(power_w) < 20m",
     alarm: {{severity: major, {TEXT}}}}}
  - {{name: dim, kind: street_light, when: "power_w > 50 W and not between(12:30, 12:40)", for: 1m,
     set: {{level: 0.5}}, lease: 10m}}
  - {{name: by_hand, kind: street_light, when: "last(level_by, 20m) == local", where: {{zone: old-town}},
     set: {{level: 1.0}}, lease: 10m}}
  - {{name: water, kind: irrigation_valve, when: "soil_moisture < 20% and weather.rain_24h_mm < 2 mm",
     set: {{open: true}}, lease: 4m, at_most: 2 per 20m}}
"""
DEVICES = {
    "lamp-1": "street_light",
    "lamp-2": "street_light",
    "valve-1": "irrigation_valve",
    "station": "weather_station",
}
VALUES: dict[str, st.SearchStrategy[Mapping[str, Value]]] = {
    "street_light": st.fixed_dictionaries(
        {},
        optional={
            "temperature_c": st.sampled_from([50.0, 70.0]),
            "power_w": st.sampled_from([10.0, 55.0, 80.1]),
            "level_by": st.sampled_from(["local", "lease"]),
        },
    ),
    "irrigation_valve": st.fixed_dictionaries({"soil_moisture": st.sampled_from([0.1, 0.15, 0.4])}),
    "weather_station": st.fixed_dictionaries({"rain_um": st.sampled_from([0.0, 1000.0, 1700.0, 3900.0])}),
}  # fmt: skip


def registered(device: str, zone: str, asset: str = "") -> Registered:
    kind = DEVICES[device]
    facts = check_settings(KINDS[kind], {"rest_s_min": 60} if kind == "irrigation_valve" else {})
    return Registered(device=device, kind=kind, commune="berkane", zone=zone, asset=asset or device, settings=facts)


@st.composite
def telemetry(draw: st.DrawFn, now_ms: int) -> Telemetry:
    device = draw(st.sampled_from(list(DEVICES)))
    readings = []
    for seq in range(draw(st.integers(1, 2))):
        age_ms = draw(st.sampled_from([0, 3 * S, 40 * S, 9 * M, -20 * S]))
        quality = LATE if age_ms > 2 * M else 0
        quality |= draw(st.sampled_from([0, 0, 0, RATE, ROUGH]))
        readings.append(Reading(seq, now_ms - age_ms, draw(VALUES[DEVICES[device]]), quality))
    return Telemetry(
        device=device, asset=device, kind=DEVICES[device], stream="00000001", boot=1, readings=tuple(readings)
    )


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    now_ms = at(12, 20)
    records: list[tuple[int, Record]] = [(now_ms, RulesLoaded(digest="", files={"a.yaml": RULES, "b.yaml": FIRST}))]
    records += [(now_ms, registered(device, "old-town")) for device in DEVICES]
    for _ in range(draw(st.integers(5, 60))):
        now_ms += draw(st.sampled_from([0, S, 10 * S, 10 * S, 25 * S, 2 * M, 31 * M]))
        record: Record
        match draw(st.integers(0, 11)):
            case 0:
                record = Status(device="lamp-1", online=draw(st.booleans()), n=1, boot=1,
                                period_s=draw(st.sampled_from([None, 60])),
                                asleep_until_ms=draw(st.sampled_from([None, now_ms + 5 * M])))  # fmt: skip
            case 1:
                record = registered(draw(st.sampled_from(list(DEVICES))), draw(st.sampled_from(["old-town", "park"])))
            case 2:
                files = {"a.yaml": RULES, "b.yaml": FIRST.replace("10m", draw(st.sampled_from(["10m", "11m"])))}
                record = RulesLoaded(digest="", files=files)
            case 3:
                record = DeviceLog(device="lamp-2", boot=1, level="info", event="hello")
            case 4 | 5 | 6 | 7:
                record = Tick(listening=draw(st.sampled_from([True, True, True, False])))
            case _:
                record = draw(telemetry(now_ms))
        records.append((now_ms, record))
    return [Entry(position, at_ms, record) for position, (at_ms, record) in enumerate(records, 1)]


@settings(max_examples=120, deadline=None)
@given(logs(), st.data())
def test_restoring_a_snapshot_changes_nothing_that_follows(log: list[Entry], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(log)))
    steady, before = Engine(KINDS, SITE), Engine(KINDS, SITE)
    expected = [steady.apply(entry) for entry in log]
    assert [before.apply(entry) for entry in log[:cut]] == expected[:cut]
    after = Engine(KINDS, SITE)
    after.restore(before.snapshot())
    assert [after.apply(entry) for entry in log[cut:]] == expected[cut:]
    assert after.snapshot() == steady.snapshot()
    assert after.counts() == steady.counts()


def test_a_replay_decides_the_same_with_the_same_ids() -> None:
    def told() -> Story:
        story = Story(RULES, FIRST, start_ms=at(12))
        story.register("lamp-1", "street_light", zone="old-town")
        for minute in range(0, 60, 3):
            story.read("lamp-1", at(12, minute), power_w=80.0, temperature_c=70.0 if minute % 2 else 50.0)
            story.ticks(at(12, minute) + 170 * S)
        return story

    first, second = told(), told()
    assert (first.alarms, first.intents, first.ends) == (second.alarms, second.intents, second.ends)
    assert len(first.alarms) >= 3
    assert len(first.intents) >= 2


def test_a_snapshot_whose_rules_no_longer_load_keeps_its_alarms_until_rules_are_loaded_again() -> None:
    story = Story(rule("hot", "temperature_c > 60 degC"), start_ms=at(12))
    story.register("lamp-1", "street_light")
    story.read("lamp-1", at(12), temperature_c=61.0)
    image = msgspec.msgpack.decode(story.engine.snapshot())
    image["files"] = {"0.yaml": rule("hot", "temperature_of_yore > 60 degC")}
    engine = Engine(KINDS, SITE)
    engine.restore(msgspec.msgpack.encode(image))
    assert "temperature_of_yore" in engine.refused
    later = Story(rule("other", "tilt_deg > 60 deg"), start_ms=at(13), engine=engine)
    assert [(alarm.rule, alarm.state) for alarm in later.alarms] == [("hot", "resolved")]


@pytest.mark.parametrize("junk", [b"", b"junk", msgspec.msgpack.encode({"version": 2})])
def test_what_is_no_snapshot_is_refused(junk: bytes) -> None:
    with pytest.raises(SnapshotFault):
        Engine(KINDS, SITE).restore(junk)


def test_the_memory_of_an_asset_does_not_grow_with_time() -> None:
    story = Story(RULES, FIRST, start_ms=at(12))
    story.register("lamp-1", "street_light", zone="old-town")

    def live(until_ms: int) -> int:
        while story.now_ms < until_ms:
            story.read("lamp-1", story.now_ms + M, power_w=80.0, temperature_c=70.0, level_by="local")
        return len(story.engine.snapshot())

    early = live(at(13))
    assert live(at(13) + 12 * H) < early * 1.05
