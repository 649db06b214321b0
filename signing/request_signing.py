"""Sign a request: what is to be signed, and the header fields that carry the signature.

The signer refuses what the gateway would refuse, so a mistake shows before it is
sent. Preparing and attaching are apart, for keys that live in an HSM or a key
service and are asked asynchronously. Pure: the time and the nonce are arguments.
Source: RFC 9421 §3.1, RFC 9530 §2.
"""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import profile
from .digest import content_digest
from .errors import RequestRefused, UnsignableRequest
from .keys import ALGORITHMS, SIGNATURE_BYTES
from .request_rules import (
    read_fields,
    require_content,
    require_framing,
    require_method_and_target,
    require_size,
)

if TYPE_CHECKING:
    from .keys import Algorithm, Signer
    from .message import Request


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A request that only lacks the signature over `signature_base`.

    Attributes:
        signature_base: the bytes to sign.
        signature_input: the value of `Signature-Input`, with its label.
        digest: the value of `Content-Digest`; None for a GET.
    """

    signature_base: bytes
    signature_input: str
    digest: str | None

    def attach(self, signature: bytes) -> tuple[tuple[str, str], ...]:
        """Return the header fields to add.

        Args:
            signature: 64 raw bytes over `signature_base`; r || s for ECDSA, not DER.

        Raises:
            UnsignableRequest: the signature has another length.
        """
        if len(signature) != SIGNATURE_BYTES:
            raise UnsignableRequest(
                f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}: ECDSA is r || s, not DER"
            )
        encoded = b2a_base64(signature, newline=False).decode("ascii")
        fields = (("Signature-Input", self.signature_input), ("Signature", f"{profile.LABEL}=:{encoded}:"))
        return fields if self.digest is None else (("Content-Digest", self.digest), *fields)


def sign_request(
    request: Request, key: Signer, *, now: int, nonce: str, lifetime_s: int = profile.LIFETIME_S_MAX
) -> tuple[tuple[str, str], ...]:
    """Sign a request.

    Args:
        request: as it will be sent. Except for GET its headers hold `Content-Type` and
            `Idempotency-Key` already, and its body is not empty.
        key: a `SigningKey`, or whatever signs like one.
        now: seconds since the epoch, UTC.
        nonce: 22 to 64 characters A-Z a-z 0-9 _ -, fresh, for example `secrets.token_urlsafe(24)`.
        lifetime_s: how long the gateway may accept it, 1 to 300 s.

    Returns:
        The header fields to add: `Content-Digest` (not for GET), `Signature-Input`, `Signature`.

    Raises:
        UnsignableRequest: the gateway would refuse it; the message says what to change.
    """
    prepared = prepare_request(
        request, key_id=key.key_id, alg=key.alg, now=now, nonce=nonce, lifetime_s=lifetime_s
    )
    return prepared.attach(key.sign(prepared.signature_base))


def prepare_request(
    request: Request,
    *,
    key_id: str,
    alg: Algorithm,
    now: int,
    nonce: str,
    lifetime_s: int = profile.LIFETIME_S_MAX,
) -> PreparedRequest:
    """Do everything of `sign_request` but the signature itself.

    Args:
        request: as in `sign_request`.
        key_id: the RFC 7638 thumbprint of the key that will sign.
        alg: its algorithm.
        now: as in `sign_request`.
        nonce: as in `sign_request`.
        lifetime_s: as in `sign_request`.

    Raises:
        UnsignableRequest: as `sign_request`.
    """
    if alg not in ALGORITHMS:
        raise UnsignableRequest("the algorithms are " + " and ".join(ALGORITHMS))
    _require_parameters(key_id, now, nonce, lifetime_s)
    fields = _require_signable(request)
    parameters = (
        f';created={now};expires={now + lifetime_s};nonce="{nonce}";keyid="{key_id}";alg="{alg}"'
        f';tag="{profile.REQUEST_TAG}"'
    )
    lines = [f'"@method": {request.method}', f'"@target-uri": {request.target_uri}']
    covered, digest = profile.COVERED_GET, None
    if request.method != "GET":
        covered, digest = profile.COVERED_ACTING, content_digest(request.body or b"")
        lines += [
            f'"content-type": {fields["content-type"]}',
            f'"content-digest": {digest}',
            f'"idempotency-key": {fields["idempotency-key"]}',
        ]
    lines.append(f'"@signature-params": ({covered}){parameters}')
    return PreparedRequest(
        signature_base="\n".join(lines).encode("ascii"),
        signature_input=f"{profile.LABEL}=({covered}){parameters}",
        digest=digest,
    )


def _require_signable(request: Request) -> dict[str, str]:
    try:
        require_size(request)
        fields = read_fields(request.headers)
        require_framing(fields)
        require_method_and_target(request, None)
        require_content(request, fields)
    except RequestRefused as error:
        raise UnsignableRequest(str(error)) from error
    for name in ("signature", "signature-input", "content-digest"):
        if name in fields:
            raise UnsignableRequest(f"leave {name} out: it is made here, and one signature is accepted")
    return fields


def _require_parameters(key_id: str, now: int, nonce: str, lifetime_s: int) -> None:
    if not 1 <= lifetime_s <= profile.LIFETIME_S_MAX:
        raise UnsignableRequest(f"lifetime_s must be 1 to {profile.LIFETIME_S_MAX}")
    if profile.NONCE.fullmatch(nonce) is None:
        raise UnsignableRequest("the nonce must have 22 to 64 characters A-Z a-z 0-9 _ -")
    if profile.KEY_ID.fullmatch(key_id) is None:
        raise UnsignableRequest("the key id must be the RFC 7638 thumbprint of the key")
    if not 0 <= now < profile.TIME_S_END:
        raise UnsignableRequest("now must be whole seconds since 1970")
