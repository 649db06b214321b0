"""Wrap every key anew under the newest cell key, so that the older one can be destroyed.

Merchants' keys are not carried over but replaced: once their old wrappings are unused and the old cell key is
destroyed, no copy of the database made before opens anything, not even with today's keys. It may be stopped
and started again at any time, beside a running service.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from services.vault.cell_keys import CellKeys
from services.vault.envelope import (
    NONCE_BYTES,
    place_of_data_key,
    place_of_fingerprint_key,
    seal,
    unseal,
)
from services.vault.errors import Contended, StillInUse
from services.vault.key_ring import KeyRing, MerchantKeys
from services.vault.store import Store

SLICE_ROWS_MAX = 500  # Wrapped and written within some 20 ms.
ROUNDS_MAX = 100  # Of one merchant that keeps something under an old key each time; each round is shorter.


@dataclass(slots=True)
class Rewrapped:
    """What was done."""

    merchants: int = 0
    instruments: int = 0


async def rewrap(
    store: Store, cell_keys: CellKeys, ring: KeyRing, tell: Callable[[Rewrapped], None]
) -> Rewrapped:
    """Go on until nothing is wrapped by an older cell key.

    Raises:
        KeyMissing, SealBroken: A merchant's keys cannot be opened; the message names no key.
        Contended: A merchant's old key was used again and again.
    """
    newest, done = await cell_keys.newest(), Rewrapped()
    while (merchant_id := await store.merchant_behind(newest)) is not None:
        done.instruments += await _rewrap_merchant(store, cell_keys, ring, merchant_id, newest)
        done.merchants += 1
        tell(done)
    return done


async def require_unused(store: Store, version: int) -> None:
    """Check that a cell key can be destroyed.

    Raises:
        StillInUse: It, or an older one, still wraps something.
    """
    oldest = await store.oldest_cell_key()
    if oldest is not None and oldest <= version:
        raise StillInUse(f"the cell key {oldest} still wraps keys: run `rewrap` first")


async def _rewrap_merchant(
    store: Store, cell_keys: CellKeys, ring: KeyRing, merchant_id: str, newest: int
) -> int:
    wrapped = (await store.keys_of([merchant_id])).get(merchant_id)
    if wrapped is None:
        return 0  # Shredded since we looked.
    if wrapped.cell_key < newest:
        await ring.make(merchant_id, wrapped)
    if wrapped.fingerprint_cell_key < newest:
        key = await ring.fingerprint_key(wrapped)
        place = place_of_fingerprint_key(merchant_id, newest)
        await store.rewrap_fingerprint_key(
            merchant_id, wrapped.fingerprint_cell_key, newest, await cell_keys.wrap(newest, key, place)
        )
    done = 0
    for _ in range(ROUNDS_MAX):
        keys = (await ring.keys_of([merchant_id]))[merchant_id]
        if not isinstance(keys, MerchantKeys):
            raise keys
        while moved := await _rewrap_slice(store, ring, keys):
            done += moved
        if await store.drop_generations(merchant_id, keys.generation):
            return done
    raise Contended("an older key was used again and again: run it again")


async def _rewrap_slice(store: Store, ring: KeyRing, keys: MerchantKeys) -> int:
    rows = await store.data_keys_before(keys.merchant_id, keys.generation, SLICE_ROWS_MAX)
    opened: dict[int, bytes] = {}
    anew = []
    for row in rows:
        if row.generation not in opened:
            opened[row.generation] = await ring.merchant_key(keys.merchant_id, row)
        before = place_of_data_key(row.token, keys.merchant_id, row.generation, row.key_id)
        after = place_of_data_key(row.token, keys.merchant_id, keys.generation, row.key_id)
        key = unseal(opened[row.generation], row.wrapped, before)
        anew.append(seal(keys.key, key, after, nonce=secrets.token_bytes(NONCE_BYTES)))
    if rows:
        await store.rewrap(keys.merchant_id, keys.generation, rows, anew)
    return len(rows)
