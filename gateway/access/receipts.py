"""Receipts: every answer to a recognised sender is signed, refusals included.

The bytes that were signed are kept beside the signature, because the evidence holds both.
"""

from __future__ import annotations

from dataclasses import dataclass

from signing import Algorithm, Response, SignedRequest, Signer, sign_receipt


@dataclass(frozen=True)
class Receipt:
    """A receipt as it is sent, and as it is kept.

    Attributes:
        headers: the header fields to add to the answer.
        base: the exact bytes that were signed.
        signature: 64 raw bytes.
    """

    headers: tuple[tuple[str, str], ...]
    base: bytes
    signature: bytes


class _Keeping:
    """A signer that keeps what it signed; made for one receipt and thrown away."""

    def __init__(self, key: Signer) -> None:
        self._key = key
        self.base = b""
        self.signature = b""

    @property
    def alg(self) -> Algorithm:
        return self._key.alg

    @property
    def key_id(self) -> str:
        return self._key.key_id

    def sign(self, base: bytes, /) -> bytes:
        self.base, self.signature = base, self._key.sign(base)
        return self.signature


def make_receipt(
    signed: SignedRequest, *, status: int, content_type: str, body: bytes, key: Signer, now: int
) -> Receipt:
    """Sign one answer to one request.

    Args:
        signed: the request that is answered; its signature was verified.
        status: of the answer.
        content_type: exactly as it will be sent.
        body: exactly as it will be sent.
        key: the gateway's receipt key.
        now: seconds since the epoch, UTC.
    """
    keeping = _Keeping(key)
    response = Response(status, (("Content-Type", content_type),), body)
    headers = sign_receipt(signed, response, keeping, now=now)
    return Receipt(headers, keeping.base, keeping.signature)
