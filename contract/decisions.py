"""What follows from the log: alarms, intents, arbitration, leases. Ids are hashes of what caused them, never random."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from hashlib import blake2b

import msgspec

from contract.kind import Labels


def identify(*parts: object) -> str:
    """A 16-hex-digit id made from what caused a thing: the same cause has the same id, live or in a replay."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).hexdigest()


class Severity(StrEnum):
    """The gravest comes last."""

    INFO = "info"
    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


class AlarmState(StrEnum):
    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm of one rule on one subject, as it stands after the change that carries it.

    It becomes pending when `when` turns true and `for` is not over; firing after it; resolved in the end. A pending
    alarm whose condition ends resolves without ever having fired (fired_at_ms stays None).
    """

    alarm: str  # identify(rule, asset, since_ms)
    rule: str
    device: str
    asset: str
    kind: str
    severity: Severity
    state: AlarmState
    since_ms: int  # `when` became true (event time)
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    text: Labels = {}
    because: str = ""  # the condition with its values: level 1.0 > 0.2 and power_w 0.0 < 45.0


class Rank(IntEnum):
    """Who wins over whom: the larger rules. Interlocks are no rank: they clamp or veto whatever won."""

    DEFAULT = 0
    SCHEDULE = 10
    RULE = 20
    EVENT = 30
    OPERATOR = 40
    EMERGENCY = 50
    MAINTENANCE = 60


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for a target, before arbitration."""

    intent: str
    asset: str
    target: str
    to: float
    rank: Rank
    reason: str  # rule:dim_at_night, or the operator's words
    by: str  # who: rule name, operator name
    decided_at_ms: int  # time of the tick or reading that decided it
    until_ms: int | None = None  # None: it lives until it is withdrawn (rules only)
    lease_ms: int | None = None  # how long one lease of it runs; None: until `until_ms`
    wish: str = ""  # id of the operator's request it is part of (one request, several assets); empty for rules


class IntentEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A rule's intent ends: withdrawn (`when` is false: give way now) or lapsing (unknown: let the lease run out)."""

    intent: str
    lapse: bool


class Step(StrEnum):
    """What became of an intent or a lease; every one is a row in the audit."""

    WON = "won"  # rules the property now
    LOST = "lost"  # a higher or newer intent rules
    CLAMPED = "clamped"  # an interlock changed its value or length
    VETOED = "vetoed"  # an interlock, a stale cause or a missing fact forbids it
    LEASED = "leased"  # a lease was made
    SENT = "sent"  # the broker took it
    CONFIRMED = "confirmed"  # the device applied it
    REFUSED = "refused"  # the device said no, with a code
    OVERRIDDEN = "overridden"  # an interlock or a hand at the device rules
    UNCONFIRMED = "unconfirmed"  # no answer within the deadline
    INTERRUPTED = "interrupted"  # a reset ended a run that is not resumed
    WITHDRAWN = "withdrawn"  # the one who wished took it back
    EXPIRED = "expired"  # its time is over
    REPLAYED = "replayed"  # rows of the quarantine: what reads now is stored
    DROPPED = "dropped"  # rows of the quarantine: they are gone for good


OVER = frozenset({Step.VETOED, Step.REFUSED, Step.INTERRUPTED, Step.WITHDRAWN, Step.EXPIRED})
"""Steps after which an intent never changes again."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the audit: what happened to whose wish, when and why."""

    decision: str  # identify(position, n) of the entry that caused it
    at_ms: int
    asset: str
    device: str
    target: str
    step: Step
    intent: str = ""
    to: float | None = None
    until_ms: int | None = None
    version: int | None = None  # of the lease concerned
    reason: str = ""  # of the intent
    why: str = ""  # of this step: "lost to operator:amina (operator > rule)", "over_limit"
    by: str = ""


class LeaseTarget(msgspec.Struct, frozen=True, kw_only=True):
    to: float
    until_ms: int
    reason: str
    intent: str


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The whole desired state of one device, and how far it got."""

    device: str
    asset: str
    version: int
    issued_ms: int
    targets: Mapping[str, LeaseTarget]  # empty: everything is free again
    state: Step = Step.LEASED  # LEASED, SENT, CONFIRMED, REFUSED, OVERRIDDEN, UNCONFIRMED, INTERRUPTED, EXPIRED
    code: str = ""
    kind: str = ""  # of the device, so that whoever encodes the lease knows which targets are true or false


class IntentState(msgspec.Struct, frozen=True, kw_only=True):
    """An intent and what became of it last, for lists."""

    intent: Intent
    step: Step
    at_ms: int
    why: str = ""
