"""What the document says in words, and the signature as a security scheme (pure)."""

from __future__ import annotations

from typing import Any

from signing import profile

# Of the record: commands.answer_age_max and commands.tombstone_age_max. A test compares.
ANSWER_KEPT_DAYS = 30
KEY_REFUSED_DAYS = 400

DESCRIPTION = """
Every request under `/v1/` is signed with a key of yours that is registered here (RFC 9421, RFC 9530),
and every answer to it is signed by the gateway: a refusal, too. What acts carries an idempotency key
inside the signature, so that sending the same request again never acts twice. Amounts are integers in
the currency's minor unit; times are RFC 3339 in UTC.

A merchant is pinned to the version of the day of its enrolment (`Gateway-Version`); a member may be
added to an answer at any time, so ignore those that you do not know. An unknown route is 404
`not_found`, a wrong method 405 `method_not_allowed` with `Allow`. Before the gateway, its front door
refuses what no client of ours sends: header fields beyond its bounds (431), requests that trickle (408),
and what it cannot hand on (503 `cell_unavailable`, `Retry-After`).
""".strip()
SIGNATURE = " ".join(
    f"""
One signature, labelled `{profile.LABEL}`, with the tag `{profile.REQUEST_TAG}`. It covers, in this
order, `{profile.COVERED_ACTING}` of a request that acts, and `{profile.COVERED_GET}` of a GET. Its
parameters are `created`, `expires` (at most {profile.LIFETIME_S_MAX} s later), `nonce` (128 random bits
or more), `keyid` (the RFC 7638 thumbprint of the key), `alg` and `tag`: all of them, once each. The
scopes that a requirement lists are those that the key must have. A 401 shows the bytes that the gateway
expected to be signed.
""".split()
)
SIGNATURE_INPUT = (
    f"What the signature covers and its parameters: `{profile.LABEL}=({profile.COVERED_GET})"
    f';created=…;expires=…;nonce="…";keyid="…";alg="ed25519";tag="{profile.REQUEST_TAG}"`.'
)
WITHOUT_SIGNATURE = (
    "`DPoP …`: an access token instead of a signature, for reads alone; `POST /v1/oauth/token` gives one. "
    "No answer to a token carries a receipt."
)
PROOF = (
    "With a token: a JWT for this one request, signed with the key that the token is bound to (RFC 9449). "
    "The query is not part of it."
)
CONTENT_DIGEST = "The SHA-256 of the body's bytes, `sha-256=:…:` (RFC 9530). A GET has no body and no digest."


def security_schemes() -> dict[str, Any]:
    """Return the fields that prove who asks; a tool that knows no RFC 9421 sees three header fields."""
    return {
        "signature": {
            "type": "apiKey", "in": "header", "name": "Signature", "description": SIGNATURE,
            "x-countermark-signature": signature_profile(),
        },
        "signatureInput": {
            "type": "apiKey", "in": "header", "name": "Signature-Input", "description": SIGNATURE_INPUT,
        },
        "contentDigest": {
            "type": "apiKey", "in": "header", "name": "Content-Digest", "description": CONTENT_DIGEST,
        },
        "accessToken": {"type": "http", "scheme": "DPoP", "description": WITHOUT_SIGNATURE},
        "proof": {"type": "apiKey", "in": "header", "name": "DPoP", "description": PROOF},
    }  # fmt: skip


def signature_profile() -> dict[str, Any]:
    """Return the profile for programs."""
    return {
        "label": profile.LABEL,
        "tag": profile.REQUEST_TAG,
        "covered": {"GET": _words(profile.COVERED_GET), "other": _words(profile.COVERED_ACTING)},
        "parameters": list(profile.REQUEST_PARAMETER_NAMES),
        "algorithms": ["ed25519", "ecdsa-p256-sha256"],
        "lifetime_s_max": profile.LIFETIME_S_MAX,
        "clock_skew_s_max": profile.CLOCK_SKEW_S_MAX,
        "body_bytes_max": profile.BODY_BYTES_MAX,
        "target_chars_max": profile.TARGET_CHARS_MAX,
        "receipt": {"tag": profile.RECEIPT_TAG, "keys": "/.well-known/countermark-keys"},
    }


def idempotency() -> dict[str, Any]:
    """Return how long an idempotency key counts, for programs."""
    return {
        "header": "Idempotency-Key",
        "scope": ["merchant", "method", "route"],
        "fingerprint": ["method", "path", "query", "Content-Digest"],
        "answer_kept_days": ANSWER_KEPT_DAYS,
        "key_refused_days": KEY_REFUSED_DAYS,
    }


def _words(covered: str) -> list[str]:
    return [part.strip('"') for part in covered.split(" ")]
