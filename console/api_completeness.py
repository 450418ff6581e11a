"""/api/v1: how complete the readings are, and their gaps by name."""

from datetime import date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Response

from console.completeness import (
    Fate,
    NamedGap,
    Sum,
    completeness,
    day_of,
    day_start_ms,
    named_gaps,
    worst_first,
)
from console.parameters import TIME_MIN_MS, PageOf, Text, parse_time
from console.platform import Platform
from console.problems import Problem
from console.replies import Json
from contract.moments import rfc3339
from contract.tally import By, Key, Scope

DAYS_UNLESS_TOLD = 7
DAY_MS = 86_400_000

Moment = Annotated[str | None, Query(max_length=64)]


def routes(platform: Platform) -> APIRouter:
    router = APIRouter()
    _completeness(router, platform)
    _gaps(router, platform)
    return router


def _completeness(router: APIRouter, platform: Platform) -> None:
    zone = city_zone(platform)

    @router.get("/completeness", summary="How many of the expected readings came, by asset, zone, device or local day")
    def told(
        page: PageOf,
        by: By = By.ASSET,
        start: Annotated[Moment, Query(alias="from", description="RFC 3339; its whole local day")] = None,
        end: Annotated[Moment, Query(alias="to", description="RFC 3339, not included; its whole local day")] = None,
        kind: Text = None,
        commune: Text = None,
        zone_of: Annotated[Text, Query(alias="zone")] = None,
        asset: Text = None,
        device: Text = None,
    ) -> Response:
        _known_kind(platform, kind)
        days = local_days(platform, zone, start, end)
        scope = Scope(device=device, asset=asset, kind=kind, commune=commune, zone=zone_of)
        behind = platform.tally.catch_up()
        sums = completeness(platform, zone, by, scope, days)
        rows = sorted(sums.items()) if by is By.DAY else worst_first(sums)
        began = platform.tally.book.began()
        return Json(
            {
                "by": by.value,
                "from": rfc3339(day_start_ms(days.start, zone)),
                "to": rfc3339(day_start_ms(days.stop, zone)),
                "timezone": zone.key,
                "counted_since": rfc3339(began[0]) if began else None,
                "behind": behind,
                "all": sum_document(total(sums.values())),
                "items": [
                    {**key_document(by, key), **sum_document(one)}
                    for key, one in rows[page.offset : page.offset + page.limit]
                ],
                "total": len(rows),
            }
        )


def _gaps(router: APIRouter, platform: Platform) -> None:
    @router.get("/gaps", summary="Readings that are missing, gone, unreadable or came late, gap by gap")
    def gaps(
        page: PageOf,
        device: Text = None,
        asset: Text = None,
        kind: Text = None,
        commune: Text = None,
        zone: Text = None,
        state: Annotated[list[Fate] | None, Query(description="only these; all unless given")] = None,
        start: Annotated[Moment, Query(alias="from", description="RFC 3339")] = None,
        end: Annotated[Moment, Query(alias="to", description="RFC 3339, not included")] = None,
    ) -> Response:
        _known_kind(platform, kind)
        start_ms = parse_time("from", start) if start is not None else TIME_MIN_MS
        end_ms = parse_time("to", end) if end is not None else platform.clock.now_ms() + DAY_MS
        _in_order(start_ms, end_ms)
        scope = Scope(device=device, asset=asset, kind=kind, commune=commune, zone=zone)
        behind = platform.tally.catch_up()
        found = named_gaps(platform, scope, state or tuple(Fate), (start_ms, end_ms))
        items = [gap_document(part) for part in found[page.offset : page.offset + page.limit]]
        return Json({"items": items, "total": len(found), "behind": behind})


def city_zone(platform: Platform) -> ZoneInfo:
    return ZoneInfo(platform.sites[0].timezone if platform.sites else "Africa/Casablanca")


def local_days(platform: Platform, zone: ZoneInfo, start: str | None, end: str | None) -> range:
    """The local days that [start, end) touches; the last week unless told. Nothing is measured after tomorrow."""
    now_ms = platform.clock.now_ms()
    end_ms = min(parse_time("to", end), now_ms + DAY_MS) if end is not None else now_ms + 1
    last = day_of(max(end_ms - 1, TIME_MIN_MS), zone)
    if start is None:
        return range(last - DAYS_UNLESS_TOLD + 1, last + 1)
    start_ms = parse_time("from", start)
    _in_order(start_ms, end_ms)
    return range(day_of(start_ms, zone), last + 1)


def total(sums: Any) -> Sum:
    whole = Sum()
    for one in sums:
        whole.stored += one.stored
        whole.quarantined += one.quarantined
        whole.missing += one.missing
        whole.gone += one.gone
    return whole


def key_document(by: By, key: Key) -> dict[str, Any]:
    if isinstance(key, int):
        return {"day": date.fromordinal(key).isoformat()}
    names = ("commune", "zone") if by is By.ZONE else (by.value,)
    return dict(zip(names, key, strict=True))


def sum_document(one: Sum) -> dict[str, Any]:
    """`quarantined` are those of `had` that could not be read and are not stored."""
    ratio = one.completeness
    return {
        "expected": one.expected,
        "had": one.had,
        "quarantined": one.quarantined,
        "missing": one.missing,
        "gone": one.gone,
        "completeness": None if ratio is None else round(ratio, 6),
    }


def gap_document(part: NamedGap) -> dict[str, Any]:
    gap, place = part.gap, part.gap.place
    return {
        "device": place.device,
        "asset": place.asset,
        "kind": place.kind,
        "commune": place.commune,
        "zone": place.zone,
        "stream": gap.stream,
        "first": gap.first,
        "last": gap.last,
        "count": gap.count,
        "from": rfc3339(gap.from_ms),
        "to": rfc3339(gap.to_ms),
        "state": part.fate.value,
        "opened_at": rfc3339(gap.opened_ms),
        "closed_at": rfc3339(gap.closed_ms),
    }


def _in_order(start_ms: int, end_ms: int) -> None:
    if start_ms >= end_ms:
        sentence = "from: must lie before to, and in the past"
        raise Problem("invalid", sentence, [sentence])


def _known_kind(platform: Platform, kind: str | None) -> None:
    if kind is not None and kind not in platform.kinds:
        sentence = f"kind: {kind[:40]!r} is not a kind; known: {', '.join(sorted(platform.kinds))}"
        raise Problem("invalid", sentence, [sentence])
