"""The rules at work: entries of the log in, alarm changes and intents out.

Theory of operation. The engine is a function of the entries it is given, in order: it has no clock, draws no lots and
reads nothing else, so a replay decides what was decided. Each asset is judged at

- its readings, at their own (event) time, when at least one of them came in time; a late reading only corrects what
  is remembered, and shows at the next evaluation, to alarm rules alone;
- every tick, at the tick's time: `for`, `silent`, `between`, the sun and ageing values need no reading.

An asset's time never goes back: a reading older than the last evaluation is judged at the time of that one, and a
reading of a clock that runs ahead at the time its entry was written. All conditions that apply to an asset are one
compiled function; what follows is worked out only when a truth has changed or a time has come.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contract.document import DocumentFault
from contract.kind import Kinds
from contract.records import (
    TICK_MS,
    DeviceLog,
    Entry,
    Registered,
    Reported,
    Result,
    RulesLoaded,
    Status,
    Telemetry,
    Tick,
)
from contract.site import Site
from rules import functions, tree
from rules.asset import Asset
from rules.compile import Program, Truths
from rules.evaluate import evaluate
from rules.explain import because, facts_of
from rules.group import Group
from rules.image import EngineImage, decode, encode, image_of, restored
from rules.lifecycle import NEVER_MS, Outcome, Phase, Standing, end, step
from rules.loader import load
from rules.memory import RAIN_MS
from rules.ruleset import Rule, RuleSet
from rules.surroundings import Surroundings

HOLE_PERIODS = 3  # of a tick: a longer gap between two is time the platform was away


class Engine:
    """Judges all assets by the rules that are loaded. One thread at a time."""

    def __init__(self, kinds: Kinds, site: Site) -> None:
        self.kinds = kinds
        self.site = site
        self.ruleset = RuleSet()
        self.refused = ""  # why the last RulesLoaded was not taken over; empty when it was
        self.broken: dict[str, str] = {}  # rule → what it raised last
        self._counts = {"unregistered": 0, "unknown_kind": 0, "rule_failures": 0, "window_readings_dropped": 0}
        self._assets: dict[str, Asset] = {}
        self._bindings: dict[str, str] = {}  # device → asset
        self._judged: list[Asset] | None = None  # those with rules and a device; None: to be gathered anew
        self._asleep: dict[str, None] = {}
        self._groups: dict[tuple[str, tuple[str, ...]], tuple[Program, Group]] = {}
        self._horizons: dict[str, dict[str, int]] = {}
        self._surroundings = Surroundings(site)
        self._last_tick_ms = 0
        self._hole_ms = HOLE_PERIODS * TICK_MS
        self._listening = False
        self._handlers: Mapping[type, Callable[[Any, int, Outcome], None]] = {
            Telemetry: self._telemetry,
            Tick: self._tick,
            Status: self._status,
            Registered: self._registered,
            RulesLoaded: self._rules_loaded,
            Reported: self._spoke,
            Result: self._spoke,
            DeviceLog: self._spoke,
        }

    def apply(self, entry: Entry) -> Outcome:
        """What follows from one entry. Entries come once, in the order of the log."""
        outcome = Outcome()
        handler = self._handlers.get(type(entry.record))
        if handler is not None:
            handler(entry.record, entry.at_ms, outcome)
        return outcome

    # ------------------------------------------------------------------------------------------- readings and silence

    def _telemetry(self, record: Telemetry, at_ms: int, outcome: Outcome) -> None:
        asset = self._assets.get(record.asset)
        if asset is None or asset.kind.name != record.kind:
            self._counts["unregistered"] += 1
            return
        newest_ms = -1
        for reading in record.readings:
            if asset.memory.add(reading):
                newest_ms = max(newest_ms, reading.measured_at_ms)
        if asset.kind.name == functions.WEATHER_KIND:
            self._surroundings.changed()
        if not record.came_at_ms:  # what a replay stores was said long ago
            self._hear(asset, at_ms)
        if newest_ms >= 0 and asset.bound and asset.program is not None:
            now_ms = max(asset.evaluated_ms, min(newest_ms, at_ms))
            assert asset.group is not None
            asset.group.refresh(now_ms)
            self._evaluate(asset, now_ms, outcome)

    def _tick(self, record: Tick, at_ms: int, outcome: Outcome) -> None:
        gap_ms = at_ms - self._last_tick_ms
        self._hole_ms = HOLE_PERIODS * record.period_ms
        if record.listening and self._listening and gap_ms <= self._hole_ms:
            self._surroundings.listened_ms += gap_ms
        self._last_tick_ms, self._listening = at_ms, record.listening
        for name in list(self._asleep):
            asset = self._assets[name]
            asset.heard(float(self._surroundings.listened_ms))
            if asset.asleep_until_ms <= at_ms:
                del self._asleep[name]
        for _, group in self._groups.values():
            group.refresh(at_ms)
        for asset in self._gathered():
            self._evaluate(asset, at_ms, outcome)

    def _status(self, record: Status, at_ms: int, outcome: Outcome) -> None:
        asset = self._asset_of(record.device)
        if asset is None:
            return
        if record.online:
            self._hear(asset, at_ms)
        if record.period_s is not None:
            asset.period_ms = record.period_s * 1000
            asset.refresh_ms = 0
            self._surroundings.changed()
        if record.online or record.asleep_until_ms is not None:
            asset.asleep_until_ms = record.asleep_until_ms or 0
            if asset.asleep_until_ms > at_ms:
                self._asleep[asset.registered.asset] = None
            else:
                self._asleep.pop(asset.registered.asset, None)

    def _spoke(self, record: Reported | Result | DeviceLog, at_ms: int, outcome: Outcome) -> None:
        if asset := self._asset_of(record.device):
            self._hear(asset, at_ms)

    def _hear(self, asset: Asset, at_ms: int) -> None:
        since_tick_ms = at_ms - self._last_tick_ms
        listened_ms = self._surroundings.listened_ms
        if self._listening and since_tick_ms <= self._hole_ms:
            listened_ms += since_tick_ms
        asset.heard(float(listened_ms))

    def _asset_of(self, device: str) -> Asset | None:
        return self._assets.get(self._bindings.get(device, ""))

    # ----------------------------------------------------------------------------------------------------- judgement

    def _evaluate(self, asset: Asset, now_ms: int, outcome: Outcome) -> None:
        """Judge one asset; its group has been refreshed for this moment."""
        if now_ms >= asset.refresh_ms:
            asset.refresh(now_ms)
        assert asset.program is not None
        assert asset.group is not None
        try:
            truths = asset.program.judge(asset.values, asset.group.values)
        except Exception:  # whatever a condition raises: the others go on
            truths = self._judge_one_by_one(asset)
        before_ms, asset.evaluated_ms = asset.evaluated_ms, now_ms
        if truths == asset.truths and now_ms < asset.due_ms:
            return
        asset.truths = truths
        asset.due_ms = NEVER_MS
        for rule, truth in zip(asset.rules, truths, strict=True):
            standing = asset.standings.get(rule.name)
            if standing is None:
                standing = asset.standings[rule.name] = Standing(content=rule.content)

            def why(rule: Rule = rule) -> str:
                return because(rule.parts, facts_of(asset))

            step(rule, standing, truth, now_ms, before_ms, asset.subject, why, outcome)
            asset.due_ms = min(asset.due_ms, standing.due_ms)

    def _judge_one_by_one(self, asset: Asset) -> Truths:
        """The truths when the compiled function raised: unknown for the rules to blame, which are marked broken."""
        read = facts_of(asset)
        truths: list[bool | None] = []
        for rule in asset.rules:
            try:
                truth = evaluate(rule.condition, read)
                truths.append(truth if isinstance(truth, bool) else None)
            except Exception as error:
                self._counts["rule_failures"] += 1
                self.broken[rule.name] = f"on {asset.registered.asset}: {type(error).__name__}: {error}"
                truths.append(None)
        return tuple(truths)

    # --------------------------------------------------------------------------------------- registrations and rules

    def _registered(self, record: Registered, at_ms: int, outcome: Outcome) -> None:
        kind = self.kinds.get(record.kind)
        if kind is None:
            self._counts["unknown_kind"] += 1
            return
        if (before := self._asset_of(record.device)) and before.registered.asset != record.asset:
            self._unbind(before, at_ms, outcome)
        asset = self._assets.get(record.asset)
        if asset is not None and asset.kind.name != kind.name:
            self._unbind(asset, at_ms, outcome)
            asset = None
        if asset is None:
            asset = self._assets[record.asset] = Asset(kind, record)
            self._hear(asset, at_ms)
        elif asset.registered.device != record.device or not asset.bound:
            if self._bindings.get(asset.registered.device) == record.asset:
                del self._bindings[asset.registered.device]
            asset.period_ms = kind.period_s * 1000
            asset.asleep_until_ms = 0
            self._hear(asset, at_ms)
        asset.bound = True
        asset.identify(record)
        self._bindings[record.device] = record.asset
        asset.memory.want(self._horizons.get(kind.name, {}))
        self._apply_rules(asset, at_ms, outcome)
        if kind.name == functions.WEATHER_KIND:
            self._gather_stations()

    def _unbind(self, asset: Asset, at_ms: int, outcome: Outcome) -> None:
        """The asset has no device any more: nothing is expected of it, so nothing is judged."""
        asset.bound = False
        self._apply_rules(asset, at_ms, outcome)
        if asset.kind.name == functions.WEATHER_KIND:
            self._gather_stations()

    def _rules_loaded(self, record: RulesLoaded, at_ms: int, outcome: Outcome) -> None:
        try:
            ruleset = load(record.files, self.kinds, self.site)
        except DocumentFault as fault:  # checked before it was written; a newer kind may think otherwise
            self.refused = str(fault)
            return
        self._take_over(msgspec.structs.replace(ruleset, digest=record.digest))
        for asset in self._assets.values():
            dropped = asset.memory.want(self._horizons.get(asset.kind.name, {}))
            self._counts["window_readings_dropped"] += dropped
            self._apply_rules(asset, at_ms, outcome)

    def _take_over(self, ruleset: RuleSet) -> None:
        self.ruleset = ruleset
        self.refused = ""
        self.broken.clear()
        self._groups.clear()
        self._horizons = _horizons(ruleset)

    def _apply_rules(self, asset: Asset, at_ms: int, outcome: Outcome) -> None:
        """End what no longer applies, let an edited rule start anew, and choose the asset's program."""
        self._judged = None
        self._choose(asset)
        applying = {rule.name: rule for rule in asset.rules}
        known = {rule.name for rule in self.ruleset.of_kind(asset.kind.name)}
        for name, standing in list(asset.standings.items()):
            rule = applying.get(name)
            if rule is not None and rule.content == standing.content:
                continue
            end(standing, at_ms, outcome)
            if name not in known:
                del asset.standings[name]
            elif rule is not None:
                asset.standings[name] = Standing(
                    content=rule.content, runs=standing.runs, rest_until_ms=standing.rest_until_ms
                )

    def _choose(self, asset: Asset) -> None:
        rules = self.ruleset.of_kind(asset.kind.name) if asset.bound else ()
        asset.rules = tuple(rule for rule in rules if rule.applies_to(asset.facts))
        asset.judge_anew()
        asset.program, asset.group = None, None
        if asset.rules:
            key = (asset.registered.commune, tuple(rule.name for rule in asset.rules))
            if key not in self._groups:
                program = Program([rule.condition for rule in asset.rules])
                self._groups[key] = program, Group(key[0], program.shared_inputs, self._surroundings.read)
            asset.program, asset.group = self._groups[key]

    def _gathered(self) -> list[Asset]:
        if self._judged is None:
            self._judged = [asset for asset in self._assets.values() if asset.program is not None]
        return self._judged

    def _gather_stations(self) -> None:
        stations: dict[str, list[Asset]] = {}
        for name in sorted(self._assets):
            asset = self._assets[name]
            if asset.kind.name == functions.WEATHER_KIND and asset.bound:
                stations.setdefault(asset.registered.commune, []).append(asset)
        self._surroundings.stations = stations
        self._surroundings.changed()

    # -------------------------------------------------------------------------------------------- what others may see

    def counts(self) -> Mapping[str, int]:
        """What was passed over or went wrong, by name."""
        dropped = sum(asset.memory.dropped() for asset in list(self._assets.values()))
        return {**self._counts, "window_readings_dropped": self._counts["window_readings_dropped"] + dropped}

    def describe(self) -> list[dict[str, Any]]:
        """Every rule as JSON-ready data: what it says, how it stands on how many assets, and what broke."""
        phases: dict[str, Counter[Phase]] = {rule.name: Counter() for rule in self.ruleset.rules}
        for asset in list(self._assets.values()):  # a list: readers may be on another thread
            for rule in asset.rules:
                if standing := asset.standings.get(rule.name):
                    phases[rule.name][standing.phase] += 1
        return [
            {
                **rule.as_document(),
                "broken": self.broken.get(rule.name, ""),
                "pending": phases[rule.name][Phase.PENDING],
                "active": phases[rule.name][Phase.ACTIVE] + phases[rule.name][Phase.KEEPING],
            }
            for rule in self.ruleset.rules
        ]

    def explain(self, rule: str, asset: str) -> tuple[bool | None, str]:
        """(the truth at the last evaluation, the condition with its values) of a rule on an asset.

        Raises KeyError when the rule does not apply to the asset.
        """
        found = self._assets[asset]
        for one, truth in zip(found.rules, found.truths, strict=False):
            if one.name == rule:
                return truth, because(one.parts, facts_of(found))
        raise KeyError(rule)

    def standing(self, rule: str, asset: str) -> Standing | None:
        """How a rule stands on an asset: to look at, not to change."""
        found = self._assets.get(asset)
        return found.standings.get(rule) if found else None

    # -------------------------------------------------------------------------------------------------------- snapshot

    def snapshot(self) -> bytes:
        """Everything the engine remembers; `restore` of it goes on as if nothing had happened."""
        image = EngineImage(
            files=self.ruleset.files,
            digest=self.ruleset.digest,
            refused=self.refused,
            broken=self.broken,
            counts=self._counts,
            last_tick_ms=self._last_tick_ms,
            hole_ms=self._hole_ms,
            listening=self._listening,
            listened_ms=self._surroundings.listened_ms,
            asleep=list(self._asleep),
            assets=[image_of(asset) for asset in self._assets.values()],
        )
        return encode(image)

    def restore(self, snapshot: bytes) -> None:
        """Take over a snapshot, in place of all that is there. Raises SnapshotFault for anything else.

        Rules that no longer load (a newer kind) are named in `refused`; what they raised stays open until rules
        are loaded again.
        """
        image = decode(snapshot)
        refused = image.refused
        try:
            ruleset = msgspec.structs.replace(load(image.files, self.kinds, self.site), digest=image.digest)
        except DocumentFault as fault:
            ruleset, refused = RuleSet(), str(fault)
        self._take_over(ruleset)
        self.refused = refused
        self.broken = dict(image.broken)
        self._counts.update(image.counts)
        self._last_tick_ms, self._hole_ms, self._listening = image.last_tick_ms, image.hole_ms, image.listening
        self._surroundings.listened_ms = image.listened_ms
        self._asleep = dict.fromkeys(image.asleep)
        self._assets, self._bindings, self._judged = {}, {}, None
        for one in image.assets:
            if one.registered.kind in self.kinds:
                asset = restored(one, self.kinds[one.registered.kind])
                self._assets[one.registered.asset] = asset
                if asset.bound:
                    self._bindings[one.registered.device] = one.registered.asset
                self._choose(asset)
        self._gather_stations()


def _horizons(ruleset: RuleSet) -> dict[str, dict[str, int]]:
    """Kind → metric → how far windows look back on it (ms)."""
    horizons: dict[str, dict[str, int]] = {}
    for rule in ruleset.rules:
        for wanted in tree.inputs_of(rule.condition):
            match wanted:
                case tree.Window(metric=metric, ms=ms):
                    kind = rule.kind
                case tree.WeatherRain():
                    kind, metric, ms = functions.WEATHER_KIND, functions.RAIN_METRIC, RAIN_MS
                case _:
                    continue
            of_kind = horizons.setdefault(kind, {})
            of_kind[metric] = max(ms, of_kind.get(metric, 0))
    return horizons
