"""The tables of the simulated record, and which of their rows wait for whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import msgspec

from services.payments.machine.events import Event, Screened, Told
from services.payments.machine.model import Account, Attempt, Credit, Dispute, Payment, Refund, Transfer

# In these states a bank is asked, or about to be; in the others a reminder waits for no bank.
_AT_A_BANK = {"submitted", "unknown", "capturing", "voiding"}
_REFUND_AT_A_BANK = {"submitted", "unknown"}

# When, account, payment, subject.
Due: TypeAlias = tuple[datetime, str, str, str]


@dataclass
class Letter:
    """A row of the mailbox."""

    mail_id: int
    account_id: str
    event: Event
    source: tuple[str, str]
    arrival: int
    at: datetime
    result: str | None = None


@dataclass
class Waiting:
    """A credit that waits for its window; `window` is the transfer that posted it."""

    credit: Credit
    queued_at: datetime
    window: str | None = None


@dataclass
class Aside:
    """A payment that is passed over; `until` says how long."""

    until: datetime
    times: int
    problem: str


class Rows:
    """What is committed. Payments are kept without their children, which are put in when one is read."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.payments: dict[str, Payment] = {}
        self.attempts: dict[str, Attempt] = {}
        self.refunds: dict[str, Refund] = {}
        self.disputes: dict[str, Dispute] = {}
        self.transfers: dict[str, Transfer] = {}
        self.resolved: set[str] = set()
        self.credits: dict[str, Waiting] = {}
        self.unposted: dict[str, list[Waiting]] = {}  # account id to what waits for its window
        self.aside: dict[str, Aside] = {}
        self.told: dict[str, list[Told]] = {}
        self.told_at: dict[tuple[str, int], datetime] = {}
        self.mail: dict[int, Letter] = {}
        self.sources: dict[tuple[str, str], int] = {}
        self.undone: dict[int, Letter] = {}
        self.screenings: dict[str, Screened] = {}
        self.contradictions: list[tuple[str, str]] = []
        self.accepted: dict[str, Payment] = {}
        self.arrivals: dict[str, int] = {}  # payment id to its place in the common order of arrival
        self.booked: Counter[str] = Counter()  # ledger account to the sum of its posts
        self.held: Counter[str] = Counter()  # ledger account to the sum of its open holds
        self.arrived = 0
        self._children: dict[str, tuple[dict[str, Attempt], dict[str, Refund], dict[str, Dispute]]] = {}
        self._whole: dict[str, Payment] = {}
        self._dues: dict[str, list[tuple[datetime, str | None, str]]] = {}
        self._agenda: dict[str | None, list[Due]] | None = None

    def is_aside(self, payment_id: str, now: datetime) -> bool:
        """Whether every worker passes this payment over."""
        aside = self.aside.get(payment_id)
        return aside is not None and aside.until > now

    def put_payment(self, payment: Payment) -> None:
        key = payment.payment_id
        if key not in self.payments:
            self.arrived += 1
            self.arrivals[key] = self.arrived
            self._children[key] = ({}, {}, {})
        self.payments[key] = msgspec.structs.replace(payment, attempts=(), refunds=(), disputes=())
        if payment.status == "accepted":
            self.accepted[key] = payment
        else:
            self.accepted.pop(key, None)
        self.touch(key)

    def put_attempt(self, attempt: Attempt) -> None:
        self.attempts[attempt.attempt_id] = attempt
        self._children[attempt.payment_id][0][attempt.attempt_id] = attempt
        self.touch(attempt.payment_id)

    def put_refund(self, refund: Refund) -> None:
        self.refunds[refund.refund_id] = refund
        self._children[refund.payment_id][1][refund.refund_id] = refund
        self.touch(refund.payment_id)

    def put_dispute(self, dispute: Dispute) -> None:
        self.disputes[dispute.dispute_id] = dispute
        self._children[dispute.payment_id][2][dispute.dispute_id] = dispute
        self.touch(dispute.payment_id)

    def put_transfer(self, transfer: Transfer) -> None:
        self.transfers[transfer.transfer_id] = transfer
        if transfer.kind == "hold":
            self.held[transfer.debit_account] += transfer.amount_minor
        if transfer.resolves is not None:
            self.resolved.add(transfer.resolves)
            held = self.transfers[transfer.resolves]
            self.held[held.debit_account] -= held.amount_minor
        if transfer.kind == "post":
            self.booked[transfer.debit_account] -= transfer.amount_minor
            self.booked[transfer.credit_account] += transfer.amount_minor

    def put_mail(self, event: Event, source: tuple[str, str], at: datetime) -> bool:
        """Put a letter into the mailbox; False: one from the same source is there."""
        if source in self.sources:
            return False
        self.arrived += 1
        account_id = self.payments[event.payment_id].account_id
        letter = Letter(len(self.mail) + 1, account_id, event, source, self.arrived, at)
        self.mail[letter.mail_id] = self.undone[letter.mail_id] = letter
        self.sources[source] = letter.mail_id
        return True

    def put_credit(self, credit: Credit, at: datetime) -> None:
        """Queue a credit; a second one from the same source changes nothing."""
        if credit.source_id not in self.credits:
            self.credits[credit.source_id] = Waiting(credit, at)
            self.unposted.setdefault(credit.account_id, []).append(self.credits[credit.source_id])
            self.booked[f"bank:{credit.bank}:{credit.currency}"] -= credit.amount_minor
            self.booked[f"clearing:{credit.currency}"] += credit.amount_minor

    def touch(self, payment_id: str) -> None:
        self._whole.pop(payment_id, None)
        self._dues.pop(payment_id, None)
        self._agenda = None

    def whole(self, payment_id: str) -> Payment:
        """Read a payment with everything that hangs on it."""
        found = self._whole.get(payment_id)
        if found is None:
            attempts, refunds, disputes = self._children[payment_id]
            found = self._whole[payment_id] = msgspec.structs.replace(
                self.payments[payment_id], attempts=tuple(attempts.values()),
                refunds=tuple(refunds.values()), disputes=tuple(disputes.values()),
            )  # fmt: skip
        return found

    def dues(self, payment_id: str) -> list[tuple[datetime, str | None, str]]:
        """List a payment's reminders: when, the bank that it waits for, the subject."""
        found = self._dues.get(payment_id)
        if found is None:
            found = self._dues[payment_id] = list(_dues(self.whole(payment_id)))
        return found

    def agenda(self, bank: str | None) -> list[Due]:
        """List the reminders that wait for this bank (None: for none), the earliest first."""
        if self._agenda is None:
            self._agenda = {}
            for payment_id, payment in self.payments.items():
                for due, of_bank, subject_id in self.dues(payment_id):
                    place = (due, payment.account_id, payment_id, subject_id)
                    self._agenda.setdefault(of_bank, []).append(place)
            for places in self._agenda.values():
                places.sort()
        return self._agenda.get(bank, [])


def _dues(payment: Payment) -> Iterator[tuple[datetime, str | None, str]]:
    if payment.due is not None and payment.status != "accepted":
        bank = payment.bank if payment.status in _AT_A_BANK else None
        yield payment.due, bank, payment.payment_id
    for refund in payment.refunds:
        if refund.due is not None:
            own = [each for each in payment.attempts if each.subject_id == refund.refund_id]
            bank = own[-1].bank if own and refund.status in _REFUND_AT_A_BANK else None
            yield refund.due, bank, refund.refund_id
    for dispute in payment.disputes:
        if dispute.due is not None:
            yield dispute.due, None, dispute.dispute_id
