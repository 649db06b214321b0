"""Receipts: the gateway signs each answer, bound to the very request that it answers.

A receipt covers status, type and digest of the response, all that the request's
signature covered, and that signature itself, so it fits no other request and no
other answer. Pure. Source: RFC 9421 §2.4, §7.3.7.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from . import profile
from .diagnosis import why_not_signature_input
from .digest import content_digest, is_digest_of
from .errors import (
    HeaderDuplicated,
    HeaderMalformed,
    IdempotencyKeyInvalid,
    ReceiptDigestMismatch,
    ReceiptKeyUnknown,
    ReceiptMalformed,
    ReceiptMissing,
    ReceiptRequestRefused,
    ReceiptSignatureInvalid,
    ReceiptTimeImplausible,
    RequestRefused,
    SignatureInvalid,
    UnsignableResponse,
)
from .request_parsing import parse_for_origins
from .request_rules import read_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from .keys import Algorithm, Signer, VerifyingKey
    from .message import Request, Response
    from .request_parsing import SignedRequest

_new, _set = object.__new__, object.__setattr__
_OF_SIGNATURE_INPUT: Final = f'"signature-input";req;key="{profile.LABEL}": '
_OF_SIGNATURE: Final = f'"signature";req;key="{profile.LABEL}": '
_STATUSES: Final = range(200, 600)  # final statuses; RFC 9421 §2.2.9 has no signature on informational ones


@dataclass(frozen=True, init=False)
class VerifiedReceipt:
    """An answer that the gateway signed for one request. Made by `verify_receipt` alone.

    Attributes:
        key_id: the gateway's key.
        alg: its algorithm.
        created: when the gateway says it answered, in seconds since the epoch.
        status: the status that was signed.
        signature: 64 raw bytes.
        signature_base: the exact bytes that were signed.
        signature_input: the inner list with its parameters, without the label.
        signed: the answered request and its claims. The receipt proves that the gateway answered
            exactly this; whether the request's own signature holds, `verify_request` tells.
        response: the response; its body is the one that was signed.
    """

    key_id: str
    alg: Algorithm
    created: int
    status: int
    signature: bytes
    signature_base: bytes
    signature_input: str
    signed: SignedRequest
    response: Response

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("a VerifiedReceipt is made by verify_receipt alone")


def sign_receipt(
    signed: SignedRequest, response: Response, key: Signer, *, now: int
) -> tuple[tuple[str, str], ...]:
    """Sign a response to a request.

    Args:
        signed: the request that is answered.
        response: as it will be sent, with `Content-Type`, without content encoding.
        key: the gateway's key.
        now: seconds since the epoch, UTC.

    Returns:
        The header fields to add: `Content-Digest`, `Signature-Input`, `Signature`.

    Raises:
        UnsignableResponse: the response lacks what a receipt covers, or is signed already.
    """
    try:
        fields = read_fields(response.headers)
    except RequestRefused as error:
        raise UnsignableResponse(str(error)) from error
    if response.status not in _STATUSES:
        raise UnsignableResponse("a receipt needs a final status, 200 to 599")
    media_type = fields.get("content-type", "")
    if media_type != profile.MEDIA_TYPE and profile.PLAIN_VALUE.fullmatch(media_type) is None:
        raise UnsignableResponse(
            "a receipt covers Content-Type: set one of printable ASCII, up to 128 characters"
        )
    for name in ("signature", "signature-input", "content-digest", "content-encoding"):
        if name in fields:
            raise UnsignableResponse(f"leave {name} out: a receipt is made once, over the content as it is")
    if type(now) is not int or not 0 <= now < profile.TIME_S_END:
        raise UnsignableResponse("now must be whole seconds since 1970")
    digest = content_digest(response.body)
    covered = profile.RECEIPT_COVERED_GET
    if signed.request.method != "GET":
        covered = profile.RECEIPT_COVERED_ACTING
    parameters = f'({covered});created={now};keyid="{key.key_id}";alg="{key.alg}";tag="{profile.RECEIPT_TAG}"'
    base = _receipt_base(signed, response.status, media_type, digest, parameters)
    return (
        ("Content-Digest", digest),
        ("Signature-Input", f"{profile.LABEL}={parameters}"),
        ("Signature", f"{profile.LABEL}={_byte_sequence(key.sign(base))}"),
    )


def verify_receipt(
    request: Request, response: Response, keys: Callable[[str], VerifyingKey | None], *, now: int
) -> VerifiedReceipt:
    """Verify that the gateway gave this answer to this request.

    A receipt does not expire: it is kept and shown later. Whether a key was the gateway's at that
    time is for `keys` to know.

    Args:
        request: as it was sent, with its `Content-Digest`, `Signature-Input` and `Signature`.
        response: as it was received.
        keys: looks a gateway key up by its id; None when it is not the gateway's.
        now: seconds since the epoch, UTC.

    Raises:
        ReceiptRefused: one of its classes; none but these, whatever the input.
    """
    # 1. The request has the one form that can have been accepted.
    try:
        signed = parse_for_origins(request, None)
    except RequestRefused as error:
        raise ReceiptRequestRefused(f"the request: {error}", signature_base=error.signature_base) from error
    # 2. The response's own fields, each once and in the one form.
    fields = _require_fields(response)
    created, key_id, alg = _require_claims(fields["signature-input"], request.method)
    signature_match = profile.SIGNATURE.fullmatch(fields["signature"])
    if signature_match is None:
        raise ReceiptMalformed("Signature must be exactly one member of 64 bytes in canonical base64")
    signature = a2b_base64(signature_match[1])
    parameters = fields["signature-input"][len(profile.LABEL) + 1 :]
    base = _receipt_base(
        signed, response.status, fields["content-type"], fields["content-digest"], parameters
    )
    # 3. Key: one of the gateway's, and of the algorithm that the receipt names.
    key = keys(key_id)
    if key is None or key.key_id != key_id or key.alg != alg:
        raise ReceiptKeyUnknown("the receipt's key is not one of the gateway's", signature_base=base)
    # 4. Time: not in the future, and not before the request.
    if not signed.created - profile.CLOCK_SKEW_S_MAX <= created <= now + profile.CLOCK_SKEW_S_MAX:
        raise ReceiptTimeImplausible(
            f"created is {created - signed.created} s after the request and {created - now} s after now",
            signature_base=base,
        )
    # 5. Digests of both bodies, from the bytes at hand.
    if not is_digest_of(fields["content-digest"], response.body):
        raise ReceiptDigestMismatch("the response's body is not the one that was signed", signature_base=base)
    if signed.content_digest is not None and not is_digest_of(signed.content_digest, request.body or b""):
        raise ReceiptDigestMismatch("the request's body is not the one that was signed", signature_base=base)
    # 6. Signature.
    try:
        key.verify(signature, base)
    except SignatureInvalid as error:
        raise ReceiptSignatureInvalid(str(error), signature_base=base) from error
    # The only place where one is made; as a whole, like a SignedRequest.
    receipt = _new(VerifiedReceipt)
    claims = {"key_id": key_id, "alg": key.alg, "created": created, "status": response.status}
    proof = {"signature": signature, "signature_base": base, "signature_input": parameters}
    _set(receipt, "__dict__", {**claims, **proof, "signed": signed, "response": response})
    return receipt


def _require_fields(response: Response) -> dict[str, str]:
    try:
        fields = read_fields(response.headers)
    except (HeaderDuplicated, HeaderMalformed, IdempotencyKeyInvalid) as error:
        raise ReceiptMalformed(str(error)) from error
    if "signature" not in fields or "signature-input" not in fields:
        raise ReceiptMissing("the response carries no receipt: it did not come from the gateway unchanged")
    if len(fields["signature-input"]) > profile.SIGNATURE_INPUT_CHARS_MAX:
        raise ReceiptMalformed("Signature-Input is too long")
    if response.status not in _STATUSES:
        raise ReceiptMalformed("the status must be a final one, 200 to 599")
    if "content-encoding" in fields:
        raise ReceiptMalformed("the content is encoded: ask with Accept-Encoding: identity")
    if profile.PLAIN_VALUE.fullmatch(fields.get("content-type", "")) is None:
        raise ReceiptMalformed("Content-Type is missing, or is not printable ASCII of up to 128 characters")
    if profile.CONTENT_DIGEST.fullmatch(fields.get("content-digest", "")) is None:
        raise ReceiptMalformed("Content-Digest must be exactly one sha-256 member in canonical base64")
    return fields


def _require_claims(signature_input: str, method: str) -> tuple[int, str, str]:
    """Return created, key id and algorithm of a receipt."""
    acts = method != "GET"
    match = (profile.RECEIPT_INPUT_ACTING if acts else profile.RECEIPT_INPUT_GET).fullmatch(signature_input)
    if match is None or None in (claims := match.groups()):
        covered = profile.RECEIPT_COVERED_ACTING if acts else profile.RECEIPT_COVERED_GET
        reason = why_not_signature_input(signature_input, covered, profile.RECEIPT_PARAMETER_NAMES)
        raise ReceiptMalformed(f"Signature-Input: {reason}")
    return int(claims[0]), claims[1], claims[2]


def _receipt_base(
    signed: SignedRequest, status: int, content_type: str, digest: str, parameters: str
) -> bytes:
    # Parts of a signed request are in canonical form, where no value holds a line break.
    request = signed.request
    of_content = (
        (
            f'"content-type";req: {profile.MEDIA_TYPE}\n"content-digest";req: {signed.content_digest}\n'
            f'"idempotency-key";req: "{signed.idempotency_key}"\n'
        )
        if signed.content_digest is not None
        else ""
    )
    return (
        f'"@status": {status}\n"content-type": {content_type}\n"content-digest": {digest}\n'
        f'"@method";req: {request.method}\n"@target-uri";req: {request.target_uri}\n{of_content}'
        f"{_OF_SIGNATURE_INPUT}{signed.signature_input}\n"
        f"{_OF_SIGNATURE}{_byte_sequence(signed.signature)}\n"
        f'"@signature-params": {parameters}'
    ).encode("ascii")


def _byte_sequence(octets: bytes) -> str:
    return f":{b2a_base64(octets, newline=False).decode('ascii')}:"
