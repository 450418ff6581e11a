"""What is counted of the log, and joined with the ledger, is what a plain look at every single seq says."""

import contextlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.state.sqlite_state import SqliteState
from console.completeness import Fate, Sum, completeness, day_start_ms, named_gaps
from console.platform import Platform
from contract.ports import Clock, LedgerRow, Log
from contract.records import Reading, Telemetry, Tick
from contract.tally import By, Scope
from nabd.tally import TallyKeeper
from nabd.tallying import LocalDays
from tests.console.fakes import FakeClock, MemoryLog

ZONE = ZoneInfo("Africa/Casablanca")
HOUR_MS = 3_600_000
START_MS = 1_795_458_000_000  # 2026-11-23T18:20:00Z
DAYS = range(LocalDays(ZONE).day(START_MS) - 3, LocalDays(ZONE).day(START_MS) + 12)
PLACES = {"a": ("pole-1", "centre"), "b": ("pole-2", "riad"), "c": ("pole-3", "riad")}
STREAMS = (("a", "00000001"), ("a", "00000002"), ("b", "00000001"), ("c", "00000001"))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[SqliteState]:
    state = SqliteState(tmp_path / "state.db")
    yield state
    state.close()


class House:
    """A log, a count of it and a ledger that a test writes."""

    def __init__(self, state: SqliteState) -> None:
        self.state = state
        self.clock = FakeClock(START_MS)
        self.log = MemoryLog()
        self.rows: dict[tuple[str, str], LedgerRow] = {}
        self.keeper = self.start()

    def start(self) -> TallyKeeper:
        """The count as a new process finds it."""
        self.keeper = TallyKeeper(cast(Log, self.log), self.state.tally, cast(Clock, self.clock), ZONE.key)
        return self.keeper

    def read(self, device: str, stream: str, *readings: tuple[int, int]) -> None:
        asset, zone = PLACES[device]
        record = Telemetry(
            device=device, asset=asset, kind="street_light", stream=stream, boot=1, commune="berkane", zone=zone,
            readings=tuple(Reading(seq, at_ms, {}) for seq, at_ms in readings),
        )  # fmt: skip
        self.log.append([record], self.clock.now_ms())
        self.clock.advance(1000)

    def platform(self) -> Platform:
        def ledger(device: str) -> list[LedgerRow]:
            return [row for (name, _), row in self.rows.items() if name == device]

        return cast(Platform, SimpleNamespace(tally=self.keeper, ledger=ledger))

    def sums(self, by: By, scope: Scope | None = None, days: range = DAYS) -> dict[Any, Sum]:
        return completeness(self.platform(), ZONE, by, scope or Scope(), days)


