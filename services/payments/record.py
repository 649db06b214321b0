"""What the engine's shell needs of its record, its banks and its fraud service: three protocols.

PostgreSQL (`store`), the hop clients and the simulation's own parts (`tests.simulation`) are behind the same
words. Every method may be repeated; any number of workers may call them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeAlias

import msgspec

from services.payments.machine.events import Answered, Asking, Decisions, Event, Order, Screened, Snapshot

# Pure, and called inside the open transaction: quick, no I/O. `turn.decide` with routes and policy bound.
Decide: TypeAlias = Callable[[Snapshot], Decisions]


# How long what could not be decided or written is left alone: a newer worker may have repaired it. Doubled
# each time, up to what a person who repairs it can wait.
ASIDE_MIN = timedelta(minutes=1)
ASIDE_MAX = timedelta(minutes=15)
# A fault's class and sentence; as the record keeps it.
PROBLEM_CHARS_MAX = 300


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """The accounts whose payments or mail have waited longest; those in someone else's turn are left.

    Events: `TurnCame` and mail of these accounts, in order of arrival.

    Attributes:
        mail_only: Leave accepted payments waiting.
    """

    items_max: int
    accounts_max: int
    mail_only: bool = False


class Overdue(msgspec.Struct, frozen=True, kw_only=True):
    """Rows whose reminder is due, oldest first; rows of accounts in someone else's turn are left.

    Attributes:
        bank: Those whose last attempt is at this bank, so that the backlog of one that is away hides
            nobody's; None: those that wait for no bank (screening, review, a route, an expiry, a dispute).
    """

    bank: str | None
    items_max: int


class About(msgspec.Struct, frozen=True, kw_only=True):
    """These events, whatever else waits; waits for the accounts' locks."""

    events: Sequence[Event]


Work: TypeAlias = Waiting | Overdue | About


class Record(Protocol):
    """The one source of truth."""

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        """One transaction: lock the accounts in id order; in a new statement read what the work is about;
        decide; write everything; commit. Nothing of the decision is true before it returns, all of it
        afterwards.

        Raises:
            DATABASE_AWAY: One of them; whether it committed is unknown, the reminders find it either way.
        """
        ...

    async def set_aside(self, payment_id: str, problem: str) -> None:
        """Pass a payment over, for every worker, in `Waiting` and `Overdue`: for `ASIDE_MIN`, then longer.

        A turn with its event that commits ends that; what is about it by itself (`About`) is never held up.

        Args:
            problem: For people; one line, `PROBLEM_CHARS_MAX` at the most.

        Raises:
            DATABASE_AWAY: One of them; the next turn finds the event again.
        """
        ...

    async def post_windows(self, age: timedelta, items_min: int, accounts_max: int) -> int:
        """Post the credits of accounts whose oldest waits longer than `age`, or where `items_min` wait.

        One transfer for each account's window with its items, `clearing` to the account. Returns the number
        of windows posted.
        """
        ...


class Banks(Protocol):
    """Carries an order to its bank."""

    async def carry(self, order: Order) -> Answered:
        """Send or inquire, and classify; never raises for anything a bank or the way to it does."""
        ...


class Screener(Protocol):
    """Asks the fraud service."""

    async def screen(self, askings: Sequence[Asking]) -> Sequence[Screened]:
        """Verdicts for the payments it decided about; a missing one means: hold, ask again.

        Raises:
            HopUnsent, HopUnknown: No answer; the reminders ask again.
        """
        ...
