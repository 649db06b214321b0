"""Secrets of webhook endpoints: the specification's symmetric scheme (v1, HMAC-SHA256) beside v1a.

Whoever verifies with a secret could have signed with it, too: it proves to its two holders, never to an
arbiter. The public keys do both. Source: Standard Webhooks 1.0.0, "Symmetric"; RFC 2104.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

from .errors import KeyRefused

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - how secrets begin, and none itself
SECRET_BYTES_MIN: Final = 24
SECRET_BYTES_MAX: Final = 64


class WebhookSecret:
    """One secret; its `repr` does not show it.

    Args:
        secret: 24 to 64 random bytes.

    Raises:
        KeyRefused: fewer or more.
    """

    def __init__(self, secret: bytes) -> None:
        if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
            raise KeyRefused(f"a webhook secret has {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
        self._secret = bytes(secret)

    @classmethod
    def from_text(cls, text: str) -> WebhookSecret:
        """Load a secret from its `whsec_` form.

        Raises:
            KeyRefused: not of that form.
        """
        if not text.isascii() or not text.startswith(SECRET_PREFIX):
            raise KeyRefused(f"a webhook secret begins with {SECRET_PREFIX}")
        try:
            secret = cls(base64.b64decode(text[len(SECRET_PREFIX) :], validate=True))
        except (binascii.Error, ValueError) as error:
            raise KeyRefused("a webhook secret is base64 after its prefix") from error
        if secret.to_text() != text:
            raise KeyRefused("the webhook secret is not in canonical base64")
        return secret

    def to_text(self) -> str:
        """Return the `whsec_` form: the secret itself."""
        return SECRET_PREFIX + base64.b64encode(self._secret).decode("ascii")

    @property
    def octets(self) -> bytes:
        """The secret itself."""
        return self._secret

    @property
    def fingerprint(self) -> str:
        """SHA-256 in lower-case hexadecimal, as the gateway shows it; says nothing of the secret."""
        return hashlib.sha256(self._secret).hexdigest()

    def authenticate(self, content: bytes) -> bytes:
        """Return the 32 bytes of HMAC-SHA256."""
        return hmac.digest(self._secret, content, "sha256")

    def authenticates(self, code: bytes, content: bytes) -> bool:
        """Whether a code is this secret's, in constant time."""
        return hmac.compare_digest(self.authenticate(content), code)

    def __repr__(self) -> str:
        return f"WebhookSecret(fingerprint={self.fingerprint[:16]!r})"
