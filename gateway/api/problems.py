"""The one table from a refusal's code to its HTTP answer, and the answer itself (RFC 9457).

A code that is not in the table becomes 500 without a word about the cause. `retryable` means: the same
request, unchanged, may succeed later. A test holds that every class that can reach this place is listed.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import msgspec

from gateway.access.rate import rate_limit_fields
from gateway.errors import (
    DuplicateSuspected,
    GatewayRefusal,
    MethodNotAllowed,
    RateLimited,
    StoredRefusal,
    TokenInvalid,
    TokenProofInvalid,
    ValidationFailed,
)
from signing.dpop import ALGORITHM_NAMES
from signing.errors import RequestRefused

PROBLEM_MEDIA_TYPE = "application/problem+json"
# A relative reference (RFC 9457 §3.1.1 admits it) into the catalogue that the gateway itself serves.
CATALOGUE_PATH = "/.well-known/countermark-problems"


@dataclass(frozen=True)
class Problem:
    """One row: the HTTP status, a title that never changes, and whether sending it again can help."""

    status: int
    title: str
    retryable: bool = False


INTERNAL = "internal_error"

PROBLEMS: Mapping[str, Problem] = MappingProxyType(
    {
        # 400: the request cannot be read in one way.
        "malformed_json": Problem(400, "The body is not strict JSON"),
        "both_cursors": Problem(400, "A page has one cursor"),
        "idempotency_key_missing": Problem(400, "An idempotency key is required"),
        "idempotency_key_invalid": Problem(400, "The idempotency key is not of the accepted form"),
        "signature_malformed": Problem(400, "The signature is not of the profile"),
        "digest_malformed": Problem(400, "Content-Digest is not of the profile"),
        "header_duplicated": Problem(400, "A header field occurs twice"),
        "header_malformed": Problem(400, "A header field is never valid here"),
        "method_not_canonical": Problem(400, "The method cannot be signed"),
        "target_not_canonical": Problem(400, "The target URI is not in its only accepted form"),
        "body_missing": Problem(400, "A body is required"),
        "body_not_allowed": Problem(400, "A GET has no body"),
        "sender_gone": Problem(400, "The request was not complete", retryable=True),
        "request_refused": Problem(400, "The request was refused"),
        # 401: nobody has been recognised.
        "signature_missing": Problem(401, "The request is not signed"),
        "signature_invalid": Problem(401, "The signature does not verify"),
        "signature_expired": Problem(401, "The signature is too old"),
        "signature_too_early": Problem(401, "The signature is from the future"),
        "signature_replayed": Problem(401, "This read was made before"),
        "key_unknown": Problem(401, "The key is not registered"),
        "key_revoked": Problem(401, "The key was revoked"),
        "token_invalid": Problem(401, "The token is not good"),
        "token_proof_invalid": Problem(401, "The token came without its key's proof"),
        "digest_mismatch": Problem(401, "The body is not the one that was signed"),
        # 403 to 429: recognised, and refused.
        "not_permitted": Problem(403, "This is not permitted"),
        "key_scope": Problem(403, "The key may not do this"),
        "not_found": Problem(404, "There is no such thing here"),
        "method_not_allowed": Problem(405, "The route has no such method"),
        "state_conflict": Problem(409, "The state does not admit this"),
        "duplicate_suspected": Problem(409, "The payment looks like an earlier one"),
        "refund_exceeds_available": Problem(409, "Less than this can be refunded"),
        "idempotency_key_in_progress": Problem(409, "The key's first request is under way", retryable=True),
        "idempotency_key_expired": Problem(409, "The key's answer is not kept any more"),
        "evidence_pending": Problem(409, "The evidence is not in a checkpoint yet", retryable=True),
        "too_large": Problem(413, "The request is too large"),
        "unsupported_media": Problem(415, "The body must be application/json, not encoded"),
        "wrong_cell": Problem(421, "Another cell holds this"),
        "validation_failed": Problem(422, "The body does not fit the operation"),
        "idempotency_key_reused": Problem(422, "The idempotency key was used for another request"),
        "currency_not_supported": Problem(422, "There is no account in this currency"),
        "rate_limited": Problem(429, "Too many requests", retryable=True),
        # 5xx: our side.
        INTERNAL: Problem(500, "Something went wrong on our side", retryable=True),
        "cell_unavailable": Problem(503, "The record is out of reach", retryable=True),
    }
)


@dataclass(frozen=True)
class ProblemAnswer:
    """A refusal as it goes out: status, the body's bytes, and further header fields."""

    code: str
    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


