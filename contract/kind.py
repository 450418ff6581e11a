"""What a kind of device is: its metrics, settings and targets, as read from one YAML file a kind.

Nothing here reads a file (see ``kind_file``) and nothing here knows a particular kind: adding a kind edits no code.
"""

from collections.abc import Mapping
from enum import StrEnum
from math import isfinite
from typing import Any

import msgspec

LANGUAGES = ("ar", "fr", "en")

Labels = dict[str, str]
"""Language code (ar, fr, en) → text; all three are always there."""

Value = float | str
"""A metric's value after validation: numbers and counters as float, booleans as 0.0 or 1.0, enums as their word."""


class MetricType(StrEnum):
    NUMBER = "number"
    COUNTER = "counter"  # an integer that only grows, until the device is replaced or its meter wraps
    BOOLEAN = "boolean"
    ENUM = "enum"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One named, unit-bearing quantity of a kind. It never changes type or unit."""

    name: str
    type: MetricType
    labels: Labels
    unit: str = ""  # as quantity.UNITS names it; empty for booleans and enums
    unit_code: str = ""  # UN/CEFACT Recommendation 20
    minimum: float | None = None
    maximum: float | None = None
    resolution: float | None = None
    rate_max_per_s: float | None = None  # the largest credible rate of change, in the unit per second
    stuck_after_ms: int = 0  # unchanged for so long it is stuck; 0: it may stand still
    values: tuple[str, ...] = ()  # of an enum
    smart_data_model: str = ""  # the attribute's name in FIWARE Smart Data Models


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A fact about the installed thing that a technician enters once: rated power, circuit, crop."""

    name: str
    type: str  # number, integer, text, enum
    labels: Labels
    unit: str = ""
    unit_code: str = ""
    minimum: float | None = None
    maximum: float | None = None
    values: tuple[str, ...] = ()
    default: float | str | None = None  # None: it must be given when the device is registered
    smart_data_model: str = ""

    @property
    def required(self) -> bool:
        return self.default is None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A property that can be leased. Its value is reported under the metric of the same name."""

    name: str
    type: MetricType  # NUMBER or BOOLEAN
    labels: Labels
    safe: float  # what the device falls back to when nothing else rules; booleans as 0.0 or 1.0
    minimum: float = 0.0
    maximum: float = 1.0
    resume: bool = True  # may a lease be taken up again after a reset, and renewed?
    fresh_ms: int = 120_000  # an older reading decides nothing
    control: str = ""  # the enum metric that says who rules it: lease, schedule, safe, interlock, local
    schedule: bool = False  # the device has a schedule of its own that rules when no lease does
    run_limit: str = ""  # setting (in s) that bounds one run at a value other than safe
    day_limit: str = ""  # setting (in s) that bounds the sum of runs in a local day
    rest_limit: str = ""  # setting (in s) of the least time at safe between two runs


DAY_MS = 86_400_000


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How long a store keeps what a kind has measured, counted from when it was measured. See contract.aggregates."""

    raw_ms: int = 400 * DAY_MS  # longer than a reading may be old at its arrival: aggregates are then always exact
    five_minutes_ms: int = 1_095 * DAY_MS
    hours_ms: int = 3_650 * DAY_MS


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of device, whole."""

    name: str
    version: int
    labels: Labels
    icon: str  # Material icon name, for the console
    smart_data_model: str  # FIWARE entity type
    period_s: int  # the expected time between readings
    metrics: Mapping[str, Metric]
    settings: Mapping[str, Setting]
    targets: Mapping[str, Target]
    group: str = ""  # the text or enum setting by which people group these things: the circuit of lamps
    keep: Keep = Keep()

    def as_document(self) -> dict[str, Any]:
        """The kind as JSON-ready data, for the API."""
        document = msgspec.to_builtins(self)
        assert isinstance(document, dict)
        return document


Kinds = Mapping[str, Kind]


class SettingFault(ValueError):
    """A setting's value that its kind does not allow; ``faults`` has one sentence each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def check_settings(kind: Kind, given: Mapping[str, Any]) -> dict[str, float | str]:
    """The settings of one device, complete with defaults.

    Raises SettingFault with all faults at once: unknown names, missing ones, wrong types, values out of range.
    """
    faults = [
        f"{name}: {kind.name} has no such setting; it has {', '.join(kind.settings)}"
        for name in given
        if name not in kind.settings
    ]
    settings: dict[str, float | str] = {}
    for setting in kind.settings.values():
        value = given.get(setting.name, setting.default)
        if value is None:
            faults.append(f"{setting.name}: missing; {kind.name} needs it ({setting.labels['en']})")
        elif fault := _setting_fault(setting, value):
            faults.append(f"{setting.name}: {fault}")
        else:
            settings[setting.name] = str(value) if setting.type in ("text", "enum") else float(value)
    if faults:
        raise SettingFault(faults)
    return settings


def _setting_fault(setting: Setting, value: Any) -> str:
    if setting.type == "enum":
        return "" if value in setting.values else f"{value!r} is not one of {', '.join(setting.values)}"
    if setting.type == "text":
        if not isinstance(value, str) or not value or len(value) > 64:
            return f"{value!r} is not a text of 1 to 64 characters"
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value):
        return f"{value!r} is not a number"
    if setting.type == "integer" and value != int(value):
        return f"{value!r} is not a whole number"
    if setting.minimum is not None and value < setting.minimum:
        return f"{value} {setting.unit} is below the minimum {setting.minimum}".replace("  ", " ")
    if setting.maximum is not None and value > setting.maximum:
        return f"{value} {setting.unit} is above the maximum {setting.maximum}".replace("  ", " ")
    return ""
