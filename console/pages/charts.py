"""A metric over a day, a week, a month or a year. Where nothing was measured the line is broken: a gap is no value.

Over more than a day the readings of a step are one value: a number's mean, and of a counter how much it grew, as bars.
Times stand on the axis in the site's zone, whatever the browser's; in Arabic time runs from right to left.
"""

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Any, NamedTuple

from nicegui import events, ui

from console.desk import Desk
from console.language import SHOWN, utc_offset_ms
from console.markup import Html, h
from console.pages.frame import Frame, quoted
from contract.kind import Kind, Metric, MetricType, Value
from contract.ports import StoreFault
from contract.quality import DOUBTFUL, about, words
from contract.questions import Aggregate, Question
from contract.records import Quality

DAY_MS = 86_400_000
RANGES = {
    "day": (DAY_MS, None),
    "week": (7 * DAY_MS, 1_800_000),
    "month": (30 * DAY_MS, 7_200_000),
    "year": (365 * DAY_MS, DAY_MS),
}
READINGS_MAX = 6_000
REFRESH_EVERY = 10
PATIENCE_S = 1.5  # a page must not wait for a slow store: it has more to show than this
GAP_PERIODS = 2.5
INK, LINE, AXIS, DOUBT = "#0d9488", "#8fa39d55", "#7d918b", "#d97706"
AXIS_KEYS = ("min", "max", "interval")
BARS = {"type": "bar", "barMaxWidth": 24}
SHOWN_MARKS = ~int(Quality.LATE)  # that a reading came late says nothing against its value


class Rows(NamedTuple):
    """What a chart draws."""

    values: list[tuple[int, Value]]
    marks: list[tuple[int, int]]  # (measured_at_ms, quality) of readings that something is known against

    def marked(self) -> dict[str, list[tuple[int, Value]]]:
        """Word of a mark → the values that have it."""
        known = dict(self.values)
        found: dict[str, list[tuple[int, Value]]] = {}
        for at_ms, bits in self.marks:
            if at_ms in known:
                for word in words(bits & SHOWN_MARKS):
                    found.setdefault(word, []).append((at_ms, known[at_ms]))
        return found


