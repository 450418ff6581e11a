"""A soak tells of every round it played, also of one that did not come to its end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.crash import soak
from tests.crash.play import Round
from tests.crash.verdict import Verdict


class Rounds:
    """In the place of `play`: those with these numbers do not come to their end."""

    def __init__(self, *stalled: int) -> None:
        self.stalled = {f"s/{number}" for number in stalled}
        self.played: list[str] = []

    def __call__(self, house: Path, *, seed: str, strokes: int, readings: int) -> Round:
        self.played.append(seed)
        (house / "evidence").touch()
        if seed in self.stalled:
            raise AssertionError("not within 120 s: every reading is kept")
        return Round(strokes, [], Verdict(readings=readings))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Any:
    @contextmanager
    def house(inside: Path, forge: object, disk: object) -> Iterator[Path]:
        yield inside

    def put(rounds: Rounds) -> Rounds:
        monkeypatch.setattr(soak, "play", rounds)
        return rounds

    monkeypatch.setattr(soak, "WAYS", [SimpleNamespace(name="fake", house=house)])
    monkeypatch.setattr(soak, "Forge", lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(soak, "SMALL_DISK_EVERY", 1_000)
    return put


def test_a_round_that_stalls_is_a_fault_for_good_and_leaves_its_folder(play: Any, tmp_path: Path) -> None:
    rounds = play(Rounds(1))
    kills = 2 * soak.STROKES
    assert not soak.soak_kills(tmp_path, "s", kills, 0)
    assert not soak.soak_kills(tmp_path, "s", kills, 0)
    assert rounds.played == ["s/0", "s/1", "s/2"]
    assert [path.parent.name for path in tmp_path.rglob("evidence")] == ["round-s-1"]
    [fault] = soak.Diary(tmp_path, "kills-s").faults
    assert "every reading is kept" in fault


def test_a_soak_whose_rounds_all_fail_ends(play: Any, tmp_path: Path) -> None:
    rounds = play(Rounds(*range(10)))
    assert not soak.soak_kills(tmp_path, "s", 1, 1)
    assert len(rounds.played) == soak.IN_VAIN_MAX
