"""The latest of everything, in memory: a consumer of the log that pages and the API read.

Theory of operation. The view knows the registered devices and keeps, for each, the newest value of each metric with the
time it was measured, the time it came and its quality, whether the device is in contact, and what it says of its
targets. Three things never look alike here: a metric that was never measured is absent from ``values``; a measured zero
is the value 0.0; a device that is silent keeps its last values, and ``contact`` says since when nothing was heard. A
value older than two periods is stale and no longer says how things are.

The log's time and that of readings without a clock of their own come from the machine's clock, and that one may have
been ahead. So nothing is heard later than now, and a value dated more than PUNCTUAL_MS ahead of now, which nothing can
be measured at, counts as older than all others and as stale: the first true reading replaces it.

All on one thread (`apply`); readers on other threads see each device whole or a moment old. Nothing here asks a clock:
who judges an age, or tells of something, passes the time in.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from contract.clocks import PUNCTUAL_MS
from contract.kind import Kinds, Value
from contract.ports import Device
from contract.quality import about
from contract.records import Entry, Registered, Reported, Status, Telemetry

DEVICES_MAX = 50_000
PERIODS_FRESH = 2  # a value older than this many periods is unknown


class Latest(msgspec.Struct, frozen=True):
    """The newest value of a metric. `received_at_ms` is None when it was read back from the store at a start."""

    value: Value
    measured_at_ms: int
    received_at_ms: int | None
    quality: int = 0


class Contact(StrEnum):
    NEVER = "never"  # nothing was ever heard
    ONLINE = "online"
    ASLEEP = "asleep"  # it said until when
    LOST = "lost"  # the broker said so, or two periods went by in silence


class LiveDevice:
    """What is known of one device now. Replaced values are whole objects, so that a reader never sees half of one."""

    __slots__ = (
        "asleep_until_ms", "boot", "change", "facts", "firmware", "heard_at_ms", "model", "online", "period_ms",
        "reported", "reported_at_ms", "status_at_ms", "values",
    )  # fmt: skip

    def __init__(self, facts: Device, period_ms: int) -> None:
        self.facts = facts
        self.period_ms = period_ms
        self.values: dict[str, Latest] = {}
        self.online: bool | None = None  # None: no birth and no will was heard
        self.status_at_ms: int | None = None
        self.asleep_until_ms: int | None = None
        self.heard_at_ms: int | None = None
        self.boot: int | None = None
        self.model = ""
        self.firmware = ""
        self.reported: Reported | None = None
        self.reported_at_ms: int | None = None
        self.change = 0

    def contact(self, now_ms: int) -> Contact:
        """Is it there, asleep or lost? Silence of two periods is loss, whatever the broker believes."""
        if self.heard_at_ms is None and self.online is None:
            return Contact.NEVER
        if self.asleep_until_ms is not None and now_ms <= self.asleep_until_ms + self.period_ms:
            return Contact.ASLEEP
        if self.online is False:
            return Contact.LOST
        heard_ms = max(self.heard_at_ms or 0, self.status_at_ms or 0)
        return Contact.ONLINE if now_ms - heard_ms <= PERIODS_FRESH * self.period_ms else Contact.LOST

    def silent_since_ms(self) -> int | None:
        """When it was last heard; None for never."""
        times = [at for at in (self.heard_at_ms, self.status_at_ms if self.online else None) if at is not None]
        return max(times, default=None)

    def stale_at_ms(self, latest: Latest, now_ms: int) -> int:
        """From when on a value is too old to say how things are; 0 when nobody knows when it was measured."""
        known_ms = _known_ms(latest.measured_at_ms, now_ms)
        return known_ms + PERIODS_FRESH * self.period_ms if known_ms else 0

    def fresh(self, metric: str, now_ms: int) -> Latest | None:
        """The value of a metric if it still says how things are."""
        latest = self.values.get(metric)
        if latest is None or now_ms > self.stale_at_ms(latest, now_ms):
            return None
        return latest

    def not_heard_after(self, now_ms: int) -> None:
        """The clock went back to this: what was heard was heard now at the latest."""
        for name in ("heard_at_ms", "status_at_ms", "reported_at_ms"):
            if (getattr(self, name) or 0) > now_ms:
                setattr(self, name, now_ms)


class LiveView:
    """Every registered device's newest values and contact. Bounded by `devices_max`; what it refuses is counted."""

    def __init__(self, kinds: Kinds, *, devices_max: int = DEVICES_MAX) -> None:
        self._kinds = kinds
        self._devices_max = devices_max
        self._devices: dict[str, LiveDevice] = {}
        self._by_asset: dict[str, str] = {}
        self.change = 0  # grows with every change; each device remembers the one that touched it last
        self.registry_change = 0  # the last change of who exists and where
        self.refused = 0  # records of devices beyond the bound, or not registered
        self.position = 0
        self._now_ms = 0  # of the last `apply`

    def restore(
        self, devices: Iterable[Device], latest: Iterable[tuple[str, str, int, Mapping[str, Value]]], now_ms: int
    ) -> None:
        """Start from the registry and the store's newest readings. `latest` yields what `Store.latest` does.

        It may come later: what the log has told since then stays.
        """
        for facts in devices:
            self._put(facts)
        for device, _kind, measured_at_ms, values in latest:
            live = self._devices.get(device)
            if live is not None:
                self._take_values(live, values, measured_at_ms, None, 0, now_ms, is_news=False)
                if _known_ms(measured_at_ms, now_ms):
                    live.heard_at_ms = max(live.heard_at_ms or 0, min(measured_at_ms, now_ms))
                self._touch(live)

    def apply(self, entry: Entry, now_ms: int) -> None:
        """Take one entry of the log in. Entries it has seen already change nothing."""
        if entry.position <= self.position:
            return
        self.position = entry.position
        if now_ms < self._now_ms:
            for live in self._devices.values():
                live.not_heard_after(now_ms)
        self._now_ms = now_ms
        record, at_ms = entry.record, min(entry.at_ms, now_ms)
        if isinstance(record, Telemetry):
            self._telemetry(record, at_ms, now_ms)
        elif isinstance(record, Status):
            self._status(record, at_ms)
        elif isinstance(record, Reported):
            self._reported(record, at_ms)
        elif isinstance(record, Registered):
            self._registered(record, entry.at_ms)

    def recall(self, entry: Entry, now_ms: int) -> None:
        """Take in an entry from before all that was applied or recalled: it fills what is not known yet, and replaces
        nothing newer. Who exists and where is not told by it."""
        record, at_ms = entry.record, min(entry.at_ms, now_ms)
        live = self._devices.get(getattr(record, "device", ""))
        if live is None:
            return
        if isinstance(record, Telemetry):
            at_ms = min(record.came_at_ms or at_ms, now_ms)  # a replay stores what was said long ago
            for reading in reversed(record.readings):
                self._take_values(
                    live, reading.values, reading.measured_at_ms, at_ms, reading.quality, now_ms, is_news=False
                )
            if not record.came_at_ms:
                live.boot = record.boot if live.boot is None else live.boot
            live.heard_at_ms = max(live.heard_at_ms or 0, at_ms)
            self._touch(live)
        elif isinstance(record, Status):
            self._recall_status(live, record, at_ms)
        elif isinstance(record, Reported) and live.reported_at_ms is None:
            self._reported(record, at_ms)

    def _recall_status(self, live: LiveDevice, record: Status, at_ms: int) -> None:
        if record.online and not live.model and not live.firmware:  # its last birth
            live.model, live.firmware = record.model, record.firmware
            live.period_ms = record.period_s * 1000 if record.period_s else live.period_ms
        live.boot = record.boot if live.boot is None else live.boot
        if live.status_at_ms is None:
            live.online, live.status_at_ms = record.online, at_ms
            until_ms, heard_ms = record.asleep_until_ms, live.heard_at_ms or 0
            live.asleep_until_ms = until_ms if until_ms is not None and heard_ms <= until_ms else None
        if record.online:
            live.heard_at_ms = max(live.heard_at_ms or 0, at_ms)
        self._touch(live)

    # -- what came

    def _telemetry(self, record: Telemetry, at_ms: int, now_ms: int) -> None:
        live = self._known(record.device)
        if live is None:
            return
        if record.came_at_ms:  # a replay stores what was said long ago: the device is heard no later by it
            at_ms = min(record.came_at_ms, now_ms)
        for reading in record.readings:
            self._take_values(live, reading.values, reading.measured_at_ms, at_ms, reading.quality, now_ms)
        live.heard_at_ms = max(live.heard_at_ms or 0, at_ms)
        live.boot = max(live.boot or 0, record.boot) if record.came_at_ms else record.boot
        if live.asleep_until_ms is not None and at_ms > live.asleep_until_ms:
            live.asleep_until_ms = None
        self._touch(live)

    def _status(self, record: Status, at_ms: int) -> None:
        live = self._known(record.device)
        if live is None:
            return
        live.online = record.online
        live.status_at_ms = at_ms
        live.asleep_until_ms = record.asleep_until_ms
        live.boot = record.boot
        if record.online:
            live.heard_at_ms = max(live.heard_at_ms or 0, at_ms)
            live.model, live.firmware = record.model or live.model, record.firmware or live.firmware
            if record.period_s:
                live.period_ms = record.period_s * 1000
        self._touch(live)

    def _reported(self, record: Reported, at_ms: int) -> None:
        live = self._known(record.device)
        if live is None:
            return
        live.reported, live.reported_at_ms = record, at_ms
        live.heard_at_ms = max(live.heard_at_ms or 0, at_ms)
        self._touch(live)

    def _registered(self, record: Registered, at_ms: int) -> None:
        known = self._devices.get(record.device)
        self._put(
            Device(
                device=record.device,
                kind=record.kind,
                commune=record.commune,
                zone=record.zone,
                asset=record.asset,
                name=record.name,
                lat=record.lat,
                lon=record.lon,
                settings=record.settings,
                registered_at_ms=known.facts.registered_at_ms if known else at_ms,
            )
        )

    def _put(self, facts: Device) -> None:
        live = self._devices.get(facts.device)
        if live is None:
            if len(self._devices) >= self._devices_max:
                self.refused += 1
                return
            kind = self._kinds.get(facts.kind)
            live = LiveDevice(facts, kind.period_s * 1000 if kind else 900_000)
            self._devices[facts.device] = live
        elif self._by_asset.get(live.facts.asset) == facts.device:
            del self._by_asset[live.facts.asset]
        live.facts = msgspec.structs.replace(facts, asset="")
        if facts.asset:
            self._leave(facts.asset)
            self._by_asset[facts.asset] = facts.device
            live.facts = facts
        self._touch(live)
        self.registry_change = self.change

    def _leave(self, asset: str) -> None:
        """Whatever sat on this asset was swapped out: it is on none now."""
        former = self._devices.get(self._by_asset.get(asset, ""))
        if former is not None and former.facts.asset == asset:
            former.facts = msgspec.structs.replace(former.facts, asset="")

    def _known(self, device: str) -> LiveDevice | None:
        live = self._devices.get(device)
        if live is None:
            self.refused += 1
        return live

    def _take_values(
        self, live: LiveDevice, values: Mapping[str, Value], measured_at_ms: int, at_ms: int | None, quality: int,
        now_ms: int, *, is_news: bool = True,
    ) -> None:  # fmt: skip
        """Newer values replace older ones; late ones never do. Of one and the same time the last that came stays, or,
        where it is no news, the known one."""
        kind = self._kinds.get(live.facts.kind) if quality else None
        told_ms = _known_ms(measured_at_ms, now_ms)
        for metric, value in values.items():
            known = live.values.get(metric)
            if known is not None and known.measured_at_ms >= told_ms:
                known_ms = _known_ms(known.measured_at_ms, now_ms)
                if known_ms > told_ms or (known_ms == told_ms and not is_news):
                    continue
            live.values[metric] = Latest(
                value, measured_at_ms, at_ms, about(kind.metrics[metric], quality) if kind else quality
            )

    def _touch(self, live: LiveDevice) -> None:
        self.change += 1
        live.change = self.change

    # -- what is asked

    def __len__(self) -> int:
        return len(self._devices)

    def device(self, device: str) -> LiveDevice | None:
        return self._devices.get(device)

    def asset(self, asset: str) -> LiveDevice | None:
        """The device that sits on this asset now."""
        device = self._by_asset.get(asset)
        return self._devices.get(device) if device is not None else None

    def latest(self, asset: str) -> Mapping[str, Latest]:
        """Metric → its newest value; empty when the asset is unknown or nothing was ever measured."""
        live = self.asset(asset)
        return dict(live.values) if live is not None else {}

    def assets(self) -> list[LiveDevice]:
        """The device of each asset, in order of registration."""
        return [live for live in (self._devices.get(device) for device in list(self._by_asset.values())) if live]


def _known_ms(measured_at_ms: int, now_ms: int) -> int:
    """When something was measured; 0 when nobody knows, because a wrong clock dated it ahead of now."""
    return measured_at_ms if measured_at_ms <= now_ms + PUNCTUAL_MS else 0
