"""A few devices, a rule file and the entries of a log, to tell a test's story to the real engine."""

from datetime import datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

from contract.decisions import Alarm, AlarmState, Intent, IntentEnd
from contract.kind import Kinds, Value, check_settings
from contract.kind_file import load_kinds
from contract.records import (
    TICK_MS,
    Entry,
    Quality,
    Reading,
    Record,
    Registered,
    RulesLoaded,
    Status,
    Telemetry,
    Tick,
)
from contract.site import Site
from rules.engine import Engine
from rules.lifecycle import Outcome

KINDS: Kinds = load_kinds()
SITE = Site(
    commune="berkane",
    labels={"ar": "بركان", "fr": "Berkane", "en": "Berkane"},
    latitude=34.92,
    longitude=-2.32,
    timezone="Africa/Casablanca",
    zones=(),
    streets=(),
)
ZONE = ZoneInfo(SITE.timezone)
S, M, H = 1_000, 60_000, 3_600_000
TEXT = "text: {ar: أ, fr: a, en: a}"
LATE = int(Quality.LATE)


def at(hour: int, minute: int = 0, second: int = 0, day: int = 23) -> int:
    """Unix ms of a local time in November 2026 (UTC+1)."""
    return round(datetime(2026, 11, day, hour, minute, second, tzinfo=ZONE).timestamp() * 1000)


def shipped_rules() -> tuple[dict[str, str], dict[str, str]]:
    """(rule files, test files) as they are in the package: name → text."""
    folder = files("nabd") / "site" / "rules"
    texts = {
        entry.name: entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    }
    tests = {name: text for name, text in texts.items() if name.endswith(".test.yaml")}
    return {name: text for name, text in texts.items() if name not in tests}, tests


def rule(name: str, when: str, *more: str, kind: str = "street_light") -> str:
    """A rule file of one rule; an alarm unless `more` says what else."""
    lines = [f"  - name: {name}", f"    kind: {kind}", f"    when: {when}", *(f"    {line}" for line in more)]
    if not any(line.startswith(("alarm:", "set:")) for line in more):
        lines.append(f"    alarm: {{severity: minor, {TEXT}}}")
    return "group: told\nrules:\n" + "\n".join(lines) + "\n"


class Story:
    """An engine and what it has decided so far."""

    def __init__(self, *texts: str, start_ms: int, engine: Engine | None = None) -> None:
        self.engine = engine or Engine(KINDS, SITE)
        self.position = 0
        self.now_ms = start_ms
        self.seq = 0
        self.alarms: list[Alarm] = []
        self.intents: list[Intent] = []
        self.ends: list[IntentEnd] = []
        self.kinds: dict[str, str] = {}
        self.load(*texts)

    def apply(self, record: Record, at_ms: int | None = None) -> Outcome:
        self.now_ms = self.now_ms if at_ms is None else at_ms
        self.position += 1
        outcome = self.engine.apply(Entry(self.position, self.now_ms, record))
        self.alarms += outcome.alarms
        self.intents += outcome.intents
        self.ends += outcome.ends
        return outcome

    def load(self, *texts: str) -> Outcome:
        named = {f"{number}.yaml": text for number, text in enumerate(texts)}
        return self.apply(RulesLoaded(digest="", files=named))

    def register(self, device: str, kind: str, *, asset: str = "", zone: str = "", **settings: float | str) -> Outcome:
        self.kinds[asset or device] = kind
        return self.apply(
            Registered(
                device=device,
                kind=kind,
                commune="berkane",
                asset=asset or device,
                zone=zone,
                settings=check_settings(KINDS[kind], settings),
            )
        )

    def read(
        self, asset: str, measured_ms: int, *, arrived_ms: int | None = None, quality: int = 0, **values: Value
    ) -> Outcome:
        """One reading; it arrives when it is measured, unless told otherwise."""
        self.seq += 1
        reading = Reading(self.seq, measured_ms, values, quality)
        return self.apply(
            telemetry(asset, self.kinds[asset], reading), measured_ms if arrived_ms is None else arrived_ms
        )

    def tick(self, at_ms: int, *, listening: bool = True, period_ms: int = TICK_MS) -> Outcome:
        return self.apply(Tick(listening=listening, period_ms=period_ms), at_ms)

    def ticks(self, until_ms: int, *, listening: bool = True, every_ms: int = TICK_MS) -> None:
        """Ticks after now, up to and including `until_ms`."""
        while self.now_ms + every_ms <= until_ms:
            self.tick(self.now_ms + every_ms, listening=listening, period_ms=every_ms)

    def status(self, device: str, **facts: object) -> Outcome:
        return self.apply(Status(**{"device": device, "online": True, "n": 1, "boot": 1, **facts}))  # type: ignore[arg-type]

    def states(self, name: str = "") -> list[AlarmState]:
        return [alarm.state for alarm in self.alarms if name in ("", alarm.rule)]


def telemetry(asset: str, kind: str, *readings: Reading) -> Telemetry:
    return Telemetry(device=asset, asset=asset, kind=kind, stream="00000001", boot=1, readings=readings)
