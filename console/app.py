"""The console: API, health and pages in one FastAPI app."""

import secrets
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from nicegui import Client, ui
from nicegui import app as nicegui_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.api import add_health, create_api
from console.desk import Desk
from console.language import Language, languages
from console.pages import alarms, asset, assets, commands, completeness, health, overview, quarantine
from console.pages.frame import Frame, card, empty
from console.platform import Platform
from contract.kind import LANGUAGES

LANGUAGE_COOKIE = "nabd_language"
QUASAR_LANGUAGE: dict[str, Any] = {"ar": "ar", "fr": "fr", "en": "en-US"}
PAGES = {
    "": overview.build,
    "/": overview.build,
    "/assets": assets.build,
    "/alarms": alarms.build,
    "/commands": commands.build,
    "/health": health.build,
    "/quarantine": quarantine.build,
    "/completeness": completeness.build,
}


def create_app(platform: Platform, *, pages: bool = True) -> FastAPI:
    """The whole console of one platform; without `pages`, only what programs use.

    NiceGUI keeps its pages per process, so a process has one app with pages: the last one made.
    """
    app = FastAPI(title="Nabd", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Headers)
    add_health(app, platform)
    app.mount("/api/v1", create_api(platform))
    if pages:
        _add_pages(app, platform)
    return app


def _add_pages(app: FastAPI, platform: Platform) -> None:
    static = Path(str(files("console") / "static"))
    app.mount("/static", StaticFiles(directory=static), name="static")
    desk = Desk(platform)
    nicegui_app.on_shutdown(desk.close)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    def root(request: Request) -> Response:
        return RedirectResponse(f"/{preferred(request)}/", 307)

    version = secrets.token_hex(4)  # a new start may bring new files: browsers ask once
    for language in languages().values():
        for path, build in PAGES.items():
            _page(f"/{language.code}{path}", desk, language, version)(build)
        _asset_page(desk, language, version)
    _lost_page(desk, version)
    ui.run_with(
        app,
        title="Nabd",
        favicon=static / "favicon.svg",
        language="en-US",
        dark=None,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=20.0,
    )


def _page(path: str, desk: Desk, language: Language, version: str) -> Any:
    def register(build: Any) -> None:
        async def show(request: Request) -> None:
            add_files(language, version)
            await build(desk, language, request).start()

        ui.page(path, language=QUASAR_LANGUAGE[language.code])(show)

    return register


def _asset_page(desk: Desk, language: Language, version: str) -> None:
    @ui.page(f"/{language.code}/assets/{{asset_id}}", language=QUASAR_LANGUAGE[language.code])
    async def show(request: Request, asset_id: str) -> None:
        add_files(language, version)
        await asset.build(desk, language, request, asset_id).start()


def _lost_page(desk: Desk, version: str) -> None:
    """An address that leads nowhere, told in the language it begins with."""

    @nicegui_app.exception_handler(404)
    async def lost(request: Request, _: Exception) -> Response:
        first = request.url.path.strip("/").split("/")[0]
        language = languages()[first if first in LANGUAGES else preferred(request)]
        with Client(ui.page("", language=QUASAR_LANGUAGE[language.code]), request=request) as client:
            add_files(language, version)
            frame = Frame(desk, language, "", request)
            title = language.text("empty.no_such_page")
            frame.title(title)
            ui.html(card(empty("explore_off", title, language.text("empty.no_such_page_advice"))), sanitize=False)
        return client.build_response(request, 404)


def add_files(language: Language, version: str) -> None:
    """The sheet and the script of every page, and the direction before anything is drawn."""
    ui.add_head_html(
        f"<script>document.documentElement.dir='{language.direction}'</script>"
        f'<link rel="stylesheet" href="/static/nabd.css?{version}">'
        f'<script src="/static/nabd.js?{version}"></script>'
    )
    ui.colors(primary="#0b6b62", positive="#18794e", negative="#b4121b", warning="#8a6100", info="#1d5fa8")


class Headers:
    """What every answer tells browsers: no other site may frame these pages and have its visitors click in them."""

    HEADERS = (
        (b"x-frame-options", b"DENY"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"same-origin"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.HEADERS]
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


def preferred(request: Request) -> str:
    """The language of the cookie, else the first of ours that the browser asks for, else Arabic."""
    cookie = request.cookies.get(LANGUAGE_COOKIE, "")
    if cookie in LANGUAGES:
        return cookie
    wishes = []
    for number, part in enumerate(request.headers.get("accept-language", "")[:500].split(",")):
        tag, _, parameters = part.strip().partition(";")
        quality = parameters.strip().removeprefix("q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            weight = 0.0
        wishes.append((-weight, number, tag.strip().lower().split("-")[0]))
    return next((code for weight, _, code in sorted(wishes) if code in LANGUAGES and weight < 0), LANGUAGES[0])