class Chart:
    def __init__(self, frame: Frame, asset: str, kind: Kind) -> None:
        self.frame = frame
        self.desk, self.language = frame.desk, frame.language
        self.asset = asset
        self._round = 0
        self._drawn: object = None
        self.kind = kind
        metrics = {
            name: self.language.label(metric.labels, name)
            for name, metric in self.kind.metrics.items()
            if metric.type is not MetricType.ENUM
        }
        self._metric, self._range, self._hides = next(iter(metrics)), "day", False
        text = self.language.text
        with ui.element("section").classes("card"):
            with ui.element("div").classes("card-head"):
                ui.html(h("h2", text("chart.title")), sanitize=False)
                with ui.element("div").classes("filters end").style("width:auto"):
                    ui.select(metrics, value=self._metric, on_change=self._choose_metric).props(
                        f'outlined dense options-dense aria-label="{text("chart.metric")}"'
                    )
                    ui.switch(text("chart.hide"), on_change=self._choose_hides).props("dense")
                    ui.toggle(
                        {name: text(f"chart.{name}") for name in RANGES}, value="day", on_change=self._choose_range
                    ).props('no-caps unelevated dense padding="5px 12px"')
            self._chart = ui.echart({"series": []}).classes("chart")
            self._note = ui.html("", sanitize=False)

    async def _choose_metric(self, event: events.ValueChangeEventArguments[str]) -> None:
        self._metric = event.value
        await self._draw()

    async def _choose_range(self, event: events.ValueChangeEventArguments[str]) -> None:
        self._range = event.value
        await self._draw()

    async def _choose_hides(self, event: events.ValueChangeEventArguments[bool | None]) -> None:
        self._hides = bool(event.value)
        await self._draw()

    async def refresh(self) -> None:
        if self._round % REFRESH_EVERY == 0:
            await self._draw()
        self._round += 1

    async def _draw(self) -> None:
        metric = self.kind.metrics[self._metric]
        name = self._range
        hides = self._hides
        key = ("chart", self.asset, metric.name, name, hides)
        try:
            async with asyncio.timeout(PATIENCE_S):  # the question itself goes on, and its answer is there next time
                rows = await self.desk.shared(
                    key,
                    lambda: read_rows(self.desk, self.asset, self.kind, metric, name, hides=hides),
                    5.0,
                    asks_store=True,
                )
        except (StoreFault, TimeoutError) as fault:
            self._note.content = self._away_html(fault)
            self._drawn = None
            self._round = -1  # ask again at the next refresh
            return
        if (rows, hides) == self._drawn:
            return
        self._drawn = rows, hides
        self._note.content = self._note_html(metric, rows)
        self._chart.options.clear()
        self._chart.options.update(self._options(metric, rows))
        self._chart.update()

    def _note_html(self, metric: Metric, rows: Rows) -> Html | str:
        if not rows.values:
            return h("p", self.language.text("chart.empty"), class_="muted small")
        if is_growth(metric, self._range):
            return h("p", self.language.text(f"chart.grown_{self._range}"), class_="muted small")
        return ""

    def _away_html(self, fault: Exception) -> Html:
        """What is drawn already stays, and why nothing newer is: English and exact, as the store says it."""
        text = self.language.text
        sentence = h("div", h("bdi", str(fault), dir="ltr"), class_="small") if str(fault) else None
        return h("div", text("chart.away"), sentence, class_="faults", data_store="away")

    def _options(self, metric: Metric, rows: Rows) -> dict[str, Any]:
        factor, _, decimals = SHOWN.get(metric.unit, (1.0, metric.unit, 2))
        length_ms, every_ms = RANGES[self._range]
        now_ms = self.desk.platform.clock.now_ms()
        rtl = self.language.direction == "rtl"
        grows = is_growth(metric, self._range)  # bars need no gaps
        gap_ms = inf if grows else GAP_PERIODS * max(self.kind.period_s * 1000, every_ms or 0)
        data = broken(rows.values, gap_ms, factor, self._shift)
        return {
            "useUTC": True,
            "animation": False,
            "grid": {"left": 12, "right": 16, "top": 16, "bottom": 8, "containLabel": True},
            "xAxis": {
                "type": "time",
                "inverse": rtl,
                "min": self._shift(now_ms - length_ms),
                "max": self._shift(now_ms),
                "axisLabel": {
                    "color": AXIS,
                    "hideOverlap": True,
                    "formatter": "{HH}:{mm}" if self._range == "day" else "{dd}/{MM}",
                },
                "axisLine": {"lineStyle": {"color": LINE}},
                "minInterval": 3_600_000 if self._range == "day" else DAY_MS,
            },
            "yAxis": {
                "type": "value",
                "position": "right" if rtl else "left",
                "scale": metric.unit not in ("ratio", "W", "l_min")
                and metric.type is not MetricType.BOOLEAN
                and not grows,
                "axisLabel": {"color": AXIS, **self._written(metric, "formatter", 0)},
                "splitLine": {"lineStyle": {"color": LINE}},
                **_ends(metric),
            },
            "tooltip": {
                "trigger": "axis",
                **self._written(metric, "valueFormatter", decimals + grows),  # a step's part of a counter is small
            },
            "series": [
                {
                    "name": self.language.label(metric.labels, metric.name),
                    "data": data,
                    "itemStyle": {"color": INK},
                    **(BARS if grows else self._line(metric, len(data))),
                },
                *(
                    {
                        "name": self.language.word("quality", word),
                        "type": "scatter",
                        "symbolSize": 7,
                        "data": [[self._shift(at_ms), round(float(value) * factor, 4)] for at_ms, value in marked],
                        "itemStyle": {"color": DOUBT},
                    }
                    for word, marked in rows.marked().items()
                ),
            ],
        }

    def _line(self, metric: Metric, points: int) -> dict[str, Any]:
        stepped = metric.name in self.kind.targets or metric.type is MetricType.BOOLEAN
        return {
            "type": "line",
            "showSymbol": points < 2,
            "connectNulls": False,
            "step": "end" if stepped else False,
            "lineStyle": {"color": INK, "width": 2},
            "areaStyle": {"color": INK, "opacity": 0.10},
        }

    def _written(self, metric: Metric, key: str, decimals: int) -> dict[str, str]:
        """How a value is written on the axis or beside the pointer: with its unit, or as the word it stands for."""
        if metric.type is MetricType.BOOLEAN:
            words = [quoted(self.language.value(metric, value)) for value in (0.0, 1.0)]
            return {f":{key}": f"(v) => v == null ? '—' : [{', '.join(words)}][Math.round(v)] ?? ''"}
        symbol = SHOWN.get(metric.unit, (1.0, metric.unit, 2))[1]
        if key == "formatter":
            return {key: f"{{value}} {symbol}".rstrip()}
        return {f":{key}": f"(v) => v == null ? '—' : Number(v).toFixed({decimals}) + ' {symbol}'"}

    def _shift(self, ms: int) -> int:
        """The site's wall clock, written as if it were UTC."""
        return ms + utc_offset_ms(ms, self.desk.zone)


