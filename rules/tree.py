"""The checked tree: every name resolved to an input, every unit converted, every type known to fit.

Compiled code and the reference evaluator both work on this tree and on nothing else. A node's value is a float, a
word, True, False, or None for unknown. Nodes are hashable, so that equal parts of several rules are computed once.
"""

import msgspec

Value = float | str | bool | None


# ------------------------------------------------------------------------------------------------ inputs of an asset


class Current(msgspec.Struct, frozen=True):
    """The newest value of a metric; unknown when it is older than two periods or was never measured.

    `fresh` everywhere: readings that came late do not count (rules that move something never see them).
    `doubtful` everywhere: values that are marked as not credible count too.
    """

    metric: str
    fresh: bool
    doubtful: bool = False


class Window(msgspec.Struct, frozen=True):
    """A window function over the readings of a metric measured within (now - ms, now]."""

    function: str
    metric: str
    ms: int
    fresh: bool
    doubtful: bool = False


class MeasuredAt(msgspec.Struct, frozen=True):
    """When a metric was last measured (ms), however long ago; unknown when never."""

    metric: str
    fresh: bool
    doubtful: bool = False


class SettingOf(msgspec.Struct, frozen=True):
    """A setting of the asset's registration; always known."""

    name: str


class LabelOf(msgspec.Struct, frozen=True):
    """commune, zone, device or asset."""

    name: str


class Heard(msgspec.Struct, frozen=True):
    """How much the platform had listened (ms) when it last heard the device."""


# ------------------------------------------------------------------------------------------- inputs that assets share


class Now(msgspec.Struct, frozen=True):
    """The time of the evaluation, Unix ms."""


class Listened(msgspec.Struct, frozen=True):
    """How much the platform has listened since the log began (ms)."""


class SunElevation(msgspec.Struct, frozen=True):
    """Degrees above the horizon at the site."""


class Between(msgspec.Struct, frozen=True):
    """Is the local time of day within [from, to)? Wraps midnight when `to` is before `from`. Minutes."""

    from_minute: int
    to_minute: int


class Weekday(msgspec.Struct, frozen=True):
    """Is the local day one of these? 0 is Monday."""

    days: tuple[int, ...]


class Weather(msgspec.Struct, frozen=True):
    """A metric of the weather station of the commune that was heard of last."""

    metric: str
    fresh: bool
    doubtful: bool = False


class WeatherRain(msgspec.Struct, frozen=True):
    """Rain of the last 24 h at that station, mm."""

    fresh: bool
    doubtful: bool = False


AssetInput = Current | Window | MeasuredAt | SettingOf | LabelOf | Heard
SharedInput = Now | Listened | SunElevation | Between | Weekday | Weather | WeatherRain
Input = AssetInput | SharedInput
ASSET_INPUTS = (Current, Window, MeasuredAt, SettingOf, LabelOf, Heard)
NEVER_UNKNOWN = (SettingOf, LabelOf, Heard, Now, Listened, SunElevation, Between, Weekday)


# ------------------------------------------------------------------------------------------------------------- nodes


class Constant(msgspec.Struct, frozen=True):
    value: float | str | bool


class Read(msgspec.Struct, frozen=True):
    input: Input


class Not(msgspec.Struct, frozen=True):
    operand: "Node"


class And(msgspec.Struct, frozen=True):
    left: "Node"
    right: "Node"


class Or(msgspec.Struct, frozen=True):
    left: "Node"
    right: "Node"


class Compare(msgspec.Struct, frozen=True):
    operator: str  # < <= > >= == !=
    left: "Node"
    right: "Node"


class Arithmetic(msgspec.Struct, frozen=True):
    operator: str  # + - * /; a division by zero is unknown
    left: "Node"
    right: "Node"


class Negate(msgspec.Struct, frozen=True):
    operand: "Node"


class Scale(msgspec.Struct, frozen=True):
    """operand * factor + offset: a value in another unit."""

    operand: "Node"
    factor: float
    offset: float


class Pick(msgspec.Struct, frozen=True):
    """A scalar function: min, max (of two), abs (of one), clamp (value, low, high)."""

    function: str
    arguments: tuple["Node", ...]


Node = Constant | Read | Not | And | Or | Compare | Arithmetic | Negate | Scale | Pick


def children(node: Node) -> tuple[Node, ...]:
    match node:
        case Constant() | Read():
            return ()
        case Not() | Negate() | Scale():
            return (node.operand,)
        case Pick():
            return node.arguments
        case _:
            return (node.left, node.right)


def inputs_of(node: Node) -> dict[Input, None]:
    """The inputs a node reads, in order of appearance (a dict, because a set has no order)."""
    found: dict[Input, None] = {}
    waiting = [node]
    while waiting:
        this = waiting.pop()
        if isinstance(this, Read):
            found.setdefault(this.input)
        waiting.extend(reversed(children(this)))
    return found
