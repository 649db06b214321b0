"""The connections that others have opened to this process: whose they are, how old, and when they end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from aiohttp import web
from cryptography import x509

from services.node.ageing import CLOSING_BEGINS_SHARE, CUT_SHARE, IDLE_ENDS_SHARE
from services.node.logs import get_log

DRAIN_LOOK_S = 0.02  # A stop ends this soon after its last answer.
PEERS_REMEMBERED_MAX = 256  # A few dozen certificates are in use at a time, and each is read once.

_log = get_log("node.connections")


class Peer(msgspec.Struct, frozen=True):
    """The certificate that a peer proved itself with.

    Attributes:
        spiffe_id: Its one URI.
        serial: Lower-case hex without leading zeros.
        issuer_key_id: Key id of the CA that signed it (AKI), hex.
    """

    spiffe_id: str
    serial: str
    issuer_key_id: str


class PeerReport(msgspec.Struct, frozen=True):
    """One peer certificate, as `/identity` tells it, and the number of its connections."""

    spiffe_id: str
    serial: str
    issuer_key_id: str
    open: int


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    peer: Peer | None


class ServerConnections:
    """Knows every open connection of one server, and ends them in time.

    Args:
        age_s_max: No connection becomes older than this.
    """

    def __init__(self, age_s_max: float) -> None:
        self._age_s_max = age_s_max
        self._server: web.Server | None = None
        self._draining = False
        self._seen: dict[web.RequestHandler, _Seen] = {}

    def attach(self, server: web.Server) -> None:
        """Say whose connections these are."""
        self._server = server

    def look(self) -> None:
        """Note who has come and who has gone."""
        if self._server is None:
            return
        now = time.monotonic()
        self._seen = {
            handler: self._seen.get(handler) or _Seen(now, _peer(handler))
            for handler in self._server.connections
            if handler.transport is not None and not handler.transport.is_closing()
        }

    async def announce_close(self, request: web.Request, response: web.StreamResponse) -> None:
        """Make this the last answer of a connection that has had most of its time (a signal of aiohttp)."""
        seen = self._seen.get(request.protocol)
        if seen is None:
            seen = self._seen[request.protocol] = _Seen(time.monotonic(), _peer(request.protocol))
        if self._draining or time.monotonic() - seen.at >= self._age_s_max * CLOSING_BEGINS_SHARE:
            self.close_after(response)

    def close_after(self, response: web.StreamResponse) -> None:
        """End the connection behind this answer, and say so in it."""
        response.force_close()
        response.headers["Connection"] = "close"  # aiohttp has decided about this field before it asks us.

    async def sweep(self) -> None:
        """End idle connections near the bound, and at the bound whatever is left."""
        self.look()
        now = time.monotonic()
        for handler, seen in self._seen.items():
            age_s = now - seen.at
            if age_s >= self._age_s_max * CUT_SHARE:
                _log.warning("a connection had to be cut at its age", peer=seen.peer and seen.peer.spiffe_id)
                _abort(handler)
            elif age_s >= self._age_s_max * IDLE_ENDS_SHARE and _is_idle(handler):
                handler.force_close()

    async def drain(self, *, idle_s_max: float, s_max: float) -> int:
        """Let every connection end: with its next answer, or because it lies idle.

        Args:
            idle_s_max: how long an idle connection may still bring the request that is on its way.
            s_max: how long a request under way may take.

        Returns:
            How many connections are still open because a request on them is not answered.
        """
        self._draining = True
        began = time.monotonic()
        while True:
            self.look()
            passed_s = time.monotonic() - began
            if not self._seen or passed_s >= s_max:
                return len(self._seen)
            for handler in self._seen:
                if passed_s >= idle_s_max and _is_idle(handler):
                    handler.force_close()  # `close` leaves the connection open, and answers nobody on it.
            await asyncio.sleep(DRAIN_LOOK_S)

    def end(self, is_meant: Callable[[Peer], bool], *, spare: web.RequestHandler) -> tuple[int, bool]:
        """End connections of these peers at once.

        Args:
            is_meant: Decides by the peer.
            spare: The connection on which this was asked; it is counted, and its answer must end it.

        Returns:
            How many are meant, and whether the spared one is among them.
        """
        self.look()
        meant = [h for h, seen in self._seen.items() if seen.peer is not None and is_meant(seen.peer)]
        for handler in meant:
            if handler is not spare:
                _abort(handler)
        return len(meant), spare in meant

    def open_and_oldest(self) -> tuple[int, float]:
        """Return the number of open connections and the age of the oldest in seconds."""
        self.look()
        oldest = min((seen.at for seen in self._seen.values()), default=None)
        return len(self._seen), 0.0 if oldest is None else round(time.monotonic() - oldest, 3)

    def peers(self) -> list[PeerReport]:
        """Return the peers with their numbers of open connections."""
        self.look()
        counted = Counter(seen.peer for seen in self._seen.values() if seen.peer is not None)
        return [
            PeerReport(peer.spiffe_id, peer.serial, peer.issuer_key_id, number)
            for peer, number in counted.items()
        ]


def _is_idle(handler: web.RequestHandler) -> bool:
    """Whether it waits for a request of which nothing has been parsed: what aiohttp's own timer asks."""
    waiter = handler._waiter  # noqa: SLF001 - no public way to ask; a test would notice its absence.
    return waiter is not None and not waiter.done()


def _abort(handler: web.RequestHandler) -> None:
    if handler.transport is not None:
        handler.transport.abort()


def _peer(handler: web.RequestHandler) -> Peer | None:
    connection = handler.transport.get_extra_info("ssl_object") if handler.transport is not None else None
    encoded = connection.getpeercert(binary_form=True) if connection is not None else None
    return None if encoded is None else _parse(encoded)


@lru_cache(maxsize=PEERS_REMEMBERED_MAX)
def _parse(encoded: bytes) -> Peer:
    """The handshake has verified this certificate: it is one of ours, with one URI and a key id."""
    certificate = x509.load_der_x509_certificate(encoded)
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    issuer = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return Peer(uris[0], f"{certificate.serial_number:x}", issuer.hex())
