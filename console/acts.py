"""What a person does to the city: register a device, acknowledge an alarm, wish for a target, take a wish back.

The API and the pages act through here, so both check the same and say the same. Each act is checked, becomes one record
in the log, and is answered when it has been decided. Everything refused is a Problem that names what to change.
"""

import asyncio
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from actuation.wishes import check_wish
from console.platform import Platform
from console.problems import Problem
from contract.decisions import AlarmState, IntentState, Rank, Step, identify
from contract.document import nearest
from contract.kind import SettingFault, check_settings
from contract.ports import AlarmRow, Device, LogFull
from contract.records import Acknowledged, Record, Registered, Wished, Withdrawn
from contract.wire.topics import RESERVED_IDS, is_device_id

DECIDED_S_MAX = 20.0  # an act that takes longer is kept all the same
SEEN_S_MAX, SEEN_STEP_S = 1.0, 0.01  # the live view follows the log at once; a late one holds nobody up
ASSETS_MAX = 5_000  # of one wish
FAULTS_MAX = 20
NAME_LENGTH_MAX = 64
REASON_LENGTH_MAX = 200
NUMBER_MAX = 1e15
RANKS = ("operator", "event", "schedule", "emergency", "maintenance")
ENDED = frozenset({Step.WITHDRAWN, Step.EXPIRED, Step.REFUSED, Step.INTERRUPTED})
_ASSET_ID = re.compile(r"[a-z0-9][a-z0-9:._-]{0,63}", re.ASCII)
_INTENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,63}", re.ASCII)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """What a technician enters of a device. `asset` empty: an asset of the same id."""

    device: str
    kind: str
    commune: str
    zone: str = ""
    asset: str = ""
    name: str = ""
    lat: float | None = None
    lon: float | None = None
    settings: Mapping[str, Any] = {}
    by: str = "api"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which assets a wish is for: one of them, or all of a kind that carry these labels and settings."""

    asset: str = ""
    kind: str = ""
    commune: str = ""
    zone: str = ""
    settings: Mapping[str, str] = {}  # text and choice settings, such as circuit


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    scope: Scope
    target: str
    to: float
    until_ms: int
    reason: str
    by: str
    rank: str = "operator"
    id: str = ""  # the same id twice is one wish
    for_ms: int | None = None  # its end was given as a duration from now: asked again, it is another moment


class WishOutcome(msgspec.Struct, frozen=True, kw_only=True):
    intent: str
    assets: tuple[str, ...]
    states: tuple[IntentState, ...]  # what became of it so far, one an asset where known
    repeated: bool  # it was there already; nothing was written


# ------------------------------------------------------------------------------------------------------ register


async def register(platform: Platform, given: Registration) -> tuple[Device, bool]:
    """Make a device known, or change its facts. Returns it and whether it is new.

    Raises Problem: invalid with all faults, conflict when the device exists with another kind.
    """
    async with platform.turns.of(f"device {given.device}"):
        known = await asyncio.to_thread(platform.state.device, given.device) if is_device_id(given.device) else None
        if known is not None and known.kind != given.kind and given.kind in platform.kinds:
            raise Problem(
                "conflict", f"{given.device} is registered as {known.kind}; a device of another kind needs another id"
            )
        record = check_registration(platform, given)
        await _submit(platform, record)
    device = await asyncio.to_thread(platform.state.device, given.device)
    if device is None:
        raise Problem("failed", f"{given.device} was kept in the log but is not in the registry; see the health page")
    return device, known is None


def check_registration(platform: Platform, given: Registration) -> Registered:
    """The record of a registration. Raises Problem with all that is wrong in it."""
    faults = []
    if not is_device_id(given.device):
        faults.append(
            f"id: {given.device[:40]!r} must be 1 to 32 of a-z, 0-9 and -, not beginning with -; "
            f"{', '.join(RESERVED_IDS)} are reserved"
        )
    asset = given.asset or given.device
    if given.asset and not _ASSET_ID.fullmatch(given.asset):
        faults.append(f"asset: {given.asset[:40]!r} must be 1 to 64 of a-z, 0-9 and : . _ -, beginning with a-z or 0-9")
    faults += check_text("name", given.name, NAME_LENGTH_MAX, required=False)
    faults += check_text("by", given.by, NAME_LENGTH_MAX, required=True)
    faults += _check_place(platform, given)
    settings: dict[str, float | str] = {}
    kind = platform.kinds.get(given.kind)
    if kind is None:
        faults.append(f"kind: {given.kind[:40]!r} is not a kind{nearest(given.kind[:40], platform.kinds)}")
    else:
        try:
            settings = check_settings(kind, _usable_settings(given.settings))
        except SettingFault as fault:
            faults += [f"settings.{sentence}" for sentence in fault.faults[:FAULTS_MAX]]
    if faults:
        raise _invalid(faults)
    return Registered(
        device=given.device, kind=given.kind, commune=given.commune, asset=asset, zone=given.zone,
        lat=given.lat, lon=given.lon, name=given.name.strip(), settings=settings, by=given.by.strip(),
    )  # fmt: skip


