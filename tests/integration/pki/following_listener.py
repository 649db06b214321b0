"""A listener as the mesh's Python processes are: it follows `current`, and reports what it uses."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509

from pki.errors import PKIError
from pki.tls import server_context
from tests.integration.pki.conftest import DOMAIN


def serial_of(folder: Path) -> str:
    return f"{x509.load_pem_x509_certificate((folder / 'cert.pem').read_bytes()).serial_number:x}"


@dataclass
class FollowingListener:
    """`stuck` is the generation that it goes on with, as a process does whose watcher died."""

    name: str
    current: Path
    port: int = 0
    stuck: Path | None = None

    @property
    def folder(self) -> Path:
        return self.stuck or self.current.resolve()

    def context(self) -> ssl.SSLContext:
        admit = frozenset({f"spiffe://{DOMAIN}/pki", f"spiffe://{DOMAIN}/gateway-sidecar"})
        return server_context(self.folder, admit=admit)

    def report(self) -> dict[str, Any]:
        folder = self.folder
        hashes = {
            f"{what}_sha256": hashlib.sha256((folder / f"{what}.pem").read_bytes()).hexdigest()
            for what in ("trust", "crl")
        }
        server = {"serial": serial_of(folder), **hashes, "open": 0, "oldest_age_s": 0.0, "peers": []}
        return {"name": self.name, "generation": folder.name, "server": server, "clients": []}

    def consumer(self) -> dict[str, Any]:
        address = {"host": "127.0.0.1", "port": self.port}
        listener = {"name": f"{self.name}.app", **address, "protocol": "http", "admits": "gateway-sidecar"}
        report = {**address, "expect": self.name, "path": "/identity"}
        return {"name": self.name, "type": "python", "listeners": [listener], "report": report}


@contextmanager
def following_listener(certs: Path, name: str) -> Iterator[FollowingListener]:
    """Serve until the context ends."""
    listener = FollowingListener(name, certs / "live" / name / "current")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:
            body = json.dumps(listener.report() if self.path == "/identity" else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: Any, client_address: Any) -> None:
            with suppress(OSError, PKIError):  # probes that are refused, generations that are not usable
                request.settimeout(5)
                with listener.context().wrap_socket(request, server_side=True) as connection:
                    Handler(connection, client_address, self)

        def shutdown_request(self, request: Any) -> None:
            with suppress(OSError):
                super().shutdown_request(request)

    with Server(("127.0.0.1", 0), Handler) as server:
        listener.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield listener
        finally:
            server.shutdown()
            thread.join(5)
