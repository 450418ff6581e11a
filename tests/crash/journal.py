"""What a device knows: which readings it measured, which of them it holds until it is told `kept`. From docs/wire.md.

The values follow from kind and seq; the times are those of its own clock. It is here to be hard to please: it sends the
newest first now and then, or with holes, or what it has said already, and it does not hear every `kept`.
"""

import json
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from random import Random
from typing import Any

HELD_MAX = 4_000  # readings; a device that holds so many measures nothing, so that none is ever shed
MESSAGE_READINGS_MAX = 60
MESSAGE_BYTES_MAX = 8_192
DEAF = 0.1  # the share of `kept` that it does not hear
REPEATS = 0.05  # the share of its messages that repeat readings it was told are kept
TWINS = 0.02  # the share of readings measured in the same millisecond as the one before

Value = float | bool | str


def street_light(seq: int) -> dict[str, Value | None]:
    return {
        "power_w": 40 + seq % 997 / 16,
        "level": seq % 101 / 100,
        "level_by": ("lease", "schedule", "safe")[seq % 3],
        "energy_wh": seq,
        "voltage_v": None if seq % 7 == 0 else 220 + seq % 13 / 4,
    }


def waste_bin(seq: int) -> dict[str, Value | None]:
    return {"fill_level": seq % 31 / 100, "temperature_c": 15 + seq % 997 / 64, "lid_open": seq % 5 == 0}


def irrigation_valve(seq: int) -> dict[str, Value | None]:
    return {"open": False, "volume_ml": seq * 3, "pressure_bar": 2 + seq % 997 / 1024, "soil_moisture": 0.3}


MEASURES: Mapping[str, Callable[[int], dict[str, Value | None]]] = {
    "street_light": street_light,
    "waste_bin": waste_bin,
    "irrigation_valve": irrigation_valve,
}
SURE = {"street_light": "energy_wh", "waste_bin": "temperature_c", "irrigation_valve": "volume_ml"}
"""Of each kind a metric that every reading has."""


class Journal:
    """Of one device, in one stream."""

    def __init__(self, name: str, kind: str, chance: Random) -> None:
        self.name, self.kind = name, kind
        self.stream = f"{chance.randrange(16**8):08x}"
        self.held: dict[int, None] = {}  # seqs, in their order
        self._at_ms = array("q")  # of reading seq, at seq - 1
        self._chance = chance

    @property
    def measured(self) -> int:
        return len(self._at_ms)

    def measure(self, count: int, now_ms: int) -> None:
        """So many readings, each at a millisecond of its own but for twins; none is measured before `now_ms`."""
        for _ in range(min(count, HELD_MAX - len(self.held))):
            last = self._at_ms[-1] if self._at_ms else 0
            is_twin = last and self._chance.random() < TWINS
            self._at_ms.append(last if is_twin else max(now_ms, last + 1))
            self.held[len(self._at_ms)] = None

    def readings(self) -> Iterator[tuple[int, dict[str, Value]]]:
        """(measured at, values) of every one, by seq from 1: what a store must have in the end, once."""
        for seq, at_ms in enumerate(self._at_ms, 1):
            measured = MEASURES[self.kind](seq)
            yield at_ms, {metric: value for metric, value in measured.items() if value is not None}

    def choose(self, waits: Collection[int]) -> list[int]:
        """For the next message, none of those on the way: mostly the oldest, sometimes the newest, or with holes."""
        due = [seq for seq in self.held if seq not in waits]
        most = self._chance.randint(1, MESSAGE_READINGS_MAX)
        way = self._chance.random()
        if way < 0.1:
            return due[-most:]
        if way < 0.2:
            return sorted(self._chance.sample(due, min(most, len(due))))
        return due[:most]

    def telemetry(self, seqs: Collection[int]) -> bytes:
        """The message with these readings, and sometimes with others, as when the `kept` of them was not heard."""
        if self._chance.random() < REPEATS:
            first = self._chance.randint(1, self.measured)
            seqs = sorted({*seqs, *range(first, min(first + 10, self.measured + 1))})[:MESSAGE_READINGS_MAX]
        readings = [{"seq": seq, "at": self._at_ms[seq - 1], "v": MEASURES[self.kind](seq)} for seq in seqs]
        oldest = next(iter(self.held), self.measured + 1)
        message = {"stream": self.stream, "boot": 1, "clock": "synced", "oldest": oldest, "readings": readings}
        payload = json.dumps(message, separators=(",", ":")).encode()
        assert len(payload) <= MESSAGE_BYTES_MAX, "what is measured here fits"
        return payload

    def birth(self, n: int, now_ms: int) -> bytes:
        birth = {
            "online": True, "n": n, "boot": 1, "stream": self.stream, "at": now_ms, "kind": self.kind,
            "model": "virtual", "firmware": "1", "reset": "power_on", "period_s": 60,
        }  # fmt: skip
        return json.dumps(birth).encode()

    def hear(self, payload: bytes) -> bool:
        """Forget what a `kept` names as durable. Was it heard, and for this stream?"""
        if self._chance.random() < DEAF:
            return False
        kept = json.loads(payload)
        if kept["stream"] != self.stream:
            return False
        for seq in named(kept, self.held):
            del self.held[seq]
        assert kept["upto"] <= self.measured, f"{self.name} is told to forget {kept['upto']}, which it never measured"
        return True


def named(kept: Mapping[str, Any], among: Collection[int]) -> list[int]:
    """Which of these seqs a `kept` names."""
    ranges = [(1, kept["upto"]), *kept.get("also", ())]
    return [seq for seq in among if any(first <= seq <= last for first, last in ranges)]
