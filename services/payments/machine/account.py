"""The account's part of a turn: it holds, posts and releases, and is never below zero (pure).

Promise: posted - held, held and unposted are never negative after any call; a call that would make them so
raises, or says that it is not possible.
"""

from __future__ import annotations

import msgspec

from services.payments.machine.errors import InvariantBroken
from services.payments.machine.model import Account


class Balance:
    """One account while it has its turn; the row itself is left as it is."""

    __slots__ = ("_row", "flushed", "held_minor", "posted_minor", "unposted_minor", "version")

    def __init__(self, row: Account) -> None:
        self._row = row
        self.posted_minor = row.posted_minor
        self.held_minor = row.held_minor
        self.unposted_minor = row.unposted_minor
        self.version = row.version
        self.flushed = False

    @property
    def available_minor(self) -> int:
        """What may be spent now."""
        return self.posted_minor - self.held_minor

    def number_turn(self) -> int:
        """Raise the version; the new one is the place of a payment in the account's order."""
        self.version += 1
        return self.version

    def hold(self, amount_minor: int) -> bool:
        """Set an amount aside, posting the waiting credits early if need be; False: there is not enough."""
        if self.available_minor < amount_minor:
            if self.available_minor + self.unposted_minor < amount_minor:
                return False
            self._flush()
        self.held_minor += amount_minor
        return True

    def post(self, amount_minor: int) -> None:
        """What was held has left for good."""
        self.release(amount_minor)
        self.posted_minor -= amount_minor

    def release(self, amount_minor: int) -> None:
        """What was held may be spent again.

        Raises:
            InvariantBroken: So much is not held.
        """
        if amount_minor > self.held_minor:
            raise InvariantBroken("more would be released than is held; compare holds and their resolutions")
        self.held_minor -= amount_minor

    def spend(self, amount_minor: int) -> int:
        """Take what a bank has taken; returns how much of it was covered, the rest is the merchant's debt."""
        if self.available_minor < amount_minor and self.unposted_minor:
            self._flush()
        covered_minor = min(self.available_minor, amount_minor)
        self.posted_minor -= covered_minor
        return covered_minor

    def queue_credit(self, amount_minor: int) -> None:
        """A credit waits for its window; in a turn that flushes the account, all its credits are posted."""
        if self.flushed:
            self.posted_minor += amount_minor
        else:
            self.unposted_minor += amount_minor

    def give_back(self, amount_minor: int) -> None:
        """What had been paid came back; posted at once, outside of any window."""
        self.posted_minor += amount_minor

    def _flush(self) -> None:
        self.posted_minor += self.unposted_minor
        self.unposted_minor = 0
        self.flushed = True

    def changed_row(self) -> Account | None:
        """The row to write, or None.

        Raises:
            InvariantBroken: It would be below zero.
        """
        row = self._row
        if self.posted_minor < self.held_minor or self.held_minor < 0 or self.unposted_minor < 0:
            raise InvariantBroken(f"account {row.account_id} would be below zero")
        if (
            self.posted_minor == row.posted_minor
            and self.held_minor == row.held_minor
            and self.unposted_minor == row.unposted_minor
            and self.version == row.version
        ):
            return None
        return msgspec.structs.replace(
            row,
            posted_minor=self.posted_minor,
            held_minor=self.held_minor,
            unposted_minor=self.unposted_minor,
            version=self.version,
        )
