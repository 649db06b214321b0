"""What this process says about its certificates and connections, to whoever rotates them and nobody else.

`GET /identity` tells what is in use; `DELETE /connections` ends what a revoked certificate has opened.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from services.node.client_connections import ClientReport
from services.node.identity import IdentityInForce
from services.node.listener import Listener
from services.node.logs import get_log
from services.node.server_connections import PeerReport, ServerConnections

IDENTITY_PATH = "/identity"
CONNECTIONS_PATH = "/connections"
# The one caller of both, as the mesh file names it.
READER = "pki"
CALLERS: Mapping[str, frozenset[str]] = {
    IDENTITY_PATH: frozenset({READER}),
    CONNECTIONS_PATH: frozenset({READER}),
}

# One of these, by the names and spellings of the report: serials and key ids are lower-case hex.
_SELECTORS = frozenset({"serial", "issuer_key_id"})
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)

_encoder = msgspec.json.Encoder()
_log = get_log("node.identity_report")


class ServerReport(msgspec.Struct, frozen=True):
    """The listener, and what is open on it."""

    serial: str
    trust_sha256: str
    crl_sha256: str
    open: int
    oldest_age_s: float
    peers: list[PeerReport]


class IdentityReport(msgspec.Struct, frozen=True):
    """The whole answer; `generation` is the folder's name."""

    name: str
    generation: str
    server: ServerReport
    clients: list[ClientReport]


class IdentityHandlers:
    """Both routes of one process.

    Args:
        name: Of the workload.
        identity: What it proves itself with, and its clients.
        listener: Its listener.
        connections: What is open on the listener.
    """

    def __init__(
        self, name: str, identity: IdentityInForce, listener: Listener, connections: ServerConnections
    ) -> None:
        self._name = name
        self._identity = identity
        self._listener = listener
        self._connections = connections

    def add_routes(self, app: web.Application) -> None:
        """Add them to the app, which must admit `CALLERS`."""
        app.router.add_get(IDENTITY_PATH, self._tell, allow_head=False)
        app.router.add_delete(CONNECTIONS_PATH, self._end)

    async def _tell(self, _: web.Request) -> web.Response:
        served = self._listener.generation
        number, oldest_age_s = self._connections.open_and_oldest()
        report = IdentityReport(
            name=self._name,
            generation=self._identity.generation.folder.name,
            server=ServerReport(
                serial=served.serial,
                trust_sha256=served.trust_sha256,
                crl_sha256=served.crl_sha256,
                open=number,
                oldest_age_s=oldest_age_s,
                peers=self._connections.peers(),
            ),
            clients=[client.report() for client in self._identity.clients],
        )
        return _json(report)

    async def _end(self, request: web.Request) -> web.Response:
        wanted = list(request.query.items())
        if len(wanted) != 1 or wanted[0][0] not in _SELECTORS or _HEX.fullmatch(wanted[0][1]) is None:
            return _json({"code": "selector-malformed"}, status=HTTPStatus.BAD_REQUEST)
        selector, value = wanted[0]
        ended, own = self._connections.end(
            lambda peer: getattr(peer, selector) == value, spare=request.protocol
        )
        _log.warning("connections were ended as asked", ended=ended, selector=selector, value=value)
        answer = _json({"ended": ended})
        if own:
            self._connections.close_after(answer)
        return answer


def _json(body: object, status: int = HTTPStatus.OK) -> web.Response:
    return web.Response(body=_encoder.encode(body), status=status, content_type="application/json")
