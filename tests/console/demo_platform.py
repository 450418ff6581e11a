"""A platform of fakes with a small city in it, so that the console can be looked at and tested by itself.

    python -m tests.console.demo_platform [--port 8080] [--speed 60] [--lights 60] [--ailing]

Lamps dim, bins fill and a valve runs by simple arithmetic. A wish is answered as the real platform would: won, leased,
sent, confirmed; a lamp in `DEAF` never answers. An ailing one has a full log, a store that is away, and a broker that
asks for passwords.
"""

import argparse
import asyncio
import math
import random
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from adapters.state.sqlite_state import SqliteState
from console.app import create_app
from console.live import LiveView
from console.platform import Platform
from console.server import Server
from contract import full_disk
from contract.decisions import (
    Alarm,
    AlarmState,
    Decision,
    Intent,
    IntentState,
    Lease,
    LeaseTarget,
    Rank,
    Severity,
    Step,
    identify,
)
from contract.extracts import Extracts
from contract.kind import Value, check_settings
from contract.kind_file import load_kinds
from contract.over_limit import OverLimit
from contract.ports import Effects, LedgerRow, Log, State, Store
from contract.quarantine import Quarantined
from contract.records import (
    Acknowledged,
    Quality,
    Reading,
    Record,
    Registered,
    Reported,
    Status,
    Telemetry,
    Wished,
    Withdrawn,
)
from contract.site import Site, Street, Zone
from nabd.ports import listen
from nabd.tally import TallyKeeper
from tests.console.fakes import FakeClock, MemoryLog, MemoryQuarantine, MemoryState, MemoryStore, Waiting

START_MS = 1_795_458_000_000  # 2026-11-23T18:20:00Z
HOUR_MS = 3_600_000
DEAF = "lamp-007"  # never answers a lease
DARK = "lamp-011"  # draws no power
SILENT = "lamp-013"  # lost
AILING: Mapping[str, object] = {
    "holding": "/data/log.sqlite: 4000000001 bytes in use, 4000000000 allowed ([log] bytes_max), and consumer store "
    "has read up to 7 of 5208; mend the consumer or allow more",
    "faults": ["store: http://influxdb:8086: connection refused"],
    "left_out": {"recorder_dropped": 3},
    "over_limit": [OverLimit("lamp-001", "readings", 4213, 1000, 900_000, 0, 0, 3213)],
}
ZONES = (
    ("centre", "وسط المدينة", "Centre-ville", "Old town", (34.9215, -2.3235)),
    ("riad", "حي الرياض", "Hay Riad", "Riad quarter", (34.9275, -2.3155)),
    ("park", "المنتزه البلدي", "Parc municipal", "Municipal park", (34.9155, -2.3130)),
)


def demo_site() -> Site:
    zones, streets = [], []
    for name, ar, fr, en, (lat, lon) in ZONES:
        outline = tuple(
            (lat + 0.0032 * math.sin(angle) * (1 + 0.12 * math.cos(3 * angle)), lon + 0.0040 * math.cos(angle))
            for angle in (step * math.tau / 14 for step in range(14))
        )
        zones.append(Zone(zone=name, labels={"ar": ar, "fr": fr, "en": en}, outline=outline))
        for number in range(3):
            offset = (number - 1) * 0.0014
            line = tuple((lat + offset, lon - 0.0030 + step * 0.0015) for step in range(5))
            labels = {"ar": f"شارع {number + 1}", "fr": f"Rue {number + 1}", "en": f"Street {number + 1}"}
            streets.append(Street(street=f"{name}-{number + 1}", zone=name, labels=labels, line=line))
    return Site(
        commune="berkane",
        labels={"ar": "بركان", "fr": "Berkane", "en": "Berkane"},
        latitude=34.9215,
        longitude=-2.3175,
        timezone="Africa/Casablanca",
        zones=tuple(zones),
        streets=tuple(streets),
    )


