"""Small pieces that several pages show the same way: ages, values, conditions, alarms."""

from collections import Counter
from collections.abc import Iterable

from console.because import because
from console.conditions import Condition
from console.desk import Desk
from console.explain import explain
from console.language import Language, local
from console.live import Contact, Latest, LiveDevice
from console.markup import Html, code, h, isolated
from console.wishes import Wish
from contract.decisions import Alarm, AlarmState, Severity, Step
from contract.kind import Kind, Metric
from contract.ports import AlarmRow, Device
from contract.quality import words as quality_words

SUMMARY_VALUES = 3
STEP_TAGS = {
    Step.CONFIRMED: "good",
    Step.REFUSED: "critical",
    Step.VETOED: "critical",
    Step.UNCONFIRMED: "major",
    Step.OVERRIDDEN: "major",
    Step.INTERRUPTED: "major",
    Step.CLAMPED: "minor",
    Step.WON: "info",
    Step.LEASED: "info",
    Step.SENT: "info",
}


class Pieces:
    def __init__(self, desk: Desk, language: Language) -> None:
        self.desk = desk
        self.language = language
        self.root = f"/{language.code}"

    def age(self, ms: int | None) -> Html:
        """How long ago, ticking in the browser; the moment itself on hover."""
        if ms is None:
            return h("span", self.language.text("age.never"))
        moment = self.language.moment(ms, self.desk.zone)
        return h("time", moment, data_at=ms, title=moment, class_="num")

    def length(self, ms: int | None) -> Html:
        """For how long now, ticking in the browser: what stands behind "since" or "for"."""
        if ms is None:
            return h("span", self.language.text("age.never"))
        moment = self.language.moment(ms, self.desk.zone)
        return h("time", moment, data_at=ms, data_form="length", title=moment, class_="num")

    def until(self, ms: int) -> Html:
        """When it ends, by the site's clock, and how long that is from now."""
        moment = local(ms, self.desk.zone)
        today = local(self.desk.platform.clock.now_ms(), self.desk.zone)
        written = f"{moment:%H:%M}" if moment.date() == today.date() else f"{moment:%d/%m %H:%M}"
        return h("span", h("bdi", written, class_="num"), " · ", self.age(ms))

    def moment(self, ms: int) -> Html:
        return h("span", self.language.moment(ms, self.desk.zone), class_="num", dir="ltr")

    def asset_link(self, asset: str, device: Device | None = None) -> Html:
        name = device.name if device and device.name else asset
        return h("a", isolated(name), href=f"{self.root}/assets/{asset}", class_="name")

    def kind_label(self, kind: str) -> str:
        found = self.desk.platform.kinds.get(kind)
        return self.language.label(found.labels, kind) if found else kind

    def zone_label(self, commune: str, zone: str) -> str:
        for site in self.desk.platform.sites:
            if site.commune == commune:
                for known in site.zones:
                    if known.zone == zone:
                        return self.language.label(known.labels, zone)
        return zone

    def commune_label(self, commune: str) -> str:
        for site in self.desk.platform.sites:
            if site.commune == commune:
                return self.language.label(site.labels, commune)
        return commune

    def condition_chip(self, condition: Condition, kind: Kind | None = None) -> Html:
        return h("span", h("span", class_=f"dot is-{condition}"), self.condition_word(condition, kind), class_="chip")

    def condition_word(self, condition: Condition, kind: Kind | None = None) -> str:
        """An open valve is open, not on."""
        target = next(iter(kind.targets.values()), None) if kind else None
        if target is not None and target.type == "boolean" and condition in (Condition.ON, Condition.OFF):
            return self.language.text("condition.open" if condition is Condition.ON else "condition.closed")
        return self.language.text(f"condition.{condition}")

    def contact(self, live: LiveDevice, now_ms: int) -> Html:
        """On line, asleep until, no contact since: never a bare word where a time is known."""
        text = self.language.text
        contact = live.contact(now_ms)
        since = live.silent_since_ms()
        if contact is Contact.NEVER:
            return h("span", text("contact.never"), class_="tag major")
        if contact is Contact.ASLEEP and live.asleep_until_ms is not None:
            return h("span", text("contact.asleep"), " ", self.age(live.asleep_until_ms), class_="tag info")
        if contact is Contact.LOST:
            return h("span", text("contact.lost"), " ", self.length(since), class_="tag major")
        return h("span", text("contact.online"), " · ", self.age(since), class_="tag good")

    def value_tile(self, metric: Metric, live: LiveDevice) -> Html:
        """One metric: its value with its age. Never measured, too old and zero each look like what they are."""
        latest = live.values.get(metric.name)
        label = self.language.label(metric.labels, metric.name)
        if latest is None:
            return h(
                "div",
                h("div", label, class_="label"),
                h("div", self.language.text("value.unknown"), class_="value unknown"),
                h("div", self.language.text("value.never_measured"), class_="under"),
                class_="tile",
                data_metric=metric.name,
            )
        return h(
            "div",
            h("div", label, class_="label"),
            h("div", isolated(self.language.value(metric, latest.value)), class_="value"),
            h("div", self.age(latest.measured_at_ms), self._stale_word(), self.quality(latest), class_="under"),
            class_="tile",
            data_metric=metric.name,
            data_stale=live.stale_at_ms(latest, self.desk.platform.clock.now_ms()),
        )

    def summary(self, kind: Kind | None, live: LiveDevice) -> Html:
        """The first few values of a kind, each with its name; too old ones struck through."""
        shown, now_ms = [], self.desk.platform.clock.now_ms()
        for metric in list(kind.metrics.values())[: SUMMARY_VALUES + 1] if kind else ():
            latest = live.values.get(metric.name)
            if latest is None or metric.name.endswith("_by"):
                continue
            label = self.language.label(metric.labels, metric.name)
            value = h("span", isolated(self.language.value(metric, latest.value)), class_="value num")
            stale_ms = live.stale_at_ms(latest, now_ms)
            shown.append(h("span", h("span", label, class_="small muted"), " ", value, data_stale=stale_ms))
        if not shown:
            return h("span", self.language.text("value.none_yet"), class_="muted")
        return h("span", shown[:SUMMARY_VALUES], class_="values")

    def quality(self, latest: Latest) -> Html | None:
        words = [self.language.word("quality", word) for word in quality_words(latest.quality)]
        return h("span", "; ".join(words), class_="tag minor") if words else None

    def _stale_word(self) -> Html:
        return h("span", self.language.text("value.stale"), class_="stale-word")

    def severity_tag(self, severity: Severity) -> Html:
        return h("span", self.language.text(f"severity.{severity}"), class_=f"tag {severity}")

    def step_tag(self, step: Step) -> Html:
        return h("span", self.language.text(f"step.{step}"), class_=f"tag {STEP_TAGS.get(step, '')}".strip())

    def why(self, why: str) -> Html | None:
        """A reason of the machine: its code in the language where there is a word for it, else as it is."""
        if not why:
            return None
        word = explain(self.language, self.desk.platform.kinds, self.desk.zone, why)
        return h("span", word, class_="muted", title=why) if word is not None else code(why)

    def reason(self, reason: str, by: str) -> Html:
        """Why and who: a person's words and name, or the rule's name once."""
        if reason == f"rule:{by}":
            return h("span", self.language.text("rank.rule"), " ", code(by))
        return h("span", isolated(reason), " · " if reason and by else None, isolated(by))

    def target_label(self, kind: Kind | None, target: str) -> str:
        found = kind.targets.get(target) if kind else None
        return self.language.label(found.labels, target) if found else target

    def target_value(self, kind: Kind | None, target: str, to: float | None) -> str:
        metric = kind.metrics.get(target) if kind else None
        if to is None:
            return self.language.text("value.unknown")
        if metric is None:
            return self.language.number(to, 2)
        if metric.type == "boolean":
            return self.language.text("value.opened" if to else "value.closed")
        return self.language.value(metric, to)

    def alarm(self, row: AlarmRow, *, with_asset: bool = True, acting: bool = True) -> Html:
        alarm = row.alarm
        live = self.desk.platform.live.asset(alarm.asset)
        resolved = alarm.state is AlarmState.RESOLVED
        meta = [
            h("span", self.language.text("alarms.since"), " ", self.length(alarm.since_ms)),
            h("span", self.kind_label(alarm.kind)),
            h("span", self.zone_label(live.facts.commune, live.facts.zone)) if live and live.facts.zone else None,
        ]
        if alarm.resolved_at_ms is not None:
            meta.append(h("span", self.language.text("alarms.resolved"), " ", self.age(alarm.resolved_at_ms)))
        if row.acknowledged_by is not None:
            seen = self.language.text("alarms.acknowledged_by")
            meta.append(h("span", seen, " ", isolated(row.acknowledged_by), " ", self.age(row.acknowledged_at_ms)))
        return h(
            "article",
            h("span", class_="stripe"),
            h(
                "div",
                h(
                    "div",
                    self.severity_tag(alarm.severity),
                    h("span", self.language.label(alarm.text, alarm.rule), class_="name"),
                    self.asset_link(alarm.asset, live.facts if live else None) if with_asset else None,
                    h("span", self.language.text(f"alarm_state.{alarm.state}"), class_="tag") if resolved else None,
                    class_="head",
                ),
                h("div", meta, class_="meta"),
                self._because(alarm) if alarm.because else None,
            ),
            h("div", self._acknowledge_button(row) if acting else None, class_="actions"),
            class_=f"alarm {alarm.severity}{' resolved' if resolved else ''}",
            data_alarm=alarm.alarm,
        )

    def _because(self, alarm: Alarm) -> Html:
        """The values that caused it in the reader's words, the rule's on hover; or these where there are no words."""
        said = because(self.language, self.desk.platform.kinds.get(alarm.kind), alarm.because)
        shown = isolated(said) if said is not None else code(alarm.because)
        heading = self.language.text("alarms.because")
        return h("div", heading, " ", shown, class_="because small", title=alarm.because if said is not None else None)

    def running(self, wish: Wish) -> Html:
        """A wish in two lines: what, where, why, until when, and how it went."""
        intent = wish.newest.intent
        live = self.desk.platform.live.asset(intent.asset)
        kind = self.desk.platform.kinds.get(live.facts.kind) if live else None
        where: Html | str = self.language.count("assets.count", len(wish.parts))
        if len(wish.parts) == 1:
            where = self.asset_link(intent.asset, live.facts if live else None)
        value = h("strong", isolated(self.target_value(kind, intent.target, intent.to)))
        until = [self.language.text("asset.until"), " ", self.until(intent.until_ms)] if intent.until_ms else None
        return h(
            "div",
            h(
                "div",
                h("div", value, " · ", self.target_label(kind, intent.target), " · ", where),
                h("div", self.reason(intent.reason, intent.by), class_="small muted"),
                h("div", until, class_="small muted"),
            ),
            h("div", self.results(wish)),
            class_="wish",
        )

    def results(self, wish: Wish) -> Html:
        """How far it got: one tag a step, with how many assets are there."""
        counts = Counter(part.step for part in wish.parts)
        tags = []
        for step in Step:
            if counts[step]:
                number = f"{self.language.number(counts[step])} × " if len(wish.parts) > 1 else ""
                tags.append(h("span", number, self.step_tag(step)))
        return h("div", tags, class_="steps")

    def _acknowledge_button(self, row: AlarmRow) -> Html | None:
        if row.acknowledged_at_ms is not None or row.alarm.state is not AlarmState.FIRING:
            return None
        return button(self.language.text("alarms.acknowledge"), "acknowledge", row.alarm.alarm)


def button(label: str, act: str, subject: str, *, danger: bool = False) -> Html:
    """A button inside HTML: `clicks` hands (act, subject) to the page."""
    return h(
        "button",
        label,
        type="button",
        class_="press danger" if danger else "press",
        data_act=act,
        data_subject=subject,
    )


def table(columns: Iterable[str], rows: Iterable[Html]) -> Html:
    """A list that becomes cards on a phone: each cell carries its column's name."""
    head = h("thead", h("tr", [h("th", column, scope="col") for column in columns]))
    return h("div", h("table", head, h("tbody", list(rows)), class_="list"), class_="table-wrap")


def cell(label: str, *content: Html | str | int | None, class_: str | None = None) -> Html:
    return h("td", h("div", list(content)), data_label=label, class_=class_)


CLICKS = """(event) => {
  const button = event.target.closest('[data-act]');
  if (button) emit(button.dataset.act, button.dataset.subject);
}"""
"""For `ui.html(...).on("click", handler, js_handler=CLICKS)`: one listener for all buttons inside."""
