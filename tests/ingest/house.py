"""A small house to test ingest in: the real log in a folder, a clock that tests move, a registry that is a dict."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adapters.log.sqlite_log import SqliteLog
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import Device, LedgerRow, Message
from contract.records import Record, Status, Telemetry
from ingest.pipeline import Outcome, Pipeline

NOW_MS = 1_795_457_855_400
STREAM = "9f3c01aa"
KINDS = load_kinds()


class HandClock:
    """City and monotonic time, moved by hand."""

    speed = 1.0

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic_s(self) -> float:
        return self.ms / 1000

    def advance(self, ms: int) -> None:
        self.ms += ms


def device(name: str, kind: str = "street_light") -> Device:
    return Device(
        device=name,
        kind=kind,
        commune="berkane",
        zone="centre",
        asset=f"asset-of-{name}",
        name=name,
        lat=None,
        lon=None,
        settings={"circuit": "c-7"} if kind == "street_light" else {},
        registered_at_ms=0,
    )


class IngestHouse:
    """lamp-1 to lamp-3 are street lights, valve-1 a valve; others are not registered."""

    def __init__(
        self, folder: Path, *, bytes_max: int = 100_000_000, device_bytes_max: int = 8_000_000, kinds: Kinds = KINDS
    ) -> None:
        self.path = folder / "log.db"
        self.bytes_max, self.device_bytes_max = bytes_max, device_bytes_max
        self.kinds = kinds
        self.clock = HandClock()
        known = [device("lamp-1"), device("lamp-2"), device("lamp-3"), device("valve-1", "irrigation_valve")]
        self.devices = {one.device: one for one in known}
        self.open()

    def open(self) -> None:
        self.log = SqliteLog(
            self.path, bytes_max=self.bytes_max, days_max=30, quarantine_device_bytes_max=self.device_bytes_max
        )
        self.pipeline = Pipeline(self.kinds, self.devices.get, self.log, self.clock)

    def restart(self, kinds: Kinds | None = None) -> None:
        """As after a crash: everything in memory is gone. `kinds`: with corrected ones."""
        self.log.close()
        self.kinds = kinds or self.kinds
        self.open()

    def hear(self, *payloads: Any, device: str = "lamp-1", channel: str = "telemetry") -> Outcome:
        """One batch of messages of one device."""
        return self.pipeline.process([message(payload, device, channel) for payload in payloads])

    def births(self) -> list[str]:
        """Devices that came on line, as the log tells."""
        return [record.device for record in self.records() if isinstance(record, Status) and record.online]

    def records(self) -> list[Record]:
        return [entry.record for entry in self.log.read(0, 100_000)]

    def readings(self) -> list[tuple[str, str, int]]:
        """The names of all readings in the log, in its order."""
        return [
            (record.device, record.stream, reading.seq)
            for record in self.records()
            if isinstance(record, Telemetry)
            for reading in record.readings
        ]

    def count(self, name: str) -> int:
        return self.log.counts().get(name, 0)

    def codes(self) -> list[str]:
        """Of the quarantine, oldest first."""
        return [row.code for row in reversed(self.log.quarantine(1000))]

    def stream(self, device: str = "lamp-1", stream: str = STREAM) -> LedgerRow:
        [row] = [row for row in self.pipeline.ledger(device) if row.stream == stream]
        return row

    def kept(self, device: str = "lamp-1", stream: str = STREAM, *, deferred: bool = False) -> dict[str, Any]:
        _, payload = self.pipeline.answer(device, stream, deferred=deferred)
        document: dict[str, Any] = json.loads(payload)
        return document

    def books_balance(self) -> bool:
        parts = ("accepted", "duplicate", "quarantined", "deferred")
        return self.count("received") == sum(map(self.count, parts))


def message(payload: Any, device: str = "lamp-1", channel: str = "telemetry") -> Message:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode()
    return Message(f"nabd/1/{device}/{channel}", raw, token=object())


def telemetry(
    *seqs: int,
    at: int = NOW_MS - 1000,
    stream: str = STREAM,
    boot: int = 12,
    oldest: int | None = None,
    values: Mapping[str, Any] | None = None,
    clock: str = "synced",
) -> dict[str, Any]:
    """A message with these seqs, a second apart; without other values each reading has its own."""
    readings = [
        {"seq": seq, "at": at + n * 1000, "v": dict(values) if values is not None else {"power_w": float(seq % 1000)}}
        for n, seq in enumerate(seqs)
    ]
    return {
        "stream": stream,
        "boot": boot,
        "clock": clock,
        "oldest": min(seqs, default=1) if oldest is None else oldest,
        "readings": readings,
    }


def without_clock(ups: Sequence[tuple[int, int]], *, boot: int = 1, stream: str = STREAM) -> dict[str, Any]:
    """A message of a node without time: (seq, up) pairs."""
    readings = [{"seq": seq, "up": up, "v": {"power_w": float(seq)}} for seq, up in ups]
    return {"stream": stream, "boot": boot, "clock": "none", "oldest": 1, "readings": readings}


def birth(n: int, boot: int = 12, stream: str = STREAM, kind: str = "street_light") -> dict[str, Any]:
    return {
        "online": True,
        "n": n,
        "boot": boot,
        "stream": stream,
        "kind": kind,
        "model": "nabd-light-1",
        "firmware": "1.4.0",
        "reset": "power_on",
        "period_s": 900,
    }


def will(n: int, boot: int = 12) -> dict[str, Any]:
    return {"online": False, "n": n, "boot": boot}


def reported(n: int, boot: int = 12, level: float = 0.7) -> dict[str, Any]:
    return {
        "n": n,
        "boot": boot,
        "version": 5,
        "state": {"level": level},
        "by": {"level": "lease"},
        "result": "applied",
    }
