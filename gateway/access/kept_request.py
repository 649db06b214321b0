"""What of a request the evidence keeps: its head byte for byte, and the body of a refused one (pure).

Left out is what the merchant did not send to us as evidence: what the mesh's own proxies added, and
credentials, which nobody may find in an archive. The signature's own fields are always whole.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.api.instrument_orders import ROUTE as INSTRUMENTS_ROUTE
from gateway.api.instrument_orders import is_blinded
from signing import Request

# About five times an ordinary head. A longer one is kept without the fields that no signature covers, so that
# nobody can fill the archive with header fields.
HEAD_BYTES_MAX: Final = 8 * 1024
_SIGNED: Final = frozenset(
    {"host", "content-type", "content-digest", "idempotency-key", "signature-input", "signature"}
)
_CREDENTIALS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "dpop"})
# Tracing is nobody's statement: proxies rewrite it, and a retry has another.
_ADDED_BY_THE_MESH: Final = (
    "x-forwarded-", "x-envoy-", "x-request-id", "x-request-start", "traceparent", "tracestate", "baggage"
)  # fmt: skip


# Of these alone a refused body is kept. A request of /v1/keys, by whatever method, may hold an enrolment
# token that is not spent; what was sent to no route may hold anything.
_KEPT_ROUTES: Final = frozenset({"/v1/payments"})
# What our operations take is far shorter. A longer body that was refused stays out of the archive: nobody can
# fill it with nonsense.
REFUSED_BODY_BYTES_MAX: Final = 16 * 1024
# Card numbers have 13 to 19 digits, perhaps in groups; an IBAN two letters, two digits, up to 30 more.
_CARD_NUMBER: Final = re.compile(rb"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_IBAN: Final = re.compile(rb"(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")


def refused_body(request: Request, route: str) -> bytes | None:
    """Return the body of a refused request that goes into the evidence.

    None if the digest in the signature base has to do; the sender has the body. So it is where the body might
    hold a card or account number, which has no place in a payment request, nor in an archive.

    Args:
        request: as received.
        route: the template that matched.
    """
    body = request.body or b""
    if route not in _KEPT_ROUTES or len(body) > REFUSED_BODY_BYTES_MAX:
        return None
    if any(_is_luhn(found[0]) for found in _CARD_NUMBER.finditer(body)) or _IBAN.search(body):
        return None
    return body


def is_kept(request: Request, route: str) -> bool:
    """Whether a refused exchange is evidence at all.

    Head and signature base hold the digest of the body. Where that is a number and nothing else, the number
    is found by trying: such an exchange leaves a row of the audit log, and no digest.

    Args:
        request: as received.
        route: the template that matched.
    """
    return route != INSTRUMENTS_ROUTE or is_blinded(request.body or b"")


def _is_luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B."""
    numbers = [byte - ord("0") for byte in reversed(digits) if byte not in b" -"]
    doubled = [2 * number - 9 * (number > 4) for number in numbers[1::2]]  # noqa: PLR2004 - 10 and more have two digits
    return (sum(numbers[::2]) + sum(doubled)) % 10 == 0


def request_head(request: Request) -> bytes:
    """Return method and target on the first line, then each field as `name: value`, each line ended by LF.

    Args:
        request: as received; its target URI is an https origin and the raw request target.
    """
    target = "/" + request.target_uri.removeprefix("https://").partition("/")[2]
    kept = [(name, value) for name, value in request.headers if _is_evidence(name.lower())]
    head = _joined(request.method, target, kept)
    if len(head) <= HEAD_BYTES_MAX:
        return head
    return _joined(request.method, target, [field for field in kept if field[0].lower() in _SIGNED])


def _is_evidence(name: str) -> bool:
    return name not in _CREDENTIALS and not name.startswith(_ADDED_BY_THE_MESH)


def _joined(method: str, target: str, fields: list[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target}", *(f"{name}: {value}" for name, value in fields)]
    return "".join(f"{line}\n" for line in lines).encode("latin-1")