def describe(fault: Exception, *, request_id: str) -> ProblemAnswer:
    """Turn whatever ended a request into its answer.

    Args:
        fault: a refusal; anything else is a bug of ours and says nothing to the outside.
        request_id: the name under which operators find the rest.
    """
    if isinstance(fault, StoredRefusal):
        return ProblemAnswer(
            fault.code,
            fault.status,
            fault.body,
            tuple(replayed_headers(fault.original_request_id, is_repeat=fault.is_repeat)),
        )
    known = isinstance(fault, GatewayRefusal | RequestRefused)
    code = (
        fault.code
        if isinstance(fault, GatewayRefusal | RequestRefused) and fault.code in PROBLEMS
        else INTERNAL
    )
    problem = PROBLEMS[code]
    body: dict[str, Any] = {
        "type": f"{CATALOGUE_PATH}#{code}",
        "title": problem.title,
        "status": problem.status,
        "code": code,
        "retryable": problem.retryable,
        "request_id": request_id,
    }
    headers: list[tuple[str, str]] = []
    if known and code != INTERNAL and str(fault):
        body["detail"] = str(fault)
    if isinstance(fault, DuplicateSuspected):
        body["payment_id"] = fault.payment_id
    if isinstance(fault, ValidationFailed) and fault.faults:
        body["errors"] = [{"pointer": each.pointer, "detail": each.detail} for each in fault.faults]
    if (
        isinstance(fault, RequestRefused)
        and problem.status == HTTPStatus.UNAUTHORIZED
        and fault.signature_base is not None
    ):
        # What the server built from what it received: the client finds the first difference by comparing.
        body["signature_base"] = base64.b64encode(fault.signature_base).decode("ascii")
        body["signature_base_text"] = fault.signature_base.decode("ascii", "backslashreplace")
    if isinstance(fault, GatewayRefusal) and fault.retry_after_s is not None:
        body["retry_after_s"] = fault.retry_after_s
        headers.append(("Retry-After", str(fault.retry_after_s)))
    if isinstance(fault, RateLimited) and fault.verdict is not None:
        # The member of draft-ietf-httpapi-ratelimit-headers-10 §6.
        body["violated-policies"] = [fault.verdict.rate.policy]
        headers += rate_limit_fields(fault.verdict)
    if isinstance(fault, TokenInvalid | TokenProofInvalid):
        error = "invalid_token" if isinstance(fault, TokenInvalid) else "invalid_dpop_proof"
        # RFC 9449 §7.1.
        headers.append(("WWW-Authenticate", f'DPoP error="{error}", algs="{" ".join(ALGORITHM_NAMES)}"'))
    if isinstance(fault, MethodNotAllowed) and fault.allowed:
        headers.append(("Allow", ", ".join(sorted(fault.allowed))))
    return ProblemAnswer(code, problem.status, msgspec.json.encode(body), tuple(headers))


def replayed_headers(original_request_id: str | None, *, is_repeat: bool) -> list[tuple[str, str]]:
    """Return the fields that mark a stored answer; none for the answer that is given first."""
    if not is_repeat:
        return []
    original = [("Idempotency-Original-Request", original_request_id)] if original_request_id else []
    return [("Idempotent-Replayed", "true"), *original]


def catalogue() -> bytes:
    """Return the whole table as JSON: what a problem's `type` points at."""
    rows = [
        {"code": code, "status": row.status, "title": row.title, "retryable": row.retryable}
        for code, row in PROBLEMS.items()
    ]
    return msgspec.json.encode({"object": "list", "data": rows})
