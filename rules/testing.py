"""Runs the tests that rule authors ship beside their rules, on the real engine and on generated entries of the log."""

from collections.abc import Iterator, Mapping

import msgspec

from contract.decisions import Alarm, AlarmState, Intent
from contract.kind import Kinds
from contract.records import TICK_MS, Entry, Reading, Record, RulesLoaded, Telemetry, Tick
from contract.site import Site
from rules.cases import Case, Expectation, read_tests
from rules.engine import Engine
from rules.lifecycle import Outcome
from rules.loader import load


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one test; `failures` has a few lines for each expectation that was not met."""

    __test__ = False  # pytest: this is no test class

    file: str
    line: int
    name: str
    failures: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return not self.failures


def run(files: Mapping[str, str], test_files: Mapping[str, str], kinds: Kinds, site: Site) -> list[TestResult]:
    """Run every test of `test_files` (name → text) against the rules of `files`, in order.

    Raises DocumentFault with all faults when the rules or the tests can't be read.
    """
    ruleset = load(files, kinds, site)
    cases = read_tests(test_files, ruleset, kinds, site)
    return [
        TestResult(file=case.file, line=case.line, name=case.name, failures=tuple(_Run(case, files, kinds, site).run()))
        for case in cases
    ]


class _Run:
    """One case, played from its first moment to its last expectation."""

    def __init__(self, case: Case, files: Mapping[str, str], kinds: Kinds, site: Site) -> None:
        self.case = case
        self.files = files
        self.engine = Engine(kinds, site)
        self.position = 0
        self.alarms: dict[tuple[str, str], Alarm] = {}  # (rule, asset) → how it stands
        self.intents: dict[tuple[str, str], Intent] = {}  # (rule, asset) → what is set

    def run(self) -> list[str]:
        failures = []
        entries = self._entries()
        ahead = next(entries, None)
        for expectation in self.case.expect:
            while ahead is not None and ahead[0] <= expectation.at_ms:
                self._apply(*ahead)
                ahead = next(entries, None)
            if not self._met(expectation):
                failures.append(self._failure(expectation))
        return failures

    def _entries(self) -> Iterator[tuple[int, Record]]:
        """Rules, registrations, and then readings and ticks as they would stand in the log."""
        start_ms = self.case.start_ms // TICK_MS * TICK_MS - TICK_MS
        yield start_ms, RulesLoaded(digest="", files=self.files)
        for registered in self.case.devices:
            yield start_ms, registered
        facts = {registered.device: registered for registered in self.case.devices}
        tick_ms = start_ms
        for seq, (at_ms, device, values) in enumerate(self.case.readings, 1):
            while tick_ms < at_ms:
                yield tick_ms, Tick(listening=True)
                tick_ms += TICK_MS
            yield (
                at_ms,
                Telemetry(
                    device=device,
                    asset=facts[device].asset,
                    kind=facts[device].kind,
                    stream="00000001",
                    boot=1,
                    readings=(Reading(seq, at_ms, values),),
                ),
            )
        while tick_ms <= self.case.end_ms:
            yield tick_ms, Tick(listening=True)
            tick_ms += TICK_MS

    def _apply(self, at_ms: int, record: Record) -> None:
        self.position += 1
        outcome: Outcome = self.engine.apply(Entry(self.position, at_ms, record))
        for alarm in outcome.alarms:
            self.alarms[alarm.rule, alarm.asset] = alarm
        for end in outcome.ends:
            self.intents = {key: one for key, one in self.intents.items() if one.intent != end.intent}
        for intent in outcome.intents:
            self.intents[intent.by, intent.asset] = intent

    # ---------------------------------------------------------------------------------------------------- expectations

    def _met(self, expected: Expectation) -> bool:
        wanted = not expected.verb.startswith("no_")
        return wanted == any(self._stands(expected, asset) for asset in self._assets(expected))

    def _assets(self, expected: Expectation) -> list[str]:
        kind = next(rule.kind for rule in self.engine.ruleset.rules if rule.name == expected.rule)
        return [
            registered.asset
            for registered in self.case.devices
            if registered.kind == kind and expected.device in ("", registered.device)
        ]

    def _stands(self, expected: Expectation, asset: str) -> bool:
        key = (expected.rule, asset)
        if expected.verb.endswith("alarm"):
            return key in self.alarms and self.alarms[key].state is AlarmState.FIRING
        intent = self.intents.get(key)
        if intent is None or (intent.until_ms is not None and intent.until_ms <= expected.at_ms):
            return False
        return expected.to is None or intent.to == expected.to

    def _failure(self, expected: Expectation) -> str:
        verb = expected.verb.replace("_", " ")
        to = f" setting {expected.to:g}" if expected.to is not None else ""
        whom = f" on {expected.device}" if expected.device else ""
        lines = [
            f"{self.case.file}:{expected.line}: at {expected.at} expected {verb} {expected.rule}{to}{whom}; there was"
        ]
        lines += [f"  {asset}: {self._shown(expected, asset)}" for asset in self._assets(expected)]
        if len(lines) == 1:
            lines.append("  no device of its kind in this test")
        return "\n".join(lines)

    def _shown(self, expected: Expectation, asset: str) -> str:
        """How the rule stands on an asset, and its condition with the values it had."""
        key = (expected.rule, asset)
        if expected.verb.endswith("alarm"):
            state = self.alarms[key].state.value if key in self.alarms else "no alarm"
        else:
            intent = self.intents.get(key)
            state = (
                f"{intent.target} set to {intent.to:g}"
                if intent and self._stands_at_all(expected, asset)
                else "no intent"
            )
        try:
            truth, text = self.engine.explain(expected.rule, asset)
        except KeyError:
            return f"{state}; the rule does not apply here (see `where`)"
        told = {True: "true", False: "false", None: "unknown"}[truth]
        return f"{state}; `when` is {told}: {text}"

    def _stands_at_all(self, expected: Expectation, asset: str) -> bool:
        return self._stands(msgspec.structs.replace(expected, to=None), asset)
