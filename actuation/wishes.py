"""Checks an operator's wish before it is written: the same limits the arbiter holds, said while it can be mended."""

from collections.abc import Mapping

from actuation.intents import value_fault
from actuation.interlocks import instant
from contract.document import nearest
from contract.kind import Kind, Target

REASON_LENGTH_MAX = 200


def check_wish(
    kind: Kind,
    settings: Mapping[str, float | str],
    target: str,
    to: float,
    until_ms: int | None,
    now_ms: int,
    reason: str,
    by: str,
) -> list[str]:
    """One sentence for each thing wrong; empty when the wish may be written. Times are Unix ms of the city clock.

    Limits that depend on what has run before (a day, a rest) are not judged here: the arbiter does, and says so.
    """
    faults = []
    if not by.strip():
        faults.append("by: missing; say who wishes it")
    if not reason.strip():
        faults.append("reason: missing; say why in up to 200 characters: it is shown to everybody who asks")
    elif len(reason) > REASON_LENGTH_MAX:
        faults.append(f"reason: {len(reason)} characters, at most {REASON_LENGTH_MAX}")
    known = kind.targets.get(target)
    if known is None:
        faults.append(f"target: {kind.name} has no target {target!r}{nearest(target, kind.targets)}")
    else:
        faults += _value_faults(known, to)
    if until_ms is None:
        faults.append("until: missing; every wish ends at a time")
    elif until_ms <= now_ms:
        faults.append(f"until: {instant(until_ms)} is not after now, {instant(now_ms)}")
    elif known is not None and to != known.safe:
        faults += _run_faults(kind, known, settings, until_ms, now_ms)
    return faults


def _value_faults(target: Target, to: float) -> list[str]:
    if fault := value_fault(target, to):
        return [fault]
    if not target.minimum <= to <= target.maximum:
        return [f"{target.name}: {to:g} is outside {target.minimum:g} to {target.maximum:g}"]
    return []


def _run_faults(
    kind: Kind, target: Target, settings: Mapping[str, float | str], until_ms: int, now_ms: int
) -> list[str]:
    if not target.run_limit:
        return []
    limit_s = settings.get(target.run_limit, kind.settings[target.run_limit].default)
    if not isinstance(limit_s, (int, float)):
        return [
            f"{target.name}: {target.run_limit} is not set for this device; register it again with {target.run_limit}"
        ]
    latest_ms = now_ms + int(limit_s * 1000)
    if until_ms <= latest_ms:
        return []
    wished_s = (until_ms - now_ms) / 1000
    return [
        f"until: {instant(until_ms)} is {wished_s:.0f} s from now, over {target.run_limit} {limit_s:g} s; "
        f"ask for {instant(latest_ms - 999)} at the latest"
    ]
