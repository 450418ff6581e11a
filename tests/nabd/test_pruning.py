"""An audit that cannot be pruned is told, and nothing else ends by it."""

import sqlite3
from pathlib import Path

from adapters.state.sqlite_state import SqliteState
from contract.decisions import Decision, Step
from contract.kind import DAY_MS
from contract.ports import Effects
from nabd.pruning import Pruner
from tests.console.fakes import FakeClock


def decision(number: int, at_ms: int) -> Decision:
    return Decision(
        decision=f"d{number}", at_ms=at_ms, asset="lamp-1", device="node-1", target="level", step=Step.WON,
        reason="r" * 500,
    )  # fmt: skip


def damage(path: Path) -> None:
    """Overwrite the first page of the audit's rows."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'decisions'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    raw = bytearray(path.read_bytes())
    raw[(root - 1) * size : (root - 1) * size + 64] = b"\xff" * 64
    path.write_bytes(raw)


def test_what_is_older_than_the_bound_goes(tmp_path: Path) -> None:
    state = SqliteState(tmp_path / "state.db")
    state.commit(Effects(decisions=[decision(day, day * DAY_MS) for day in range(10)]), 1)
    pruner = Pruner(state, FakeClock(10 * DAY_MS), days_max=4)
    pruner.prune()
    assert [one.at_ms // DAY_MS for one in state.decisions()] == [9, 8, 7, 6]
    assert pruner.fault == ""
    state.close()


def test_a_damaged_page_of_the_audit_is_told_and_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    state = SqliteState(path)
    state.commit(Effects(decisions=[decision(number, number) for number in range(100)]), 1)
    state.close()
    damage(path)
    state = SqliteState(path)
    pruner = Pruner(state, FakeClock(10 * DAY_MS), days_max=4)
    pruner.prune()
    assert pruner.fault.endswith(f"the state database cannot be written: {path}: database disk image is malformed")
    assert state.position() == 1
    state.close()
