"""The HTTP side of the platform: /api/v1 as an app of its own, /healthz and /metrics beside it."""

from typing import Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console import api_acts, api_arrow, api_completeness, api_devices, api_quarantine, chatter, metrics, problems
from console.health import quarantine_document, read_health
from console.parameters import known_parameters
from console.platform import Platform
from console.problems import Problem, answer
from console.replies import Json
from console.streams import Streams
from contract.moments import rfc3339

BODY_BYTES_MAX = 64 * 1024
BATCH_FIGURES = ("last_batch_ms", "slowest_batch_ms")


def create_api(platform: Platform) -> FastAPI:
    """The app to mount at /api/v1. Its docs page would load scripts from elsewhere, so there is only openapi.json."""
    api = FastAPI(
        title="Nabd",
        version=platform.version,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_parameters)],
        redirect_slashes=False,
    )
    problems.install(api)
    api.include_router(api_devices.routes(platform))
    api.include_router(api_acts.routes(platform))
    api.include_router(api_quarantine.routes(platform))
    api.include_router(api_arrow.routes(platform, Streams(platform.registry)))
    api.include_router(api_completeness.routes(platform))
    api.add_middleware(BodyGuard)
    return api


def add_health(app: FastAPI, platform: Platform) -> None:
    """/healthz and /metrics."""
    figures = metrics.Figures(platform)
    problems.install(app)

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> Response:
        health = read_health(platform)
        document: dict[str, Any] = {
            "status": "ok" if not health.reasons else "ailing",
            "version": platform.version,
            "reasons": list(health.reasons),
            "now": rfc3339(platform.clock.now_ms()),
            "clock": dict(health.clock),
            "connected": health.connected,
            "holding": health.holding,
            "log": {"position": health.log_position, "bytes": health.log_bytes, **health.log},
            "ingest": {
                "append_p99_ms": round(health.append_p99_ms, 3),
                **{name: health.figures[name] for name in BATCH_FIGURES if name in health.figures},
            },
            "store_lag": health.lag.get("store"),
            "consumers": {
                name: {
                    "position": health.consumers[name],
                    "lag": health.lag[name],
                    "lag_s": round(health.lag_s[name], 1),
                }
                for name in health.consumers
            },
            "left_out": dict(health.left_out),
            "over_limit": [chatter.document(one) for one in health.over_limit],
            "aggregates": dict(health.aggregates),
            "mqtt": dict(health.mqtt),
            "quarantine": quarantine_document(health.quarantine),
            "devices": len(platform.live),
        }
        return Json(document, 503 if health.reasons else 200)

    @app.get("/metrics", include_in_schema=False)
    def prometheus() -> Response:
        body = generate_latest(figures.registry) + generate_latest(platform.registry)
        return PlainTextResponse(body, media_type=CONTENT_TYPE_LATEST)


class BodyGuard:
    """Refuses a body that is too large, or not JSON, before anything reads it.

    A page of another site can make a browser send forms and plain text here, but not JSON: that needs our consent,
    which no answer of ours gives. So requiring JSON is what keeps strangers' pages from acting on the city.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS", "DELETE"):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > BODY_BYTES_MAX:
            await answer(_too_large())(scope, receive, send)
            return
        media_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        if media_type != b"application/json":
            detail = "send the body as application/json"
            await answer(Problem("unsupported-media-type", detail, [f"content-type: {detail}"]))(scope, receive, send)
            return
        heard = 0

        async def bounded() -> Message:
            nonlocal heard
            message = await receive()
            heard += len(message.get("body", b""))
            if heard > BODY_BYTES_MAX:
                raise HTTPException(413, _too_large().detail)
            return message

        await self._app(scope, bounded, send)


def _too_large() -> Problem:
    detail = f"the body may have {BODY_BYTES_MAX} bytes at most"
    return Problem("too-large", detail, [f"body: {detail}"])
