"""What the console may touch of the platform. No logic: the wiring fills it in, tests fill in their own."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from console.live import LiveView
from console.turns import Turns
from contract.extracts import Extracts
from contract.kind import Kinds
from contract.losses import Loss
from contract.ports import Clock, LedgerRow, Log, State, Store
from contract.quarantine import Replayed
from contract.records import Record
from contract.site import Site
from contract.tally import Tally


class QuarantineActs(Protocol):
    """What a person can do with rows of the quarantine. Both raise LogFull, OSError, QuarantineChanged."""

    async def replay(self, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
        """Store what reads now; what became of each that was there."""

    async def drop(self, numbers: Sequence[int], by: str) -> int:
        """Let go of them for good; how many there were."""


class DeferredDevice(Protocol):
    """A device that speaks and is not registered. Times are city time, Unix ms."""

    @property
    def device(self) -> str: ...
    @property
    def kind(self) -> str: ...  # from its birth; empty when none was heard
    @property
    def model(self) -> str: ...
    @property
    def first_ms(self) -> int: ...
    @property
    def last_ms(self) -> int: ...
    @property
    def readings(self) -> int: ...  # readings turned away so far


Health = Mapping[str, object]
"""How the platform is, as the wiring knows it. Every key is optional; what is not told is not judged.

``connected`` (bool): the broker is there. ``holding`` (bool or str): ingest keeps nothing at the moment, and why.
``faults`` (list of str): sentences on what is wrong. ``consumers`` (name to log position): how far each consumer of the
log is. ``aggregates`` (name to number): how far the making of aggregates is. ``left_out`` (name to number): what was
lost on purpose since the start, and where. ``over_limit`` (list of OverLimit): devices that say too much. ``clock``
(``city_origin_ms``, ``real_origin_ms``, ``speed``): what the city clock is made from. ``log``: ``bytes_max``;
``full_in_s`` (real seconds until it is full if the slowest consumer reads no further, or None); ``ahead_s`` (its time
is ahead of the clock); ``ticks_missed``; ``recall_left`` (entries the live view is still told of); ``clock_jumps``
since the start and, of the last one, for a while, ``clock_jump_s`` (below zero: back) and ``clock_jump_at_ms``.
``mqtt`` (name to number): what went wrong on the wire since the start, see `console.metrics.MQTT`. Any further number
is a figure of ingest and appears in ``/metrics`` under its own name behind ``nabd_ingest_``.
"""


@dataclass(frozen=True, kw_only=True)
class Platform:
    version: str
    kinds: Kinds
    sites: Sequence[Site]  # the first is where the map opens; its zone is the time zone of the pages
    clock: Clock
    log: Log
    store: Store
    state: State
    live: LiveView
    submit: Callable[[Record], Awaitable[int]]
    """Append a record and wait until it has been decided; its position. Raises LogFull, OSError."""
    deferred: Callable[[], Sequence[DeferredDevice]]
    ledger: Callable[[str], Sequence[LedgerRow]]
    totals: Callable[[], Mapping[str, int]]  # missing and gone, over all devices
    tally: Tally
    health: Callable[[], Health]
    quarantine: QuarantineActs
    rules: Callable[[], Sequence[Any]]
    """What is known of each rule, as objects with the attributes of `documents.RULE_FIELDS`, as far as they exist."""
    unknown_metrics: Callable[[str], Mapping[str, int]] = lambda _device: {}  # of a device, since the start
    copy_store: Callable[[], tuple[int, str]] | None = None
    """Copy an embedded store into the data folder, for a backup: the position the copy holds, and its place below that
    folder, which is the asker's to empty. Raises StoreFault, OSError. None when the store is a service with backups of
    its own."""
    needs_credentials: bool = False  # the broker asks every device for a password of its own; the console makes none
    accept_loss: Callable[[], Loss | None] = lambda: None
    """Tell no longer what the store lacks for good; what that was. Raises StoreFault."""
    extracts: Extracts | None = None  # of the same store, in bulk; None where there is no such way
    tile_url: str = ""  # a Leaflet template such as https://tiles.example/{z}/{x}/{y}.png; empty: outlines only
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)  # further figures for /metrics
    turns: Turns = field(default_factory=Turns)  # so that acts on one thing, come at once, are done one by one
