"""JSON answers, encoded by msgspec: fast, and a number that is none goes out as null instead of breaking the answer."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response


class Json(Response):
    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code, headers)
        self.headers.setdefault("Cache-Control", "no-store")

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)
