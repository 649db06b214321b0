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


_INPUT_ACTING = f"{profile.LABEL}=({profile.COVERED_ACTING})"
_INPUT_GET = f"{profile.LABEL}=({profile.COVERED_GET})"
_PARAMETERS_ACTING = f'"@signature-params": ({profile.COVERED_ACTING})'
_PARAMETERS_GET = f'"@signature-params": ({profile.COVERED_GET})'


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
        return _fields(signature, self.signature_input, self.digest)


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
    base, signature_input, digest = _prepare(request, key.key_id, key.alg, now, nonce, lifetime_s)
    return _fields(key.sign(base), signature_input, digest)


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
    return PreparedRequest(*_prepare(request, key_id, alg, now, nonce, lifetime_s))


def _prepare(
    request: Request, key_id: str, alg: Algorithm, now: int, nonce: str, lifetime_s: int
) -> tuple[bytes, str, str | None]:
    """Return signature base, value of Signature-Input and digest."""
    parameters = (
        f';created={now};expires={now + lifetime_s};nonce="{nonce}";keyid="{key_id}";alg="{alg}"'
        f';tag="{profile.REQUEST_TAG}"'
    )
    if not 1 <= lifetime_s <= profile.LIFETIME_S_MAX:
        raise UnsignableRequest(f"lifetime_s must be 1 to {profile.LIFETIME_S_MAX}")
    if not 0 <= now < profile.TIME_S_END:
        raise UnsignableRequest("now must be whole seconds since 1970")
    try:
        require_size(request)
        fields = read_fields(request.headers)
        # The one spelling of each part: all at once where the request is a usual one, else part by part.
        if not _is_usual(request, fields, parameters):
            _require_parameters(key_id, alg, nonce, parameters)
            _require_signable(request, fields)
    except RequestRefused as error:
        raise UnsignableRequest(str(error)) from error
    if request.method == "GET":
        base = f'"@method": GET\n"@target-uri": {request.target_uri}\n{_PARAMETERS_GET}{parameters}'
        return base.encode("ascii"), f"{_INPUT_GET}{parameters}", None
    digest = content_digest(request.body or b"")
    base = (
        f'"@method": {request.method}\n"@target-uri": {request.target_uri}\n'
        f'"content-type": {fields["content-type"]}\n"content-digest": {digest}\n'
        f'"idempotency-key": {fields["idempotency-key"]}\n{_PARAMETERS_ACTING}{parameters}'
    )
    return base.encode("ascii"), f"{_INPUT_ACTING}{parameters}", digest


def _fields(signature: bytes, signature_input: str, digest: str | None) -> tuple[tuple[str, str], ...]:
    if len(signature) != SIGNATURE_BYTES:
        raise UnsignableRequest(
            f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}: ECDSA is r || s, not DER"
        )
    encoded = b2a_base64(signature, newline=False).decode("ascii")
    input_field, field = ("Signature-Input", signature_input), ("Signature", f"{profile.LABEL}=:{encoded}:")
    return (input_field, field) if digest is None else (("Content-Digest", digest), input_field, field)


def _is_usual(request: Request, fields: dict[str, str], parameters: str) -> bool:
    """Tell whether the whole request is of the usual form; False says nothing about it."""
    # The form needs two of the fields that matter, and beside these a length alone may stand.
    if not request.body or len(fields) != (3 if "content-length" in fields else 2):
        return False
    text = (
        f"{request.method}\n{request.target_uri}\n{fields.get('content-type')}\n"
        f"{fields.get('idempotency-key')}\n{parameters}"
    )
    return profile.USUAL_TO_SIGN.fullmatch(text) is not None


def _require_signable(request: Request, fields: dict[str, str]) -> None:
    require_framing(fields)
    require_method_and_target(request, None)
    require_content(request, fields)
    for name in ("signature", "signature-input", "content-digest"):
        if name in fields:
            raise UnsignableRequest(f"leave {name} out: it is made here, and one signature is accepted")


def _require_parameters(key_id: str, alg: str, nonce: str, parameters: str) -> None:
    if alg not in ALGORITHMS:
        raise UnsignableRequest("the algorithms are " + " and ".join(ALGORITHMS))
    if profile.NONCE.fullmatch(nonce) is None:
        raise UnsignableRequest("the nonce must have 22 to 64 characters A-Z a-z 0-9 _ -")
    if profile.KEY_ID.fullmatch(key_id) is None:
        raise UnsignableRequest("the key id must be the RFC 7638 thumbprint of the key")
    if profile.PARAMETERS_AS_SIGNED_HERE.fullmatch(parameters) is None:
        raise UnsignableRequest("now and lifetime_s must be whole seconds")
