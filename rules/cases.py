"""Test files of rules (``*.test.yaml``) → test cases, with every fault of every file named at once."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from contract.document import Document, DocumentFault, Fault, is_list, is_mapping, is_number, is_text, nearest
from contract.kind import Kind, Kinds, MetricType, SettingFault, Value, check_settings
from contract.quantity import duration_ms
from contract.records import Registered
from contract.site import Site
from contract.wire.topics import is_device_id
from rules import functions
from rules.ruleset import Rule, RuleSet

READINGS_MAX = 20_000
SPAN_MS_MAX = 48 * 3_600_000
DATE_YEARS = (1971, 2199)  # times are ms since 1970, and nobody knows the clock changes of later centuries
TEST_KEYS = ("name", "date", "devices", "readings", "weather", "expect")
SERIES_KEYS = ("from", "every")
EXPECTATIONS = ("alarm", "no_alarm", "intent", "no_intent")
EXPECT_KEYS = ("at", *EXPECTATIONS, "device", "set")
WEATHER_DEVICE = "weather"

_TIME = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")
_REPEATED = re.compile(r"(.+?) x (\d{1,5})")


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    at_ms: int
    at: str  # as written
    verb: str  # one of EXPECTATIONS
    rule: str
    device: str = ""  # empty: any device (alarm, intent), no device (no_alarm, no_intent)
    to: float | None = None
    line: int = 0


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test: what is registered, what is measured when, and what must follow."""

    name: str
    file: str
    line: int
    devices: tuple[Registered, ...]
    readings: tuple[tuple[int, str, dict[str, Value]], ...]  # (time, device, values), in order of time
    expect: tuple[Expectation, ...]  # in order of time
    start_ms: int
    end_ms: int


def read_tests(test_files: Mapping[str, str], ruleset: RuleSet, kinds: Kinds, site: Site) -> list[Case]:
    """The cases of all files. Raises DocumentFault with all faults of all files."""
    cases: list[Case] = []
    faults: list[Fault] = []
    for file in sorted(test_files):
        reader = _Reader(file, test_files[file], ruleset, kinds, site)
        cases += reader.read()
        faults += reader.document.faults
    if faults:
        raise DocumentFault(faults)
    return cases


