"""Keeping and resolving, a batch at a time: what is decided here is pure but for keys, nonces and the store.

A number is in the clear only inside one batch of one process. Promise: the same number of a merchant keeps
its token, whoever asks how often; another expiry of it replaces what was sealed, and the key of that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from services.node.redacted import Redacted, decoder_of
from services.vault import counters
from services.vault.envelope import (
    KEY_BYTES,
    KEY_ID_BYTES,
    NONCE_BYTES,
    contents_of,
    fingerprint_of,
    place_of_data_key,
    place_of_instrument,
    seal,
    unseal,
)
from services.vault.errors import Contended, KeyMissing, SealBroken
from services.vault.key_ring import KeyRing, MerchantKeys
from services.vault.messages import Card, Display, Keeping, Kind, Resolution, Resolved, encode
from services.vault.numbers import Shown
from services.vault.store import Openable, SealedInstrument, Store
from services.vault.tokens import RANDOM_BITS, make_token

TRIES_MAX = 3  # Shredding and keeping one number at once, thrice: somebody else's turn to wait.

Outcome: TypeAlias = Display | KeyMissing | SealBroken | Contended
_Place: TypeAlias = tuple[str, bytes]  # Merchant and fingerprint.
_cards = decoder_of(Card)


@dataclass(frozen=True, slots=True)
class Order:
    """A checked instrument to keep."""

    keeping: Keeping
    shown: Shown

    @property
    def kind(self) -> Kind:
        return "iban" if self.keeping.card is None else "card"

    @property
    def number(self) -> str:
        """What the same instrument is known by."""
        number = self.keeping.iban if self.keeping.card is None else self.keeping.card.number
        assert number is not None
        return number.reveal()

    @property
    def plaintext(self) -> bytes:
        """What is sealed."""
        if self.keeping.card is not None:
            return encode(self.keeping.card)
        return self.number.encode()


class Keeper:
    """Works on batches over a store.

    Args:
        cell: What tokens carry.
    """

    def __init__(self, store: Store, ring: KeyRing, cell: str) -> None:
        self._store = store
        self._ring = ring
        self._cell = cell

    async def keep(self, orders: list[Order]) -> Sequence[Outcome]:
        """Keep a batch; each order gets its own outcome, in order."""
        outcomes: list[Outcome] = [Contended("ask again")] * len(orders)
        pending = list(range(len(orders)))
        for _ in range(TRIES_MAX):
            if not pending:
                break
            try:
                told = await self._try([orders[n] for n in pending])
            except (Contended, asyncpg.ForeignKeyViolationError):
                continue  # A merchant was shredded between two statements.
            for n, outcome in zip(pending, told, strict=True):
                if outcome is not None:
                    outcomes[n] = outcome
            pending = [n for n, outcome in zip(pending, told, strict=True) if outcome is None]
        return outcomes

    async def _try(self, orders: list[Order]) -> list[Outcome | None]:
        """One outcome for each order; None where the store has to be asked once more."""
        keys = await self._ring.keys_of({order.keeping.merchant_id for order in orders})
        given: dict[_Place, tuple[Order, MerchantKeys, SealedInstrument]] = {}
        places: list[_Place | KeyMissing | SealBroken] = []
        for order in orders:
            key = keys[order.keeping.merchant_id]
            if not isinstance(key, MerchantKeys):
                places.append(key)
                continue
            instrument = self._sealed(order, key)
            places.append((instrument.merchant_id, instrument.fingerprint))
            given[instrument.merchant_id, instrument.fingerprint] = (
                order,
                key,
                instrument,
            )  # The later of two.
        stored = await self._store.keep([instrument for _, _, instrument in given.values()]) if given else {}
        told: dict[_Place, Display] = {}
        for place, there in stored.items():
            order, key, instrument = given[place]
            token = there.display.token
            is_new = token == instrument.token
            # A seal is bound to its token: what replaces another one is made for that one's.
            if there.contents == instrument.contents or await self._store.renew(
                token, self._sealed(order, key, token)
            ):
                told[place] = there.display
                counters.KEPT.labels(order.kind, "new" if is_new else "known").inc()
        return [told.get(place) if isinstance(place, tuple) else place for place in places]

    def _sealed(self, order: Order, key: MerchantKeys, token: str | None = None) -> SealedInstrument:
        merchant_id, kind, plaintext = order.keeping.merchant_id, order.kind, order.plaintext
        token = token or make_token(self._cell, merchant_id, secrets.randbits(RANDOM_BITS))
        data_key, key_id = secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_ID_BYTES)
        place = place_of_data_key(token, merchant_id, key.generation, key_id)
        return SealedInstrument(
            token,
            merchant_id,
            kind,
            order.shown,
            key_id,
            seal(
                data_key,
                plaintext,
                place_of_instrument(token, merchant_id, kind, key_id),
                nonce=secrets.token_bytes(NONCE_BYTES),
            ),
            fingerprint_of(key.fingerprint_key, kind, order.number),
            contents_of(key.fingerprint_key, plaintext),
            key.generation,
            seal(key.key, data_key, place, nonce=secrets.token_bytes(NONCE_BYTES)),
        )

    async def resolve(self, caller: str, items: Sequence[Resolution]) -> list[Resolved]:
        """Return what tokens stand for, in order, once the journal says who asked."""
        rows = await self._store.resolve(caller, items)
        return [await self._resolved(item.token, row) for item, row in zip(items, rows, strict=True)]

    async def _resolved(self, token: str, row: Openable | None) -> Resolved:
        if row is None:
            return Resolved(token=token, outcome="gone")
        key = row.key
        try:
            merchant_key = await self._ring.merchant_key(row.merchant_id, key)
            place = place_of_data_key(token, row.merchant_id, key.generation, key.key_id)
            data_key = unseal(merchant_key, key.wrapped, place)
            place = place_of_instrument(token, row.merchant_id, row.kind, key.key_id)
            plaintext = unseal(data_key, row.sealed, place)
        except (KeyMissing, SealBroken):
            counters.UNREADABLE.inc()
            return Resolved(token=token, outcome="unreadable")
        if row.kind == "iban":
            return Resolved(token=token, outcome="found", iban=Redacted(plaintext.decode()))
        return Resolved(token=token, outcome="found", card=_cards.decode(plaintext))
