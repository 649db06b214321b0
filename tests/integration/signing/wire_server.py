"""A TLS server that keeps the very bytes it was sent, and answers from a script; threads, loopback.

What a request is, is read here from the raw bytes alone, by other code than the product's.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from signing import Request, Response, SigningKey, parse_request, sign_receipt

HOST = "localhost"
WAIT_S_MAX = 20.0
CUT = b""  # what a script returns to end the connection instead of answering
REASONS = {200: "OK", 201: "Created", 202: "Accepted", 302: "Found", 409: "Conflict", 503: "Unavailable"}

Script = Callable[[bytes], bytes]


@dataclass
class WireServer:
    """The server: what came in, and how each further request is answered, first `script`, then `answer`."""

    port: int
    cafile: Path
    answer: Script
    script: list[Script] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    connections: int = 0
    ended: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    @property
    def origin(self) -> str:
        return f"https://{HOST}:{self.port}"

    def requests(self) -> list[Request]:
        return [parse_raw(raw) for raw in self.received]


def parse_raw(raw: bytes) -> Request:
    """Read one request from the bytes of the wire: nothing is repaired, and the host is what was sent."""
    head, _, body = raw.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = request_line.split(" ")
    assert version == "HTTP/1.1"
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon == ":"
        assert not value.startswith("  ")
        headers.append((name, value.strip(" \t")))
    (host,) = [value for name, value in headers if name.lower() == "host"]
    return Request(method, f"https://{host}{target}", tuple(headers), body or None)


def http(status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> bytes:
    """The bytes of a response."""
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in (*headers, ("Content-Length", str(len(body))))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def signed_answer(
    raw: bytes,
    key: SigningKey,
    status: int,
    body: bytes,
    *,
    kind: str = "application/json",
    further: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An answer with a receipt for the request in `raw`, whether or not that one's signature holds."""
    request = parse_raw(raw)
    origin = request.target_uri[: request.target_uri.index("/", len("https://"))]
    signed = parse_request(request, origins=frozenset({origin}))
    headers = (("Content-Type", kind),)
    receipt = sign_receipt(signed, Response(status, headers, body), key, now=int(time.time()))
    return http(status, (*headers, *receipt, *further), body)


@contextmanager
def running_wire_server(
    folder: Path, answer: Script, *, name: str = HOST, context: ssl.SSLContext | None = None
) -> Iterator[WireServer]:
    """Serve until the block ends, with a certificate for `name` unless a context is given."""
    authority = trustme.CA()
    cafile = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(cafile))
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        authority.issue_cert(name).configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = WireServer(listener.getsockname()[1], cafile, answer)
        stop = threading.Event()
        threads: list[threading.Thread] = []

        def serve(plain: socket.socket) -> None:
            with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as tls:
                tls.settimeout(WAIT_S_MAX)
                server.connections += 1
                while _exchange(server, tls):
                    pass
            server.ended.put(server.connections)

        def accept() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError, OSError):
                    plain, _ = listener.accept()
                    plain.settimeout(WAIT_S_MAX)
                    thread = threading.Thread(target=serve, args=(plain,), daemon=True)
                    threads.append(thread)
                    thread.start()

        listener.settimeout(0.1)
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield server
        finally:
            stop.set()
            acceptor.join(WAIT_S_MAX)
            for thread in threads:
                thread.join(WAIT_S_MAX)


def _exchange(server: WireServer, tls: ssl.SSLSocket) -> bool:
    raw = b""
    while not _is_whole(raw):
        chunk = tls.recv(65536)
        if not chunk:
            return False
        raw += chunk
    server.received.append(raw)
    step = server.script.pop(0) if server.script else server.answer
    answer = step(raw)
    if answer == CUT:
        return False
    tls.sendall(answer)
    return b"Connection: close" not in answer


def _is_whole(raw: bytes) -> bool:
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
        if name == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return True
