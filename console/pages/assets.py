"""All assets in a list: filtered, paged, live. Filters stand in the address, so a list can be sent to a colleague."""

from collections.abc import Mapping
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from console.conditions import Condition, condition, is_silent
from console.desk import Desk
from console.language import Language
from console.live import LiveDevice
from console.markup import Html, code, h, isolated
from console.pages.frame import Frame, card, empty
from console.pages.paged import Page, asked, page_of, pager
from console.pages.pieces import cell, table

FILTERS = ("text", "kind", "zone", "condition")
Found = Page[tuple[LiveDevice, Condition]]


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "assets", request)
    Assets(frame)
    return frame


class Assets:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        given = frame.request.query_params
        self._chosen = {name: given.get(name, "")[:64] for name in FILTERS}
        self._page = asked(frame.request)
        frame.title(self.language.text("nav.assets"))
        ui.html(h("h1", self.language.text("assets.title")), sanitize=False)
        self._filters()
        self._list = ui.html("", sanitize=False)
        frame.live(self.refresh)

    def _filters(self) -> None:
        text = self.language.text
        kinds = {"": text("filter.all_kinds")}
        kinds |= {name: self.language.label(kind.labels, name) for name, kind in self.desk.platform.kinds.items()}
        zones = {"": text("filter.all_zones")}
        zones |= {
            zone.zone: self.language.label(zone.labels, zone.zone)
            for site in self.desk.platform.sites
            for zone in site.zones
        }
        words = {"": text("filter.all_conditions")} | {str(w): text(f"condition.{w}") for w in Condition}
        with ui.element("div").classes("filters"):
            search = ui.input(text("filter.search"), value=self._chosen["text"]).classes("search")
            search.props("outlined dense clearable debounce=300")
            search.on_value_change(lambda event: self._choose("text", event.value or ""))
            for name, options in (("kind", kinds), ("zone", zones), ("condition", words)):
                self._select(name, text(f"filter.{name}"), options)

    def _select(self, name: str, label: str, options: Mapping[str, str]) -> None:
        value = self._chosen[name] if self._chosen[name] in options else ""
        self._chosen[name] = value
        select = ui.select(dict(options), label=label, value=value).props("outlined dense options-dense")
        select.on_value_change(lambda event: self._choose(name, event.value or ""))

    async def _choose(self, name: str, value: str) -> None:
        self._chosen[name] = value
        self._page = 1
        ui.navigate.history.replace(self._address(1))
        await self.refresh()

    def _address(self, page: int) -> str:
        query = {name: value for name, value in self._chosen.items() if value}
        if page > 1:
            query["page"] = str(page)
        return f"{self.frame.root}/assets" + (f"?{urlencode(query)}" if query else "")

    async def refresh(self) -> None:
        city = await self.desk.city()
        alarmed = city.firing.assets
        key = ("assets", *self._chosen.values(), self._page)
        chosen, page = dict(self._chosen), self._page
        found = await self.desk.shared(key, lambda: find(self.desk, chosen, page, alarmed))
        self._list.content = card(self._table(found) if found.rows else self._nothing(len(self.desk.platform.live)))

    def _nothing(self, registered: int) -> Html:
        text = self.language.text
        if registered:
            return empty("search_off", text("empty.nothing_found"), text("empty.nothing_found_advice"))
        return empty("add_location_alt", text("empty.no_assets"), text("empty.no_assets_advice"))

    def _table(self, found: Found) -> Html:
        text = self.language.text
        names = [text(f"assets.{name}") for name in ("asset", "kind", "zone", "condition", "values", "contact")]
        now_ms = self.desk.platform.clock.now_ms()
        rows = [self._row(live, word, names, now_ms) for live, word in found.rows]
        return h("div", h("p", self.language.count("assets.count", found.total), class_="muted small"),
                 table(names, rows), pager(self.language, found, self._address))  # fmt: skip

    def _row(self, live: LiveDevice, word: Condition, names: list[str], now_ms: int) -> Html:
        facts = live.facts
        kind = self.desk.platform.kinds.get(facts.kind)
        under = h("div", code(facts.asset), class_="small muted") if facts.name else None
        return h(
            "tr",
            cell(names[0], self.pieces.asset_link(facts.asset, facts), under),
            cell(names[1], self.pieces.kind_label(facts.kind)),
            cell(names[2], isolated(self.pieces.zone_label(facts.commune, facts.zone)) if facts.zone else "—"),
            cell(names[3], self.pieces.condition_chip(word, kind)),
            cell(names[4], self.pieces.summary(kind, live)),
            cell(names[5], self.pieces.contact(live, now_ms)),
        )


def find(desk: Desk, chosen: Mapping[str, str], page: int, alarmed: frozenset[str]) -> Found:
    """The assets that match, the most pressing condition first, one page of them."""
    platform = desk.platform
    now_ms = platform.clock.now_ms()
    wanted = chosen["text"].strip().lower()
    matching = []
    for live in platform.live.assets():
        facts = live.facts
        if chosen["kind"] not in ("", facts.kind) or chosen["zone"] not in ("", facts.zone):
            continue
        if wanted and wanted not in f"{facts.asset} {facts.device} {facts.name}".lower():
            continue
        word = condition(platform.kinds.get(facts.kind), live, now_ms, alarmed=facts.asset in alarmed)
        silent = chosen["condition"] == Condition.NO_CONTACT and is_silent(live, now_ms)  # an alarm may stand above it
        if silent or chosen["condition"] in ("", str(word)):
            matching.append((live, word))
    order = {word: number for number, word in enumerate((Condition.FAULT, Condition.NO_CONTACT))}
    matching.sort(key=lambda row: (order.get(row[1], 2), row[0].facts.asset))
    return page_of(matching, page)
