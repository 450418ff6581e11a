"""A real InfluxDB 2 in a process of its own, on a free port of loopback, with an organisation, a bucket and a token."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from nabd.process import free_port
from stand.peers import peer

START_S_MAX = 60.0
END_S_MAX = 20.0


class InfluxServer:
    """May be killed, frozen, started again; whoever makes one calls `end`. `token` may do everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.org, self.bucket = "nabd", "nabd"
        self.token, self._password = secrets.token_urlsafe(32), secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()
        self._ask("POST", "/api/v2/setup", username="admin", password=self._password, token=self.token,
                  org=self.org, bucket=self.bucket, retentionPeriodSeconds=0)  # fmt: skip
        [org] = self.api("GET", f"/api/v2/orgs?org={self.org}")["orgs"]
        self.org_id: str = org["id"]
        [bucket] = self.api("GET", f"/api/v2/buckets?name={self.bucket}")["buckets"]
        self.bucket_id: str = bucket["id"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    # -- its life

    def start(self) -> None:
        """Start it on the same port and data; returns when it answers."""
        command = [str(peer("influxd")), "--http-bind-address", f"127.0.0.1:{self.port}", "--reporting-disabled"]
        command += ["--bolt-path", str(self.folder / "influxd.bolt"), "--sqlite-path", str(self.folder / "influxd.db")]
        command += ["--engine-path", str(self.folder / "engine"), "--log-level", "warn"]
        with (self.folder / "influxd.log").open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline_s = time.monotonic() + START_S_MAX
        while not self.is_ready():
            assert self._process.poll() is None, f"influxd ended at its start: {self.log()[-2000:]}"
            assert time.monotonic() < deadline_s, f"influxd does not answer: {self.log()[-2000:]}"
            time.sleep(0.02)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(END_S_MAX)

    def freeze(self) -> None:
        """It takes connections and answers nothing, until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.thaw()
            self._process.terminate()
            try:
                self._process.wait(END_S_MAX)
            except subprocess.TimeoutExpired:
                self.kill()

    def save(self, copy: Path) -> None:
        """A copy of all it holds. It is ended for that, and started again."""
        self.end()
        shutil.copytree(self.folder, copy)
        self.start()

    def put_back(self, copy: Path) -> None:
        """What `save` saved, instead of what it holds now."""
        self.end()
        shutil.rmtree(self.folder)
        shutil.copytree(copy, self.folder)
        self.start()

    @staticmethod
    def now_ms() -> int:
        """Its clock, by which retention goes: the machine's."""
        return time.time_ns() // 1_000_000

    def log(self) -> str:
        return (self.folder / "influxd.log").read_text(encoding="utf-8", errors="replace")

    # -- its affairs

    def api(self, method: str, path: str, **content: Any) -> Any:
        """Ask its API with the token that may do everything; the answer's document, None when there is none."""
        return self._ask(method, path, **content)

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        answer = httpx.request(
            method, self.url + path, json=content or None, headers={"Authorization": f"Token {self.token}"}, timeout=30
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def add_bucket(self, name: str, keep_s: int = 0) -> str:
        """The bucket's id; `keep_s` 0 keeps for ever."""
        rules = [{"type": "expire", "everySeconds": keep_s}] if keep_s else []
        return str(self.api("POST", "/api/v2/buckets", orgID=self.org_id, name=name, retentionRules=rules)["id"])

    def add_token(self, bucket_id: str, *actions: str) -> tuple[str, str]:
        """(id, token) of an authorization for one bucket; `actions` are read and write."""
        rights = [
            {"action": action, "resource": {"type": "buckets", "id": bucket_id, "orgID": self.org_id}}
            for action in actions
        ]
        made = self.api("POST", "/api/v2/authorizations", orgID=self.org_id, permissions=rights)
        return str(made["id"]), str(made["token"])

    def write(self, lines: str, bucket: str | None = None) -> None:
        """Line protocol, in nanoseconds, past the store."""
        answer = httpx.post(
            f"{self.url}/api/v2/write",
            params={"org": self.org, "bucket": bucket or self.bucket, "precision": "ns"},
            content=lines.encode(),
            headers={"Authorization": f"Token {self.token}"},
            timeout=30,
        )
        assert answer.status_code == 204, answer.text

    def ask(self, influxql: str, bucket: str | None = None) -> list[dict[str, Any]]:
        """The rows of all series of a query; each row has its series' name as `measurement` and its tags."""
        answer = httpx.post(
            f"{self.url}/query",
            params={"db": bucket or self.bucket, "epoch": "ns"},
            data={"q": influxql},
            headers={"Authorization": f"Token {self.token}"},
            timeout=30,
        )
        assert answer.is_success, answer.text
        document = answer.json()
        rows = []
        for result in document["results"]:
            assert "error" not in result, result["error"]
            for series in result.get("series", ()):
                known = {"measurement": series.get("name"), **series.get("tags", {})}
                rows += [known | dict(zip(series["columns"], row, strict=True)) for row in series["values"]]
        return rows


def never_set_up(folder: Path) -> InfluxServer:
    """One as its package installs it: it runs, and knows no user, organisation, bucket or token."""
    server = InfluxServer(folder)
    server.end()
    shutil.rmtree(folder)
    folder.mkdir()
    server.start()
    return server