class DemoCity:
    """Feeds a platform of fakes. `step` moves it by one round of readings; `submit` decides like the real one."""

    def __init__(
        self,
        *,
        lights: int = 60,
        speed: float = 60.0,
        running: bool = False,
        seed: int = 1,
        rooms: tuple[Log, Store, State] | None = None,
    ) -> None:
        self.random = random.Random(seed)
        self.kinds = load_kinds()
        self.site = demo_site()
        self.clock = FakeClock(START_MS, speed, running=running)
        self.log: Any
        self.store: Any
        self.state: Any
        self.log, self.store, self.state = rooms or (MemoryLog(), MemoryStore(), MemoryState())
        self.extracts: Extracts | None = None
        self.live = LiveView(self.kinds)
        self.waiting = [Waiting("lamp-new-1", "street_light", START_MS - 2 * HOUR_MS, START_MS, 41)]
        self.levels: dict[str, float] = {}
        self.told: dict[str, object] = {
            "connected": True,
            "holding": "",
            "faults": [],
            "kept_sent": 12345,
            "last_batch_ms": 1.5,
        }
        self.refuse: Callable[[Record], Awaitable[int]] | None = None  # a log that cannot be written
        self.behind = 3  # entries the store is behind
        self.consumers: dict[str, int] = {}  # instead of what follows from `behind`
        self.needs_credentials = False
        self._folder = TemporaryDirectory()  # gone with the city
        book = self.state if isinstance(self.state, SqliteState) else SqliteState(Path(self._folder.name, "state.db"))
        self.tally = TallyKeeper(self.log, book.tally, self.clock, self.site.timezone)
        self._seq: dict[str, int] = {}
        self._later: list[tuple[int, Record]] = []
        self.holes = {"lamp-003": ((1, 40), (46, 120))}
        self.lost = {"lamp-006": range(5, 9)}  # never came; the first of them is gone, the last could not be read
        for number in range(1, lights + 1):
            self._place(f"lamp-{number:03}", "street_light", number, {"circuit": f"c{number % 4 + 1}"})
        for number in range(1, max(2, lights // 5) + 1):
            self._place(f"bin-{number:03}", "waste_bin", number + 7, {})
        for number in range(1, max(2, lights // 10) + 1):
            self._place(f"valve-{number:03}", "irrigation_valve", number * 3 - 1, {"area_m2": 400.0 + number * 20})
        self._place("weather-1", "weather_station", 1, {})

    def platform(self) -> Platform:
        return Platform(
            version="0.1.0", kinds=self.kinds, sites=(self.site,), clock=self.clock, log=self.log, store=self.store,
            state=self.state, live=self.live, submit=self.submit, deferred=lambda: list(self.waiting),
            quarantine=self.log.quarantine_rows if isinstance(self.log, MemoryLog) else MemoryQuarantine(),
            tally=self.tally, ledger=self._ledger, totals=lambda: {"missing": 5, "gone": 0}, health=self._health,
            rules=lambda: [
                {"name": "lamp_failed", "group": "lighting", "kind": "street_light", "for_ms": 600_000,
                 "when": "level > 0.2 and power_w < 0.5 * rated_power_w * level", "severity": "major"},
            ],
            needs_credentials=self.needs_credentials,
            extracts=self.extracts,
        )  # fmt: skip

    # -- feeding

    def append(self, *records: Record, at_ms: int | None = None) -> int:
        at_ms = self.clock.now_ms() if at_ms is None else at_ms
        first = self.log.last()
        self.log.append(records, at_ms)
        entries = self.log.read(first, len(records))
        for entry in entries:
            self.live.apply(entry, self.clock.now_ms())
        self.store.write(entries, at_ms)
        return int(self.log.last())

    def history(self, hours: int = 30) -> None:
        """Readings of the past day, and what a day leaves behind: alarms, quarantine, counts."""
        now_ms = self.clock.now_ms()
        for device in [live.facts.device for live in self.live.assets()]:
            live = self.live.device(device)
            assert live is not None
            self.append(
                Status(device=device, online=True, n=1, boot=3, kind=live.facts.kind, model="nabd-esp32",
                       firmware="1.4.0", reset="power_on", stream="9f3c01aa"),
                at_ms=now_ms - hours * HOUR_MS,
            )  # fmt: skip
            step_ms = max(live.period_ms, HOUR_MS // 2)
            for at_ms in range(now_ms - hours * HOUR_MS, now_ms - (6 * HOUR_MS if device == SILENT else 0), step_ms):
                self._read(device, at_ms, at_ms + 900)
            if device != SILENT:
                self._read(device, now_ms - 20_000, now_ms - 19_000)
        self.append(Status(device=SILENT, online=False, n=2, boot=3), at_ms=now_ms - 5 * HOUR_MS)
        self._alarms(now_ms)
        rows = [
            Quarantined(topic="nabd/1/lamp-005/telemetry", payload=b'{"stream":"9f3c', code="not_json", number=1,
                        sentence="the payload is not JSON: it ends inside a string", received_at_ms=now_ms - HOUR_MS,
                        device="lamp-005"),
            Quarantined(topic="nabd/1/valve-001/telemetry", payload=b"\xff\xfe\x00", code="not_json", number=2,
                        sentence="the payload is not UTF-8", received_at_ms=now_ms - 600_000, device="valve-001",
                        count=3),
            Quarantined(topic="nabd/1/bin-002/telemetry", payload=b'{"fill_level":7}', code="out_of_range", number=3,
                        sentence="fill_level: 7 is above the maximum 1", received_at_ms=now_ms - 60_000,
                        device="bin-002", stream="9f3c01aa", seq=12),
        ]  # fmt: skip
        counts = {"received": 5204, "accepted": 5120, "duplicate": 40, "quarantined": 3, "deferred": 41}
        self.log.append([], now_ms, quarantine=rows, counts=counts | {"quarantined.not_json": 2})

    def step(self, part: float = 1.0) -> None:
        """Some devices measure now; answers of devices that are due arrive."""
        now_ms = self.clock.now_ms()
        read = 0
        for live in self.live.assets():
            if live.facts.device != SILENT and self.random.random() < part:
                self._read(live.facts.device, now_ms - 400, now_ms)
                read += 1
        self.log.append([], now_ms, counts={"received": read, "accepted": read})
        due = [record for at_ms, record in self._later if at_ms <= now_ms]
        self._later = [(at_ms, record) for at_ms, record in self._later if at_ms > now_ms]
        for record in due:
            self.append(record)
            if isinstance(record, Reported):
                self._confirm(record)

    def _place(self, device: str, kind: str, number: int, given: Mapping[str, Value]) -> None:
        name, _, _, _, (lat, lon) = ZONES[number % len(ZONES)]
        record = Registered(
            device=device, kind=kind, commune="berkane", zone=name, asset=device.replace("lamp", "pole"),
            lat=lat + (number // 3 % 3 - 1) * 0.0014, lon=lon - 0.0030 + (number // 9 % 7) * 0.001,
            name="", settings=check_settings(self.kinds[kind], given), by="demo",
        )  # fmt: skip
        at_ms = self.clock.now_ms() - 40 * HOUR_MS
        position = self.append(record, at_ms=at_ms)
        self.state.commit(Effects(registered=[(at_ms, record)]), position)

    def _read(self, device: str, measured_at_ms: int, at_ms: int) -> None:
        live = self.live.device(device)
        assert live is not None
        seq = self._seq[device] = self._seq.get(device, 0) + 1
        values = self._values(device, live.facts.kind, measured_at_ms)
        if seq in self.lost.get(device, ()):
            return
        quality = int(Quality.CLOCK_HELD) if device == "lamp-005" else 0
        self.append(
            Telemetry(device=device, asset=live.facts.asset, kind=live.facts.kind, stream="9f3c01aa", boot=3,
                      readings=(Reading(seq, measured_at_ms, values, quality),), commune=live.facts.commune,
                      zone=live.facts.zone),
            at_ms=at_ms,
        )  # fmt: skip

    def _values(self, device: str, kind: str, at_ms: int) -> dict[str, Value]:
        hour = (at_ms / HOUR_MS + 1) % 24
        noise = self.random.uniform(-1, 1)
        if kind == "street_light":
            night = hour > 18.2 or hour < 7
            level = self.levels.get(device, (0.7 if int(device[-2:]) % 3 == 0 else 1.0) if night else 0.0)
            power = 0.0 if device == DARK else 60 * level
            return {
                "level": level, "level_by": "lease" if device in self.levels else "schedule",
                "power_w": round(max(0.0, power + noise * (power > 0)), 1), "voltage_v": round(231 + noise, 1),
                "energy_wh": float(at_ms // HOUR_MS % 100_000), "temperature_c": round(24 + 3 * noise, 1),
                "tilt_deg": 0.4,
            }  # fmt: skip
        if kind == "waste_bin":
            fill = min(1.0, (at_ms / HOUR_MS / 30 + int(device[-3:]) * 0.13) % 1.05)
            return {"fill_level": round(fill, 2), "temperature_c": 19.0, "tilt_deg": 0.0, "lid_open": 0.0,
                    "battery_level": 0.86}  # fmt: skip
        if kind == "irrigation_valve":
            opened = self.levels.get(device, 0.0)
            return {
                "open": opened, "open_by": "lease" if opened else "safe", "flow_l_min": round(opened * (58 + noise), 1),
                "volume_ml": float(at_ms // 60_000 % 10_000_000), "pressure_bar": round(2.9 + noise / 10, 2),
                "soil_moisture": round(0.17 + 0.02 * math.sin(hour / 4), 3), "battery_level": 0.91,
            }  # fmt: skip
        return {"air_temperature_c": round(16 + noise, 1), "humidity": 0.62, "wind_m_s": 2.4, "rain_um": 0.0,
                "radiation_w_m2": 0.0}  # fmt: skip

    def _alarms(self, now_ms: int) -> None:
        text = {"ar": "المصباح لا يستهلك طاقة", "fr": "Lampe sans puissance", "en": "Lamp draws no power"}
        silent = {"ar": "الجهاز صامت", "fr": "Appareil muet", "en": "Device is silent"}

        def alarm(
            device: str, rule: str, severity: Severity, since_ms: int, words: dict[str, str], because: str
        ) -> Alarm:
            live = self.live.device(device)
            assert live is not None
            return Alarm(
                alarm=identify(rule, device, since_ms), rule=rule, device=device, asset=live.facts.asset,
                kind=live.facts.kind, severity=severity, state=AlarmState.FIRING, since_ms=since_ms,
                fired_at_ms=since_ms + 600_000, text=words, because=because,
            )  # fmt: skip

        hot = {"ar": "حرارة مرتفعة في الحاوية", "fr": "Température élevée dans le conteneur", "en": "Bin is hot"}
        dark = "level 1.0 > 0.2 and power_w 0.0 < 30.0"
        alarms = [
            alarm(DARK, "lamp_failed", Severity.MAJOR, now_ms - HOUR_MS, text, dark),
            alarm(SILENT, "device_silent", Severity.MINOR, now_ms - 5 * HOUR_MS, silent, "silent(2h): 5h1m"),
            alarm("bin-002", "bin_fire", Severity.CRITICAL, now_ms - 700_000, hot, "temperature_c 71.5 > 65.0"),
        ]
        self.state.commit(Effects(alarms=alarms), self.log.last())

    # -- deciding

    async def submit(self, record: Record) -> int:
        if self.refuse is not None:
            return await self.refuse(record)
        position = self.append(record)
        now_ms = self.clock.now_ms()
        effects = Effects()
        if isinstance(record, Registered):
            effects.registered.append((now_ms, record))
            self.waiting = [row for row in self.waiting if row.device != record.device]
        elif isinstance(record, Acknowledged):
            effects.acknowledged.append((record.alarm, record.by, now_ms))
        elif isinstance(record, Wished):
            for asset in record.assets:
                self._wish(record, asset, now_ms, effects)
        elif isinstance(record, Withdrawn):
            for row in self.state.intents(limit=10_000):
                if record.intent in (row.intent.intent, row.intent.wish):
                    effects.intents.append(IntentState(intent=row.intent, step=Step.WITHDRAWN, at_ms=now_ms))
                    effects.decisions.append(self._decision(row.intent, Step.WITHDRAWN, now_ms, by=record.by))
                    live = self.live.asset(row.intent.asset)
                    if live is not None:
                        self.levels.pop(live.facts.device, None)
        self.state.commit(effects, position)
        return position

    def _wish(self, record: Wished, asset: str, now_ms: int, effects: Effects) -> None:
        live = self.live.asset(asset)
        assert live is not None
        device = live.facts.device
        intent = Intent(
            intent=record.intent if len(record.assets) == 1 else identify(record.intent, asset), asset=asset,
            wish=record.intent, target=record.target, to=record.to, rank=Rank[record.rank.upper()],
            reason=record.reason, by=record.by, decided_at_ms=now_ms, until_ms=record.until_ms,
        )  # fmt: skip
        effects.intents.append(IntentState(intent=intent, step=Step.SENT, at_ms=now_ms))
        effects.decisions += [self._decision(intent, step, now_ms) for step in (Step.WON, Step.LEASED, Step.SENT)]
        target = LeaseTarget(to=record.to, until_ms=record.until_ms, reason=record.reason, intent=intent.intent)
        effects.leases.append(
            Lease(device=device, asset=asset, version=now_ms, issued_ms=now_ms, targets={record.target: target},
                  state=Step.SENT)
        )  # fmt: skip
        if device != DEAF:
            self._later.append(
                (
                    now_ms + round(1_500 * self.clock.speed),
                    Reported(device=device, n=5, boot=3, version=now_ms, state={record.target: record.to},
                             by={record.target: "lease"}, result="applied"),
                )
            )  # fmt: skip

    def _confirm(self, record: Reported) -> None:
        lease = self.state.leases(device=record.device)[0]
        effects = Effects(leases=[msgspec.structs.replace(lease, state=Step.CONFIRMED)])
        now_ms = self.clock.now_ms()
        for target, leased in lease.targets.items():
            self.levels[record.device] = leased.to
            for row in self.state.intents(asset=lease.asset):
                if row.intent.intent == leased.intent and row.intent.target == target and row.step is Step.SENT:
                    effects.intents.append(IntentState(intent=row.intent, step=Step.CONFIRMED, at_ms=now_ms))
                    effects.decisions.append(self._decision(row.intent, Step.CONFIRMED, now_ms))
        self._read(record.device, now_ms, now_ms)
        self.state.commit(effects, self.log.last())

    def _decision(self, intent: Intent, step: Step, at_ms: int, by: str = "") -> Decision:
        live = self.live.asset(intent.asset)
        assert live is not None
        return Decision(
            decision=identify(intent.intent, intent.asset, step), at_ms=at_ms, asset=intent.asset,
            device=live.facts.device, target=intent.target, step=step, intent=intent.intent, to=intent.to,
            until_ms=intent.until_ms, version=at_ms, reason=intent.reason, by=by or intent.by,
        )  # fmt: skip

    def fill_or_free_disk(self) -> None:
        """The state's disk, which is full or not: alarms cannot be read while it is."""
        full = OSError(full_disk.sentence("state.db", "database or disk is full"))
        self.state.fault = None if self.state.fault else full

    def _ledger(self, device: str) -> Sequence[LedgerRow]:
        have = self.holes.get(device, ((1, self._seq.get(device, 0)),))
        gone: tuple[tuple[int, int], ...] = ((41, 42),) if device in self.holes else ()
        if device in self.lost:
            have, gone = ((1, 4), (8, self._seq[device])), ((5, 5),)
        return [LedgerRow(device=device, stream="9f3c01aa", have=have, gone=gone, seen_at_ms=self.clock.now_ms())]

    def _health(self) -> dict[str, object]:
        position = self.log.last()
        consumers = {"store": position - self.behind, "decider": position, "live": position}
        clock = {"city_origin_ms": START_MS, "real_origin_ms": 0, "speed": self.clock.speed}
        return {**self.told, "consumers": self.consumers or consumers, "clock": clock}


async def serve(port: int, *, speed: float, lights: int, ailing: bool) -> None:
    city = DemoCity(lights=lights, speed=speed, running=True)
    city.history()
    if ailing:
        city.told |= AILING
        city.needs_credentials = True
    listener = listen("127.0.0.1", port, "--port")
    server = Server(create_app(city.platform()), listener)
    await server.start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/", flush=True)
    ended = asyncio.Event()  # not killed half-way, so that the city's folder goes with it
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, city.fill_or_free_disk)
    while not ended.is_set():
        await asyncio.sleep(0.5)
        city.step(0.1)
    await server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--speed", type=float, default=60.0)
    parser.add_argument("--lights", type=int, default=60)
    parser.add_argument("--ailing", action="store_true")
    given = parser.parse_args()
    asyncio.run(serve(given.port, speed=given.speed, lights=given.lights, ailing=given.ailing))


if __name__ == "__main__":
    main()
