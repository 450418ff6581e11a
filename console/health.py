"""How the platform is: what the wiring told, read into one shape, and judged."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from console.platform import Platform
from contract.over_limit import OverLimit
from contract.quarantine import QuarantineUse

STORE_LAG_MAX = 50_000  # entries behind which the store counts as ill: several minutes of a full city


class HealthView(msgspec.Struct, frozen=True, kw_only=True):
    reasons: tuple[str, ...]  # why it is not well, in English; empty when it is
    faults: tuple[str, ...]  # those of the reasons that a room told in its own words
    connected: bool | None  # None: nobody told
    holding: str  # why ingest keeps nothing now; empty when it does
    clock: Mapping[str, float]  # city_origin_ms, real_origin_ms, speed
    consumers: Mapping[str, int]  # name → position
    left_out: Mapping[str, int]  # where → how much was left out there since the start: store_passed_over, …
    over_limit: tuple[OverLimit, ...]  # devices that say too much: no fault of the platform
    lag: Mapping[str, int]  # name → entries behind the log's end
    log_position: int
    log_bytes: int
    figures: Mapping[str, float]  # ingest's own counters
    quarantine: QuarantineUse
    aggregates: Mapping[str, int] = {}  # how far the making of aggregates is: hours_behind, seconds_behind, …


def read_health(platform: Platform) -> HealthView:
    told = platform.health()
    last = platform.log.last()
    consumers = _numbers(told.get("consumers"))
    lag = {name: max(0, last - position) for name, position in consumers.items()}
    connected = told.get("connected")
    connected = connected if isinstance(connected, bool) else None
    holding = _holding(told.get("holding"))
    raw_faults = told.get("faults")
    faults = tuple(map(str, raw_faults)) if isinstance(raw_faults, (list, tuple)) else ()
    return HealthView(
        reasons=tuple(_reasons(faults, connected, holding, lag)),
        faults=faults,
        connected=connected,
        holding=holding,
        clock=_clock(platform, told.get("clock")),
        consumers=consumers,
        left_out=_numbers(told.get("left_out")),
        over_limit=_over_limit(told.get("over_limit")),
        lag=lag,
        aggregates=_numbers(told.get("aggregates")),
        log_position=last,
        log_bytes=platform.log.size_bytes(),
        quarantine=platform.log.quarantine_rows.use(),
        figures={
            name: float(value)
            for name, value in told.items()
            if isinstance(value, (int, float)) and name not in ("connected", "holding")
        },
    )


def quarantine_document(use: QuarantineUse) -> dict[str, Any]:
    """How full the quarantine is, and which devices have used up their share: they are held alone, nobody else is."""
    return {
        "rows": use.rows,
        "bytes": use.bytes,
        "bytes_max": use.bytes_max,
        "device_bytes_max": use.device_bytes_max,
        "filled_by": [{"device": device, "bytes": size} for device, size in use.full],
    }


def _numbers(told: object) -> dict[str, int]:
    return {str(name): int(value) for name, value in told.items()} if isinstance(told, Mapping) else {}


def _over_limit(told: object) -> tuple[OverLimit, ...]:
    given = told if isinstance(told, (list, tuple)) else ()
    return tuple(one for one in given if isinstance(one, OverLimit))


def _holding(told: object) -> str:
    if told is True:
        return "ingest keeps nothing at the moment"
    return told if isinstance(told, str) else ""


def _clock(platform: Platform, told: object) -> dict[str, float]:
    if isinstance(told, Mapping):
        return {str(name): value for name, value in told.items()}
    return {"city_origin_ms": 0, "real_origin_ms": 0, "speed": platform.clock.speed}


def _reasons(faults: Sequence[str], connected: bool | None, holding: str, lag: Mapping[str, int]) -> list[str]:
    reasons = []
    if connected is False:
        reasons.append("the broker cannot be reached: readings wait on the devices")
    if holding:
        reasons.append(f"ingest is holding: {holding}")
    reasons += faults
    if lag.get("store", 0) > STORE_LAG_MAX:
        reasons.append(f"the store is {lag['store']} entries behind the log (more than {STORE_LAG_MAX})")
    return reasons
