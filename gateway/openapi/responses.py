"""What operations answer: successes, refusals by status with their codes, header fields (pure).

Each refusing status is one response, whose schema names the codes that the operation can give under it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from gateway.api.operations import (
    ACT_PROBLEMS,
    PUBLIC_PROBLEMS,
    READ_PROBLEMS,
    SIGNED_PROBLEMS,
    Content,
    Operation,
)
from gateway.api.problems import CATALOGUE_PATH, PROBLEM_MEDIA_TYPE, PROBLEMS
from gateway.openapi.examples import MEDIA_EXAMPLES, shown_example
from gateway.openapi.schemas import Schema, reference

Response = dict[str, Any]
JSON = "application/json"
_RECEIPT = ("Content-Digest", "Signature-Input", "Signature")
_RATE = ("RateLimit-Policy", "RateLimit")
_REPEAT = ("Idempotent-Replayed", "Idempotency-Original-Request")
# Refusals whose answer says how to go on in a field of its own.
_RETRY_AFTER = frozenset(
    {"cell_unavailable", "evidence_pending", "idempotency_key_in_progress", "rate_limited"}
)
_OF_TOKENS = frozenset({"token_invalid", "token_proof_invalid"})
# Refusals that the record keeps for an idempotency key and gives again.
_KEPT = frozenset(
    {
        "duplicate_suspected", "key_scope", "not_permitted", "refund_exceeds_available", "state_conflict",
    }
)  # fmt: skip
_SORTS = {
    "Public": PUBLIC_PROBLEMS,
    "Read": SIGNED_PROBLEMS | READ_PROBLEMS,
    "Act": SIGNED_PROBLEMS | ACT_PROBLEMS,
}


def responses_of(operation: Operation) -> dict[str, Any]:
    """Return an operation's answers by status, in the order of the statuses."""
    found: dict[int, Any] = {
        status: _success(operation, status, content) for status, content in operation.answers.items()
    }
    if operation.conditional:
        found[HTTPStatus.NOT_MODIFIED] = _unchanged(operation)
    shared = codes_by_status(operation.sort_problems)
    sort = _sort_of(operation)
    for status, codes in codes_by_status(operation.all_problems()).items():
        if codes == shared.get(status):
            found[status] = {"$ref": f"#/components/responses/{sort}{status}"}
        else:
            found[status] = refusal(status, codes, sort)
    return {str(int(status)): found[status] for status in sorted(found)}


def statuses_of(operation: Operation) -> set[int]:
    """Return every status that an operation can answer."""
    unchanged = {int(HTTPStatus.NOT_MODIFIED)} if operation.conditional else set()
    return {*operation.answers, *unchanged, *codes_by_status(operation.all_problems())}


def component_responses() -> dict[str, Response]:
    """Return the refusals that every operation of a sort has."""
    return {
        f"{sort}{status}": refusal(status, codes, sort)
        for sort, problems in _SORTS.items()
        for status, codes in codes_by_status(problems).items()
    }


def codes_by_status(codes: Iterable[str]) -> dict[int, list[str]]:
    """Return codes of problems by their status, both in order."""
    found: dict[int, list[str]] = defaultdict(list)
    for code in sorted(codes):
        found[PROBLEMS[code].status].append(code)
    return dict(sorted(found.items()))


def refusal(status: int, codes: list[str], sort: str) -> Response:
    """Return the response that refuses an operation of a sort with one of these codes."""
    always = ("Cache-Control", "Request-Id")
    fields = [*always, *(("Gateway-Version", *_RECEIPT, *_RATE) if sort != "Public" else ())]
    if "rate_limited" in codes and sort == "Public":
        fields += _RATE
    if _RETRY_AFTER & set(codes):
        fields.append("Retry-After")
    if _OF_TOKENS & set(codes):
        fields.append("WWW-Authenticate")
    if _KEPT & set(codes) and sort == "Act":
        fields += _REPEAT
    schema: Schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {"properties": {"code": {"enum": codes}, "status": {"const": status}}},
        ]
    }
    return {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes) + ".",
        "headers": {name: _field(name, required=name in always) for name in fields},
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "example": problem_example(codes[0])}},
    }


