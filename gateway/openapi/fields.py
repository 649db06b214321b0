"""The header fields of answers (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from signing import profile

_COVERED = (
    "What the receipt covers: the status, Content-Type and Content-Digest of the answer, everything that the "
    "request's signature covers, and that signature itself."
)
_FIELDS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "Cache-Control": ("What a cache may do: nothing, with what is about one merchant.", None),
        "Content-Digest": (
            "The digest of the body (RFC 9530); the receipt covers it.",
            f"^{profile.CONTENT_DIGEST.pattern}$",
        ),
        "Content-Disposition": ("A name for the file.", None),
        "ETag": ("The entity tag, which If-None-Match takes; of a payment, its sequence.", '^"[^"]+"$'),
        "Gateway-Version": (
            "The version of the interface that the merchant is pinned to.",
            "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
        ),
        "Idempotency-Original-Request": ("Of a repeat: the request that was answered first.", "^req_"),
        "Idempotent-Replayed": ("`true`: this is the stored answer to the same request.", "^true$"),
        "Location": ("Where to read what was made.", "^/v1/"),
        "Pragma": ("`no-cache`: the answer is a credential.", "^no-cache$"),
        "Preference-Applied": ("How long was waited at most, of what Prefer asked for.", "^wait=[0-9]+$"),
        "RateLimit": (
            "What is left of the policy, and in how many seconds all of it will be.",
            '^"[a-z]+";r=',
        ),
        "RateLimit-Policy": ("How many requests pass in how many seconds.", '^"[a-z]+";q='),
        "Request-Id": ("The exchange's name; tell it to those whom you ask.", "^req_"),
        "Retry-After": ("In how many seconds to ask, or to send the same again.", "^[0-9]+$"),
        "Signature": ("The receipt's signature (RFC 9421).", f"^{profile.SIGNATURE.pattern}$"),
        "Signature-Input": (_COVERED, f"^{profile.LABEL}=\\("),
        "WWW-Authenticate": ("What is wrong with a token or its proof (RFC 9449 §7.1).", "^DPoP error="),
    }
)


def component_headers() -> dict[str, Any]:
    """Return each field twice: as it may come, and as it always comes."""
    found: dict[str, Any] = {}
    for name, (about, pattern) in _FIELDS.items():
        schema: dict[str, Any] = {"type": "string", **({} if pattern is None else {"pattern": pattern})}
        found[name] = {"description": about, "schema": schema}
        found[f"{name}Always"] = {"description": about, "required": True, "schema": schema}
    return found
