"""What the recorder samples of a running platform stands in each sample of its health."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from bench.dashboards import figures
from console.live import LiveView
from contract.kind_file import load_kinds
from nabd.recorder import Recorder
from nabd.recording import make_recorder
from tests.nabd.test_recorder import Annals, Clock
from tests.nabd.test_recorder import state as state


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    with closing(SqliteLog(tmp_path / "log.db", bytes_max=50_000_000, days_max=30)) as log:
        yield log


def recorder_of(annals: Annals, log: SqliteLog, state: SqliteState, clock: Clock) -> Recorder:
    kinds = load_kinds()
    recorder = make_recorder(
        annals, log, state, LiveView(kinds), clock, kinds,
        totals=lambda: {"missing": 0, "gone": 0},
        health=lambda: {
            "left_out": {"store_passed_over": 4, **(recorder.left_out() if recorder else {})},
            "consumers": {"store": 1, "decider": 2, "live": 3},
        },
        log_bytes_max=50_000_000,
    )  # fmt: skip
    assert recorder is not None
    return recorder


def test_what_never_happened_is_a_zero_and_not_an_absent_field(log: SqliteLog, state: SqliteState) -> None:
    """A query of a field that nobody ever wrote has no answer, and an alert on it would be silent."""
    annals = Annals()
    recorder_of(annals, log, state, Clock()).look()
    [point] = annals.of("nabd_health")
    never = ("received", "accepted", "duplicate", "quarantined", "deferred", "store_refused")
    assert [point.fields[name] for name in never] == [0.0] * len(never)


def test_the_health_of_a_store_tells_what_was_left_out_of_it(log: SqliteLog, state: SqliteState) -> None:
    annals, clock = Annals(), Clock()
    recorder = recorder_of(annals, log, state, clock)
    annals.refuses = lambda point: True
    recorder.look()
    annals.refuses = lambda point: False
    clock.pass_s(10)
    log.append([], clock.now_ms(), counts={"store_refused": 7})
    recorder.look()
    [point] = annals.of("nabd_health")
    told = [point.fields[name] for name in ("store_passed_over", "recorder_dropped", "recorder_refused")]
    assert told == [4.0, 0.0, 1.0]
    assert point.fields["store_refused"] == 7.0


def test_the_benchmark_of_the_dashboards_writes_the_health_that_is_sampled(log: SqliteLog, state: SqliteState) -> None:
    annals = Annals()
    recorder_of(annals, log, state, Clock()).look()
    [point] = annals.of("nabd_health")
    assert point.fields.keys() == figures(1).keys()
