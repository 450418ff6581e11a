"""Panels every kind gets from its own file: what is wrong, who is silent, how each metric goes.

A kind that is new gets its dashboard from here alone; labels, units and ranges are the kind's.
"""

from contract.kind import Metric, MetricType
from dashboards.frame import (
    ALARMS_WINDOW,
    GOOD,
    LEDGER_WINDOW,
    NONE_IS_GOOD,
    Column,
    Frame,
    Panel,
    Target,
    chart,
    levels_by,
    rows,
    single,
)
from dashboards.influxql import STEP, Query, call, newest_by, quoted
from dashboards.units import unit_of

ZONE_NAME = "$tag_commune $tag_zone"
SPEAKING_FIRST = 3
"""Metrics of a kind that are charted openly; the others wait in a folded row."""


def alarms_open(frame: Frame) -> Panel:
    newest = Query([call("last", "open")], "nabd_alarms", frame.place, ("rule", "asset"))
    query = Query([call("sum", "open")], newest)
    return single(frame, "alarms_open", Target(query), levels=NONE_IS_GOOD, window=ALARMS_WINDOW, none="no_alarms")


def in_contact(frame: Frame) -> Panel:
    query = Query([call("sum", "online")], _online(frame, ()))
    return single(frame, "in_contact", Target(query), window=LEDGER_WINDOW, levels=((None, GOOD),))


def no_contact(frame: Frame) -> Panel:
    query = Query(['count("online") - sum("online") AS "silent"'], _online(frame, ()))
    return single(frame, "no_contact", Target(query), levels=NONE_IS_GOOD, window=LEDGER_WINDOW)


def alarm_list(frame: Frame) -> Panel:
    title = f"title_{frame.words.language}"
    fields = [call("last", "open"), f"{quoted(title)} AS {quoted('title')}"]
    newest = Query(fields, "nabd_alarms", frame.place, ("rule", "asset", "zone", "severity"))
    query = Query(['"title"', '"severity"', '"asset"', '"zone"'], newest, ('"open" = 1',))
    words = frame.words
    columns = (
        Column("title", words("column.alarm")),
        Column("severity", words("column.severity"), said={name: words(f"severity.{name}") for name in SEVERITIES}),
        Column("asset", words("column.asset"), link=True),
        Column("zone", words("column.zone")),
    )
    return rows(
        frame, "alarm_list", Target(query, rows=True), columns,
        sort="Time", descending=True, window=ALARMS_WINDOW, none="no_alarms",
    )  # fmt: skip


SEVERITIES = ("critical", "major", "minor", "info")


def silent_list(frame: Frame) -> Panel:
    query = Query(['"last"', '"asset"', '"zone"'], _online(frame, ("asset", "zone")), ('"online" = 0',))
    words = frame.words
    columns = (
        Column("last", words("column.last_reading"), "dateTimeFromNow"),
        Column("asset", words("column.asset"), link=True),
        Column("zone", words("column.zone")),
    )
    return rows(
        frame, "silent_list", Target(query, rows=True), columns,
        sort="last", window=LEDGER_WINDOW, none="all_in_contact",
    )  # fmt: skip


def _online(frame: Frame, group: tuple[str, ...]) -> Query:
    fields = [call("last", "online"), '"last_measured_at_ms" AS "last"']
    return Query(fields, "nabd_ledger", frame.place, ("device", *group))


def newest_values(frame: Frame) -> Panel:
    """One row an asset: its last reading, when it is younger than two periods."""
    kind = frame.kind
    assert kind is not None
    metrics = list(kind.metrics.values())
    group = ("asset", "zone", *((kind.group,) if kind.group else ()))
    query = newest_by(kind.name, [metric.name for metric in metrics], group, frame.readings)
    words = frame.words
    columns = [Column("asset", words("column.asset"), link=True), Column("zone", words("column.zone"))]
    if kind.group:
        setting = kind.settings[kind.group]
        columns.append(Column(setting.name, words.of(setting.labels), said=_values(frame, setting.values)))
    columns += [_metric_column(frame, metric) for metric in metrics]
    return rows(frame, "newest_values", Target(query, rows=True), columns, sort="asset", window=frame.now, width=24)


def _metric_column(frame: Frame, metric: Metric) -> Column:
    label = frame.words.of(metric.labels)
    if metric.type is MetricType.BOOLEAN:
        said = {"0": frame.words("value.no"), "1": frame.words("value.yes")}
        return Column(metric.name, label, said=said)
    if metric.type is MetricType.ENUM:
        return Column(metric.name, label, said=_values(frame, metric.values))
    unit, factor = unit_of(metric)
    if factor != 1.0:
        unit = {"litre": "mlitre", "lengthmm": "suffix: µm"}.get(unit, f"suffix: {metric.unit}")  # as it is stored
    ranged = metric.unit == "ratio" and metric.minimum is not None and metric.maximum is not None
    bar = (float(metric.minimum or 0.0), float(metric.maximum or 1.0)) if ranged else None
    return Column(metric.name, label, unit, bar=bar)


def _values(frame: Frame, values: tuple[str, ...]) -> dict[str, str]:
    return {value: frame.words.value(value) for value in values}


def metric_charts(frame: Frame) -> tuple[list[Panel], list[Panel]]:
    """(those to show openly, those for the folded row): one chart a metric."""
    assert frame.kind is not None
    made = [metric_chart(frame, metric) for metric in frame.kind.metrics.values()]
    return made[:SPEAKING_FIRST], made[SPEAKING_FIRST:]


def metric_chart(frame: Frame, metric: Metric, width: int = 8) -> Panel:
    if metric.type is MetricType.ENUM:
        return enum_bars(frame, metric, width)
    title, key = frame.words.of(metric.labels), f"metric.{metric.type.value}"
    unit, factor = unit_of(metric)
    scale = f" * {factor:g}" if factor != 1.0 else ""
    name = quoted(metric.name)
    if metric.type is MetricType.COUNTER:
        select = f"sum({name}){scale} AS {name}"
    else:
        select = f"sum({name}) / sum({quoted(metric.name + '_n')}){scale} AS {name}"
    query = Query([select], "nabd_zones", frame.zones, ("commune", "zone"), every=STEP)
    is_ratio = unit == "percentunit"
    return chart(
        frame, key, Target(query, name=ZONE_NAME), unit=unit, bars=metric.type is MetricType.COUNTER, width=width,
        least=0.0 if is_ratio else None, most=1.0 if is_ratio else None, title=title,
        about=frame.words(f"{key}.about", metric=title),
    )  # fmt: skip


def enum_bars(frame: Frame, metric: Metric, width: int = 8) -> Panel:
    """How many things say each word now."""
    assert frame.kind is not None
    newest = Query([call("last", metric.name, "said")], frame.kind.name, frame.readings, ("asset",))
    targets = [
        Target(Query([call("count", "said")], newest, (f"\"said\" = '{value}'",)), name=frame.words.value(value))
        for value in metric.values
    ]
    title = frame.words.of(metric.labels)
    return levels_by(frame, "metric.enum", *targets, window=frame.now, title=title, width=width)
