"""What must hold after every commit, seen from outside of the engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from services.payments.machine.events import Decisions, Told
from services.payments.machine.model import (
    ATTEMPT_OPEN,
    LATE_SUCCESS,
    PAYMENT_FINAL,
    REFUND_FINAL,
    Attempt,
    Payment,
    late_refunds_minor,
    unclaimed_minor,
)
from services.payments.machine.policy import Policy
from tests.simulation.database import Database
from tests.simulation.sim_bank import SimBank
from tests.simulation.sim_fraud import SimFraud
from tests.simulation.trace import Trace

TERMINAL_EVENTS = {"payment.succeeded", "payment.failed", "payment.canceled", "payment.expired"}
# What may still be told of a payment that has ended.
_AFTER_THE_END = {"payment.late_success", "payment.contradiction", "payment.needs_operator"}
LATE = {"late_success", "late_excess"}
_TRUTHS = {"confirmed": "confirmed", "reversed": "confirmed"}

# Which invariant is broken, and how.
Problem = tuple[str, str]


class Invariants:
    """Watches one world.

    Args:
        banks: What the banks have really done is the truth that the record is held against.
        fraud: What it has really said, likewise.
    """

    def __init__(
        self, database: Database, banks: dict[str, SimBank], fraud: SimFraud, policy: Policy, trace: Trace
    ) -> None:
        self.database = database
        self.banks = banks
        self.fraud = fraud
        self.policy = policy
        self.trace = trace
        self.statuses: dict[str, str] = {}
        self.ends: dict[str, str] = {}
        self.sequences: dict[str, int] = {}
        self.versions: Counter[str] = Counter()
        self.approvers: dict[str, list[str]] = {}

    def look(self, decisions: Decisions) -> None:
        """Check what a commit has written."""
        for problem in self._broken_by(decisions):
            self.trace.violate(*problem)

    def _broken_by(self, decisions: Decisions) -> Iterator[Problem]:
        rows = self.database.rows
        for account_id in _accounts_of(decisions):
            yield from self.balance(account_id)
        for told in decisions.told:
            expected = self.sequences.get(told.payment_id, 1) + 1
            if told.sequence != expected:
                yield "sequence", f"{told.payment_id} tells {told.sequence} after {expected - 1}"
            self.sequences[told.payment_id] = told.sequence
            yield from self._ends_once(told)
            yield from self._is_cleared(told)
        for payment in decisions.payments:
            whole = rows.whole(payment.payment_id)
            if whole.sequence != self.sequences.get(payment.payment_id, 1):
                yield "sequence", f"{payment.payment_id} counts {whole.sequence}"
            yield from _ended_with_open_attempts(whole)
            yield from _sums(whole)
            before = self.statuses.get(payment.payment_id)
            if before in PAYMENT_FINAL and before != whole.status:
                yield "I2", f"{payment.payment_id} was {before} and is {whole.status}"
            self.statuses[payment.payment_id] = whole.status
        for attempt in decisions.attempts:
            yield from self._is_true(attempt)

    def balance(self, account_id: str) -> Iterator[Problem]:
        """I1 of one account: its row is what its transfers add up to, and never below zero."""
        rows = self.database.rows
        account = rows.accounts[account_id]
        if account.posted_minor != rows.booked[account_id]:
            yield (
                "I1",
                f"{account_id} has {account.posted_minor}, its transfers say {rows.booked[account_id]}",
            )
        if account.held_minor != rows.held[account_id]:
            yield "I1", f"{account_id} holds {account.held_minor}, its transfers say {rows.held[account_id]}"
        waiting = sum(each.credit.amount_minor for each in rows.unposted.get(account_id, ()))
        if account.unposted_minor != waiting:
            yield "I1", f"{account_id} counts {account.unposted_minor} unposted, there are {waiting}"
        if account.posted_minor - account.held_minor < 0 or account.held_minor < 0:
            yield "I1", f"{account_id} is overdrawn"
        if account.version < self.versions[account_id]:
            yield "order", f"the version of {account_id} went back"
        self.versions[account_id] = account.version

    def _ends_once(self, told: Told) -> Iterator[Problem]:
        has_ended = told.payment_id in self.ends
        if told.type in TERMINAL_EVENTS:
            if has_ended:
                yield "I2", f"{told.payment_id} ended as {self.ends[told.payment_id]} and as {told.type}"
            self.ends[told.payment_id] = told.type
        elif has_ended and told.type.startswith("payment.") and told.type not in _AFTER_THE_END:
            yield "I2", f"{told.payment_id} tells {told.type} after {self.ends[told.payment_id]}"

    def _is_cleared(self, told: Told) -> Iterator[Problem]:
        """I10: nothing goes to a bank that neither the fraud service nor enough people let pass."""
        if told.type == "payment.review_approved":
            self.approvers.setdefault(told.payment_id, []).append(str((told.details or {}).get("by")))
        elif told.type in ("payment.submitted", "payment.reserved"):
            payment_id = told.payment_id
            verdict = self.fraud.verdict(payment_id) if payment_id in self.fraud.answered else "missing"
            row = self.database.rows.payments[payment_id]
            limit = self.policy.second_approver_minor.get(row.currency)
            needed = 2 if limit is None or row.amount_minor >= limit else 1
            approved = len(set(self.approvers.get(payment_id, ())))
            if not (verdict == "pass" or (verdict == "review" and approved >= needed)):
                yield "I10", f"{payment_id} goes on with verdict {verdict} and {approved} approvals"

    def _is_true(self, attempt: Attempt) -> Iterator[Problem]:
        """I3: nothing counts as decided that its bank has not decided so."""
        entry = self.banks[attempt.bank].entries.get(attempt.attempt_id)
        state = attempt.state
        if state == "not_processed" and entry is not None and attempt.decline_code not in LATE:
            yield "I3", f"{attempt.attempt_id} counts as not processed, its bank has it as {entry.state}"
        if state == "declined" and (entry is None or not entry.was_declined):
            yield "I3", f"{attempt.attempt_id} counts as declined, its bank never said so"
        if state in _TRUTHS and (entry is None or entry.state != _TRUTHS[state]):
            yield "I3", f"{attempt.attempt_id} counts as {state}, its bank does not say so"

    def is_left_to_people(self, payment: Payment) -> bool:
        """By design nobody but a person may decide, and one was called.

        The bank never had it and it is too old to be sent again, or what the bank did is not what was asked.
        """
        if payment.raised_at is None:
            return False
        for attempt in payment.attempts:
            entry = self.banks[attempt.bank].entries.get(attempt.attempt_id)
            if attempt.state == "unknown" and (entry is None or entry.amount_minor != attempt.amount_minor):
                return True
        return False


def _accounts_of(decisions: Decisions) -> Iterable[str]:
    named = [each.account_id for each in decisions.accounts] + [
        each.account_id for each in decisions.payments
    ]
    return dict.fromkeys(named)


def _ended_with_open_attempts(payment: Payment) -> Iterator[Problem]:
    """Unknown is never treated as failed, nor as anything else that ends."""
    over = {payment.payment_id} if payment.status in PAYMENT_FINAL else set()
    over |= {refund.refund_id for refund in payment.refunds if refund.status in REFUND_FINAL}
    for attempt in payment.attempts:
        if attempt.subject_id in over and attempt.state in ATTEMPT_OPEN:
            yield "I3", f"{attempt.subject_id} has ended, {attempt.attempt_id} is {attempt.state}"


def _sums(payment: Payment) -> Iterator[Problem]:
    if unclaimed_minor(payment) < 0:
        yield "headroom", f"{payment.payment_id} has {unclaimed_minor(payment)} left"
    ours = [refund for refund in payment.refunds if refund.origin != "system"]
    refunded = sum(each.amount_minor for each in ours if each.status == "succeeded")
    refunded += late_refunds_minor(payment, LATE_SUCCESS)
    reserved = sum(each.amount_minor for each in ours if each.status not in REFUND_FINAL)
    disputed = sum(each.amount_minor for each in payment.disputes if each.status in ("opened", "lost"))
    if (payment.refunded_minor, payment.refund_reserved_minor) != (refunded, reserved):
        yield "headroom", f"{payment.payment_id} counts other refunds than it has"
    if payment.disputed_minor != disputed:
        yield "headroom", f"{payment.payment_id} counts {payment.disputed_minor} disputed, it has {disputed}"
