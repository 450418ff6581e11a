"""The first page: the map, what is on and off, what needs somebody now."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import Request
from nicegui import ui

from console.conditions import Condition
from console.desk import City, Desk, Marker
from console.language import SPACE, Language
from console.markup import Html, h, icon
from console.pages.frame import Frame, card, empty
from console.wishes import Wishes, read_wishes
from contract.decisions import Severity
from contract.kind import Kind

ALARMS_SHOWN = 6
WISHES_SHOWN = 5
ZOOM = 15
OPTIONS = {
    "preferCanvas": True,
    "attributionControl": False,
    "zoomControl": True,
    "minZoom": 9,
    "maxZoom": 19,
    "zoomSnap": 0.25,
}


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "map", request)
    Overview(frame)
    return frame


class Overview:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        self._drawn = -1  # the registry change the map was drawn with
        self._shown = 0  # the generation the map shows
        frame.title(self.language.text("nav.map"))
        ui.html(h("h1", self.language.text("map.title")), sanitize=False)
        self._tiles = ui.html("", sanitize=False)
        with ui.element("div").classes("columns"):
            with ui.element("section").classes("card map-box span-8"):
                self._kinds = ui.html("", sanitize=False)
                self._map = self._make_map()
                ui.html(self._legend(), sanitize=False)
            with ui.element("div").classes("span-4 stack"):
                self._alarms = ui.html("", sanitize=False)
                self._wishes = ui.html("", sanitize=False)
        frame.live(self.refresh)

    def _make_map(self) -> ui.leaflet:
        platform = self.desk.platform
        site = platform.sites[0] if platform.sites else None
        center = (site.latitude, site.longitude) if site else (34.92, -2.32)
        tiles = platform.tile_url
        leaflet = ui.leaflet(center=center, zoom=ZOOM, options={**OPTIONS, "attributionControl": bool(tiles)})
        leaflet.clear_layers()  # NiceGUI's own tiles come from the internet
        if tiles:
            leaflet.tile_layer(url_template=tiles, options={"maxZoom": 19})
        leaflet.props(f'aria-label="{self.language.text("map.title")}" dir=ltr')
        return leaflet

    async def refresh(self) -> None:
        city = await self.desk.city()
        self._tiles.content = self._tiles_html(city)
        self._kinds.content = self._kinds_html(city)
        self._alarms.content = self._alarms_html(city)
        self._wishes.content = self._wishes_html(await self.desk.shared("wishes", lambda: read_wishes(self.desk)))
        if not self._map.is_initialized:
            return
        if self._drawn == -1:
            self._call("draw", f"getElement({self._map.id}).map", self._given(city))
        elif self._drawn != city.registry_change:
            self._call("redraw", self._rows(city))
        else:
            changes = [[m.asset, str(m.condition)] for m in city.markers if m.generation > self._shown]
            if changes:
                self._call("change", changes)
        self._drawn, self._shown = city.registry_change, city.generation

    def _call(self, name: str, *arguments: Any) -> None:
        """One call a refresh, whatever the number of markers. A string that is an expression goes in as it is."""
        written = [a if isinstance(a, str) else _script(a) for a in arguments]
        ui.run_javascript(f"window.nabdMap.{name}({self._map.id}, {', '.join(written)})")

    def _given(self, city: City) -> dict[str, Any]:
        platform = self.desk.platform
        zones = [zone for site in platform.sites for zone in site.zones]
        streets = [street for site in platform.sites for street in site.streets]
        return {
            "path": f"/{self.language.code}",
            "zones": [{"name": self.language.label(z.labels, z.zone), "outline": z.outline} for z in zones],
            "streets": [{"line": street.line} for street in streets],
            "zoom": [self.language.text("map.zoom_in"), self.language.text("map.zoom_out")],
            "words": {str(word): self.language.text(f"condition.{word}") for word in Condition},
            "kinds": {name: self.language.label(kind.labels, name) for name, kind in platform.kinds.items()},
            "markers": self._rows(city),
            "bounds": _bounds(city.markers, [point for zone in zones for point in zone.outline]),
        }

    @staticmethod
    def _rows(city: City) -> list[list[Any]]:
        return [[m.asset, m.name, m.kind, round(m.lat, 6), round(m.lon, 6), str(m.condition)] for m in city.markers]

    def _tiles_html(self, city: City) -> Html:
        text = self.language.text
        firing = sum(city.firing.by_severity.values())
        tiles = [
            self._tile(text("map.alarms"), firing, "alarms", self._severities(city), "bad" if firing else ""),
            self._tile(
                text("map.silent"), city.silent, "assets?condition=no_contact", text("map.silent_under"),
                "warn" if city.silent else "",
            ),
        ]  # fmt: skip
        for name, counts in city.by_kind.items():
            kind = self.desk.platform.kinds.get(name)
            tiles.append(
                self._tile(
                    self.pieces.kind_label(name), sum(counts.values()), f"assets?kind={name}", self._words(counts, kind)
                )
            )
        return h("div", tiles, class_="tiles")

    def _tile(self, label: str, number: int, link: str, under: str | Html, mood: str = "") -> Html:
        return h(
            "a",
            h("div", label, class_="label"),
            h("div", self.language.number(number), class_="value"),
            h("div", under, class_="under"),
            class_=f"tile {mood}".strip(),
            href=f"{self.frame.root}/{link}",
        )

    def _severities(self, city: City) -> str:
        firing = city.firing.by_severity
        if not firing:
            return self.language.text("map.no_alarms")
        parts = [
            f"{self.language.text(f'severity.{severity}')}{SPACE}{self.language.number(firing[severity])}"
            for severity in reversed(Severity)
            if severity in firing
        ]
        return " · ".join(parts)

    def _words(self, counts: "Counter[Condition]", kind: Kind | None) -> str:
        parts = [
            f"{self.pieces.condition_word(word, kind)}{SPACE}{self.language.number(counts[word])}"
            for word in Condition
            if counts[word]
        ]
        return " · ".join(parts)

    def _kinds_html(self, city: City) -> Html:
        buttons = []
        for name in city.by_kind:
            kind = self.desk.platform.kinds.get(name)
            label = self.pieces.kind_label(name)
            buttons.append(
                h(
                    "button",
                    icon(kind.icon if kind else "help"),
                    label,
                    type="button",
                    data_map_kind=name,
                    aria_pressed="true",
                )
            )
        return h("div", buttons, class_="kind-filter", role="group", aria_label=self.language.text("map.show_kinds"))

    def _legend(self) -> Html:
        items = [
            h("span", h("span", class_=f"dot is-{word}"), self.language.text(f"condition.{word}")) for word in Condition
        ]
        return h("div", items, class_="legend")

    def _alarms_html(self, city: City) -> Html:
        text = self.language.text
        if not city.by_kind:
            body = empty("add_location_alt", text("empty.no_assets"), text("empty.no_assets_advice"))
        elif not city.gravest:
            body = empty("check_circle", text("empty.no_alarms"), text("empty.no_alarms_advice"))
        else:
            body = h("div", [self.pieces.alarm(row, acting=False) for row in city.gravest[:ALARMS_SHOWN]])
        more = h("a", text("map.all_alarms"), href=f"{self.frame.root}/alarms", class_="end")
        return card(body, title=text("map.needs_somebody"), symbol="notifications", end=more)

    def _wishes_html(self, wishes: Wishes) -> Html:
        text = self.language.text
        more = h("a", text("map.all_commands"), href=f"{self.frame.root}/commands", class_="end")
        if wishes.running:
            body = h("div", [self.pieces.running(wish) for wish in wishes.running[:WISHES_SHOWN]])
        else:
            body = h("p", text("empty.no_wishes"), class_="muted")
        return card(body, title=text("wishes.running"), symbol="tune", end=more)


def _bounds(markers: Sequence[Marker], outline: list[tuple[float, float]]) -> list[list[float]] | None:
    """The corners of all that is on the map."""
    points = [(marker.lat, marker.lon) for marker in markers] + outline
    if not points:
        return None
    latitudes, longitudes = [p[0] for p in points], [p[1] for p in points]
    return [[min(latitudes), min(longitudes)], [max(latitudes), max(longitudes)]]


def _script(value: Any) -> str:
    """JSON that may stand inside a script: no name can end it."""
    return msgspec.json.encode(value).decode().replace("<", "\\u003c")
