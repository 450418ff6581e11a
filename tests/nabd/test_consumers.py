"""A consumer that meets trouble says so, tries again, and never ends unnoticed."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from contract.ports import Log, LogFull, Store
from contract.records import TICK_MS, Entry, Tick
from nabd import consumers
from nabd.consumers import LiveFeeder, StoreWriter, Ticker
from tests.waiting import eventually, until


class Clock:
    speed = 1.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return 0.0


class ThreeTicks:
    """A log of three entries that cannot be read while `trouble`."""

    def __init__(self) -> None:
        self.trouble = True
        self.told: dict[str, int] = {}

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        if self.trouble:
            raise OSError("the log cannot be read")
        return [Entry(position, 0, Tick(listening=True)) for position in range(after + 1, 4)]

    def consumed(self, consumer: str, position: int) -> None:
        self.told[consumer] = position

    def consumers(self) -> dict[str, int]:
        return self.told


class Trickle:
    """A log and its store: while a batch is written, one more entry comes, up to a hundred."""

    def __init__(self, last: int) -> None:
        self.last, self.sizes, self.told = last, list[int](), dict[str, int]()

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        stop = min(after + limit, self.last) + 1
        return [Entry(position, 0, Tick(listening=True)) for position in range(after + 1, stop)]

    def position(self) -> int:
        return 0

    def lost(self) -> None:
        return None

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: object = None) -> int:
        self.sizes.append(len(entries))
        self.last = min(self.last + 1, 100)
        return 0

    def consumed(self, consumer: str, position: int) -> None:
        self.told[consumer] = position

    def consumers(self) -> dict[str, int]:
        return self.told


class Failing:
    """A store or a view that raises what it has, as long as it has it."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.seen: list[int] = []

    def position(self) -> int:
        return 0

    def lost(self) -> None:
        return None

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: object = None) -> int:
        if self.error is not None:
            raise self.error
        self.seen += [entry.position for entry in entries]
        return 0

    def apply(self, entry: Entry, now_ms: int) -> None:
        if self.error is not None and entry.position == 2:
            raise self.error
        self.seen.append(entry.position)


def test_the_live_view_goes_on_when_the_log_can_be_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "RETRY_S", 0.01)

    async def story() -> None:
        log, view = ThreeTicks(), Failing(None)
        feeder = LiveFeeder(cast(Log, log), cast(Any, view), Clock(), 0)
        running = asyncio.create_task(feeder.run())
        await until(lambda: feeder.fault, "the fault is told")
        assert feeder.fault == "the log cannot be read"
        log.trouble = False
        await until(lambda: feeder.position == 3, "all is read")
        assert (view.seen, running.done()) == ([1, 2, 3], False)
        await until(lambda: not feeder.fault, "the fault is over")
        running.cancel()

    asyncio.run(story())


def test_the_live_view_outlives_a_fault_of_ours_tells_it_and_shows_no_entry_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "RETRY_S", 0.01)

    async def story() -> None:
        log, view = ThreeTicks(), Failing(ZeroDivisionError("ours"))
        log.trouble = False
        feeder = LiveFeeder(cast(Log, log), cast(Any, view), Clock(), 0)
        running = asyncio.create_task(feeder.run())
        await until(lambda: feeder.fault, "the fault is told")
        assert (feeder.fault, feeder.position) == ("ZeroDivisionError: ours", 1)
        view.error = None
        await until(lambda: not feeder.fault, "the fault is over")
        assert view.seen == [1, 2, 3]
        running.cancel()

    asyncio.run(story())


def test_the_store_writer_outlives_a_fault_of_ours_and_tells_it() -> None:
    log, store = ThreeTicks(), Failing(ZeroDivisionError("ours"))
    log.trouble = False
    writer = StoreWriter(cast(Log, log), cast(Store, store), Clock())
    writer.start()
    eventually(lambda: writer.fault, "the fault is told")
    assert writer.fault == "ZeroDivisionError: ours"
    store.error = None
    eventually(lambda: writer.position == 3, "all is written")
    writer.stop()
    assert (writer.fault, store.seen, log.told) == ("", [1, 2, 3], {"store": 3})


def test_a_writer_that_is_behind_writes_batch_after_batch_and_then_gathers_what_trickles_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumers, "STORE_BATCH", 2)
    monkeypatch.setattr(consumers, "GATHER_S", 3600.0)  # until it is stopped
    trickle = Trickle(5)
    writer = StoreWriter(cast(Log, trickle), cast(Store, trickle), Clock())
    writer.start()
    eventually(lambda: writer.position >= 5, "all that was there is written")
    writer.stop()
    assert trickle.sizes[:3] == [2, 2, 2], "behind: at once"
    assert len(trickle.sizes) <= 6, "one entry more came with each batch, and did not keep it writing"


class Ticked:
    """A log whose `append` or `cut` raises what it has, as long as it has it."""

    def __init__(self) -> None:
        self.trouble: dict[str, Exception] = {}
        self.ticks = self.cuts = 0

    def append(self, records: Sequence[Tick], at_ms: int) -> None:
        if "append" in self.trouble:
            raise self.trouble["append"]
        self.ticks += 1

    def cut(self, now_ms: int, *, cramped: bool = False) -> None:
        if "cut" in self.trouble:
            raise self.trouble["cut"]
        self.cuts += 1


class JustBefore(Clock):
    """A tick is due in a millisecond, always."""

    def now_ms(self) -> int:
        return TICK_MS - 1


@pytest.mark.parametrize("error", [LogFull("full"), OSError("refused"), ValueError("ours")])
def test_the_ticks_go_on_after_any_fault_of_appending_or_cutting_and_tell_it(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "CUT_EVERY_TICKS", 2)

    async def story() -> None:
        log = Ticked()
        ticker = Ticker(cast(Log, log), JustBefore(), asyncio.Event())
        running = asyncio.create_task(ticker.run())
        log.trouble["cut"] = error
        await until(lambda: log.ticks > 4, "ticks are written though nothing can be cut")
        assert str(error) in ticker.fault
        assert ticker.missed == 0
        log.trouble = {"append": error}
        await until(lambda: ticker.missed > 2, "what cannot be written is counted")
        assert str(error) in ticker.fault
        log.trouble = {}
        await until(lambda: not ticker.fault, "the fault is over")
        assert log.cuts > 0
        assert not running.done()
        running.cancel()

    asyncio.run(story())
