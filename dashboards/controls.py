"""What stands around the panels: variables to choose by, marks of alarms and leases, links to other languages."""

from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

from contract.kind import LANGUAGES
from dashboards.frame import SOURCE, Frame
from dashboards.influxql import Query, is_tag, quoted, tag_values

MARKS_MAX = 200
ALL = ".*"  # also what has no such tag
LANGUAGE_NAMES = {"ar": "العربية", "fr": "Français", "en": "English"}


def variables(frame: Frame, console_url: str) -> list[Any]:
    """Each chosen among what the ones before it leave over; then the console's address, which nobody chooses."""
    measurement = frame.kind.name if frame.kind else "nabd_ledger"
    found: list[Any] = [
        _chosen(frame, name, tag_values(measurement, name, frame.variables[:number]))
        for number, name in enumerate(frame.variables)
    ]
    return [*found, build.ConstantVariable("console").value(console_url)]


def _chosen(frame: Frame, name: str, query: str) -> build.QueryVariable:
    label = frame.words(f"variable.{name}") if f"variable.{name}" in frame.words.texts else _label(frame, name)
    return (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(ALL)
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _label(frame: Frame, name: str) -> str:
    """A group's label is that of the kind's setting."""
    assert frame.kind is not None
    return frame.words.of(frame.kind.settings[name].labels)


class Marks(model.AnnotationTarget):
    """What Grafana's InfluxDB data source reads of an annotation; the SDK's own type knows only Grafana's fields."""

    def __init__(self, query: str, text: str, tags: str) -> None:
        super().__init__()
        self.fields = {
            "fromAnnotations": True, "query": query, "rawQuery": True, "refId": "Anno", "tagsColumn": tags,
            "textColumn": text,
        }  # fmt: skip

    def to_json(self) -> dict[str, object]:
        return dict(self.fields)


def alarm_marks(frame: Frame) -> build.AnnotationQuery:
    title = f"title_{frame.words.language}"
    query = Query(
        [quoted(title), '"asset"'], "nabd_alarms", (is_tag("change", "fired"), *frame.place), newest=MARKS_MAX
    )
    return _marks(frame, "marks.alarms", query, title, "red", enabled=True)


def lease_marks(frame: Frame) -> build.AnnotationQuery:
    """Off until somebody wants them: at dusk every lamp gets one."""
    query = Query(['"reason"', '"asset"'], "nabd_leases", (is_tag("change", "sent"), *frame.place), newest=MARKS_MAX)
    return _marks(frame, "marks.leases", query, "reason", "blue", enabled=False)


def _marks(frame: Frame, key: str, query: Query, text: str, color: str, *, enabled: bool) -> build.AnnotationQuery:
    marks = build.AnnotationQuery().name(frame.words(key)).datasource(SOURCE).enable(enabled).icon_color(color)
    marks._internal.target = Marks(query.text(), text, "asset")
    return marks


def language_links(frame: Frame) -> list[Any]:
    """To all dashboards of each language, with the same time and choices."""
    return [
        build.DashboardLink(LANGUAGE_NAMES[language])
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags(["nabd", language])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .icon("external link")
        for language in (frame.words.language, *(other for other in LANGUAGES if other != frame.words.language))
    ]
