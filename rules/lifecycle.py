"""What becomes of a condition over time: `for`, `keep_for`, alarms, intents and runs.

Theory of operation. Each (rule, asset) is in one phase. `step` is told the truth of the condition at a moment and
moves on; told the same again, it changes nothing unless a time has come, so calling it too often does no harm.

    IDLE ──true──▶ PENDING ──`for` over──▶ ACTIVE ──false──▶ KEEPING ──`keep_for` over──▶ IDLE
                      └──false──▶ IDLE        ▲────true─────────┘

Without `for` or `keep_for` a phase is passed through at once. ACTIVE is a firing alarm, or a target that is set.
Unknown stops the clock of PENDING and KEEPING: what has passed is kept, and goes on when the truth is known again.
An alarm that is ACTIVE stays so while the truth is unknown. A set that is ACTIVE lets its lease run out then
(IntentEnd with lapse), and sets anew when the truth is true again.

Targets that are not resumed (valves) get *runs*: an intent that ends by itself after `lease`. While ACTIVE a run
follows a run, after the rest that the asset's setting asks for, at most so many in the sliding window of `at_most`.
The window remembers runs whatever else happens to the rule: also when it is edited.
"""

from collections.abc import Callable, Mapping
from enum import Enum

import msgspec

from contract.decisions import Alarm, AlarmState, Intent, IntentEnd, Rank, identify
from rules.ruleset import Order, Rule

NEVER_MS = 2**62


class Phase(Enum):
    IDLE = 0
    PENDING = 1
    ACTIVE = 2
    KEEPING = 3


class Standing(msgspec.Struct):
    """How one rule stands on one asset."""

    content: str  # of the rule: an edited rule starts anew
    phase: Phase = Phase.IDLE
    since_ms: int = 0  # the condition became true
    passed_ms: int = 0  # of `for` or `keep_for`, before the clock was last started
    running_ms: int | None = None  # when that clock was last started; None while it stands still
    alarm: Alarm | None = None
    intent: Intent | None = None  # the last one that has not been withdrawn
    lapsed: bool = False  # it was left to run out
    runs: list[int] = []  # starts of runs within the window of `at_most`, oldest first
    rest_until_ms: int = 0  # no run starts before
    due_ms: int = NEVER_MS  # step again then, even when nothing has changed


