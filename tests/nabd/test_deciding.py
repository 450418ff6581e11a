"""The decider meets a state database that refuses: it says so, tries again, and ends without a traceback."""

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actuation.arbiter import Arbiter
from actuation.dispatch import Dispatcher
from adapters.clock import CityClock
from adapters.log.sqlite_log import SqliteLog
from adapters.state.sqlite_state import SqliteState
from contract.kind_file import load_kinds
from contract.ports import Effects, SnapshotFault
from contract.records import Conflicted, Reading, Registered, Telemetry
from nabd.deciding import Decider, Registry
from rules.engine import Engine
from rules.identity import RULE
from tests.rules.story import SITE
from tests.waiting import eventually


class Fragile(SqliteState):
    """A state database whose disk is full while `full`."""

    full = False

    def commit(self, effects: Effects, position: int, snapshot: bytes | None = None) -> None:
        if self.full:
            raise OSError(28, "the state database cannot be written: full")
        super().commit(effects, position, snapshot)


class City:
    def __init__(self, folder: Path) -> None:
        kinds = load_kinds()
        self.log = SqliteLog(folder / "log.db", bytes_max=10**8, days_max=30)
        self.state = Fragile(folder / "state.db")
        self.clock = CityClock()
        self.decider = Decider(
            self.log, self.state, Engine(kinds, SITE), Arbiter(kinds, SITE.timezone), Registry([]),
            Dispatcher(self._publish, self.clock, lambda _: None, kinds), self.clock,
        )  # fmt: skip
        self.log.on_append.append(self.decider.notify)
        self.decider.start()

    def _publish(self, *_: Any, **__: Any) -> None: ...

    def register(self, device: str) -> int:
        record = Registered(device=device, kind="waste_bin", commune="berkane", asset=device)
        return self.log.append([record], self.clock.now_ms())

    def close(self) -> None:
        self.state.close()
        self.log.close()


def test_what_could_not_be_committed_is_decided_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    city = City(tmp_path)
    city.state.full = True
    waiting = city.decider.wait_for(city.register("bin-1"))
    eventually(lambda: city.decider.fault, "the fault is told")
    assert "full" in city.decider.fault
    city.state.full = False
    assert waiting.result(10.0) == 1
    assert city.state.device("bin-1") is not None
    city.decider.stop()
    assert city.decider.fault == ""
    (said,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not said.exc_info
    city.close()


def test_a_full_disk_at_the_end_is_one_line_and_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    city = City(tmp_path)
    city.decider.wait_for(city.register("bin-1")).result(10.0)
    city.state.full = True
    city.decider.stop()
    assert "event=snapshot_not_saved" in caplog.text
    city.close()
    again = City(tmp_path)
    assert again.state.device("bin-1") is not None
    again.decider.stop()
    again.close()


@pytest.mark.parametrize("snapshot", [b"junk", msgspec.msgpack.encode((b"junk", b"junk"))])
def test_a_snapshot_of_another_form_is_refused_at_the_start_instead_of_half_restored(
    tmp_path: Path, snapshot: bytes
) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.commit(Effects(), 0, snapshot)
    state.close()
    with pytest.raises(SnapshotFault, match="not a snapshot of the"):
        City(tmp_path)


def test_two_nodes_under_one_identity_are_an_alarm_that_a_crash_changes_nothing_of(tmp_path: Path) -> None:
    """From conflicts that ingest noted; also when the snapshot is one of before, which knows of no such watch."""
    city = City(tmp_path)
    kinds = load_kinds()
    old = msgspec.msgpack.encode((Engine(kinds, SITE).snapshot(), Arbiter(kinds, SITE.timezone).snapshot()))
    city.decider.stop()
    city.state.commit(Effects(), 0, old)
    city.close()
    city = City(tmp_path)
    city.register("bin-1")
    reading = Reading(1, city.clock.now_ms(), {"fill_level": 0.5})
    telemetry = Telemetry(
        device="bin-1", asset="bin-1", kind="waste_bin", stream="9f3c01aa", boot=1, readings=(reading,)
    )
    city.log.append([telemetry], city.clock.now_ms())
    for _ in range(3):
        position = city.log.append([Conflicted(device="bin-1", stream="9f3c01aa", seq=1)], city.clock.now_ms())
    city.decider.wait_for(position).result(10.0)
    _, (row,) = city.state.alarms(open_only=True, asset="bin-1")
    assert (row.alarm.rule, row.alarm.device) == (RULE, "bin-1")
    city.state.full = True  # no snapshot at the end: the next start decides the same entries again
    city.decider.stop()
    city.close()
    again = City(tmp_path)
    again.decider.stop()  # when all that is there is decided
    assert [one.alarm for one in again.state.alarms()[1]] == [row.alarm]
    again.close()
