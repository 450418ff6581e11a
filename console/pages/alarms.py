"""Alarms: what fires, why, who has seen it. Acknowledging is one click and a name."""

from collections.abc import Sequence

from fastapi import Request
from nicegui import events, ui

from console import acts
from console.desk import Desk
from console.language import Language
from console.markup import Html, h
from console.pages.frame import Frame, card, empty
from console.pages.pieces import CLICKS
from console.problems import Problem
from contract.decisions import Severity
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
        key = ("alarms", self._view, self._severity, self._kind)
        total, rows, others = await self.desk.shared(key, lambda: self._read(*key[1:]))
        self._list.content = card(self._body(total, rows, others))

    def _read(self, view: str, severity: str, kind: str) -> tuple[int, Sequence[AlarmRow], int]:
        """(how many match, those that are shown, how many there are in all where none matches)."""
        state, open_only = self.desk.platform.state, view != "all"
        total, rows = state.alarms(
            open_only=open_only,
            pending=False,
            unseen=view == "unseen",
            severity=Severity(severity) if severity else None,
            kind=kind or None,
            gravest_first=open_only,
            limit=SHOWN_MAX,
        )
        return total, rows, total or state.alarms(open_only=open_only, pending=False, limit=1)[0]

    def _body(self, total: int, rows: Sequence[AlarmRow], others: int) -> Html:
        text, number = self.language.text, self.language.number
        if not rows:
            if others:
                return empty("filter_alt_off", text("empty.nothing_found"), text("empty.nothing_found_advice"))
            return empty("check_circle", text("empty.no_alarms"), text("empty.no_alarms_advice"))
        count = self.language.count("alarms.count", total)
        if total > len(rows):
            count = text("alarms.shown", shown=number(len(rows)), total=number(total))
        return h("div", h("p", count, class_="muted small"), [self.pieces.alarm(row) for row in rows])

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
