"""What the recorder samples, read from the rooms of a running platform."""

import asyncio
import resource
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from console.api_acts import LEDGER_COUNTS
from console.live import Contact, LiveDevice, LiveView
from contract.annals import Annals, Point
from contract.kind import Kind, Kinds, MetricType
from contract.ports import Clock, Log, State
from nabd.annals import health_point, ledger_points
from nabd.lifetimes import on_exit
from nabd.recorder import Recorder
from nabd.zones import Thing, Zones

STATM = Path("/proc/self/statm")
PAGE_BYTES = resource.getpagesize()
PRESET = (*LEDGER_COUNTS, "store_refused")
"""Counts that stand in every sample: a field that nobody has written yet has no answer, and an alert none to go by."""


def make_recorder(
    store: object,
    log: Log,
    state: State,
    live: LiveView,
    clock: Clock,
    kinds: Kinds,
    *,
    totals: Callable[[], Mapping[str, int]],
    health: Callable[[], Mapping[str, object]],
    log_bytes_max: int,
) -> Recorder | None:
    """None for a store without annals: only one that dashboards read has them.

    `totals` and `health` are those the console has (console.platform).
    """
    if not isinstance(store, Annals):
        return None

    zones = Zones(kinds)

    def sample_health(at_ms: int) -> Sequence[Point]:
        told = health()
        consumers, faults, connected = told.get("consumers"), told.get("faults"), told.get("connected")
        left_out = told.get("left_out")
        figures: dict[str, float] = {**dict.fromkeys(PRESET, 0), **log.counts(), **totals(), **process_figures()}
        for name, position in consumers.items() if isinstance(consumers, Mapping) else ():
            figures[f"{name}_position"] = position
        figures |= left_out if isinstance(left_out, Mapping) else {}
        figures["log_position"] = log.last()
        figures["log_bytes"] = log.size_bytes()
        figures["log_bytes_max"] = log_bytes_max
        figures["connected"] = connected is True
        figures["faults"] = len(faults) if isinstance(faults, (list, tuple)) else 0
        figures["devices"] = len(live)
        now_ms = clock.now_ms()
        figures["devices_online"] = sum(device.contact(now_ms) is Contact.ONLINE for device in live.assets())
        figures["alarms_open"] = state.alarms(open_only=True, limit=1)[0]
        return [health_point(figures, at_ms)]

    def sample_ledger(at_ms: int) -> Sequence[Point]:
        now_ms = clock.now_ms()
        found = live.assets()
        devices = {device.facts.device: device.facts for device in found}
        online = {device.facts.device: device.contact(now_ms) is Contact.ONLINE for device in found}
        measured = {
            device.facts.device: max(latest.measured_at_ms for latest in list(device.values.values()))
            for device in found
            if device.values
        }
        rows = (row for row in log.ledger() if row.stream)  # those without a stream only order messages
        return ledger_points(rows, devices, online, measured, at_ms)

    def sample_zones(at_ms: int) -> Sequence[Point]:
        now_ms = clock.now_ms()
        things = (_thing(device, kinds.get(device.facts.kind), now_ms) for device in live.assets())
        return zones.points(things, at_ms)

    return Recorder(store, state, clock, health=sample_health, ledger=sample_ledger, zones=sample_zones)


def run_recorder(stack: AsyncExitStack, recorder: Recorder | None) -> None:
    """Start it, if there is one; it ends with the stack."""
    if recorder is not None:
        recorder.start()
        on_exit(stack, "recorder", lambda: asyncio.to_thread(recorder.stop))


def _thing(device: LiveDevice, kind: Kind | None, now_ms: int) -> Thing:
    values = dict(device.values)
    metrics = kind.metrics if kind is not None else {}
    counters = {
        name: float(latest.value)
        for name, latest in values.items()
        if name in metrics and metrics[name].type is MetricType.COUNTER
    }
    fresh = {name: latest.value for name, latest in values.items() if now_ms <= device.stale_at_ms(latest, now_ms)}
    return Thing(device.facts, device.contact(now_ms) is Contact.ONLINE, fresh, counters)


def process_figures() -> dict[str, float]:
    """What this process has used: `cpu_s` since its start, `memory_bytes` resident now."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    try:
        resident = int(STATM.read_text().split()[1]) * PAGE_BYTES
    except (OSError, IndexError, ValueError):  # not Linux: the highest it has been
        resident = usage.ru_maxrss * 1024
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "memory_bytes": resident}
