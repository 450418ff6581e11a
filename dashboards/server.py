"""A running Grafana: what lies there, put there what should, and never over somebody's work.

Theory of operation. Grafana keeps each saved version of a dashboard with a message. What Nabd pushes has a message that
begins with MARK; so when the newest version has another one, somebody edited the dashboard in Grafana. That holds also
where Grafana rewrites a document when it reads it. A push names the version it replaces, so that an edit made in the
same moment is refused by Grafana itself (412).
"""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException

from dashboards.comparing import differences

Answer = TypeVar("Answer")

MARK = "nabd dashboards push"
TIMEOUT_S = 10.0
SENTENCE_MAX = 200


class ServerFault(Exception):
    """Grafana cannot be reached, or refuses; the message says why, and the remedy."""


class Standing(StrEnum):
    MISSING = "missing"
    SAME = "same"
    OUTDATED = "outdated"  # as Nabd pushed it, from other sources than now
    EDITED = "edited"  # by hand, since Nabd pushed it or without it ever having


@dataclass(frozen=True)
class Found:
    """How one dashboard stands in Grafana, against its source."""

    uid: str
    standing: Standing
    differences: list[str]
    there: Mapping[str, Any] | None = None
    version: int = 0


class Grafana:
    """One server. Every method raises ServerFault, also when the whole answer is not there within `timeout_s`."""

    def __init__(self, url: str, token: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ServerFault(f"--url {url!r}: not an address; write for example https://grafana.city.ma")
        self.url, self._timeout_s = url, timeout_s
        prefix = parts.path.strip("/")
        self._api: Any = GrafanaApi(
            token,
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            url_path_prefix=f"{prefix}/" if prefix else "",
            timeout=timeout_s,
        )
        self._refuse_strangers()

    def close(self) -> None:
        self._api.client.s.close()

    def find(self, uid: str, wanted: Mapping[str, Any]) -> Found:
        answer = self._or_none(lambda: self._api.dashboard.get_dashboard(uid))
        if answer is None:
            return Found(uid, Standing.MISSING, [])
        there, version = answer["dashboard"], int(answer["dashboard"].get("version", 0))
        differing = differences(there, wanted)
        if not differing:
            return Found(uid, Standing.SAME, [], there, version)
        pushed = self._last_message(uid).startswith(MARK)
        return Found(uid, Standing.OUTDATED if pushed else Standing.EDITED, differing, there, version)

    def put(self, wanted: Mapping[str, Any], found: Found, folder_uid: str, digest: str) -> None:
        """Replace the version that `found` saw; one saved since then is refused."""
        body = {
            "dashboard": {**wanted, "id": None, "version": found.version},
            "folderUid": folder_uid,
            "message": f"{MARK} {digest}",
            "overwrite": False,
        }
        with self._faults(f"dashboard {found.uid}"):
            self._within(lambda: self._api.dashboard.update_dashboard(body))

    def make_folder(self, uid: str, title: str) -> None:
        """Unless it is there."""
        if self._or_none(lambda: self._api.folder.get_folder(uid)) is None:
            with self._faults(f"folder {title}"):
                self._within(lambda: self._api.folder.create_folder(title, uid=uid))

    def _last_message(self, uid: str) -> str:
        with self._faults(f"dashboard {uid}"):
            answer = self._within(
                lambda: self._api.dashboard_versions.get_dashboard_versions(dashboard_uid=uid, limit=1)
            )
        versions = answer.get("versions", []) if isinstance(answer, dict) else answer
        newest: Mapping[str, Any] = max(versions, key=lambda version: int(version.get("version", 0)), default={})
        return str(newest.get("message", ""))

    def _refuse_strangers(self) -> None:
        """A proxy or another program at this address answers, but not as Grafana."""
        with self._faults("its health"):
            answer = self._within(lambda: self._api.client.GET("/health"))
        if not isinstance(answer, dict) or "database" not in answer:
            raise ServerFault(f"{self.url}: answers, but is no Grafana; check --url")

    def _or_none(self, ask: Callable[[], Any]) -> Any:
        """The answer, or None for what is not there."""
        try:
            with self._faults("what is there"):
                return self._within(ask)
        except _NotThere:
            return None

    def _within(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, or requests' Timeout: its own is for the next byte alone, and a server may drip for ever."""
        told: queue.SimpleQueue[Callable[[], Answer]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answer = ask()
            except BaseException as error:
                told.put(lambda error=error: _raise(error))  # type: ignore[misc]
            else:
                told.put(lambda: answer)

        threading.Thread(target=run, daemon=True).start()  # left behind when it is late; the command ends then
        try:
            outcome = told.get(timeout=self._timeout_s)
        except queue.Empty:
            raise requests.exceptions.Timeout from None
        return outcome()

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.Timeout:
            raise ServerFault(
                f"{self.url}: gave no answer within {self._timeout_s:g} s about {what}; look at the server's load, or "
                "allow more with --timeout"
            ) from None
        except GrafanaException as error:
            raise self._told(error, what) from None
        except requests.exceptions.JSONDecodeError:
            raise ServerFault(f"{self.url}: answers, but is no Grafana (no JSON); check --url") from None
        except (requests.exceptions.RequestException, OSError) as error:
            raise ServerFault(
                f"{self.url}: cannot be reached ({str(error)[:SENTENCE_MAX]}); start Grafana, or mend --url"
            ) from None

    def _told(self, error: GrafanaException, what: str) -> ServerFault:
        told = error.response
        words = str(told.get("message", "") if isinstance(told, dict) else told or error.message)[:SENTENCE_MAX]
        if error.status_code == 404:
            if not isinstance(told, dict):
                return ServerFault(f"{self.url}: answers, but is no Grafana (404 for its API); check --url")
            return _NotThere(f"{self.url}: {what}: not there ({words})")
        remedy = {
            400: "when it is a provisioned dashboard, change its file instead (nabd dashboards build)",
            401: "the token is wrong or has expired: put one of a service account into --token-file",
            403: "the token may not do this: give its service account the role Editor, and edit rights on the folders",
            412: "somebody saved it in this moment: look with nabd dashboards diff, then push again",
        }.get(error.status_code, "the server's own log tells more")
        return ServerFault(f"{self.url}: {what}: answers {error.status_code} ({words}); {remedy}")


class _NotThere(ServerFault):
    pass


def _raise(error: BaseException) -> NoReturn:
    raise error


def keep_copy(found: Found, folder: Path) -> Path:
    """The document that is about to be replaced, in a file of its own; never over another. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found.uid}-v{found.version}.json"
    number = 1
    while path.exists():
        number += 1
        path = folder / f"{found.uid}-v{found.version}-{number}.json"
    path.write_text(json.dumps(found.there, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
