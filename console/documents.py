"""The shapes the API answers with. Times go out as RFC 3339 UTC, booleans as true and false, unknown as absent."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from console.live import LiveDevice
from console.platform import DeferredDevice
from contract.decisions import Decision, IntentState, Lease, Rank
from contract.kind import Kind, MetricType, Value
from contract.moments import rfc3339
from contract.ports import AlarmRow, Device, LedgerRow
from contract.quality import words as quality_words
from contract.quarantine import Quarantined, Replayed

Document = dict[str, Any]

RULE_FIELDS = (
    "name", "group", "file", "line", "kind", "where", "when", "for_ms", "keep_for_ms", "doubtful", "severity",
    "text", "set", "lease_ms", "at_most", "broken",
)  # fmt: skip


def plain_value(type_of: MetricType | None, value: Value) -> Value | bool:
    """A value as its type is written: 0.0 and 1.0 of a boolean become false and true."""
    return bool(value) if type_of is MetricType.BOOLEAN else value


def metric_type(kind: Kind | None, metric: str) -> MetricType | None:
    found = kind.metrics.get(metric) if kind else None
    return found.type if found else None


def target_value(kind: Kind | None, target: str, to: float | None) -> float | bool | None:
    """The value of a target as it was written: true, not 1.0, for a valve."""
    found = kind.targets.get(target) if kind else None
    if to is None or found is None or found.type is not MetricType.BOOLEAN:
        return to
    return bool(to)


def device_document(device: Device, live: LiveDevice | None, now_ms: int) -> Document:
    return {
        "id": device.device,
        "kind": device.kind,
        "commune": device.commune,
        "zone": device.zone,
        "asset": device.asset,
        "name": device.name,
        "lat": device.lat,
        "lon": device.lon,
        "settings": dict(device.settings),
        "registered_at": rfc3339(device.registered_at_ms),
        **_contact(live, now_ms),
    }


def asset_document(device: Device, live: LiveDevice | None, now_ms: int) -> Document:
    return {
        "id": device.asset,
        "device": device.device,
        "kind": device.kind,
        "commune": device.commune,
        "zone": device.zone,
        "name": device.name,
        "lat": device.lat,
        "lon": device.lon,
        "settings": dict(device.settings),
        **_contact(live, now_ms),
    }


def _contact(live: LiveDevice | None, now_ms: int) -> Document:
    if live is None:
        return {"contact": "never", "last_seen": None}
    return {"contact": str(live.contact(now_ms)), "last_seen": rfc3339(live.silent_since_ms())}


def latest_document(kind: Kind | None, live: LiveDevice, now_ms: int) -> Document:
    """Metric → its newest value; what was never measured is absent."""
    return {
        metric: {
            "value": plain_value(metric_type(kind, metric), latest.value),
            "unit": kind.metrics[metric].unit if kind and metric in kind.metrics else "",
            "measured_at": rfc3339(latest.measured_at_ms),
            "received_at": rfc3339(latest.received_at_ms),
            "quality": quality_words(latest.quality),
            "stale": now_ms > live.stale_at_ms(latest, now_ms),
        }
        for metric, latest in sorted(dict(live.values).items())  # a copy: the view goes on meanwhile
    }


def reported_document(kind: Kind | None, live: LiveDevice) -> Document | None:
    """What the device says of its targets, and who rules each; None when it never said anything."""
    reported = live.reported
    if reported is None:
        return None
    return {
        "at": rfc3339(live.reported_at_ms),
        "version": reported.version,
        "state": {name: target_value(kind, name, value) for name, value in reported.state.items()},
        "by": dict(reported.by),
        "result": reported.result,
        "code": reported.code,
    }


def binding_documents(bindings: Sequence[tuple[str, int, int | None]]) -> list[Document]:
    return [{"device": device, "from": rfc3339(start), "until": rfc3339(end)} for device, start, end in bindings]


def stream_document(row: LedgerRow) -> Document:
    """``missing`` is what lies between 1 and the highest seq heard of and is neither had nor gone.

    ``clocks``: by how much a clock was found ahead, from which seq on. ``dated_roughly``: boots that may have been so
    much earlier than they are dated (null: nobody knows).
    """
    return {
        "stream": row.stream,
        "have": [list(span) for span in row.have],
        "missing": [list(span) for span in missing(row.have, row.gone)],
        "gone": [list(span) for span in row.gone],
        "seen_at": rfc3339(row.seen_at_ms) if row.seen_at_ms else None,
        "clocks": [
            {"boot": one.boot, "clock": one.clock, "since_seq": one.since_seq, "ahead_ms": one.ahead_ms}
            for one in row.skews
        ],
        "dated_roughly": [{"boot": boot, "earlier_ms": earlier_ms} for boot, earlier_ms in sorted(row.rough.items())],
    }


def missing(*known: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The inclusive ranges from 1 up to the highest known number that no range covers."""
    holes = []
    following = 1
    for start, end in sorted(span for spans in known for span in spans):
        if start > following:
            holes.append((following, start - 1))
        following = max(following, end + 1)
    return holes


