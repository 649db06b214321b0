"""Signing with aiohttp 3.12 or later: `ClientSession(middlewares=[AIOHTTPMiddleware(key)])`.

The middleware stands around each exchange, after the library has made body, target
and header lines, and before a connection is taken. It refuses redirects itself, so
the library never follows one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from ..errors import UnsignableRequest
from ..message import Response
from .outgoing import Outgoing, outgoing_request, require_unsigned

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..keys import Signer, VerifyingKey
    from ..message import Request
    from ..receipt import VerifiedReceipt
    from ..remote_signer import AsyncSigner

    Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


class AIOHTTPMiddleware:
    """Signs each request of a session or of one call.

    Args:
        signer: the merchant's key; one that is awaited, or one that is not.
        keys: looks a gateway key up by its id, for example `keys_from_jwks(…).get`; None leaves receipts
            unverified.
    """

    def __init__(
        self, signer: Signer | AsyncSigner, *, keys: Callable[[str], VerifyingKey | None] | None = None
    ) -> None:
        self._outgoing = Outgoing(signer, keys)

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """Sign, have it sent, verify; called by aiohttp.

        Raises:
            UnsignableRequest: the gateway would refuse it; the message says what to change.
        """
        require_unsigned(request.headers)
        # An encoded answer could not be verified: its receipt covers the bytes as they are.
        request.headers["Accept-Encoding"] = "identity"
        unsigned = await _outgoing(request)
        signed = await self._outgoing.sign_async(unsigned)
        for name, value in signed.headers[len(unsigned.headers) :]:
            request.headers[name] = value
        response = await handler(request)
        try:
            body = await response.read() if self._outgoing.needs_body else b""
            fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in response.raw_headers)
            self._outgoing.accept(signed, Response(response.status, fields, body), response)
        except BaseException:
            response.close()
            raise
        return response

    def receipt_of(self, response: aiohttp.ClientResponse) -> VerifiedReceipt | None:
        """Return the verified receipt of a response; None for an unsigned refusal, or without keys."""
        return self._outgoing.receipt_of(response)


async def _outgoing(request: aiohttp.ClientRequest) -> Request:
    fields = list(request.headers.items())
    # The text that will stand in the request line; `str(url)` would be decoded for people.
    url = request.url
    origin = f"{url.scheme}://{request.headers.get('Host', '')}"
    body = await _whole_body(request.body)
    if origin != str(url.origin()):
        raise UnsignableRequest("the Host field must be the URL's own host: the gateway goes by it")
    return outgoing_request(request.method, origin, url.raw_path_qs, fields, body)


async def _whole_body(body: Any) -> bytes | None:  # noqa: ANN401 - aiohttp's own kinds of bodies
    if isinstance(body, bytes):
        return body or None
    if isinstance(body, aiohttp.BytesPayload):
        return bytes(await body.as_bytes()) or None
    raise UnsignableRequest("a body that is streamed cannot be signed: give it as bytes, or as json=")
