"""/api/v1: alarms, intents, decisions, rules and the ledger's counts."""

from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from console import acts, documents
from console.parameters import Limit, PageOf, Text, parse_duration, parse_time
from console.platform import Platform
from console.problems import Problem
from console.replies import Json
from contract.kind import Kind

INTENT_MS_MIN = 1_000
INTENT_MS_MAX = 31 * 86_400_000
LEDGER_COUNTS = ("received", "accepted", "duplicate", "quarantined", "deferred")
SELECTOR_MAX = 16


class ByBody(BaseModel):
    by: str = Field(max_length=200, description="who has seen it")


class IntentBody(BaseModel):
    """A wish for a target: for one asset or for all that a selector finds, until a time or for a while."""

    model_config = ConfigDict(extra="forbid")

    asset: str | None = Field(default=None, max_length=64)
    selector: dict[str, str] | None = Field(default=None, description="kind, and commune, zone, circuit as wanted")
    target: str = Field(max_length=64)
    to: bool | float
    until: str | None = Field(default=None, max_length=64, description="RFC 3339")
    duration: str | None = Field(default=None, alias="for", max_length=40, description="like 20m")
    reason: str = Field(max_length=400)
    by: str = Field(max_length=200)
    rank: str = Field(default="operator", max_length=40)
    id: str = Field(default="", max_length=200, description="the same id twice is one intent")


def routes(platform: Platform) -> APIRouter:
    router = APIRouter()
    _alarms(router, platform)
    _intents(router, platform)
    _records(router, platform)
    _copies(router, platform)
    return router


def _alarms(router: APIRouter, platform: Platform) -> None:
    @router.get("/alarms", summary="Alarms, newest first")
    def alarms(
        page: PageOf,
        open: Annotated[bool, Query(description="only those that fire now")] = False,  # noqa: A002 - its public name
        asset: Text = None,
    ) -> Response:
        total, rows = platform.state.alarms(open_only=open, asset=asset, offset=page.offset, limit=page.limit)
        return Json({"items": [documents.alarm_document(row) for row in rows], "total": total})

    @router.get("/alarms/{alarm}", summary="One alarm")
    def one_alarm(alarm: str) -> Response:
        row = platform.state.alarm(alarm)
        if row is None:
            raise Problem("not-found", f"there is no alarm {alarm[:40]!r}")
        return Json(documents.alarm_document(row))

    @router.post("/alarms/{alarm}/acknowledge", summary="Note that somebody has seen it; it goes on until it resolves")
    async def acknowledge(alarm: str, body: ByBody) -> Response:
        return Json(documents.alarm_document(await acts.acknowledge(platform, alarm, body.by)))


def _intents(router: APIRouter, platform: Platform) -> None:
    @router.get("/intents", summary="Wishes and what became of each, newest first")
    def intents(asset: Text = None, limit: Limit = 100) -> Response:
        rows = platform.state.intents(asset=asset, limit=limit)
        items = [documents.intent_document(row, _kind_of(platform, row.intent.asset)) for row in rows]
        return Json({"items": items, "total": len(items)})

    @router.post("/intents", summary="Wish for a target", status_code=201)
    async def wish(body: IntentBody) -> Response:
        given = _wish(platform, body)
        outcome = await acts.wish(platform, given)
        document = {
            "id": outcome.intent,
            "assets": list(outcome.assets),
            "target": given.target,
            "to": body.to,
            "repeated": outcome.repeated,
            "results": [documents.intent_document(row, _kind_of(platform, row.intent.asset)) for row in outcome.states],
        }
        return Json(document, 200 if outcome.repeated else 201)

    @router.get("/intents/{intent}", summary="One wish: a row for each asset it is for")
    async def one_intent(intent: str) -> Response:
        rows = await acts.states_of(platform, intent)
        if not rows:
            raise Problem("not-found", f"there is no intent {intent[:40]!r}")
        return Json(_intent_rows(platform, intent, rows))

    @router.delete("/intents/{intent}", summary="Take a wish back before its end")
    async def withdraw(intent: str, by: Annotated[str, Query(max_length=200)] = "api") -> Response:
        return Json(_intent_rows(platform, intent, await acts.withdraw(platform, intent, by)))

    @router.get("/decisions", summary="The audit, newest first: what happened to whose wish, when and why")
    def decisions(asset: Text = None, limit: Limit = 100) -> Response:
        rows = platform.state.decisions(asset=asset, limit=limit)
        items = [documents.decision_document(row, _kind_of(platform, row.asset)) for row in rows]
        return Json({"items": items, "total": len(items)})


