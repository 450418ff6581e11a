"""Two nodes under one identity are told; a node that began anew, or whose old readings come late, is not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.decisions import Alarm, AlarmState, Severity
from contract.ports import SnapshotFault
from contract.records import Conflicted, Entry, Reading, Record, Status, Telemetry, Tick
from rules.identity import RULE, WINDOW_MS, IdentityWatch

MINUTE_MS = 60_000
START_MS = 1_795_458_000_000


class Life:
    """Entries with their times, as the log would have them."""

    def __init__(self) -> None:
        self.watch = IdentityWatch()
        self.at_ms = START_MS
        self.position = 0

    def apply(self, record: Record) -> list[Alarm]:
        self.position += 1
        return self.watch.apply(Entry(self.position, self.at_ms, record))

    def sends(self, stream: str, *, measured_ms: int | None = None, device: str = "lamp-1") -> list[Alarm]:
        self.at_ms += MINUTE_MS
        reading = Reading(1, self.at_ms if measured_ms is None else measured_ms, {})
        return self.apply(
            Telemetry(device=device, asset="pole-1", kind="street_light", stream=stream, boot=1, readings=(reading,))
        )

    def born(self, stream: str) -> list[Alarm]:
        self.at_ms += MINUTE_MS
        return self.apply(Status(device="lamp-1", online=True, n=1, boot=1, stream=stream))

    def conflicts(self, stream: str = "aaaaaaaa") -> list[Alarm]:
        self.at_ms += MINUTE_MS
        return self.apply(Conflicted(device="lamp-1", stream=stream, seq=7))

    def tick(self) -> list[Alarm]:
        return self.apply(Tick(listening=True))


def test_two_nodes_that_take_turns_are_told_once_with_their_streams() -> None:
    life = Life()
    told = [life.sends(stream) for stream in ("aaaaaaaa", "bbbbbbbb") * 4]
    (alarm,) = [alarm for alarms in told for alarm in alarms]
    assert told.index([alarm]) == 4  # at the third return
    assert (alarm.rule, alarm.severity, alarm.state) == (RULE, Severity.MAJOR, AlarmState.FIRING)
    assert (alarm.device, alarm.asset, alarm.kind) == ("lamp-1", "pole-1", "street_light")
    assert "aaaaaaaa" in alarm.because
    assert "bbbbbbbb" in alarm.because
    assert set(alarm.text) == {"ar", "fr", "en"}
    assert all("lamp-1" in text for text in alarm.text.values())


def test_births_by_turns_are_a_sign_too() -> None:
    life = Life()
    life.sends("aaaaaaaa")
    told = [life.born(stream) for stream in ("bbbbbbbb", "aaaaaaaa") * 2]
    assert [len(alarms) for alarms in told] == [0, 0, 0, 1]


def test_a_node_that_begins_anew_again_and_again_is_one_node() -> None:
    """Re-imaged, or without a memory over a reset: each stream is followed by another and never comes back."""
    life = Life()
    for number in range(20):
        assert life.born(f"{number:08x}") == []
        assert life.sends(f"{number:08x}") == []


def test_readings_on_their_way_while_a_node_began_anew_are_no_sign() -> None:
    life = Life()
    life.sends("aaaaaaaa")
    before_ms = life.at_ms
    life.born("bbbbbbbb")
    for _ in range(10):
        assert life.sends("aaaaaaaa", measured_ms=before_ms) == []
        assert life.sends("bbbbbbbb") == []
    assert life.sends("cccccccc", measured_ms=before_ms) == []  # of a stream nobody heard of, too
    assert life.sends("bbbbbbbb") == []


def test_a_few_returns_in_weeks_are_no_sign() -> None:
    life = Life()
    for _ in range(10):
        assert life.sends("aaaaaaaa") == life.sends("bbbbbbbb") == []
        life.at_ms += WINDOW_MS


def test_a_copy_with_the_same_memory_is_told_by_its_conflicts() -> None:
    life = Life()
    life.sends("aaaaaaaa")
    assert [len(life.conflicts()) for _ in range(5)] == [0, 0, 1, 0, 0]


def test_conflicts_of_a_device_that_was_never_read_wait_for_its_asset() -> None:
    life = Life()
    for _ in range(4):
        assert life.conflicts() == []
    life.sends("aaaaaaaa")
    (alarm,) = life.conflicts()
    assert alarm.asset == "pole-1"


def test_it_ends_a_day_after_the_last_sign_and_the_next_is_another_alarm() -> None:
    life = Life()
    told = [alarm for stream in ("aaaaaaaa", "bbbbbbbb") * 4 for alarm in life.sends(stream)]
    life.at_ms += WINDOW_MS
    assert life.tick() == []
    life.at_ms += 1
    (ended,) = life.tick()
    assert (ended.alarm, ended.state, ended.resolved_at_ms) == (told[0].alarm, AlarmState.RESOLVED, life.at_ms)
    assert life.tick() == []
    again = [alarm for stream in ("aaaaaaaa", "bbbbbbbb") * 4 for alarm in life.sends(stream)]
    assert len(again) == 1
    assert again[0].alarm != ended.alarm


STEPS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from(("sends", "born", "conflicts", "tick")), st.integers(0, 600)),
    max_size=40,
)


@given(steps=STEPS, cut=st.integers(0, 40))
def test_a_snapshot_goes_on_as_if_nothing_had_happened(steps: Any, cut: int) -> None:
    straight, broken = Life(), Life()
    for number, (stream, act, minutes) in enumerate(steps):
        if number == cut:
            snapshot = broken.watch.snapshot()
            broken.watch = IdentityWatch()
            broken.watch.restore(snapshot)
        told = []
        for life in (straight, broken):
            life.at_ms += minutes * MINUTE_MS
            told.append(life.tick() if act == "tick" else getattr(life, act)(stream * 8))
        assert told[0] == told[1]


def test_what_is_no_snapshot_is_refused_and_none_is_a_beginning() -> None:
    watch = IdentityWatch()
    watch.restore(b"")
    with pytest.raises(SnapshotFault, match="identities"):
        watch.restore(b"\x93\x01\x02\x03")
