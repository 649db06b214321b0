"""Connections to gateway workers that are open before a storm begins: each carries one request at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from pki.identity import TRUST_DOMAIN_DEFAULT, spiffe_id
from pki.tls import client_context
from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, ORIGIN

OPENED_AT_ONCE_MAX = 32  # Handshakes are the dear part of opening; more at once only time each other out.
AGE_S_MAX = 100.0  # Far below the age at which a worker of these tests ends a connection.
_CALLER = (
    f"By={spiffe_id('gateway-sidecar', TRUST_DOMAIN_DEFAULT)};URI={spiffe_id('edge', TRUST_DOMAIN_DEFAULT)}"
)


def octets_of(request: Request) -> bytes:
    """A request as the sidecar hands it on, on a connection that stays open."""
    lines = [f"{request.method} {request.target_uri.removeprefix(ORIGIN)} HTTP/1.1", f"Host: {HOST}"]
    lines.append(f"x-forwarded-client-cert: {_CALLER}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    body = request.body or b""
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Lane:
    """One connection to one worker, opened again when it has had its time."""

    def __init__(self, worker: Gateway) -> None:
        self._worker = worker
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._opened_at = 0.0

    async def open(self) -> None:
        """Be open, with nothing under way."""
        if self._streams is not None:
            reader, writer = self._streams
            is_young = time.monotonic() - self._opened_at < AGE_S_MAX
            if is_young and not reader.at_eof() and not writer.is_closing():
                return
            self.close()
        expect = frozenset({spiffe_id("gateway", TRUST_DOMAIN_DEFAULT)})
        identity = self._worker.server.pki.identity("gateway-sidecar")
        self._streams = await asyncio.open_connection(
            "127.0.0.1", self._worker.config.listen.port, ssl=client_context(identity, expect=expect)
        )
        self._opened_at = time.monotonic()

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def ask(self, octets: bytes) -> Response:
        """Send one request and read its answer.

        Raises:
            ConnectionError: there was none.
        """
        if self._streams is None:
            raise ConnectionError("the lane is not open")
        reader, writer = self._streams
        writer.write(octets)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
            length = next(int(value) for name, value in headers if name.lower() == "content-length")
            body = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as fault:
            self.close()
            raise ConnectionError("the connection ended without an answer") from fault
        if ("Connection", "close") in headers:
            self.close()
        return Response(int(status_line.split(" ")[1]), headers, body)


async def open_lanes(lanes: Sequence[Lane]) -> None:
    """Open those that are not open."""
    allowed = asyncio.Semaphore(OPENED_AT_ONCE_MAX)

    async def open_one(lane: Lane) -> None:
        async with allowed:
            await lane.open()

    await asyncio.gather(*(open_one(lane) for lane in lanes))
