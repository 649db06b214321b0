"""From claims and a key to a verified request. There are no options: nothing can be weakened.

`VerifiedRequest` can be obtained here alone, so code that asks for one cannot be
handed a request that nobody verified. Source: RFC 9421 §3.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import profile
from .digest import is_digest_of
from .errors import (
    DigestMismatch,
    RequestSignatureInvalid,
    SignatureExpired,
    SignatureInvalid,
    SignatureTooEarly,
)

if TYPE_CHECKING:
    from .keys import Algorithm, VerifyingKey
    from .message import Request
    from .request_parsing import SignedRequest

_new, _set = object.__new__, object.__setattr__


@dataclass(frozen=True, init=False)
class VerifiedRequest:
    """A request whose signature, digest and times were verified. Made by `verify_request` alone.

    Attributes:
        signed: the request and its claims, which hold.
        key: the public key under which they hold.
        verified_at: seconds since the epoch, the `now` of the verification.
    """

    signed: SignedRequest
    key: VerifyingKey
    verified_at: int

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("a VerifiedRequest is made by verify_request alone")

    @property
    def key_id(self) -> str:
        """The thumbprint of the key that signed."""
        return self.signed.key_id

    @property
    def alg(self) -> Algorithm:
        """The algorithm of the key that signed."""
        return self.signed.alg

    @property
    def created(self) -> int:
        """When the signer says it signed, in seconds since the epoch."""
        return self.signed.created

    @property
    def expires(self) -> int:
        """Until when the signer lets the signature be used, in seconds since the epoch."""
        return self.signed.expires

    @property
    def nonce(self) -> str:
        """The signer's random text, to be remembered until `expires` and the clock skew are past."""
        return self.signed.nonce

    @property
    def idempotency_key(self) -> str | None:
        """The key without its quotes; None for a GET."""
        return self.signed.idempotency_key

    @property
    def signature(self) -> bytes:
        """64 raw bytes. Never an identity: an ECDSA signature has a second valid spelling."""
        return self.signed.signature

    @property
    def signature_base(self) -> bytes:
        """The exact bytes that were signed."""
        return self.signed.signature_base

    @property
    def signature_input(self) -> str:
        """The inner list with its parameters, without the label."""
        return self.signed.signature_input

    @property
    def request(self) -> Request:
        """The request as received; its body is the one that was signed."""
        return self.signed.request


def verify_request(signed: SignedRequest, key: VerifyingKey, *, now: int) -> VerifiedRequest:
    """Verify a parsed request under the key registered for its `keyid`.

    Args:
        signed: from `parse_request`.
        key: the registered key whose id is `signed.key_id`; the caller has checked its state.
        now: seconds since the epoch, UTC.

    Raises:
        RequestSignatureInvalid: the key is another one, or the signature is not by it.
        SignatureTooEarly: `created` is more than 30 s ahead of `now`.
        SignatureExpired: `now` is more than 30 s after `expires`, or more than 300 s after `created`.
        DigestMismatch: the body is not the one that was signed.
    """
    # 1. Key: the registry decides on key and algorithm, and the signed claims must agree with it.
    if key.key_id != signed.key_id or key.alg != signed.alg:
        raise RequestSignatureInvalid(
            "the claimed key id or algorithm is not this key's", signature_base=signed.signature_base
        )
    # 2. Times.
    created = signed.created
    if created > now + profile.CLOCK_SKEW_S_MAX:
        raise SignatureTooEarly(
            f"created is {created - now} s ahead of this clock: set the sender's clock",
            signature_base=signed.signature_base,
        )
    if now > signed.expires + profile.CLOCK_SKEW_S_MAX or now > created + profile.LIFETIME_S_MAX:
        raise SignatureExpired(
            f"created {now - created} s ago: sign again, or set the sender's clock",
            signature_base=signed.signature_base,
        )
    # 3. Digest, from the bytes received, each time.
    digest = signed.content_digest
    if digest is not None and not is_digest_of(digest, signed.request.body or b""):
        raise DigestMismatch(
            "the body is not the one that Content-Digest describes", signature_base=signed.signature_base
        )
    # 4. Signature.
    try:
        key.verify(signed.signature, signed.signature_base)
    except SignatureInvalid as error:
        raise RequestSignatureInvalid(str(error), signature_base=signed.signature_base) from error
    # The only place where one is made; as a whole, like a SignedRequest.
    verified = _new(VerifiedRequest)
    _set(verified, "__dict__", {"signed": signed, "key": key, "verified_at": now})
    return verified
