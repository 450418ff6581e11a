"""Rule files → a RuleSet, or every fault of every file at once, each with its line and column."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from contract.decisions import Severity, identify
from contract.document import Document, DocumentFault, Fault, is_bool, is_list, is_mapping, is_number, is_text, nearest
from contract.kind import LANGUAGES, Kind, Kinds, MetricType, Setting, Target
from contract.quantity import convert, duration_ms, duration_text
from contract.site import Site
from rules import functions
from rules.checker import WINDOW_MS_MAX, check
from rules.meaning import Checked
from rules.parser import parse
from rules.place import Source
from rules.ruleset import AtMost, Notice, Order, Rule, RuleSet
from rules.syntax import SyntaxFault

RULES_MAX = 500
LEASE_MS_MIN = 10_000
LEASE_MS_MAX = 86_400_000
RUNS_MAX = 100
FILE_KEYS = ("group", "rules")
RULE_KEYS = ("name", "kind", "where", "when", "for", "keep_for", "alarm", "set", "lease", "at_most", "doubtful")
ALARM_KEYS = ("severity", "text")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_AT_MOST = re.compile(r"(\d{1,4}) per (\S+)")
_QUANTITY = re.compile(r"(-?\d+(?:\.\d+)?) ?(\w+|%)")


def load(files: Mapping[str, str], kinds: Kinds, site: Site) -> RuleSet:
    """The rules of all files (name → text, test files left out), in order of file name.

    `site` is the place the rules are for; its zones are what `where: {zone: …}` may name. Raises DocumentFault with
    all faults of all files: no rule runs until its file is clean.
    """
    rules: list[Rule] = []
    faults: list[Fault] = []
    seen: dict[str, Rule] = {}
    for file in sorted(files):
        reader = _Reader(file, files[file], kinds, site)
        reader.read(seen)
        rules += reader.rules
        faults += reader.document.faults
    if len(rules) > RULES_MAX:
        faults.append(Fault(rules[RULES_MAX].file, rules[RULES_MAX].line, 1,
                            f"{len(rules)} rules are more than {RULES_MAX}; join or delete some"))  # fmt: skip
    if faults:
        raise DocumentFault(faults)
    return RuleSet(rules=tuple(rules), files=dict(files))


class _Reader:
    """One file, read into rules; faults gather in its document."""

    def __init__(self, file: str, text: str, kinds: Kinds, site: Site) -> None:
        self.document = Document(file, text)
        self.source = Source(text)
        self.kinds = kinds
        self.site = site
        self.rules: list[Rule] = []

    def read(self, seen: dict[str, Rule]) -> None:
        """`seen` holds the rules of the files before, by name: a name stands for one rule in all of them."""
        document = self.document
        if document.faults:
            return
        document.check_keys(document.root, FILE_KEYS, "rule file")
        group = document.take(document.root, "group", "a name like lighting", _is_name, required=True, default="")
        nodes = document.take(document.root, "rules", "a list of rules", is_list, required=True, default=[])
        for index, node in enumerate(nodes):
            if not is_mapping(node):
                document.fault(nodes, index, "a rule is a mapping with name, kind, when and alarm or set")
                continue
            rule = self._rule(node, group)
            if rule is None:
                continue
            if rule.name in seen:
                first = seen[rule.name]
                document.fault(node, "name", f"name: {rule.name!r} is taken by the rule at {first.file}:{first.line}",
                               of_value=True)  # fmt: skip
            seen.setdefault(rule.name, rule)
            self.rules.append(rule)

    def _rule(self, node: Any, group: str) -> Rule | None:
        document = self.document
        document.check_keys(node, RULE_KEYS, "rule")
        name = document.take(node, "name", "a name like lamp_failed", _is_name, required=True, default="")
        kind = self._kind(node)
        has_set = "set" in node
        if ("alarm" in node) == has_set:
            both = "both; write two rules" if has_set else "neither"
            document.fault(node, "name", f"a rule has either alarm or set; this one has {both}")
        notice = self._notice(node) if "alarm" in node else None
        if has_set and "keep_for" in node:
            document.fault(node, "keep_for", "keep_for: only alarms are kept; a set lives while `when` holds")
        for key in ("lease", "at_most"):
            if key in node and not has_set:
                document.fault(node, key, f"{key}: belongs to set, and this rule sets nothing")
        for_ms = self._duration(node, "for", least=1)
        keep_for_ms = self._duration(node, "keep_for", least=1)
        doubtful = bool(document.take(node, "doubtful", "true or false", is_bool, default=False))
        condition = self._when(node, kind, fresh=has_set, doubtful=doubtful)
        if kind is None:
            return None
        where = self._where(node, kind)
        order = self._order(node, kind) if has_set else None
        if condition is None or not name:
            return None
        return Rule(
            name=name,
            group=group,
            kind=kind.name,
            when=" ".join(str(node["when"]).split()),
            condition=condition.node,
            parts=condition.parts,
            where=where,
            for_ms=for_ms,
            keep_for_ms=keep_for_ms,
            doubtful=doubtful,
            alarm=notice,
            order=order,
            file=document.file,
            line=document.position(node)[0],
            content=_content(node),
        )

    def _kind(self, node: Any) -> Kind | None:
        name = self.document.take(node, "kind", "the name of a kind", is_text, required=True)
        if name is not None and name not in self.kinds:
            self.document.fault(node, "kind", f"kind: unknown kind {name!r}{nearest(name, self.kinds)}", of_value=True)
        return self.kinds.get(name)

    def _when(self, node: Any, kind: Kind | None, *, fresh: bool, doubtful: bool) -> Checked | None:
        """The checked condition; without a known kind only its syntax is looked at."""
        text = self.document.take(node, "when", "an expression such as level > 0.2", is_text, required=True)
        if text is None:
            return None
        try:
            syntax = parse(text)
            return check(syntax, text, kind, self.kinds, fresh=fresh, doubtful=doubtful) if kind else None
        except SyntaxFault as fault:
            start = self.document.position(node, "when", of_value=True)
            for one in fault.every():
                line, column = self.source.locate(start, text, one.at)
                self.document.faults.append(Fault(self.document.file, line, column, f"when: {one.message}"))
            return None

    def _where(self, node: Any, kind: Kind) -> dict[str, tuple[str | float, ...]]:
        where = self.document.take(node, "where", "a mapping such as {zone: old-town}", is_mapping, default={})
        known = [*functions.LABELS, *kind.settings]
        self.document.check_keys(where, known, "where")
        found: dict[str, tuple[str | float, ...]] = {}
        for name in where:
            values = where[name] if is_list(where[name]) else [where[name]]
            if not values:
                self.document.fault(where, name, f"where: {name} matches nothing; give a value", of_value=True)
            for value in values:
                if name in known and (fault := self._where_fault(name, value, kind.settings.get(name))):
                    self.document.fault(where, name, f"where: {name}: {fault}", of_value=True)
            found[name] = tuple(float(value) if is_number(value) else value for value in values)
        return found

    def _where_fault(self, name: str, value: Any, setting: Setting | None) -> str:
        if setting is None or setting.type == "text":
            zones = [zone.zone for zone in self.site.zones]
            if name == "zone" and zones and is_text(value) and value not in zones:
                return f"{value!r} is no zone of {self.site.commune}{nearest(value, zones)}"
            return "" if is_text(value) else f"{value!r} is not a text"
        if setting.type == "enum":
            return (
                ""
                if value in setting.values
                else f"{value!r} is not one of its words{nearest(str(value), setting.values)}"
            )
        return "" if is_number(value) else f"{value!r} is not a number"

    def _notice(self, node: Any) -> Notice | None:
        document = self.document
        alarm = document.take(node, "alarm", "a mapping with severity and text", is_mapping)
        if alarm is None:
            return None
        document.check_keys(alarm, ALARM_KEYS, "alarm")
        words = ", ".join(Severity)
        severity = document.take(alarm, "severity", f"one of {words}", lambda word: word in tuple(Severity),
                                 required=True, default=Severity.MINOR)  # fmt: skip
        return Notice(severity=Severity(severity), text=document.take_labels(alarm, "text", LANGUAGES))

    # -------------------------------------------------------------------------------------------------- set: a target

    def _order(self, node: Any, kind: Kind) -> Order | None:
        document = self.document
        wish = document.take(node, "set", "a mapping such as {open: true}", is_mapping)
        lease_ms = self._duration(node, "lease", required=True, least=LEASE_MS_MIN, most=LEASE_MS_MAX)
        if wish is None:
            return None
        if len(wish) != 1:
            document.fault(node, "set", f"set: one target a rule, not {len(wish)}", of_value=True)
        for name in wish:
            if name not in kind.targets:
                document.fault(wish, name, f"set: {kind.name} has no target {name!r}{nearest(str(name), kind.targets)}")
        target = next((kind.targets[name] for name in wish if name in kind.targets), None)
        if target is None:
            return None
        self._check_lease(node, kind, target, lease_ms)
        return Order(
            target=target.name,
            to=self._to(wish, kind, target),
            lease_ms=lease_ms,
            resume=target.resume,
            rest_limit=target.rest_limit,
            at_most=self._at_most(node, kind, target),
        )

    def _to(self, wish: Any, kind: Kind, target: Target) -> float:
        value = wish[target.name]
        if target.type is MetricType.BOOLEAN:
            if not isinstance(value, bool):
                self.document.fault(wish, target.name, f"set: {target.name} is true or false, not {value!r}",
                                    of_value=True)  # fmt: skip
            return float(value is True)
        unit = kind.metrics[target.name].unit
        number = _quantity(value, unit)
        if number is None:
            self.document.fault(wish, target.name, f"set: {target.name}: {value!r} must be a number in {unit}",
                                of_value=True)  # fmt: skip
            return target.safe
        if not target.minimum <= number <= target.maximum:
            limits = f"{target.minimum:g} to {target.maximum:g} {unit}"
            self.document.fault(wish, target.name, f"set: {target.name}: {value} is outside {limits}", of_value=True)
        return number

    def _check_lease(self, node: Any, kind: Kind, target: Target, lease_ms: int) -> None:
        """A lease longer than the longest run that any device of the kind may be allowed can never be right."""
        limit = kind.settings[target.run_limit].maximum if target.run_limit else None
        if limit is not None and lease_ms > limit * 1000:
            longest = duration_text(round(limit * 1000))
            self.document.fault(
                node,
                "lease",
                f"lease: {node['lease']} is longer than {longest}, the most that {target.run_limit} of "
                f"{kind.name} can be set to",
                of_value=True,
            )

    def _at_most(self, node: Any, kind: Kind, target: Target) -> AtMost | None:
        document = self.document
        needed = not target.resume
        if needed and "at_most" not in node:
            document.fault(node, "set", f"at_most: missing; {target.name} of {kind.name} runs once a lease: say how "
                                        "often, for example at_most: 3 per 1d")  # fmt: skip
        if "at_most" in node and not needed:
            document.fault(node, "at_most", f"at_most: {target.name} of {kind.name} is held, not run; leave it out")
            return None
        text = document.take(node, "at_most", "a count and a time such as 3 per 1d", is_text)
        match = _AT_MOST.fullmatch(text or "")
        try:
            per_ms = duration_ms(match[2]) if match else 0
        except ValueError:
            per_ms = 0
        if match and 1 <= int(match[1]) <= RUNS_MAX and 60_000 <= per_ms <= WINDOW_MS_MAX:
            return AtMost(int(match[1]), per_ms)
        if text is not None:
            document.fault(node, "at_most", f"at_most: {text!r} must be 1 to {RUNS_MAX} per 1m to "
                                            f"{duration_text(WINDOW_MS_MAX)}, for example 3 per 1d",
                           of_value=True)  # fmt: skip
        return None

    def _duration(
        self, node: Any, key: str, *, required: bool = False, least: int = 0, most: int = WINDOW_MS_MAX
    ) -> int:
        text = self.document.take(node, key, "a duration such as 10m", is_text, required=required)
        if text is None:
            return 0
        try:
            ms = duration_ms(text)
        except ValueError as error:
            self.document.fault(node, key, f"{key}: {error}", of_value=True)
            return 0
        if not least <= ms <= most:
            span = f"{duration_text(least)} to {duration_text(most)}" if least > 1 else f"at most {duration_text(most)}"
            self.document.fault(node, key, f"{key}: {text} must be {span}" + ("" if ms else " and more than 0"),
                                of_value=True)  # fmt: skip
        return ms


def _quantity(value: Any, unit: str) -> float | None:
    """A number, or a text such as 70%, in `unit`; None when it is neither."""
    if is_number(value):
        return float(value)
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    try:
        return round(convert(float(match[1]), match[2], unit), 9) if match else None
    except ValueError:
        return None


def _content(node: Any) -> str:
    """A digest of what a rule says: comments, order of keys and line breaks do not change it."""
    return identify(msgspec.json.encode(_plain(node), order="deterministic").decode())


def _plain(node: Any) -> Any:
    if is_mapping(node):
        return {str(key): _plain(value) for key, value in node.items()}
    if is_list(node):
        return [_plain(value) for value in node]
    if isinstance(node, date):
        return node.isoformat()
    if isinstance(node, bool) or node is None:
        return node
    return float(node) if isinstance(node, (int, float)) else " ".join(str(node).split())


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None
