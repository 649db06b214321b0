"""One payment while it has its turn: its row as decided so far, its story, and what is to be written (pure).

The rows themselves are immutable; a case replaces its payment whole. Events of one turn share the case, so
that later ones see what earlier ones decided.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from msgspec.structs import replace

from services.payments.machine.account import Balance
from services.payments.machine.choice import Routes
from services.payments.machine.errors import IllegalTransition
from services.payments.machine.events import Decisions, Told
from services.payments.machine.model import Attempt, Dispute, Payment, PaymentStatus, Refund, Transfer
from services.payments.machine.policy import Policy

Details: TypeAlias = dict[str, str | int | list[str]]


class Case:
    """A payment's turn.

    Attributes:
        row: The payment as decided so far; its `sequence` may be behind until the turn is closed.
        before: The payment as it was read.
        balance: Its account's turn, shared with the account's other payments.
        refund_owners: Refund id to payment, as far as the turn knows; shared by all its payments.
    """

    __slots__ = ("balance", "before", "now", "out", "policy", "refund_owners", "routes", "row", "sequence")

    def __init__(
        self,
        row: Payment,
        balance: Balance,
        now: datetime,
        routes: Routes,
        policy: Policy,
        out: Decisions,
        refund_owners: dict[str, str],
    ) -> None:
        self.row = self.before = row
        self.sequence = row.sequence
        self.balance = balance
        self.now = now
        self.routes = routes
        self.policy = policy
        self.out = out
        self.refund_owners = refund_owners

    def change(self, **fields: Any) -> None:  # noqa: ANN401 - fields of Payment, each with its own type
        """Replace the payment; the closing of the turn checks what must hold."""
        self.row = replace(self.row, sequence=self.sequence, **fields)

    def tell(
        self,
        event: str,
        details: Details | None = None,
        *,
        code: str | None = None,
        subject_id: str | None = None,
    ) -> None:
        """Add an event to the story."""
        self.sequence += 1
        row = self.row
        self.out.told.append(
            Told(
                payment_id=row.payment_id,
                sequence=self.sequence,
                type=event,
                account_version=row.account_version,
                decline_code=code,
                subject_id=subject_id,
                details=details,
            )
        )

    def expect(self, *statuses: PaymentStatus) -> None:
        """Raise where what happened cannot have happened.

        Raises:
            IllegalTransition: The payment has none of these statuses.
        """
        if self.row.status not in statuses:
            raise IllegalTransition(
                f"{self.row.payment_id} is {self.row.status}, not {' or '.join(statuses)}"
            )

    # The rows that hang on a payment.

    def attempt(self, attempt_id: str) -> Attempt | None:
        """The attempt with this id, as decided so far."""
        for attempt in self.row.attempts:
            if attempt.attempt_id == attempt_id:
                return attempt
        return None

    def with_attempt(self, attempt: Attempt) -> tuple[Attempt, ...]:
        """The attempts with this one in its place."""
        attempts = self.row.attempts
        if len(attempts) == 1 and attempts[0].attempt_id == attempt.attempt_id:
            return (attempt,)
        return tuple(attempt if a.attempt_id == attempt.attempt_id else a for a in attempts)

    def put_attempt(self, attempt: Attempt) -> None:
        """Replace an attempt by itself, or add a new one at the end."""
        if self.attempt(attempt.attempt_id) is None:
            self.change(attempts=(*self.row.attempts, attempt))
        else:
            self.change(attempts=self.with_attempt(attempt))

    def refund(self, refund_id: str) -> Refund | None:
        """The refund with this id, as decided so far."""
        return next((r for r in self.row.refunds if r.refund_id == refund_id), None)

    def put_refund(self, refund: Refund, **fields: int) -> None:
        """Replace a refund, or add it at the end, together with these amounts of the payment."""
        refunds = self.row.refunds
        if self.refund(refund.refund_id) is None:
            refunds = (*refunds, refund)
            self.refund_owners[refund.refund_id] = self.row.payment_id
        else:
            refunds = tuple(refund if r.refund_id == refund.refund_id else r for r in refunds)
        self.change(refunds=refunds, **fields)

    def dispute(self, dispute_id: str) -> Dispute | None:
        """The dispute with this id, as decided so far."""
        return next((d for d in self.row.disputes if d.dispute_id == dispute_id), None)

    def put_dispute(self, dispute: Dispute, **fields: int) -> None:
        """Replace a dispute, or add it at the end, together with these amounts of the payment."""
        disputes = self.row.disputes
        if self.dispute(dispute.dispute_id) is None:
            disputes = (*disputes, dispute)
        else:
            disputes = tuple(dispute if d.dispute_id == dispute.dispute_id else d for d in disputes)
        self.change(disputes=disputes, **fields)

    # The ledger.

    def bank_account(self, bank: str) -> str:
        """The bank's side of the ledger, in the payment's currency."""
        return f"bank:{bank}:{self.row.currency}"

    def move(
        self,
        transfer_id: str,
        debit: str,
        credit: str,
        amount_minor: int,
        *,
        kind: Literal["hold", "post", "void"] = "post",
        resolves: str | None = None,
    ) -> None:
        """Write one transfer of this payment's currency."""
        self.out.transfers.append(
            Transfer(
                transfer_id=transfer_id,
                payment_id=self.row.payment_id,
                kind=kind,
                debit_account=debit,
                credit_account=credit,
                amount_minor=amount_minor,
                currency=self.row.currency,
                resolves=resolves,
            )
        )

    def hold(self, subject_id: str, amount_minor: int) -> bool:
        """Hold money of the account for a payout or refund; False: it has not got it."""
        if not self.balance.hold(amount_minor):
            return False
        row = self.row
        self.move(f"{subject_id}/hold", row.account_id, f"clearing:{row.currency}", amount_minor, kind="hold")
        return True

    def post_hold(self, subject_id: str, bank: str, amount_minor: int) -> None:
        """What was held has gone out through this bank."""
        self.balance.post(amount_minor)
        self.move(
            f"{subject_id}/post",
            self.row.account_id,
            self.bank_account(bank),
            amount_minor,
            resolves=f"{subject_id}/hold",
        )

    def void_hold(self, subject_id: str, amount_minor: int) -> None:
        """What was held belongs to the account again."""
        self.balance.release(amount_minor)
        row = self.row
        self.move(
            f"{subject_id}/void",
            row.account_id,
            f"clearing:{row.currency}",
            amount_minor,
            kind="void",
            resolves=f"{subject_id}/hold",
        )

    def take_back(self, subject_id: str, bank: str, amount_minor: int) -> None:
        """A bank has taken money back: what the account has got, and the rest is its merchant's debt."""
        account_id, to = self.row.account_id, self.bank_account(bank)
        covered_minor = self.balance.spend(amount_minor)
        if covered_minor:
            self.move(f"{subject_id}/post", account_id, to, covered_minor)
        if covered_minor < amount_minor:
            self.move(f"{subject_id}/debt", f"debt:{account_id}", to, amount_minor - covered_minor)

    # The operator.

    def call_operator(self, reason: str, since: datetime | None, subject_id: str | None = None) -> None:
        """Show the payment to an operator; it goes on all the same.

        Args:
            reason: For people.
            since: Shown once for what began then. None: this happens once, and is new whatever was shown.
            subject_id: The refund, dispute or attempt's subject it is about.
        """
        if since is not None and self._was_called(since):
            return
        details: Details = {"reason": reason}
        if subject_id is not None:
            details["subject"] = subject_id
        self.tell("payment.needs_operator", details)
        self.change(raised_at=self.now)

    def contradict(self, problem: str, since: datetime) -> None:
        """A bank said what cannot be true: nothing moves, an operator sees it; told once for each matter."""
        self.out.contradictions.append((self.row.payment_id, problem))
        if self._was_called(since):
            return
        self.tell("payment.contradiction", {"reason": problem})
        self.change(raised_at=self.now)

    def raise_if_old(self, since: datetime, reason: str, subject_id: str | None = None) -> None:
        """Call the operator about something that has lasted longer than policy allows."""
        if self.now - since >= self.policy.raise_after:
            self.call_operator(reason, since, subject_id)

    def reminder(self, delay: timedelta, since: datetime) -> datetime:
        """When to look again: after `delay`, or earlier if an operator has to be called before."""
        at = self.now + delay
        call_at = since + self.policy.raise_after
        if self.now < call_at < at:
            return call_at
        return at

    def _was_called(self, since: datetime) -> bool:
        raised_at = self.row.raised_at
        return raised_at is not None and raised_at >= since
