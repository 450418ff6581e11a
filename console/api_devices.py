"""/api/v1: kinds, assets, devices, readings, and what is waiting or was turned away."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from console import acts, documents
from console.live import LiveDevice
from console.parameters import (
    QUALITY_SAYS,
    SHOWN_MAX,
    Limit,
    PageOf,
    Text,
    parse_duration,
    parse_quality,
    parse_time,
)
from console.platform import Platform
from console.problems import Problem
from console.replies import Json
from contract.document import nearest
from contract.kind import Kind, Metric, MetricType
from contract.moments import rfc3339
from contract.ports import Device, Store
from contract.quality import about, words
from contract.questions import ALLOWED, Aggregate, Question

READINGS_MAX = 50_000
EVERY_MS_MIN = 1_000
EVERY_MS_MAX = 366 * 86_400_000
DAY_MS = 86_400_000
AGGREGATE_SAYS = "of each step: mean, min, max, last, count or increase, as the metric's type has; only with every"


class DeviceBody(BaseModel):
    """A device as a technician enters it. Settings of its kind go under `settings` or beside the labels."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(max_length=64)
    kind: str = Field(max_length=64)
    commune: str = Field(max_length=64)
    zone: str = Field(default="", max_length=64)
    asset: str | None = Field(default=None, max_length=64)
    name: str = Field(default="", max_length=200)
    lat: float | None = Field(default=None, allow_inf_nan=False)
    lon: float | None = Field(default=None, allow_inf_nan=False)
    settings: dict[str, Any] = Field(default_factory=dict, max_length=64)
    by: str = Field(default="api", max_length=200)


def routes(platform: Platform) -> APIRouter:
    router = APIRouter()
    _kinds(router, platform)
    _assets(router, platform)
    _devices(router, platform)
    _readings(router, platform)
    return router


def _kinds(router: APIRouter, platform: Platform) -> None:
    @router.get("/kinds", summary="All kinds of devices")
    def kinds() -> Response:
        items = [documents.kind_document(kind) for kind in platform.kinds.values()]
        return Json({"items": items, "total": len(items)})

    @router.get("/kinds/{kind}", summary="One kind: metrics, settings, targets")
    def one_kind(kind: str) -> Response:
        found = platform.kinds.get(kind)
        if found is None:
            raise Problem("not-found", f"there is no kind {kind[:40]!r}{nearest(kind[:40], platform.kinds)}")
        return Json(documents.kind_document(found))


def _assets(router: APIRouter, platform: Platform) -> None:
    @router.get("/assets", summary="Things in the street, with the device that sits on each now")
    def assets(page: PageOf, kind: Text = None, commune: Text = None, zone: Text = None, text: Text = None) -> Response:
        _known_kind(platform, kind)
        wanted = (text or "").lower()
        found = sorted(
            (
                live
                for live in platform.live.assets()
                if kind in (None, live.facts.kind)
                and commune in (None, live.facts.commune)
                and zone in (None, live.facts.zone)
                and wanted in f"{live.facts.asset} {live.facts.device} {live.facts.name}".lower()
            ),
            key=lambda live: live.facts.asset,
        )
        now_ms = platform.clock.now_ms()
        items = [
            documents.asset_document(live.facts, live, now_ms) for live in found[page.offset : page.offset + page.limit]
        ]
        return Json({"items": items, "total": len(found)})

    @router.get("/assets/{asset}", summary="One asset: facts, newest values, who controls it, its controllers so far")
    def one_asset(asset: str) -> Response:
        bindings = platform.state.bindings(asset)
        live = platform.live.asset(asset)
        if live is None:
            raise Problem("not-found", f"there is no asset {asset[:64]!r}{_former(bindings)}")
        now_ms = platform.clock.now_ms()
        return Json(
            {
                **documents.asset_document(live.facts, live, now_ms),
                **_live_document(platform.kinds.get(live.facts.kind), live, now_ms),
                "bindings": documents.binding_documents(bindings),
            }
        )


def _former(bindings: Sequence[tuple[str, int, int | None]]) -> str:
    return f" with a device on it; the last one was {bindings[-1][0]}" if bindings else ""


def _live_document(kind: Kind | None, live: LiveDevice | None, now_ms: int) -> dict[str, Any]:
    if live is None:
        return {"latest": {}, "reported": None}
    return {
        "latest": documents.latest_document(kind, live, now_ms),
        "reported": documents.reported_document(kind, live),
    }


