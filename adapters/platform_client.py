"""Asks a running platform over HTTP: the command line's way in, because the stores let one process in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

import httpx
import msgspec

from contract.records import Registered

PAGE = 500


class PlatformFault(Exception):
    """The platform does not answer or says no; the message is for the user."""


class PlatformClient:
    """A small face of /api/v1. It and every method raise PlatformFault with a sentence for the user."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self.url = url
        try:
            self._http = httpx.Client(base_url=url, timeout=timeout_s)
        except httpx.InvalidURL as error:
            raise PlatformFault(f"{url} is no address ({error}); write it like http://127.0.0.1:8080") from None

    def close(self) -> None:
        self._http.close()

    def health(self) -> Any:
        """/healthz as it is, also when the platform says it is not well."""
        response = self._send("GET", "/healthz")
        return _object(response)

    def get(self, path: str, **parameters: Any) -> Any:
        return _object(self._checked("GET", f"/api/v1/{path}", params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return _object(self._checked("POST", f"/api/v1/{path}", json=body))

    def add_device(self, device: Mapping[str, Any]) -> Any:
        """Register a device by what POST /devices takes; the device as it is registered now."""
        return self.post("devices", device)

    def register(self, registered: Registered) -> Any:
        """The same, from a registration (`by` is the platform's to say)."""
        facts = msgspec.to_builtins(registered)
        del facts["type"], facts["by"]
        return self.add_device({"id": facts.pop("device"), **facts})

    def devices(self, **filters: Any) -> Iterator[Mapping[str, Any]]:
        """All registered devices, page by page."""
        offset = 0
        while True:
            page = self.get("devices", offset=offset, limit=PAGE, **filters)
            yield from page["items"]
            offset += len(page["items"])
            if not page["items"] or offset >= page["total"]:
                return

    def headers(self, path: str, parameters: Mapping[str, Any]) -> Mapping[str, str]:
        """What a long answer would say of itself."""
        response = self._send("HEAD", f"/api/v1/{path}", params=dict(parameters))
        if not response.is_success:
            with self.stream(path, parameters):  # an answer to GET says why, one to HEAD has no words
                self._complain("HEAD", f"/api/v1/{path}", response)
        return response.headers

    @contextmanager
    def stream(self, path: str, parameters: Mapping[str, Any]) -> Iterator[Iterator[bytes]]:
        """A long answer in chunks. One that is broken off is a PlatformFault, never a short one."""
        url = f"/api/v1/{path}"
        try:
            with self._http.stream("GET", url, params=dict(parameters)) as response:
                if not response.is_success:
                    response.read()
                    self._complain("GET", url, response)
                yield self._chunks(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._silent(error) from None

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise PlatformFault(
                f"{self.url} broke its answer off ({error or type(error).__name__}); its own log tells why"
            ) from None

    def _checked(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = self._send(method, path, **options)
        if not response.is_success:
            self._complain(method, path, response)
        return response

    def _complain(self, method: str, path: str, response: httpx.Response) -> NoReturn:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        faults = [fault if isinstance(fault, str) else str(fault) for fault in problem.get("faults", [])]
        sentence = problem.get("detail") or problem.get("title") or response.reason_phrase
        raise PlatformFault("\n  ".join([f"{method} {path}: {response.status_code} {sentence}", *faults]))

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._silent(error) from None

    def _silent(self, error: Exception) -> PlatformFault:
        return PlatformFault(f"{self.url} does not answer ({error or type(error).__name__}); is nabd up running?")


def _object(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise PlatformFault(f"{response.url} answered with something that is not JSON; is it a Nabd?") from None
