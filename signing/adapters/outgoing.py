"""What the adapters have in common: from a library's own request to a signed one, and back to a receipt.

A library decides late what it sends, so each adapter takes method, target, header
lines and body at the last moment. Whatever cannot be signed there is refused:
bodies that are streamed, encodings, a Host that is not the target's, redirects.
"""

from __future__ import annotations

import inspect
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from .. import profile
from ..client_errors import RedirectRefused
from ..errors import ReceiptMissing, UnsignableRequest
from ..message import Request, Response
from ..receipt import VerifiedReceipt, verify_receipt
from ..request_signing import prepare_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..keys import Signer, VerifyingKey
    from ..remote_signer import AsyncSigner
    from ..request_signing import PreparedRequest

_NONCE_BYTES: Final = 24  # 192 random bits; the profile asks for 128
REDIRECTS: Final = range(300, 400)
REDIRECT_TEXT: Final = (
    "the answer is a redirect: the gateway sends none, and the signature fits no other address"
)
_REFUSALS: Final = 400
OWN_FIELDS: Final = frozenset({"content-digest", "signature", "signature-input"})


@dataclass
class Outgoing:
    """Signs what one HTTP library is about to send, and verifies what comes back.

    Attributes:
        signer: the merchant's key.
        keys: looks a gateway key up by its id; None leaves receipts unverified.
        lifetime_s: how long the gateway may accept a request.
        now: seconds since the epoch, UTC.
    """

    signer: Signer | AsyncSigner
    keys: Callable[[str], VerifyingKey | None] | None
    lifetime_s: int = profile.LIFETIME_S_MAX
    now: Callable[[], float] = time.time
    _receipts: WeakKeyDictionary[object, VerifiedReceipt] = field(default_factory=WeakKeyDictionary)

    @property
    def needs_body(self) -> bool:
        """Tell whether an answer must be read whole before it is let through."""
        return self.keys is not None

    def sign(self, request: Request) -> Request:
        """Return the request with its signature.

        Raises:
            UnsignableRequest: the gateway would refuse it, or the key has to be awaited.
        """
        prepared = self._prepare(request)
        signature = self.signer.sign(prepared.signature_base)
        if not isinstance(signature, bytes):
            if inspect.iscoroutine(signature):
                signature.close()
            raise UnsignableRequest("this key has to be awaited: use it with an asynchronous client")
        return request.with_headers(prepared.attach(signature))

    async def sign_async(self, request: Request) -> Request:
        """Return the request with its signature, by a key of either kind.

        Raises:
            UnsignableRequest: the gateway would refuse it.
        """
        prepared = self._prepare(request)
        signature = self.signer.sign(prepared.signature_base)
        octets = signature if isinstance(signature, bytes) else await signature
        return request.with_headers(prepared.attach(octets))

    def _prepare(self, request: Request) -> PreparedRequest:
        return prepare_request(
            request,
            key_id=self.signer.key_id,
            alg=self.signer.alg,
            now=int(self.now()),
            nonce=secrets.token_urlsafe(_NONCE_BYTES),
            lifetime_s=self.lifetime_s,
        )

    def accept(self, request: Request, response: Response, handle: object) -> None:
        """Let an answer through, its receipt verified if there are keys for it.

        A refusal may be unsigned, because the gateway signs for recognised senders alone: it is let
        through without a receipt. A result without one is not.

        Args:
            request: as it was sent.
            response: as it was received.
            handle: the library's own response, by which `receipt_of` finds the receipt.

        Raises:
            RedirectRefused: the answer is a redirect.
            ReceiptRefused: the answer is not provably the gateway's.
        """
        if response.status in REDIRECTS:
            raise RedirectRefused(REDIRECT_TEXT)
        if self.keys is None:
            return
        try:
            self._receipts[handle] = verify_receipt(request, response, self.keys, now=int(self.now()))
        except ReceiptMissing:
            if response.status < _REFUSALS:
                raise

    def receipt_of(self, handle: object) -> VerifiedReceipt | None:
        """Return the receipt of a library's response; None for a refusal that carries none."""
        return self._receipts.get(handle)


def outgoing_request(
    method: str, origin: str, target: str, headers: Iterable[tuple[str, str]], body: bytes | None
) -> Request:
    """Return a library's request in the form that is signed.

    Args:
        method: as it will be sent.
        origin: scheme and authority of the library's URL.
        target: path and query as they will stand in the request line.
        headers: as they will be sent.
        body: the whole body; None or empty if there is none.

    Raises:
        UnsignableRequest: the Host is not the origin's, or the body is encoded or not whole.
    """
    fields = tuple(headers)
    hosts = [value for name, value in fields if name.lower() == "host"]
    if any(f"https://{host}" != origin for host in hosts):
        raise UnsignableRequest("the Host field must be the URL's own host: the gateway goes by it")
    if any(name.lower() == "transfer-encoding" for name, _ in fields):
        raise UnsignableRequest("a body that is streamed cannot be signed: give it as bytes")
    return Request(method, origin + target, fields, body or None)


def require_unsigned(headers: Iterable[str]) -> None:
    """Refuse a request that carries signature fields already.

    Raises:
        UnsignableRequest: it was signed before, and is about to be sent again or elsewhere.
    """
    if any(name.lower() in OWN_FIELDS for name in headers):
        raise UnsignableRequest("this request was signed before: make a new one for each exchange")