class _Reader:
    def __init__(self, file: str, text: str, ruleset: RuleSet, kinds: Kinds, site: Site) -> None:
        self.document = Document(file, text)
        self.ruleset = ruleset
        self.kinds = kinds
        self.site = site
        self.midnight = datetime(2000, 1, 1, tzinfo=ZoneInfo(site.timezone))

    def read(self) -> list[Case]:
        document = self.document
        if document.faults:
            return []
        document.check_keys(document.root, ("tests",), "test file")
        nodes = document.take(document.root, "tests", "a list of tests", is_list, required=True, default=[])
        cases = []
        for index, node in enumerate(nodes):
            if is_mapping(node):
                cases.append(self._case(node))
            else:
                document.fault(nodes, index, "a test is a mapping with name, date, devices, readings and expect")
        return [case for case in cases if case is not None]

    def _case(self, node: Any) -> Case | None:
        document = self.document
        document.check_keys(node, TEST_KEYS, "test")
        name = document.take(node, "name", "a sentence that states the promise", is_text, required=True, default="")
        day = document.take(
            node, "date", f"a date such as 2026-11-23, in {DATE_YEARS[0]} to {DATE_YEARS[1]}", _is_date, required=True
        )
        if day is None:
            return None
        self.midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.site.timezone))
        devices = self._devices(node)
        readings: list[tuple[int, str, dict[str, Value]]] = []
        given = document.take(node, "readings", "a mapping of device to readings", is_mapping, default={})
        for device in given:
            if device in devices:
                readings += self._series(given, device, device, self.kinds[devices[device].kind])
            else:
                document.fault(given, device, f"readings: {device!r} is not under devices{nearest(device, devices)}")
        if "weather" in node:
            readings += self._weather(node, devices)
        expect = self._expectations(node, devices)
        times = [at for at, _, _ in readings] + [expectation.at_ms for expectation in expect]
        if not times:
            return None
        if max(times) - min(times) > SPAN_MS_MAX or len(readings) > READINGS_MAX:
            document.fault(node, "name", f"a test covers at most 48 h and {READINGS_MAX} readings")
            return None
        return Case(
            name=name,
            file=document.file,
            line=document.position(node)[0],
            devices=tuple(devices.values()),
            readings=tuple(sorted(readings, key=lambda reading: reading[0])),
            expect=tuple(sorted(expect, key=lambda expectation: expectation.at_ms)),
            start_ms=min(times),
            end_ms=max(times),
        )

    def _devices(self, node: Any) -> dict[str, Registered]:
        document = self.document
        given = document.take(node, "devices", "a mapping of id to {kind: …}", is_mapping, required=True, default={})
        devices: dict[str, Registered] = {}
        for device in given:
            facts = given[device]
            if not isinstance(device, str) or not is_device_id(device):
                document.fault(given, device, f"{device!r} is no device id: lower-case letters, digits and -")
            elif not is_mapping(facts):
                document.fault(given, device, f"{device}: must be a mapping such as {{kind: street_light}}")
            elif registered := self._device(device, facts):
                devices[device] = registered
        return devices

    def _device(self, device: str, facts: Any) -> Registered | None:
        document = self.document
        kind = document.take(facts, "kind", "the name of a kind", is_text, required=True)
        if kind is None:
            return None
        if kind not in self.kinds:
            document.fault(facts, "kind", f"kind: unknown kind {kind!r}{nearest(kind, self.kinds)}", of_value=True)
            return None
        labels = {key: facts[key] for key in ("commune", "zone", "asset") if key in facts}
        for key in labels:
            document.take(facts, key, "a text", is_text)
        settings = {key: facts[key] for key in facts if key not in ("kind", "commune", "zone", "asset")}
        try:
            complete = check_settings(self.kinds[kind], settings)
        except SettingFault as fault:
            for sentence in fault.faults:
                key = sentence.split(":")[0]
                document.fault(facts, key if key in facts else None, sentence)
            return None
        return Registered(
            device=device,
            kind=kind,
            commune=str(labels.get("commune", self.site.commune)),
            zone=str(labels.get("zone", "")),
            asset=str(labels.get("asset", device)),
            settings=complete,
        )

    def _weather(self, node: Any, devices: dict[str, Registered]) -> list[tuple[int, str, dict[str, Value]]]:
        kind = self.kinds.get(functions.WEATHER_KIND)
        if kind is None:
            self.document.fault(node, "weather", f"weather: there is no kind {functions.WEATHER_KIND}")
            return []
        if WEATHER_DEVICE not in devices:
            devices[WEATHER_DEVICE] = Registered(
                device=WEATHER_DEVICE,
                kind=kind.name,
                commune=self.site.commune,
                asset=WEATHER_DEVICE,
                settings=check_settings(kind, {}),
            )
        return self._series(node, "weather", WEATHER_DEVICE, kind)

    # ------------------------------------------------------------------------------------------------------- readings

    def _series(self, parent: Any, key: Any, device: str, kind: Kind) -> list[tuple[int, str, dict[str, Value]]]:
        """Readings of one device: one series, or a list of them."""
        nodes = parent[key] if is_list(parent[key]) else [parent[key]]
        found: list[tuple[int, str, dict[str, Value]]] = []
        for node in nodes:
            if is_mapping(node):
                found += self._one_series(node, device, kind)
            else:
                self.document.fault(parent, key, f"{key}: must be a mapping with from, every and metrics")
        return found

    def _one_series(self, node: Any, device: str, kind: Kind) -> list[tuple[int, str, dict[str, Value]]]:
        document = self.document
        document.check_keys(node, (*SERIES_KEYS, *kind.metrics), "readings")
        start_ms = self._time(node, "from")
        every_ms = self._every(node)
        columns = {metric: self._column(node, kind, metric) for metric in node if metric in kind.metrics}
        most = max((len(column) for column in columns.values()), default=0)
        for metric, column in columns.items():
            if not is_list(node[metric]) and len(column) == 1:  # one value alone holds for all readings
                columns[metric] = column * most
        lengths = {len(column) for column in columns.values()}
        if not columns:
            document.fault(node, None, "readings: no metric is given")
        elif len(lengths) > 1:
            shown = ", ".join(f"{metric} {len(column)}" for metric, column in columns.items())
            document.fault(node, next(iter(columns)), f"readings: the metrics have different lengths: {shown}")
        if start_ms is None or every_ms is None or len(lengths) != 1:
            return []
        if lengths.pop() > READINGS_MAX:
            document.fault(node, None, f"readings: more than {READINGS_MAX}")
            return []
        rows = zip(*columns.values(), strict=True)
        return [
            (start_ms + number * every_ms, device, {m: v for m, v in zip(columns, row, strict=True) if v is not None})
            for number, row in enumerate(rows)
        ]

    def _column(self, node: Any, kind: Kind, metric: str) -> list[Value | None]:
        items = node[metric] if is_list(node[metric]) else [node[metric]]
        column: list[Value | None] = []
        for index, item in enumerate(items):
            repeated = _REPEATED.fullmatch(item) if isinstance(item, str) else None
            value, times = (_scalar(repeated[1]), int(repeated[2])) if repeated else (item, 1)
            fault, measured = _measured(kind, metric, value)
            if fault:
                at, key = (items, index) if is_list(node[metric]) else (node, metric)
                self.document.fault(at, key, f"{metric}: {fault}", of_value=True)
            if len(column) + times <= READINGS_MAX + 1:
                column += [measured] * times
        return column

    def _every(self, node: Any) -> int | None:
        text = self.document.take(node, "every", "a duration such as 1m", is_text, required=True)
        try:
            ms = duration_ms(text) if text else 0
        except ValueError as error:
            self.document.fault(node, "every", f"every: {error}", of_value=True)
            return None
        if text and ms < 1000:
            self.document.fault(node, "every", "every: at least 1s", of_value=True)
        return ms or None

    def _time(self, node: Any, key: str) -> int | None:
        """Unix ms of a local time of the test's day; hours from 24 on are the next day."""
        text = self.document.take(
            node, key, "a time such as 21:00 (25:30 is 01:30 of the next day)", is_text, required=True
        )
        match = _TIME.fullmatch(text) if text else None
        if match and int(match[1]) < 48 and int(match[2]) < 60 and int(match[3] or 0) < 60:
            days, hour = divmod(int(match[1]), 24)
            moment = (self.midnight + timedelta(days=days)).replace(
                hour=hour, minute=int(match[2]), second=int(match[3] or 0)
            )
            return round(moment.timestamp() * 1000)
        if text:
            hint = "write 21:00, or 25:30 for 01:30 of the next day"
            self.document.fault(node, key, f"{key}: {text!r} is no time; {hint}", of_value=True)
        return None

    # --------------------------------------------------------------------------------------------------- expectations

    def _expectations(self, node: Any, devices: Mapping[str, Registered]) -> list[Expectation]:
        document = self.document
        nodes = document.take(node, "expect", "a list", is_list, required=True, default=[])
        if "expect" in node and not nodes:
            document.fault(node, "expect", "expect: a test that expects nothing proves nothing")
        found = [self._expectation(nodes, index, devices) for index in range(len(nodes))]
        return [one for one in found if one is not None]

    def _expectation(self, nodes: Any, index: int, devices: Mapping[str, Registered]) -> Expectation | None:
        document, node = self.document, nodes[index]
        if not is_mapping(node):
            document.fault(nodes, index, "expect: each entry is a mapping such as {at: 21:13, alarm: lamp_failed}")
            return None
        document.check_keys(node, EXPECT_KEYS, "expect")
        at_ms = self._time(node, "at")
        verbs = [verb for verb in EXPECTATIONS if verb in node]
        if len(verbs) != 1:
            document.fault(node, None, f"expect: one of {', '.join(EXPECTATIONS)} is needed, not {len(verbs)}")
            return None
        verb = verbs[0]
        rule = self._rule(node, verb)
        device = document.take(node, "device", "a device of this test", lambda name: name in devices, default="")
        to = self._to(node, verb, rule) if "set" in node else None
        if at_ms is None or rule is None:
            return None
        return Expectation(
            at_ms=at_ms, at=str(node["at"]), verb=verb, rule=rule.name, device=device, to=to,
            line=document.position(node)[0],
        )  # fmt: skip

    def _rule(self, node: Any, verb: str) -> Rule | None:
        name = node[verb]
        rule = self.ruleset.named(name) if isinstance(name, str) else None
        names = [rule.name for rule in self.ruleset.rules]
        if rule is None:
            self.document.fault(node, verb, f"{verb}: no rule {name!r}{nearest(str(name), names)}", of_value=True)
            return None
        if (rule.alarm is None) == verb.endswith("alarm"):
            raises = "raises an alarm" if rule.alarm else "sets a target"
            self.document.fault(node, verb, f"{verb}: {name} {raises}", of_value=True)
            return None
        return rule

    def _to(self, node: Any, verb: str, rule: Rule | None) -> float | None:
        wish = self.document.take(node, "set", "a mapping such as {level: 1.0}", is_mapping)
        if wish is None or rule is None:
            return None
        if verb != "intent" or rule.order is None:
            self.document.fault(node, "set", "set: belongs to intent")
            return None
        target = rule.order.target
        if list(wish) != [target] or not isinstance(wish[target], (int, float)):
            self.document.fault(node, "set", f"set: {rule.name} sets {target}; write {{{target}: …}}", of_value=True)
            return None
        return float(wish[target])


def _scalar(text: str) -> Any:
    """The scalar in front of ` x 20`."""
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~"):
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _measured(kind: Kind, metric: str, value: Any) -> tuple[str, Value | None]:
    """(fault, value as the log has it); null is a metric that could not be measured."""
    facts = kind.metrics[metric]
    if value is None:
        return "", None
    if facts.type is MetricType.BOOLEAN:
        return ("", float(value)) if isinstance(value, bool) else (f"{value!r} is not true or false", None)
    if facts.type is MetricType.ENUM:
        return ("", value) if value in facts.values else (f"{value!r} is not one of {', '.join(facts.values)}", None)
    if not is_number(value):
        return f"{value!r} is not a number in {facts.unit}", None
    low, high = facts.minimum, facts.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{value} is outside {low:g} to {high:g} {facts.unit}", None
    return "", float(value)


def _is_date(value: Any) -> bool:
    return isinstance(value, date) and DATE_YEARS[0] <= value.year <= DATE_YEARS[1]
