"""What every page has: head, rail, city clock, banner, and the timer that keeps it live without a reload."""

import logging
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from fastapi import Request
from nicegui import ui

from console.desk import Desk
from console.language import Language, languages, utc_offset, utc_offset_ms
from console.markup import Html, h, icon, isolated, join
from console.pages.pieces import Pieces
from console.problems import Problem
from console.refusals import refusals
from console.troubles import Trouble, troubles
from contract.ports import PASSING

logger = logging.getLogger("console")

REFRESH_S = 1.0
CLOCK_EVERY = 10  # refreshes between two tellings of the city time
OPERATOR_COOKIE = "nabd_name"
THEMES = {"light": False, "dark": True}
SECTIONS = (
    ("map", "", "map"),
    ("assets", "assets", "inventory_2"),
    ("alarms", "alarms", "notifications"),
    ("commands", "commands", "tune"),
    ("health", "health", "monitor_heart"),
)
LOGO = Html(
    '<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" '
    'stroke-linejoin="round" aria-hidden="true"><rect x="2" y="2" width="28" height="28" rx="8"/>'
    '<path d="M6 17h5l3-8 4 14 3-6h5"/></svg>'
)
Refresh = Callable[[], Awaitable[None]]


class Frame:
    """One open page of one technician. A page builds its content and adds what must be refreshed with `live`."""

    def __init__(self, desk: Desk, language: Language, section: str, request: Request) -> None:
        self.desk = desk
        self.language = language
        self.pieces = Pieces(desk, language)
        self.section = section
        self.request = request
        self.root = f"/{language.code}"
        self._refreshes: list[Refresh] = []
        self._round = 0
        self._failing = False
        self._build()

    # -- for the pages

    def live(self, refresh: Refresh) -> None:
        """Call `refresh` now and every second while the page is open."""
        self._refreshes.append(refresh)

    def title(self, text: str) -> None:
        ui.page_title(f"{text} · {self.language.text('brand.name')}")

    @property
    def operator(self) -> str:
        """The name this browser's user gave last."""
        return unquote(self.request.cookies.get(OPERATOR_COOKIE, ""))[:64]

    def remember_operator(self, name: str) -> None:
        text = name.strip()[:64]
        ui.run_javascript(
            f"document.cookie = '{OPERATOR_COOKIE}=' + encodeURIComponent({quoted(text)}) + "
            "';path=/;max-age=31536000;samesite=lax'"
        )

    def show_problem(self, problem: Problem, holder: ui.html, done: str = "") -> None:
        """The problem's sentences in `holder`, in the page's language; the exact English one on hover. `done`: what
        was done all the same, before it."""
        told = refusals(self.language, self.desk.platform.kinds, problem.faults or [problem.detail])
        holder.content = h(
            "div",
            h("p", isolated(done)) if done else None,
            self.language.text("form.refused"),
            h("ul", [h("li", h("bdi", said, title=written if said != written else None)) for said, written in told]),
            class_="faults",
            role="alert",
        )

    # -- the frame itself

    def _build(self) -> None:
        ui.dark_mode(THEMES.get(self.request.cookies.get("nabd_theme", "auto")))
        with ui.element("header").classes("top"):
            self._head = ui.html(self._head_html(), sanitize=False).style("height:100%")
        with ui.element("aside").classes("rail"):
            self._rail = ui.html(self._rail_html(0), sanitize=False)
        self._banner = ui.html("", sanitize=False).classes("quiet")
        self._banner.visible = False

    def _head_html(self) -> Html:
        text = self.language.text
        site = self.desk.platform.sites[0] if self.desk.platform.sites else None
        speed = self.desk.platform.clock.speed
        now_ms = self.desk.platform.clock.now_ms()
        return h(
            "div",
            h(
                "a",
                LOGO,
                h("span", text("brand.name")),
                h("span", self.language.label(site.labels, site.commune), class_="brand-site") if site else None,
                href=f"{self.root}/",
                class_="brand",
            ),
            h("span", class_="top-space"),
            h(
                "span",
                h("span", text("frame.city_time"), class_="word"),
                h(
                    "span",
                    id="nabd-clock",
                    data_now=now_ms,
                    data_speed=speed,
                    data_offset=utc_offset_ms(now_ms, self.desk.zone),
                ),
                h("span", utc_offset(now_ms, self.desk.zone), class_="small", dir="ltr", title=str(self.desk.zone)),
                h("span", f"×{speed:g}", class_="speed", title=text("frame.speed")) if speed != 1 else None,
                class_="city-time",
            ),
            h(
                "nav",
                [self._language_link(other) for other in languages().values()],
                class_="languages",
                aria_label=text("frame.language"),
            ),
            h(
                "button",
                icon("contrast"),
                type="button",
                class_="icon-button",
                data_theme_toggle=True,
                aria_label=text("frame.theme"),
                title=text("frame.theme"),
            ),
            class_="top-row",
        )

    def _language_link(self, other: Language) -> Html:
        """The same page, its filters too, in another language."""
        path = self.request.url.path[len(self.root) :] or "/"
        query = f"?{self.request.url.query}" if self.request.url.query else ""
        return h(
            "a",
            other.text("language.short"),
            href=f"/{other.code}{path}{query}",
            lang=other.code,
            hreflang=other.code,
            title=other.text("language.name"),
            data_language=other.code,
            aria_current="true" if other is self.language else None,
        )

    def _rail_html(self, unseen: int) -> Html:
        def link(section: str, path: str, symbol: str) -> Html:
            badge = None
            if section == "alarms" and unseen:
                badge = h(
                    "span",
                    unseen if unseen < 1000 else "999+",
                    class_="badge",
                    title=self.language.count("alarms.unseen", unseen),
                )
            return h(
                "a",
                icon(symbol),
                h("span", self.language.text(f"nav.{section}")),
                badge,
                href=f"{self.root}/{path}",
                aria_current="page" if section == self.section else None,
            )

        return h("nav", [link(*section) for section in SECTIONS], aria_label=self.language.text("nav.label"))

    async def start(self) -> None:
        """The first round before the page is sent, so that it arrives with its content; then one a second.

        The timer comes last: it waits for the browser, and NiceGUI sends a page as soon as anything does.
        """
        await self._refresh()
        ui.timer(REFRESH_S, self._refresh, immediate=False)

    async def _refresh(self) -> None:
        """One round. A failing look at the data leaves the page as it is, its ages growing, and says so."""
        try:
            self._round += 1
            if self._round % CLOCK_EVERY == 0:
                self._head.content = self._head_html()
            city = await self.desk.city()
            self._rail.content = self._rail_html(city.firing.unseen)
            figures = await self.desk.figures()
            self._show_banner(troubles(self.language, figures.health), self.language.text("frame.ailing"))
            for refresh in self._refreshes:
                await refresh()
            self._failing = False
        except Exception as error:
            is_ours = not isinstance(error, PASSING)
            if not self._failing:
                logger.error("event=page_refresh_failed section=%s reason=%s", self.section, error, exc_info=is_ours)
            self._failing = True
            trouble = Trouble("", "", f"{type(error).__name__}: {error}" if is_ours else str(error))
            self._show_banner([trouble], self.language.text("frame.cannot_refresh"))

    def _show_banner(self, found: list[Trouble], heading: str) -> None:
        self._banner.visible = bool(found)
        lines = [
            h(
                "li",
                isolated(one.sentence) if one.sentence else None,
                h("div", h("bdi", one.detail, dir="ltr"), class_="small") if one.detail else None,
            )
            for one in found
        ]
        body = h("div", icon("warning"), h("div", h("strong", heading), h("ul", lines)), class_="banner", role="alert")
        self._banner.content = body if found else ""


def quoted(text: str) -> str:
    """A JavaScript string literal that is safe inside a script."""
    return "'" + "".join(f"\\u{ord(letter):04x}" for letter in text if ord(letter) < 0x10000) + "'"


def card(*content: Html | str | None, title: str = "", symbol: str = "", end: Html | None = None) -> Html:
    head = h("div", icon(symbol) if symbol else None, h("h2", title), end, class_="card-head") if title else None
    return h("section", head, join(content), class_="card")


def empty(symbol: str, title: str, advice: str = "") -> Html:
    """Nothing is here, and what to do about it."""
    return h("div", icon(symbol), h("strong", title), h("span", advice) if advice else None, class_="empty")
