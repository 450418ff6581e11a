"""The recorder writes every alarm and every lease step once, resumes where its store is, and outlives a store away."""

import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from adapters.state.sqlite_state import SqliteState
from contract.annals import Point, RefusedPoint
from contract.decisions import Alarm, AlarmState, Decision, Intent, IntentState, Rank, Severity, Step
from contract.ports import Device, Effects, LedgerRow, StoreFault
from contract.records import Registered
from nabd import recorder as module
from nabd.annals import LEDGER, health_point, ledger_points
from nabd.recorder import MARKS, Recorder
from tests.waiting import eventually

START_MS = 1_790_000_000_000


class Clock:
    speed = 1.0

    def __init__(self) -> None:
        self.city_ms = START_MS
        self.real_s = 0.0

    def now_ms(self) -> int:
        return self.city_ms

    def monotonic_s(self) -> float:
        return self.real_s

    def pass_s(self, seconds: float) -> None:
        self.city_ms += round(seconds * 1000)
        self.real_s += seconds


class Annals:
    """Keeps points as InfluxDB does: one a measurement, tag set and nanosecond."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, tuple[tuple[str, str], ...], int], Point] = {}
        self.marks: dict[str, Mapping[str, float | str]] = {}
        self.away = False
        self.away_after: int | None = None  # so many more calls go well
        self.refuses: Callable[[Point], bool] = lambda point: False

    def record(self, points: Sequence[Point]) -> Sequence[RefusedPoint]:
        self._answer()
        refused = [RefusedPoint(point=point, sentence="never") for point in points if self.refuses(point)]
        for point in points:
            if self.refuses(point):
                continue
            assert all(isinstance(value, (float, str)) for value in point.fields.values()), point
            tags = tuple(sorted((name, value) for name, value in point.tags.items() if value))
            self.points[point.measurement, tags, point.at_ns] = point
        return refused

    def remember(self, name: str, fields: Mapping[str, float | str]) -> None:
        self._answer()
        self.marks[name] = fields

    def remembered(self, name: str) -> Mapping[str, float | str]:
        self._answer()
        return self.marks.get(name, {})

    def of(self, measurement: str) -> list[Point]:
        return [point for (name, _, _), point in self.points.items() if name == measurement]

    def _answer(self) -> None:
        if self.away_after is not None:
            self.away_after -= 1
        if self.away or (self.away_after is not None and self.away_after < 0):
            raise StoreFault("InfluxDB is away")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db")
    device = Registered(device="node-1", kind="street_light", commune="berkane", zone="center", asset="lamp-1")
    state.commit(Effects(registered=[(0, device)]), 1)
    yield state
    state.close()


def recorder(annals: Annals, state: SqliteState, clock: Clock) -> Recorder:
    return Recorder(
        annals,
        state,
        clock,
        health=lambda at_ms: [health_point({"accepted": 1}, at_ms)],
        ledger=lambda at_ms: [],
        zones=lambda at_ms: [],
    )


def alarm(name: str, at_ms: int, **facts: object) -> Alarm:
    fields = {
        "alarm": name, "rule": "lamp_failed", "device": "node-1", "asset": "lamp-1", "kind": "street_light",
        "severity": Severity.MAJOR, "state": AlarmState.FIRING, "since_ms": at_ms, "fired_at_ms": at_ms,
        "text": {"ar": "عطل", "fr": "panne", "en": "fault"},
    }  # fmt: skip
    return msgspec.convert({**fields, **facts}, Alarm)


def resolved(name: str, at_ms: int, end_ms: int) -> Alarm:
    return alarm(name, at_ms, state=AlarmState.RESOLVED, resolved_at_ms=end_ms)


def step(number: int, step: Step, until_ms: int | None = None) -> Decision:
    return Decision(
        decision=f"d{number}", at_ms=START_MS + number, asset="lamp-1", device="node-1", target="level", step=step,
        intent="i1", to=0.5, until_ms=until_ms, version=3, reason="rule:dim",
    )  # fmt: skip


def changes(annals: Annals) -> set[tuple[object, str, object]]:
    return {(p.fields["alarm"], p.tags["change"], p.fields["open"]) for p in annals.of("nabd_alarms")}


def test_each_change_of_an_alarm_is_one_point_with_its_texts_and_the_place_of_its_asset(state: SqliteState) -> None:
    annals, clock = Annals(), Clock()
    running = recorder(annals, state, clock)
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    running.look()
    state.commit(Effects(acknowledged=[("a1", "amina", 2_000)]), 3)
    state.commit(Effects(alarms=[resolved("a1", 1_000, 3_000)]), 4)
    running.look()
    assert changes(annals) == {("a1", "fired", 1.0), ("a1", "acknowledged", 1.0), ("a1", "resolved", 0.0)}
    point = annals.of("nabd_alarms")[0]
    assert point.tags == {
        "rule": "lamp_failed", "kind": "street_light", "asset": "lamp-1", "commune": "berkane", "zone": "center",
        "severity": "major", "change": "fired",
    }  # fmt: skip
    assert (point.fields["title_ar"], point.fields["title_fr"], point.at_ns // 10**6) == ("عطل", "panne", 1_000)


def test_an_alarm_resolved_by_a_late_reading_is_not_open_at_its_later_acknowledgement(state: SqliteState) -> None:
    annals = Annals()
    running = recorder(annals, state, Clock())
    state.commit(Effects(alarms=[alarm("a1", 1_000)], acknowledged=[("a1", "amina", 9_000)]), 2)
    running.look()
    assert ("a1", "acknowledged", 1.0) in changes(annals)
    state.commit(Effects(alarms=[resolved("a1", 1_000, 5_000)]), 3)
    running.look()
    assert changes(annals) == {("a1", "fired", 1.0), ("a1", "acknowledged", 0.0), ("a1", "resolved", 0.0)}


def test_an_alarm_stays_where_it_arose_when_its_asset_moves(state: SqliteState) -> None:
    annals = Annals()
    running = recorder(annals, state, Clock())
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    running.look()
    moved = Registered(device="node-1", kind="street_light", commune="saidia", zone="beach", asset="lamp-1")
    state.commit(Effects(registered=[(2_000, moved)]), 3)
    state.commit(Effects(alarms=[resolved("a1", 1_000, 3_000)]), 4)
    running.look()
    assert {point.tags["zone"] for point in annals.of("nabd_alarms")} == {"center"}
    assert len(annals.of("nabd_alarms")) == 2


def test_pending_alarms_are_nobodys_news(state: SqliteState) -> None:
    annals = Annals()
    state.commit(Effects(alarms=[alarm("a1", 1_000, state=AlarmState.PENDING, fired_at_ms=None)]), 2)
    recorder(annals, state, Clock()).look()
    assert annals.of("nabd_alarms") == []


def test_a_lease_is_followed_from_made_to_its_end_with_the_rank_behind_it(state: SqliteState) -> None:
    annals = Annals()
    intent = Intent(
        intent="i1", asset="lamp-1", target="level", to=0.5, rank=Rank.OPERATOR, reason="works", by="amina",
        decided_at_ms=0,
    )  # fmt: skip
    decisions = [step(1, Step.WON), step(2, Step.LEASED), step(3, Step.SENT, until_ms=9_000), step(4, Step.CONFIRMED)]
    state.commit(
        Effects(
            intents=[IntentState(intent=intent, step=Step.WON, at_ms=0)], decisions=[*decisions, step(5, Step.EXPIRED)]
        ),
        2,
    )
    recorder(annals, state, Clock()).look()
    points = annals.of("nabd_leases")
    assert [point.tags["change"] for point in points] == ["leased", "sent", "confirmed", "expired"]
    assert {(p.tags["rank"], p.tags["zone"], p.tags["kind"]) for p in points} == {
        ("operator", "center", "street_light")
    }
    assert points[1].fields == {"to": 0.5, "until_ms": 9_000.0, "version": 3.0, "reason": "rule:dim"}


def test_nothing_is_missing_or_double_after_a_store_that_fails_at_any_call_and_a_restart(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away after every possible number of calls; a new recorder then takes up where the store is."""
    monkeypatch.setattr(module, "HISTORY_BATCH", 7)
    for number in range(30):
        name = f"a{number:02}"
        state.commit(Effects(alarms=[alarm(name, number)], decisions=[step(number, Step.SENT)]), 2 + number)
    whole = Annals()
    recorder(whole, state, Clock()).look()
    assert len(whole.of("nabd_alarms")) == len(whole.of("nabd_leases")) == 30
    for calls in range(12):  # one reads the marks, five batches of two, and the samples
        annals, clock = Annals(), Clock()
        annals.away_after = calls
        with pytest.raises(StoreFault):
            recorder(annals, state, clock).look()
        annals.away_after = None
        recorder(annals, state, clock).look()
        assert annals.points.keys() == whole.points.keys(), f"after {calls} calls"


