"""The judge sees what is missing, what is there twice, and what nobody measured: else a verdict is worth nothing."""

from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import pytest

from adapters.platform_client import PlatformClient
from tests.crash.journal import Journal
from tests.crash.verdict import Verdict, judge

NOW_MS = 1_795_457_855_400
Rows = list[tuple[int, Any]]


class Told:
    """An API that tells of one device what it measured, but for what `change` makes of one metric."""

    def __init__(self, journal: Journal, change: Callable[[Rows], Rows]) -> None:
        self.journal = journal
        self.change = change
        self.page = 7
        self.counts = {"accepted": journal.measured, "received": journal.measured}

    def get(self, path: str, **asked: Any) -> Any:
        journal = self.journal
        if path == "ledger":
            return {"duplicate": 0, "quarantined": 0, "deferred": 0, "missing": 0, "gone": 0, **self.counts}
        if path.endswith("/ledger"):
            return {"streams": [{"stream": journal.stream, "have": [[1, journal.measured]], "missing": [], "gone": []}]}
        rows = [(at_ms, values[asked["metric"]]) for at_ms, values in journal.readings() if asked["metric"] in values]
        rows = self.change(rows) if asked["metric"] == "temperature_c" else rows
        start_ms = round(datetime.fromisoformat(asked["start"]).timestamp() * 1000)
        rows = [row for row in rows if row[0] >= start_ms]
        document: dict[str, Any] = {"readings": [[text(at_ms), value] for at_ms, value in rows[: self.page]]}
        if len(rows) > self.page:
            document["next"] = text(rows[self.page][0])
        return document


def text(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


@pytest.fixture
def journal() -> Journal:
    journal = Journal("virtual-1", "waste_bin", Random(1))
    for n in range(20):
        journal.measure(1, NOW_MS + n * 10)
    return journal


def verdict(told: Told) -> Verdict:
    return judge(cast(PlatformClient, told), [told.journal])


def test_all_once_is_well(journal: Journal) -> None:
    assert verdict(Told(journal, lambda rows: rows)) == Verdict(readings=20)
    assert verdict(Told(journal, lambda rows: rows))


@pytest.mark.parametrize(
    ("change", "lost", "twice", "faults"),
    [
        (lambda rows: rows[:-1], 1, 0, 0),
        (lambda rows: [], 20, 0, 0),
        (lambda rows: [*rows, rows[-1]], 0, 1, 0),
        (lambda rows: [*rows[:-1], (rows[-1][0], 0.25)], 1, 0, 1),
        (lambda rows: [*rows[:-1], (rows[-1][0] + 1, rows[-1][1])], 1, 0, 1),
        (lambda rows: [*rows, (rows[-1][0] + 1, 3.0)], 0, 0, 1),
    ],
)
def test_what_is_wrong_is_seen(
    journal: Journal, change: Callable[[Rows], Rows], lost: int, twice: int, faults: int
) -> None:
    found = verdict(Told(journal, change))
    assert not found
    assert (found.lost, found.twice, len(found.faults)) == (lost, twice, faults)


def test_a_ledger_that_counts_otherwise_is_seen(journal: Journal) -> None:
    told = Told(journal, lambda rows: rows)
    told.counts = {"accepted": 21, "received": 22}
    assert len(verdict(told).faults) == 2
