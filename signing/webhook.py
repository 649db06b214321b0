"""Webhooks: Standard Webhooks 1.0.0 with asymmetric signatures (v1a, Ed25519), and v1 where it was asked for.

The signed bytes are `id.timestamp.body`. During a rotation a webhook carries one
signature for each key or secret, and a receiver accepts any that one of its own verifies.
Source: Standard Webhooks 1.0.0, "Signature scheme".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric import ed25519

from .client_errors import WebhookBodyNotRaw, WebhookBodyReserialised
from .errors import KeyRefused, SignatureInvalid, WebhookExpired, WebhookMalformed, WebhookSignatureInvalid
from .keys import VerifyingKey
from .webhook_diagnosis import VERIFICATIONS_MAX, other_serialisations
from .webhook_secret import WebhookSecret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .keys import Signer

PUBLIC_KEY_PREFIX: Final = "whpk_"
AGE_S_MAX: Final = 300  # what the specification's libraries tolerate; each retry is signed anew
SIGNATURES_MAX: Final = 8  # a rotation needs two; each one costs the receiver a verification
FIELD_CHARS_MAX: Final = 2048  # eight signatures and their spaces
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")  # the specification forbids the dot, which separates
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_SIGNATURE = re.compile(r"v1a,([A-Za-z0-9+/]{85}[AQgw]==)")
_CODE = re.compile(r"v1,([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)")
_NAMES: Final = frozenset({"webhook-id", "webhook-timestamp", "webhook-signature"})


@dataclass(frozen=True, slots=True, init=False)
class VerifiedWebhook:
    """What a verified webhook says. Made by `verify_webhook` alone.

    Attributes:
        message_id: the same for each delivery of one event: ignore an id seen before.
        timestamp: when this delivery was signed, in seconds since the epoch.
        body: the bytes that were signed.
        key_id: the thumbprint of the key that verified, or the fingerprint of the secret.
    """

    message_id: str
    timestamp: int
    body: bytes
    key_id: str

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("a VerifiedWebhook is made by verify_webhook alone")


def sign_webhook(
    message_id: str,
    timestamp: int,
    body: bytes,
    key: Signer,
    *,
    also: Sequence[Signer] = (),
    secrets: Sequence[WebhookSecret] = (),
) -> tuple[tuple[str, str], ...]:
    """Return the three header fields of a webhook.

    Args:
        message_id: 1 to 128 characters A-Z a-z 0-9 _ -, the same for each delivery of one event.
        timestamp: when this delivery is made, in seconds since the epoch.
        body: the exact bytes that will be sent.
        key: an Ed25519 key.
        also: further Ed25519 keys, during a rotation.
        secrets: those of the receiver's endpoint, the newest first.

    Raises:
        WebhookMalformed: an id or time that receivers would refuse, or too many keys.
        KeyRefused: a key of another algorithm; the specification has v1a for Ed25519 alone.
    """
    if _MESSAGE_ID.fullmatch(message_id) is None:
        raise WebhookMalformed("a webhook id has 1 to 128 characters A-Z a-z 0-9 _ -")
    if _TIMESTAMP.fullmatch(str(timestamp)) is None:
        raise WebhookMalformed("a webhook timestamp is whole seconds since 1970")
    signers = (key, *also)
    if len(signers) + len(secrets) > SIGNATURES_MAX:
        raise WebhookMalformed(f"a webhook carries at most {SIGNATURES_MAX} signatures")
    if any(signer.alg != "ed25519" for signer in signers):
        raise KeyRefused("webhooks are signed with Ed25519 keys alone")
    content = _signed_content(message_id, str(timestamp), body)
    pairs = [("v1a", signer.sign(content)) for signer in signers]
    pairs += [("v1", secret.authenticate(content)) for secret in secrets]
    signatures = " ".join(
        f"{version},{base64.b64encode(octets).decode('ascii')}" for version, octets in pairs
    )
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", str(timestamp)),
        ("webhook-signature", signatures),
    )


def verify_webhook(
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    keys: Sequence[VerifyingKey | WebhookSecret],
    *,
    now: int,
) -> VerifiedWebhook:
    """Verify a received webhook.

    Args:
        headers: name and value of each field line, names in any case; or a framework's mapping of them.
        body: the raw bytes as received, before any JSON parser.
        keys: the sender's public keys, or the endpoint's secrets; keys of other algorithms are passed over.
        now: seconds since the epoch, UTC.

    Raises:
        WebhookBodyNotRaw: the body is no bytes object.
        WebhookMalformed: a field is absent, repeated, or not of its form.
        WebhookExpired: the timestamp is more than 300 s from `now`.
        WebhookBodyReserialised: no signature verifies, but one would for the same JSON in other bytes.
        WebhookSignatureInvalid: no signature verifies under any key.
    """
    if not isinstance(body, bytes):
        raise WebhookBodyNotRaw(
            f"the body is a {type(body).__name__}: pass the raw bytes of the request as they were received, "
            "before any framework parses or decodes them"
        )
    fields = _read_fields(headers)
    message_id, timestamp = fields["webhook-id"], fields["webhook-timestamp"]
    if _MESSAGE_ID.fullmatch(message_id) is None:
        raise WebhookMalformed("webhook-id must have 1 to 128 characters A-Z a-z 0-9 _ -")
    if _TIMESTAMP.fullmatch(timestamp) is None:
        raise WebhookMalformed("webhook-timestamp must be whole seconds since 1970")
    if abs(int(timestamp) - now) > AGE_S_MAX:
        raise WebhookExpired(f"the webhook was signed {now - int(timestamp)} s ago: check this host's clock")
    content = _signed_content(message_id, timestamp, body)
    pairs = _pairs(fields["webhook-signature"], keys)
    for signature, key in pairs:
        if _is_signed(key, signature, content):
            name = key.fingerprint if isinstance(key, WebhookSecret) else key.key_id
            return _verified(message_id, int(timestamp), body, name)
    others = (
        (key, signature, _signed_content(message_id, timestamp, other))
        for other in other_serialisations(body)
        for signature, key in pairs
    )
    if any(_is_signed(*each) for each in islice(others, VERIFICATIONS_MAX)):
        raise WebhookBodyReserialised(
            "these are not the bytes that were signed, though the same JSON: the body was parsed and written "
            "again before verification. Verify the raw bytes of the request, then parse them"
        )
    raise WebhookSignatureInvalid("no signature verifies under any of the keys")


def webhook_public_key(key: VerifyingKey) -> str:
    """Return an Ed25519 key in the specification's form, `whpk_` and base64.

    Raises:
        KeyRefused: a key of another algorithm.
    """
    if key.alg != "ed25519":
        raise KeyRefused("webhooks are signed with Ed25519 keys alone")
    return PUBLIC_KEY_PREFIX + base64.b64encode(base64.urlsafe_b64decode(key.to_jwk()["x"] + "=")).decode(
        "ascii"
    )


def webhook_key_from_text(text: str) -> VerifyingKey:
    """Load a public key from its `whpk_` form.

    Raises:
        KeyRefused: not of that form, or not a safe key.
    """
    if not text.isascii() or not text.startswith(PUBLIC_KEY_PREFIX):
        raise KeyRefused(f"a webhook public key begins with {PUBLIC_KEY_PREFIX}")
    encoded = text[len(PUBLIC_KEY_PREFIX) :]
    try:
        raw = base64.b64decode(encoded, validate=True)
        key = VerifyingKey(ed25519.Ed25519PublicKey.from_public_bytes(raw))
    except (binascii.Error, ValueError) as error:
        raise KeyRefused("a webhook public key is 32 bytes in base64") from error
    if webhook_public_key(key) != text:
        raise KeyRefused("the webhook public key is not in canonical base64")
    return key


def _signed_content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode("ascii") + body


def _verified(message_id: str, timestamp: int, body: bytes, key_id: str) -> VerifiedWebhook:
    webhook = object.__new__(VerifiedWebhook)
    claims = {"message_id": message_id, "timestamp": timestamp, "body": body, "key_id": key_id}
    for name, value in claims.items():
        object.__setattr__(webhook, name, value)
    return webhook


def _read_fields(headers: Mapping[str, str] | Iterable[tuple[str, str]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        lower = name.lower() if name.isascii() else name
        if lower in _NAMES:
            if lower in fields:
                raise WebhookMalformed(f"{lower} occurs more than once")
            fields[lower] = value
    missing = sorted(_NAMES - fields.keys())
    if missing:
        raise WebhookMalformed(f"{missing[0]} is missing")
    return fields


def _pairs(
    value: str, keys: Sequence[VerifyingKey | WebhookSecret]
) -> list[tuple[bytes, VerifyingKey | WebhookSecret]]:
    """Return each signature with each key of its kind; other versions are passed over, as is specified."""
    if len(value) > FIELD_CHARS_MAX:
        raise WebhookMalformed("webhook-signature is too long")
    parts = value.split(" ")
    if len(parts) > SIGNATURES_MAX:
        raise WebhookMalformed(f"webhook-signature holds more than {SIGNATURES_MAX} signatures")
    found: list[tuple[bytes, VerifyingKey | WebhookSecret]] = []
    for part in parts:
        if (signature := _SIGNATURE.fullmatch(part)) is not None:
            octets = base64.b64decode(signature[1])
            found += [(octets, k) for k in keys if not isinstance(k, WebhookSecret) and k.alg == "ed25519"]
        elif (code := _CODE.fullmatch(part)) is not None:
            octets = base64.b64decode(code[1])
            found += [(octets, k) for k in keys if isinstance(k, WebhookSecret)]
    return found


def _is_signed(key: VerifyingKey | WebhookSecret, signature: bytes, content: bytes) -> bool:
    if isinstance(key, WebhookSecret):
        return key.authenticates(signature, content)
    try:
        key.verify(signature, content)
    except SignatureInvalid:
        return False
    return True