def _devices(router: APIRouter, platform: Platform) -> None:
    @router.get("/devices", summary="Registered devices")
    def devices(
        page: PageOf, kind: Text = None, commune: Text = None, zone: Text = None, text: Text = None
    ) -> Response:
        _known_kind(platform, kind)
        total, found = platform.state.devices(
            kind=kind, commune=commune, zone=zone, text=text, offset=page.offset, limit=page.limit
        )
        now_ms = platform.clock.now_ms()
        items = [documents.device_document(device, platform.live.device(device.device), now_ms) for device in found]
        return Json({"items": items, "total": total})

    @router.post("/devices", summary="Register a device, or change its facts", status_code=201)
    async def register(body: DeviceBody) -> Response:
        flat = {name: value for name, value in (body.model_extra or {}).items() if value is not None}
        if len(flat) > 64:
            raise Problem("invalid", "a device has at most 64 settings", ["body: more than 64 settings"])
        device, new = await acts.register(
            platform,
            acts.Registration(
                device=body.id, kind=body.kind, commune=body.commune, zone=body.zone, asset=body.asset or "",
                name=body.name, lat=body.lat, lon=body.lon, settings={**flat, **body.settings}, by=body.by,
            ),
        )  # fmt: skip
        live = platform.live.device(device.device)
        document = documents.device_document(device, live, platform.clock.now_ms())
        return Json(document, 201 if new else 200, headers={"Location": f"/api/v1/devices/{device.device}"})

    @router.get("/devices/{device}", summary="One device")
    def one_device(device: str) -> Response:
        found = _device(platform, device)
        live = platform.live.device(device)
        now_ms = platform.clock.now_ms()
        return Json(
            {
                **documents.device_document(found, live, now_ms),
                "model": live.model if live else "",
                "firmware": live.firmware if live else "",
                "boot": live.boot if live else None,
                **_live_document(platform.kinds.get(found.kind), live, now_ms),
            }
        )

    @router.get("/devices/{device}/ledger", summary="Which readings came, which are missing, which are gone for good")
    def ledger(device: str) -> Response:
        _device(platform, device)
        streams = [documents.stream_document(row) for row in platform.ledger(device)]
        return Json({"device": device, "streams": streams, "unknown_metrics": platform.unknown_metrics(device)})

    @router.get("/deferred", summary="Devices that speak and are not registered")
    def deferred(page: PageOf) -> Response:
        waiting = sorted(platform.deferred(), key=lambda row: row.device)
        items = [documents.deferred_document(row) for row in waiting[page.offset : page.offset + page.limit]]
        return Json({"items": items, "total": len(waiting)})

    @router.get("/leases", summary="The latest lease of each device")
    def leases(device: Text = None, limit: Limit = 100) -> Response:
        found = platform.state.leases(device=device)
        items = [documents.lease_document(lease, _kind_of(platform, lease.device)) for lease in found[:limit]]
        return Json({"items": items, "total": len(found)})


def _readings(router: APIRouter, platform: Platform) -> None:
    @router.get("/devices/{device}/readings", summary="The readings of one metric")
    def readings(
        device: str,
        metric: Annotated[str, Query(max_length=64, description="a metric of the device's kind")],
        start: Annotated[str | None, Query(description="RFC 3339; a day before end when left out")] = None,
        end: Annotated[str | None, Query(description="RFC 3339, not included; now when left out")] = None,
        every: Annotated[str | None, Query(description="one value a step of this length, like 5m")] = None,
        aggregate: Annotated[str | None, Query(max_length=64, description=AGGREGATE_SAYS)] = None,
        limit: Annotated[int, Query(ge=1, le=READINGS_MAX)] = 10_000,
        quality: Annotated[str | None, Query(max_length=200, description=QUALITY_SAYS)] = None,
    ) -> Response:
        found = _device(platform, device)
        known = _metric(platform, found, metric)
        end_ms = parse_time("end", end) if end is not None else platform.clock.now_ms() + 1
        start_ms = parse_time("start", start) if start is not None else end_ms - DAY_MS
        if start_ms >= end_ms:
            raise Problem("invalid", "start: must lie before end", ["start: must lie before end"])
        question = Question(
            kind=found.kind, metric=metric, start_ms=start_ms, end_ms=end_ms, device=device, every_ms=_every(every),
            aggregate=_aggregate(known, aggregate, every), without=about(known, parse_quality(quality)),
        )  # fmt: skip
        kept, following_ms = _page(platform.store, question, limit)
        type_of = None if question.every_ms and question.aggregate is not Aggregate.LAST else known.type
        document: dict[str, Any] = {
            "device": device,
            "metric": metric,
            "unit": "" if question.aggregate is Aggregate.COUNT else known.unit,
            "readings": [[rfc3339(at_ms), documents.plain_value(type_of, value)] for at_ms, value in kept],
        }
        if question.every_ms is None:
            until_ms = end_ms if following_ms is None else following_ms
            document["marks"] = _marks(platform, found, known, start_ms, until_ms)
        if following_ms is not None:
            document["next"] = rfc3339(following_ms)
        return Json(document)