def test_what_was_written_is_not_read_again_after_a_restart(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HISTORY_BATCH", 7)
    annals, clock = Annals(), Clock()
    for number in range(20):
        state.commit(Effects(alarms=[alarm(f"a{number}", number)], decisions=[step(number, Step.SENT)]), 2)
    recorder(annals, state, clock).look()
    again = recorder(annals, state, clock)
    again.look()
    assert annals.marks.keys() == {MARKS}
    assert (len(annals.of("nabd_alarms")), again.written) == (20, 1), "one sample of health, no history"


def test_a_store_made_anew_gets_the_whole_history_again(state: SqliteState) -> None:
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    recorder(Annals(), state, Clock()).look()
    new = Annals()
    recorder(new, state, Clock()).look()
    assert changes(new) == {("a1", "fired", 1.0)}


def test_a_state_put_back_from_a_backup_is_followed_though_the_store_has_seen_more(
    state: SqliteState, tmp_path: Path
) -> None:
    annals = Annals()
    for number in range(20):
        if number == 10:
            with closing(sqlite3.connect(state.path)) as old, closing(sqlite3.connect(tmp_path / "backup.db")) as new:
                old.backup(new)
        state.commit(Effects(alarms=[alarm(f"a{number}", number)], decisions=[step(number, Step.SENT)]), 2 + number)
    recorder(annals, state, Clock()).look()
    with closing(SqliteState(tmp_path / "backup.db")) as restored:
        running = recorder(annals, restored, Clock())
        annals.away = True
        with pytest.raises(StoreFault):
            running.look()
        annals.away = False
        for number in range(30, 33):
            facts = Effects(alarms=[alarm(f"a{number}", number)], decisions=[step(number, Step.SENT)])
            restored.commit(facts, number)  # beyond where the store's marks are, when they are asked for
        running.look()
        assert {f"a{number}" for number in range(30, 33)} <= {name for name, _, _ in changes(annals)}
        times = {point.at_ns // 10**6 - START_MS for point in annals.of("nabd_leases")}
        assert times == {*range(20), *range(30, 33)}
        again = recorder(annals, restored, Clock())
        again.look()
        assert again.written == 1, "one sample of health, no history"


def test_health_is_sampled_at_round_moments_and_waits_for_a_store_that_is_away(state: SqliteState) -> None:
    annals, clock = Annals(), Clock()
    running = recorder(annals, state, clock)
    annals.away = True
    for _ in range(6):
        with pytest.raises(StoreFault):
            running.look()
        clock.pass_s(5)
    annals.away = False
    running.look()
    times = [point.at_ns // 10**6 - START_MS for point in annals.of("nabd_health")]
    assert times == [0, 10_000, 20_000, 30_000]


def test_samples_of_a_city_that_runs_fast_come_at_most_once_a_real_second(state: SqliteState) -> None:
    annals, clock = Annals(), Clock()
    running = recorder(annals, state, clock)
    for _ in range(10):
        running.look()
        clock.city_ms += 3_600_000
        clock.real_s += 0.25
    assert len(annals.of("nabd_health")) == 3


def test_samples_are_bounded_and_what_is_dropped_is_counted(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLES_MAX", 3)
    annals, clock = Annals(), Clock()
    running = recorder(annals, state, clock)
    annals.away = True
    for _ in range(5):
        with pytest.raises(StoreFault):
            running.look()
        clock.pass_s(10)
    annals.away = False
    running.look()
    assert running.dropped == 3
    times = [point.at_ns // 10**6 - START_MS for point in annals.of("nabd_health")]
    assert times == [30_000, 40_000, 50_000], "the newest stayed"


def test_what_the_store_refuses_for_good_is_counted_and_left_behind(state: SqliteState) -> None:
    annals, clock = Annals(), Clock()
    annals.refuses = lambda point: point.fields.get("alarm") == "a1"
    running = recorder(annals, state, clock)
    state.commit(Effects(alarms=[alarm("a1", 1_000), alarm("a2", 2_000)]), 2)
    running.look()
    state.commit(Effects(alarms=[alarm("a3", 3_000)]), 3)
    running.look()
    assert changes(annals) == {("a2", "fired", 1.0), ("a3", "fired", 1.0)}
    assert (running.refused, running.written) == (1, 3), "two alarms and a sample of health"
    assert annals.marks[MARKS]["position"] == 3.0


def test_what_is_refused_is_counted_once_though_the_marks_could_not_be_kept_at_first(state: SqliteState) -> None:
    annals = Annals()
    annals.refuses = lambda point: "alarm" in point.fields
    annals.away_after = 2  # the marks are read, the alarm is refused, and then it is away
    running = recorder(annals, state, Clock())
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    with pytest.raises(StoreFault):
        running.look()
    annals.away_after = None
    running.look()
    assert running.refused == 1


def test_a_measurement_that_is_refused_or_taken_again_is_told_once(
    state: SqliteState, caplog: pytest.LogCaptureFixture
) -> None:
    annals, clock = Annals(), Clock()
    running = recorder(annals, state, clock)
    caplog.set_level(logging.INFO, "recorder")
    for refuses in (True, True, False, False):
        annals.refuses = lambda point, refuses=refuses: refuses and point.measurement == "nabd_health"  # type: ignore[misc]
        state.commit(Effects(alarms=[alarm(f"a{clock.city_ms}", 1_000)]), state.position() + 1)
        running.look()
        clock.pass_s(10)
    assert [record.getMessage() for record in caplog.records] == [
        "event=annals_refused measurement=nabd_health first=never",
        "event=annals_taken_again measurement=nabd_health",
    ]
    assert running.refused == 2


def test_the_thread_outlives_a_store_that_is_away_and_tells_it(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    annals = Annals()
    annals.away = True
    running = recorder(annals, state, Clock())
    running.start()
    eventually(lambda: running.fault == "InfluxDB is away", "the fault is told")
    running.stop()
    annals.away = False
    running = recorder(annals, state, Clock())
    state.commit(Effects(alarms=[alarm("a1", 1_000)]), 2)
    running.start()
    eventually(lambda: changes(annals), "the alarm is written")
    running.stop()
    assert running.fault == ""


def test_the_thread_outlives_a_sample_that_fails_while_the_store_is_away(
    state: SqliteState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    annals, clock, is_broken = Annals(), Clock(), False

    def health(at_ms: int) -> Sequence[Point]:
        if is_broken:
            raise ZeroDivisionError("of ours")
        return [health_point({"accepted": 1}, at_ms)]

    running = Recorder(annals, state, clock, health=health, ledger=lambda at_ms: [], zones=lambda at_ms: [])
    annals.away = True
    running.start()
    eventually(lambda: running.fault == "InfluxDB is away", "the fault is told")
    is_broken = True
    clock.pass_s(10)
    eventually(lambda: "ZeroDivisionError" in running.fault, "so is ours")
    is_broken = annals.away = False
    clock.pass_s(10)
    eventually(lambda: annals.of("nabd_health"), "it goes on")
    running.stop()
    assert running.fault == ""


def test_the_ledger_says_how_many_readings_came_are_missing_and_are_gone() -> None:
    devices = {
        name: Device(
            device=name, kind="street_light", commune="berkane", zone="", asset=name, name="", lat=None, lon=None,
            settings={}, registered_at_ms=0,
        )
        for name in ("node-1", "node-2")
    }  # fmt: skip
    rows = [
        LedgerRow(device="node-1", stream="s1", have=((1, 5), (8, 10)), gone=((6, 6),)),
        LedgerRow(device="node-1", stream="s2", have=((3, 4),), gone=((1, 1),)),
        LedgerRow(device="stranger", stream="s1", have=((1, 1),), gone=()),
    ]
    first, second = ledger_points(rows, devices, {"node-1": True}, {"node-1": START_MS}, START_MS)
    assert (first.measurement, first.tags["device"]) == (LEDGER, "node-1")
    assert first.fields == {
        "have": 10.0, "missing": 2.0, "gone": 2.0, "completeness": 10 / 14, "online": 1.0,
        "last_measured_at_ms": float(START_MS),
    }  # fmt: skip
    assert second.fields == {"have": 0.0, "missing": 0.0, "gone": 0.0, "online": 0.0}, "completeness is unknown"
