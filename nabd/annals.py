"""Facts beside the readings as points of a store that dashboards read: alarms, leases, the ledger, health.

Everything here is pure. A point's time and tags come from the fact alone, so the same fact written again is the same
point. InfluxDB keeps one value a series, field and nanosecond: the last six digits of a time tell facts of one
millisecond apart, and come from their ids.
"""

from collections.abc import Iterable, Mapping
from zlib import crc32

from contract.annals import Point, point_ns
from contract.ports import AlarmChange, Device, LeaseStep, LedgerRow

ALARMS = "nabd_alarms"
LEASES = "nabd_leases"
LEDGER = "nabd_ledger"
HEALTH = "nabd_health"


def at_ns(at_ms: int, identity: str = "") -> int:
    return point_ns(at_ms, crc32(identity.encode()) if identity else 0)


def alarm_points(change: AlarmChange) -> list[Point]:
    """Every change of the alarm so far, each as the alarm stands now.

    All of them, because one may alter another: a late reading can resolve an alarm before the moment somebody
    acknowledged it, and then that moment no longer finds it open.
    """
    alarm, row = change.row.alarm, change.row
    resolved_ms = alarm.resolved_at_ms
    moments = {"fired": alarm.fired_at_ms, "acknowledged": row.acknowledged_at_ms, "resolved": resolved_ms}
    return [
        Point(
            measurement=ALARMS,
            tags={
                "rule": alarm.rule,
                "kind": alarm.kind,
                "asset": alarm.asset,
                "commune": change.commune,
                "zone": change.zone,
                "severity": alarm.severity.value,
                "change": name,
            },
            fields={
                "alarm": alarm.alarm,
                **{f"title_{language}": alarm.text.get(language, alarm.rule) for language in ("ar", "fr", "en")},
                "open": 1.0 if name == "fired" or resolved_ms is None or resolved_ms > at_ms else 0.0,
            },
            at_ns=at_ns(at_ms, f"{alarm.alarm} {name}"),
        )
        for name, at_ms in moments.items()
        if at_ms is not None
    ]


def lease_point(step: LeaseStep) -> Point:
    decision = step.decision
    fields: dict[str, float | str] = {
        "reason": decision.reason or decision.why,
        "version": float(decision.version or 0),
    }
    if decision.to is not None:
        fields["to"] = float(decision.to)
    if decision.until_ms is not None:
        fields["until_ms"] = float(decision.until_ms)
    return Point(
        measurement=LEASES,
        tags={
            "device": decision.device,
            "asset": decision.asset,
            "kind": step.kind,
            "commune": step.commune,
            "zone": step.zone,
            "target": decision.target,
            "rank": step.rank,
            "change": decision.step.value,
        },
        fields=fields,
        at_ns=at_ns(decision.at_ms, decision.decision),
    )


def ledger_points(
    rows: Iterable[LedgerRow],
    devices: Mapping[str, Device],
    online: Mapping[str, bool],
    measured_at_ms: Mapping[str, int],
    at_ms: int,
) -> list[Point]:
    """One point a registered device: how many of its readings came, are missing, will never come; all its streams.

    A device that never spoke has no ledger row and completeness unknown: its point says only that it is not there.
    """
    sums: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        have, missing, gone = sums.get(row.device, (0, 0, 0))
        own = count_readings(row)
        sums[row.device] = (have + own[0], missing + own[1], gone + own[2])
    points = []
    for device in devices.values():
        have, missing, gone = sums.get(device.device, (0, 0, 0))
        fields: dict[str, float | str] = {
            "have": float(have),
            "missing": float(missing),
            "gone": float(gone),
            "online": float(online.get(device.device, False)),
        }
        if have + missing + gone:
            fields["completeness"] = have / (have + missing + gone)
        if device.device in measured_at_ms:
            fields["last_measured_at_ms"] = float(measured_at_ms[device.device])
        tags = {name: getattr(device, name) for name in ("device", "asset", "kind", "commune", "zone")}
        points.append(Point(measurement=LEDGER, tags=tags, fields=fields, at_ns=at_ns(at_ms)))
    return points


def count_readings(row: LedgerRow) -> tuple[int, int, int]:
    """(have, missing, gone) of one stream. Below the highest seq heard of, what is neither had nor gone is missing."""
    have = sum(last - first + 1 for first, last in row.have)
    gone = sum(last - first + 1 for first, last in row.gone)
    highest = max((last for _, last in (*row.have, *row.gone)), default=0)
    return have, highest - have - gone, gone


def health_point(figures: Mapping[str, float], at_ms: int) -> Point:
    """A counter's name with a point in it (quarantined.not_json) would need quotes in every query."""
    fields = {name.replace(".", "_"): float(value) for name, value in figures.items()}
    return Point(measurement=HEALTH, tags={}, fields=fields, at_ns=at_ns(at_ms))
