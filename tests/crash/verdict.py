"""What the devices measured against what the API tells of the store: nothing lost, nothing twice, nothing else."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from adapters.platform_client import PlatformClient
from tests.crash.journal import SURE, Journal, Value

PAGE = 50_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Verdict:
    """Readings: how many there must be, are missing, are there once too often; and every other thing that is wrong."""

    readings: int = 0
    lost: int = 0
    twice: int = 0
    faults: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Is all as it must be?"""
        return not (self.lost or self.twice or self.faults)


def judge(client: PlatformClient, devices: list[Journal]) -> Verdict:
    verdict = Verdict()
    for device in devices:
        _judge_readings(verdict, client, device)
        _judge_ledger(verdict, client, device)
    counts = client.get("ledger")
    wanted = {"accepted": verdict.readings, "quarantined": 0, "deferred": 0, "missing": 0, "gone": 0}
    verdict.faults += [
        f"the ledger counts {counts[name]} {name}, not {n}" for name, n in wanted.items() if counts[name] != n
    ]
    if counts["received"] != counts["accepted"] + counts["duplicate"]:
        verdict.faults.append(f"the ledger's counts do not add up: {counts}")
    return verdict


def _judge_readings(verdict: Verdict, client: PlatformClient, device: Journal) -> None:
    """Each metric by itself: what is wrong with the one that every reading has is wrong with readings."""
    wanted: dict[str, Counter[tuple[int, Value]]] = {}
    for at_ms, values in device.readings():
        for metric, value in values.items():
            wanted.setdefault(metric, Counter())[at_ms, value] += 1
    verdict.readings += device.measured
    for metric, measured in wanted.items():
        stored = Counter(_stored(client, device.name, metric))
        lost, more = measured - stored, stored - measured
        twice = sum(count for reading, count in more.items() if reading in measured)
        if metric == SURE[device.kind]:
            verdict.lost += lost.total()
            verdict.twice += twice
        elif lost or twice:
            verdict.faults.append(f"{device.name} {metric}: {lost.total()} lost, {twice} twice")
        alien = [reading for reading in more if reading not in measured]
        if alien:
            verdict.faults.append(f"{device.name} {metric}: {len(alien)} never measured so, as {alien[:3]}")


def _stored(client: PlatformClient, device: str, metric: str) -> Iterator[tuple[int, Value]]:
    start: str | None = "2000-01-01T00:00:00Z"
    while start is not None:
        page = client.get(
            f"devices/{device}/readings", metric=metric, start=start, end="2100-01-01T00:00:00Z", limit=PAGE
        )
        for at, value in page["readings"]:
            yield (datetime.fromisoformat(at) - EPOCH) // timedelta(milliseconds=1), value
        start = page.get("next")


def _judge_ledger(verdict: Verdict, client: PlatformClient, device: Journal) -> None:
    told = client.get(f"devices/{device.name}/ledger")["streams"]
    have = [(row["stream"], row["have"], row["missing"], row["gone"]) for row in told]
    if have != [(device.stream, [[1, device.measured]], [], [])]:
        verdict.faults.append(f"{device.name}: the ledger says {have}, not 1 to {device.measured} of {device.stream}")
