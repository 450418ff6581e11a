"""A small city for the tests: kinds of the house, and a driver that writes log entries in order."""

from collections.abc import Sequence
from typing import Any

from actuation.arbiter import Arbiter, Outcome
from contract.decisions import Decision, Intent, IntentEnd, IntentState, Lease, Rank, Step
from contract.kind_file import load_kinds
from contract.records import (
    Entry,
    LeaseSent,
    LeaseUnconfirmed,
    Record,
    Registered,
    Reported,
    Status,
    Tick,
    Wished,
    Withdrawn,
)

KINDS = load_kinds()
S, M, H = 1_000, 60_000, 3_600_000
START_MS = 1_795_460_400_000  # 2026-11-23T19:00:00Z, 20:00 in Casablanca
ZONE = "Africa/Casablanca"
VALVE = {"open_s_max": 1800.0, "open_s_max_per_day": 7200.0, "rest_s_min": 300.0}


class City:
    """One arbiter and its log. Times in the calls are ms since START_MS; they never go back."""

    def __init__(self) -> None:
        self.arbiter = Arbiter(KINDS, ZONE)
        self.position = 0
        self.now_ms = START_MS
        self.decisions: list[Decision] = []
        self.states: dict[str, IntentState] = {}
        self.leases: list[Lease] = []  # as made
        self.latest: dict[str, Lease] = {}  # device → with how far it got
        self.entries: list[tuple[Entry, list[Intent], list[IntentEnd]]] = []

    def put(
        self, record: Record, at: int | None = None, intents: Sequence[Intent] = (), ends: Sequence[IntentEnd] = ()
    ) -> list[Decision]:
        """Append a record and decide it; the decisions it caused."""
        if at is not None:
            self.now_ms = START_MS + at
        self.position += 1
        entry = Entry(self.position, self.now_ms, record)
        self.entries.append((entry, list(intents), list(ends)))
        rows: list[Decision] = []
        for outcome in decide(self.arbiter, entry, intents, ends):
            rows += outcome.decisions
            self.states.update({state.intent.intent: state for state in outcome.intents})
            for lease in outcome.leases:
                self.latest[lease.device] = lease
                if lease.state is Step.LEASED:
                    self.leases.append(lease)
        self.decisions += rows
        return rows

    # ---- what happens

    def tick(self, at: int) -> list[Decision]:
        return self.put(Tick(listening=True), at)

    def lamp(self, device: str = "node-1", asset: str = "lamp-1") -> list[Decision]:
        return self.put(Registered(device=device, kind="street_light", commune="berkane", asset=asset))

    def valve(self, device: str = "node-1", asset: str = "valve-1", **settings: float) -> list[Decision]:
        facts = {**VALVE, **settings}
        return self.put(
            Registered(device=device, kind="irrigation_valve", commune="berkane", asset=asset, settings=facts)
        )

    def rule(self, at: int, intent: Intent) -> list[Decision]:
        return self.put(Tick(listening=True), at, [intent])

    def ends(self, at: int, intent: str, *, lapse: bool = False) -> list[Decision]:
        return self.put(Tick(listening=True), at, ends=[IntentEnd(intent=intent, lapse=lapse)])

    def operator(
        self, at: int, intent: str, to: float, until: int, *, assets: tuple[str, ...] = ("lamp-1",),
        target: str = "level", rank: str = "operator", by: str = "amina",
    ) -> list[Decision]:  # fmt: skip
        return self.put(
            Wished(intent=intent, assets=assets, target=target, to=to, until_ms=START_MS + until, rank=rank,
                   reason="road works", by=by),
            at,
        )  # fmt: skip

    def withdraw(self, at: int, intent: str) -> list[Decision]:
        return self.put(Withdrawn(intent=intent, by="amina"), at)

    def answer(self, at: int, result: str = "applied", device: str = "node-1", **facts: Any) -> list[Decision]:
        """The device answers its last lease."""
        lease = self.latest.get(device)
        fields: dict[str, Any] = {"n": 1, "boot": 1, "version": lease.version if lease else 0, "state": {}, "by": {}}
        return self.put(Reported(device=device, result=result, **{**fields, **facts}), at)

    def born(self, at: int, boot: int, device: str = "node-1") -> list[Decision]:
        return self.put(Status(device=device, online=True, n=1, boot=boot, reset="watchdog"), at)

    def broker_has_it(self, at: int, device: str = "node-1") -> list[Decision]:
        return self.put(LeaseSent(device=device, version=self.latest[device].version), at)

    def silence(self, at: int, device: str = "node-1") -> list[Decision]:
        return self.put(LeaseUnconfirmed(device=device, version=self.latest[device].version, waited_s=30.0), at)

    # ---- what is

    def wants(self, device: str = "node-1") -> dict[str, tuple[float, int]]:
        """Target → (value, until in ms since START_MS) of the device's last lease."""
        lease = self.latest.get(device)
        return {name: (one.to, one.until_ms - START_MS) for name, one in lease.targets.items()} if lease else {}


def decide(
    arbiter: Arbiter, entry: Entry, intents: Sequence[Intent], ends: Sequence[IntentEnd]
) -> tuple[Outcome, Outcome]:
    return arbiter.apply(entry), arbiter.wish(entry, intents, ends)


def by_rule(
    name: str, at: int, to: float = 0.5, *, asset: str = "lamp-1", target: str = "level", lease: int | None = H,
    until: int | None = None, rule: str = "dim", rank: Rank = Rank.RULE,
) -> Intent:  # fmt: skip
    return Intent(
        intent=name, asset=asset, target=target, to=to, rank=rank, reason=f"rule:{rule}", by=rule,
        decided_at_ms=START_MS + at, until_ms=None if until is None else START_MS + until, lease_ms=lease,
    )  # fmt: skip


def steps(rows: Sequence[Decision]) -> list[tuple[str, str]]:
    return [(row.step.value, row.intent) for row in rows]