def problem_schema() -> Schema:
    """Return the schema of every refusal (RFC 9457)."""
    string = {"type": "string"}
    return {
        "description": "A refusal (RFC 9457). `code` is what a program reads, and never changes; `detail` "
        "says what to change. Members that you do not know may come.",
        "type": "object",
        "required": ["type", "title", "status", "code", "retryable"],
        "properties": {
            "type": {**string, "description": "Points into the catalogue of problems."},
            "title": {**string, "description": "The same for every problem of the code."},
            "status": {"type": "integer", "description": "The status of the answer."},
            "code": {**string, "description": "One of the catalogue; a program reads this one."},
            "retryable": {
                "type": "boolean",
                "description": "Whether the same request, unchanged, may succeed later.",
            },
            "request_id": {**string, "description": "The exchange's name; tell it to those whom you ask."},
            "detail": {**string, "description": "What to change."},
            "errors": {
                "type": "array",
                "description": "Each place in the body or query that is wrong.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {**string, "description": "RFC 6901 into the body; `?name` in a query."},
                        "detail": {**string, "description": "What is expected there."},
                    },
                },
            },
            "retry_after_s": {"type": "integer", "description": "As the field Retry-After, in seconds."},
            "violated-policies": {
                "type": "array",
                "description": "Of a 429: the names of the rates that were exceeded, as in RateLimit-Policy.",
                "items": string,
            },
            "payment_id": {**string, "description": "The earlier payment that this one looks like."},
            "signature_base": {
                **string,
                "description": "Of a 401: the bytes that the gateway expects to be signed, in base64.",
            },
            "signature_base_text": {**string, "description": "The same as text, to compare by eye."},
        },
    }


def problem_example(code: str) -> dict[str, Any]:
    """Return a refusal of a code as it is sent."""
    row = PROBLEMS[code]
    return {
        "type": f"{CATALOGUE_PATH}#{code}",
        "title": row.title,
        "status": row.status,
        "code": code,
        "retryable": row.retryable,
        "request_id": "req_eu_01m83c3x2w0t7v0f8q6k4j9znh",
    }


def _sort_of(operation: Operation) -> str:
    if not operation.signed:
        return "Public"
    return "Act" if operation.acts else "Read"


def _success(operation: Operation, status: int, content: Content) -> Response:
    fields = ["Cache-Control", "Request-Id"]
    required = set(fields)
    if operation.signed:
        fields += ["Gateway-Version", *_RECEIPT, *_RATE]
        required |= _receipt_always(operation)
    if operation.signed and operation.acts:
        fields += _REPEAT
    if operation.conditional:
        fields.append("ETag")
        required.add("ETag")
    if operation.waits:
        fields.append("Preference-Applied")
    fields += sorted(operation.fields)
    required |= operation.fields
    return {
        "description": HTTPStatus(status).phrase + ".",
        "headers": {name: _field(name, required=name in required) for name in fields},
        "content": _content(content),
    }


def _content(content: Content) -> dict[str, Any]:
    if isinstance(content, str):
        example = {"example": MEDIA_EXAMPLES[content]} if content in MEDIA_EXAMPLES else {}
        schema = {"type": "string"} if content.startswith("text/") else {}
        return {content: {"schema": schema, **example}}
    return {JSON: {"schema": reference(content), "example": shown_example(content)}}


def _unchanged(operation: Operation) -> Response:
    always = {"Cache-Control", "Request-Id", "ETag"}
    names = ["Cache-Control", "Request-Id", "ETag"]
    if operation.signed:
        names += ["Gateway-Version", *_RECEIPT, *_RATE]
        always |= _receipt_always(operation)
    if operation.waits:
        names.append("Preference-Applied")
    return {
        "description": "Nothing has changed since the entity tag of If-None-Match. No body"
        + (
            ". The receipt covers a Content-Type that names the sequence: `application/json; sequence=N`."
            if operation.signed
            else "."
        ),
        "headers": {name: _field(name, required=name in always) for name in names},
    }


def _receipt_always(operation: Operation) -> set[str]:
    """The receipt of a success: whoever shows a token instead of signing gets none."""
    return set() if operation.admits_tokens else set(_RECEIPT)


def _field(name: str, *, required: bool = False) -> dict[str, Any]:
    return {"$ref": f"#/components/headers/{name}{'Always' if required else ''}"}