def spans(seqs: set[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for seq in sorted(seqs):
        if found and found[-1][1] == seq - 1:
            found[-1] = found[-1][0], seq
        else:
            found.append((seq, seq))
    return tuple(found)


class Model:
    """Every seq by itself."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)  # seq → measured_at_ms
        self.fates: dict[tuple[str, str], dict[int, Fate]] = defaultdict(dict)

    def times(self, key: tuple[str, str]) -> dict[int, tuple[int, Fate]]:
        """When each seq that is not stored was measured, as far as that can be said, and what became of it."""
        stored = self.stored[key]
        found = {}
        for seq in range(1, max(stored, default=0)):
            if seq in stored:
                continue
            before = max((one for one in stored if one < seq), default=0)
            after = min(one for one in stored if one > seq)
            end_ms = stored[after]
            start_ms = stored.get(before, end_ms)
            low, high = min(start_ms, end_ms), max(start_ms, end_ms)
            at_ms = low + (seq - before) * (high - low) // (after - before)
            found[seq] = at_ms, self.fates[key].get(seq, Fate.OPEN)
        return found

    def sums(self, by: By, days: range) -> dict[Any, dict[str, int]]:
        sums: dict[Any, Counter[str]] = defaultdict(Counter)
        for device, stream in STREAMS:
            asset, zone = PLACES[device]
            events = [(at_ms, "stored") for at_ms in self.stored[device, stream].values()]
            names = {Fate.OPEN: "missing", Fate.GONE: "gone", Fate.QUARANTINED: "quarantined"}
            events += [(at_ms, names[fate]) for at_ms, fate in self.times((device, stream)).values()]
            for at_ms, name in events:
                day = datetime.fromtimestamp(at_ms / 1000, ZONE).toordinal()
                key = {By.DAY: day, By.ASSET: (asset,), By.DEVICE: (device,), By.ZONE: ("berkane", zone)}[by]
                if day in days:
                    sums[key][name] += 1
        return {key: dict(found) for key, found in sums.items()}


def plain(sums: dict[Any, Sum]) -> dict[Any, dict[str, int]]:
    return {key: {name: n for name, n in msgspec.structs.asdict(one).items() if n} for key, one in sums.items()}


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(STREAMS),
        st.lists(
            st.tuples(st.integers(1, 40), st.integers(-30, 200)), min_size=1, max_size=6, unique_by=lambda r: r[0]
        ),
        st.sampled_from(("go on", "commit", "crash")),
    ),
    max_size=25,
)


def empty(state: SqliteState) -> None:
    """As it was made: making one anew for each example would take far longer than the example."""
    with contextlib.closing(sqlite3.connect(state.path)) as connection, connection:
        for table in ("days", "places", "gaps", "streams", "progress"):
            connection.execute(f"DELETE FROM tally_{table}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    messages=MESSAGES,
    fates=st.dictionaries(
        st.tuples(st.sampled_from(STREAMS), st.integers(1, 40)), st.sampled_from((Fate.GONE, Fate.QUARANTINED))
    ),
    first=st.integers(0, 14),
    number=st.integers(1, 15),
)
def test_completeness_is_what_a_look_at_every_seq_says(
    state: SqliteState, messages: Any, fates: Any, first: int, number: int
) -> None:
    """By every key and any days; readings in any order, clocks that jump, a process killed between any two messages."""
    empty(state)
    house, model = House(state), Model()
    for key, readings, then in messages:
        news = [(seq, START_MS + hour * HOUR_MS) for seq, hour in sorted(readings) if seq not in model.stored[key]]
        if news:
            house.read(*key, *news)
            model.stored[key].update(news)
        if then == "commit":
            house.keeper.catch_up()
        elif then == "crash":
            house.start()
    for (key, seq), fate in fates.items():
        if seq not in model.stored[key]:
            model.fates[key][seq] = fate
    for key in STREAMS:
        have = {*model.stored[key], *(seq for seq, fate in model.fates[key].items() if fate is Fate.QUARANTINED)}
        gone = {seq for seq, fate in model.fates[key].items() if fate is Fate.GONE}
        house.rows[key] = LedgerRow(device=key[0], stream=key[1], have=spans(have), gone=spans(gone))
    days = range(DAYS.start + first, min(DAYS.start + first + number, DAYS.stop))
    for by in By:
        assert plain(house.sums(by, days=days)) == model.sums(by, days)
    open_now = [part.gap for part in named_gaps(house.platform(), Scope(), [Fate.OPEN])]
    seqs = {(g.place.device, g.stream, seq) for g in open_now for seq in range(g.first, g.last + 1)}
    assert seqs == {(*key, seq) for key in STREAMS for seq, (_, fate) in model.times(key).items() if fate is Fate.OPEN}
    assert sum(gap.count for gap in open_now) == len(seqs)


def test_a_gap_over_midnight_is_shared_in_proportion(state: SqliteState) -> None:
    house = House(state)
    midnight_ms = day_start_ms(DAYS.start + 4, ZONE)
    house.read("a", "00000001", (1, midnight_ms - 3 * HOUR_MS), (10, midnight_ms + 6 * HOUR_MS))
    by_day = house.sums(By.DAY)
    assert [(day - DAYS.start, one.stored, one.missing) for day, one in sorted(by_day.items())] == [
        (3, 1, 2),
        (4, 1, 6),
    ]


def test_late_data_close_a_gap_and_it_is_told_as_one(state: SqliteState) -> None:
    house = House(state)
    times = [START_MS + seq * 60_000 for seq in range(9)]
    house.read("a", "00000001", (1, times[1]), (7, times[7]))
    opened_ms = house.log.entries[-1].at_ms
    assert house.sums(By.ASSET)[("pole-1",)].completeness == 2 / 7
    for seq in (2, 3, 4):
        house.read("a", "00000001", (seq, times[seq]))
    assert house.sums(By.ASSET)[("pole-1",)].completeness == 5 / 7
    late, left = sorted(named_gaps(house.platform(), Scope()), key=lambda part: part.gap.first)
    assert (late.fate, late.gap.first, late.gap.last) == (Fate.LATE, 2, 4)
    assert (late.gap.from_ms, late.gap.to_ms) == (times[2], times[4])
    assert (left.fate, left.gap.first, left.gap.last) == (Fate.OPEN, 5, 6)
    assert (left.gap.from_ms, left.gap.to_ms, left.gap.opened_ms) == (times[4], times[7], opened_ms)


def test_a_count_that_began_with_a_cut_log_expects_nothing_from_before(state: SqliteState) -> None:
    """What a stream had sent long ago is in no log any more: that is no gap. A stream born afterwards begins at 1."""
    log, clock = MemoryLog(), FakeClock(START_MS)
    log.append([Tick(listening=True)] * 3, START_MS)
    entries = log.entries

    def behind_the_cut(after: int, limit: int) -> Any:
        return [entry for entry in entries if entry.position > max(after, 2)][:limit]

    log.read = behind_the_cut  # type: ignore[method-assign]
    house = House.__new__(House)
    house.state, house.clock, house.log, house.rows = state, clock, log, {}
    house.read("a", "00000001", (5000, START_MS), (5003, START_MS + 10))
    house.start()
    house.read("b", "00000001", (3, START_MS))
    sums = house.sums(By.DEVICE)
    assert (sums[("a",)].expected, sums[("a",)].missing) == (4, 2)
    assert (sums[("b",)].expected, sums[("b",)].missing) == (3, 2)


def test_a_disk_that_refuses_costs_no_count(state: SqliteState) -> None:
    house = House(state)
    house.read("a", "00000001", (1, START_MS), (3, START_MS + 10))
    commit = house.state.tally.commit

    def refuse(news: Any, position: int) -> None:
        raise OSError("disk full")

    house.state.tally.commit = refuse  # type: ignore[method-assign]
    for _ in range(2):
        with contextlib.suppress(OSError):
            house.keeper.catch_up()
    house.state.tally.commit = commit  # type: ignore[method-assign]
    house.read("a", "00000001", (2, START_MS + 5))
    assert plain(house.sums(By.DEVICE)) == {("a",): {"stored": 3}}
