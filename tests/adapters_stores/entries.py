"""Log entries to store."""

from collections.abc import Mapping
from typing import Any

from contract.records import Entry, Reading, Telemetry, Tick

AT_MS = 1_795_457_855_000


def telemetry(
    position: int,
    seq: int,
    values: Mapping[str, Any] | None = None,
    *,
    at_ms: int | None = None,
    device: str = "lamp-1",
    kind: str = "street_light",
    asset: str = "pole-1",
    readings: int = 1,
    place: tuple[str, str, str] = ("", "", ""),
) -> Entry:
    """One message with `readings` readings from `seq` on, a second apart."""
    first_ms = AT_MS + seq * 1000 if at_ms is None else at_ms
    return Entry(
        position,
        AT_MS + position,
        Telemetry(
            device=device,
            asset=asset,
            kind=kind,
            stream="9f3c01aa",
            boot=3,
            commune=place[0],
            zone=place[1],
            group=place[2],
            readings=tuple(
                Reading(seq + n, first_ms + n * 1000, {"power_w": float(seq + n)} if values is None else values, 4)
                for n in range(readings)
            ),
        ),
    )


def tick(position: int) -> Entry:
    return Entry(position, AT_MS + position, Tick(listening=True))