def _ends(metric: Metric) -> dict[str, int | None]:
    """Where the axis of values begins and ends; null where it chooses, or the ends of the metric before would stay."""
    if metric.type is MetricType.BOOLEAN:
        return {"min": 0, "max": 1, "interval": 1}
    return {"min": 0, "max": 100, "interval": None} if metric.unit == "ratio" else dict.fromkeys(AXIS_KEYS)


def is_growth(metric: Metric, name: str) -> bool:
    """Does a range show how much a counter grew in each step? What it shows itself says little over a week."""
    return metric.type is MetricType.COUNTER and RANGES[name][1] is not None


def read_rows(desk: Desk, asset: str, kind: Kind, metric: Metric, name: str, *, hides: bool = False) -> Rows:
    """The values of a range; `hides`: without those in doubt. Of an asset that no device is on now: what was measured
    on it. Neither that nor steps have marks of their own."""
    length_ms, every_ms = RANGES[name]
    now_ms = desk.platform.clock.now_ms()
    live = desk.platform.live.asset(asset)
    store, device = desk.platform.store, live.facts.device if live else None
    start_ms, end_ms = now_ms - length_ms, now_ms + 1
    question = Question(
        kind=kind.name, metric=metric.name, start_ms=start_ms, end_ms=end_ms, device=device,
        asset=asset if device is None else None, every_ms=every_ms,
        aggregate=Aggregate.INCREASE if is_growth(metric, name) else None, limit=READINGS_MAX,
        without=about(metric, DOUBTFUL) if hides else 0,
    )  # fmt: skip
    rows = store.readings(question)
    if device is None or every_ms is not None:
        return Rows(list(rows), [])
    marks = store.marks(kind=kind.name, device=device, start_ms=start_ms, end_ms=end_ms, limit=READINGS_MAX)
    return Rows(list(rows), [(at_ms, about(metric, bits)) for at_ms, bits in marks])


def broken(
    rows: Sequence[tuple[int, Value]], gap_ms: float, factor: float, shift: Any
) -> list[list[float | int | None]]:
    """[shifted time, shown value] with a null wherever more than `gap_ms` went by without a reading."""
    data: list[list[float | None]] = []
    before_ms: int | None = None
    for at_ms, value in rows:
        if before_ms is not None and at_ms - before_ms > gap_ms:
            data.append([shift(before_ms + 1), None])
        data.append([shift(at_ms), round(float(value) * factor, 4)])
        before_ms = at_ms
    return data
