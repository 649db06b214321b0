"""Before the first request is accepted: prove that this process refuses what it must refuse.

A library that was swapped, patched or built wrongly would otherwise show by accepting. Keys are made for the
purpose and forgotten; nothing here can be switched off. Source: RFC 9421 §7.1.1.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from signing import (
    Algorithm,
    DigestMismatch,
    Request,
    RequestRefused,
    RequestSignatureInvalid,
    SignatureExpired,
    SigningKey,
    parse_request,
    sign_request,
    verify_request,
)
from signing.keys import ALGORITHMS
from signing.profile import CLOCK_SKEW_S_MAX, LIFETIME_S_MAX

_ORIGIN = "https://self-test.invalid"  # RFC 6761: nobody has this name
_HEADERS = (("Content-Type", "application/json"), ("Idempotency-Key", '"self-test-0123456789"'))


class VerificationBroken(Exception):
    """This process would accept what it must refuse, or refuse what it must accept: it does not start."""

    code = "verification_broken"


def require_working_verification(*, now: int) -> None:
    """Judge a good request of each algorithm, and four bad ones that must be refused, each for its reason.

    Args:
        now: seconds since the epoch, UTC.

    Raises:
        VerificationBroken: one was judged wrongly.
    """
    for alg in ALGORITHMS:
        _examine(alg, now)


def _examine(alg: Algorithm, now: int) -> None:
    key, other = SigningKey.generate(alg), SigningKey.generate(alg)
    request = Request("POST", f"{_ORIGIN}/v1/payments", _HEADERS, b'{"amount":1}')
    signed = request.with_headers(sign_request(request, key, now=now, nonce=secrets.token_urlsafe(24)))
    swapped = Request(signed.method, signed.target_uri, signed.headers, b'{"amount":2}')
    moved = Request(signed.method, f"{_ORIGIN}/v1/refunds", signed.headers, signed.body)
    late = now + LIFETIME_S_MAX + CLOCK_SKEW_S_MAX + 1

    def judge(what: Request, by: SigningKey, at: int) -> Callable[[], object]:
        return lambda: verify_request(
            parse_request(what, origins=frozenset({_ORIGIN})), by.verifying_key, now=at
        )

    try:
        judge(signed, key, now)()
    except RequestRefused as refusal:
        raise VerificationBroken(f"a good {alg} request is refused as {refusal.code}") from refusal
    _must_refuse(judge(swapped, key, now), DigestMismatch, f"a swapped body ({alg})")
    _must_refuse(judge(moved, key, now), RequestSignatureInvalid, f"a moved signature ({alg})")
    _must_refuse(judge(signed, other, now), RequestSignatureInvalid, f"another key ({alg})")
    _must_refuse(judge(signed, key, late), SignatureExpired, f"an old signature ({alg})")


def _must_refuse(judged: Callable[[], object], reason: type[RequestRefused], what: str) -> None:
    try:
        judged()
    except reason:
        return
    except RequestRefused as refusal:
        raise VerificationBroken(f"{what} is refused as {refusal.code}") from refusal
    raise VerificationBroken(f"{what} is accepted")
