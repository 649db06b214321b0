"""What can happen to a payment, and what a decision makes happen (pure).

Events come in three ways: from the mailbox (durable, deduplicated by source), from a call that ended, or from
a reminder that is due. An event about a payment that is not in the snapshot is an error of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from services.payments.machine.model import (
    Account,
    Attempt,
    Credit,
    Dispute,
    Operation,
    Payment,
    Refund,
    RefundOrigin,
    Transfer,
)


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """`mail_id` is the row of the mailbox that carried it; None for what was not mailed."""

    payment_id: str
    mail_id: int | None = None


class TurnCame(_Event, frozen=True, kw_only=True):
    """An accepted payment's account has its turn."""


class ReminderDue(_Event, frozen=True, kw_only=True):
    """`due` has passed: of the payment, or of the refund or dispute named in `subject_id`."""

    subject_id: str


class Screened(_Event, frozen=True, kw_only=True):
    """The fraud service has decided. What it decided by is kept with the decision.

    Attributes:
        rule_pack: Name, version and SHA-256 of the signed rules, as `name@version:hex`.
        inputs_digest: SHA-256 of the canonical inputs, hex.
        reasons: Names of the rules that matched.
    """

    verdict: Literal["pass", "review", "reject"]
    rule_pack: str
    inputs_digest: str
    reasons: tuple[str, ...] = ()


class ReviewDecided(_Event, frozen=True, kw_only=True):
    """A person decided about a payment, or about the refund named in `refund_id`, that is in review."""

    decision: Literal["approve", "reject"]
    by: str
    reason: str
    refund_id: str | None = None


class CaptureAsked(_Event, frozen=True, kw_only=True):
    """Capture what was authorised; once, whole (None) or less. The rest is released."""

    amount_minor: int | None = None
    by: str


class VoidAsked(_Event, frozen=True, kw_only=True):
    """Cancel: withdraw what no bank has yet, or void what was authorised."""

    by: str


class RefundAsked(_Event, frozen=True, kw_only=True):
    """Give money back. `bank_moved`: the bank says that it already has; there is nothing to send."""

    refund_id: str
    amount_minor: int
    origin: RefundOrigin
    reason: str
    by: str
    bank_moved: bool = False


class RefundCancelAsked(_Event, frozen=True, kw_only=True):
    """Withdraw a refund that no bank has yet."""

    refund_id: str
    by: str


AnswerKind: TypeAlias = Literal["confirmed", "declined", "pending", "unknown", "unsent", "not_found"]


class Answered(_Event, frozen=True, kw_only=True):
    """A call that this engine made has ended; already checked against the request (`outcomes`).

    Attributes:
        epoch: The lease under which it was made. Under a newer one it is evidence, not the holder's word.
        asked: Whether it answers an inquiry; `not_found` is only possible then.
        stopped_by: With `unsent`: what of our own ended it, and so says nothing about the bank: the way to
            the banks service, or a connector that cannot put it to the bank. None: the bank was tried.
    """

    attempt_id: str
    epoch: int
    kind: AnswerKind
    asked: bool = False
    stopped_by: Literal["hop", "connector"] | None = None
    bank_reference: str | None = None
    decline_code: str | None = None


class BankTold(_Event, frozen=True, kw_only=True):
    """A bank said something by itself: a callback, or a line of a settlement file.

    `attempt_id`, amount and currency are what the bank wrote; the decision checks them against the attempt.

    Attributes:
        what: `confirmed`, `declined`: of the attempt. `bounced`: a refund that had succeeded came back.
            `returned`: the bank took captured money back. `recalled`: it asks whether we give it back.
            `dispute_opened`, `dispute_won`, `dispute_lost`.
        bank_event_id: The bank's own id of what it says.
        dispute_reference: The bank's name for the dispute, for the last three.
    """

    bank: str
    what: Literal[
        "confirmed", "declined", "bounced", "returned", "recalled",
        "dispute_opened", "dispute_won", "dispute_lost",
    ]  # fmt: skip
    bank_event_id: str
    attempt_id: str
    amount_minor: int
    currency: str
    bank_reference: str | None = None
    decline_code: str | None = None
    dispute_reference: str | None = None


Event: TypeAlias = (
    TurnCame | ReminderDue | Screened | ReviewDecided | CaptureAsked | VoidAsked | RefundAsked
    | RefundCancelAsked | Answered | BankTold
)  # fmt: skip
# What a row of the mailbox may hold, as tagged JSON (`type` is the class's name).
Mail: TypeAlias = ReviewDecided | CaptureAsked | VoidAsked | RefundAsked | RefundCancelAsked | BankTold


class Told(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event of the payment's story, for the outbox, the merchant and the operator.

    Attributes:
        type: `payment.…`, `refund.…` or `dispute.…`, from reference list 3.6.
        subject_id: The refund or dispute it is about; None for the payment itself.
        details: What else belongs to the story (bank, amounts, rule pack, who, why), small, never a secret.
    """

    payment_id: str
    sequence: int
    type: str
    account_version: int | None
    decline_code: str | None = None
    subject_id: str | None = None
    details: dict[str, str | int | list[str]] | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call to make, under the lease that the same transaction took.

    Attributes:
        attempt_id: The bank's idempotency key.
        action: `send`, or `inquire` when it may have been sent before.
        resendable: Whether the same request may be sent again should the bank not know it.
        original_reference: The bank's reference of what is captured, voided or refunded.
    """

    attempt_id: str
    epoch: int
    payment_id: str
    account_id: str
    bank: str
    operation: Operation
    amount_minor: int
    currency: str
    instrument: str
    action: Literal["send", "inquire"] = "send"
    resendable: bool = True
    original_reference: str | None = None


class Asking(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One payment that the fraud service has to be asked about; it is asked again until it answers."""

    payment_id: str
    account_id: str
    merchant_id: str
    kind: str
    amount_minor: int
    currency: str
    instrument: str
    accepted_at: datetime


class Snapshot(msgspec.Struct, kw_only=True):
    """What a turn sees: its events in order, and the rows they are about, locked.

    Attributes:
        now: The database's clock, in this transaction.
        payments: With attempts, refunds and disputes; every payment that an event names.
        accounts: The accounts of these payments.
        refund_owners: Refund id to the payment that has it, of the ids that `RefundAsked` events name; an id
            is one in the whole record, and no payment sees another's refunds.
    """

    now: datetime
    events: Sequence[Event]
    accounts: dict[str, Account]
    payments: dict[str, Payment]
    refund_owners: dict[str, str] = {}


class Decisions(msgspec.Struct, kw_only=True):
    """What one transaction writes, and what follows once it has committed. Lists hold whole rows.

    Attributes:
        flushed: Accounts whose waiting credits are posted in this transaction, because a debit needs them;
            their row in `accounts` counts them as posted already.
        credits: Queued for the next window.
        screenings: The screening that decided, as it is kept.
        mail_done: Row of the mailbox to what became of it: `applied`, or `refused: <code>`.
        contradictions: What a bank said that cannot be true together with what it said before; for an
            operator.
        orders, askings: For the shell, after the commit only.
    """

    accounts: list[Account] = []
    payments: list[Payment] = []
    attempts: list[Attempt] = []
    refunds: list[Refund] = []
    disputes: list[Dispute] = []
    transfers: list[Transfer] = []
    flushed: list[str] = []
    credits: list[Credit] = []
    told: list[Told] = []
    screenings: list[Screened] = []
    mail_done: list[tuple[int, str]] = []
    contradictions: list[tuple[str, str]] = []
    orders: list[Order] = []
    askings: list[Asking] = []
