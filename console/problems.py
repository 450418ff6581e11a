"""Errors as RFC 9457 problem documents: what is wrong, where, and what to do about it.

Every `type` is ``urn:nabd:problem:<word>``; the words are the keys of `PROBLEMS`, listed in docs/api.md.
"""

import logging
from collections.abc import Mapping, Sequence

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from contract.ports import LogFull, StoreFault

logger = logging.getLogger("console")

MEDIA_TYPE = "application/problem+json"

PROBLEMS: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "This address does not take that method"),
    "conflict": (409, "It contradicts what is there already"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The body must be JSON"),
    "invalid": (422, "Something in the request is not allowed"),
    "failed": (500, "The platform failed at this"),
    "unavailable": (503, "The platform cannot do this at the moment"),
    "undecided": (504, "It was kept but not decided in time"),
}
_BY_STATUS = {status: word for word, (status, _title) in PROBLEMS.items()}


class Problem(Exception):
    """One thing that went wrong, for the API to answer with and for a page to show."""

    def __init__(
        self, word: str, detail: str, faults: Sequence[str] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.word = word
        self.status, self.title = PROBLEMS[word]
        self.detail = detail
        self.faults = list(faults)
        self.headers = dict(headers or {})


def answer(problem: Problem) -> Response:
    document = {
        "type": f"urn:nabd:problem:{problem.word}",
        "title": problem.title,
        "status": problem.status,
        "detail": _readable(problem.detail),
        "faults": [_readable(fault) for fault in problem.faults],
    }
    return Response(msgspec.json.encode(document), problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, problem: Problem) -> Response:
        return answer(problem)

    @app.exception_handler(RequestValidationError)
    async def _validation(_: Request, error: RequestValidationError) -> Response:
        return answer(from_validation(error))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return answer(from_http(request, error))

    @app.exception_handler(LogFull)
    async def _full(_: Request, error: LogFull) -> Response:
        detail = f"the log is full, so nothing can be kept: {error}"
        return answer(Problem("unavailable", detail, headers={"Retry-After": "30"}))

    @app.exception_handler(StoreFault)
    async def _store(_: Request, error: StoreFault) -> Response:
        detail = f"the store of readings cannot be reached: {error}"
        return answer(Problem("unavailable", detail, headers={"Retry-After": "5"}))

    @app.exception_handler(OSError)
    async def _disk(request: Request, error: OSError) -> Response:
        logger.error("event=request_failed path=%s reason=%s", request.url.path, error)
        return answer(Problem("unavailable", str(error) or type(error).__name__, headers={"Retry-After": "30"}))

    @app.exception_handler(Exception)
    async def _failed(request: Request, error: Exception) -> Response:
        logger.error("event=request_failed path=%s", request.url.path, exc_info=error)
        detail = f"{type(error).__name__}; the platform's log tells more"
        return answer(Problem("failed", detail))


def from_validation(error: RequestValidationError) -> Problem:
    """FastAPI's findings as sentences ``query.limit: …``; the input itself is not sent back."""
    faults = []
    malformed = False
    for found in error.errors():
        malformed = malformed or found["type"] == "json_invalid"
        place = ".".join(str(part) for part in found["loc"])
        faults.append(f"{place}: {found['msg']}")
    if malformed:
        return Problem("malformed", "the body is not JSON", faults)
    return Problem("invalid", f"{len(faults)} thing(s) to correct" if len(faults) > 1 else faults[0], faults)


def from_http(request: Request, error: HTTPException) -> Problem:
    word = _BY_STATUS.get(error.status_code)
    headers = dict(error.headers or {})
    if word == "not-found":
        return Problem(word, f"nothing is at {request.url.path}; /api/v1/openapi.json lists what there is")
    if word == "method-not-allowed":
        allowed = headers.get("Allow") or headers.get("allow", "")
        hint = f"; it takes {allowed}" if allowed else ""
        return Problem(word, f"{request.method} is not possible at {request.url.path}{hint}", headers=headers)
    if word is None:
        word = "malformed" if error.status_code < 500 else "failed"
    return Problem(word, str(error.detail), headers=headers)


def _readable(text: str) -> str:
    """Text that can be encoded: what a client sent may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode("utf-8")
