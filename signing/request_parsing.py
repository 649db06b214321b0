"""From a received request to the claims of its signature: limits, then form; nothing is verified yet.

Any input leads to `SignedRequest` or to a `RequestRefused`, and to nothing else.
The caller uses the claimed key id to look a key up, and hands both to
`verify_request`. Source: RFC 9421 §3.2, steps 1 to 7, and §2.5.
"""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

_LABEL_AND_EQUALS = f"{profile.LABEL}="
_INPUT_BEGIN = len(_LABEL_AND_EQUALS)
_new, _set = object.__new__, object.__setattr__
_Claims = tuple[str, str, str, str, str, str]  # created, expires, nonce, key id, alg, signature in base64


@dataclass(frozen=True, init=False)
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

    def __init__(self, *_: object, **__: object) -> None:
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
    # 3. The signature base, from what was received and nothing else.
    get = fields.get
    parameters = get("signature-input", "")[_INPUT_BEGIN:]
    digest, quoted_key = get("content-digest"), get("idempotency-key")
    acts = request.method != "GET"
    base = (
        f'"@method": {request.method}\n"@target-uri": {request.target_uri}\n'
        f'"content-type": {get("content-type")}\n"content-digest": {digest}\n'
        f'"idempotency-key": {quoted_key}\n"@signature-params": {parameters}'
        if acts
        else f'"@method": GET\n"@target-uri": {request.target_uri}\n"@signature-params": {parameters}'
    )
    # 4. The one spelling of each part: all at once where the request is a usual one, else part by part.
    claims = _usual_claims(request, fields, origins, base) or _require_claims(request, fields, origins)
    created_text, expires_text, nonce, key_id, alg, signature = claims
    base_octets = base.encode("ascii")
    # 5. The claims agree with each other.
    created, expires = int(created_text), int(expires_text)
    if not created < expires <= created + profile.LIFETIME_S_MAX:
        raise SignatureMalformed(
            f"expires must lie 1 to {profile.LIFETIME_S_MAX} s after created", signature_base=base_octets
        )
    signed = _new(SignedRequest)
    # The only place where one is made. As a whole, because a frozen dataclass's own way, one call a field,
    # costs as much as parsing.
    _set(
        signed,
        "__dict__",
        {
            "key_id": key_id,
            "alg": alg,  # the expressions admit the two words alone
            "created": created,
            "expires": expires,
            "nonce": nonce,
            "idempotency_key": quoted_key[1:-1] if acts and quoted_key is not None else None,
            "content_digest": digest if acts else None,
            "signature": a2b_base64(signature),
            "signature_base": base_octets,
            "signature_input": parameters,
            "request": request,
        },
    )
    return signed


def _usual_claims(
    request: Request, fields: dict[str, str], origins: frozenset[str] | None, base: str
) -> _Claims | None:
    """Return the claims if the whole request is of the usual form; None says nothing about it."""
    if "transfer-encoding" in fields or "trailer" in fields or "content-encoding" in fields:
        return None
    if request.method != "GET":
        match = profile.USUAL_BASE_ACTING.fullmatch(base) if request.body else None
    elif request.body or "idempotency-key" in fields:
        match = None
    else:
        match = profile.USUAL_BASE_GET.fullmatch(base)
    if match is None:
        return None
    # The base lacks the label, and the signature itself.
    signature_match = profile.SIGNATURE.fullmatch(fields.get("signature", ""))
    if signature_match is None or not fields["signature-input"].startswith(_LABEL_AND_EQUALS):
        return None
    origin, created, expires, nonce, key_id, alg = match.groups()
    if origins is None:
        if profile.CANONICAL_ORIGIN.fullmatch(origin) is None:
            return None
    elif origin not in origins:
        return None
    return created, expires, nonce, key_id, alg, signature_match[1]


def _require_claims(request: Request, fields: dict[str, str], origins: frozenset[str] | None) -> _Claims:
    signature_input, signature = _require_signature_fields(fields)
    require_framing(fields)
    require_method_and_target(request, origins)
    require_content(request, fields)
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
    if acts:
        _require_digest(fields)
    created, expires, nonce, key_id, alg, _ = claims
    return created, expires, nonce, key_id, alg, signature_match[1]


def _require_signature_fields(fields: dict[str, str]) -> tuple[str, str]:
    signature_input, signature = fields.get("signature-input"), fields.get("signature")
    if signature_input is None or signature is None:
        raise SignatureMissing("the request must carry Signature-Input and Signature")
    if len(signature_input) > profile.SIGNATURE_INPUT_CHARS_MAX:
        raise SignatureMalformed("Signature-Input is too long")
    if len(signature) > profile.SIGNATURE_CHARS_MAX:
        raise SignatureMalformed("Signature is too long: one signature is accepted")
    return signature_input, signature


def _require_digest(fields: dict[str, str]) -> None:
    digest = fields.get("content-digest")
    if digest is None or profile.CONTENT_DIGEST.fullmatch(digest) is None:
        raise DigestMalformed("Content-Digest must be exactly one member, sha-256=:…:, in canonical base64")
