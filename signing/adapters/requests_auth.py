"""Signing with requests: `requests.post(url, json=…, auth=RequestsAuth(key))`.

The signature is made over the `PreparedRequest`, after the library has made body,
target and header lines, and is followed by nothing but its Content-Length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import profile
from ..errors import UnsignableRequest
from ..message import Request, Response
from .outgoing import Outgoing, outgoing_request, require_unsigned

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from ..keys import Signer, VerifyingKey
    from ..receipt import VerifiedReceipt


class RequestsAuth:
    """Signs each request of a session or of one call; a redirect raises instead of being followed.

    Args:
        signer: the merchant's key.
        keys: looks a gateway key up by its id, for example `keys_from_jwks(…).get`; None leaves receipts
            unverified.
    """

    def __init__(self, signer: Signer, *, keys: Callable[[str], VerifyingKey | None] | None = None) -> None:
        self._outgoing = Outgoing(signer, keys)

    def __call__(self, prepared: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign; called by requests when everything else is prepared.

        Raises:
            UnsignableRequest: the gateway would refuse it; the message says what to change.
        """
        require_unsigned(prepared.headers)
        if isinstance(prepared.body, str):
            prepared.body = prepared.body.encode("utf-8")
        if prepared.body is not None and not isinstance(prepared.body, bytes):
            raise UnsignableRequest("a body that is streamed cannot be signed: give it as bytes")
        # An encoded answer could not be verified: its receipt covers the bytes as they are.
        prepared.headers["Accept-Encoding"] = "identity"
        if prepared.body and "Content-Type" not in prepared.headers:
            prepared.headers["Content-Type"] = profile.MEDIA_TYPE
        url = urlsplit(prepared.url or "")
        fields = [(_text(name), _text(value)) for name, value in prepared.headers.items()]
        signed = self._outgoing.sign(
            outgoing_request(
                prepared.method or "",
                f"{url.scheme}://{url.netloc}",
                prepared.path_url,
                fields,
                prepared.body,
            )
        )
        for name, value in signed.headers[len(fields) :]:
            prepared.headers[name] = value

        def verify(response: requests.Response, *_: Any, **__: Any) -> None:  # noqa: ANN401 - the hook's form
            self._verify(signed, response)

        prepared.register_hook("response", verify)  # type: ignore[no-untyped-call]
        return prepared

    def receipt_of(self, response: requests.Response) -> VerifiedReceipt | None:
        """Return the verified receipt of a response; None for an unsigned refusal, or without keys."""
        return self._outgoing.receipt_of(response)

    def _verify(self, signed: Request, response: requests.Response) -> None:
        # Read here, so that a stream that the caller asked for is verified too. The raw field lines are
        # urllib3's, which keep repetitions apart.
        fields = tuple((name, value) for name, value in response.raw.headers.iteritems())
        try:
            body = response.content if self._outgoing.needs_body else b""
            received = Response(response.status_code, fields, body)
            self._outgoing.accept(signed, received, response)
        except BaseException:
            response.close()
            raise


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
