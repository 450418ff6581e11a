"""Before the log is full somebody is told, and a clock that jumps is named; the log's own time never goes back."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from contract.records import Tick
from nabd import log_watch
from nabd.log_watch import JUMP_TOLD_S, LogWatch
from tests.waiting import until

AT_MS = 1_795_457_855_000
HOUR_MS = 3_600_000


class Clock:
    def __init__(self, speed: float = 1.0) -> None:
        self.speed = speed
        self.ms, self.s = AT_MS, 1_000.0

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.s

    def pass_(self, seconds: float) -> None:
        self.s += seconds
        self.ms += round(seconds * 1000 * self.speed)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=10_000_000, days_max=30)) as log:
        yield log


def ticks(count: int) -> list[Tick]:
    return [Tick(listening=True)] * count


def grow(watch: LogWatch, log: SqliteLog, clock: Clock, minutes: int, a_minute: int = 6_000) -> None:
    for _ in range(minutes):
        log.append(ticks(a_minute), clock.now_ms())
        clock.pass_(60)
        watch.sample()


def test_how_long_there_is_room_follows_from_rate_and_bytes_and_from_what_the_slowest_has_not_read(
    log: SqliteLog, tmp_path: Path
) -> None:
    clock = Clock()
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    watch.sample()
    assert watch.full_in_s() is None, "nothing is known of the rate"
    grow(watch, log, clock, 5)
    log.consumed("decider", log.last())
    log.consumed("store", log.last())
    entry_bytes = log.size_bytes() / log.last()
    read = watch.full_in_s()
    assert read == pytest.approx(10_000_000 / (100 * entry_bytes), rel=0.1)
    log.consumed("store", log.last() // 2)
    behind = watch.full_in_s()
    assert read is not None
    assert behind == pytest.approx(read - log.last() / 2 / 100, rel=0.01), "what it has not read takes room"


def test_a_disk_smaller_than_the_bound_is_what_counts(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr("nabd.log_watch.os.statvfs", lambda _: Disk)
    clock = Clock()
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    grow(watch, log, clock, 3)
    log.consumed("store", 0)
    entry_bytes = log.size_bytes() / log.last()
    assert watch.full_in_s() == pytest.approx(40_960 / (100 * entry_bytes), rel=0.1)


def test_a_log_that_cannot_be_measured_is_told_until_it_can(
    log: SqliteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_watch, "SAMPLE_S", 0.001)

    async def story() -> None:
        watch = LogWatch(log, Clock(), tmp_path, bytes_max=10_000_000)
        with monkeypatch.context() as patch:
            patch.setattr(log, "last", lambda: int("ours"))
            running = asyncio.create_task(watch.run())
            await until(lambda: watch.fault.startswith("ValueError: "), "the fault is told")
        await until(lambda: not watch.fault, "it goes on")
        running.cancel()

    asyncio.run(story())


def test_a_log_that_does_not_grow_is_never_full(log: SqliteLog, tmp_path: Path) -> None:
    clock = Clock()
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    grow(watch, log, clock, 3, a_minute=0)
    assert watch.full_in_s() is None


@pytest.mark.parametrize("speed", [1.0, 60.0])
@pytest.mark.parametrize("by_h", [1, -1, 24, -24])
def test_a_jump_of_the_machines_clock_is_told_for_an_hour_and_counted(
    log: SqliteLog, tmp_path: Path, by_h: int, speed: float
) -> None:
    clock = Clock(speed)
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    for _ in range(10):
        watch.sample()
        clock.pass_(10)
    assert (watch.jump(), watch.jumps) == (None, 0)
    clock.ms += round(by_h * HOUR_MS * speed)
    watch.sample()
    jump = watch.jump()
    assert jump is not None
    assert (round(jump.by_s), jump.at_ms, watch.jumps) == (by_h * 3600, clock.ms, 1)
    clock.pass_(JUMP_TOLD_S + 1)
    watch.sample()
    assert (watch.jump(), watch.jumps) == (None, 1)


def test_a_clock_that_ntp_slews_has_not_jumped(log: SqliteLog, tmp_path: Path) -> None:
    clock = Clock()
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    for _ in range(1000):
        clock.pass_(10)
        clock.ms += 5  # 500 parts in a million
        watch.sample()
    assert watch.jump() is None


@pytest.mark.parametrize("back_ms", [HOUR_MS, 24 * HOUR_MS])
def test_after_a_step_back_the_logs_time_stands_until_the_clock_has_come_up_and_that_is_told(
    log: SqliteLog, tmp_path: Path, back_ms: int
) -> None:
    clock = Clock()
    watch = LogWatch(log, clock, tmp_path, bytes_max=10_000_000)
    log.append(ticks(1), clock.now_ms())
    assert watch.ahead_s() == 0
    clock.ms -= back_ms
    log.append(ticks(1), clock.now_ms())
    assert watch.ahead_s() == back_ms / 1000
    clock.pass_(back_ms / 1000 + 1)
    log.append(ticks(1), clock.now_ms())
    assert watch.ahead_s() == 0
    times = [entry.at_ms for entry in log.read(0, 10)]
    assert times == [AT_MS, AT_MS, AT_MS + 1000]
    assert log.last_at_ms() == AT_MS + 1000
