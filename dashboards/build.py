"""The dashboards, as a table of contents: which there are, and which panels stand in which row.

    build(kinds, "fr", "https://nabd.example") → every dashboard in French

A kind of device has a dashboard from its own file (`kind_board`); a few kinds have something special in front.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from contract.kind import Kind, Kinds
from dashboards import data_health as data
from dashboards import irrigation, lighting, resources, waste
from dashboards import platform_health as platform
from dashboards.controls import alarm_marks, language_links, lease_marks, variables
from dashboards.frame import Frame, Panel
from dashboards.kind_panels import (
    alarm_list,
    alarms_open,
    in_contact,
    metric_charts,
    newest_values,
    no_contact,
    silent_list,
)
from dashboards.words import Words, read_words

CONSOLE_URL = "http://127.0.0.1:8080"
TAG = "nabd"
REFRESH = "1m"
WIDTH = 24  # columns of the page


@dataclass(frozen=True)
class Row:
    """Panels under a heading; without one they stand open. A folded row asks nothing until it is opened."""

    panels: Sequence[Panel]
    title: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Board:
    name: str  # its part of the uid: nabd-<name>-<language>
    title: str
    about: str
    frame: Frame
    rows: Sequence[Row]
    since: str = "now-24h"


def contents(kinds: Kinds, words: Words) -> list[Board]:
    return [
        *(kind_board(kind, words) for kind in kinds.values()),
        resources_board(words),
        data_board(kinds, words),
        platform_board(words),
    ]


# Kind → (name in the uid, its own numbers, its own wide panels).
Special = tuple[str, Sequence[Callable[[Frame], Panel]], Sequence[Callable[[Frame], Panel]]]
SPECIAL: Mapping[str, Special] = {
    "street_light": ("lighting", (lighting.dark, lighting.lit, lighting.power), (lighting.power_by_zone,)),
    "waste_bin": ("waste", (waste.full, waste.hot, waste.fill), (waste.fullest,)),
    "irrigation_valve": (
        "irrigation",
        (irrigation.open_now, irrigation.leaks, irrigation.flow),
        (irrigation.soil_moisture, irrigation.leases),
    ),
}


def kind_board(kind: Kind, words: Words) -> Board:
    frame = Frame(words, kind, ("commune", "zone", *((kind.group,) if kind.group else ())))
    name, numbers, wide = SPECIAL.get(kind.name, (kind.name.replace("_", "-"), (), ()))
    first_charts, other_charts = metric_charts(frame)
    return Board(
        name,
        words(f"board.{name}") if kind.name in SPECIAL else words.of(kind.labels),
        words("board.kind_about", kind=words.of(kind.labels)),
        frame,
        [
            Row([panel(frame) for panel in (alarms_open, no_contact, in_contact, *numbers)]),
            Row([alarm_list(frame), silent_list(frame)]),
            Row([panel(frame) for panel in wide]),
            Row(first_charts, words("row.course")),
            Row([newest_values(frame)], words("row.each")),
            *([Row(other_charts, words("row.more"), folded=True)] if other_charts else []),
        ],
    )


def resources_board(words: Words) -> Board:
    frame = Frame(words)
    return Board(
        "energy-water",
        words("board.energy-water"),
        words("board.energy-water_about"),
        frame,
        [
            Row(
                [panel(frame) for panel in (resources.energy_day, resources.power, resources.water_day, resources.flow)]
            ),
            Row([panel(frame) for panel in (resources.energy_by_day, resources.water_by_day)]),
            Row([panel(frame) for panel in (resources.energy_by_circuit, resources.water_by_crop)]),
        ],
        since="now-30d",
    )


def data_board(kinds: Kinds, words: Words) -> Board:
    frame = Frame(words)
    return Board(
        "data",
        words("board.data"),
        words("board.data_about"),
        frame,
        [
            Row([panel(frame) for panel in (data.completeness, data.missing, data.gone, data.quarantined)]),
            Row([data.gaps(frame), data.turned_away(frame), data.clock_quality(frame, kinds)]),
            Row([data.worst(frame)]),
        ],
    )


def platform_board(words: Words) -> Board:
    frame = Frame(words, variables=())
    numbers = (
        platform.connected,
        platform.faults,
        platform.store_behind,
        platform.log_full,
        platform.alarms,
        platform.devices,
    )
    return Board(
        "platform",
        words("board.platform"),
        words("board.platform_about"),
        frame,
        [
            Row([panel(frame) for panel in numbers]),
            Row([panel(frame) for panel in (platform.behind, platform.accepted)]),
            Row([panel(frame) for panel in (platform.cpu, platform.memory)]),
        ],
    )


# ---------------------------------------------------------------------------------------- from contents to documents


def build(kinds: Kinds, language: str, console_url: str = CONSOLE_URL) -> dict[str, dict[str, Any]]:
    """uid → the dashboard's document, plain data. The same kinds always give the same documents."""
    words = read_words(language)
    boards = contents(kinds, words)
    return {uid(board, language): document(board, console_url) for board in boards}


def uid(board: Board, language: str) -> str:
    return f"nabd-{board.name}-{language}"[:40]


def document(board: Board, console_url: str) -> dict[str, Any]:
    frame = board.frame
    built = (
        builders.Dashboard(board.title)
        .uid(uid(board, frame.words.language))
        .description(board.about)
        .tags([TAG, frame.words.language])
        .timezone("browser")
        .week_start("monday")
        .refresh(REFRESH)
        .time(board.since, "now")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .variables(variables(frame, console_url))
        .annotations([alarm_marks(frame), lease_marks(frame)] if frame.variables else [])
        .links(language_links(frame))
    )
    whole = built.build()
    whole.panels = laid_out(board.rows)
    plain: dict[str, Any] = json.loads(json.dumps(whole, cls=JSONEncoder))
    return plain


def laid_out(rows: Sequence[Row]) -> list[model.Panel | model.RowPanel]:
    """Rows one below the other, panels side by side, with ids that are the same at each build."""
    placed: list[model.Panel | model.RowPanel] = []
    y, numbers = 0, count(1)
    for row in rows:
        panels = [panel.build() for panel in row.panels]
        heading = None
        if row.title:
            heading = builders.Row(row.title).collapsed(row.folded).id(next(numbers)).build()
            heading.grid_pos = model.GridPos(h=1, w=WIDTH, x=0, y=y)
            placed.append(heading)
            y += 1
        end = _place(panels, y, numbers)
        if heading is not None and row.folded:
            heading.panels = panels  # they take room only when it is unfolded
        else:
            placed += panels
            y = end
    return placed


def _place(panels: Sequence[model.Panel], y: int, numbers: Iterator[int]) -> int:
    """Side by side from the left, in lines as wide as the page; returns where the next line begins."""
    x, height = 0, 0
    for panel in panels:
        position = panel.grid_pos
        assert position is not None
        if x + position.w > WIDTH:
            x, y, height = 0, y + height, 0
        position.x, position.y, panel.id_val = x, y, next(numbers)
        x, height = x + position.w, max(height, position.h)
    return y + height


def text(document: Mapping[str, Any]) -> str:
    """The file's text: sorted keys, so that a difference is a difference."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
