"""Commands: wish for a target on one asset, a zone or a circuit, until a time, with a reason and a name.

Nothing is sent before the technician has seen what it will affect. What became of it is shown live, asset by asset
where it did not go well.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from nicegui import events, ui

from console import acts
from console.desk import Desk
from console.language import Language
from console.markup import Html, h, isolated
from console.pages.frame import Frame
from console.pages.wishes import WishList
from console.problems import Problem
from contract.kind import Kind, MetricType, Target
from contract.ports import Device

MINUTE_MS = 60_000
MINUTES_MAX = 7 * 24 * 60
MINUTES = {True: (5, 10, 15, 20, 30), False: (30, 60, 120, 240, 480)}  # by: is it a yes-or-no target?
SHOWN_MAX = 60
SINGLE_MAX = 2_000  # assets offered one by one: more would make the list too heavy for a phone


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "commands", request)
    Commands(frame)
    return frame


class Commands:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        text = self.language.text
        frame.title(text("nav.commands"))
        ui.html(h("h1", text("commands.title")), sanitize=False)
        self._kinds = {name: kind for name, kind in self.desk.platform.kinds.items() if kind.targets}
        given = self.desk.platform.live.asset(frame.request.query_params.get("asset", ""))
        self._asset = given.facts.asset if given and given.facts.kind in self._kinds else ""
        self._kind_name = given.facts.kind if given and self._asset else next(iter(self._present()), "")
        with ui.element("div").classes("columns"):
            with ui.element("div").classes("span-5"), ui.element("section").classes("card"):
                ui.html(h("div", h("h2", text("commands.new")), class_="card-head"), sanitize=False)
                if self._kind_name:
                    self._build_form()
                else:
                    ui.html(h("p", text("commands.nothing_to_command"), class_="muted"), sanitize=False)
            with ui.element("div").classes("span-7 stack"):
                self._wishes = WishList(frame)
        frame.live(self._wishes.refresh)

    def _present(self) -> list[str]:
        """The kinds one can command of which there is at least one asset, the most numerous first."""
        there = Counter(live.facts.kind for live in self.desk.platform.live.assets())
        return sorted((name for name in self._kinds if there[name]), key=lambda name: -there[name])

    @property
    def _kind(self) -> Kind:
        return self._kinds[self._kind_name]

    @property
    def _target(self) -> Target:
        return self._kind.targets[str(self._target_name.value)]

    # -- the form

    def _build_form(self) -> None:
        text = self.language.text
        with ui.element("div").classes("form"):
            kinds = {name: self.pieces.kind_label(name) for name in self._present()}
            ui.toggle(kinds, value=self._kind_name, on_change=self._choose_kind).props(
                "no-caps unelevated spread"
            ).mark("kind")
            self._variable = ui.element("div").classes("form")
            self._build_variable()
            self._reason = ui.input(text("commands.reason")).props("outlined maxlength=200").mark("reason")
            self._name = ui.input(text("form.your_name"), value=self.frame.operator).props("outlined maxlength=64")
            self._name.mark("name")
            for field in (self._reason, self._name):
                field.on("keydown.enter", self._check)
            self._faults = ui.html("", sanitize=False).classes("quiet")
            ui.button(text("commands.check"), icon="fact_check", on_click=self._check).props("unelevated no-caps").mark(
                "check"
            )
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            self._preview = ui.html("", sanitize=False)
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                self._confirm = ui.button(text("commands.send"), on_click=self._send).props("unelevated no-caps")
                self._confirm.mark("send")

    def _build_variable(self) -> None:
        """What depends on the kind: where, what, how long."""
        text = self.language.text
        kind = self._kind
        scopes = self._scopes(kind)
        chosen = f"asset:{self._asset}" if self._asset else None  # where is always chosen, never left at "all"
        with self._variable:
            targets = {name: self.language.label(target.labels, name) for name, target in kind.targets.items()}
            self._target_name = ui.select(targets, label=text("commands.target"), value=next(iter(targets)))
            self._target_name.props("outlined options-dense").set_visibility(len(targets) > 1)
            self._scope = ui.select(scopes, label=text("commands.where"), value=chosen, with_input=True)
            self._scope.props("outlined options-dense").mark("where")
            if len(scopes) >= SINGLE_MAX:
                ui.html(h("p", text("commands.more_assets"), class_="muted small"), sanitize=False)
            self._value: Any
            if self._target.type is MetricType.BOOLEAN:
                words = {1: text("commands.open"), 0: text("commands.close")}
                self._value = ui.toggle(words, value=1).props("no-caps unelevated spread").mark("value")
            else:
                self._build_slider(text("commands.level"))
            presets = MINUTES[self._target.type is MetricType.BOOLEAN]
            with ui.element("div"):
                self._minutes = ui.number(
                    text("commands.minutes"), value=presets[1], min=1, max=MINUTES_MAX, precision=0, format="%d"
                )
                self._minutes.props("outlined").classes("w-full").mark("minutes")
                with ui.element("div").classes("steps").style("margin-block-start:6px"):
                    for minutes in presets:
                        ui.button(
                            self._length(minutes), on_click=lambda _, chosen=minutes: self._minutes.set_value(chosen)
                        ).props("flat dense no-caps size=sm")

    def _build_slider(self, label: str) -> None:
        target = self._target
        with ui.element("div"):
            shown = ui.html("", sanitize=False).classes("field-name")
            self._value = (
                ui.slider(min=round(target.minimum * 100), max=round(target.maximum * 100), step=5, value=50)
                .props(f'aria-label="{label}"')
                .mark("value")
            )

            def show() -> None:
                shown.content = h(
                    "span", label, ": ", isolated(self.language.quantity(self._value.value / 100, "ratio"))
                )

            self._value.on_value_change(show)
            show()

    def _scopes(self, kind: Kind) -> dict[str, str]:
        """Everything of the kind, each zone, each circuit (any text setting), each asset; with how many it holds."""
        text = self.language.text
        devices = [live.facts for live in self.desk.platform.live.assets() if live.facts.kind == kind.name]
        scopes = {"all:": text("commands.all", n=self.language.number(len(devices)))}
        zones = _count((device.commune, device.zone) for device in devices if device.zone)
        for (commune, zone), number in zones.items():
            label = self.pieces.zone_label(commune, zone)
            scopes[f"zone:{commune}/{zone}"] = f"{text('commands.zone')} {label} ({self.language.number(number)})"
        for setting in kind.settings.values():
            if setting.type != "text":
                continue
            groups = _count(str(device.settings.get(setting.name, "")) for device in devices)
            for value, number in groups.items():
                name = self.language.label(setting.labels, setting.name)
                scopes[f"setting:{setting.name}/{value}"] = f"{name} {value} ({self.language.number(number)})"
        for device in devices[:SINGLE_MAX]:
            scopes[f"asset:{device.asset}"] = device.name or device.asset
        if self._asset:
            scopes.setdefault(f"asset:{self._asset}", self._asset)
        return scopes

    def _length(self, minutes: int) -> str:
        if minutes % 60 == 0:
            return self.language.count("length.hours", minutes // 60)
        return self.language.count("length.minutes", minutes)

    def _choose_kind(self, event: events.ValueChangeEventArguments[str]) -> None:
        self._kind_name, self._asset = event.value, ""
        self._variable.clear()
        self._build_variable()

    # -- what it will do, and doing it

    def _wish(self) -> acts.Wish:
        """What the form says. Raises Problem when place or duration are missing."""
        where = self._scope.value
        if not where:
            sentence = self.language.text("commands.where_missing")
            raise Problem("invalid", sentence, [sentence])
        minutes = self._minutes.value
        if not isinstance(minutes, (int, float)) or not 1 <= minutes <= MINUTES_MAX:
            sentence = self.language.text("commands.minutes_missing", most=self.language.number(MINUTES_MAX))
            raise Problem("invalid", sentence, [sentence])
        boolean = self._target.type is MetricType.BOOLEAN
        return acts.Wish(
            scope=scope_of(self._kind_name, str(where)),
            target=self._target.name,
            to=float(self._value.value) if boolean else self._value.value / 100,
            until_ms=self.desk.platform.clock.now_ms() + round(minutes) * MINUTE_MS,
            reason=self._reason.value or "",
            by=self._name.value or "",
        )

    def _check(self) -> None:
        self._faults.content = ""
        try:
            wish = self._wish()
            devices = acts.affected(self.desk.platform, wish.scope)
            faults = acts.check(self.desk.platform, wish, devices)
            if faults:
                raise Problem("invalid", faults[0], faults)
        except Problem as problem:
            self.frame.show_problem(problem, self._faults)
            return
        self._preview.content = self._preview_html(wish, devices)
        self._dialog.open()

    def _preview_html(self, wish: acts.Wish, devices: list[Device]) -> Html:
        text = self.language.text
        value = self.pieces.target_value(self._kind, wish.target, wish.to)
        names = [h("span", isolated(device.name or device.asset)) for device in devices[:SHOWN_MAX]]
        more = len(devices) - len(names)
        rows: list[Html] = []
        for label, content in (
            (
                text("commands.target"),
                h("strong", self.pieces.target_label(self._kind, wish.target), ": ", isolated(value)),
            ),
            (text("asset.until"), self.pieces.until(wish.until_ms)),
            (text("commands.reason"), isolated(wish.reason)),
            (text("asset.by"), isolated(wish.by)),
        ):
            rows.extend((h("dt", label), h("dd", content)))
        return h(
            "div",
            h("h2", self.language.count("commands.affects", len(devices))),
            h("div", names, h("span", f"+ {self.language.number(more)}") if more else None, class_="affected"),
            h("dl", rows, class_="facts"),
            h("p", text("commands.limits_hold"), class_="muted small"),
            class_="stack",
        )

    async def _send(self) -> None:
        try:
            wish = self._wish()
            self._confirm.disable()
            outcome = await acts.wish(self.desk.platform, wish)
        except Problem as problem:
            self._dialog.close()
            self.frame.show_problem(problem, self._faults)
            return
        finally:
            self._confirm.enable()
        self.frame.remember_operator(wish.by)
        self._reason.value = ""
        self._dialog.close()
        self._wishes.highlight(outcome.intent)
        ui.notify(self.language.count("commands.sent", len(outcome.assets)), type="positive")
        await self._wishes.refresh()


def scope_of(kind: str, choice: str) -> acts.Scope:
    """The scope of a choice: ``all:``, ``zone:berkane/centre``, ``setting:circuit/c1`` or ``asset:pole-1``."""
    family, _, rest = choice.partition(":")
    if family == "asset":
        return acts.Scope(asset=rest, kind=kind)
    first, _, second = rest.partition("/")
    if family == "zone":
        return acts.Scope(kind=kind, commune=first, zone=second)
    if family == "setting":
        return acts.Scope(kind=kind, settings={first: second})
    return acts.Scope(kind=kind)


def _count(values: Any) -> Mapping[Any, int]:
    """How many there are of each, in order."""
    counts: dict[Any, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))
