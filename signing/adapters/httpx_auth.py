"""Signing with httpx, blocking or awaited: `httpx.post(url, json=…, auth=HTTPXAuth(key))`.

The signature is made over the built request. A trace of the connection stops at a
redirect that the client was told to follow, and compares the lines that are about to
be written with what was signed, so that no signature travels with another request.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import httpx

from .. import profile
from ..client_errors import RedirectRefused
from ..errors import UnsignableRequest
from ..message import Request, Response
from .outgoing import OWN_FIELDS, REDIRECT_TEXT, REDIRECTS, Outgoing, outgoing_request, require_unsigned

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from ..keys import Signer, VerifyingKey
    from ..receipt import VerifiedReceipt
    from ..remote_signer import AsyncSigner


# What the signature covers or is made of, beside method and target.
_COVERED = OWN_FIELDS | {"content-type", "idempotency-key", "content-encoding"}


class HTTPXAuth(httpx.Auth):
    """Signs each request of a client or of one call.

    Args:
        signer: the merchant's key; with an `AsyncClient` also one that is awaited.
        keys: looks a gateway key up by its id, for example `keys_from_jwks(…).get`; None leaves receipts
            unverified.
    """

    def __init__(
        self, signer: Signer | AsyncSigner, *, keys: Callable[[str], VerifyingKey | None] | None = None
    ) -> None:
        self._outgoing = Outgoing(signer, keys)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign and verify in a blocking client; called by httpx.

        Raises:
            UnsignableRequest: the gateway would refuse it; the message says what to change.
        """
        unsigned = _outgoing(request)
        signed = self._outgoing.sign(unsigned)
        _attach(request, unsigned, signed)
        request.extensions = {**request.extensions, "trace": _guard(signed, request.extensions)}
        response = yield request
        if self._outgoing.needs_body:
            response.read()
        self._accept(signed, response)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign and verify in an awaiting client; called by httpx.

        Raises:
            UnsignableRequest: the gateway would refuse it; the message says what to change.
        """
        unsigned = _outgoing(request)
        signed = await self._outgoing.sign_async(unsigned)
        _attach(request, unsigned, signed)
        request.extensions = {**request.extensions, "trace": _async_guard(signed, request.extensions)}
        response = yield request
        if self._outgoing.needs_body:
            await response.aread()
        self._accept(signed, response)

    def receipt_of(self, response: httpx.Response) -> VerifiedReceipt | None:
        """Return the verified receipt of a response; None for an unsigned refusal, or without keys."""
        return self._outgoing.receipt_of(response)

    def _accept(self, signed: Request, response: httpx.Response) -> None:
        if response.history:
            raise RedirectRefused("a redirect was followed: leave follow_redirects off")
        fields = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in response.headers.raw)
        body = response.content if self._outgoing.needs_body else b""
        self._outgoing.accept(signed, Response(response.status_code, fields, body), response)


def _outgoing(request: httpx.Request) -> Request:
    require_unsigned(request.headers)
    try:
        body = request.content
    except httpx.RequestNotRead as error:
        raise UnsignableRequest("a body that is streamed cannot be signed: give it as bytes") from error
    # An encoded answer could not be verified: its receipt covers the bytes as they are.
    request.headers["Accept-Encoding"] = "identity"
    if body and "Content-Type" not in request.headers:
        request.headers["Content-Type"] = profile.MEDIA_TYPE
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw]
    url = request.url
    if url.userinfo or url.fragment:
        raise UnsignableRequest("the URL must hold neither user information nor a fragment")
    origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
    return outgoing_request(request.method, origin, url.raw_path.decode("ascii"), fields, body)


def _attach(request: httpx.Request, unsigned: Request, signed: Request) -> None:
    for name, value in signed.headers[len(unsigned.headers) :]:
        request.headers[name] = value


def _guard(signed: Request, extensions: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], None]:
    own = extensions.get("trace")

    def trace(event: str, info: Mapping[str, Any]) -> None:
        _require_as_signed(signed, event, info)
        if own is not None:
            own(event, info)

    return trace


def _async_guard(signed: Request, extensions: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], Any]:
    own = extensions.get("trace")

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        _require_as_signed(signed, event, info)
        if own is not None:
            pending = own(event, info)
            if inspect.isawaitable(pending):
                await pending

    return trace


def _require_as_signed(signed: Request, event: str, info: Mapping[str, Any]) -> None:
    """Stop at a redirect, and before anything is written that is not what was signed."""
    if event.endswith(".receive_response_headers.complete"):
        status = next((part for part in info["return_value"] if isinstance(part, int)), 0)
        if status in REDIRECTS:
            raise RedirectRefused(REDIRECT_TEXT)
    if not event.endswith(".send_request_headers.started"):
        return
    request = info["request"]
    if request.method == b"CONNECT":
        return  # to a proxy, about the tunnel; what goes through it comes next
    target = request.url.target.decode("latin-1")
    sent = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in request.headers]
    hosts = [value for name, value in sent if name == "host"]
    covered = [pair for pair in sent if pair[0] in _COVERED]
    if (
        request.method.decode("latin-1") != signed.method
        or [f"https://{host}{target}" for host in hosts] != [signed.target_uri]
        or sorted(covered) != sorted((n.lower(), v) for n, v in signed.headers if n.lower() in _COVERED)
    ):
        raise UnsignableRequest(
            "the request was changed after it was signed: let nothing come after the auth"
        )
