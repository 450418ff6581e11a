"""One asset: its facts, how it is now, who controls it and why, its past, and whether every reading came."""

from typing import Any

import msgspec
from fastapi import Request
from nicegui import ui

from console.acts import ENDED
from console.conditions import condition
from console.desk import Desk
from console.documents import missing
from console.language import Language
from console.live import LiveDevice
from console.markup import Html, code, h, isolated
from console.pages.charts import Chart
from console.pages.frame import Frame, card, empty
from console.pages.gap_words import GapWords, Whole, read_whole
from contract.decisions import Decision, IntentState, Lease, Rank, Step
from contract.kind import Kind
from contract.ports import AlarmRow, LedgerRow

AUDIT_SHOWN = 40
RANGES_SHOWN = 6
EARLIER_SHOWN = 5
WHOLE_EVERY_S = 5.0


class Past(msgspec.Struct, frozen=True):
    """What the state and the ledger know of an asset."""

    alarms: list[AlarmRow]
    intents: list[IntentState]
    decisions: list[Decision]
    lease: Lease | None
    bindings: list[tuple[str, int, int | None]]
    streams: list[LedgerRow]


def build(desk: Desk, language: Language, request: Request, asset: str) -> Frame:
    frame = Frame(desk, language, "assets", request)
    AssetPage(frame, asset)
    return frame


