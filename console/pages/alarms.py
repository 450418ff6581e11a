"""Alarms: what fires, why, who has seen it. Acknowledging is one click and a name."""

from fastapi import Request
from nicegui import events, ui

from console import acts
from console.desk import Desk, rank
from console.language import Language
from console.markup import Html, h
from console.pages.frame import Frame, card, empty
from console.pages.pieces import CLICKS
from console.problems import Problem
from contract.decisions import AlarmState, Severity
from contract.ports import AlarmRow

SHOWN_MAX = 200
VIEWS = ("firing", "unseen", "all")


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "alarms", request)
    Alarms(frame)
    return frame


class Alarms:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        self._view, self._severity, self._kind = "firing", "", ""
        text = self.language.text
        frame.title(text("nav.alarms"))
        ui.html(h("h1", text("alarms.title")), sanitize=False)
        with ui.element("div").classes("filters"):
            views = {view: text(f"alarms.view_{view}") for view in VIEWS}
            self._choice(views, "firing", text("filter.view"), "_view")
            severities = {"": text("filter.all_severities")} | {str(s): text(f"severity.{s}") for s in Severity}
            self._choice(severities, "", text("filter.severity"), "_severity")
            kinds = {"": text("filter.all_kinds")}
            kinds |= {name: self.language.label(kind.labels, name) for name, kind in self.desk.platform.kinds.items()}
            self._choice(kinds, "", text("filter.kind"), "_kind")
        self._list = ui.html("", sanitize=False).on("click", self._clicked, js_handler=CLICKS)
        self._dialog = Acknowledge(frame)
        frame.live(self.refresh)

    def _choice(self, options: dict[str, str], value: str, label: str, field: str) -> None:
        async def chosen(event: events.ValueChangeEventArguments[str]) -> None:
            setattr(self, field, event.value or "")
            await self.refresh()

        ui.select(options, label=label, value=value, on_change=chosen).props("outlined dense options-dense")

    async def refresh(self) -> None:
        state = self.desk.platform.state
        open_only = self._view != "all"
        total, rows = await self.desk.shared(
            ("alarms", open_only), lambda: state.alarms(open_only=open_only, limit=2_000 if open_only else SHOWN_MAX)
        )
        matching = [row for row in rows if self._matches(row)]
        if open_only:
            matching.sort(
                key=lambda row: (row.acknowledged_at_ms is not None, rank(row.alarm.severity), -row.alarm.since_ms)
            )
        self._list.content = card(self._body(matching, total))

    def _matches(self, row: AlarmRow) -> bool:
        alarm = row.alarm
        if alarm.state is AlarmState.PENDING or (self._view != "all" and alarm.state is not AlarmState.FIRING):
            return False
        return (
            (self._view != "unseen" or row.acknowledged_at_ms is None)
            and self._severity in ("", str(alarm.severity))
            and self._kind in ("", alarm.kind)
        )

    def _body(self, rows: list[AlarmRow], total: int) -> Html:
        text = self.language.text
        if not rows:
            if total and (self._severity or self._kind or self._view == "unseen"):
                return empty("filter_alt_off", text("empty.nothing_found"), text("empty.nothing_found_advice"))
            return empty("check_circle", text("empty.no_alarms"), text("empty.no_alarms_advice"))
        shown = rows[:SHOWN_MAX]
        head = h("p", self.language.count("alarms.count", len(rows)), class_="muted small")
        return h("div", head, [self.pieces.alarm(row) for row in shown])

    def _clicked(self, event: events.GenericEventArguments) -> None:
        act, subject = event.args
        if act == "acknowledge":
            self._dialog.open(str(subject))


class Acknowledge:
    """Asks for a name, once a browser, and says what acknowledging means."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self._alarm = ""
        text = frame.language.text
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            self._what = ui.html("", sanitize=False)
            self._name = ui.input(text("form.your_name"), value=frame.operator).props("outlined maxlength=64 autofocus")
            self._name.on("keydown.enter", self._send)
            self._faults = ui.html("", sanitize=False).classes("quiet")
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                ui.button(text("alarms.acknowledge"), on_click=self._send).props("unelevated no-caps").mark("confirm")

    def open(self, alarm: str) -> None:
        row = self.frame.desk.platform.state.alarm(alarm)
        if row is None:
            return
        text = self.frame.language.text
        self._alarm = alarm
        self._faults.content = ""
        self._what.content = h(
            "div",
            h("h2", self.frame.language.label(row.alarm.text, row.alarm.rule)),
            h("p", text("alarms.acknowledge_means"), class_="muted small"),
        )
        self._dialog.open()

    async def _send(self) -> None:
        platform = self.frame.desk.platform
        try:
            await acts.acknowledge(platform, self._alarm, self._name.value or "")
        except Problem as problem:
            self.frame.show_problem(problem, self._faults)
            return
        self.frame.remember_operator(self._name.value or "")
        self._dialog.close()
        ui.notify(self.frame.language.text("alarms.acknowledged"), type="positive")