def deferred_document(deferred: DeferredDevice) -> Document:
    return {
        "device": deferred.device,
        "kind": deferred.kind,
        "model": deferred.model,
        "first_seen": rfc3339(deferred.first_ms),
        "last_seen": rfc3339(deferred.last_ms),
        "readings": deferred.readings,
    }


def quarantine_document(row: Quarantined) -> Document:
    """The payload as text when it is UTF-8, otherwise in base64 under ``payload_base64``."""
    document: Document = {
        "number": row.number,
        "received_at": rfc3339(row.received_at_ms),
        "topic": row.topic,
        "device": row.device,
        "stream": row.stream,
        "seq": row.seq,
        "code": row.code,
        "sentence": row.sentence,
        "count": row.count,
        "seqs": list(row.seqs),
        "bytes": len(row.payload),
    }
    try:
        document["payload"] = bytes(row.payload).decode("utf-8")
    except UnicodeDecodeError:
        document["payload_base64"] = base64.b64encode(row.payload).decode("ascii")
    return document


def replayed_document(told: Replayed) -> Document:
    """What became of a row: how many readings are stored now, and what of it stays, and why."""
    return {
        "number": told.number,
        "device": told.device,
        "stored": told.readings,
        "stays": told.stays,
        "code": told.code,
        "sentence": told.sentence,
    }


def alarm_document(row: AlarmRow) -> Document:
    alarm = row.alarm
    return {
        "id": alarm.alarm,
        "rule": alarm.rule,
        "device": alarm.device,
        "asset": alarm.asset,
        "kind": alarm.kind,
        "severity": str(alarm.severity),
        "state": str(alarm.state),
        "since": rfc3339(alarm.since_ms),
        "fired_at": rfc3339(alarm.fired_at_ms),
        "resolved_at": rfc3339(alarm.resolved_at_ms),
        "text": dict(alarm.text),
        "because": alarm.because,
        "acknowledged": row.acknowledged_at_ms is not None,
        "acknowledged_by": row.acknowledged_by,
        "acknowledged_at": rfc3339(row.acknowledged_at_ms),
    }


def intent_document(state: IntentState, kind: Kind | None) -> Document:
    intent = state.intent
    return {
        "id": intent.intent,
        "wish": intent.wish,
        "asset": intent.asset,
        "target": intent.target,
        "to": target_value(kind, intent.target, intent.to),
        "rank": Rank(intent.rank).name.lower(),
        "reason": intent.reason,
        "by": intent.by,
        "decided_at": rfc3339(intent.decided_at_ms),
        "until": rfc3339(intent.until_ms),
        "step": str(state.step),
        "at": rfc3339(state.at_ms),
        "why": state.why,
    }


def decision_document(decision: Decision, kind: Kind | None) -> Document:
    return {
        "id": decision.decision,
        "at": rfc3339(decision.at_ms),
        "asset": decision.asset,
        "device": decision.device,
        "target": decision.target,
        "step": str(decision.step),
        "intent": decision.intent,
        "to": target_value(kind, decision.target, decision.to),
        "until": rfc3339(decision.until_ms),
        "version": decision.version,
        "reason": decision.reason,
        "why": decision.why,
        "by": decision.by,
    }


def lease_document(lease: Lease, kind: Kind | None) -> Document:
    return {
        "device": lease.device,
        "asset": lease.asset,
        "version": lease.version,
        "issued_at": rfc3339(lease.issued_ms),
        "state": str(lease.state),
        "code": lease.code,
        "targets": {
            name: {
                "to": target_value(kind, name, target.to),
                "until": rfc3339(target.until_ms),
                "reason": target.reason,
                "intent": target.intent,
            }
            for name, target in lease.targets.items()
        },
    }


def kind_document(kind: Kind) -> Document:
    return kind.as_document()


def rule_document(rule: Any) -> Document:
    """What a rule says of itself (``as_document``), or what can be read off it; what it does not have is left out."""
    told = rule.as_document() if hasattr(rule, "as_document") else rule
    document: Document = {}
    for field in RULE_FIELDS:
        value = told.get(field) if isinstance(told, Mapping) else getattr(told, field, None)
        if value is not None:
            document[field] = msgspec.to_builtins(value, enc_hook=str)
    return document
