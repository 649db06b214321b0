"""Operations on instruments: a card or account number in, a token out.

The body carries a `blind` that nobody can guess: its digest is signed and kept as
evidence, and the digest of a number alone would give the number away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import calls
from .operations import Resource, ResultT

if TYPE_CHECKING:
    from collections.abc import Mapping


class Instruments(Resource[ResultT]):
    """POST, GET and DELETE of /v1/instruments."""

    def create_card(
        self,
        number: str,
        *,
        expiry_month: int,
        expiry_year: int,
        blind: str | None = None,
        idempotency_key: str | None = None,
    ) -> ResultT:
        """Keep a card and return its token; the same card has the same token.

        Never send a CVC: it is refused, since nobody may keep one.

        Args:
            number: 13 to 19 digits, nothing between them.
            expiry_month: 1 to 12.
            expiry_year: four digits.
            blind: for a repeat after a crash, together with its key: 16 to 64 random bytes in base64url.
            idempotency_key: 16 to 64 characters.
        """
        card = {"number": number, "expiry_month": expiry_month, "expiry_year": expiry_year}
        return self._keep({"card": card}, blind, idempotency_key)

    def create_iban(
        self, iban: str, *, blind: str | None = None, idempotency_key: str | None = None
    ) -> ResultT:
        """Keep a bank account and return its token; the same account has the same token.

        Args:
            iban: capitals and digits, without spaces.
            blind: as for a card.
            idempotency_key: 16 to 64 characters.
        """
        return self._keep({"iban": iban}, blind, idempotency_key)

    def read(self, token: str) -> ResultT:
        """Return what may be shown of an instrument."""
        return self._run(calls.read(calls.item("instruments", token)))

    def shred(self, token: str, *, idempotency_key: str | None = None) -> ResultT:
        """Destroy an instrument for ever: its key first, so that no copy of it can be read."""
        key = self._new_key() if idempotency_key is None else idempotency_key
        path = calls.item("instruments", token)
        return self._run(calls.act(path, {}, idempotency_key=key, method="DELETE"))

    def _keep(self, members: Mapping[str, object], blind: str | None, idempotency_key: str | None) -> ResultT:
        # Once: a retry has to be the same body, byte for byte.
        drawn = self._new_key() if blind is None else blind
        return self._act("/v1/instruments", {**members, "blind": drawn}, idempotency_key)
