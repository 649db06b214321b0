"""What the shell adds to routing: how much room it has at each bank, and which banks it cannot reach (pure).

Promise: a bank without room here, or that is away, gets no new payments while another one may take them;
alone, it keeps them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol

from services.payments.machine.choice import Choice, Routes
from services.payments.machine.events import Answered, Order
from services.payments.machine.model import Payment


class Facts(Protocol):
    """The banks as this worker knows them; `bank_health.BankHealth` is one."""

    def routes(self) -> Routes:
        """The banks at this moment, for one turn."""
        ...

    def note(self, order: Order, answered: Answered, seconds: float) -> None:
        """Take in how one call ended, and how long it took."""
        ...


class EvenFacts:
    """Spreads payments over the banks by their ids, the same payment always to the same bank.

    Args:
        banks: At least one.
        not_found_final: Those whose contract says that what they do not find they will never process.
    """

    def __init__(self, banks: Sequence[str], not_found_final: frozenset[str] = frozenset()) -> None:
        self._banks = tuple(banks)
        self._not_found_final = not_found_final

    def routes(self) -> Routes:
        """Itself: nothing here changes."""
        return self

    def note(self, order: Order, answered: Answered, seconds: float) -> None:
        """Nothing here depends on it."""

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Choose by the id alone."""
        left = [bank for bank in self._banks if bank not in excluded]
        if not left:
            return Choice(bank=None, explanation='{"by":"id","left":0}')
        digest = hashlib.sha256(payment.payment_id.encode()).digest()
        bank = left[int.from_bytes(digest[:8], "big") % len(left)]
        return Choice(bank=bank, explanation=f'{{"by":"id","left":{len(left)}}}')

    def is_not_found_final(self, bank: str) -> bool:
        """As it was configured."""
        return bank in self._not_found_final


class RoomyRoutes:
    """Routes of one turn that know the room of this worker; what was chosen counts at once.

    Attributes:
        taken: Bank to how many payments this turn has sent there.
    """

    def __init__(self, routes: Routes, rooms: dict[str, int]) -> None:
        self._routes = routes
        self._rooms = rooms
        self.taken: dict[str, int] = {}

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        """Choose among those with room; where none of them may take it, among all."""
        full = frozenset(bank for bank, room in self._rooms.items() if room <= self.taken.get(bank, 0))
        choice = self._routes.choose(payment, excluded | full)
        if choice.bank is None and full - excluded:
            choice = self._routes.choose(payment, excluded)
        if choice.bank is not None:
            self.taken[choice.bank] = self.taken.get(choice.bank, 0) + 1
        return choice

    def is_not_found_final(self, bank: str) -> bool:
        """As the bank's contract says."""
        return self._routes.is_not_found_final(bank)
