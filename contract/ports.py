"""The doors to the outside world, as Protocols. `adapters/` implements them; nobody else knows who is behind one."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from contract.clocks import Skew
from contract.decisions import Alarm, Decision, IntentState, Lease, Severity
from contract.kind import Value
from contract.log_gauge import LogGauge
from contract.losses import KeepsLoss
from contract.quarantine import Quarantined, QuarantineRows, Settled
from contract.questions import Question
from contract.records import Entry, Reading, Record, Registered, Telemetry

# ---------------------------------------------------------------------------------------------------------- time


class Clock(Protocol):
    """The one city clock. City time may run faster than real time; monotonic time is always real."""

    speed: float  # city seconds per real second

    def now_ms(self) -> int:
        """City time, Unix ms UTC."""

    def monotonic_s(self) -> float:
        """Real seconds since some fixed moment; never goes back."""


# ----------------------------------------------------------------------------------------------------------- log


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of one (device, stream): inclusive ranges, sorted, disjoint, not touching."""

    device: str
    stream: str
    have: tuple[tuple[int, int], ...]  # stored or quarantined: never needed again
    gone: tuple[tuple[int, int], ...]  # the device said they will never come
    boots: Mapping[int, int] = {}  # boot → offset (ms) that dates its `up` times, fixed once
    rough: Mapping[int, int | None] = {}  # boot never heard live → how much earlier it may have been (ms), if known
    skews: tuple[Skew, ...] = ()  # of clocks that were found wrong
    told: tuple[int, int] | None = None  # (boot, ms): at birth its clock was ahead by so much, as none can be by delay
    seen_at_ms: int = 0
    # What was last heard on `status` and `reported` of the device since this stream was born there.
    status: tuple[int, int, int] | None = None  # (boot, n, 1 for a will: it comes after the birth of its n)
    reported: tuple[int, int] | None = None  # (boot, n)
    born_at_ms: int = 0  # when its last birth came; of a device's streams the one born last orders its messages


class LogFull(Exception):
    """The log has reached its bound and its slowest consumer is behind: nothing can be kept until there is room."""