def _usable_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings whose values can be checked at all. Raises SettingFault."""
    faults = []
    for name, value in given.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and not abs(value) <= NUMBER_MAX:  # true of a number that is none, too
            faults.append(f"{name[:40]}: must be a number from -1e15 to 1e15")
        elif isinstance(value, str) and not value.isprintable():
            faults.append(f"{name[:40]}: must be printable text")
    if faults:
        raise SettingFault(faults)
    return {name[:40]: value for name, value in given.items()}


def _check_place(platform: Platform, given: Registration) -> list[str]:
    faults = []
    sites = {site.commune: site for site in platform.sites}
    site = sites.get(given.commune)
    if site is None:
        faults.append(
            f"commune: {given.commune[:40]!r} is not a commune of this platform{nearest(given.commune[:40], sites)}"
        )
    elif given.zone:
        zones = [zone.zone for zone in site.zones]
        if given.zone not in zones:
            faults.append(
                f"zone: {given.zone[:40]!r} is not a zone of {given.commune}{nearest(given.zone[:40], zones)}"
            )
    if (given.lat is None) != (given.lon is None):
        faults.append("lat, lon: give both or neither")
    for name, value, limit in (("lat", given.lat, 90), ("lon", given.lon, 180)):
        if value is not None and not -limit <= value <= limit:
            faults.append(f"{name}: must be degrees from -{limit} to {limit}")
    return faults


# --------------------------------------------------------------------------------------------------- acknowledge


async def acknowledge(platform: Platform, alarm: str, by: str) -> AlarmRow:
    """Note that somebody has seen an alarm. Doing it again changes nothing. Raises Problem."""
    faults = check_text("by", by, NAME_LENGTH_MAX, required=True)
    if faults:
        raise _invalid(faults)
    row = await asyncio.to_thread(platform.state.alarm, alarm)
    if row is None:
        raise Problem("not-found", f"there is no alarm {alarm[:40]!r}")
    if row.acknowledged_at_ms is not None:
        return row
    if row.alarm.state is AlarmState.PENDING:
        raise Problem("conflict", "the alarm is pending: it has not fired yet, so there is nothing to acknowledge")
    await _submit(platform, Acknowledged(alarm=alarm, by=by.strip()))
    return await asyncio.to_thread(platform.state.alarm, alarm) or row


# ---------------------------------------------------------------------------------------------------------- wish


def affected(platform: Platform, scope: Scope) -> list[Device]:
    """The devices whose assets a wish is for, by asset. Raises Problem when the scope is wrong or holds nothing."""
    if scope.asset:
        live = platform.live.asset(scope.asset)
        if live is None:
            raise Problem("not-found", f"there is no asset {scope.asset[:64]!r}")
        return [live.facts]
    kind = platform.kinds.get(scope.kind)
    if kind is None:
        raise _invalid([f"selector.kind: {scope.kind[:40]!r} is not a kind{nearest(scope.kind[:40], platform.kinds)}"])
    for name in scope.settings:
        if name not in kind.settings:
            raise _invalid([f"selector.{name[:40]}: {kind.name} has no such label{nearest(name[:40], kind.settings)}"])
    found = [live.facts for live in platform.live.assets() if _within(scope, live.facts)]
    if not found:
        raise _invalid([f"selector: no {scope.kind} matches it; /api/v1/assets shows what there is"])
    if len(found) > ASSETS_MAX:
        raise _invalid([f"selector: matches {len(found)} assets, more than {ASSETS_MAX}; narrow it by zone or circuit"])
    return sorted(found, key=lambda device: device.asset)


def _within(scope: Scope, device: Device) -> bool:
    return (
        device.kind == scope.kind
        and (not scope.commune or device.commune == scope.commune)
        and (not scope.zone or device.zone == scope.zone)
        and all(device.settings.get(name) == value for name, value in scope.settings.items())
    )


def check(platform: Platform, wish: Wish, devices: Iterable[Device]) -> list[str]:
    """What speaks against a wish, one sentence each; empty when nothing does."""
    faults = check_text("reason", wish.reason, REASON_LENGTH_MAX, required=True)
    faults += check_text("by", wish.by, NAME_LENGTH_MAX, required=True)
    if wish.rank not in RANKS:
        faults.append(f"rank: {wish.rank[:40]!r} is not one of {', '.join(RANKS)}")
    if wish.id and not _INTENT_ID.fullmatch(wish.id):
        faults.append(f"id: {wish.id[:40]!r} must be 1 to 64 letters, digits and : . _ -")
    if not math.isfinite(wish.to):
        return [*faults, "to: must be a number"]
    now_ms = platform.clock.now_ms()
    seen: dict[str, None] = {}
    for device in devices:
        kind = platform.kinds.get(device.kind)
        if kind is None:
            seen[f"kind: {device.kind!r} of {device.asset} is not known to this platform"] = None
            continue
        for sentence in check_wish(
            kind, device.settings, wish.target, wish.to, wish.until_ms, now_ms, wish.reason, wish.by
        ):
            seen.setdefault(sentence)
        if len(seen) >= FAULTS_MAX:
            break
    said = {fault.partition(":")[0] for fault in faults}  # of one field one fault is told
    return faults + [sentence for sentence in seen if sentence.partition(":")[0] not in said]


async def wish(platform: Platform, given: Wish) -> WishOutcome:
    """Wish for a target until a time. Answers when it is decided who rules. Raises Problem.

    Who heard no answer may ask again with the same id: it is answered with what became of the wish, also after its end.
    """
    if not given.id:
        return await _wish_once(platform, given)
    async with platform.turns.of(f"wish {given.id}"):
        return await _wish_once(platform, given)


async def _wish_once(platform: Platform, given: Wish) -> WishOutcome:
    devices = affected(platform, given.scope)
    assets = tuple(device.asset for device in devices)
    if given.id and (known := await states_of(platform, given.id)):
        _same(known, assets, given, round(DECIDED_S_MAX * 1000 * platform.clock.speed))
        return WishOutcome(intent=given.id, assets=assets, states=tuple(known), repeated=True)
    faults = check(platform, given, devices)
    if faults:
        raise _invalid(faults)
    intent = given.id or identify(
        "wish", platform.clock.now_ms(), *assets, given.target, given.to, given.until_ms, given.by, given.reason
    )
    record = Wished(
        intent=intent, assets=assets, target=given.target, to=float(given.to), until_ms=given.until_ms,
        rank=given.rank, reason=given.reason.strip(), by=given.by.strip(),
    )  # fmt: skip
    await _submit(platform, record)
    states = tuple(await states_of(platform, intent))
    return WishOutcome(intent=intent, assets=assets, states=states, repeated=False)


async def states_of(platform: Platform, intent: str) -> list[IntentState]:
    """What became of a wish: one state for each asset it is for; or of the one intent of that id."""
    rows = await asyncio.to_thread(lambda: platform.state.intents(wish=intent, limit=ASSETS_MAX))
    return sorted(rows, key=lambda row: row.intent.asset)


def _same(known: Sequence[IntentState], assets: Sequence[str], given: Wish, way_ms: int) -> None:
    """Raises Problem when the id was used for another wish. `way_ms`: how long one may be on its way to the log."""
    intent = known[0].intent
    mine = (given.target, float(given.to), given.rank, given.reason.strip(), given.by.strip())
    theirs = (intent.target, intent.to, intent.rank.name.lower(), intent.reason, intent.by)
    if given.for_ms is None:
        same_end = intent.until_ms == given.until_ms
    else:
        same_end = abs((intent.until_ms or 0) - intent.decided_at_ms - given.for_ms) <= way_ms
    if theirs != mine or not same_end or {row.intent.asset for row in known} != set(assets):
        raise Problem("conflict", f"id: {given.id} names another wish; choose a new id for a new wish")


async def withdraw(platform: Platform, intent: str, by: str) -> list[IntentState]:
    """Take a person's wish back before its end. Doing it again changes nothing. Raises Problem."""
    faults = check_text("by", by, NAME_LENGTH_MAX, required=True)
    if faults:
        raise _invalid(faults)
    rows = await states_of(platform, intent)
    if not rows:
        raise Problem("not-found", f"there is no intent {intent[:40]!r}")
    if rows[0].intent.rank in (Rank.RULE, Rank.DEFAULT):
        raise Problem(
            "conflict", f"{rows[0].intent.reason} wished it: a rule's wish lives while its condition holds; outrank it"
        )
    if all(row.step in ENDED for row in rows):
        return rows
    await _submit(platform, Withdrawn(intent=intent, by=by.strip()))
    return await states_of(platform, intent)