def _marks(platform: Platform, device: Device, metric: Metric, start_ms: int, end_ms: int) -> list[list[Any]]:
    """[time, words] of each reading that something is known against which can be about the metric."""
    rows = platform.store.marks(
        kind=device.kind, device=device.device, start_ms=start_ms, end_ms=end_ms, limit=READINGS_MAX
    )
    found = [(at_ms, words(about(metric, bits))) for at_ms, bits in rows]
    return [[rfc3339(at_ms), marks] for at_ms, marks in found if marks]


def _page(store: Store, question: Question, limit: int) -> tuple[list[tuple[int, Any]], int | None]:
    """(the rows of this page, where the next begins). What stands at one moment is never torn apart: where it alone is
    more than a page, the page is longer."""
    rows = list(store.readings(msgspec.structs.replace(question, limit=limit + 1)))
    if len(rows) <= limit:
        return rows, None
    following_ms = rows[limit][0]
    kept = [row for row in rows[:limit] if row[0] < following_ms]
    if kept:
        return kept, following_ms
    after_ms = following_ms + (question.every_ms or 1)
    moment = msgspec.structs.replace(question, end_ms=min(after_ms, question.end_ms), limit=READINGS_MAX)
    return list(store.readings(moment)), after_ms if after_ms < question.end_ms else None


def _every(every: str | None) -> int | None:
    return None if every is None else parse_duration("every", every, EVERY_MS_MIN, EVERY_MS_MAX)


def _aggregate(metric: Metric, aggregate: str | None, every: str | None) -> Aggregate | None:
    """What a step says; None when no step is asked for, or what it says by itself. Raises Problem."""
    allowed = ALLOWED[metric.type]
    sentence = ""
    if aggregate is None:
        if every is not None and metric.type is MetricType.ENUM:
            sentence = f"every: {metric.name} is a word, and words have no mean; leave it out, or say aggregate=last"
    elif every is None:
        sentence = f"aggregate: {aggregate[:SHOWN_MAX]!r} is told of steps only; say how long one is, like every=1h"
    elif aggregate not in allowed:
        sentence = (
            f"aggregate: {aggregate[:SHOWN_MAX]!r} is nothing that {metric.name} has, of type {metric.type}; "
            f"it has {', '.join(allowed)}"
        )
    if sentence:
        raise Problem("invalid", sentence, [sentence])
    return None if aggregate is None else Aggregate(aggregate)


def _device(platform: Platform, device: str) -> Device:
    found = platform.state.device(device)
    if found is None:
        waiting = any(row.device == device for row in platform.deferred())
        hint = "; it speaks but is not registered: POST /api/v1/devices" if waiting else ""
        raise Problem("not-found", f"there is no device {device[:40]!r}{hint}")
    return found


def _metric(platform: Platform, device: Device, metric: str) -> Metric:
    kind = platform.kinds.get(device.kind)
    metrics = kind.metrics if kind else {}
    if metric not in metrics:
        sentence = f"metric: {device.kind} has no {metric[:40]!r}{nearest(metric[:40], metrics)}"
        raise Problem("invalid", sentence, [sentence])
    return metrics[metric]


def _known_kind(platform: Platform, kind: str | None) -> None:
    if kind is not None and kind not in platform.kinds:
        sentence = f"kind: {kind[:40]!r} is not a kind{nearest(kind[:40], platform.kinds)}"
        raise Problem("invalid", sentence, [sentence])


def _kind_of(platform: Platform, device: str) -> Kind | None:
    live = platform.live.device(device)
    return platform.kinds.get(live.facts.kind) if live else None
