"""The ports the console reads, in memory: small, exact, and good enough to be mistaken for the real ones."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from contract.decisions import OVER, AlarmState, Decision, IntentState, Lease, Severity
from contract.kind import Value
from contract.kind_file import load_kinds
from contract.ports import AlarmRow, Device, Effects, Firing, LedgerRow
from contract.quarantine import ALL, Quarantined, QuarantineUse, Replayed, Settled, Wanted
from contract.questions import Aggregate, Question
from contract.records import Entry, Reading, Record, Telemetry

KINDS = load_kinds()


class FakeClock:
    """City time that moves only when a test moves it, or at `speed` when `running`."""

    def __init__(self, now_ms: int, speed: float = 1.0, *, running: bool = False) -> None:
        self.speed = speed
        self._now_ms = now_ms
        self._running = running
        self._began_s = self._real_s() if running else 0.0

    @staticmethod
    def _real_s() -> float:
        import time

        return time.monotonic()

    def now_ms(self) -> int:
        if self._running:
            return self._now_ms + round((self._real_s() - self._began_s) * 1000 * self.speed)
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._real_s() if self._running else self._now_ms / 1000

    def advance(self, ms: int) -> None:
        self._now_ms += ms


class MemoryQuarantine:
    """Its rows, and what a person does with them: a replay stores what has the code `mended`, all else stays."""

    def __init__(self) -> None:
        self.held: list[Quarantined] = []
        self.full: tuple[tuple[str, int], ...] = ()
        self.acts: list[tuple[str, list[int], str]] = []

    def page(self, limit: int, *, before: int | None = None, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        rows = [row for row in reversed(self.held) if before is None or row.number < before]
        return [row for row in rows if _is_wanted(row, wanted)][:limit]

    def behind(self, after: int, limit: int, wanted: Wanted = ALL) -> Sequence[Quarantined]:
        return [row for row in self.held if row.number > after and _is_wanted(row, wanted)][:limit]

    def rows(self, numbers: Sequence[int]) -> Sequence[Quarantined]:
        return [row for row in self.held if row.number in numbers]

    def count(self, wanted: Wanted = ALL) -> int:
        return sum(_is_wanted(row, wanted) for row in self.held)

    def has_room(self, row: Quarantined, beside_bytes: int = 0) -> bool:
        return True

    def use(self) -> QuarantineUse:
        size = sum(row.size_bytes for row in self.held)
        return QuarantineUse(rows=len(self.held), bytes=size, bytes_max=10**6, device_bytes_max=10**5, full=self.full)

    async def replay(self, numbers: Sequence[int], by: str) -> Sequence[Replayed]:
        self.acts.append(("replay", sorted(numbers), by))
        told = [
            Replayed(number=row.number, device=row.device, readings=1, stays=False, sentence="stored")
            if row.code == "mended"
            else Replayed(number=row.number, device=row.device, stays=True, code=row.code, sentence=row.sentence)
            for row in self.rows(numbers)
        ]
        self.held = [row for row in self.held if row.number not in numbers or row.code != "mended"]
        return told

    async def drop(self, numbers: Sequence[int], by: str) -> int:
        self.acts.append(("drop", sorted(numbers), by))
        before = len(self.held)
        self.held = [row for row in self.held if row.number not in numbers]
        return before - len(self.held)


def _is_wanted(row: Quarantined, wanted: Wanted) -> bool:
    return wanted.code in ("", row.code) and wanted.device in ("", row.device) and row.received_at_ms >= wanted.since_ms


class MemoryLog:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.quarantine_rows = MemoryQuarantine()
        self.counters: dict[str, int] = {}
        self.unread_since: Callable[[], int | None] = lambda: None  # city ms; told of every consumer that is behind

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
        assert not once, "no consumer runs here"
        assert not settled, "nothing is replayed here"
        for record in records:
            self.entries.append(Entry(len(self.entries) + 1, at_ms, record))
        self.quarantine_rows.held += quarantine
        for name, value in (counts or {}).items():
            self.counters[name] = self.counters.get(name, 0) + value
        return len(self.entries)

    def read(self, after: int, limit: int) -> Sequence[Entry]:
        return self.entries[after : after + limit]

    def last(self) -> int:
        return len(self.entries)

    def appended_at_ms(self, after: int) -> int | None:
        return self.unread_since() if after < len(self.entries) else None

    def last_at_ms(self) -> int:
        return self.entries[-1].at_ms if self.entries else 0

    def append_ms_p99(self) -> float:
        return 4.25

    def reading(self, device: str, stream: str, seq: int) -> Reading | None:
        for entry in self.entries:
            record = entry.record
            if isinstance(record, Telemetry) and (record.device, record.stream) == (device, stream):
                for reading in record.readings:
                    if reading.seq == seq:
                        return reading
        return None

    def ledger(self, device: str | None = None, stream: str | None = None) -> Iterable[LedgerRow]:
        return ()

    def quarantine(self, limit: int, before: int | None = None) -> Sequence[Quarantined]:
        return self.quarantine_rows.page(limit, before=before)

    def counts(self) -> Mapping[str, int]:
        return dict(self.counters)

    def consumed(self, consumer: str, position: int) -> None:
        pass

    def consumers(self) -> Mapping[str, int]:
        return {}

    def cut(self, now_ms: int, *, cramped: bool = False) -> int:
        return 0

    def size_bytes(self) -> int:
        return 4096

    def close(self) -> None:
        pass


class MemoryStore:
    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[tuple[int, Value]]] = {}
        self.qualities: dict[tuple[str, int], int] = {}  # (device, measured_at_ms) → what is known against the reading
        self._position = 0

    def position(self) -> int:
        return self._position

    def write(self, entries: Sequence[Entry], stored_at_ms: int) -> int:
        written = 0
        for entry in entries:
            self._position = entry.position
            if isinstance(entry.record, Telemetry):
                for reading in entry.record.readings:
                    written += 1
                    if reading.quality:
                        self.qualities[entry.record.device, reading.measured_at_ms] = reading.quality
                    for metric, value in reading.values.items():
                        self.rows.setdefault((entry.record.device, metric), []).append((reading.measured_at_ms, value))
        return written

    def readings(self, question: Question) -> Sequence[tuple[int, Value]]:
        """Of a counter that is never reset."""
        thing, every_ms = question.device or question.asset or "", question.every_ms
        found = sorted(
            row
            for row in self.rows.get((thing, question.metric), ())
            if not self.qualities.get((thing, row[0]), 0) & question.without
        )
        rows = [row for row in found if question.start_ms <= row[0] < question.end_ms]
        if every_ms is None:
            return rows[: question.limit]
        before = [value for at_ms, value in found if at_ms < question.start_ms][-1:]
        steps: dict[int, list[Value]] = {}
        told: list[tuple[int, Value]] = []
        for at_ms, value in rows:
            steps.setdefault(at_ms - at_ms % every_ms, []).append(value)
        way = question.way(KINDS[question.kind].metrics[question.metric]) or Aggregate.LAST
        for at_ms, values in sorted(steps.items()):
            told.append((at_ms, _step(way, values, before)))
            before = values[-1:]
        return told[: question.limit]

    def marks(
        self, *, kind: str, device: str, start_ms: int, end_ms: int, limit: int = 10_000
    ) -> Sequence[tuple[int, int]]:
        found = ((at_ms, bits) for (name, at_ms), bits in self.qualities.items() if name == device)
        return sorted(row for row in found if start_ms <= row[0] < end_ms)[:limit]

    def latest(self) -> Iterable[tuple[str, str, int, Mapping[str, Value]]]:
        return ()

    def count(self) -> int:
        return sum(map(len, self.rows.values()))

    def close(self) -> None:
        pass


def _step(way: Aggregate, values: Sequence[Value], before: Sequence[Value]) -> Value:
    if way is Aggregate.COUNT:
        return float(len(values))
    if way is Aggregate.LAST:
        return values[-1]
    numbers = [float(value) for value in values]
    if way is Aggregate.INCREASE:
        return numbers[-1] - float((*before, *values)[0])
    if way is Aggregate.MEAN:
        return sum(numbers) / len(numbers)
    return min(numbers) if way is Aggregate.MIN else max(numbers)


class MemoryState:
    def __init__(self) -> None:
        self._devices: dict[str, Device] = {}
        self._bindings: dict[str, list[tuple[str, int, int | None]]] = {}
        self._alarms: dict[str, AlarmRow] = {}
        self._intents: dict[tuple[str, str], IntentState] = {}
        self._decisions: list[Decision] = []
        self._leases: dict[str, Lease] = {}
        self._position = 0
        self.fault: OSError | None = None  # of reading alarms

    def position(self) -> int:
        return self._position

    def ends(self) -> tuple[int, int]:
        return self._position, len(self._decisions)

    def commit(self, effects: Effects, position: int, snapshot: bytes | None = None) -> None:
        for at_ms, record in effects.registered:
            self._devices[record.device] = Device(
                device=record.device, kind=record.kind, commune=record.commune, zone=record.zone, asset=record.asset,
                name=record.name, lat=record.lat, lon=record.lon, settings=record.settings, registered_at_ms=at_ms,
            )  # fmt: skip
            bindings = self._bindings.setdefault(record.asset, [])
            if not bindings or bindings[-1][0] != record.device:
                if bindings:
                    bindings[-1] = (*bindings[-1][:2], at_ms)
                bindings.append((record.device, at_ms, None))
        for alarm in effects.alarms:
            known = self._alarms.get(alarm.alarm)
            self._alarms[alarm.alarm] = AlarmRow(
                alarm=alarm,
                acknowledged_by=known.acknowledged_by if known else None,
                acknowledged_at_ms=known.acknowledged_at_ms if known else None,
            )
        for alarm_id, by, at_ms in effects.acknowledged:
            if alarm_id in self._alarms:
                row = self._alarms[alarm_id]
                self._alarms[alarm_id] = AlarmRow(alarm=row.alarm, acknowledged_by=by, acknowledged_at_ms=at_ms)
        for state in effects.intents:
            self._intents[(state.intent.intent, state.intent.asset)] = state
        self._decisions += effects.decisions
        for lease in effects.leases:
            self._leases[lease.device] = lease
        self._position = position

    def snapshot(self) -> tuple[int, bytes] | None:
        return None

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
        found = [
            device
            for _, device in sorted(self._devices.items())
            if kind in (None, device.kind)
            and commune in (None, device.commune)
            and zone in (None, device.zone)
            and (text is None or text.lower() in f"{device.device} {device.asset} {device.name}".lower())
        ]
        return len(found), found[offset : None if limit is None else offset + limit]

    def device(self, device: str) -> Device | None:
        return self._devices.get(device)

    def bindings(self, asset: str) -> Sequence[tuple[str, int, int | None]]:
        return list(self._bindings.get(asset, ()))

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
        if self.fault is not None:
            raise self.fault
        rows = [
            row
            for row in sorted(self._alarms.values(), key=lambda row: -row.alarm.since_ms)
            if (not open_only or row.alarm.state is AlarmState.FIRING)
            and (pending or row.alarm.state is not AlarmState.PENDING)
            and (not unseen or row.acknowledged_at_ms is None)
            and asset in (None, row.alarm.asset)
            and severity in (None, row.alarm.severity)
            and kind in (None, row.alarm.kind)
        ]
        if gravest_first:
            gravity = list(Severity).index
            rows.sort(key=lambda row: (row.acknowledged_at_ms is not None, -gravity(row.alarm.severity)))
        return len(rows), rows[offset : offset + limit]

    def firing(self) -> Firing:
        _, rows = self.alarms(open_only=True, limit=len(self._alarms))
        return Firing(
            by_severity=Counter(row.alarm.severity for row in rows),
            unseen=sum(row.acknowledged_at_ms is None for row in rows),
            assets=frozenset(row.alarm.asset for row in rows),
        )

    def alarm(self, alarm: str) -> AlarmRow | None:
        return self._alarms.get(alarm)

    def intents(
        self,
        *,
        asset: str | None = None,
        limit: int = 100,
        wish: str | None = None,
        wished: bool = False,
        living_first: bool = False,
    ) -> Sequence[IntentState]:
        rows = [
            row
            for row in self._intents.values()
            if asset in (None, row.intent.asset)
            and (wish is None or wish in (row.intent.intent, row.intent.wish))
            and (row.intent.wish or not wished)
        ]
        return sorted(rows, key=lambda row: (living_first and row.step in OVER, -row.at_ms))[:limit]

    def decisions(self, *, asset: str | None = None, limit: int = 100) -> Sequence[Decision]:
        return [row for row in reversed(self._decisions) if asset in (None, row.asset)][:limit]

    def leases(self, *, device: str | None = None) -> Sequence[Lease]:
        return [lease for name, lease in sorted(self._leases.items()) if device in (None, name)]

    def close(self) -> None:
        pass


class Waiting:
    """A deferred device."""

    def __init__(self, device: str, kind: str, first_ms: int, last_ms: int, readings: int) -> None:
        self.device, self.kind, self.model = device, kind, "nabd-esp32"
        self.first_ms, self.last_ms, self.readings = first_ms, last_ms, readings


def run(awaitable: Any) -> Any:
    return asyncio.run(awaitable)
