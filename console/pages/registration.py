"""The dialog that makes a device known: kind from its birth, commune, zone, and what its kind wants to know."""

from typing import Any

from nicegui import ui

from console import acts
from console.markup import code, h
from console.pages.frame import Frame
from console.problems import Problem
from contract.kind import Setting


class Registration:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.language = frame.language
        self._device = ""
        self._settings: dict[str, Any] = {}
        platform = frame.desk.platform
        text = self.language.text
        kinds = {name: self.language.label(kind.labels, name) for name, kind in platform.kinds.items()}
        communes = {site.commune: self.language.label(site.labels, site.commune) for site in platform.sites}
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            self._what = ui.html("", sanitize=False)
            with ui.element("div").classes("form"):
                self._kind = ui.select(kinds, label=text("registration.kind"), on_change=self._show_settings)
                self._commune = ui.select(
                    communes, label=text("registration.commune"), value=next(iter(communes), None),
                    on_change=self._show_zones,
                )  # fmt: skip
                self._zone = ui.select({}, label=text("registration.zone"))
                for select in (self._kind, self._commune, self._zone):
                    select.props("outlined dense options-dense")
                self._asset = ui.input(text("registration.asset")).props("outlined dense maxlength=64")
                self._asset_name = ui.input(text("registration.name")).props("outlined dense maxlength=64")
                self._more = ui.expansion(text("registration.settings"), icon="tune").classes("w-full")
                self._by = ui.input(text("form.your_name"), value=frame.operator).props("outlined dense maxlength=64")
            self._faults = ui.html("", sanitize=False).classes("quiet")
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                ui.button(text("deferred.register"), on_click=self._send).props("unelevated no-caps").mark("register")

    def open(self, device: str) -> None:
        platform = self.frame.desk.platform
        waiting = next((row for row in platform.deferred() if row.device == device), None)
        text = self.language.text
        self._device = device
        self._faults.content = ""
        self._what.content = h(
            "div",
            h("h2", text("registration.title"), " ", code(device)),
            h("p", text("registration.means"), class_="muted"),
        )
        self._kind.value = waiting.kind if waiting and waiting.kind in platform.kinds else None
        self._asset.value = device
        self._asset_name.value = ""
        self._show_zones()
        self._show_settings()
        self._dialog.open()

    def _show_zones(self) -> None:
        zones: dict[str, str] = {"": self.language.text("registration.no_zone")}
        for site in self.frame.desk.platform.sites:
            if site.commune == self._commune.value:
                zones |= {zone.zone: self.language.label(zone.labels, zone.zone) for zone in site.zones}
        self._zone.set_options(zones, value="")

    def _show_settings(self) -> None:
        self._settings = {}
        self._more.clear()
        kind = self.frame.desk.platform.kinds.get(str(self._kind.value or ""))
        with self._more:
            for setting in kind.settings.values() if kind else ():
                self._settings[setting.name] = self._field(setting)
        self._more.set_visibility(bool(self._settings))
        self._more.value = any(setting.required for setting in kind.settings.values()) if kind else False

    def _field(self, setting: Setting) -> Any:
        label = self.language.label(setting.labels, setting.name)
        if setting.unit:
            label = f"{label} ({setting.unit})"
        field: Any
        if setting.type == "enum":
            words = {value: self.language.word("value", value) for value in setting.values}
            field = ui.select(words, label=label, value=setting.default)
        elif setting.type == "text":
            field = ui.input(label, value=str(setting.default or ""))
        else:
            default = float(setting.default) if setting.default is not None else None
            field = ui.number(label, value=default, min=setting.minimum, max=setting.maximum)
        field.props("outlined dense").classes("w-full")
        return field

    async def _send(self) -> None:
        settings = {name: field.value for name, field in self._settings.items() if field.value not in (None, "")}
        try:
            device, _ = await acts.register(
                self.frame.desk.platform,
                acts.Registration(
                    device=self._device, kind=str(self._kind.value or ""), commune=str(self._commune.value or ""),
                    zone=str(self._zone.value or ""), asset=self._asset.value or "",
                    name=self._asset_name.value or "", settings=settings, by=self._by.value or "",
                ),
            )  # fmt: skip
        except Problem as problem:
            self.frame.show_problem(problem, self._faults)
            return
        self.frame.remember_operator(self._by.value or "")
        self._dialog.close()
        ui.notify(self.language.text("registration.done", device=device.device), type="positive")
