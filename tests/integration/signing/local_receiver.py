"""A merchant's own server on this machine, which keeps what is posted to it."""

from __future__ import annotations

import http.server


class Received(http.server.ThreadingHTTPServer):
    """A merchant's server on this machine."""

    status = 204

    def __init__(self) -> None:
        self.hooks: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Hook)


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Received)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.hooks.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""
