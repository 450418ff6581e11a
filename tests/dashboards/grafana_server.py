"""A small HTTP server that answers as Grafana's documented API does: health, folders, dashboards, their versions.

The answers are files in `grafana/`, in the shape the documentation of Grafana 11 shows; what a request names is filled
in. No Grafana was run for them.
"""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANSWERS = Path(__file__).parent / "grafana"
TOKEN = "glsa_test"


def answer(name: str, **facts: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ANSWERS / f"{name}.json").read_text(encoding="utf-8"))
    return document | facts


class GrafanaServer:
    """Folders and dashboards in memory. `trouble` answers instead, when it returns something."""

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, list[dict[str, Any]]] = {}  # uid → versions: document, message, folder
        self.trouble: Callable[[str, str], tuple[int, Any] | None] = lambda method, path: None
        self.versions_as_list = False  # as before Grafana 11.4
        self.requests: list[tuple[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # an answer in one packet

            def do_GET(self) -> None:
                self._serve("GET", None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self._serve("POST", json.loads(self.rfile.read(length)))

            def _serve(self, method: str, body: Any) -> None:
                length = int(self.headers.get("Content-Length", 0)) if method == "GET" else 0
                self.rfile.read(length)
                path = self.path.split("?")[0]
                server.requests.append((method, path))
                status, document = server.reply(method, path, body, self.headers.get("Authorization", ""))
                content = document.encode() if isinstance(document, str) else json.dumps(document).encode()
                self.send_response(status)
                kind = "text/html" if isinstance(document, str) else "application/json; charset=UTF-8"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def edit(self, uid: str, title: str) -> None:
        """As somebody does in Grafana's own pages."""
        document = json.loads(json.dumps(self.dashboards[uid][-1]["document"]))
        document["panels"][0]["title"] = title
        self._save(uid, document, "", self.dashboards[uid][-1]["folder"])

    def reply(self, method: str, path: str, body: Any, authorization: str) -> tuple[int, Any]:
        if (trouble := self.trouble(method, path)) is not None:
            return trouble
        if path == "/api/health":
            return 200, answer("health")
        if authorization != f"Bearer {TOKEN}":
            return 401, answer("unauthorized")
        parts = path.removeprefix("/api/").split("/")
        if method == "GET" and parts[0] == "folders":
            return self._folder(parts[1])
        if (method, path) == ("POST", "/api/folders"):
            self.folders[body["uid"]] = body["title"]
            return self._folder(body["uid"])
        if method == "GET" and parts[:2] == ["dashboards", "uid"]:
            return self._versions(parts[2]) if parts[3:] == ["versions"] else self._dashboard(parts[2])
        if (method, path) == ("POST", "/api/dashboards/db"):
            return self._db(body)
        return 404, answer("dashboard_missing", message="Not found")

    def _folder(self, uid: str) -> tuple[int, Any]:
        if uid not in self.folders:
            return 404, answer("folder_missing")
        return 200, answer("folder", uid=uid, title=self.folders[uid])

    def _dashboard(self, uid: str) -> tuple[int, Any]:
        if uid not in self.dashboards:
            return 404, answer("dashboard_missing")
        newest = self.dashboards[uid][-1]
        meta = answer("dashboard_meta", version=newest["document"]["version"], folderUid=newest["folder"])
        return 200, {"meta": meta, "dashboard": newest["document"]}

    def _versions(self, uid: str) -> tuple[int, Any]:
        listed = [
            answer("version", uid=uid, version=one["document"]["version"], message=one["message"])
            for one in reversed(self.dashboards[uid])
        ]
        return 200, listed if self.versions_as_list else {"continueToken": "", "versions": listed}

    def _db(self, body: Any) -> tuple[int, Any]:
        document = body["dashboard"]
        uid = document["uid"]
        there = self.dashboards.get(uid)
        if there and not body["overwrite"] and there[-1]["document"]["version"] != document["version"]:
            return 412, answer("conflict")
        self._save(uid, document, body["message"], body["folderUid"])
        return 200, answer("saved", uid=uid, version=self.dashboards[uid][-1]["document"]["version"])

    def _save(self, uid: str, document: dict[str, Any], message: str, folder: str) -> None:
        versions = self.dashboards.setdefault(uid, [])
        saved = {**document, "id": 7, "version": len(versions) + 1}
        versions.append({"document": saved, "message": message, "folder": folder})
