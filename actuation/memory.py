"""What the arbiter remembers, as plain structs: a snapshot is their msgpack, exactly, and a replay starts from it."""

import msgspec

from contract.decisions import Intent, Lease, LeaseTarget, Step

FORM = 1
"""The form of a snapshot; one of another form is refused."""


class Held(msgspec.Struct, kw_only=True):
    """One intent under arbitration."""

    intent: Intent
    end_ms: int | None  # over at this time; None: until it is withdrawn
    end_why: str = ""  # said when `end_ms` comes, if something shortened it
    standing: Step | None = None  # WON or LOST; None: not judged yet
    why: str = ""
    clamped: str = ""  # the last clamp told, so that it is told once


class Run(msgspec.Struct, kw_only=True):
    """A target away from its safe value, from the first lease that asked for it."""

    start_ms: int
    worst_ms: int  # the device may be running until then: the latest end of any lease it may still hold
    soonest_ms: int  # the earliest end of any lease it may still hold: from then on it may have closed
    version: int  # of the lease that began it
    boot: int | None = None  # in which the device confirmed it; None: it never did


class Slot(msgspec.Struct, kw_only=True):
    """One target of one asset."""

    held: dict[str, Held] = {}
    ruling: str = ""  # the winner's id
    leased: LeaseTarget | None = None  # what the last lease made for this asset says
    run: Run | None = None
    rested_from_ms: int | None = None  # end of the last run that is over
    days: dict[int, int] = {}  # start of a local day → ms of ended runs in it; past days are dropped


class Asset(msgspec.Struct, kw_only=True):
    asset: str
    device: str = ""  # empty: no controller on it now
    kind: str = ""
    settings: dict[str, float | str] = {}
    slots: dict[str, Slot] = {}


class Device(msgspec.Struct, kw_only=True):
    """One device that was ever registered."""

    device: str
    kind: str = ""
    asset: str = ""  # empty: on none now
    lease: Lease | None = None  # the last one made, with how far it got
    reported_version: int = 0  # the highest it ever named
    boot: int | None = None  # the last it was born in
    touched: list[str] = []  # targets its last lease changed
    quiet: bool = False  # its last lease only renews a confirmed one: only trouble is told
    reissues: int = 0  # leases made again because it named a higher version, since the last confirmation


# Snapshots of form 1 call the devices "nodes".
class Memory(msgspec.Struct, kw_only=True, rename={"devices": "nodes"}):
    form: int = FORM
    position: int = 0
    at_ms: int = 0
    assets: dict[str, Asset] = {}
    devices: dict[str, Device] = {}
    wishes: dict[str, int] = {}  # request id → its end: the same request twice is one wish
    forgotten_wishes: int = 0  # forgotten before their end, because there were too many
