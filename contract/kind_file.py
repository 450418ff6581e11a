"""Reads kinds from YAML, one file a kind, and names every fault of a file at once."""

import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from contract.document import (
    Document,
    DocumentFault,
    Fault,
    is_bool,
    is_list,
    is_mapping,
    is_number,
    is_text,
    is_whole,
    nearest,
)
from contract.kind import DAY_MS, LANGUAGES, Keep, Kind, Kinds, Metric, MetricType, Setting, Target
from contract.quantity import UNITS, duration_ms, duration_text
from contract.wire.messages import INTEGER_MAX, PERIOD_S_MAX

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
KIND_KEYS = (
    "kind", "version", "labels", "icon", "smart_data_model", "period", "metrics", "settings", "targets", "group",
    "keep",
)  # fmt: skip
METRIC_KEYS = (
    "type", "unit", "unit_code", "min", "max", "resolution", "rate_max_per_s", "stuck_after", "values", "labels",
    "smart_data_model",
)  # fmt: skip
SETTING_KEYS = ("type", "unit", "unit_code", "min", "max", "values", "default", "labels", "smart_data_model")
SETTING_TYPES = ("number", "integer", "text", "enum")
PERIOD_MS_MAX = PERIOD_S_MAX * 1000
STUCK_MS_MIN = 60_000
TARGET_KEYS = ("safe", "min", "max", "resume", "fresh", "control", "schedule", "limits", "labels")
LIMIT_KEYS = ("run", "day", "rest")
KEEP_KEYS = ("raw", "5m", "1h")
RAW_MS_MIN = DAY_MS
AGGREGATES_MS_MIN = 367 * DAY_MS
"""A reading may be 366 days old when it comes, and must still find its bucket."""
# Columns of every store table; a metric of that name would be two things at once.
RESERVED = (
    "asset", "boot", "commune", "device", "device_at_ms",
    "group", "group_name", "kind", "measured_at_ms", "quality", "received_at_ms",
    "seq", "stored_at_ms", "stream", "time", "zone",
)  # fmt: skip


def load_kinds(*folders: Path | Traversable) -> Kinds:
    """All kinds of the package and of further folders; a name given twice is a fault.

    Raises DocumentFault with all faults of all files.
    """
    kinds: dict[str, Kind] = {}
    faults: list[Fault] = []
    for folder in (files("contract") / "kinds", *folders):
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
            if not entry.name.endswith(".yaml"):
                continue
            try:
                kind = read_kind(str(entry), entry.read_text(encoding="utf-8"))
            except DocumentFault as fault:
                faults += fault.faults
            except UnicodeDecodeError as error:
                faults.append(Fault(str(entry), 1, 1, f"not UTF-8 at byte {error.start}; save the file as UTF-8"))
            else:
                if kind.name in kinds:
                    faults.append(Fault(str(entry), 1, 1, f"kind {kind.name!r} is defined twice"))
                kinds[kind.name] = kind
    if faults:
        raise DocumentFault(faults)
    return kinds


def read_kind(file: str, text: str) -> Kind:
    """One kind. Raises DocumentFault with all that is wrong in it."""
    document = Document(file, text)
    document.finish()  # what is no YAML has no keys to judge
    root = document.root
    document.check_keys(root, KIND_KEYS, "kind")
    name = document.take(root, "kind", "a name like street_light", _is_name, required=True, default="")
    settings = {
        key: _read_setting(document, node, key) for key, node in _section(document, root, "settings", SETTING_KEYS)
    }
    metrics = {key: _read_metric(document, node, key) for key, node in _section(document, root, "metrics", METRIC_KEYS)}
    if not metrics and not document.faults:
        document.fault(root, None, "metrics: a kind measures at least one")
    for both in metrics.keys() & settings.keys():
        document.fault(root["settings"], both, f"{both}: is a metric of this kind already")
    targets = {
        key: _read_target(document, node, key, metrics, settings)
        for key, node in _section(document, root, "targets", TARGET_KEYS)
    }
    kind = Kind(
        name=name,
        version=document.take(root, "version", "a whole number", is_whole, required=True, default=0),
        labels=document.take_labels(root, "labels", LANGUAGES),
        icon=document.take(root, "icon", "an icon name", is_text, required=True, default=""),
        smart_data_model=document.take(root, "smart_data_model", "a FIWARE type", is_text, required=True, default=""),
        period_s=_take_duration_ms(document, root, "period", required=True, least=1_000, most=PERIOD_MS_MAX) // 1000,
        metrics=metrics,
        settings=settings,
        targets=targets,
        group=_take_group(document, root, settings),
        keep=_read_keep(document, root),
    )
    document.finish()
    return kind


