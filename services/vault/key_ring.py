"""Merchants' keys in the clear, for the length of one batch: made, rotated, opened under the cell key."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from services.vault.cell_keys import CellKeys
from services.vault.envelope import (
    KEY_BYTES,
    MERCHANT_KEY_AGE_MAX,
    MERCHANT_KEY_USES_MAX,
    place_of_fingerprint_key,
    place_of_merchant_key,
)
from services.vault.errors import Contended, KeyMissing, SealBroken
from services.vault.store import DataKey, Store, WrappedKeys


@dataclass(frozen=True, slots=True)
class MerchantKeys:
    """What a merchant's instruments are kept with; never shown.

    Attributes:
        key: Wraps the keys of instruments.
        fingerprint_key: Of the fingerprints alone.
    """

    merchant_id: str
    generation: int
    key: bytes = field(repr=False)
    fingerprint_key: bytes = field(repr=False)


class KeyRing:
    """Opens and makes merchants' keys.

    Args:
        uses_max: Of one key of a merchant; another one only in tests.
    """

    def __init__(self, store: Store, cell_keys: CellKeys, uses_max: int = MERCHANT_KEY_USES_MAX) -> None:
        self._store = store
        self._cell_keys = cell_keys
        self._uses_max = uses_max

    async def keys_of(
        self, merchant_ids: Collection[str]
    ) -> dict[str, MerchantKeys | KeyMissing | SealBroken]:
        """The keys that wrap from now on, by merchant; what is wrong with one merchant's is its own.

        Raises:
            Contended: A merchant was shredded as often as its keys were made.
        """
        wanted = sorted(set(merchant_ids))
        found = await self._store.keys_of(wanted)
        stale = [m for m in wanted if m not in found or self._is_due(found[m])]
        for merchant_id in stale:
            await self.make(merchant_id, found.get(merchant_id))
        if stale:
            found |= await self._store.keys_of(stale)
        if missing := set(wanted) - set(found):
            raise Contended(f"{len(missing)} merchants were shredded meanwhile: ask again")
        return {merchant_id: await self._opened(found[merchant_id]) for merchant_id in wanted}

    async def make(self, merchant_id: str, newest: WrappedKeys | None) -> None:
        """Make a merchant's next key under the newest cell key, unless another worker is faster."""
        generation = 1 if newest is None else newest.generation + 1
        version = await self._cell_keys.newest()
        key, fingerprint_key = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES)
        await self._store.add_keys(
            merchant_id,
            generation,
            version,
            await self._cell_keys.wrap(version, key, place_of_merchant_key(merchant_id, generation, version)),
            await self._cell_keys.wrap(
                version, fingerprint_key, place_of_fingerprint_key(merchant_id, version)
            ),
        )

    async def merchant_key(self, merchant_id: str, key: DataKey) -> bytes:
        """The merchant's key that wraps this key of an instrument.

        Raises:
            KeyMissing, SealBroken: It cannot be opened.
        """
        place = place_of_merchant_key(merchant_id, key.generation, key.cell_key)
        return await self._cell_keys.unwrap(key.cell_key, key.merchant_wrapped, place)

    async def fingerprint_key(self, wrapped: WrappedKeys) -> bytes:
        """The key of a merchant's fingerprints.

        Raises:
            KeyMissing, SealBroken: It cannot be opened.
        """
        version = wrapped.fingerprint_cell_key
        place = place_of_fingerprint_key(wrapped.merchant_id, version)
        return await self._cell_keys.unwrap(version, wrapped.fingerprint_wrapped, place)

    def _is_due(self, wrapped: WrappedKeys) -> bool:
        return wrapped.uses >= self._uses_max or wrapped.age >= MERCHANT_KEY_AGE_MAX

    async def _opened(self, wrapped: WrappedKeys) -> MerchantKeys | KeyMissing | SealBroken:
        place = place_of_merchant_key(wrapped.merchant_id, wrapped.generation, wrapped.cell_key)
        try:
            key = await self._cell_keys.unwrap(wrapped.cell_key, wrapped.wrapped, place)
            fingerprint_key = await self.fingerprint_key(wrapped)
        except (KeyMissing, SealBroken) as fault:
            return fault
        return MerchantKeys(wrapped.merchant_id, wrapped.generation, key, fingerprint_key)
