"""A plain HTTP client that talks to an app without a socket; an error of the app comes as its answer."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
from fastapi import FastAPI


class ApiClient:
    """httpx on the app's own loop, one call at a time."""

    def __init__(self, app: FastAPI) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://nabd")

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._send("GET", path, options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._send("POST", path, options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self._send("PUT", path, options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self._send("DELETE", path, options)

    def post_together(self, path: str, bodies: Iterable[Any]) -> list[httpx.Response]:
        """All at once; the answers in the order of the bodies."""

        async def all_of_them() -> list[httpx.Response]:
            return list(await asyncio.gather(*(self._client.post(path, json=body) for body in bodies)))

        return self._runner.run(all_of_them())

    def post_in_pieces(self, path: str, pieces: Iterable[bytes], headers: dict[str, str]) -> httpx.Response:
        """A body whose length nobody announces."""

        async def body() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return self._send("POST", path, {"content": body(), "headers": headers})

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **options))
