"""From a received request to the claims of its signature: limits, then form; nothing is verified yet.

Any input leads to `SignedRequest` or to a `RequestRefused`, and to nothing else.
The caller uses the claimed key id to look a key up, and hands both to
`verify_request`. Source: RFC 9421 §3.2, steps 1 to 7, and §2.5.
"""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Final, cast

from . import profile
from .diagnosis import why_not_signature_input
from .errors import DigestMalformed, SignatureMalformed, SignatureMissing
from .request_rules import (
    read_fields,
    require_content,
    require_framing,
    require_method_and_target,
    require_size,
)

if TYPE_CHECKING:
    from .keys import Algorithm
    from .message import Request

_SEAL: Final = object()  # held by this module alone, so that no other can make the type


@dataclass(frozen=True)
class SignedRequest:
    """A request in canonical form and what its signature claims. Made by `parse_request` alone.

    Attributes:
        key_id: the claimed key, 43 characters.
        alg: the claimed algorithm.
        created: seconds since the epoch.
        expires: seconds since the epoch, at most 300 after `created`.
        nonce: 22 to 64 characters.
        idempotency_key: without its quotes; None for a GET.
        content_digest: the received value of `Content-Digest`; None for a GET.
        signature: 64 raw bytes.
        signature_base: the exact bytes that must have been signed.
        signature_input: the inner list with its parameters, without the label.
        request: the request as received.
    """

    key_id: str
    alg: Algorithm
    created: int
    expires: int
    nonce: str
    idempotency_key: str | None
    content_digest: str | None
    signature: bytes
    signature_base: bytes
    signature_input: str
    request: Request
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a SignedRequest is made by parse_request alone")


def parse_request(request: Request, *, origins: frozenset[str]) -> SignedRequest:
    """Read the claims of a received request.

    Args:
        request: as received; `target_uri` is a configured origin and the raw request target.
        origins: the public origins of this gateway, for example `https://pay.example:8443`.

    Returns:
        The claims, in canonical form and not yet verified.

    Raises:
        RequestRefused: one of its classes; none but these, whatever the input.
    """
    return parse_for_origins(request, origins)


def parse_for_origins(request: Request, origins: frozenset[str] | None) -> SignedRequest:
    """Do what `parse_request` does; None stands for any canonical origin, for the sender's own checks."""
    # 1. Limits, before anything is read.
    require_size(request)
    # 2. The fields that matter, each once; the rest is never looked at.
    fields = read_fields(request.headers)
    signature_input, signature = _require_signature_fields(fields)
    require_framing(fields)
    # 3. One spelling of method, target and content.
    require_method_and_target(request, origins)
    require_content(request, fields)
    # 4. The signature's own fields.
    acts = request.method != "GET"
    match = (profile.INPUT_ACTING if acts else profile.INPUT_GET).fullmatch(signature_input)
    if match is None or None in (claims := match.groups()):
        covered = profile.COVERED_ACTING if acts else profile.COVERED_GET
        reason = why_not_signature_input(signature_input, covered, profile.REQUEST_PARAMETER_NAMES)
        raise SignatureMalformed(f"Signature-Input: {reason}")
    signature_match = profile.SIGNATURE.fullmatch(signature)
    if signature_match is None:
        raise SignatureMalformed(
            f"Signature must be exactly one member, {profile.LABEL}=:…:, of 64 bytes in canonical base64"
        )
    # 5. The signature base, from what was received and nothing else.
    parameters = signature_input[len(profile.LABEL) + 1 :]
    digest = _require_digest(fields) if acts else None
    base = (
        _base_of_acting(request, fields, parameters)
        if acts
        else f'"@method": GET\n"@target-uri": {request.target_uri}\n"@signature-params": {parameters}'
    ).encode("ascii")
    # 6. The claims agree with each other.
    created, expires = int(claims[0]), int(claims[1])
    if not created < expires <= created + profile.LIFETIME_S_MAX:
        raise SignatureMalformed(
            f"expires must lie 1 to {profile.LIFETIME_S_MAX} s after created", signature_base=base
        )
    return SignedRequest(
        key_id=claims[3],
        alg=cast("Algorithm", claims[4]),  # the expression admits no other word
        created=created,
        expires=expires,
        nonce=claims[2],
        idempotency_key=fields["idempotency-key"][1:-1] if acts else None,
        content_digest=digest,
        signature=a2b_base64(signature_match[1]),
        signature_base=base,
        signature_input=parameters,
        request=request,
        seal=_SEAL,
    )


def _require_signature_fields(fields: dict[str, str]) -> tuple[str, str]:
    signature_input, signature = fields.get("signature-input"), fields.get("signature")
    if signature_input is None or signature is None:
        raise SignatureMissing("the request must carry Signature-Input and Signature")
    if len(signature_input) > profile.SIGNATURE_INPUT_CHARS_MAX:
        raise SignatureMalformed("Signature-Input is too long")
    if len(signature) > profile.SIGNATURE_CHARS_MAX:
        raise SignatureMalformed("Signature is too long: one signature is accepted")
    return signature_input, signature


def _require_digest(fields: dict[str, str]) -> str:
    digest = fields.get("content-digest")
    if digest is None or profile.CONTENT_DIGEST.fullmatch(digest) is None:
        raise DigestMalformed("Content-Digest must be exactly one member, sha-256=:…:, in canonical base64")
    return digest


def _base_of_acting(request: Request, fields: dict[str, str], parameters: str) -> str:
    return (
        f'"@method": {request.method}\n"@target-uri": {request.target_uri}\n'
        f'"content-type": {fields["content-type"]}\n"content-digest": {fields["content-digest"]}\n'
        f'"idempotency-key": {fields["idempotency-key"]}\n"@signature-params": {parameters}'
    )
