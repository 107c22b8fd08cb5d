"""The report of a study that is running: the page, from a server on the loopback address, following the records."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lightning_pepr.report.data import nothing_yet
from lightning_pepr.report.page import TITLE, render, to_json

ADDRESS = "127.0.0.1"
PORT = 8650

IDLE_S = 5.0
"""How long a connection stays open on which nothing comes."""

MOST = 64
"""Connections that are open at once, each with a thread; one more, and the oldest is closed."""


class _Server(ThreadingHTTPServer):
    """A server of few connections, of which a client that breaks one off prints nothing."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *address: Any) -> None:
        self._open: dict[Any, None] = {}  # the oldest first
        self._lock = threading.Lock()
        super().__init__(*address)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            while len(self._open) >= MOST:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread then finds the end, and closes it
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def host_names(port: int) -> set[str]:
    """What browsers call this host; they leave out the port of HTTP.

    >>> sorted(host_names(80) - host_names(81))
    ['127.0.0.1', '127.0.0.1:80', 'localhost', 'localhost:80']
    """
    ends = [f":{port}", *([""] if port == 80 else [])]
    return {name + end for name in (ADDRESS, "localhost") for end in ends}


class ReportServer:
    """Serves a report that is made anew when its sources have changed.

    It listens on the loopback address alone, answers nobody who calls it by another name (so that no web site can have
    a browser read it), and gives out nothing but the page and its data.

    Args:
        collect: Gives what the page shows, as `data.collect` does. What it raises, such as that there is no record
            yet, is among its notes.
        fingerprint: What changes when the sources do. What it raises is among the notes too, and it is asked again.
        port: Where to listen; 0 is any free one.
        title: What the page is called.
        command: How it is made.

    Raises:
        OSError: If the port is taken.
    """

    def __init__(
        self,
        collect: Callable[[], dict[str, Any]],
        fingerprint: Callable[[], object],
        *,
        port: int = PORT,
        title: str = TITLE,
        command: str = "",
    ) -> None:
        self._collect, self._fingerprint = collect, fingerprint
        self._title, self._command = title, command
        self._lock = threading.Lock()
        self._seen: object = None
        self._data: dict[str, Any] = {}
        self._body, self._tag = b"", ""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = IDLE_S

            def do_GET(self) -> None:
                server._answer(self)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Keep the terminal for the address."""

        self._http = _Server((ADDRESS, port), Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self._http.server_port}/"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or Ctrl-C."""
        self._http.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stop the thread that answers, and let go of the port."""
        self._http.shutdown()
        self.release()

    def release(self) -> None:
        """Let go of the port."""
        self._http.server_close()

    def __enter__(self) -> ReportServer:
        threading.Thread(target=self.serve, name="pepr-report", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _current(self) -> tuple[dict[str, Any], bytes, str]:
        """The data as they are now, as JSON, and the tag of that."""
        with self._lock:
            found: object = object()  # like no other, so that one that fails is asked again
            try:
                found = self._fingerprint()
                if not self._body or found != self._seen:
                    self._take(self._collect())
            except Exception as error:  # whatever it is: who looks at the page is to know why it stands still
                known = isinstance(error, (ValueError, OSError)) and str(error)
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                self._take({**self._data, "notes": [reason]} if self._data else nothing_yet(reason))
            self._seen = found
            return self._data, self._body, self._tag

    def _take(self, data: dict[str, Any]) -> None:
        body = to_json(data).encode()
        self._tag = f'"{hashlib.sha256(to_json({**data, "made": ""}).encode()).hexdigest()[:32]}"'
        self._data, self._body = data, body

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers.get("Host") not in host_names(self._http.server_port):
            return _send(request, 403, "text/plain", b"This report is for this computer alone.\n")
        path = request.path.partition("?")[0]
        if path not in ("/", "/data.json"):
            return _send(request, 404, "text/plain", b"There is a page at / and nothing else.\n")
        data, body, tag = self._current()
        if path == "/data.json":
            if request.headers.get("If-None-Match") == tag:
                return _send(request, 304, "application/json", b"", tag)
            return _send(request, 200, "application/json", body, tag)
        page = render({**data, "live": True, "tag": tag}, title=self._title, command=self._command)
        return _send(request, 200, "text/html; charset=utf-8", page.encode(), tag)


def _send(request: BaseHTTPRequestHandler, status: int, kind: str, body: bytes, tag: str = "") -> None:
    request.send_response(status)
    if status != 304:
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
    headers = {
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
    }
    for name, value in (headers | ({"ETag": tag} if tag else {})).items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