# -------------------------------------------------------------------------------------------------------- shared


async def _submit(platform: Platform, record: Record) -> int:
    """Into the log, decided, and seen by the live view, so that whoever acted finds it done.

    Raises Problem when it could not be kept, or was not decided in time.
    """
    try:
        submitted = asyncio.ensure_future(platform.submit(record))
        position = await asyncio.wait_for(asyncio.shield(submitted), DECIDED_S_MAX)
        for _ in range(round(SEEN_S_MAX / SEEN_STEP_S)):
            if platform.live.position >= position:
                break
            await asyncio.sleep(SEEN_STEP_S)
        return position
    except TimeoutError:
        raise Problem(
            "undecided", f"kept, but not decided within {DECIDED_S_MAX:.0f} s; the health page shows what is behind"
        ) from None
    except LogFull as error:
        headers = {"Retry-After": "30"}
        raise Problem("unavailable", f"the log is full, so nothing can be kept: {error}", headers=headers) from None
    except OSError as error:
        raise Problem("unavailable", f"the log cannot be written: {error}") from None


def check_text(name: str, text: str, most: int, *, required: bool) -> list[str]:
    stripped = text.strip()
    if required and not stripped:
        return [f"{name}: missing; it stands in the audit"]
    if len(stripped) > most or not stripped.isprintable():
        return [f"{name}: must be at most {most} printable characters on one line"]
    return []


def _invalid(faults: Sequence[str]) -> Problem:
    detail = faults[0] if len(faults) == 1 else f"{len(faults)} things to correct: {faults[0]}"
    return Problem("invalid", detail, faults)
