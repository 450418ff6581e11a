"""/api/v1/quarantine: what could not be read, whole; replay it, drop it."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from console import documents, quarantine_acts
from console.parameters import ITEMS_MAX, Limit, Text, parse_time
from console.platform import Platform
from console.problems import Problem
from console.quarantine_acts import ROWS_MAX
from console.replies import Json
from contract.quarantine import Quarantined, Wanted

NUMBER_MAX = 2**53
Number = Annotated[int, Field(ge=1, le=NUMBER_MAX)]


class ActBody(BaseModel):
    """These rows; or those that match, from behind `after` up to `upto`, oldest first, `limit` at once."""

    model_config = ConfigDict(extra="forbid", strict=True)  # true is no number 1

    by: str = Field(max_length=200, description="who does it; it stands in the audit")
    numbers: list[Number] | None = Field(default=None, max_length=ROWS_MAX)
    code: str = Field(default="", max_length=64)
    device: str = Field(default="", max_length=64)
    since: str | None = Field(default=None, max_length=64, description="RFC 3339: that came then or later")
    after: int = Field(default=0, ge=0, le=NUMBER_MAX, description="`next` of the answer before")
    upto: Number | None = None
    limit: int = Field(default=ROWS_MAX, ge=1, le=ROWS_MAX)


def routes(platform: Platform) -> APIRouter:
    router = APIRouter()
    _looks(router, platform)
    _acts(router, platform)
    return router


def _looks(router: APIRouter, platform: Platform) -> None:
    @router.get("/quarantine", summary="What could not be read, newest first, whole and with the reason")
    def quarantine(
        limit: Limit = 100,
        before: Annotated[int | None, Query(ge=1, le=NUMBER_MAX, description="`next` of the page before")] = None,
        offset: Annotated[int, Query(ge=0, le=ITEMS_MAX)] = 0,
        code: Text = None,
        device: Text = None,
        since: Annotated[str | None, Query(max_length=64, description="RFC 3339: that came then or later")] = None,
    ) -> Response:
        wanted = _wanted(code, device, since)
        table = platform.log.quarantine_rows
        rows = list(table.page(offset + limit + 1, before=before, wanted=wanted))[offset:]
        items = [documents.quarantine_document(row) for row in rows[:limit]]
        document: dict[str, Any] = {"items": items, "total": table.count(wanted)}
        if len(rows) > limit:
            document["next"] = rows[limit - 1].number
        return Json(document)

    @router.get("/quarantine/{number}", summary="One row of the quarantine")
    def one(number: int) -> Response:
        return Json(documents.quarantine_document(_row(platform, number)))

    @router.get("/quarantine/{number}/raw", summary="The bytes of one row, as they came")
    def raw(number: int) -> Response:
        headers = {
            "Content-Disposition": f'attachment; filename="quarantine-{number}.bin"',
            "Cache-Control": "no-store",
        }
        return Response(_row(platform, number).payload, media_type="application/octet-stream", headers=headers)


def _acts(router: APIRouter, platform: Platform) -> None:
    @router.post("/quarantine/replay", summary="Store what reads now; what does not stays with its new sentence")
    async def replay(body: ActBody) -> Response:
        numbers, following = await _meant(platform, body)
        told = await quarantine_acts.replay(platform, numbers, body.by)
        document: dict[str, Any] = {
            "items": [documents.replayed_document(one) for one in told],
            "total": len(told),
            "stored": sum(one.readings for one in told),
            "stay": sum(one.stays for one in told),
        }
        return Json(document | following)

    @router.post("/quarantine/drop", summary="Let go of rows for good: their readings are named as gone")
    async def drop(body: ActBody) -> Response:
        if body.numbers is None and body.upto is None:
            sentence = "upto: missing; name the newest row you have seen, so that none is dropped that nobody has seen"
            raise Problem("invalid", sentence, [sentence])
        numbers, following = await _meant(platform, body)
        return Json({"dropped": await quarantine_acts.drop(platform, numbers, body.by)} | following)


async def _meant(platform: Platform, body: ActBody) -> tuple[Sequence[int], dict[str, int]]:
    """(the rows an act is about, `next` where there may be more)."""
    if body.numbers is not None:
        if body.code or body.device or body.since or body.upto is not None:
            sentence = "numbers: give either numbers or what to look for"
            raise Problem("invalid", sentence, [sentence])
        return body.numbers, {}
    wanted = _wanted(body.code, body.device, body.since)
    rows = await quarantine_acts.find(platform, wanted, body.after, body.upto, body.limit)
    numbers = [row.number for row in rows]
    return numbers, {"next": numbers[-1]} if len(numbers) == body.limit else {}


def _wanted(code: str | None, device: str | None, since: str | None) -> Wanted:
    return Wanted(code=code or "", device=device or "", since_ms=parse_time("since", since) if since else 0)


def _row(platform: Platform, number: int) -> Quarantined:
    rows = platform.log.quarantine_rows.rows([number]) if 0 < number <= NUMBER_MAX else []
    if not rows:
        raise Problem("not-found", f"there is no row {number} in the quarantine; it may have been replayed or dropped")
    return rows[0]