def _records(router: APIRouter, platform: Platform) -> None:
    @router.get("/rules", summary="The rules that hold")
    def rules() -> Response:
        items = [documents.rule_document(rule) for rule in platform.rules()]
        return Json({"items": items, "total": len(items)})

    @router.get("/ledger", summary="Counts of readings since the beginning, by what became of them")
    def ledger() -> Response:
        return Json(ledger_counts(platform))


def _copies(router: APIRouter, platform: Platform) -> None:
    copying = Lock()

    @router.post("/store/copy", summary="Copy the embedded store into DATA/copy, for a backup; null: it is a service")
    def copy_store() -> Response:
        if platform.copy_store is None:
            return Json({"position": None, "path": None})
        if not copying.acquire(blocking=False):
            raise Problem("conflict", "the store is being copied already; wait for that backup to end")
        try:
            position, place = platform.copy_store()
            return Json({"position": position, "path": place})
        except OSError as error:
            raise Problem("unavailable", f"the store cannot be copied: {error}") from None
        finally:
            copying.release()

    @router.post("/store/accept-loss", summary="Tell no longer what the store lacks for good; null: it lacks nothing")
    def accept_loss() -> Response:
        try:
            loss = platform.accept_loss()
        except OSError as error:
            raise Problem("unavailable", f"the store cannot note it: {error}") from None
        return Json({"first": None, "last": None} if loss is None else {"first": loss.first, "last": loss.last})


def ledger_counts(platform: Platform) -> dict[str, int]:
    """received = accepted + duplicate + quarantined + deferred; missing and gone are holes as they are now."""
    counts = platform.log.counts()
    totals = platform.totals()
    return {name: counts.get(name, 0) for name in LEDGER_COUNTS} | {
        name: totals.get(name, 0) for name in ("missing", "gone")
    }


def _intent_rows(platform: Platform, intent: str, rows: list[Any]) -> dict[str, Any]:
    return {
        "id": intent,
        "items": [documents.intent_document(row, _kind_of(platform, row.intent.asset)) for row in rows],
        "total": len(rows),
    }


def _wish(platform: Platform, body: IntentBody) -> acts.Wish:
    faults = []
    if (body.asset is None) == (body.selector is None):
        faults.append("asset, selector: give exactly one of them")
    if (body.until is None) == (body.duration is None):
        faults.append("until, for: give exactly one of them; a wish always ends")
    if body.selector is not None and len(body.selector) > SELECTOR_MAX:
        faults.append(f"selector: at most {SELECTOR_MAX} labels")
    if faults:
        raise Problem("invalid", faults[0], faults)
    for_ms = None
    if body.until is not None:
        until_ms = parse_time("until", body.until)
    else:
        assert body.duration is not None
        for_ms = parse_duration("for", body.duration, INTENT_MS_MIN, INTENT_MS_MAX)
        until_ms = platform.clock.now_ms() + for_ms
    labels = dict(body.selector or {})
    scope = acts.Scope(
        asset=body.asset or "", kind=labels.pop("kind", ""), commune=labels.pop("commune", ""),
        zone=labels.pop("zone", ""), settings=labels,
    )  # fmt: skip
    return acts.Wish(
        scope=scope, target=body.target, to=float(body.to), until_ms=until_ms, reason=body.reason, by=body.by,
        rank=body.rank, id=body.id, for_ms=for_ms,
    )  # fmt: skip


def _kind_of(platform: Platform, asset: str) -> Kind | None:
    live = platform.live.asset(asset)
    return platform.kinds.get(live.facts.kind) if live else None
