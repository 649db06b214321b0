"""The awaiting client's transport over httpx: TLS 1.3, verified, nothing followed or decoded."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import httpx

from ..answers import ANSWER_S_MAX, NoAnswer
from ..message import Request, Response

if TYPE_CHECKING:
    from pathlib import Path

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class HTTPXTransport:
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
        context = ssl.create_default_context(cafile=None if cafile is None else str(cafile))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._client = httpx.AsyncClient(
            verify=context, trust_env=False, follow_redirects=False, timeout=answer_s_max
        )
        self._connect_to = connect_to
        self._answer_s_max = answer_s_max

    async def send(self, request: Request, *, answer_bytes_max: int) -> Response | NoAnswer:
        """Send a request; see `AsyncTransport`."""
        try:
            async with asyncio.timeout(self._answer_s_max):
                answer = await self._client.send(self._outgoing(request), stream=True)
                try:
                    body = bytearray()
                    async for chunk in answer.aiter_raw():
                        body += chunk
                        if len(body) > answer_bytes_max:
                            return NoAnswer(
                                f"the answer has more than {answer_bytes_max} bytes", may_have_arrived=True
                            )
                finally:
                    await answer.aclose()
        except _NOT_SENT as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                return NoAnswer("the certificate is not the gateway's", lasting=True)
            return NoAnswer(f"no connection: {type(error).__name__}")
        except (httpx.TransportError, TimeoutError) as error:
            return NoAnswer(f"the connection failed: {type(error).__name__}", may_have_arrived=True)
        fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.headers.raw)
        return Response(answer.status_code, fields, bytes(body))

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.aclose()

    def _outgoing(self, request: Request) -> httpx.Request:
        url = httpx.URL(request.target_uri)
        if self._connect_to is None:
            return httpx.Request(request.method, url, headers=list(request.headers), content=request.body)
        host, port = self._connect_to
        return httpx.Request(
            request.method,
            url.copy_with(host=host, port=port),
            headers=[("Host", url.netloc.decode("ascii")), *request.headers],
            content=request.body,
            # The name that the certificate must be for.
            extensions={"sni_hostname": url.host},
        )
