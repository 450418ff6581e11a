"""The messages both sides get: lamps of a city, each with one stream, byte for byte what the wire says.

Every reading of a device has a millisecond of its own within the last minute. So a writer that knows no names, only
times, keeps them apart as well, and no reading counts as late.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.wire import messages

STREAM = "0000beef"
SPAN_MS = 60_000
PROBE = "bench-probe"  # the device whose one reading says that a side is ready
KIND = "street_light"
COMMUNE = "berkane"


@dataclass(frozen=True)
class Load:
    """So many messages of so many readings, in turn from so many devices; at `rate` a second, 0 for as they go."""

    messages: int
    readings: int
    devices: int
    rate: int = 0

    @property
    def total(self) -> int:
        """Readings in all."""
        return self.messages * self.readings


def names(devices: int) -> list[str]:
    return [f"bench-{number:05d}" for number in range(devices)]


def made(load: Load, now_ms: int) -> Iterator[tuple[str, bytes]]:
    """(device, payload) of every message in order. ValueError when a device has more readings than milliseconds."""
    each = -(-load.messages // load.devices) * load.readings
    if each > SPAN_MS:
        raise ValueError(f"{each} readings of a device do not fit into {SPAN_MS} ms: take more devices")
    step_ms = SPAN_MS // each
    devices = names(load.devices)
    for number in range(load.messages):
        before = number // load.devices * load.readings
        rows = [reading(before + n, now_ms - SPAN_MS + (before + n) * step_ms) for n in range(load.readings)]
        yield devices[number % load.devices], messages.telemetry(STREAM, 1, "synced", 1, rows)


def reading(index: int, at_ms: int) -> dict[str, object]:
    """A device's reading number `index` (from 0) as the wire has it."""
    values = {
        "power_w": 60 + index % 50 / 10,
        "level": (50 + index % 50) / 100,
        "voltage_v": 225 + index % 97 / 10,
        "energy_wh": 1000 + index // 1000,
    }
    return {"seq": index + 1, "at": at_ms, "v": values}


def probe(now_ms: int) -> bytes:
    """One message of one reading, the same however often it is sent."""
    return messages.telemetry(STREAM, 1, "synced", 1, [reading(0, now_ms)])
