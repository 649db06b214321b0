"""What an Envoy says itself: small problem documents that tell what to do; it has no key to sign by (pure).

A 503 carries Retry-After, and `x-countermark-unsent` where no byte was forwarded. The codes are those of the
gateway's catalogue, so that a client needs one table.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.api.problems import CATALOGUE_PATH, PROBLEMS

# A path that signing has no spelling for; whoever sends one must learn that it is the spelling.
# A percent sign, dots or nothing as a segment, a backslash, parameters of a segment, an empty query.
STRANGE_PATH: Final = r"[^?]*(?:[%\\;]|//|/\.{1,2}(?:/|\?|$)|[^?]/(?:\?|$)).*|[^?]+\?"
# Status, the code that says it, and what to do.
_REFUSALS: Final = (
    (403, "not_permitted", "This is not for merchants."),
    (404, "not_found", "There is no such path. The surface is described under /.well-known/."),
    (405, "method_not_allowed", "The path has no such method; the field Allow names those that it has."),
    (408, "sender_gone", "The request came too slowly. Send it whole, within seconds."),
    (413, "too_large", "The body is longer than 64 KiB. No operation needs that much."),
    (415, "unsupported_media", "Send Content-Type: application/json, and no Content-Encoding."),
    (429, "rate_limited", "Too many requests come from this address. Wait as long as Retry-After says."),
    (431, "too_large", "The header is longer than 32 KiB or has more than 64 fields. Leave some out."),
)
_STRANGE: Final = (
    "target_not_canonical",
    "Send the path as it is documented: nothing encoded, no empty segment, no dots, no bare question mark.",
)
_OTHER: Final = ("request_refused", "This is not HTTP as signed clients speak it, or is not accepted here.")
_RETRY_AFTER: Final = {
    "header": {"key": "retry-after", "value": "1"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}
_UNSENT: Final = {
    "header": {"key": "x-countermark-unsent", "value": "1"},
    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
}
_BAD_REQUEST: Final = 400
_TOO_MANY: Final = 429


def local_replies() -> dict[str, Any]:
    """Return the `local_reply_config` of a connection manager; the first mapper that fits is taken."""
    unavailable = {
        "type": "about:blank",
        "title": "the service cannot be reached right now",
        "status": "%RESPONSE_CODE%",
        "code": "cell_unavailable",
        "retryable": True,
    }
    away = {"status_code": 503, "body_format_override": _problem(unavailable)}
    refusals = [
        _mapper(_status("EQ", status), code, detail, again=status == _TOO_MANY)
        for status, code, detail in _REFUSALS
    ]
    strange = {"and_filter": {"filters": [_status("EQ", _BAD_REQUEST), _path(STRANGE_PATH)]}}
    return {
        "mappers": [
            {
                "filter": {"response_flag_filter": {"flags": ["UF", "UH"]}},
                "headers_to_add": [_RETRY_AFTER, _UNSENT],
                **away,
            },
            # A transfer coding that nobody here speaks (RFC 9112 §6.1): asking again helps nobody.
            _mapper(_status("EQ", 501), *_OTHER),
            {"filter": _status("GE", 500), "headers_to_add": [_RETRY_AFTER], **away},
            *refusals,
            _mapper(strange, *_STRANGE),
            _mapper(_status("GE", _BAD_REQUEST), *_OTHER),
        ]
    }


def _mapper(condition: dict[str, Any], code: str, detail: str, *, again: bool = False) -> dict[str, Any]:
    row = PROBLEMS[code]
    document = {
        "type": f"{CATALOGUE_PATH}#{code}",
        "title": row.title,
        "status": "%RESPONSE_CODE%",
        "code": code,
        "retryable": row.retryable,
        "detail": detail,
    }
    added = {"headers_to_add": [_RETRY_AFTER]} if again else {}
    return {"filter": condition, "body_format_override": _problem(document), **added}


def _problem(document: dict[str, Any]) -> dict[str, Any]:
    return {"json_format": document, "content_type": "application/problem+json"}


def _status(operator: str, status: int) -> dict[str, Any]:
    # Nobody sets the key at runtime: what it would change is only which document is shown.
    value = {"default_value": status, "runtime_key": f"countermark.reply.{operator}.{status}"}
    return {"status_code_filter": {"comparison": {"op": operator, "value": value}}}


def _path(expression: str) -> dict[str, Any]:
    match = {"name": ":path", "string_match": {"safe_regex": {"regex": expression}}}
    return {"header_filter": {"header": match}}
