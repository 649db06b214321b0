"""What a decision needs to know about banks: which one to take, and what its "not found" is worth (pure)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from services.payments.machine.model import Payment


class Choice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a payment goes; `bank` is None where no bank may take it now.

    Attributes:
        explanation: Compact JSON for people: each candidate with its cost, or why it is none.
    """

    bank: str | None
    explanation: str


class Routes(Protocol):
    """The banks as they are at this moment; `routing.RoutingTable` is one."""

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Choose for a payment that no bank has; `excluded` have certainly refused it. Same input, same
        bank.
        """
        ...

    def is_not_found_final(self, bank: str) -> bool:
        """Whether the bank's contract says that what it does not find it will never process."""
        ...
