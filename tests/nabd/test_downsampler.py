"""The downsampler goes on whatever happens, says how far it is, and retires what is old in between."""

import logging
from pathlib import Path

import pytest

from adapters.stores.duckdb_store import DuckStore
from contract.aggregates import HOUR_MS, Behind, Step
from contract.ports import StoreFault
from nabd.downsampler import RETIRE_EVERY_S, Downsampler
from tests.adapters_stores.aggregating import aggregates, wanted
from tests.adapters_stores.conftest import KINDS
from tests.adapters_stores.entries import AT_MS, telemetry
from tests.nabd.test_recorder import Clock
from tests.waiting import eventually


class Store:
    """Has `hours` to aggregate and `old` rows to retire."""

    def __init__(self, hours: int = 0, old: int = 0) -> None:
        self.hours, self.old = hours, old
        self.asked: list[str] = []
        self.away = False

    def downsample(self, now_ms: int) -> Step | None:
        self.asked.append("downsample")
        if self.away:
            raise StoreFault("the store is away")
        if not self.hours:
            return None
        self.hours -= 1
        return Step(kind="street_light", start_ms=0, end_ms=HOUR_MS, rows=2)

    def retire(self, now_ms: int) -> int:
        self.asked.append("retire")
        gone = min(self.old, 10)
        self.old -= gone
        return gone

    def behind(self, now_ms: int) -> Behind:
        return Behind(hours=self.hours, oldest_ms=now_ms - 3 * HOUR_MS if self.hours else None)


def test_what_is_old_goes_also_while_late_readings_keep_coming() -> None:
    store = Store(hours=3, old=15)
    downsampler = Downsampler(store, Clock())
    while downsampler.step():
        pass
    assert store.asked == ["downsample", "retire"] * 3 + ["downsample"]
    assert (downsampler.steps, downsampler.retired) == (3, 15)


def test_what_is_old_is_looked_for_now_and_then() -> None:
    store, clock = Store(), Clock()
    downsampler = Downsampler(store, clock)
    for _ in range(3):
        downsampler.step()
    assert store.asked.count("retire") == 1
    clock.pass_s(RETIRE_EVERY_S)
    downsampler.step()
    assert store.asked.count("retire") == 2


def test_it_tells_how_far_behind_it_is() -> None:
    store = Store(hours=2)
    downsampler = Downsampler(store, Clock())
    assert downsampler.figures() == {"hours_behind": 2, "seconds_behind": 7200, "steps": 0, "rows_retired": 0}
    while downsampler.step():
        pass
    assert downsampler.figures() == {"hours_behind": 0, "seconds_behind": 0, "steps": 2, "rows_retired": 0}


def test_a_long_way_is_told_at_its_beginning_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    downsampler = Downsampler(Store(hours=100), Clock())
    with caplog.at_level(logging.INFO, "downsampler"):
        while downsampler.step():
            pass
    assert [record.getMessage() for record in caplog.records] == [
        "event=aggregating hours_left=99",
        "event=aggregated steps=100",
    ]


def test_a_store_that_is_away_is_a_fault_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nabd.downsampler.LOOK_S", 0.01)
    store = Store(hours=1)
    store.away = True
    downsampler = Downsampler(store, Clock())
    downsampler.start()
    try:
        eventually(lambda: downsampler.fault == "the store is away", "the fault is told")
        store.away = False
        eventually(lambda: downsampler.fault == "" and store.hours == 0, "it goes on")
    finally:
        downsampler.stop()


def test_a_folder_from_before_there_were_aggregates_gets_them(tmp_path: Path) -> None:
    entries = [telemetry(n, n, at_ms=AT_MS + n * HOUR_MS) for n in range(1, 60)]
    store = DuckStore(tmp_path / "store.duckdb", KINDS)
    store.write(entries, AT_MS)
    for name in ("marks", "retired", *(f"{width}_{kind}" for width in ("five_minutes", "hours") for kind in KINDS)):
        store._connection.execute(f"DROP TABLE {name}")  # as such a folder is
    store.close()
    store = DuckStore(tmp_path / "store.duckdb", KINDS)
    clock = Clock()
    clock.city_ms = AT_MS + 100 * HOUR_MS
    downsampler = Downsampler(store.aggregates, clock)
    assert downsampler.behind().hours == 59
    while downsampler.step():
        pass
    assert aggregates(store) == wanted(entries)
    store.close()
