"""People's wishes as a live list: each with what became of it, and a way to take it back."""

from collections.abc import Sequence

from nicegui import events, ui

from console import acts
from console.markup import Html, h, isolated
from console.pages.frame import Frame, card, empty
from console.pages.pieces import CLICKS, button, cell, table
from console.problems import Problem
from console.wishes import WELL, Wish, read_wishes
from contract.decisions import Rank

SHOWN_MAX = 40
ASIDE_MAX = 5  # assets named one by one where it did not go well


class WishList:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk, self.language, self.pieces = frame.desk, frame.language, frame.pieces
        self._highlighted = ""
        self._list = ui.html("", sanitize=False).on("click", self._clicked, js_handler=CLICKS)
        self._past = ui.html("", sanitize=False)
        self._withdrawing = ""
        text = self.language.text
        with ui.dialog() as self._dialog, ui.card().classes("dialog"):
            ui.html(h("div", h("h2", text("wishes.withdraw")), h("p", text("wishes.withdraw_means"), class_="muted")),
                    sanitize=False)  # fmt: skip
            self._name = ui.input(text("form.your_name"), value=frame.operator).props("outlined maxlength=64 autofocus")
            self._name.on("keydown.enter", self._withdraw)
            self._faults = ui.html("", sanitize=False).classes("quiet")
            with ui.element("div").classes("buttons"):
                ui.button(text("form.cancel"), on_click=self._dialog.close).props("flat no-caps")
                ui.button(text("wishes.withdraw"), on_click=self._withdraw).props("unelevated no-caps color=negative")

    def highlight(self, intent: str) -> None:
        self._highlighted = intent

    async def refresh(self) -> None:
        wishes = await self.desk.shared("wishes", lambda: read_wishes(self.desk))
        running, past = wishes.running, wishes.past
        text = self.language.text
        nothing = empty("playlist_add_check", text("empty.no_wishes"), text("empty.no_wishes_advice"))
        body = self._table(running) if running else nothing
        if wishes.cut or len(running) > SHOWN_MAX:
            body = h("div", h("p", text("wishes.cut"), class_="muted small"), body)
        self._list.content = card(body, title=text("wishes.running"), symbol="play_circle")
        self._past.content = card(self._table(past), title=text("wishes.past"), symbol="history") if past else ""

    def _table(self, wishes: Sequence[Wish]) -> Html:
        text = self.language.text
        names = [text(f"wishes.{name}") for name in ("what", "where", "until", "reason", "result")]
        return table([*names, ""], [self._row(wish, names) for wish in wishes[:SHOWN_MAX]])

    def _row(self, wish: Wish, names: list[str]) -> Html:
        intent = wish.newest.intent
        live = self.desk.platform.live.asset(intent.asset)
        kind = self.desk.platform.kinds.get(live.facts.kind) if live else None
        value = self.pieces.target_value(kind, intent.target, intent.to)
        what = [
            h("strong", isolated(value)),
            h("div", self.pieces.target_label(kind, intent.target), class_="small muted"),
        ]
        if len(wish.parts) == 1:
            where = self.pieces.asset_link(intent.asset, live.facts if live else None)
        else:
            where = h("span", self.language.count("assets.count", len(wish.parts)))
        act = button(self.language.text("wishes.withdraw"), "withdraw", wish.id, danger=True) if wish.running else None
        by = h("div", isolated(intent.by), " · ", self.language.text(f"rank.{Rank(intent.rank).name.lower()}"),
               class_="small muted")  # fmt: skip
        return h(
            "tr",
            cell(names[0], *what),
            cell(names[1], where),
            cell(names[2], self.pieces.until(intent.until_ms) if intent.until_ms else "—"),
            cell(names[3], isolated(intent.reason), by),
            cell(names[4], self._result(wish)),
            cell("", act, class_="actions whole"),
            data_wish=wish.id,
            class_="highlight" if wish.id == self._highlighted else None,
        )

    def _result(self, wish: Wish) -> Html:
        aside = [part for part in wish.parts if part.step not in WELL]
        notes = []
        for part in aside[:ASIDE_MAX]:
            live = self.desk.platform.live.asset(part.asset)
            link = self.pieces.asset_link(part.asset, live.facts if live else None) if len(wish.parts) > 1 else None
            if link or part.why:
                notes.append(h("div", link, " " if link else None, self.pieces.why(part.why), class_="small"))
        if len(aside) > ASIDE_MAX:
            notes.append(h("div", f"+ {self.language.number(len(aside) - ASIDE_MAX)}", class_="small muted"))
        return h("div", self.pieces.results(wish), notes)

    def _clicked(self, event: events.GenericEventArguments) -> None:
        act, subject = event.args
        if act == "withdraw":
            self._withdrawing = str(subject)
            self._faults.content = ""
            self._dialog.open()

    async def _withdraw(self) -> None:
        try:
            await acts.withdraw(self.desk.platform, self._withdrawing, self._name.value or "")
        except Problem as problem:
            self.frame.show_problem(problem, self._faults)
            return
        self.frame.remember_operator(self._name.value or "")
        self._dialog.close()
        ui.notify(self.language.text("wishes.withdrawn"), type="positive")
        await self.refresh()
