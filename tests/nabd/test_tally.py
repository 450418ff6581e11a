"""The consumer that counts: it follows the log, says what is wrong, goes on by itself, and lets go of what is old."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from adapters.state.sqlite_state import SqliteState
from contract.ports import Clock, Log
from contract.records import Entry, Reading, Telemetry
from contract.tally import By, Scope
from nabd import tally
from nabd.tally import DAY_MS, TallyKeeper
from nabd.tallying import Counting, LocalDays
from tests.console.fakes import FakeClock, MemoryLog
from tests.nabd.test_tallying import DAYS, START_MS, ZONE
from tests.waiting import eventually


class NotingLog(MemoryLog):
    """Remembers how far the consumer lets go of it, and cannot be read while `trouble`."""

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, int] = {}
        self.trouble: Exception | None = None

    def consumed(self, consumer: str, position: int) -> None:
        self.told[consumer] = position

    def read(self, after: int, limit: int) -> Any:
        if self.trouble is not None:
            raise self.trouble
        return super().read(after, limit)


class House:
    def __init__(self, folder: Path) -> None:
        self.state = SqliteState(folder / "state.db")
        self.log, self.clock = NotingLog(), FakeClock(START_MS)
        self.keeper = TallyKeeper(cast(Log, self.log), self.state.tally, cast(Clock, self.clock), ZONE.key)

    def read(self, *seqs: int, device: str = "lamp-1") -> None:
        record = Telemetry(
            device=device, asset="pole-1", kind="street_light", stream="9f3c01aa", boot=1, commune="berkane",
            zone="centre", readings=tuple(Reading(seq, START_MS + seq, {}) for seq in seqs),
        )  # fmt: skip
        self.log.append([record], self.clock.now_ms())
        self.keeper.notify(self.log.last())

    def stored(self) -> int:
        return sum(self.state.tally.stored(By.DAY, Scope(), DAYS).values())


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(tally, "GATHER_S", 0.01)
    monkeypatch.setattr(tally, "COMMIT_S", 0.01)
    monkeypatch.setattr(tally, "RETRY_S", 0.01)
    house = House(tmp_path)
    yield house
    house.state.close()


def test_it_follows_the_log_and_lets_go_of_what_is_counted(house: House) -> None:
    house.keeper.start()
    house.read(1, 2)
    house.clock.advance(1000)
    eventually(lambda: house.stored() == 2, "the count is in the book")
    eventually(lambda: house.log.told == {"tally": 1}, "the log is told")
    house.read(3)
    house.keeper.stop()
    assert house.stored() == 3
    assert house.log.told == {"tally": 2}


@pytest.mark.parametrize("trouble", [OSError("the log cannot be read"), ValueError("ours")])
def test_a_fault_is_told_and_over_by_itself(house: House, trouble: Exception) -> None:
    house.log.trouble = trouble
    house.keeper.start()
    house.read(1)
    eventually(lambda: str(trouble) in house.keeper.fault, "it says so")
    house.log.trouble = None
    eventually(lambda: house.keeper.fault == "", "it goes on")
    house.keeper.stop()
    assert house.stored() == 1


def test_an_entry_half_counted_by_a_fault_of_ours_is_counted_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.read(1, 2)
    house.read(3, 4)
    day = LocalDays.day

    def fails_at_the_fourth(self: LocalDays, at_ms: int) -> int:
        if at_ms == START_MS + 4:
            raise ValueError("ours")
        return day(self, at_ms)

    with monkeypatch.context() as patch:
        patch.setattr(LocalDays, "day", fails_at_the_fourth)
        with pytest.raises(ValueError, match="ours"):
            house.keeper.catch_up()
    house.keeper.catch_up()
    assert house.stored() == 4


def test_what_is_old_is_dropped_and_open_gaps_never(house: House) -> None:
    house.read(1, 3, 5)
    house.read(2)
    house.keeper.catch_up()
    book = house.state.tally
    assert len(list(book.gaps(Scope(), 0, 2**53))) == len(list(book.gaps(Scope(), 0, 2**53, closed=True))) == 1
    assert book.prune(LocalDays(ZONE).day(START_MS), START_MS) == 0
    assert book.prune(LocalDays(ZONE).day(START_MS) + 1, START_MS + DAY_MS) == 2  # a day's count and a closed gap
    assert house.stored() == 0
    assert [gap.first for gap in book.gaps(Scope(), 0, 2**53)] == [4]
    assert list(book.gaps(Scope(), 0, 2**53, closed=True)) == []


def test_nobody_who_asks_waits_for_the_count_of_a_whole_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "BATCH", 1)
    for seq in range(1, 15):
        house.read(seq)
    assert house.keeper.catch_up() == 4
    assert house.stored() == 10
    assert house.keeper.catch_up() == 0
    assert house.stored() == 14


def test_a_position_never_goes_back(house: House) -> None:
    house.read(1)
    house.read(2)
    house.keeper.catch_up()
    with pytest.raises(ValueError, match="never go back"):
        house.state.tally.commit(house.keeper._counting.news(), 1)
    assert house.state.tally.position() == 2


def test_the_streams_of_a_device_are_told_with_when_they_were_heard(house: House) -> None:
    house.read(1)
    house.clock.advance(5000)
    house.read(2, 4)
    house.keeper.catch_up()
    (end,) = house.state.tally.ends("lamp-1")
    assert (end.next_seq, end.began_ms, end.heard_ms, end.last_ms) == (5, START_MS, START_MS + 5000, START_MS + 4)
    assert house.state.tally.ends("lamp-2") == []


def test_streams_in_memory_are_bounded_and_those_put_aside_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nabd.tallying.STREAMS_MAX", 4)
    for number in range(12):
        house.clock.advance(1000)
        house.read(1, 3, device=f"lamp-{number}")
        house.keeper.catch_up()
    assert len(house.keeper._counting._streams) <= 4
    house.read(2, 4, device="lamp-0")
    house.keeper.catch_up()
    assert list(house.state.tally.gaps(Scope(device="lamp-0"), 0, 2**53)) == []
    assert len(list(house.state.tally.gaps(Scope(), 0, 2**53))) == 11


def test_days_are_those_of_the_city_not_of_greenwich() -> None:
    days, midnight_ms = LocalDays(ZONE), 1_795_474_800_000  # 2026-11-23T23:00:00Z: midnight in Morocco
    assert days.day(midnight_ms) == days.day(midnight_ms - 1) + 1
    counting = Counting(days, 0)
    reading = Reading(1, midnight_ms - 1, {})
    record = Telemetry(device="a", asset="b", kind="c", stream="9f3c01aa", boot=1, readings=(reading,))
    counting.apply(Entry(1, midnight_ms, record))
    assert [one.day for one in counting.news().counts] == [days.day(midnight_ms) - 1]
