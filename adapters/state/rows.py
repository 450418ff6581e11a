"""Structs of the contract as rows, and back."""

from typing import Any

import msgspec
from sqlalchemy import Row

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
)
from contract.ports import AlarmRow, Device
from contract.records import Registered

_json = msgspec.json.Encoder()
_settings: msgspec.json.Decoder[dict[str, float | str]] = msgspec.json.Decoder(dict[str, float | str])
_labels: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_targets: msgspec.json.Decoder[dict[str, LeaseTarget]] = msgspec.json.Decoder(dict[str, LeaseTarget])


def _text(value: Any) -> str:
    return _json.encode(value).decode()


def asset_row(registered: Registered) -> dict[str, Any]:
    return {
        "asset": registered.asset, "kind": registered.kind, "commune": registered.commune, "zone": registered.zone,
        "name": registered.name, "lat": registered.lat, "lon": registered.lon, "settings": _text(registered.settings),
    }  # fmt: skip


def device_of(row: Row[Any]) -> Device:
    """From devices outer-joined to assets: a device on no asset has no place, name or settings."""
    bound = row.asset is not None
    return Device(
        device=row.device,
        kind=row.kind,
        commune=row.commune if bound else "",
        zone=row.zone if bound else "",
        asset=row.asset if bound else "",
        name=row.name if bound else "",
        lat=row.lat,
        lon=row.lon,
        settings=_settings.decode(row.settings) if bound else {},
        registered_at_ms=row.registered_at_ms,
    )


def on_nothing(device: Device) -> Device:
    """A device as if it sat on no asset."""
    return msgspec.structs.replace(device, commune="", zone="", asset="", name="", lat=None, lon=None, settings={})


def on_asset(device: Device, facts: Row[Any]) -> Device:
    """A device as if it sat on this row of assets."""
    return msgspec.structs.replace(device, commune=facts.commune, zone=facts.zone, asset=facts.asset, name=facts.name,
        lat=facts.lat, lon=facts.lon, settings=_settings.decode(facts.settings))  # fmt: skip


def alarm_row(alarm: Alarm) -> dict[str, Any]:
    return {
        "alarm": alarm.alarm, "rule": alarm.rule, "device": alarm.device, "asset": alarm.asset, "kind": alarm.kind,
        "severity": alarm.severity.value, "state": alarm.state.value, "since_ms": alarm.since_ms,
        "fired_at_ms": alarm.fired_at_ms, "resolved_at_ms": alarm.resolved_at_ms, "text": _text(alarm.text),
        "because": alarm.because,
    }  # fmt: skip


def alarm_of(row: Row[Any]) -> AlarmRow:
    alarm = Alarm(
        alarm=row.alarm, rule=row.rule, device=row.device, asset=row.asset, kind=row.kind,
        severity=Severity(row.severity), state=AlarmState(row.state), since_ms=row.since_ms,
        fired_at_ms=row.fired_at_ms, resolved_at_ms=row.resolved_at_ms, text=_labels.decode(row.text),
        because=row.because,
    )  # fmt: skip
    return AlarmRow(alarm=alarm, acknowledged_by=row.acknowledged_by, acknowledged_at_ms=row.acknowledged_at_ms)


def intent_row(state: IntentState) -> dict[str, Any]:
    intent = state.intent
    return {
        "intent": intent.intent, "wish": intent.wish, "asset": intent.asset, "target": intent.target, "to": intent.to,
        "rank": int(intent.rank), "reason": intent.reason, "by": intent.by, "decided_at_ms": intent.decided_at_ms,
        "until_ms": intent.until_ms, "lease_ms": intent.lease_ms, "step": state.step.value, "at_ms": state.at_ms,
        "why": state.why,
    }  # fmt: skip


def intent_of(row: Row[Any]) -> IntentState:
    intent = Intent(
        intent=row.intent, asset=row.asset, target=row.target, to=row.to, rank=Rank(row.rank), reason=row.reason,
        by=row.by, decided_at_ms=row.decided_at_ms, until_ms=row.until_ms, lease_ms=row.lease_ms, wish=row.wish,
    )  # fmt: skip
    return IntentState(intent=intent, step=Step(row.step), at_ms=row.at_ms, why=row.why)


def decision_row(decision: Decision) -> dict[str, Any]:
    row = msgspec.structs.asdict(decision)
    row["step"] = decision.step.value
    return row


def decision_of(row: Row[Any]) -> Decision:
    return Decision(
        decision=row.decision, at_ms=row.at_ms, asset=row.asset, device=row.device, target=row.target,
        step=Step(row.step), intent=row.intent, to=row.to, until_ms=row.until_ms, version=row.version,
        reason=row.reason, why=row.why, by=row.by,
    )  # fmt: skip


def lease_row(lease: Lease) -> dict[str, Any]:
    return {
        "device": lease.device, "asset": lease.asset, "kind": lease.kind, "version": lease.version,
        "issued_ms": lease.issued_ms, "state": lease.state.value, "code": lease.code, "targets": _text(lease.targets),
    }  # fmt: skip


def lease_of(row: Row[Any]) -> Lease:
    return Lease(
        device=row.device, asset=row.asset, version=row.version, issued_ms=row.issued_ms,
        targets=_targets.decode(row.targets), state=Step(row.state), code=row.code, kind=row.kind,
    )  # fmt: skip
