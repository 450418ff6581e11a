"""What all panels share: the data source, sizes, colours, links to the console. Panels say only what is theirs.

A colour never speaks alone: what it says is also a number with a title, or a word (`said`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shared
from grafana_foundation_sdk.models import dashboard as model

from contract.kind import Kind
from contract.quantity import duration_text
from dashboards.influxql import Query, chosen, is_tag
from dashboards.words import Words

SOURCE_UID = "nabd-influxdb"
SOURCE = model.DataSourceRef(type_val="influxdb", uid=SOURCE_UID)
ZONE = "Africa/Casablanca"  # whose days "per day" means

STAT_HEIGHT, STAT_WIDTH = 4, 4  # six in a row at 1080p, still readable on a tablet
CHART_HEIGHT, CHART_WIDTH = 8, 12
POINTS_MAX = 400

LEDGER_WINDOW = "15m"  # three samples of the ledger: what is in none of them is not known now
ALARMS_WINDOW = "30d"  # an alarm may have fired long ago and still be open
QUARTER = "15m"  # the zones' samples

GOOD, NOTICE, BAD, PLAIN = "green", "orange", "red", "text"
Levels = Sequence[tuple[float | None, str]]  # from this value on, this colour; the first from nothing on
CALM: Levels = ((None, PLAIN),)
NONE_IS_GOOD: Levels = ((None, GOOD), (1.0, BAD))

Panel = Builder[model.Panel]


@dataclass(frozen=True)
class Frame:
    """Where a panel stands: in which language, about which kind, under which variables."""

    words: Words
    kind: Kind | None = None
    variables: tuple[str, ...] = ("commune", "zone")

    @property
    def place(self) -> tuple[str, ...]:
        """For measurements that know no group: ledger, alarms, leases."""
        kind = (is_tag("kind", self.kind.name),) if self.kind else ()
        return kind + chosen(*(name for name in self.variables if name in ("commune", "zone")))

    @property
    def zones(self) -> tuple[str, ...]:
        kind = (is_tag("kind", self.kind.name),) if self.kind else ()
        return kind + chosen(*self.variables)

    @property
    def readings(self) -> tuple[str, ...]:
        return chosen(*self.variables)

    @property
    def now(self) -> str:
        """How far back a value still says how things are: two periods."""
        assert self.kind is not None
        return duration_text(2 * self.kind.period_s * 1000)


class Target(Dataquery):
    """A query as Grafana's InfluxDB data source takes it, written out in full; also its own builder."""

    def __init__(self, query: Query | str, *, name: str = "", rows: bool = False) -> None:
        self.query = query.text() if isinstance(query, Query) else query
        self.alias, self.rows, self.ref = name, rows, "A"

    def build(self) -> "Target":
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "alias": self.alias,
            "datasource": SOURCE.to_json(),
            "query": self.query,
            "rawQuery": True,
            "refId": self.ref,
            "resultFormat": "table" if self.rows else "time_series",
        }


@dataclass(frozen=True)
class Column:
    """How a column of a table is shown. `said` gives words to numbers."""

    name: str
    label: str
    unit: str = ""
    decimals: int | None = None
    link: bool = False  # to the asset's page in the console
    bar: tuple[float, float] | None = None
    hidden: bool = False
    said: Mapping[str, str] = field(default_factory=dict)


def single(
    frame: Frame,
    key: str,
    *targets: Target,
    unit: str = "none",
    levels: Levels = CALM,
    window: str = "",
    none: str = "none_yet",
    said: Mapping[str, tuple[str, str]] | None = None,
    decimals: int | None = None,
    width: int = STAT_WIDTH,
) -> Panel:
    """One large number. `none`: the word for nothing there. `said`: value → (word, colour)."""
    panel = stat.Panel().unit(unit).thresholds(_thresholds(levels)).no_value(frame.words(f"none.{none}"))
    panel.graph_mode(shared.BigValueGraphMode.NONE).color_mode(shared.BigValueColorMode.VALUE)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    if said:
        panel.mappings([_said(said)])
    if decimals is not None:
        panel.decimals(decimals)
    return _dressed(panel, frame, key, targets, window, width, STAT_HEIGHT)


