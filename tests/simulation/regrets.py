"""What a bank thinks better of after a success: bounces, chargebacks, contradictions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tests.simulation.sim_bank import Entry, SimBank


class Regrets:
    """Those of one bank."""

    def __init__(self, bank: SimBank) -> None:
        self.bank = bank

    def begin(self, entry: Entry) -> None:
        """What may come after a success, days later."""
        operation, weather = entry.attempt.operation, self.bank.weather
        if entry.amount_minor != entry.attempt.amount_minor:
            return
        # Days later, or at once: before anybody here has heard of the success itself.
        later = weather.chance.choice((3.0, timedelta(days=2).total_seconds())) * weather.chance.random()
        if weather.strikes("bank_contradicts"):
            self.bank.later(later, lambda: self._deny(entry))
        if weather.strikes("bank_speaks_of_nothing"):
            strange = msgspec.structs.replace(
                self.bank.told(entry, "confirmed", number=3), attempt_id="att_none_1"
            )
            self.bank.later(later, lambda: self.bank.tell(strange, 1.0))
        if operation == "refund" and weather.strikes("bank_refund_bounces"):
            self.bank.later(later, lambda: self._bounce(entry))
        if operation in ("collect", "capture"):
            if weather.strikes("bank_dispute"):
                self.bank.later(later, lambda: self._dispute(entry))
            elif weather.strikes("bank_returned"):
                self.bank.later(later, lambda: self._return(entry))
            elif weather.strikes("bank_recall"):
                self.bank.later(later, lambda: self.bank.tell(self.bank.told(entry, "recalled"), 10.0))

    def _deny(self, entry: Entry) -> None:
        """It did it, and says that it did not; its file tells the truth, or nobody could find out."""
        if entry.is_misfiled:
            return
        entry.was_declined = True
        self.bank.tell(self.bank.told(entry, "declined", number=2), 1.0)
        if entry.attempt.operation in ("authorise", "void"):
            # They are in no file: it thinks better of it once more.
            again = self.bank.told(entry, "confirmed", number=9)
            self.bank.later(self.bank.weather.seconds(60.0, 100_000.0), lambda: self.bank.tell(again, 1.0))

    def _bounce(self, entry: Entry) -> None:
        self.bank.movement(entry, "bounce", entry.attempt.amount_minor, 1)
        self.bank.tell(self.bank.told(entry, "bounced"), 10.0)

    def _left_minor(self, payment_id: str) -> int:
        """What the bank has taken of a payer and not given back, by its own log."""
        return sum(line.signed_minor for line in self.bank.log if line.payment_id == payment_id)

    def _return(self, entry: Entry) -> None:
        left = int(self._taken_back_minor(entry) * self.bank.weather.chance.choice((1.0, 0.5, 0.3)))
        if left > 0:
            self.bank.movement(entry, "return", left, -1)
            self.bank.tell(self.bank.told(entry, "returned", amount_minor=left), 10.0)

    def _taken_back_minor(self, entry: Entry) -> int:
        """How much it takes back: what it has not given back yet, or, awkward as it is, all of it."""
        left = self._left_minor(entry.attempt.end_to_end_id)
        if left < entry.amount_minor and self.bank.weather.strikes("bank_takes_too_much"):
            return entry.amount_minor
        return min(left, entry.amount_minor)

    def _dispute(self, entry: Entry) -> None:
        left = self._taken_back_minor(entry)
        if left > 0:
            self.bank.tell(self.bank.told(entry, "dispute_opened", amount_minor=left), 10.0)
            is_lost = self.bank.weather.chance.random() < 0.5
            end_s = self.bank.weather.seconds(3600.0, timedelta(days=20).total_seconds())
            self.bank.later(end_s, lambda: self._end_dispute(entry, left, is_lost=is_lost))

    def _end_dispute(self, entry: Entry, amount_minor: int, *, is_lost: bool) -> None:
        if is_lost:
            self.bank.movement(entry, "chargeback", amount_minor, -1)
        what = "dispute_lost" if is_lost else "dispute_won"
        self.bank.tell(self.bank.told(entry, what, amount_minor=amount_minor), 10.0)
        if self.bank.weather.strikes("bank_contradicts"):
            other = "dispute_won" if is_lost else "dispute_opened"
            self.bank.later(
                60.0,
                lambda: self.bank.tell(
                    self.bank.told(entry, other, amount_minor=amount_minor, number=2), 1.0
                ),
            )
