"""The process dies at every named point of a reading's way, again and again: each reading is stored once in the end.

All lives of a point are one city. What was acknowledged or named as kept in a life is known in every later one.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adapters.stores.duckdb_store import DuckStore
from contract.kind_file import load_kinds
from tests.crash.journal import MEASURES, Journal, named
from tests.crash.points import POINTS
from tests.crash.rooms import Life, Lives

SEED = "20261124"
LIVES = 4  # of each point
BATCHES = 12  # a life
ALSO_MAX = 16  # ranges in a `kept`, by docs/wire.md
MEASURED = 60  # readings a device and life

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    lives = Lives()
    yield lives
    lives.close()


class City:
    """The devices, and what each was ever told is kept."""

    def __init__(self, folder: Path, lives: Lives, seed: str) -> None:
        self.folder, self._lives = folder, lives
        self.chance = Random(seed)
        self.journals = [
            Journal(f"virtual-{n}", kind, Random(f"{seed}/{n}")) for n, kind in enumerate(sorted(MEASURES))
        ]
        self._kept: dict[str, set[int]] = {journal.name: set() for journal in self.journals}
        self._acknowledged: dict[str, set[int]] = {journal.name: set() for journal in self.journals}
        self.kills = 0

    def live(self, point: str, hit: int, measured: int = MEASURED) -> None:
        """One life, which ends at the `hit`-th passing of the point, or by itself when it passes it less often."""
        for journal in self.journals:
            journal.measure(measured, int(time.time() * 1000))
        sent: dict[str, tuple[Journal, bytes]] = {}
        for number in range(1, BATCHES + 1):
            for n in range(self.chance.randint(1, 4)):
                journal = self.chance.choice(self.journals)
                if seqs := journal.choose(()):
                    sent[f"{number}.{n}"] = journal, journal.telemetry(seqs)
        numbers = sorted({int(token.partition(".")[0]) for token in sent})
        orders = {number: [token for token in sent if token.startswith(f"{number}.")] for number in numbers}
        tokens = [[sent[token] for token in orders[number]] for number in numbers]
        life = Life(
            folder=str(self.folder),
            devices={journal.name: journal.kind for journal in self.journals},
            batches=[[(journal.name, payload.decode()) for journal, payload in batch] for batch in tokens],
            ask=[(journal.name, journal.stream) for journal in self.journals],
            point=point,
            hit=hit,
        )
        status, said = self._lives.live(life)
        assert status in (0, -9), "it ended by itself or was killed"
        self.kills += status == -9
        self._hear(said, tokens)

    def _hear(self, said: list[list[str]], batches: list[list[tuple[Journal, bytes]]]) -> None:
        names = {journal.name: journal for journal in self.journals}
        asked = set(names)  # the first word of a life is of what earlier ones left
        for what, *words in said:
            if what == "ack":
                number, n = map(int, words[0].split("."))
                journal, payload = batches[number - 1][n]
                self._acknowledged[journal.name] |= {one["seq"] for one in json.loads(payload)["readings"]}
                continue
            device, payload = words[0], json.loads(words[1])
            known = set(named(payload, range(1, names[device].measured + 1)))
            if len(payload.get("also", ())) < ALSO_MAX:  # it names all there is
                assert known >= self._kept[device], "what was kept is kept"
                assert device not in asked or known >= self._acknowledged[device], "what was acknowledged is kept"
            asked.discard(device)
            self._kept[device] |= known
            names[device].hear(words[1].encode())

    def stored(self) -> Counter[tuple[str, str, int, int, str]]:
        with closing(DuckStore(self.folder / "store.duckdb", load_kinds())) as store:
            return Counter(
                (entry.record.device, entry.record.stream, one.seq, one.measured_at_ms, _text(one.values))
                for entry in store.history(0, 2**53)
                for one in entry.record.readings
            )

    def measured(self) -> Counter[tuple[str, str, int, int, str]]:
        return Counter(
            (journal.name, journal.stream, seq, at_ms, _text({name: _plain(value) for name, value in values.items()}))
            for journal in self.journals
            for seq, (at_ms, values) in enumerate(journal.readings(), 1)
        )


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def _text(values: Any) -> str:
    return json.dumps(dict(sorted(values.items())))


@pytest.mark.parametrize("point", POINTS)
def test_what_dies_here_loses_nothing_and_stores_nothing_twice(point: str, tmp_path: Path, lives: Lives) -> None:
    city = City(tmp_path, lives, f"{SEED}/{point}")
    for n in range(LIVES):
        city.live(point, 1 if n % 2 == 0 else city.chance.randint(1, 9))
    assert city.kills >= LIVES // 2, "the point is on the way"
    while any(journal.held for journal in city.journals):
        city.live("", 1, measured=0)
    assert city.stored() == city.measured()