def _take_group(document: Document, root: Any, settings: Mapping[str, Setting]) -> str:
    name = document.take(root, "group", "the name of a setting", is_text, default="")
    words = [setting.name for setting in settings.values() if setting.type in ("text", "enum")]
    if name and name not in words and not document.faults:
        document.fault(
            root,
            "group",
            f"group: {name!r} is no text or enum setting of this kind (it has: {', '.join(words) or 'none'})",
        )
    return str(name)


def _read_keep(document: Document, root: Any) -> Keep:
    node = document.take(root, "keep", "a mapping", is_mapping, default={})
    document.check_keys(node, KEEP_KEYS, "keep")
    default = Keep()
    raw_ms, five_minutes_ms, hours_ms = (
        _take_duration_ms(document, node, key, required=False, default=ms, least=least)
        for key, ms, least in (
            ("raw", default.raw_ms, RAW_MS_MIN),
            ("5m", default.five_minutes_ms, AGGREGATES_MS_MIN),
            ("1h", default.hours_ms, AGGREGATES_MS_MIN),
        )
    )
    for key, ms, finer, finer_ms in (("5m", five_minutes_ms, "raw", raw_ms), ("1h", hours_ms, "5m", five_minutes_ms)):
        if ms < finer_ms and not document.faults:
            where = key if key in node else finer
            both = f"{key} is kept for {duration_text(ms)} and {finer} for {duration_text(finer_ms)}"
            document.fault(node, where, f"{where}: {both}; the coarser must be kept as long at least", of_value=True)
    return Keep(raw_ms=raw_ms, five_minutes_ms=five_minutes_ms, hours_ms=hours_ms)


def _section(document: Document, root: Any, name: str, keys: Iterable[str]) -> Iterable[tuple[str, Any]]:
    """(name, mapping) of each entry of a section, its keys checked."""
    section = document.take(root, name, "a mapping", is_mapping, default={})
    for key in section:
        if not _is_name(key):
            document.fault(section, key, f"{key!r}: a name is lower-case letters, digits and _, 40 at most")
        elif key in RESERVED:
            document.fault(section, key, f"{key}: is a word of the store; choose another name")
        elif not is_mapping(section[key]):
            document.fault(section, key, f"{key}: must be a mapping")
        else:
            document.check_keys(section[key], keys, key)
            yield key, section[key]


def _read_metric(document: Document, node: Any, name: str) -> Metric:
    kind_of = document.take(
        node, "type", f"one of {', '.join(MetricType)}", lambda value: value in tuple(MetricType), required=True
    )
    metric_type = MetricType(kind_of or MetricType.NUMBER)
    numeric = metric_type in (MetricType.NUMBER, MetricType.COUNTER)
    unit, unit_code = _take_unit(document, node, required=numeric and kind_of is not None)
    minimum, maximum = _take_range(document, node, required=metric_type is MetricType.NUMBER and kind_of is not None)
    if metric_type is MetricType.COUNTER and minimum is None:
        minimum = 0.0
    values = _take_values(document, node) if metric_type is MetricType.ENUM else ()
    if not numeric and "rate_max_per_s" in node:
        document.fault(node, "rate_max_per_s", f"rate_max_per_s: {metric_type} has no rate; leave it out")
    return Metric(
        name=name,
        type=metric_type,
        labels=document.take_labels(node, "labels", LANGUAGES),
        unit=unit,
        unit_code=unit_code,
        minimum=minimum,
        maximum=maximum,
        resolution=document.take(node, "resolution", "a number above 0", _is_positive),
        rate_max_per_s=document.take(node, "rate_max_per_s", "a number above 0", _is_positive),
        stuck_after_ms=_take_duration_ms(document, node, "stuck_after", required=False, least=STUCK_MS_MIN),
        values=values,
        smart_data_model=document.take(node, "smart_data_model", "an attribute name", is_text, default=""),
    )


def _read_setting(document: Document, node: Any, name: str) -> Setting:
    setting_type = document.take(
        node, "type", f"one of {', '.join(SETTING_TYPES)}", lambda value: value in SETTING_TYPES, required=True
    )
    numeric = setting_type in ("number", "integer")
    unit, unit_code = _take_unit(document, node, required=numeric)
    minimum, maximum = _take_range(document, node, required=numeric)
    values = _take_values(document, node) if setting_type == "enum" else ()
    default = document.take(node, "default", "a number or a text", lambda value: is_number(value) or is_text(value))
    if setting_type == "enum" and default is not None and default not in values:
        document.fault(node, "default", f"default: {default!r} is not one of {', '.join(values)}", of_value=True)
    bounded = numeric and is_number(default) and minimum is not None and maximum is not None
    if bounded and not minimum <= default <= maximum:
        document.fault(node, "default", f"default: {default} is outside {minimum} to {maximum}", of_value=True)
    return Setting(
        name=name,
        type=setting_type or "text",
        labels=document.take_labels(node, "labels", LANGUAGES),
        unit=unit,
        unit_code=unit_code,
        minimum=minimum,
        maximum=maximum,
        values=values,
        default=float(default) if is_number(default) else default,
        smart_data_model=document.take(node, "smart_data_model", "an attribute name", is_text, default=""),
    )


