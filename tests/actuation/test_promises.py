"""Whatever happens, in whatever order: the promises of actuation, driven by Hypothesis.

A lamp and a valve live through random wishes, withdrawals, lost messages, answers, resets, swaps and time. The valve in
the street is modelled apart from the arbiter: it obeys the leases it hears, misses others, closes by its own clock,
and what it does is held against the hard limits. The winner is found anew from the intents whose last state is no end.
"""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actuation.arbiter import Arbiter
from actuation.interlocks import local_day
from contract.decisions import Intent, Lease, Rank, Step, identify
from tests.actuation.city import KINDS, START_MS, VALVE, ZONE, City, M, S, by_rule, decide

RANKS = ("maintenance", "emergency", "operator", "event", "schedule")
OVER = {Step.VETOED, Step.REFUSED, Step.INTERRUPTED, Step.WITHDRAWN, Step.EXPIRED}
TARGETS = {"lamp-1": ("level", "node-1"), "valve-1": ("open", "node-2")}
RUN_MS, DAY_MS, REST_MS = 1800 * S, 3000 * S, 300 * S


class Street(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.city = City()
        self.at = 0
        self.number = 0
        self.wished: dict[str, Intent] = {}  # every intent that ever was
        self.made = 0  # leases read so far
        # The valve in the street: the version it holds, when it opened and when it closes by itself.
        self.version = 0
        self.boot, self.booted = 1, -1
        self.opened: int | None = None
        self.closes = 0
        self.runs: list[tuple[int, int]] = []

    @initialize()
    def register(self) -> None:
        self.city.lamp("node-1", "lamp-1")
        self.city.valve("node-2", "valve-1", open_s_max_per_day=DAY_MS // S)
        self.city.born(0, self.boot, "node-2")

    # ---- wishes

    @rule(
        asset=st.sampled_from(sorted(TARGETS)), to=st.sampled_from([0.0, 0.5, 1.0]),
        minutes=st.integers(1, 90), rank=st.sampled_from(RANKS),
    )  # fmt: skip
    def somebody_wishes(self, asset: str, to: float, minutes: int, rank: str) -> None:
        target, _ = TARGETS[asset]
        to = float(round(to)) if target == "open" else to
        name, until = self._name(), self.at + minutes * M
        wish = Intent(
            intent=name, asset=asset, target=target, to=to, rank=Rank[rank.upper()], reason="", by="amina",
            decided_at_ms=START_MS + self.at, until_ms=START_MS + until,
        )  # fmt: skip
        self._born(wish)
        self.city.operator(self.at, name, to, until, assets=(asset,), target=target, rank=rank)

    @rule(
        asset=st.sampled_from(sorted(TARGETS)), to=st.sampled_from([0.0, 1.0]), lease=st.integers(1, 40),
        age_s=st.integers(0, 240),
    )  # fmt: skip
    def a_rule_wishes(self, asset: str, to: float, lease: int, age_s: int) -> None:
        target, _ = TARGETS[asset]
        wish = by_rule(self._name(), self.at - age_s * S, to, asset=asset, target=target, lease=lease * M)
        self._born(wish)
        rows = self.city.rule(self.at, wish)
        if age_s > 120:
            assert [row.step for row in rows if row.intent == wish.intent] == [Step.VETOED]

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), lapse=st.booleans())
    def one_ends(self, data: st.DataObject, lapse: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self._alive())))
        if self.wished[name].rank is Rank.RULE:
            self.city.ends(self.at, name, lapse=lapse)
        else:
            self.city.withdraw(self.at, name)

    # ---- time, messages, resets

    @rule(seconds=st.integers(1, 1200))
    def time_passes(self, seconds: int) -> None:
        """The valve sees every moment; the arbiter may have been away for all of them but the last."""
        self.at += seconds * S
        self._valve_clock()
        self.city.tick(self.at)

    @rule(answers=st.booleans())
    def the_valve_hears_its_last_lease(self, answers: bool) -> None:
        lease = self.city.latest.get("node-2")
        if lease is None:
            return
        result = self._valve_hears(lease)
        if answers:
            self._valve_says(result, lease.version)

    @rule(
        pauses=st.lists(st.sampled_from([0, 1, 60, 299, 300, 301, 600, 1500, 1800]), min_size=1, max_size=6),
        minutes=st.sampled_from([1, 5, 20, 30, 40]), messages=st.sampled_from(["heard", "answered", "lost"]),
    )  # fmt: skip
    def somebody_waters_again_and_again(self, pauses: list[int], minutes: int, messages: str) -> None:
        for seconds in pauses:
            self.somebody_wishes("valve-1", 1.0, minutes, "operator")
            if messages != "lost":
                self.the_valve_hears_its_last_lease(messages == "answered")
            self.time_passes(max(1, seconds))
            self.the_valve_keeps_its_limits_whatever_it_missed()

    @rule(answers=st.booleans())
    def the_valve_is_reset(self, answers: bool) -> None:
        """It closes, forgets, and is born before it hears anything more."""
        self.boot, self.booted = self.boot + 1, self.at
        version, self.version = self.version, 0
        was_open = self.opened is not None
        self._close(self.at)
        self.city.born(self.at, self.boot, "node-2")
        if was_open and answers:
            self._valve_says("interrupted", version)

    @rule(
        result=st.sampled_from(["applied", "refused", "overridden", "expired", "stale", "interrupted"]),
        ahead=st.integers(-2, 1),
    )
    def the_lamp_says_anything(self, result: str, ahead: int) -> None:
        lease = self.city.latest.get("node-1")
        version = max(0, (lease.version if lease else 0) + ahead)
        self.city.answer(self.at, result, "node-1", version=version, code="over_limit" if result == "refused" else "")

    @rule(device=st.sampled_from(["node-1", "node-2"]))
    def the_broker_or_the_deadline_speaks(self, device: str) -> None:
        if device in self.city.latest:
            self.city.broker_has_it(self.at, device)
            self.city.silence(self.at, device)

    # ---- promises

    @invariant()
    def one_winner_and_it_is_the_strongest_that_is_alive(self) -> None:
        for asset, (target, device) in TARGETS.items():
            ruling = self.city.arbiter.ruling(asset)
            rivals = [one for one in self._alive().values() if one.asset == asset]
            lease = self.city.latest.get(device)
            if not rivals:
                assert ruling == {}
                assert lease is None or not lease.targets
                continue
            best = max(rivals, key=lambda one: (one.rank, one.decided_at_ms, one.intent))
            assert ruling == {target: best.intent}
            assert lease is not None
            assert {name: one.intent for name, one in lease.targets.items()} == {target: best.intent}

    @invariant()
    def an_expired_wish_never_rules(self) -> None:
        now_ms = START_MS + self.at
        for one in self._alive().values():
            assert one.until_ms is None or one.until_ms > now_ms
        for lease in self.city.latest.values():
            for target in lease.targets.values():
                assert target.until_ms > now_ms
                end_ms = self.wished[target.intent].until_ms
                assert end_ms is None or target.until_ms <= end_ms

    @invariant()
    def versions_grow_and_decisions_are_named_once(self) -> None:
        for lease in self.city.leases[self.made :]:
            earlier = [one.version for one in self.city.leases[: self.made] if one.device == lease.device]
            assert not earlier or lease.version > earlier[-1]
            self.made += 1
        assert len({row.decision for row in self.city.decisions}) == len(self.city.decisions)

    @invariant()
    def the_valve_keeps_its_limits_whatever_it_missed(self) -> None:
        runs = list(self.runs)
        if self.opened is not None:
            runs.append((self.opened, self.closes))  # it may hear nothing any more
        for start, end in runs:
            assert end - start <= RUN_MS
        for (_, end), (start, _) in pairwise(runs):
            assert start - end >= REST_MS
        zone = ZoneInfo(ZONE)
        day_ms, next_day_ms = local_day(START_MS + self.at, zone)
        assert datetime.fromtimestamp(day_ms / 1000, zone).hour == 0
        for low, high in ((day_ms, next_day_ms), local_day(next_day_ms, zone)):
            used = sum(max(0, min(START_MS + end, high) - max(START_MS + start, low)) for start, end in runs)
            assert used <= DAY_MS

    @invariant()
    def a_restored_arbiter_is_the_same_arbiter(self) -> None:
        twin = Arbiter(KINDS, ZONE)
        twin.restore(self.city.arbiter.snapshot())
        assert twin.snapshot() == self.city.arbiter.snapshot()
        assert twin.ruling("valve-1") == self.city.arbiter.ruling("valve-1")

    def teardown(self) -> None:
        """A replay from the start, and one from every snapshot on the way, has the same outcomes."""
        for start in (0, len(self.city.entries) // 2):
            again, told = Arbiter(KINDS, ZONE), []
            for n, (entry, intents, ends) in enumerate(self.city.entries):
                if n == start:
                    snapshot, again = again.snapshot(), Arbiter(KINDS, ZONE)
                    again.restore(snapshot)
                for outcome in decide(again, entry, intents, ends):
                    told += outcome.decisions
            assert told == self.city.decisions
            assert again.snapshot() == self.city.arbiter.snapshot()

    # ---- the model

    def _name(self) -> str:
        self.number += 1
        return identify("wish", self.number)

    def _born(self, wish: Intent) -> None:
        self.wished[wish.intent] = wish

    def _alive(self) -> dict[str, Intent]:
        """Those whose last state is no end."""
        return {name: wish for name, wish in self.wished.items() if self.city.states[name].step not in OVER}

    def _valve_clock(self) -> None:
        if self.opened is not None and self.closes <= self.at:
            self._close(self.closes)

    def _close(self, at: int) -> None:
        if self.opened is not None:
            if at > self.opened:
                self.runs.append((self.opened, at))
            self.opened = None

    def _valve_hears(self, lease: Lease) -> str:
        self._valve_clock()
        if lease.version <= self.version:
            return "stale"
        self.version = lease.version
        wanted = lease.targets.get("open")
        if wanted is None or wanted.to == 0.0:
            self._close(self.at)
        elif lease.issued_ms - START_MS <= self.booted:
            self._close(self.at)  # it may have been running when the valve was reset: not taken up again
            return "interrupted"
        elif self._rests_from_late_news(lease):
            return "refused"
        else:
            self.closes = wanted.until_ms - START_MS
            if self.opened is None:
                self.opened = self.at
        return "applied"

    def _rests_from_late_news(self, lease: Lease) -> bool:
        """A run made longer in time, but heard after the valve had closed by its clock: its own rest refuses it.

        Only the device can know that. A lease made after the close is the arbiter's to answer for.
        """
        if self.opened is not None or not self.runs:
            return False
        closed = self.runs[-1][1]
        return lease.issued_ms - START_MS < closed and self.at - closed < REST_MS

    def _valve_says(self, result: str, version: int) -> None:
        if result == "stale" and self.opened is None:
            result = "expired" if self.city.latest["node-2"].targets else "applied"
        by = {"open": "lease" if self.opened is not None else "safe"}
        code = "over_limit" if result == "refused" else ""
        self.city.answer(self.at, result, "node-2", version=version, boot=self.boot, by=by, code=code)


def test_the_limits_of_the_model_are_those_of_the_valve() -> None:
    assert (VALVE["open_s_max"] * S, VALVE["rest_s_min"] * S) == (RUN_MS, REST_MS)


TestStreet = Street.TestCase
TestStreet.settings = settings(max_examples=120, stateful_step_count=30, deadline=None, derandomize=True)