class Outcome(msgspec.Struct):
    """What follows from one entry of the log."""

    alarms: list[Alarm] = []
    intents: list[Intent] = []
    ends: list[IntentEnd] = []

    def __bool__(self) -> bool:
        return bool(self.alarms or self.intents or self.ends)


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Who a rule is applied to."""

    asset: str
    device: str
    settings: Mapping[str, float | str]


def step(
    rule: Rule,
    standing: Standing,
    truth: bool | None,
    now_ms: int,
    before_ms: int,
    subject: Subject,
    because: Callable[[], str],
    outcome: Outcome,
) -> None:
    """Move `standing` on to `now_ms`; what follows goes into `outcome`.

    `before_ms` is the evaluation before this one: when the truth is now unknown, it was still known then.
    """
    if truth is None:
        _pause(standing, before_ms)
    elif truth:
        if standing.phase is Phase.IDLE:
            standing.phase = Phase.PENDING
            standing.since_ms, standing.passed_ms, standing.running_ms = now_ms, 0, now_ms
            if rule.alarm and rule.for_ms:
                standing.alarm = _pending(rule, standing, subject, because())
                outcome.alarms.append(standing.alarm)
        if standing.phase is Phase.PENDING and _passed(standing, now_ms) >= rule.for_ms:
            standing.phase = Phase.ACTIVE
            if rule.alarm:
                _fire(rule, standing, now_ms, subject, because(), outcome)
        elif standing.phase is Phase.KEEPING:
            standing.phase = Phase.ACTIVE
    else:
        _false(rule, standing, now_ms, outcome)
    if rule.order and standing.phase is Phase.ACTIVE:
        _set(rule, rule.order, standing, truth, now_ms, subject, outcome)
    standing.due_ms = _due(rule, standing, truth, now_ms)


def end(standing: Standing, now_ms: int, outcome: Outcome) -> None:
    """The rule no longer applies: its alarm resolves, its intent is withdrawn; runs and rest are remembered."""
    _resolve(standing, now_ms, outcome)
    _withdraw(standing, now_ms, outcome)
    standing.phase = Phase.IDLE
    standing.due_ms = NEVER_MS


# -------------------------------------------------------------------------------------------------------- the clock


def _passed(standing: Standing, now_ms: int) -> int:
    """How much of `for` or `keep_for` has passed; starts the clock where it stood still."""
    if standing.running_ms is None:
        standing.running_ms = now_ms
    return standing.passed_ms + now_ms - standing.running_ms


def _pause(standing: Standing, before_ms: int) -> None:
    if standing.phase in (Phase.PENDING, Phase.KEEPING) and standing.running_ms is not None:
        standing.passed_ms += max(0, before_ms - standing.running_ms)
        standing.running_ms = None


def _due(rule: Rule, standing: Standing, truth: bool | None, now_ms: int) -> int:
    if standing.phase is Phase.PENDING and standing.running_ms is not None:
        return standing.running_ms + rule.for_ms - standing.passed_ms
    if standing.phase is Phase.KEEPING and standing.running_ms is not None:
        return standing.running_ms + rule.keep_for_ms - standing.passed_ms
    if standing.phase is Phase.ACTIVE and truth and rule.order and not rule.order.resume:
        return _next_run_ms(rule.order, standing, now_ms)
    return NEVER_MS


# ------------------------------------------------------------------------------------------------------------ alarms


def _false(rule: Rule, standing: Standing, now_ms: int, outcome: Outcome) -> None:
    if standing.phase is Phase.ACTIVE and rule.keep_for_ms:
        standing.phase = Phase.KEEPING
        standing.passed_ms, standing.running_ms = 0, now_ms
    if standing.phase is Phase.KEEPING and _passed(standing, now_ms) < rule.keep_for_ms:
        return
    if standing.phase is not Phase.IDLE:
        _resolve(standing, now_ms, outcome)
        _withdraw(standing, now_ms, outcome)
        standing.phase = Phase.IDLE


def _pending(rule: Rule, standing: Standing, subject: Subject, because: str) -> Alarm:
    assert rule.alarm is not None
    return Alarm(
        alarm=identify(rule.name, subject.asset, standing.since_ms),
        rule=rule.name,
        device=subject.device,
        asset=subject.asset,
        kind=rule.kind,
        severity=rule.alarm.severity,
        state=AlarmState.PENDING,
        since_ms=standing.since_ms,
        text=rule.alarm.text,
        because=because,
    )


def _fire(rule: Rule, standing: Standing, now_ms: int, subject: Subject, because: str, outcome: Outcome) -> None:
    """Without `for` the alarm was never pending: it is made firing."""
    standing.alarm = msgspec.structs.replace(
        standing.alarm or _pending(rule, standing, subject, because),
        state=AlarmState.FIRING,
        fired_at_ms=now_ms,
        because=because,
        device=subject.device,
    )
    outcome.alarms.append(standing.alarm)


def _resolve(standing: Standing, now_ms: int, outcome: Outcome) -> None:
    if standing.alarm is not None:
        outcome.alarms.append(msgspec.structs.replace(standing.alarm, state=AlarmState.RESOLVED, resolved_at_ms=now_ms))
        standing.alarm = None


# ----------------------------------------------------------------------------------------------------------- intents


def _set(
    rule: Rule, order: Order, standing: Standing, truth: bool | None, now_ms: int, subject: Subject, outcome: Outcome
) -> None:
    if truth is None:
        if order.resume and standing.intent is not None and not standing.lapsed:
            outcome.ends.append(IntentEnd(intent=standing.intent.intent, lapse=True))
            standing.lapsed = True
    elif order.resume:
        if standing.intent is None or standing.lapsed:
            _intend(rule, order, standing, now_ms, None, subject, outcome)
    elif now_ms >= _next_run_ms(order, standing, now_ms):
        until_ms = now_ms + order.lease_ms
        _intend(rule, order, standing, now_ms, until_ms, subject, outcome)
        standing.runs.append(now_ms)
        standing.rest_until_ms = until_ms + _rest_ms(order, subject)


def _intend(
    rule: Rule, order: Order, standing: Standing, now_ms: int, until_ms: int | None, subject: Subject, outcome: Outcome
) -> None:
    standing.intent = Intent(
        intent=identify(rule.name, subject.asset, now_ms),
        asset=subject.asset,
        target=order.target,
        to=order.to,
        rank=Rank.RULE,
        reason=f"rule:{rule.name}",
        by=rule.name,
        decided_at_ms=now_ms,
        until_ms=until_ms,
        lease_ms=order.lease_ms if until_ms is None else None,
    )
    standing.lapsed = False
    outcome.intents.append(standing.intent)


def _withdraw(standing: Standing, now_ms: int, outcome: Outcome) -> None:
    """Withdraw what is still set. A run that is over has ended by itself; one cut short rests from now on."""
    intent, standing.intent = standing.intent, None
    standing.lapsed = False
    if intent is None or (intent.until_ms is not None and intent.until_ms <= now_ms):
        return
    outcome.ends.append(IntentEnd(intent=intent.intent, lapse=False))
    if intent.until_ms is not None:
        standing.rest_until_ms -= intent.until_ms - now_ms


def _next_run_ms(order: Order, standing: Standing, now_ms: int) -> int:
    """The first moment at which a run may start. Forgets runs that have left the window."""
    assert order.at_most is not None
    while standing.runs and standing.runs[0] <= now_ms - order.at_most.per_ms:
        del standing.runs[0]
    if len(standing.runs) < order.at_most.runs:
        return standing.rest_until_ms
    nth = standing.runs[len(standing.runs) - order.at_most.runs]
    return max(standing.rest_until_ms, nth + order.at_most.per_ms)


def _rest_ms(order: Order, subject: Subject) -> int:
    rest_s = subject.settings.get(order.rest_limit, 0.0) if order.rest_limit else 0.0
    return round(float(rest_s) * 1000)
