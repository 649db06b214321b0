"""What stands where the gateway stands: the node's own server, which writes down every request that arrives.

An attack on the edge is judged by what came through: whatever arrives carries the edge's and the sidecar's
own words about the sender, one request for each that was let in, and nothing that was not sent as one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from compose.derive.places import Limits
from services.node.config_file import ListenConfig
from services.node.server import serve
from signing import Response
from tests.adversary.gateway.edge_in_front import Edge, running_envoys
from tests.integration.gateway.gateway_stores import free_port
from tests.integration.gateway.merchant_requests import HOST
from tests.integration.node.mtls import node_config, spiffe
from tests.integration.postgres_server import ThrowAwayPki
from tests.raised_limits import RAISED

BODY_BYTES_MAX = 1024 * 1024  # Far above the edge's: what the edge lets in is read.
_EDGE_ONLY = {"/": frozenset({"edge"})}


@dataclass(frozen=True)
class Arrived:
    """One request as the gateway would have seen it."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def values(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for each, value in self.headers if each.lower() == name.lower()]


@dataclass
class Door:
    """The two Envoys, and what came through them."""

    edge: Edge
    arrived: list[Arrived] = field(default_factory=list)

    async def send(
        self,
        line: str,
        *fields: str,
        body: bytes = b"",
        source: str = "127.0.0.1",
    ) -> Response:
        """Send one request; Host and, for a body, its length are added."""
        return await self.edge.send_raw(octets(line, *fields, body=body), source=source)

    def new(self, before: int) -> list[Arrived]:
        """What arrived since then, the probes of the start left out."""
        return self.arrived[before:]


def octets(line: str, *fields: str, body: bytes = b"") -> bytes:
    """One request as bytes."""
    length = [f"Content-Length: {len(body)}"] if body else []
    lines = [f"{line} HTTP/1.1", f"Host: {HOST}", *length, *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@asynccontextmanager
async def running_door(pki: ThrowAwayPki, home: Path, limits: Limits = RAISED) -> AsyncIterator[Door]:
    """Start a recording gateway and both Envoys in front of it."""
    arrived: list[Arrived] = []

    async def record(request: web.Request) -> web.Response:
        body = await request.read()
        headers = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers)
        arrived.append(Arrived(request.method, request.raw_path, headers, body))
        return web.json_response({"arrived": len(arrived)})

    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/{rest:.*}", record)
    port = free_port()
    listen = ListenConfig("127.0.0.1", port, [spiffe("gateway-sidecar")])
    config = node_config(pki, "gateway", home, age_s_max=300.0)
    async with serve(app, config, listen, callers=_EDGE_ONLY), running_envoys(pki, port, limits) as edge:
        yield Door(edge, arrived)
