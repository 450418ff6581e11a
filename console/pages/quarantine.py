"""Quarantine: what could not be read, why, and the two things to do with it. Both ask for a name first."""

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any

from fastapi import Request
from nicegui import events, ui

from console import quarantine_acts
from console.desk import Desk
from console.language import Language
from console.markup import Html, code, h, icon, isolated
from console.pages.frame import Frame, card, empty
from console.pages.pieces import CLICKS, button, cell, table
from console.problems import Problem
from console.troubles import filled_by
from contract.quarantine import INTERNAL_ERROR, STORE_REFUSED, Quarantined, QuarantineUse, Wanted
from contract.wire.messages import FAULT_CODES

SHOWN = 50
ACTS_SHOWN = 10
PAYLOAD_SHOWN = 4_000  # characters of a payload, in its dialog
HEX_BYTES = 512
HOUR_MS = 3_600_000
SINCE_MS = {"ever": inf, "hour": HOUR_MS, "day": 24 * HOUR_MS, "week": 168 * HOUR_MS}


def build(desk: Desk, language: Language, request: Request) -> Frame:
    frame = Frame(desk, language, "health", request)
    QuarantinePage(frame)
    return frame


class QuarantinePage:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        self._code = self._device = ""
        self._since = "ever"
        self._before: int | None = None
        text = self.language.text
        frame.title(text("quarantine.title"))
        ui.html(h("h1", text("quarantine.title")), sanitize=False)
        ui.html(h("p", text("quarantine.means"), class_="muted"), sanitize=False)
        self._room = ui.html("", sanitize=False)
        self._build_filters()
        self._list = ui.html("", sanitize=False).on("click", self._clicked, js_handler=CLICKS)
        self._acts = ui.html("", sanitize=False).classes("audit")
        self._detail = Detail(frame, self._ask)
        self._confirm = Confirm(frame, self.refresh)
        frame.live(self.refresh)

    def _build_filters(self) -> None:
        text = self.language.text
        codes = {"": text("quarantine.all_codes")}
        codes |= {name: self.language.word("wire", name) for name in (*FAULT_CODES, INTERNAL_ERROR, STORE_REFUSED)}
        with ui.element("div").classes("filters"):
            self._choice(codes, "", text("quarantine.code"), "_code")
            self._choice({name: text(f"quarantine.since_{name}") for name in SINCE_MS}, "ever",
                         text("quarantine.since"), "_since")  # fmt: skip
            ui.input(text("quarantine.device"), on_change=self._chosen("_device")).props(
                "outlined dense clearable debounce=300 maxlength=32"
            ).classes("search")
            ui.button(text("quarantine.replay_all"), on_click=lambda: self._ask("replay", None)).props(
                "unelevated no-caps"
            ).mark("replay-all")
            ui.button(text("quarantine.drop_all"), on_click=lambda: self._ask("drop", None)).props(
                "flat no-caps color=negative"
            ).mark("drop-all")

    def _choice(self, options: dict[str, str], value: str, label: str, field: str) -> None:
        ui.select(options, label=label, value=value, on_change=self._chosen(field)).props(
            "outlined dense options-dense"
        )

    def _chosen(self, field: str) -> Callable[[events.ValueChangeEventArguments[Any]], Awaitable[None]]:
        async def chosen(event: events.ValueChangeEventArguments[Any]) -> None:
            setattr(self, field, (event.value or "").strip())
            self._before = None
            await self.refresh()

        return chosen

    def _wanted(self) -> Wanted:
        since_ms = max(0, self.desk.platform.clock.now_ms() - SINCE_MS[self._since or "ever"])
        return Wanted(code=self._code, device=self._device, since_ms=int(since_ms))

    async def refresh(self) -> None:
        log, state = self.desk.platform.log, self.desk.platform.state
        wanted, before = self._wanted(), self._before
        key = ("quarantine", self._code, self._device, self._since, before)
        total, rows = await self.desk.shared(
            key,
            lambda: (
                log.quarantine_rows.count(wanted),
                list(log.quarantine_rows.page(SHOWN + 1, before=before, wanted=wanted)),
            ),
        )
        self._list.content = card(self._body(total, rows))
        self._room.content = room_html(self.language, log.quarantine_rows.use())
        acts = await self.desk.shared("quarantine acts", lambda: list(state.decisions(asset="", limit=ACTS_SHOWN)))
        lines = [
            h("li", self.pieces.step_tag(act.step), " ", isolated(act.by), " · ", self.pieces.age(act.at_ms),
              h("div", code(act.reason), " ", code(act.why), class_="small muted"))
            for act in acts
        ]  # fmt: skip
        text = self.language.text
        body = h("ul", lines) if lines else h("p", text("quarantine.no_acts"), class_="muted small")
        self._acts.content = card(body, title=text("quarantine.acts"), symbol="history")

    def _body(self, total: int, rows: list[Quarantined]) -> Html:
        text = self.language.text
        if not rows:
            if self._code or self._device or self._since != "ever":
                return empty("filter_alt_off", text("empty.nothing_found"), text("empty.nothing_found_advice"))
            return empty("verified", text("empty.no_quarantine"), text("empty.no_quarantine_advice"))
        names = [text(f"quarantine.{name}") for name in ("when", "from", "code")]
        lines = [self._row(row, names) for row in rows[:SHOWN]]
        older = button(text("quarantine.older"), "older", str(rows[SHOWN - 1].number)) if len(rows) > SHOWN else None
        newest = button(text("quarantine.newest"), "newest", "") if self._before is not None else None
        return h(
            "div",
            h("p", self.language.count("quarantine.count", total), class_="muted small"),
            table([*names, ""], lines),
            h("div", newest, " ", older),
        )

    def _row(self, row: Quarantined, names: Sequence[str]) -> Html:
        text = self.language.text
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
            cell("", button(text("quarantine.look"), "look", str(row.number)), class_="actions whole"),
            data_row=row.number,
        )

    async def _clicked(self, event: events.GenericEventArguments) -> None:
        act, subject = event.args
        if act == "look":
            await self._detail.open(int(subject))
        elif act in ("older", "newest"):
            self._before = int(subject) if act == "older" else None
            await self.refresh()

    async def _ask(self, act: str, number: int | None) -> None:
        """`number`: of one row; None: all that match and are there now."""
        table = self.desk.platform.log.quarantine_rows
        wanted = self._wanted()
        if number is not None:
            self._confirm.open(act, 1, wanted, [number], None)
            return
        newest, rows = await self.desk.run(lambda: (table.page(1, wanted=wanted), table.count(wanted)))
        if newest:
            self._confirm.open(act, rows, wanted, None, newest[0].number)


