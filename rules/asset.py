"""One asset as the rules see it: who it is, what is remembered of it, and how each rule stands on it."""

from contract.kind import Kind
from contract.records import Registered
from rules import tree
from rules.compile import Program, Truths
from rules.group import Group
from rules.lifecycle import NEVER_MS, Standing, Subject
from rules.memory import Memory
from rules.ruleset import Rule
from rules.series import FAR_MS


class Asset:
    """The thing in the street. Its device may be swapped: memory and standings stay with the asset."""

    __slots__ = (
        "asleep_until_ms", "bound", "due_ms", "evaluated_ms", "facts", "group", "heard_ms", "kind", "memory",
        "period_ms", "program", "refresh_ms", "registered", "rules", "standings", "subject", "truths", "values",
    )  # fmt: skip

    def __init__(self, kind: Kind, registered: Registered) -> None:
        self.kind = kind
        self.memory = Memory(kind)
        self.bound = True  # has it a device? Without one it is not judged
        self.period_ms = kind.period_s * 1000
        self.asleep_until_ms = 0
        self.heard_ms = 0.0  # how much the platform had listened when it last heard the device
        self.evaluated_ms = 0  # never goes back
        self.standings: dict[str, Standing] = {}
        self.rules: tuple[Rule, ...] = ()
        self.program: Program | None = None
        self.group: Group | None = None
        self.identify(registered)

    def identify(self, registered: Registered) -> None:
        """Take over the facts of a registration."""
        self.registered = registered
        self.facts: dict[str, str | float] = {
            **registered.settings,
            "commune": registered.commune,
            "zone": registered.zone,
            "device": registered.device,
            "asset": registered.asset,
        }
        self.subject = Subject(asset=registered.asset, device=registered.device, settings=registered.settings)
        self.judge_anew()

    def judge_anew(self) -> None:
        """Whatever was computed before no longer holds."""
        self.values: list[tree.Value] = []
        self.truths: Truths = ()
        self.refresh_ms = 0
        self.due_ms = NEVER_MS

    def refresh(self, now_ms: int) -> None:
        """Compute the program's inputs anew, and until when they hold if nothing comes."""
        assert self.program is not None
        values: list[tree.Value] = []
        refresh_ms = FAR_MS
        for wanted in self.program.asset_inputs:
            value, until_ms = self.read(wanted, now_ms)
            values.append(value)
            refresh_ms = min(refresh_ms, until_ms)
        self.values = values
        self.refresh_ms = refresh_ms

    def read(self, wanted: tree.AssetInput, now_ms: int) -> tuple[tree.Value, int]:
        """The value of an input, and the first moment it may be another if nothing comes."""
        if isinstance(wanted, (tree.SettingOf, tree.LabelOf)):
            return self.facts[wanted.name], FAR_MS
        if isinstance(wanted, tree.Heard):
            return self.heard_ms, FAR_MS
        return self.memory.read(wanted, now_ms, self.period_ms)

    def heard(self, listened_ms: float) -> None:
        self.heard_ms = listened_ms
        self.refresh_ms = 0
