"""Tokens of the vault to numbers, just before a bank is called, for what cannot be done without one.

What follows an earlier attempt names it by the bank's own reference, so no number leaves the vault for it.
Promise: nothing is remembered; if there is no number, no byte goes to the bank.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from services.banks.bank_messages import PutAttempt, PutCard
from services.banks.config import BanksConfig
from services.banks.messages import FOLLOWING, Attempt
from services.node.errors import HopUnknown, HopUnsent
from services.node.group import Group, GroupFull
from services.node.hop_client import HopClient
from services.vault.client import VaultClient
from services.vault.messages import ITEMS_MAX, RESOLUTION_CALL_S_MAX, Resolution, Resolved
from services.vault.tokens import is_token


class Unresolved(Exception):
    """There is no number, so nothing was sent.

    Attributes:
        alarm: Why it will be so each time, for an operator; None where the vault was only out of reach.
    """

    code = "unresolved"

    def __init__(self, message: str, alarm: str | None = None) -> None:
        super().__init__(message)
        self.alarm = alarm


class Resolver(Protocol):
    """What a connector asks before it builds a request."""

    async def resolve(self, attempt: Attempt) -> Attempt:
        """Return the attempt as the bank has to get it.

        Raises:
            Unresolved: There is no number for its token.
        """
        ...


class VaultResolver:
    """Asks the vault, for all attempts that come together at once."""

    def __init__(self, vault: VaultClient) -> None:
        self._vault = vault
        self._group: Group[Resolution, Resolved] = Group(self._ask, items_max=ITEMS_MAX)

    async def resolve(self, attempt: Attempt) -> Attempt:
        """See `Resolver`."""
        if attempt.operation in FOLLOWING or not is_token(attempt.instrument):
            return attempt
        try:
            found = await self._group.submit(Resolution(attempt.instrument, attempt.attempt_id))
        except (HopUnsent, HopUnknown, GroupFull) as fault:
            raise Unresolved(f"the vault gave no answer ({type(fault).__name__})") from None
        if found.outcome != "found":
            raise Unresolved("there is no number", f"the instrument is {found.outcome} in the vault")
        fields = {name: getattr(attempt, name) for name in attempt.__struct_fields__}
        if found.card is not None:
            card = PutCard(found.card.number, found.card.expiry_month, found.card.expiry_year)
            return PutAttempt(**fields, card=card)
        return PutAttempt(**fields, iban=found.iban)

    async def close(self) -> None:
        """Let what was asked be answered."""
        await self._group.close()

    async def _ask(self, items: list[Resolution]) -> Sequence[Resolved]:
        return await self._vault.resolve(items)


@asynccontextmanager
async def open_resolver(config: BanksConfig) -> AsyncIterator[VaultResolver]:
    """A resolver over the own sidecar, closed at the end."""
    hop = HopClient(
        config, config.vault, timeout_s=RESOLUTION_CALL_S_MAX, believes_unsent=True, callee="vault"
    )
    await hop.start()
    resolver = VaultResolver(VaultClient(hop))
    try:
        yield resolver
    finally:
        await resolver.close()
        await hop.close()