def room_html(language: Language, use: QuarantineUse) -> Html:
    """How full it is, and who fills it."""
    told = [h("li", isolated(filled_by(language, device)), data_filled=device) for device, _ in use.full]
    used, most = language.number(use.bytes / 1e6, 1), language.number(use.bytes_max / 1e6)
    return h(
        "div",
        h("p", language.text("quarantine.room", used=used, most=most), class_="muted small"),
        h("div", icon("warning"), h("ul", told), class_="banner", role="alert") if told else None,
    )


class Detail:
    """One row, whole: why it is there and what came, as hex where it is no text."""

    def __init__(self, frame: Frame, ask: Callable[[str, int | None], Awaitable[None]]) -> None:
        self.frame, self._ask = frame, ask
        self._number = 0
        text = frame.language.text
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            self._what = ui.html("", sanitize=False)
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                ui.button(text("quarantine.drop"), on_click=lambda: self._act("drop")).props(
                    "flat no-caps color=negative"
                )
                ui.button(text("quarantine.replay"), on_click=lambda: self._act("replay")).props("unelevated no-caps")

    async def open(self, number: int) -> None:
        desk = self.frame.desk
        rows = await desk.run(lambda: desk.platform.log.quarantine_rows.rows([number]))
        if rows:
            self._number = number
            self._what.content = self._html(rows[0])
            self._dialog.open()

    async def _act(self, act: str) -> None:
        self._dialog.close()
        await self._ask(act, self._number)

    def _html(self, row: Quarantined) -> Html:
        text = self.frame.language.text
        facts: list[Html] = []
        for name, value in (
            (text("quarantine.topic"), code(row.topic)),
            (text("quarantine.seqs"), code(", ".join(map(str, row.seqs)) if row.seqs else str(row.seq or ""))),
        ):
            facts += (h("dt", name), h("dd", value))
        return h(
            "div",
            h("h2", self.frame.language.word("wire", row.code)),
            h("p", h("bdi", row.sentence, dir="ltr")),
            h("dl", facts, class_="facts"),
            h("pre", readable(row.payload), class_="payload", dir="ltr"),
            h("a", text("quarantine.raw"), href=f"/api/v1/quarantine/{row.number}/raw", download=True),
            class_="stack",
        )


def readable(payload: bytes) -> str:
    """Text as it is; anything else as hex. Cut where it is long: the bytes can be had whole."""
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if all(one.isprintable() or one in "\n\t" for one in text):
        return text[:PAYLOAD_SHOWN] + ("…" if len(text) > PAYLOAD_SHOWN else "")
    return payload[:HEX_BYTES].hex(" ") + (" …" if len(payload) > HEX_BYTES else "")


class Confirm:
    """Says what it does, asks for a name, does it."""

    def __init__(self, frame: Frame, done: Callable[[], Awaitable[None]]) -> None:
        self.frame, self._done = frame, done
        self._act = ""
        self._wanted = Wanted()
        self._numbers: list[int] | None = None
        self._upto: int | None = None
        text = frame.language.text
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            self._what = ui.html("", sanitize=False)
            self._name = ui.input(text("form.your_name"), value=frame.operator).props("outlined maxlength=64 autofocus")
            self._faults = ui.html("", sanitize=False).classes("quiet")
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                self._button = ui.button("", on_click=self._send).props("unelevated no-caps").mark("confirm")

    def open(self, act: str, rows: int, wanted: Wanted, numbers: list[int] | None, upto: int | None) -> None:
        language = self.frame.language
        self._act, self._wanted, self._numbers, self._upto = act, wanted, numbers, upto
        self._faults.content = ""
        word = language.text(f"quarantine.{act}")
        self._button.text = word
        self._what.content = h(
            "div",
            h("h2", f"{word}: {language.count('quarantine.count', rows)}"),
            h("p", language.text(f"quarantine.{act}_means"), class_="muted small"),
        )
        self._dialog.open()

    async def _send(self) -> None:
        self._button.disable()
        done = None
        try:
            by = self._name.value or ""
            async for so_far in quarantine_acts.in_parts(
                self.frame.desk.platform, self._act, by, self._wanted, numbers=self._numbers, upto=self._upto
            ):
                done = so_far
        except Problem as problem:
            self.frame.show_problem(problem, self._faults, self._told(done) if done else "")
            return
        finally:
            self._button.enable()
        self.frame.remember_operator(by)
        self._dialog.close()
        ui.notify(self._told(done or quarantine_acts.Done()), type="positive")
        await self._done()

    def _told(self, done: quarantine_acts.Done) -> str:
        language, number = self.frame.language, self.frame.language.number
        if self._act == "drop":
            return language.count("quarantine.dropped", done.dropped)
        counts = language.text("quarantine.replayed", stored=number(done.stored), stay=number(done.stay))
        return f"{counts} {done.why}".rstrip()
