"""Rules as they were loaded and checked; nothing here changes after loading."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from contract.decisions import Severity
from contract.kind import Labels
from rules import tree
from rules.meaning import Part


class AtMost(msgspec.Struct, frozen=True):
    """So many runs in a sliding window."""

    runs: int
    per_ms: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule sets: one target, for leases of `lease_ms`."""

    target: str
    to: float  # booleans as 0.0 or 1.0
    lease_ms: int
    resume: bool  # of the target: True is a state to hold, False a run of its own length
    rest_limit: str = ""  # setting (s) of the least time between two runs
    at_most: AtMost | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule raises."""

    severity: Severity
    text: Labels


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: either it raises an alarm or it sets a target."""

    name: str
    group: str
    kind: str
    when: str  # as written
    condition: tree.Node
    parts: tuple[Part, ...]  # of the condition, to show it with its values
    where: Mapping[str, tuple[str | float, ...]] = {}  # label or setting → the values that match
    for_ms: int = 0
    keep_for_ms: int = 0
    doubtful: bool = False  # does it count values that are marked as not credible?
    alarm: Notice | None = None
    order: Order | None = None
    file: str = ""
    line: int = 0
    content: str = ""  # digest of what the rule says: the same content is the same rule after a reload

    @property
    def severity(self) -> Severity | None:
        return self.alarm.severity if self.alarm else None

    def as_document(self) -> dict[str, Any]:
        """What the rule says, JSON-ready. Durations in ms."""
        order = self.order
        return {
            "name": self.name,
            "group": self.group,
            "kind": self.kind,
            "when": self.when,
            "where": {name: list(values) for name, values in self.where.items()},
            "for_ms": self.for_ms,
            "keep_for_ms": self.keep_for_ms,
            "doubtful": self.doubtful,
            "severity": self.alarm.severity.value if self.alarm else None,
            "text": dict(self.alarm.text) if self.alarm else None,
            "set": {order.target: order.to} if order else None,
            "lease_ms": order.lease_ms if order else None,
            "at_most": {"runs": order.at_most.runs, "per_ms": order.at_most.per_ms}
            if order and order.at_most
            else None,
            "file": self.file,
            "line": self.line,
        }

    def applies_to(self, facts: Mapping[str, str | float]) -> bool:
        """Does `where` match an asset with these labels and settings?"""
        return all(facts.get(name) in values for name, values in self.where.items())


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """All rules, by file name and place in it."""

    rules: tuple[Rule, ...] = ()
    files: Mapping[str, str] = {}
    digest: str = ""  # of the record that loaded them; empty before the first

    def named(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == name), None)

    def of_kind(self, kind: str) -> Sequence[Rule]:
        return [rule for rule in self.rules if rule.kind == kind]
