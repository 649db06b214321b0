"""Refusals as they come over the wire: a response to a `Problem`, whatever its body is (pure).

A refusal may come from a proxy that knows nothing of problem documents; nothing of
a body that is none is repeated. Source: RFC 9457 §3.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Final

from .client_errors import Problem
from .profile import BODY_BYTES_MAX
from .retries import parse_http_date, parse_retry_after

if TYPE_CHECKING:
    from .message import Response

UNREADABLE: Final = "unreadable"
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TEXT_CHARS_MAX: Final = 500  # a sentence for people
_FAULTS_MAX: Final = 32  # nobody reads more at once


def header(response: Response, name: str) -> str | None:
    """Return the value of a field that occurs exactly once; None otherwise."""
    found = [value for field, value in response.headers if field.lower() == name]
    return found[0] if len(found) == 1 else None


def parse_problem(response: Response, *, now: float) -> Problem:
    """Read a refusal; a body that is no problem document gives one with the code `unreadable`.

    Args:
        response: with a status of 400 or above.
        now: seconds since the epoch, UTC, for a Retry-After that is a date without a `Date` beside it.
    """
    document = _document(response.body)
    code = document.get("code")
    readable = isinstance(code, str) and _CODE.fullmatch(code) is not None
    sent_at = parse_http_date(header(response, "date"))
    return Problem(
        code=str(code) if readable else UNREADABLE,
        status=response.status,
        title=_text(document, "title") or "The answer is no problem document",
        detail=_text(document, "detail"),
        retryable=document.get("retryable") is True,
        request_id=_text(document, "request_id"),
        retry_after_s=parse_retry_after(
            header(response, "retry-after"), now=now if sent_at is None else sent_at
        ),
        errors=_faults(document.get("errors")),
        signature_base=parse_signature_base(document),
    )


def parse_signature_base(document: dict[str, object]) -> bytes | None:
    """Return the signature base that a 401 carries in base64; None if there is none."""
    text = document.get("signature_base")
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _document(body: bytes) -> dict[str, object]:
    if len(body) > BODY_BYTES_MAX:
        return {}
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _text(document: dict[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        return ""
    # One line of printable text: it goes to terminals and logs.
    return "".join(c if c.isprintable() else " " for c in value[:_TEXT_CHARS_MAX])


def _faults(listed: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(listed, list):
        return ()
    faults = [each for each in listed[:_FAULTS_MAX] if isinstance(each, dict)]
    return tuple((_text(each, "pointer"), _text(each, "detail")) for each in faults)
