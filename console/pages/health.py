"""Health: what comes in and what becomes of it, who waits, what was turned away, and whether all are keeping up."""

from fastapi import Request
from nicegui import events, ui

from console.chatter import chatter
from console.desk import Desk, Figures, Gap
from console.documents import quarantine_document
from console.health import HealthView
from console.language import Language
from console.live import Contact
from console.markup import Html, code, h, isolated
from console.pages.frame import Frame, card, empty
from console.pages.pieces import CLICKS, button, cell, table
from console.pages.registration import Registration
from console.platform import DeferredDevice
from console.troubles import troubles
from contract.quarantine import Quarantined

CREDENTIAL_COMMANDS = (
    "nabd devices add ID --kind KIND --commune COMMUNE --credentials node.json",
    "nabd devices rotate ID --credentials node.json",
)
QUARANTINE_SHOWN = 30
DEFERRED_SHOWN = 100
PAYLOAD_SHOWN = 160
LAG_SHOWN_S = 10.0
CONSUMERS = {"decider": "decider", "live": "live view"}  # consumer of the log → the room that tells its faults
COUNTS = ("received", "accepted", "duplicate", "quarantined", "deferred", "missing", "gone")
MOODS = {"quarantined": "warn", "missing": "warn", "deferred": "warn"}


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "health", request)
    HealthPage(frame)
    return frame