class AssetPage:
    """A device may leave the asset and another come while the page is open."""

    def __init__(self, frame: Frame, asset: str) -> None:
        self.frame = frame
        self.asset = asset
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        self.gap_words = GapWords(self.desk, self.language)
        live = self._live()
        frame.title((live.facts.name if live else "") or asset[:64])
        self._head = ui.html("", sanitize=False)
        with ui.element("div").classes("columns"):
            with ui.element("div").classes("span-8 stack"):
                self._identity = ui.html("", sanitize=False)
                self._now = ui.html("", sanitize=False)
                self._chart_place = ui.element("div")
                self._alarms = ui.html("", sanitize=False)
                self._audit = ui.html("", sanitize=False)
            with ui.element("div").classes("span-4 stack"):
                self._control = ui.html("", sanitize=False)
                self._facts = ui.html("", sanitize=False)
                self._ledger = ui.html("", sanitize=False)
        self._chart: Chart | None = None
        frame.live(self.refresh)

    def _live(self) -> LiveDevice | None:
        return self.desk.platform.live.asset(self.asset)

    async def refresh(self) -> None:
        past = await self.desk.shared(("asset", self.asset), lambda: read_past(self.desk, self.asset))
        live = self._live()
        known = live or (self.desk.platform.live.device(past.bindings[-1][0]) if past.bindings else None)
        kind = self.desk.platform.kinds.get(known.facts.kind) if known is not None else None
        if live is not None:
            await self._show(live, kind, past)
        elif past.bindings:
            self._show_without_device(kind, past)
        else:
            text = self.language.text
            advice = text("empty.no_such_asset_advice")
            self._now.content = card(empty("search_off", text("empty.no_such_asset"), advice))
        if self._chart is None and kind is not None:
            with self._chart_place:
                self._chart = Chart(self.frame, self.asset, kind)
        if self._chart is not None:
            await self._chart.refresh()

    async def _show(self, live: LiveDevice, kind: Kind | None, past: Past) -> None:
        city = await self.desk.city()
        self._head.content = self._head_html(live, kind, alarmed=self.asset in city.firing.assets)
        self._now.content = self._now_html(live, kind)
        self._control.content = self._control_html(live, kind, past)
        self._facts.content = self._facts_html(live, kind, past)
        self._alarms.content = self._alarms_html(past)
        self._audit.content = self._audit_html(kind, past)
        device = live.facts.device
        whole = await self.desk.shared(
            ("whole", self.asset), lambda: read_whole(self.desk, self.asset, device), WHOLE_EVERY_S
        )
        self._ledger.content = self._ledger_html(past, whole)
        self._identity.content = self.gap_words.identity_html(whole.alarms, device, whole.memories)

    def _show_without_device(self, kind: Kind | None, past: Past) -> None:
        """Its device was moved to another asset: what was here stays, what is now is not known."""
        text = self.language.text
        for part in (self._control, self._ledger, self._identity):
            part.content = ""
        self._head.content = h("div", h("h1", isolated(self.asset), class_="grow"), class_="page-head")
        advice = text("asset.no_device_advice")
        self._now.content = card(empty("link_off", text("asset.no_device"), advice), title=text("asset.now"))
        earlier = h("dl", self._earlier(past.bindings), class_="facts")
        self._facts.content = card(earlier, title=text("asset.facts"), symbol="info")
        self._alarms.content = self._alarms_html(past)
        self._audit.content = self._audit_html(kind, past)

    # -- cards

    def _head_html(self, live: LiveDevice, kind: Kind | None, *, alarmed: bool) -> Html:
        now_ms = self.desk.platform.clock.now_ms()
        facts = live.facts
        command = None
        if kind is not None and kind.targets:
            command = h(
                "a", self.language.text("asset.command"), href=f"{self.frame.root}/commands?asset={self.asset}",
                class_="press",
            )  # fmt: skip
        place = " · ".join(
            word
            for word in (
                self.pieces.kind_label(facts.kind),
                self.pieces.zone_label(facts.commune, facts.zone),
                self.pieces.commune_label(facts.commune),
            )
            if word
        )
        return h(
            "div",
            h(
                "div",
                h("h1", isolated(facts.name or facts.asset)),
                h("p", place, " · " if facts.name else None, code(facts.asset) if facts.name else None, class_="muted"),
                class_="grow",
            ),
            self.pieces.condition_chip(condition(kind, live, now_ms, alarmed=alarmed), kind),
            self.pieces.contact(live, now_ms),
            command,
            class_="page-head",
        )

    def _now_html(self, live: LiveDevice, kind: Kind | None) -> Html:
        text = self.language.text
        if not live.values:
            body = empty("sensors_off", text("empty.no_readings"), text("empty.no_readings_advice"))
        else:
            metrics = kind.metrics.values() if kind else ()
            body = h("div", [self.pieces.value_tile(metric, live) for metric in metrics], class_="tiles")
        return card(body, title=text("asset.now"), symbol="speed")

    def _control_html(self, live: LiveDevice, kind: Kind | None, past: Past) -> Html:
        text = self.language.text
        if kind is None or not kind.targets:
            return card(h("p", text("asset.no_targets"), class_="muted"), title=text("asset.control"), symbol="tune")
        parts = [self._target_html(name, live, kind, past) for name in kind.targets]
        return card(h("div", parts, class_="stack"), title=text("asset.control"), symbol="tune")

    def _target_html(self, target: str, live: LiveDevice, kind: Kind, past: Past) -> Html:
        """Reported, wished, and who lost: three different things, in this order."""
        text = self.language.text
        rows: list[Html] = []

        def fact(label: str, *content: Html | str | None) -> None:
            rows.extend((h("dt", label), h("dd", list(content))))

        reported = live.reported
        if reported is not None and target in reported.state:
            value = isolated(self.pieces.target_value(kind, target, reported.state[target]))
            who = self.language.word("value", reported.by.get(target, ""))
            at = self.pieces.age(live.reported_at_ms)
            fact(text("asset.reported"), h("strong", value), " · ", who, " ", h("span", at, class_="muted small"))
            if reported.result != "applied":
                fact(
                    text("asset.device_says"), self.language.word("result", reported.result), " ",
                    self.pieces.why(reported.code),
                )  # fmt: skip
        else:
            fact(text("asset.reported"), h("span", text("value.unknown"), class_="muted"))
        active = [row for row in past.intents if row.intent.target == target and row.step not in ENDED]
        idle = (Step.LOST, Step.VETOED)
        ruling = [row for row in active if row.step not in idle]
        leased = past.lease.targets.get(target) if past.lease else None
        if ruling:
            told_below = leased is not None and leased.intent == ruling[0].intent.intent
            self._ruling(ruling[0], kind, fact, told_below=told_below)
        else:
            fact(text("asset.ruling"), h("span", text("asset.nobody"), class_="muted"))
        if past.lease is not None and leased is not None:
            fact(text("asset.lease"), self.pieces.step_tag(past.lease.state), " ", self.pieces.why(past.lease.code))
        losers = [row for row in active if row.step in idle]
        if losers:
            fact(text("asset.losers"), h("div", [self._loser(row, kind) for row in losers], class_="stack"))
        title = h("h3", self.pieces.target_label(kind, target), class_="visually-hidden")
        return h("div", title, h("dl", rows, class_="facts"))

    def _ruling(self, row: IntentState, kind: Kind, fact: Any, *, told_below: bool) -> None:
        """Whose wish rules; how far it got, unless the line of its lease tells that better."""
        text = self.language.text
        intent = row.intent
        value = isolated(self.pieces.target_value(kind, intent.target, intent.to))
        progress = () if told_below else (self.pieces.step_tag(row.step), " ", self.pieces.why(row.why))
        fact(text("asset.ruling"), h("strong", value), " ", *progress)
        fact(text("asset.reason"), self.pieces.reason(intent.reason, intent.by))
        fact(text("asset.rank"), text(f"rank.{Rank(intent.rank).name.lower()}"))
        if intent.until_ms is not None:
            fact(text("asset.until"), self.pieces.until(intent.until_ms))
        else:
            fact(text("asset.until"), text("asset.until_withdrawn"))

    def _loser(self, row: IntentState, kind: Kind) -> Html:
        intent = row.intent
        value = isolated(self.pieces.target_value(kind, intent.target, intent.to))
        words = [value, " · ", self.pieces.reason(intent.reason, intent.by), " ", self.pieces.step_tag(row.step)]
        return h("div", words, h("div", self.pieces.why(row.why), class_="small"))

    def _facts_html(self, live: LiveDevice, kind: Kind | None, past: Past) -> Html:
        text = self.language.text
        facts = live.facts
        rows: list[Html] = []

        def fact(label: str, *content: Html | str | None) -> None:
            rows.extend((h("dt", label), h("dd", list(content))))

        fact(text("asset.device"), code(facts.device))
        if live.model or live.firmware:
            fact(text("asset.firmware"), code(" ".join(word for word in (live.model, live.firmware) if word)))
        if facts.lat is not None and facts.lon is not None:
            fact(text("asset.place"), code(f"{facts.lat:.5f}, {facts.lon:.5f}"))
        for name, value in facts.settings.items():
            setting = kind.settings.get(name) if kind else None
            if setting is not None:
                fact(self.language.label(setting.labels, name), isolated(self.language.setting(setting, value)))
        fact(text("asset.registered"), self.pieces.moment(facts.registered_at_ms))
        rows += self._earlier(past.bindings[:-1])
        return card(h("dl", rows, class_="facts"), title=text("asset.facts"), symbol="info")

    def _earlier(self, bindings: list[tuple[str, int, int | None]]) -> list[Html]:
        """The last devices that were on it, as rows of facts."""
        rows: list[Html] = []
        for device, start_ms, end_ms in bindings[-EARLIER_SHOWN:]:
            end = self.pieces.moment(end_ms) if end_ms is not None else None
            told = [code(device), " ", self.pieces.moment(start_ms), " – ", end]
            rows += (h("dt", self.language.text("asset.earlier")), h("dd", told))
        return rows

    def _alarms_html(self, past: Past) -> Html:
        text = self.language.text
        if past.alarms:
            link = h("a", text("map.all_alarms"), href=f"{self.frame.root}/alarms", class_="end")
            body = h("div", [self.pieces.alarm(row, with_asset=False, acting=False) for row in past.alarms])
            return card(body, title=text("nav.alarms"), symbol="notifications", end=link)
        return card(h("p", text("asset.no_alarms"), class_="muted"), title=text("nav.alarms"), symbol="notifications")

    def _audit_html(self, kind: Kind | None, past: Past) -> Html:
        text = self.language.text
        if kind is not None and not kind.targets:
            return Html("")
        if not past.decisions:
            return card(h("p", text("asset.no_audit"), class_="muted"), title=text("asset.audit"), symbol="history")
        rows = [self._audit_row(decision, kind) for decision in past.decisions]
        return card(h("ol", rows, class_="audit"), title=text("asset.audit"), symbol="history")

    def _audit_row(self, decision: Decision, kind: Kind | None) -> Html:
        value = self.pieces.target_value(kind, decision.target, decision.to) if decision.to is not None else ""
        return h(
            "li",
            h("span", self.pieces.age(decision.at_ms), class_="when"),
            h(
                "div",
                self.pieces.step_tag(decision.step), " ",
                h("strong", isolated(value)), " " if value else None,
                self.pieces.reason(decision.reason, decision.by),
                h("div", self.pieces.why(decision.why), class_="small") if decision.why else None,
            ),
        )  # fmt: skip

    def _ledger_html(self, past: Past, whole: Whole) -> Html:
        text = self.language.text
        if not past.streams:
            body = h("p", text("asset.no_ledger"), class_="muted")
        else:
            newest = sorted(past.streams, key=lambda row: -row.seen_at_ms)[:3]
            week, gaps = self.gap_words.week_html(whole.week), self.gap_words.gaps_html(whole)
            body = h("div", week, gaps, [self._stream_html(row) for row in newest], class_="stack")
        return card(body, title=text("asset.ledger"), symbol="fact_check")

    def _stream_html(self, row: LedgerRow) -> Html:
        holes = missing(row.have, row.gone)
        have = _sum(row.have)
        absent, gone = _sum(holes), _sum(row.gone)
        whole = max(1, have + absent + gone)
        bar = h(
            "div",
            [
                h("span", class_=name, style=f"width:{100 * part / whole:.2f}%")
                for name, part in (("have", have), ("missing", absent), ("gone", gone))
                if part
            ],
            class_="bar",
        )
        words = [self.language.count("ledger.have", have)]
        if absent:
            words.append(self.language.count("ledger.missing", absent))
        if gone:
            words.append(self.language.count("ledger.gone", gone))
        ranges = ", ".join(f"{a}–{b}" if a != b else str(a) for a, b in holes[:RANGES_SHOWN])
        return h(
            "div",
            h("div", code(row.stream), " ", h("span", " · ".join(words), class_="small"), style="margin-block-end:6px"),
            bar,
            h("div", self.language.text("ledger.ranges"), " ", code(ranges), class_="small muted") if holes else None,
        )


def read_past(desk: Desk, asset: str) -> Past:
    """All that is asked of the state for one asset, in one go."""
    platform = desk.platform
    live = platform.live.asset(asset)
    device = live.facts.device if live else ""
    leases = platform.state.leases(device=device)
    return Past(
        alarms=list(platform.state.alarms(asset=asset, limit=8)[1]),
        intents=list(platform.state.intents(asset=asset, living_first=True, limit=50)),
        decisions=list(platform.state.decisions(asset=asset, limit=AUDIT_SHOWN)),
        lease=leases[0] if leases else None,
        bindings=list(platform.state.bindings(asset)),
        streams=list(platform.ledger(device)),
    )


def _sum(spans: Any) -> int:
    return sum(end - start + 1 for start, end in spans)
