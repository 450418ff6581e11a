"""What stands in the log: every accepted input, and whatever else a decision depends on.

A replay of these records is the past, exactly. Each is a small tagged struct; the log adds its position and
``at_ms``, the city time of the append. All times are Unix milliseconds, UTC, in city time.
"""

from collections.abc import Mapping
from enum import IntFlag
from typing import Any

import msgspec

from contract.kind import Value


class Quality(IntFlag):
    """What is known against a reading; 0 is a reading without reproach. Stored with it, filterable everywhere."""

    GOOD = 0
    CLOCK_HELD = 1  # the device's clock was not set within the last day
    CLOCK_NONE = 2  # dated by the platform from the device's time since boot
    LATE = 4  # came later than the kind's `fresh`: corrects records, decides nothing
    RATE = 8  # changed faster than is credible
    STUCK = 16  # did not change for longer than is credible
    CLOCK_OFF = 32  # dated by the platform: the device's clock was measured, and is wrong
    DATED_ROUGHLY = 64  # its boot was never heard live: measured no later than said, perhaps long before


class Reading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The values of one device at one measured time. With its record's device and stream, seq is its name."""

    seq: int
    measured_at_ms: int
    values: Mapping[str, Value]  # only what was measured: unknown is absent
    quality: int = 0
    # What the device itself said, where the platform dated the reading: by a clock that is wrong (Unix ms), or, with
    # CLOCK_NONE, ms since boot.
    device_at_ms: int | None = None


class Telemetry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="telemetry", gc=False):
    """Accepted readings of one message, oldest first, without duplicates."""

    device: str
    asset: str
    kind: str
    stream: str
    boot: int
    readings: tuple[Reading, ...]
    # Where the asset stood when they were accepted: a thing that moves later takes its old readings nowhere.
    commune: str = ""
    zone: str = ""
    group: str = ""  # the value of its kind's `group` setting: the circuit of a lamp
    came_at_ms: int = 0  # when it came first, where that was before this append: it was in the quarantine since


class Status(msgspec.Struct, frozen=True, kw_only=True, tag="status"):
    """A birth or a will that is news (see wire: a lower (boot, n) is old and never gets here)."""

    device: str
    online: bool
    n: int
    boot: int
    measured_at_ms: int | None = None
    kind: str = ""
    model: str = ""
    firmware: str = ""
    reset: str = ""
    stream: str = ""
    period_s: int | None = None
    asleep_until_ms: int | None = None


class Reported(msgspec.Struct, frozen=True, kw_only=True, tag="reported"):
    """What a device says of its targets, in answer to a lease or when something changed by itself."""

    device: str
    n: int
    boot: int
    version: int  # of the lease it holds or answers; 0 when it holds none
    state: Mapping[str, float]  # target → present value; booleans as 0.0 or 1.0
    by: Mapping[str, str]  # target → lease, schedule, safe, interlock, local
    result: str  # applied, refused, stale, overridden, expired, interrupted
    code: str = ""
    measured_at_ms: int | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """The end of a call: done, failed, refused or expired."""

    device: str
    call: str
    status: str
    code: str = ""


class DeviceLog(msgspec.Struct, frozen=True, kw_only=True, tag="device_log"):
    """A remark of the device about itself."""

    device: str
    boot: int
    level: str
    event: str
    measured_at_ms: int | None = None


class Conflicted(msgspec.Struct, frozen=True, kw_only=True, tag="conflicted"):
    """A device gave names that are kept already to other readings. The readings are in the quarantine, this is the note
    for whoever decides: two nodes may share one memory."""

    device: str
    stream: str
    seq: int  # the first of them
    count: int = 1


TICK_MS = 10_000
"""City time between two ticks."""


class Tick(msgspec.Struct, frozen=True, kw_only=True, tag="tick"):
    """City time went on. Ticks come every `period_ms` while the platform lives; a hole between two is time it was away.

    The period is TICK_MS, longer only where a simulated city runs so fast that it would be no real time.
    """

    listening: bool  # the broker was connected: silence of a device counts
    period_ms: int = TICK_MS


class Registered(msgspec.Struct, frozen=True, kw_only=True, tag="registered"):
    """A device became known, or its facts changed (the whole new truth). Binds it to its asset from now on."""

    device: str
    kind: str
    commune: str
    asset: str
    zone: str = ""
    lat: float | None = None
    lon: float | None = None
    name: str = ""  # what people call the asset
    settings: Mapping[str, float | str] = {}  # complete and checked against the kind
    by: str = "system"


class Wished(msgspec.Struct, frozen=True, kw_only=True, tag="wished"):
    """An operator's, schedule's or emergency's wish for a target. Rules write none: theirs follow from the log."""

    intent: str  # id given when it was accepted, so that the same request twice is one wish
    assets: tuple[str, ...]
    target: str
    to: float
    until_ms: int
    rank: str  # decisions.Rank by name: maintenance, emergency, operator, event, schedule
    reason: str
    by: str


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True, tag="withdrawn"):
    """An operator took a wish back before its end."""

    intent: str
    by: str


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True, tag="acknowledged"):
    """A technician has seen an alarm. Seeing it is not resolving it."""

    alarm: str
    by: str


class RulesLoaded(msgspec.Struct, frozen=True, kw_only=True, tag="rules_loaded"):
    """The rules that hold from here on, as text, so that a replay judges by the rules of its day."""

    digest: str
    files: Mapping[str, str]


class LeaseSent(msgspec.Struct, frozen=True, kw_only=True, tag="lease_sent"):
    """The broker took a lease."""

    device: str
    version: int


class LeaseUnconfirmed(msgspec.Struct, frozen=True, kw_only=True, tag="lease_unconfirmed"):
    """The device did not answer a lease within the confirmation deadline (real time)."""

    device: str
    version: int
    waited_s: float


class QuarantineAct(msgspec.Struct, frozen=True, kw_only=True, tag="quarantine_act"):
    """Somebody had rows of the quarantine replayed, or dropped them. What was stored stands in the same append."""

    act: str  # replay, drop
    rows: int
    readings: int  # stored by a replay; of a drop: that count as gone from now on
    by: str
    what: str  # devices and codes


Record = (
    Telemetry
    | Status
    | Reported
    | Result
    | DeviceLog
    | Conflicted
    | Tick
    | Registered
    | Wished
    | Withdrawn
    | Acknowledged
    | RulesLoaded
    | LeaseSent
    | LeaseUnconfirmed
    | QuarantineAct
)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record in its place in the log."""

    position: int  # 1, 2, 3 … without holes
    at_ms: int  # city time of the append; never smaller than the one before
    record: Record


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Record)


def encode(record: Record) -> bytes:
    return _encoder.encode(record)


def decode(body: bytes) -> Record:
    """The record of `encode`. Raises msgspec.ValidationError for anything else."""
    record: Record = _decoder.decode(body)
    return record
