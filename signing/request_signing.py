"""Sign a request: what is to be signed, and the header fields that carry the signature.

The signer refuses what the gateway would refuse, so a mistake shows before it is
sent. Preparing and attaching are apart, for keys that live in an HSM or a key
service and are asked asynchronously. Pure: the time and the nonce are arguments.
Source: RFC 9421 §3.1, RFC 9530 §2.
"""

from __future__ import annotations

from binascii import b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

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


_KEYS_REMEMBERED: Final = 16  # a merchant's process signs with one, and with two during a rotation
_TARGETS_REMEMBERED: Final = 256  # most requests go to a few; each has at most 2048 characters
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
    if type(lifetime_s) is not int or not 1 <= lifetime_s <= profile.LIFETIME_S_MAX:
        raise UnsignableRequest(f"lifetime_s must be 1 to {profile.LIFETIME_S_MAX}")
    if type(now) is not int or not 0 <= now < profile.TIME_S_END:
        raise UnsignableRequest("now must be whole seconds since 1970")
    parameters = f';created={now};expires={now + lifetime_s};nonce="{nonce}"{_parameters_of_key(key_id, alg)}'
    try:
        require_size(request)
        fields = read_fields(request.headers)
    except RequestRefused as error:
        raise UnsignableRequest(str(error)) from error
    target, body = request.target_uri, request.body
    if request.method == "GET":
        _require_parts(request, fields, nonce)
        base = f'"@method": GET\n"@target-uri": {target}\n{_PARAMETERS_GET}{parameters}'
        return base.encode("ascii"), f"{_INPUT_GET}{parameters}", None
    media_type, idempotency_key = fields.get("content-type"), fields.get("idempotency-key")
    # The one spelling of each part: all at once where the request is a usual one, else part by part. A usual
    # one has two of the fields that matter, or three with its length, and none that is made here.
    if not (
        body
        and media_type == profile.MEDIA_TYPE
        and len(fields) == (3 if "content-length" in fields else 2)
        and request.method in profile.METHODS_THAT_ACT
        and profile.USUAL_KEY_AND_NONCE.fullmatch(f"{idempotency_key}\n{nonce}")
        and _is_usual_target(target)
    ):
        _require_parts(request, fields, nonce)
    digest = content_digest(body or b"")
    base = (
        f'"@method": {request.method}\n"@target-uri": {target}\n'
        f'"content-type": {media_type}\n"content-digest": {digest}\n'
        f'"idempotency-key": {idempotency_key}\n{_PARAMETERS_ACTING}{parameters}'
    )
    return base.encode("ascii"), f"{_INPUT_ACTING}{parameters}", digest


@lru_cache(maxsize=_KEYS_REMEMBERED)
def _parameters_of_key(key_id: str, alg: str) -> str:
    """Return the parameters that are the same for each signature of a key."""
    if alg not in ALGORITHMS:
        raise UnsignableRequest("the algorithms are " + " and ".join(ALGORITHMS))
    if profile.KEY_ID.fullmatch(key_id) is None:
        raise UnsignableRequest("the key id must be the RFC 7638 thumbprint of the key")
    return f';keyid="{key_id}";alg="{alg}";tag="{profile.REQUEST_TAG}"'


@lru_cache(maxsize=_TARGETS_REMEMBERED)
def _is_usual_target(target: str) -> bool:
    """Tell whether a target is canonical and has no query; False says nothing about it."""
    return profile.USUAL_TARGET.fullmatch(target) is not None


def _fields(signature: bytes, signature_input: str, digest: str | None) -> tuple[tuple[str, str], ...]:
    if len(signature) != SIGNATURE_BYTES:
        raise UnsignableRequest(
            f"a signature has {SIGNATURE_BYTES} bytes, not {len(signature)}: ECDSA is r || s, not DER"
        )
    encoded = b2a_base64(signature, newline=False).decode("ascii")
    input_field, field = ("Signature-Input", signature_input), ("Signature", f"{profile.LABEL}=:{encoded}:")
    return (input_field, field) if digest is None else (("Content-Digest", digest), input_field, field)


def _require_parts(request: Request, fields: dict[str, str], nonce: str) -> None:
    if profile.NONCE.fullmatch(nonce) is None:
        raise UnsignableRequest("the nonce must have 22 to 64 characters A-Z a-z 0-9 _ -")
    try:
        require_framing(fields)
        require_method_and_target(request, None)
        require_content(request, fields)
    except RequestRefused as error:
        raise UnsignableRequest(str(error)) from error
    for name in ("signature", "signature-input", "content-digest"):
        if name in fields:
            raise UnsignableRequest(f"leave {name} out: it is made here, and one signature is accepted")
