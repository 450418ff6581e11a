"""An asset's gaps and its node's memories in words: what is missing, gone or came late, and whether two nodes speak."""

import msgspec

from console.completeness import Fate, NamedGap, Sum, completeness, day_of, named_gaps
from console.desk import Desk
from console.language import Language
from console.markup import Html, code, h
from console.pages.frame import card
from console.platform import Platform
from contract.decisions import AlarmState
from contract.ports import AlarmRow
from contract.tally import By, Scope, StreamEnd
from rules.identity import RULE as TWO_NODES

WEEK_DAYS = 7
GAPS_SHOWN = 8
ALARMS_MAX = 100
TAGS = {Fate.OPEN: "critical", Fate.GONE: "", Fate.QUARANTINED: "minor", Fate.LATE: "good"}


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the completeness of one asset and of the memories of its node."""

    week: Sum  # of the last WEEK_DAYS local days
    gaps: list[NamedGap]  # opened last first
    gaps_number: int
    memories: list[StreamEnd]  # of the device on it now, heard last first
    alarms: list[AlarmRow]  # those that fire


def read_whole(desk: Desk, asset: str, device: str) -> Whole:
    """Raises OSError, Problem."""
    platform: Platform = desk.platform
    last = day_of(platform.clock.now_ms(), desk.zone)
    days = range(last - WEEK_DAYS + 1, last + 1)
    week = completeness(platform, desk.zone, By.ASSET, Scope(asset=asset), days).get((asset,), Sum())
    gaps = named_gaps(platform, Scope(asset=asset))
    gaps.sort(key=lambda part: part.fate is Fate.LATE)  # what came late is told after what is still owed
    return Whole(
        week=week,
        gaps=gaps[:GAPS_SHOWN],
        gaps_number=len(gaps),
        memories=list(platform.tally.book.ends(device)),
        alarms=list(platform.state.alarms(open_only=True, asset=asset, limit=ALARMS_MAX)[1]),
    )


class GapWords:
    def __init__(self, desk: Desk, language: Language) -> None:
        self.desk, self.language = desk, language

    def week_html(self, week: Sum) -> Html:
        """The share of the expected readings that came, in words and as a bar."""
        text, number = self.language.text, self.language.number
        ratio = week.completeness
        if ratio is None:
            return h("p", text("completeness.nothing"), class_="muted")
        words = text("completeness.week", share=share(self.language, ratio), had=number(week.had),
                     expected=number(week.expected))  # fmt: skip
        return h("div", h("p", h("strong", words)), bar(week))

    def gaps_html(self, whole: Whole) -> Html | None:
        if not whole.gaps:
            return None
        rest = whole.gaps_number - len(whole.gaps)
        more = h("li", self.language.count("gap.more", rest), class_="muted small") if rest else None
        return h("ul", [self._gap_html(part) for part in whole.gaps], more, class_="gaps")

    def _gap_html(self, part: NamedGap) -> Html:
        text = self.language.text
        gap = part.gap
        numbers = f"{gap.first}–{gap.last}" if gap.count > 1 else str(gap.first)
        return h(
            "li",
            h("span", text(f"gap.state_{part.fate}"), class_=f"tag {TAGS[part.fate]}".strip()),
            " ",
            h("span", self._sentence(part), class_="gap-words"),
            h("div", text(f"gap.means_{part.fate}"), " ", code(f"{gap.stream} {numbers}"), class_="small muted"),
            data_gap=part.fate.value,
        )

    def _sentence(self, part: NamedGap) -> str:
        """How many readings, between which times."""
        gap, language = part.gap, self.language
        count = language.count(f"gap.count_{part.fate}", gap.count)
        end = language.moment(gap.to_ms, self.desk.zone)
        if gap.from_ms is None:
            return language.text("gap.before", count=count, end=end)
        start = language.moment(gap.from_ms, self.desk.zone)
        if start == end:
            return language.text("gap.at", count=count, at=start)
        return language.text("gap.between", count=count, start=start, end=end)

    def identity_html(self, alarms: list[AlarmRow], device: str, memories: list[StreamEnd]) -> Html:
        """Two nodes under one name, with what to do; or since when the node counts anew; or nothing."""
        text = self.language.text
        firing = [row for row in alarms if row.alarm.rule == TWO_NODES and row.alarm.state is AlarmState.FIRING]
        if firing:
            heard = [
                h("li", code(end.stream), " ", text("identity.heard"), " ",
                  self.language.moment(end.heard_ms, self.desk.zone))
                for end in memories[:2]
            ]  # fmt: skip
            steps = [h("li", text(f"identity.step_{step}", device=device)) for step in ("find", "rotate", "flash")]
            body = (
                h("p", text("identity.two", device=firing[0].alarm.device)),
                h("ul", heard),
                h("p", h("strong", text("identity.what_to_do"))),
                h("ol", steps),
            )
            return card(*body, title=text("identity.title"), symbol="warning")
        by_birth = sorted(memories, key=lambda end: end.began_ms)
        if len(by_birth) < 2 or by_birth[-2].heard_ms > by_birth[-1].heard_ms:
            return Html("")
        former, now = by_birth[-2], by_birth[-1]
        words = text("identity.anew", at=self.language.moment(now.began_ms, self.desk.zone))
        streams = (code(former.stream), " → ", code(now.stream))
        return card(
            h("p", words), h("p", streams, class_="small muted"), title=text("identity.memory"), symbol="memory"
        )


def share(language: Language, ratio: float) -> str:
    """Percent that never rounds up to a whole that is none."""
    percent = int(ratio * 1000) / 10
    return language.quantity(percent / 100, "ratio") if percent in (0, 100) else f"{language.number(percent, 1)}\u00a0%"


def bar(one: Sum) -> Html:
    whole = max(1, one.expected)
    parts = (("have", one.had), ("missing", one.missing), ("gone", one.gone))
    return h(
        "div",
        [h("span", class_=name, style=f"width:{100 * part / whole:.2f}%") for name, part in parts if part],
        class_="bar",
    )
