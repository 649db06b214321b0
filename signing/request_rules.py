"""What a request must be like before its signature matters; signer and verifier hold the same rules.

Whatever two parsers could read differently is refused here: sizes, repeated fields,
methods, targets, media types, idempotency keys. Pure; raises `RequestRefused`.
Source: RFC 9421 §7.5, draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from . import profile
from .errors import (
    BodyMissing,
    BodyNotAllowed,
    HeaderDuplicated,
    HeaderMalformed,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    MethodNotCanonical,
    TargetNotCanonical,
    TooLarge,
    UnsupportedMedia,
)

if TYPE_CHECKING:
    from .message import Request

_READ_ONCE: Final = (
    "content-digest",
    "content-encoding",
    "content-length",
    "content-type",
    "idempotency-key",
    "signature",
    "signature-input",
    "trailer",
    "transfer-encoding",
)
# Fields that many clients and proxies send and that nothing here reads.
_NOT_READ: Final = (
    "accept",
    "accept-encoding",
    "connection",
    "host",
    "user-agent",
    "x-envoy-expected-rq-timeout-ms",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
)
# Names as they are nearly always spelled, so that they cost one look-up, to what they are read as, if at all.
_SPELLED: Final[dict[str, str]] = {
    spelled: name if name in _READ_ONCE else ""
    for name in (*_READ_ONCE, *_NOT_READ)
    for spelled in (name, name.title())
}


def require_size(request: Request) -> None:
    """Refuse what is too large to be worth reading.

    Raises:
        TooLarge: the body.
        TargetNotCanonical: the target.
    """
    if request.body is not None and len(request.body) > profile.BODY_BYTES_MAX:
        raise TooLarge(f"the body has more than {profile.BODY_BYTES_MAX} bytes")
    if len(request.target_uri) > profile.TARGET_CHARS_MAX:
        raise TargetNotCanonical(f"the target has more than {profile.TARGET_CHARS_MAX} characters")


def read_fields(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Return the fields that matter by lower-case name, each of which occurs once.

    Raises:
        HeaderDuplicated: one of them occurs twice.
        IdempotencyKeyInvalid: it is the idempotency key that occurs twice.
        HeaderMalformed: a name is not ASCII or holds `@`, which marks derived components.
    """
    fields: dict[str, str] = {}
    for name, value in headers:
        try:
            lower = _SPELLED[name]
        except KeyError:
            lower = _require_token(name)
        if lower:
            if lower in fields:
                refusal = IdempotencyKeyInvalid if lower == "idempotency-key" else HeaderDuplicated
                raise refusal(f"{lower} occurs more than once")
            fields[lower] = value
    return fields


def _require_token(name: str) -> str:
    """Return the name in lower case if it is one of those that matter, else an empty text."""
    # Non-ASCII names come first: U+212A in lower case is "k".
    if not name.isascii() or "@" in name:
        raise HeaderMalformed("a header field name must be an HTTP token")
    return _SPELLED.get(name.lower(), "")


def require_framing(fields: dict[str, str]) -> None:
    """Refuse a message whose end two parsers could see at different places.

    Raises:
        HeaderMalformed: both a length and a transfer coding, or trailers.
    """
    if "transfer-encoding" in fields and "content-length" in fields:
        raise HeaderMalformed("content-length and transfer-encoding exclude each other")
    if "trailer" in fields:
        raise HeaderMalformed("trailers are not accepted: no signature covers them")


def require_method_and_target(request: Request, origins: frozenset[str] | None) -> None:
    """Refuse every spelling of method and target but one.

    Args:
        request: the request.
        origins: the verifier's own origins; None for a signer, who may address any.

    Raises:
        MethodNotCanonical: not one of the methods, in upper case.
        TargetNotCanonical: another origin, or a path or query not in canonical form.
    """
    if request.method != "GET" and request.method not in profile.METHODS_THAT_ACT:
        raise MethodNotCanonical("the method must be GET, POST, PUT, PATCH or DELETE, in upper case")
    match = profile.TARGET.fullmatch(request.target_uri)
    if match is None:
        raise TargetNotCanonical(
            "the target must be an https origin and /v1/ with plain path segments of A-Z a-z 0-9 _ -, "
            "then at most ?name=value&… of plain characters: no %, no //, no ., no bare ?, no fragment"
        )
    origin, query = match[1], match[3]
    if origins is not None:
        if origin not in origins:
            raise TargetNotCanonical("the target's origin is not one of this gateway's")
    elif profile.CANONICAL_ORIGIN.fullmatch(origin) is None:
        raise TargetNotCanonical(
            "the origin must be https://host or https://host:port, lower case, without :443"
        )
    if query is not None:
        names = [pair.partition("=")[0] for pair in query.split("&")]
        if any(left >= right for left, right in pairwise(names)):
            raise TargetNotCanonical("query parameters must be sorted by name, and each name must occur once")


def require_content(request: Request, fields: dict[str, str]) -> None:
    """Refuse a body, media type or idempotency key that the profile does not know.

    Raises:
        UnsupportedMedia: not exactly `application/json`, or an encoded body.
        BodyMissing: a method that acts without a body.
        BodyNotAllowed: a GET with a body.
        IdempotencyKeyMissing: a method that acts without the key.
        IdempotencyKeyInvalid: the key is malformed, or a GET carries one.
    """
    if "content-encoding" in fields:
        raise UnsupportedMedia("content encodings are not accepted")
    if request.method == "GET":
        if request.body:
            raise BodyNotAllowed("a GET carries no body")
        if "idempotency-key" in fields:
            raise IdempotencyKeyInvalid("a GET carries no Idempotency-Key: its signature would not cover it")
        return
    if fields.get("content-type") != profile.MEDIA_TYPE:
        raise UnsupportedMedia(f"Content-Type must be exactly {profile.MEDIA_TYPE}, without parameters")
    if not request.body:
        raise BodyMissing("a request that acts carries a JSON body, at least {}")
    if "idempotency-key" not in fields:
        raise IdempotencyKeyMissing('add a header field such as Idempotency-Key: "9f8c1a70-6d0e-4f7b"')
    if profile.IDEMPOTENCY_KEY.fullmatch(fields["idempotency-key"]) is None:
        raise IdempotencyKeyInvalid(
            "Idempotency-Key must be a quoted string of 16 to 64 characters A-Z a-z 0-9 _ -"
        )