def chart(
    frame: Frame,
    key: str,
    *targets: Target,
    unit: str = "none",
    least: float | None = None,
    most: float | None = None,
    bars: bool = False,
    step: str = QUARTER,
    window: str = "",
    width: int = CHART_WIDTH,
    title: str = "",
    about: str = "",
) -> Panel:
    """Lines over time, or stacked bars of what was counted in each step. `step`: the finest that has data."""
    panel = timeseries.Panel().unit(unit).no_value(frame.words("none.none_yet")).interval(step)
    panel.max_data_points(POINTS_MAX).line_width(2).fill_opacity(8).show_points(shared.VisibilityMode.AUTO)
    panel.legend(common.VizLegendOptions().display_mode(shared.LegendDisplayMode.LIST).show_legend(True))
    panel.tooltip(common.VizTooltipOptions().mode(shared.TooltipDisplayMode.MULTI).sort(shared.SortOrder.DESCENDING))
    if bars:
        panel.draw_style(shared.GraphDrawStyle.BARS).fill_opacity(70)
        panel.stacking(common.StackingConfig().mode(shared.StackingMode.NORMAL).group("A"))
    if least is not None:
        panel.min(least)
    if most is not None:
        panel.max(most)
    return _dressed(panel, frame, key, targets, window, width, CHART_HEIGHT, title, about)


def levels_by(
    frame: Frame, key: str, *targets: Target, unit: str = "none", window: str = "", title: str = "", width: int = 8
) -> Panel:
    """Horizontal bars, a target each."""
    panel = bargauge.Panel().unit(unit).no_value(frame.words("none.none_yet")).min(0)
    panel.orientation(shared.VizOrientation.HORIZONTAL).display_mode(shared.BarGaugeDisplayMode.BASIC)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("blue"))
    return _dressed(panel, frame, key, targets, window, width, CHART_HEIGHT, title)


def rows(
    frame: Frame,
    key: str,
    target: Target,
    columns: Sequence[Column],
    *,
    sort: str = "",
    descending: bool = False,
    window: str = "",
    none: str = "none_yet",
    width: int = CHART_WIDTH,
) -> Panel:
    """A table; `sort` names the column it begins sorted by."""
    panel = table.Panel().no_value(frame.words(f"none.{none}")).show_header(True)
    panel.align(shared.FieldTextAlignment.AUTO).inspect(False)
    shown = [Column("Time", frame.words("column.time"), "dateTimeAsIsoNoDateIfToday"), *columns]
    for column in shown:
        panel.override_by_name(column.name, _column(frame, column))
    labels = {column.name: column.label for column in shown}
    if sort:
        panel.sort_by([common.TableSortByFieldState().display_name(labels[sort]).desc(descending)])
    return _dressed(panel, frame, key, (target,), window, width, CHART_HEIGHT)


def asset_link(frame: Frame, field: str = "asset") -> dict[str, object]:
    """To the page of the asset in the console, in the dashboard's language."""
    url = f"${{console}}/{frame.words.language}/assets/${{__data.fields.{field}:percentencode}}"
    return {"title": frame.words("link.asset"), "url": url, "targetBlank": True}


def _dressed(
    panel: Any,
    frame: Frame,
    key: str,
    targets: Sequence[Target],
    window: str,
    width: int,
    height: int,
    title: str = "",
    about: str = "",
) -> Panel:
    for number, target in enumerate(targets):
        target.ref = chr(ord("A") + number)
        panel.with_target(target)
    panel.title(title or frame.words(f"{key}.title")).description(about or frame.words(f"{key}.about"))
    panel.datasource(SOURCE).span(width).height(height)
    if window:
        panel.time_from(window)
    dressed: Panel = panel
    return dressed


def _thresholds(levels: Levels) -> build.ThresholdsConfig:
    steps = [model.Threshold(value=value, color=color) for value, color in levels]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _said(said: Mapping[str, tuple[str, str]]) -> model.ValueMap:
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=word, color=color, index=number)
            for number, (value, (word, color)) in enumerate(said.items())
        }
    )


def _column(frame: Frame, column: Column) -> list[model.DynamicConfigValue]:
    properties: dict[str, object] = {"displayName": column.label}
    if column.unit:
        properties["unit"] = column.unit
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.link:
        properties["links"] = [asset_link(frame, column.name)]
    if column.bar is not None:
        properties["min"], properties["max"] = column.bar
        properties["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    if column.hidden:
        properties["custom.hidden"] = True
    if column.said:
        properties["mappings"] = [_said({value: (word, PLAIN) for value, word in column.said.items()}).to_json()]
    return [model.DynamicConfigValue(id_val=name, value=value) for name, value in properties.items()]
