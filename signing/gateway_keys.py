"""The gateway's keys as a merchant knows them: pinned, or fetched over verified TLS and kept a while.

A key id is the key's thumbprint, so pinning ids is as strong as pinning keys: a
fetched key whose id is not pinned is passed over. Without pins, whoever can speak
for the gateway's name in TLS can also sign its receipts. No I/O here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .errors import KeyRefused
from .key_set import keys_from_jwks
from .profile import KEY_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .keys import VerifyingKey

KEYS_PATH: Final = "/.well-known/countermark-keys"
AGE_S_MAX: Final = 3600.0  # a key that the gateway no longer shows is forgotten within this time
REFETCH_S_MIN: Final = 30.0  # answers that name an unknown key make us ask again at most this often


class GatewayKeys:
    """Keys that verify receipts. Safe for several threads: a set is replaced, never changed.

    Args:
        keys: pinned keys, from the contract with the gateway; nothing is ever fetched then.
        key_ids: pinned key ids: keys are fetched, and believed only if their id is one of these.

    Raises:
        KeyRefused: both are given, or one of them is empty or malformed.
    """

    def __init__(self, keys: Iterable[VerifyingKey] | None, key_ids: Iterable[str] | None) -> None:
        if keys is not None and key_ids is not None:
            raise KeyRefused("pin the gateway's keys or their ids, not both")
        self._fetches = keys is None
        self._known = {} if keys is None else {key.key_id: key for key in keys}
        self._pinned = None if key_ids is None else frozenset(key_ids)
        self._fetched_at: float | None = None
        if keys is not None and not self._known:
            raise KeyRefused("the set of pinned keys is empty: no receipt could verify")
        if self._pinned is not None and (not self._pinned or not all(map(_is_key_id, self._pinned))):
            raise KeyRefused("a pinned key id is the RFC 7638 thumbprint of the key, 43 characters")

    def find(self, key_id: str) -> VerifyingKey | None:
        """Return the key of this id, if it is one of the gateway's."""
        return self._known.get(key_id)

    def are_due(self, elapsed_s: float) -> bool:
        """Tell whether the keys must be fetched before the next exchange."""
        return self._fetches and (self._fetched_at is None or elapsed_s - self._fetched_at >= AGE_S_MAX)

    def may_be_outdated(self, elapsed_s: float) -> bool:
        """Tell whether an unknown key is worth fetching the keys again: they may have been rotated."""
        return self._fetches and (self._fetched_at is None or elapsed_s - self._fetched_at >= REFETCH_S_MIN)

    def learn(self, document: bytes, elapsed_s: float) -> None:
        """Take the keys of a fetched JWKS.

        Raises:
            KeyRefused: no such document, or none of its keys is pinned.
        """
        keys = keys_from_jwks(document)
        if self._pinned is not None:
            keys = {key_id: key for key_id, key in keys.items() if key_id in self._pinned}
        if not keys:
            raise KeyRefused("none of the keys that the gateway shows is one that was pinned")
        self._known, self._fetched_at = keys, elapsed_s


def _is_key_id(text: str) -> bool:
    return KEY_ID.fullmatch(text) is not None