class HealthPage:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        frame.title(self.language.text("nav.health"))
        ui.html(h("h1", self.language.text("health.title")), sanitize=False)
        self._readings = ui.html("", sanitize=False)
        self._flow = ui.html("", sanitize=False)
        self._over = ui.html("", sanitize=False)
        self._deferred = ui.html("", sanitize=False).on("click", self._clicked, js_handler=CLICKS)
        with ui.element("div").classes("columns"):
            with ui.element("div").classes("span-5"):
                self._gaps = ui.html("", sanitize=False)
            with ui.element("div").classes("span-7"):
                self._quarantine = ui.html("", sanitize=False)
        self._registration = Registration(frame)
        frame.live(self.refresh)

    async def refresh(self) -> None:
        platform = self.desk.platform
        figures = await self.desk.figures()
        self._readings.content = self._readings_html(figures)
        contacts = await self.desk.shared("contacts", self._contacts)
        self._flow.content = self._flow_html(figures, contacts)
        self._over.content = self._over_html(figures)
        waiting = await self.desk.shared("deferred", lambda: sorted(platform.deferred(), key=lambda row: row.device))
        self._deferred.content = self._deferred_html(waiting)
        rows = await self.desk.shared("quarantine", lambda: list(platform.log.quarantine(QUARANTINE_SHOWN)))
        self._quarantine.content = self._quarantine_html(rows)
        self._gaps.content = self._gaps_html(await self.desk.gaps())

    def _contacts(self) -> dict[Contact, int]:
        now_ms = self.desk.platform.clock.now_ms()
        counts = dict.fromkeys(Contact, 0)
        for live in self.desk.platform.live.assets():
            counts[live.contact(now_ms)] += 1
        return counts

    def _readings_html(self, figures: Figures) -> Html:
        text = self.language.text
        tiles = []
        for name in COUNTS:
            number = figures.counts[name]
            rate = None
            if name not in ("missing", "gone"):
                per_s = self.language.number(figures.per_s[name], 1)
                rate = h("span", text("health.per_s", rate=per_s), class_="num")
            tiles.append(
                h(
                    "div",
                    h("div", text(f"health.{name}"), class_="label"),
                    h("div", self.language.number(number), class_="value"),
                    h("div", rate or text(f"health.{name}_under"), class_="under"),
                    class_=f"tile {MOODS.get(name, '') if number else ''}".strip(),
                    title=text(f"health.{name}_under"),
                    data_count=name,
                )
            )
        return card(h("div", tiles, class_="tiles"), title=text("health.readings"), symbol="dataset")

    def _flow_html(self, figures: Figures, contacts: dict[Contact, int]) -> Html:
        text, number = self.language.text, self.language.number
        health = figures.health

        def tile(label: str, value: Html | str, under: Html | str | None = None, mood: str = "") -> Html:
            return h(
                "div",
                h("div", label, class_="label"),
                h("div", value, class_="value"),
                h("div", under, class_="under"),
                class_=f"tile {mood}".strip(),
            )

        still = {one.room for one in troubles(self.language, health)}
        broker = {True: "health.broker_there", False: "health.broker_away", None: "value.unknown"}[health.connected]
        holding = text("health.holding_yes") if health.holding else text("health.holding_no")
        behind = health.lag.get("store")
        speed = self.desk.platform.clock.speed
        origin = int(health.clock.get("city_origin_ms", 0))
        lost = contacts[Contact.LOST] + contacts[Contact.NEVER]
        tiles = [
            tile(text("health.broker"), text(broker), mood="bad" if health.connected is False else ""),
            tile(text("health.ingest"), holding, mood="bad" if health.holding else ""),
            tile(text("health.devices"), number(sum(contacts.values())),
                 self.language.count("health.lost", lost), "warn" if lost else ""),
            tile(text("health.log"), number(health.log_position),
                 h("span", text("health.log_under"), " · ", isolated(f"{number(health.log_bytes / 1e6, 1)} MB")),
                 "bad" if "log" in still else ""),
            tile(text("health.store"), number(behind) if behind is not None else text("value.unknown"),
                 self._lag(health, "store", text("health.stands_still" if "store" in still else "health.store_under")),
                 "bad" if "store" in still else ""),
            tile(text("health.clock"), h("span", f"×{speed:g}", class_="num", dir="ltr"),
                 self._origin(origin) if origin else text("health.real_time")),
        ]  # fmt: skip
        off = int(health.figures.get("clocks_off", 0))
        if off:
            alike = number(health.figures.get("clocks_off_alike", 0))
            tiles.append(tile(text("health.clocks_off"), number(off), text("health.clocks_off_under", n=alike), "warn"))
        tiles += [
            tile(self.language.word("consumer", name), number(health.lag[name]),
                 self._lag(health, name,
                           text("health.stands_still" if CONSUMERS.get(name) in still else "health.lag_under")),
                 "bad" if CONSUMERS.get(name) in still else "")
            for name in sorted(health.lag.keys() - {"store"})
        ]  # fmt: skip
        if (full_in_s := health.log.get("full_in_s")) is not None:
            tiles.append(tile(text("health.room"), self.language.span(full_in_s, 1), text("health.room_under")))
        if left_out := sum(health.left_out.values()):
            what = ", ".join(f"{name} {number}" for name, number in health.left_out.items() if number)
            tiles.append(tile(text("health.left_out"), h("span", number(left_out), title=what),
                              text("health.left_out_under"), "warn"))  # fmt: skip
        return card(h("div", tiles, class_="tiles"), title=text("health.flow"), symbol="account_tree")

    def _lag(self, health: HealthView, name: str, under: str) -> str | Html:
        """How far behind in time, where that is worth a word."""
        lag_s = health.lag_s.get(name, 0.0)
        return under if lag_s < LAG_SHOWN_S else h("span", under, " · ", isolated(self.language.span(lag_s)))

    def _origin(self, origin_ms: int) -> Html:
        return h("span", self.language.text("health.since"), " ", self.pieces.moment(origin_ms))

    def _over_html(self, figures: Figures) -> Html | str:
        """Devices that say too much; nothing while there are none."""
        found = figures.health.over_limit
        if not found:
            return ""
        text = self.language.text
        names = [text(f"over.{name}") for name in ("device", "how_fast", "since", "left", "advice")]
        rows = []
        for one in found:
            sentence, advice = chatter(self.language, one)
            cells = (code(one.device), sentence, self.pieces.age(one.since_ms), self.language.number(one.left), advice)
            rows.append(h("tr", [cell(name, shown) for name, shown in zip(names, cells, strict=True)]))
        return card(h("p", text("over.means"), class_="muted small"), table(names, rows), title=text("over.title"),
                    symbol="campaign")  # fmt: skip

    def _deferred_html(self, waiting: list[DeferredDevice]) -> Html:
        text = self.language.text
        if not waiting:
            body = empty("how_to_reg", text("empty.no_deferred"), text("empty.no_deferred_advice"))
            return card(body, self._credentials_html(), title=text("health.deferred_title"), symbol="how_to_reg")
        names = [text(f"deferred.{name}") for name in ("device", "kind", "since", "last", "readings")]
        rows = [
            h(
                "tr",
                cell(
                    names[0], code(row.device), h("div", code(row.model), class_="small muted") if row.model else None
                ),
                cell(names[1], self.pieces.kind_label(row.kind) if row.kind else text("deferred.kind_unknown")),
                cell(names[2], self.pieces.age(row.first_ms)),
                cell(names[3], self.pieces.age(row.last_ms)),
                cell(names[4], self.language.number(row.readings)),
                cell("", button(text("deferred.register"), "register", row.device), class_="actions whole"),
            )
            for row in waiting[:DEFERRED_SHOWN]
        ]
        intro = h("p", text("deferred.means"), class_="muted small")
        return card(intro, table([*names, ""], rows), self._credentials_html(), title=text("health.deferred_title"),
                    symbol="how_to_reg")  # fmt: skip

    def _credentials_html(self) -> Html | None:
        """Where the broker asks every device for a password: registering gives none, and what does."""
        if not self.desk.platform.needs_credentials:
            return None
        text = self.language.text
        commands = [h("div", code(command)) for command in CREDENTIAL_COMMANDS]
        return h("div", h("p", text("deferred.no_credential"), " ", text("deferred.credentials")), commands,
                 class_="small muted", data_credentials=True)  # fmt: skip

    def _gaps_html(self, gaps: list[Gap]) -> Html:
        text = self.language.text
        if not gaps:
            body = empty("task_alt", text("empty.no_gaps"), text("empty.no_gaps_advice"))
            return card(body, title=text("health.gaps"), symbol="rule", end=self._completeness_link())
        names = [text(f"gaps.{name}") for name in ("device", "missing", "gone", "ranges")]
        rows = [
            h(
                "tr",
                cell(
                    names[0], h("a", isolated(gap.device), href=f"{self.frame.root}/assets/{gap.asset}", class_="name")
                ),
                cell(names[1], self.language.number(gap.missing)),
                cell(names[2], self.language.number(gap.gone)),
                cell(names[3], code(", ".join(f"{a}–{b}" if a != b else str(a) for a, b in gap.ranges))),
            )
            for gap in gaps
        ]
        return card(h("p", text("gaps.means"), class_="muted small"), table(names, rows), title=text("health.gaps"),
                    symbol="rule", end=self._completeness_link())  # fmt: skip

    def _completeness_link(self) -> Html:
        label = self.language.text("completeness.link")
        return h("a", label, href=f"{self.frame.root}/completeness", class_="end")

    def _quarantine_html(self, rows: list[Quarantined]) -> Html:
        text = self.language.text
        if not rows:
            body = empty("verified", text("empty.no_quarantine"), text("empty.no_quarantine_advice"))
            return card(body, title=text("health.quarantine"), symbol="report")
        names = [text(f"quarantine.{name}") for name in ("when", "from", "code", "payload")]
        lines = [self._quarantine_row(row, names) for row in rows]
        more = h("a", text("quarantine.to_page"), href=f"{self.frame.root}/quarantine", class_="press")
        return card(table(names, lines), title=text("health.quarantine"), symbol="report", end=more)

    def _quarantine_row(self, row: Quarantined, names: list[str]) -> Html:
        text = self.language.text
        document = quarantine_document(row)
        payload = str(document.get("payload", document.get("payload_base64", "")))
        shown = payload[:PAYLOAD_SHOWN] + ("…" if len(payload) > PAYLOAD_SHOWN else "")
        times = h("div", text("quarantine.times", n=self.language.number(row.count)), class_="small muted")
        return h(
            "tr",
            cell(names[0], self.pieces.age(row.received_at_ms), times if row.count > 1 else None),
            cell(names[1], code(row.sender)),
            cell(
                names[2],
                h("strong", self.language.word("wire", row.code)),
                h("div", h("bdi", row.sentence, dir="ltr"), class_="small muted"),
            ),
            cell(names[3], code(shown), h("div", "base64", class_="tag") if "payload_base64" in document else None),
        )

    def _clicked(self, event: events.GenericEventArguments) -> None:
        act, subject = event.args
        if act == "register":
            self._registration.open(str(subject))
