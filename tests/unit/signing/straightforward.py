"""Parsing, preparing and receipt bases in their plain form: part by part, nothing remembered, nothing joined.

What the product does faster must come to the same, for every input: the same values, or the same refusal.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256

from signing import (
    DigestMalformed,
    HeaderDuplicated,
    HeaderMalformed,
    IdempotencyKeyInvalid,
    Request,
    RequestRefused,
    SignatureMalformed,
    SignatureMissing,
    SignedRequest,
    UnsignableRequest,
    profile,
)
from signing.diagnosis import why_not_signature_input
from signing.request_rules import require_content, require_framing, require_method_and_target, require_size

_READ = {
    "content-digest", "content-encoding", "content-length", "content-type", "idempotency-key", "signature",
    "signature-input", "trailer", "transfer-encoding",
}  # fmt: skip


def read_fields(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the fields that matter by lower-case name."""
    fields: dict[str, str] = {}
    for name, value in headers:
        if not name.isascii() or "@" in name:
            raise HeaderMalformed("a header field name must be an HTTP token")
        lower = name.lower()
        if lower in _READ:
            if lower in fields:
                refusal = IdempotencyKeyInvalid if lower == "idempotency-key" else HeaderDuplicated
                raise refusal(f"{lower} occurs more than once")
            fields[lower] = value
    return fields


def parse(request: Request, origins: frozenset[str] | None) -> dict[str, object]:
    """Return the attributes that a SignedRequest must have."""
    require_size(request)
    fields = read_fields(request.headers)
    if "signature-input" not in fields or "signature" not in fields:
        raise SignatureMissing("the request must carry Signature-Input and Signature")
    signature_input, signature = fields["signature-input"], fields["signature"]
    if len(signature_input) > 2048:
        raise SignatureMalformed("Signature-Input is too long")
    if len(signature) > 1024:
        raise SignatureMalformed("Signature is too long: one signature is accepted")
    require_framing(fields)
    require_method_and_target(request, origins)
    require_content(request, fields)
    acts = request.method != "GET"
    match = (profile.INPUT_ACTING if acts else profile.INPUT_GET).fullmatch(signature_input)
    if match is None or None in match.groups():
        covered = profile.COVERED_ACTING if acts else profile.COVERED_GET
        reason = why_not_signature_input(signature_input, covered, profile.REQUEST_PARAMETER_NAMES)
        raise SignatureMalformed(f"Signature-Input: {reason}")
    signature_match = profile.SIGNATURE.fullmatch(signature)
    if signature_match is None:
        raise SignatureMalformed(
            "Signature must be exactly one member, countermark=:…:, of 64 bytes in canonical base64"
        )
    if acts and profile.CONTENT_DIGEST.fullmatch(fields.get("content-digest", "")) is None:
        raise DigestMalformed("Content-Digest must be exactly one member, sha-256=:…:, in canonical base64")
    parameters = signature_input.removeprefix("countermark=")
    lines = [f'"@method": {request.method}', f'"@target-uri": {request.target_uri}']
    if acts:
        lines += [f'"{n}": {fields[n]}' for n in ("content-type", "content-digest", "idempotency-key")]
    base = "\n".join([*lines, f'"@signature-params": {parameters}']).encode("ascii")
    created, expires, nonce, key_id, alg, _ = match.groups()
    if not int(created) < int(expires) <= int(created) + 300:
        raise SignatureMalformed("expires must lie 1 to 300 s after created", signature_base=base)
    return {
        "key_id": key_id,
        "alg": alg,
        "created": int(created),
        "expires": int(expires),
        "nonce": nonce,
        "idempotency_key": fields["idempotency-key"].strip('"') if acts else None,
        "content_digest": fields["content-digest"] if acts else None,
        "signature": b64decode(signature_match[1]),
        "signature_base": base,
        "signature_input": parameters,
        "request": request,
    }


def prepare(
    request: Request, key_id: str, alg: str, now: int, nonce: str, lifetime_s: int
) -> tuple[bytes, str, str | None]:
    """Return signature base, value of Signature-Input and digest; the refusal's text is not compared."""
    if alg not in ("ed25519", "ecdsa-p256-sha256") or not 1 <= lifetime_s <= 300 or not 0 <= now < 10**12:
        raise UnsignableRequest("algorithm or time")
    if profile.NONCE.fullmatch(nonce) is None or profile.KEY_ID.fullmatch(key_id) is None:
        raise UnsignableRequest("nonce or key id")
    try:
        require_size(request)
        fields = read_fields(request.headers)
        require_framing(fields)
        require_method_and_target(request, None)
        require_content(request, fields)
    except RequestRefused as error:
        raise UnsignableRequest(str(error)) from error
    if {"signature", "signature-input", "content-digest"} & fields.keys():
        raise UnsignableRequest("signed already")
    covered, digest = '"@method" "@target-uri"', None
    lines = [f'"@method": {request.method}', f'"@target-uri": {request.target_uri}']
    if request.method != "GET":
        covered += ' "content-type" "content-digest" "idempotency-key"'
        digest = f"sha-256=:{b64encode(sha256(request.body or b'').digest()).decode()}:"
        lines += [
            f'"content-type": {fields["content-type"]}',
            f'"content-digest": {digest}',
            f'"idempotency-key": {fields["idempotency-key"]}',
        ]
    parameters = (
        f'({covered});created={now};expires={now + lifetime_s};nonce="{nonce}";keyid="{key_id}";alg="{alg}"'
        ';tag="countermark-request-v1"'
    )
    lines.append(f'"@signature-params": {parameters}')
    return "\n".join(lines).encode("ascii"), f"countermark={parameters}", digest


def receipt_base(
    signed: SignedRequest, status: int, content_type: str, digest: str, parameters: str
) -> bytes:
    """Return the base of a receipt, made of the lines of the request's own base."""
    *request_lines, _ = signed.signature_base.decode("ascii").split("\n")
    lines = [
        f'"@status": {status}',
        f'"content-type": {content_type}',
        f'"content-digest": {digest}',
        *(line.replace('": ', '";req: ', 1) for line in request_lines),
        f'"signature-input";req;key="countermark": {signed.signature_input}',
        f'"signature";req;key="countermark": :{b64encode(signed.signature).decode()}:',
        f'"@signature-params": {parameters}',
    ]
    return "\n".join(lines).encode("ascii")
