"""How the platform is: what the wiring told, read into one shape, and judged."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from console.language import SPACE, languages
from console.platform import Platform
from contract.over_limit import OverLimit
from contract.quarantine import QuarantineUse

STORE_LAG_MAX = 50_000  # entries behind which the store counts as ill: several minutes of a full city
LAG_S_MAX = {"store": 600.0, "decider": 30.0, "live": 30.0}  # and real seconds behind which each of them does
AHEAD_S_MAX = 5.0
ROOMS_BEHIND = {"store": "the store", "decider": "the rules", "live": "the live view"}


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
    lag_s: Mapping[str, float]  # name → real seconds since what it has not read yet was kept
    behind: tuple[str, ...]  # those that are too far behind
    append_p99_ms: float  # how long the slowest of a hundred appends to the log took of late
    log: Mapping[str, float]  # what the wiring told of the log: bytes_max, full_in_s, …; without what is not known
    figures: Mapping[str, float]  # ingest's own counters
    quarantine: QuarantineUse
    mqtt: Mapping[str, int] = {}  # what went wrong on the wire since the start: oversized, …
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
    lag_s = {name: _behind_s(platform, position) for name, position in consumers.items()}
    view = HealthView(
        reasons=(),
        faults=faults,
        connected=connected,
        holding=holding,
        clock=_clock(platform, told.get("clock")),
        consumers=consumers,
        left_out=_numbers(told.get("left_out")),
        over_limit=_over_limit(told.get("over_limit")),
        lag=lag,
        aggregates=_numbers(told.get("aggregates")),
        mqtt=_numbers(told.get("mqtt")),
        log_position=last,
        log_bytes=platform.log.size_bytes(),
        quarantine=platform.log.quarantine_rows.use(),
        figures={
            name: float(value)
            for name, value in told.items()
            if isinstance(value, (int, float)) and name not in ("connected", "holding")
        },
        lag_s=lag_s,
        behind=tuple(
            name for name, limit_s in LAG_S_MAX.items() if lag_s.get(name, 0.0) > limit_s or _is_far(name, lag)
        ),
        append_p99_ms=platform.log.append_ms_p99(),
        log=_known(told.get("log")),
    )
    return msgspec.structs.replace(view, reasons=tuple(_reasons(view)))


def _behind_s(platform: Platform, position: int) -> float:
    at_ms = platform.log.appended_at_ms(position)
    return 0.0 if at_ms is None else max(0.0, (platform.clock.now_ms() - at_ms) / 1000 / platform.clock.speed)


def _is_far(name: str, lag: Mapping[str, int]) -> bool:
    return name == "store" and lag.get(name, 0) > STORE_LAG_MAX


def _known(told: object) -> dict[str, float]:
    known: Mapping[Any, Any] = told if isinstance(told, Mapping) else {}
    return {str(name): value for name, value in known.items() if isinstance(value, (int, float))}


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


def _reasons(health: HealthView) -> Iterator[str]:
    if health.connected is False:
        yield "the broker cannot be reached: readings wait on the devices"
    if health.holding:
        yield f"ingest is holding: {health.holding}"
    yield from health.faults
    for name in health.behind:
        full_in_s = health.log.get("full_in_s")
        yield f"{ROOMS_BEHIND[name]} is {_span(health.lag_s[name])} ({health.lag[name]} entries) behind the log" + (
            f"; at the present rate the log is full in about {_span(full_in_s, 1)} if it reads no further, and then "
            "devices hold their readings"
            if full_in_s is not None and not health.holding
            else ""
        )
    yield from clock_faults(health)


def clock_faults(health: HealthView) -> Iterator[str]:
    """What is wrong with time, in English."""
    by_s, ahead_s = health.log.get("clock_jump_s"), health.log.get("ahead_s", 0.0)
    if by_s is not None:
        yield (
            f"the machine's clock jumped {'forward' if by_s > 0 else 'back'} by {_span(abs(by_s))} within the last "
            "hour: see that it is set by NTP (timedatectl); readings without a clock of their own were dated by it"
        )
    if ahead_s > AHEAD_S_MAX:
        yield (
            f"the log's time is {_span(ahead_s)} ahead of the machine's clock: for rules no time passes until the "
            "clock has come up to it; readings are kept all the same"
        )


def _span(seconds: float, parts: int = 2) -> str:
    return languages()["en"].span(seconds, parts).replace(SPACE, " ")
