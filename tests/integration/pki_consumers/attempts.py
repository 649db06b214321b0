"""Connections of clients that are wrong in one way, and everything of the application that they get back."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from pki.consumers.contract import Credential
from pki.consumers.probing import probe_context
from tests.integration.pki_consumers.authorities import Authority
from tests.integration.pki_consumers.consumers import Consumers
from tests.integration.pki_consumers.expecting import LISTENERS

ANSWER_S_MAX = 10.0
TLS_ALERT = 21
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
STARTUP = b"user\0pki\0database\0countermark\0\0"
REQUESTS = {
    "http": b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    "postgres": struct.pack("!ii", 8 + len(STARTUP), 196608) + STARTUP,
    "redis": b"PING\r\nQUIT\r\n",
    "nats": b'CONNECT {"verbose":true}\r\nPING\r\n',
}
# What ends an answer that no end of stream follows.
LAST = {
    "postgres": (b"R\0\0\0\x08\0\0\0\0",),
    "nats": (b"PONG", b"-ERR"),
    "redis": (b"+OK",),
    "http": (b"\r\n\r\n",),
}


@dataclass
class Answered:
    """What came back on one connection.

    Attributes:
        content: bytes of the application.
        handshake: whether it was finished, as the client sees it.
        reused: whether the client's session was resumed.
        session: for another attempt with the same context.
    """

    content: bytes = b""
    handshake: bool = False
    reused: bool = False
    session: ssl.SSLSession | None = field(default=None, repr=False)


def attempt(
    consumers: Consumers,
    name: str,
    context: ssl.SSLContext | None,
    session: ssl.SSLSession | None = None,
) -> Answered:
    """Connect, ask, read to the end; None speaks in the clear."""
    listener, protocol, _ = LISTENERS[name]
    answered = Answered()
    address = ("127.0.0.1", consumers.port(listener))
    with (
        socket.create_connection(address, timeout=ANSWER_S_MAX) as plain,
        suppress(ConnectionError, ssl.SSLError),
    ):
        if context is None:
            plain.sendall(REQUESTS[protocol])
            with suppress(OSError):  # It may have ended the connection already.
                plain.shutdown(socket.SHUT_WR)
            answered.content = _without_alert(_read(plain, protocol))
            return answered
        if protocol == "postgres":
            plain.sendall(SSL_REQUEST)
            assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, session=session) as connection:
            answered.handshake, answered.reused = True, bool(connection.session_reused)
            connection.sendall(REQUESTS[protocol])
            answered.content = _read(connection, protocol)
            answered.session = connection.session
    return answered


def _read(connection: socket.socket, protocol: str) -> bytes:
    content, deadline = b"", time.monotonic() + ANSWER_S_MAX
    with suppress(ConnectionError, ssl.SSLError):
        while not any(last in content for last in LAST[protocol]):
            assert time.monotonic() < deadline
            if not (more := connection.recv(4096)):
                break
            content += more
    return content


def _without_alert(content: bytes) -> bytes:
    """A TLS alert in the clear is the refusal of a TLS server, and nothing of the application's."""
    return b"" if content[:1] == bytes([TLS_ALERT]) and len(content) == 7 else content


@dataclass(frozen=True)
class Clients:
    """Contexts of good and wrong clients of one server."""

    consumers: Consumers
    name: str
    other: Authority
    twin: Authority

    @property
    def peer(self) -> str:
        return LISTENERS[self.name][2]

    def context(self, credential: Credential | None) -> ssl.SSLContext:
        return probe_context(
            self.consumers.tree.identity(self.name).joinpath("trust.pem").read_bytes(), credential
        )

    def good(self) -> ssl.SSLContext:
        return self.context(self.consumers.authority.leaf(self.peer))

    def wrong(self, what: str) -> ssl.SSLContext | None:
        authority = self.consumers.authority
        match what:
            case "expired":
                return self.context(authority.leaf(self.peer, age=timedelta(days=8)))
            case "not yet valid":
                return self.context(authority.leaf(self.peer, age=timedelta(days=-1)))
            case "revoked":
                return self.context(self.consumers.revoked[self.peer])
            case "wrong id":
                return self.context(authority.leaf("banks"))
            case "other trust domain":
                return self.context(self.other.leaf(self.peer))
            case "our names, other root":
                return self.context(self.twin.leaf(self.peer))
            case "TLS 1.2":
                old = self.good()
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_2
                return old
            case "no certificate":
                return self.context(None)
            case _:
                return None
