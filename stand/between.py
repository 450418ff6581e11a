"""An HTTP server between a client and a real server: passes on, waits, or answers itself, as a test wants."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Answer = tuple[int, dict[str, str], bytes]
Choose = Callable[[str, bytes], Answer | None]
"""(path, body) → what to answer instead of the server; None: ask the server."""


class Between:
    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: it speaks TLS to its client."""
        self.server_url, self._scheme = url, "http" if tls is None else "https"
        self.choose: Choose = lambda path, body: None
        self.asked: list[tuple[str, bytes]] = []
        self.pass_on = threading.Event()  # cleared: every request waits here
        self.pass_on.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.asked.append((self.path, body))
                outer.pass_on.wait(60)
                try:
                    status, headers, content = outer.choose(self.path, body) or self._server(body)
                except httpx.HTTPError:  # the server is not there: as if this one were not either
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST  # noqa: N815  # its parent calls it so

            def _server(self, body: bytes) -> Answer:
                headers = {name: self.headers[name] for name in ("Authorization", "Content-Type") if self.headers[name]}
                answer = httpx.request(
                    self.command, outer.server_url + self.path, content=body, headers=headers, timeout=60
                )
                return answer.status_code, {"Content-Type": answer.headers.get("content-type", "")}, answer.content

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  # its parent's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def end(self) -> None:
        self.pass_on.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def between(url: str, tls: ssl.SSLContext | None = None) -> Iterator[Between]:
    server = Between(url, tls)
    try:
        yield server
    finally:
        server.end()
