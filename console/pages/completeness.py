"""Completeness: how many of the readings came, by zone, by asset and by local day, the least complete first."""

from datetime import date
from urllib.parse import urlencode

import msgspec
from fastapi import Request
from nicegui import ui

from console.api_completeness import total
from console.completeness import Sum, completeness, day_of, worst_first
from console.desk import Desk
from console.language import Language
from console.markup import Html, h, isolated
from console.pages.frame import Frame, card
from console.pages.gap_words import bar, share
from console.pages.paged import Page, asked, page_of, pager
from console.pages.pieces import cell, table
from contract.tally import By, Key, Scope

SPANS = (1, 7, 31)  # local days, the last one today
LOOKS = (By.ZONE, By.ASSET, By.DAY)
COUNTED_EVERY_S = 10.0


class Counted(msgspec.Struct, frozen=True):
    whole: Sum
    page: Page[tuple[Key, Sum]]
    began_ms: int | None
    behind: int  # entries of the log that are not counted yet


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "health", request)
    CompletenessPage(frame)
    return frame


class CompletenessPage:
    """What is looked at stands in the address: by, days, kind, page."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        given = frame.request.query_params
        self._by = next((by for by in LOOKS if by == given.get("by")), By.ZONE)
        self._days = next((days for days in SPANS if str(days) == given.get("days")), 7)
        self._kind = given.get("kind", "") if given.get("kind", "") in self.desk.platform.kinds else ""
        self._page = asked(frame.request)
        text = self.language.text
        frame.title(text("completeness.title"))
        ui.html(h("h1", text("completeness.title")), sanitize=False)
        ui.html(h("p", text("completeness.means"), class_="muted"), sanitize=False)
        ui.html(self._choices(), sanitize=False)
        self._body = ui.html("", sanitize=False)
        frame.live(self.refresh)

    async def refresh(self) -> None:
        key = ("completeness", self._by, self._days, self._kind, self._page)
        self._body.content = self._html(await self.desk.shared(key, self._count, COUNTED_EVERY_S))

    def _count(self) -> Counted:
        platform = self.desk.platform
        last = day_of(platform.clock.now_ms(), self.desk.zone)
        days = range(last - self._days + 1, last + 1)
        behind = platform.tally.catch_up()
        sums = completeness(platform, self.desk.zone, self._by, Scope(kind=self._kind or None), days)
        rows = sorted(sums.items(), reverse=True) if self._by is By.DAY else worst_first(sums)
        began = platform.tally.book.began()
        return Counted(total(sums.values()), page_of(rows, self._page), began[0] if began else None, behind)

    def _choices(self) -> Html:
        text = self.language.text
        kinds = [("", text("filter.all_kinds"))]
        kinds += [(name, self.pieces.kind_label(name)) for name in self.desk.platform.kinds]
        rows = (
            [self._choice(text(f"completeness.by_{by}"), by is self._by, by=by.value) for by in LOOKS],
            [self._choice(self.language.count("completeness.days", days), days == self._days, days=str(days))
             for days in SPANS],
            [self._choice(label, name == self._kind, kind=name) for name, label in kinds],
        )  # fmt: skip
        return h("div", [h("nav", row, class_="choices") for row in rows])

    def _choice(self, label: str, chosen: bool, **change: str) -> Html:
        return h("a", label, href=self._address(**change), aria_current="true" if chosen else None, class_="chip")

    def _address(self, **change: str) -> str:
        query = {"by": self._by.value, "days": str(self._days), "kind": self._kind} | change
        return f"{self.frame.root}/completeness?{urlencode({name: value for name, value in query.items() if value})}"

    def _html(self, counted: Counted) -> Html:
        text = self.language.text
        if not counted.page.rows:
            return card(h("p", text("completeness.nothing"), class_="muted"))
        names = [text(f"completeness.{name}") for name in ("name", "share", "had", "missing", "gone")]
        rows = [self._row(names, self._name(key), one) for key, one in counted.page.rows]
        everything = self._row(names, h("strong", text("completeness.all")), counted.whole)
        since = behind = None
        if counted.began_ms is not None:
            moment = self.language.moment(counted.began_ms, self.desk.zone)
            since = h("p", text("completeness.since", at=moment), class_="muted small")
        if counted.behind:
            behind = h("p", self.language.count("completeness.behind", counted.behind), class_="tag major")
        pages = pager(self.language, counted.page, lambda number: self._address(page=str(number)))
        return card(behind, table(names, [everything, *rows]), pages, since)

    def _row(self, names: list[str], name: Html | str, one: Sum) -> Html:
        number = self.language.number
        unreadable = None
        if one.quarantined:
            words = f"{self.language.text('completeness.unreadable')} {number(one.quarantined)}"
            unreadable = h("div", words, class_="small muted")
        return h(
            "tr",
            cell(names[0], name),
            cell(names[1], h("strong", share(self.language, one.completeness or 0.0)), bar(one)),
            cell(names[2], number(one.had), unreadable),
            cell(names[3], number(one.missing)),
            cell(names[4], number(one.gone)),
        )

    def _name(self, key: Key) -> Html | str:
        if isinstance(key, int):
            return h("span", f"{date.fromordinal(key):%d/%m/%Y}", class_="num", dir="ltr")
        if self._by is By.ASSET:
            live = self.desk.platform.live.asset(key[0])
            return self.pieces.asset_link(key[0], live.facts if live else None)
        commune, zone = key
        label = self.pieces.zone_label(commune, zone) if zone else self.language.text("completeness.no_zone")
        return h("span", isolated(label), h("div", self.pieces.commune_label(commune), class_="small muted"))
