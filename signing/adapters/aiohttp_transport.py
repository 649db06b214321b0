"""The awaiting client's transport over aiohttp: TLS 1.3, verified, nothing followed or decoded."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from ..answers import ANSWER_S_MAX, NoAnswer
from ..message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

_CHUNK_BYTES = 64 * 1024


class AIOHTTPTransport:
    """Connections to one gateway; made and used in one event loop.

    Args:
        cafile: PEM file of the only authorities to believe; None for the system's.
        connect_to: address and port to connect to instead of the origin's; the certificate must still be
            for the origin's host.
        answer_s_max: how long an exchange may take.
    """

    def __init__(
        self,
        *,
        cafile: str | Path | None = None,
        connect_to: tuple[str, int] | None = None,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self._context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._connect_to = connect_to
        self._answer_s_max = answer_s_max
        self._session: aiohttp.ClientSession | None = None

    async def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer:
        """Send a request; see `AsyncTransport`."""
        session = self._session = self._session or self._open()
        try:
            async with (
                asyncio.timeout(self._answer_s_max),
                session.request(
                    request.method,
                    URL(request.target_uri, encoded=True),
                    headers=list(request.headers),
                    data=request.body,
                    allow_redirects=False,
                    middlewares=(_Once(),),
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > answer_bytes_max:
                        return NoAnswer(
                            f"the answer has more than {answer_bytes_max} bytes", may_have_arrived=True
                        )
                fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.raw_headers)
                return Response(answer.status, fields, bytes(body))
        except aiohttp.ClientConnectorCertificateError:
            return NoAnswer("the certificate is not the gateway's", lasting=True)
        except aiohttp.ClientConnectorError as error:
            return NoAnswer(f"no connection: {error.strerror or type(error).__name__}")
        except (aiohttp.ClientError, OSError) as error:
            return NoAnswer(f"the connection failed: {type(error).__name__}", may_have_arrived=True)

    async def close(self) -> None:
        """Close idle connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        resolver = None if self._connect_to is None else _OneAddress(*self._connect_to)
        return aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),  # a cookie would travel unsigned
            connector=aiohttp.TCPConnector(ssl=self._context, resolver=resolver),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=self._answer_s_max),
        )


class _Once:
    """Lets one request out: aiohttp sends a read again on a new connection, with the nonce of the first."""

    def __init__(self) -> None:
        self._sent = False

    async def __call__(
        self,
        request: aiohttp.ClientRequest,
        handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]],
    ) -> aiohttp.ClientResponse:
        if self._sent:
            raise aiohttp.ClientConnectionError
        self._sent = True
        return await handler(request)


class _OneAddress(AbstractResolver):
    """Finds every name at one address; the certificate is still checked against the name."""

    def __init__(self, address: str, port: int) -> None:
        self._address = address
        self._port = port

    async def resolve(
        self,
        host: str,
        port: int = 0,  # noqa: ARG002 - replaced by the one given
        family: int = 0,
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=self._address, port=self._port, family=family or 2, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        """Nothing is held."""