class Log(LogGauge, Protocol):
    """The ordered, durable record of all accepted input, with the ledger and the quarantine in one transaction.

    Appends come from several threads and are ordered by the log. Positions are 1, 2, 3 … without holes.
    """

    @property
    def quarantine_rows(self) -> QuarantineRows: ...

    def append(
        self,
        records: Sequence[Record],
        at_ms: int,
        *,
        ledger: Iterable[LedgerRow] = (),
        quarantine: Iterable[Quarantined] = (),
        settled: Iterable[Settled] = (),
        counts: Mapping[str, int] | None = None,
        once: str = "",
    ) -> int:
        """Make all of it durable (fsync) or none; return the last position.

        `settled` rows of the quarantine change or go in the same transaction; QuarantineChanged when one of them is
        not there any more.

        `counts` are added to the named durable counters. `once` names a counter of quarantine rows that may be handed
        over again, by a consumer that begins anew: it grows by those that are new only, and a row that is there already
        keeps its count. Raises LogFull, or OSError when the disk refuses.
        """

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        """Up to `limit` entries behind position `after`, in order; empty when there are none."""

    def last(self) -> int:
        """The last durable position; 0 for an empty log."""

    def reading(self, device: str, stream: str, seq: int) -> Reading | None:
        """The reading kept under this name, or None when the log no longer holds it: duplicate or conflict?"""

    def ledger(self, device: str | None = None, stream: str | None = None) -> Iterable[LedgerRow]:
        """All rows, those of one device, or the one of a stream of it."""

    def quarantine(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        """Newest first; `before` is the number of the last row of the page before."""

    def counts(self) -> Mapping[str, int]:
        """Durable counters since the log was made: received, accepted, duplicate, quarantined, deferred, …"""

    def consumed(self, consumer: str, position: int, ledger: Iterable[LedgerRow] = ()) -> None:
        """Register `consumer` or move its position: nothing behind it is cut. `ledger` rows go in one transaction
        with it, also when the log is full. Raises OSError."""

    def consumers(self) -> Mapping[str, int]:
        """The position of each that has registered."""

    def cut(self, now_ms: int, *, cramped: bool = False) -> int:
        """Drop what is older than the bounds and behind every consumer; return how many entries went.

        `cramped`: the disk is full; a part of what every consumer has read goes, though it is not old. Raises OSError.
        """

    def size_bytes(self) -> int: ...

    def close(self) -> None: ...


# --------------------------------------------------------------------------------------------------------- store


class StoreFault(Exception):
    """The store cannot be reached or refuses; the caller keeps its position and tries again."""

    def __init__(self, sentence: str, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s  # the store asks not to be tried before


PASSING = (StoreFault, LogFull, OSError)
"""The world's faults: they are over by themselves and their sentences say it all. Anything else is a fault of ours."""


PutAway = Callable[[Sequence[Quarantined]], None]
"""Makes what a store will never take durable elsewhere, or raises."""


LATEST_WITHIN_MS = 7 * 86_400_000
"""Who was silent for longer has no latest reading; bounds the look at a start."""


class Store(KeepsLoss, Protocol):
    """Where readings live for years. A reading written again, under its name, is still there once."""

    passed_over: int  # readings of kinds that are not loaded any more, since it was opened

    def position(self) -> int:
        """The last log position whose readings are all stored; 0 for a store that knows none of this log.

        Raises StoreFault while that cannot be known. A store that was restored from a backup tells an older one than
        before: whoever writes asks again after every fault.
        """

    def write(self, entries: Sequence[Entry], stored_at_ms: int, put_away: PutAway | None = None) -> int:
        """Store the readings in these entries (others are passed over), then the last position; return how many.

        What the store will never take, however often it is tried, goes to `put_away` before the position moves;
        without `put_away` it is a StoreFault like any other. Raises StoreFault, and what `put_away` raises.
        """

    def readings(self, question: Question) -> Sequence[tuple[int, Value]]:
        """(measured_at_ms, value) in time order; of steps one each that has readings, named by its start.

        Where raw readings are gone, what is left of them: a step that is a multiple of what is left says what it said
        before. Raises KeyError for a kind or metric there is none of, ValueError for what `Question.way` refuses,
        StoreFault.
        """

    def marks(
        self, *, kind: str, device: str, start_ms: int, end_ms: int, limit: int = 10_000
    ) -> Sequence[tuple[int, int]]:
        """(measured_at_ms, quality) of a device's readings that something is known against, in time order."""

    def latest(self) -> Iterable[tuple[str, str, int, Mapping[str, Value]]]:
        """(device, kind, measured_at_ms, values) of each device's newest stored reading.

        Not of one that is older by LATEST_WITHIN_MS than the newest of its kind.
        """

    def count(self) -> int:
        """How many readings are stored."""

    def close(self) -> None: ...


class StoredReading(msgspec.Struct, frozen=True, kw_only=True):
    """One reading as a store holds it, whole."""

    received_at_ms: int
    stored_at_ms: int
    record: Telemetry  # of this one reading


class Archive(Protocol):
    """The part of a store by which its history moves into another. It knows the readings of the kinds that are loaded.

    Times are measured times, Unix ms; a range has its start in it and its end not. Everything raises StoreFault.
    """

    def span(self) -> tuple[int, int] | None:
        """When the first and the last reading were measured; None when there is none."""

    def held(self, start_ms: int, end_ms: int) -> Mapping[str, int]:
        """Kind → how many readings are there."""

    def history(self, start_ms: int, end_ms: int) -> Iterator[StoredReading]:
        """Every reading, one kind after the other, each in order of time; metrics that their kind has lost, too."""

    def take(self, readings: Sequence[StoredReading]) -> int:
        """Store these, each once, whatever was written or taken before; how many were new, or all if that is unknown.

        Readings that the log brings later are not doubled either.
        """


# --------------------------------------------------------------------------------------------------------- state


class SnapshotFault(ValueError):
    """Bytes that are no snapshot of this form: another Nabd made them, or they are damaged."""


class Effects(msgspec.Struct):
    """All that one batch of log entries changes in the state, committed with the position in one transaction."""

    registered: list[tuple[int, Registered]] = []  # (at_ms, …)
    alarms: list[Alarm] = []
    acknowledged: list[tuple[str, str, int]] = []  # (alarm, by, at_ms)
    intents: list[IntentState] = []
    decisions: list[Decision] = []
    leases: list[Lease] = []

    def __bool__(self) -> bool:
        return any(getattr(self, field) for field in self.__struct_fields__)


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A registered controller and the asset it sits on now."""

    device: str
    kind: str
    commune: str
    zone: str
    asset: str
    name: str
    lat: float | None
    lon: float | None
    settings: Mapping[str, float | str]
    registered_at_ms: int


class AlarmRow(msgspec.Struct, frozen=True, kw_only=True):
    alarm: Alarm
    acknowledged_by: str | None
    acknowledged_at_ms: int | None


class Firing(msgspec.Struct, frozen=True, kw_only=True):
    """All alarms that fire at one moment, in short."""

    by_severity: Mapping[Severity, int]  # without those of which none fires
    unseen: int  # not acknowledged
    assets: frozenset[str]


class AlarmChange(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as it stands after its last change."""

    position: int  # of the commit that changed it
    row: AlarmRow
    commune: str  # where its asset stood when it arose; it stays, wherever the asset goes
    zone: str


class LeaseStep(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the audit that is about a lease or ends an intent, with what else is known of it."""

    number: int  # of the row; later ones are greater
    decision: Decision
    kind: str
    commune: str
    zone: str
    rank: str  # of the intent; empty when nothing rules


class History(Protocol):
    """What the state has changed, in the order of its commits, for whoever carries it elsewhere."""

    def ends(self) -> tuple[int, int]:
        """(position of the last commit, number of the last lease step or other decision). Raises OSError."""

    def alarm_changes(self, after: tuple[int, str], limit: int) -> Sequence[AlarmChange]:
        """Alarms that fired, were acknowledged or resolved in order of (position, alarm), from behind `after` on.

        One that changes again comes again, as it stands then. Raises OSError.
        """

    def lease_steps(self, after: int, limit: int) -> Sequence[LeaseStep]:
        """In order of number, from behind `after` on. Raises OSError."""


class State(History, Protocol):
    """Registry, alarms, intents, leases and audit. One writer (the deciding consumer); any number of readers."""

    def position(self) -> int: ...

    def commit(self, effects: Effects, position: int, snapshot: bytes | None = None) -> None:
        """Apply all effects and the position, and, when given, the deciders' snapshot taken at that position."""

    def snapshot(self) -> tuple[int, bytes] | None:
        """The last snapshot and the position it was taken at."""

    def devices(
        self,
        *,
        kind: str | None = None,
        commune: str | None = None,
        zone: str | None = None,
        text: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> tuple[int, Sequence[Device]]:
        """(how many match, the page of them by id)."""

    def device(self, device: str) -> Device | None: ...

    def bindings(self, asset: str) -> Sequence[tuple[str, int, int | None]]:
        """(device, from_ms, until_ms) of every controller this asset has had, oldest first."""

    def alarms(
        self,
        *,
        open_only: bool = False,
        pending: bool = True,
        unseen: bool = False,
        asset: str | None = None,
        severity: Severity | None = None,
        kind: str | None = None,
        gravest_first: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, Sequence[AlarmRow]]:
        """(how many match, a page of them), newest first. `open_only`: those that fire; `pending`: also those that have
        not fired yet; `unseen`: those that nobody has acknowledged. `gravest_first`: what nobody has seen before what
        somebody has, of these the gravest first, then the newest."""

    def firing(self) -> Firing:
        """All that fires, whatever its number."""

    def alarm(self, alarm: str) -> AlarmRow | None: ...

    def intents(
        self,
        *,
        asset: str | None = None,
        limit: int = 100,
        wish: str | None = None,
        wished: bool = False,
        living_first: bool = False,
    ) -> Sequence[IntentState]:
        """Those that changed last first; `wish`: only those of one request, or the one intent of that id; `wished`:
        only people's, which belong to a request. `living_first`: those that are over come after all that are not."""

    def decisions(self, *, asset: str | None = None, limit: int = 100) -> Sequence[Decision]:
        """The audit, newest first."""

    def leases(self, *, device: str | None = None) -> Sequence[Lease]:
        """The latest lease of each device."""

    def close(self) -> None: ...


# ---------------------------------------------------------------------------------------------------------- wire


class Message(msgspec.Struct, frozen=True, gc=False):
    """One PUBLISH as it came: nothing decoded, nothing acknowledged."""

    topic: str
    payload: bytes
    token: Any = None  # what acknowledges it; opaque to everyone but the receiver


class Publish(Protocol):
    """The calm side of the broker: sends at QoS 1, from any thread; `on_ack` is called when the broker has it."""

    def __call__(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        on_ack: Callable[[], None] | None = None,
    ) -> None: ...


class Receiver(Protocol):
    """The hot side of the broker: messages in, acknowledgements out. All on the event loop's thread."""

    @property
    def connected(self) -> bool: ...

    @property
    def queued(self) -> int:
        """Messages that were read and not yet received."""

    async def receive(self, most: int) -> Sequence[Message]:
        """Wait for at least one message; return up to `most` of those that are there, in order of arrival."""

    def acknowledge(self, tokens: Iterable[Any]) -> None:
        """Tell the broker that these messages are kept. Tokens of an earlier connection are ignored."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Send at QoS 0; lost when there is no connection."""