def _read_target(
    document: Document, node: Any, name: str, metrics: dict[str, Metric], settings: dict[str, Setting]
) -> Target:
    metric = metrics.get(name)
    if metric is None or metric.type not in (MetricType.NUMBER, MetricType.BOOLEAN):
        document.fault(node, None, f"{name}: a target needs a number or boolean metric of the same name")
    metric_type = metric.type if metric else MetricType.NUMBER
    if metric_type is MetricType.BOOLEAN:
        safe = document.take(node, "safe", "true or false", is_bool, required=True, default=False)
        minimum, maximum = 0.0, 1.0
    else:
        safe = document.take(node, "safe", "a number", is_number, required=True, default=0)
        low, high = _take_range(document, node, required=False)
        minimum = low if low is not None else (metric.minimum if metric and metric.minimum is not None else 0.0)
        maximum = high if high is not None else (metric.maximum if metric and metric.maximum is not None else 1.0)
    if not minimum <= float(safe) <= maximum:
        document.fault(node, "safe", f"safe: {safe} is outside {minimum} to {maximum}", of_value=True)
    control = document.take(node, "control", "an enum metric of this kind", is_text, default="")
    if control and (control not in metrics or metrics[control].type is not MetricType.ENUM):
        document.fault(node, "control", f"control: {control!r} is no enum metric{nearest(control, metrics)}")
    limits = document.take(node, "limits", "a mapping", is_mapping, default={})
    document.check_keys(limits, LIMIT_KEYS, "limits")
    for limit, setting in limits.items():
        if not is_text(setting) or setting not in settings or settings[setting].unit != "s":
            document.fault(limits, limit, f"{limit}: {setting!r} is no setting in s{nearest(str(setting), settings)}")
    return Target(
        name=name,
        type=metric_type,
        labels=document.take_labels(node, "labels", LANGUAGES),
        safe=float(safe),
        minimum=minimum,
        maximum=maximum,
        resume=document.take(node, "resume", "true or false", is_bool, default=True),
        fresh_ms=_take_duration_ms(document, node, "fresh", required=False, default=120_000),
        control=control,
        schedule=document.take(node, "schedule", "true or false", is_bool, default=False),
        run_limit=str(limits.get("run", "")),
        day_limit=str(limits.get("day", "")),
        rest_limit=str(limits.get("rest", "")),
    )


def _take_unit(document: Document, node: Any, *, required: bool) -> tuple[str, str]:
    known = sorted(UNITS.keys() | {"s", "count"})
    unit = document.take(node, "unit", f"one of {', '.join(known)}", lambda value: value in known,
                         required=required, default="")  # fmt: skip
    code = document.take(node, "unit_code", "a UN/CEFACT code of 2 or 3 characters", _is_unit_code,
                         required=required, default="")  # fmt: skip
    return unit, code


def _take_range(document: Document, node: Any, *, required: bool) -> tuple[float | None, float | None]:
    minimum = document.take(node, "min", "a number", is_number, required=required)
    maximum = document.take(node, "max", "a number", is_number, required=required)
    if minimum is not None and maximum is not None and minimum >= maximum:
        document.fault(node, "max", f"max: {maximum} is not above min {minimum}", of_value=True)
    return (None if minimum is None else float(minimum), None if maximum is None else float(maximum))


def _take_values(document: Document, node: Any) -> tuple[str, ...]:
    values = document.take(node, "values", "a list of words", _is_words, required=True, default=())
    return tuple(str(value) for value in values)


def _take_duration_ms(
    document: Document,
    node: Any,
    key: str,
    *,
    required: bool,
    default: int = 0,
    least: int = 0,
    most: int = INTEGER_MAX,
) -> int:
    text = document.take(node, key, "a duration such as 15m", is_text, required=required)
    if text is None:
        return default
    try:
        ms = duration_ms(text)
    except ValueError as error:
        document.fault(node, key, f"{key}: {error}", of_value=True)
        return default
    if ms < least:
        document.fault(node, key, f"{key}: {text} is shorter than {duration_text(least)}", of_value=True)
    if ms > most:
        document.fault(node, key, f"{key}: {text} is longer than {duration_text(most)}", of_value=True)
    return ms


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _is_unit_code(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[A-Z0-9]{2,3}", value) is not None


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_words(value: Any) -> bool:
    return is_list(value) and len(value) > 1 and all(map(_is_name, value)) and len(set(value)) == len(value)
