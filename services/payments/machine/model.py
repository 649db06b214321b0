"""What the engine remembers: accounts, payments, attempts, refunds, disputes, transfers (pure).

Each class is a row; the record (`services.payments.record`) reads and writes it whole, under the lock of its
account. Amounts are minor units of the payment's currency; times are aware and come from the database's
clock.
"""

from __future__ import annotations

import hashlib
import uuid
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["collect", "payout"]
CaptureMethod: TypeAlias = Literal["automatic", "manual"]
# accepted: waits for its account's turn. screening: the fraud service is asked. in_review: a person
# decides, until `due`. reserved: cleared and held, waits for a bank. submitted: a bank may have it.
# unknown: the bank's answer is missing, and asked for without end. authorized: may be captured or voided.
# capturing, voiding: the bank is asked to. succeeded, failed, canceled, expired: final.
PaymentStatus: TypeAlias = Literal[
    "accepted", "screening", "in_review", "reserved", "submitted", "unknown", "authorized", "capturing",
    "voiding", "succeeded", "failed", "canceled", "expired",
]  # fmt: skip
PAYMENT_FINAL: frozenset[PaymentStatus] = frozenset({"succeeded", "failed", "canceled", "expired"})

# collect: charge at once; authorise, capture, void: a card in two steps; payout: pay out; refund: give back.
Operation: TypeAlias = Literal["collect", "authorise", "capture", "void", "payout", "refund"]
# intent: nothing was sent. sending: the holder of `epoch` may have sent it. unknown: it may have moved money.
# reversed: it had moved money and gave it back (a bounced refund).
AttemptState: TypeAlias = Literal[
    "intent", "sending", "unknown", "confirmed", "declined", "not_processed", "reversed"
]
ATTEMPT_OPEN: frozenset[AttemptState] = frozenset({"intent", "sending", "unknown"})

RefundOrigin: TypeAlias = Literal["user", "bank", "customer_service", "system"]
RefundStatus: TypeAlias = Literal[
    "requested",
    "in_review",
    "reserved",
    "submitted",
    "unknown",
    "succeeded",
    "failed",
    "canceled",
    "reversed",
]
REFUND_FINAL: frozenset[RefundStatus] = frozenset({"succeeded", "failed", "canceled", "reversed"})

DisputeStatus: TypeAlias = Literal["opened", "won", "lost", "accepted", "expired"]

# What a declined or not processed attempt carries once its bank has charged, or given back, all the same.
LATE_SUCCESS = "late_success"
# The same of a refund that its payment had no room for any more: in suspense, and not in `refunded_minor`.
LATE_EXCESS = "late_excess"
LATE = frozenset({LATE_SUCCESS, LATE_EXCESS})

# The part of an attempt's id that tells its operation; the money attempts of a payment have none.
_ATTEMPT_MARK: dict[Operation, str] = {
    "collect": "", "authorise": "", "payout": "", "capture": "c", "void": "v", "refund": "r",
}  # fmt: skip


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One merchant's money in one currency; what may be spent is posted - held.

    Attributes:
        unposted_minor: Credits that wait for their window; posted early when a debit needs them.
        version: Counts the turns' decisions; tells which of two payments came first.
    """

    account_id: str
    merchant_id: str
    currency: str
    posted_minor: int
    held_minor: int
    unposted_minor: int
    version: int


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One try at one bank; the same attempt id is the same request, however often it is sent.

    Attributes:
        attempt_id: The bank's idempotency key, from `attempt_id_of`.
        subject_id: The payment's id, or the refund's where `operation` is `refund`.
        number: From 1, within subject and operation's mark.
        epoch: The lease. It rises with each new lease and with each recorded answer.
        tries: How often the outcome was asked for in vain; chooses the next delay.
        unsent: How often in a row a call certainly never left.
        not_founds: How often the bank said that it does not know the attempt, in a row.
        not_found_since: The first of these answers.
        routing: Why this bank, as JSON text (`routing.Choice.explanation`); only read by people.
    """

    attempt_id: str
    payment_id: str
    subject_id: str
    operation: Operation
    number: int
    bank: str
    amount_minor: int
    state: AttemptState
    epoch: int
    tries: int = 0
    unsent: int = 0
    not_founds: int = 0
    not_found_since: datetime | None = None
    bank_reference: str | None = None
    decline_code: str | None = None
    routing: str | None = None
    created_at: datetime


class Refund(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money going back, whoever asked for it.

    Attributes:
        origin: `system` is our own compensation of a late success; it is paid from suspense, not by the
            merchant.
        asked_by: Who asked: a key id, an operator's name, a bank's name, or `engine`.
        approved_by: Who approved it in review; never the one who asked.
        due: The reminder: a lease, the next question, or the end of the review. None when final.
    """

    refund_id: str
    payment_id: str
    origin: RefundOrigin
    amount_minor: int
    status: RefundStatus
    reason: str
    asked_by: str
    approved_by: str | None = None
    decline_code: str | None = None
    due: datetime | None
    asked_at: datetime


class Dispute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A chargeback. While it is open its amount can neither be refunded nor disputed a second time."""

    dispute_id: str
    payment_id: str
    amount_minor: int
    status: DisputeStatus
    bank_reference: str
    due: datetime | None
    opened_at: datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One payment with everything that hangs on it.

    Attributes:
        sequence: Number of the last event; each event of the payment or of its refunds raises it by one.
        account_version: The account's version when its turn came; None before.
        bank: Where it was sent last.
        due: The reminder: a lease, the next question, a deadline. None when final, never otherwise.
        expires_at: When an authorisation ends; None where it has no such end.
        reviewers: Who approved so far; above a limit two persons are needed.
        raised_at: When the watchdog called an operator; the payment goes on all the same.
        captured_minor, refund_reserved_minor, refunded_minor, disputed_minor: See `unclaimed_minor`. Refunded
            are refunds that have succeeded, and those that failed and were given all the same.
        tries: How often in a row something other than a bank was asked in vain (screening, a route).
    """

    payment_id: str
    account_id: str
    merchant_id: str
    kind: Kind
    capture_method: CaptureMethod
    amount_minor: int
    currency: str
    instrument: str
    status: PaymentStatus
    sequence: int
    account_version: int | None
    bank: str | None
    decline_code: str | None
    accepted_at: datetime
    due: datetime | None
    expires_at: datetime | None = None
    reviewers: tuple[str, ...] = ()
    raised_at: datetime | None = None
    captured_minor: int = 0
    refund_reserved_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    tries: int = 0
    attempts: tuple[Attempt, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()


class Transfer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One amount moved from one ledger account to another; immutable.

    Attributes:
        transfer_id: `<subject>/<purpose>`, so that writing it twice is an error: `pay_…/hold`, `/post`,
            `/void`, `/late`; `ref_…/hold`, `/post`, `/void`, `/reverse`; `dsp_…/post`, `/debt`;
            `<account>/window/<microseconds>`.
        kind: `hold` is pending; `post` and `void` resolve the hold named in `resolves`, or none.
        debit_account, credit_account: An account id, `bank:<name>:<currency>`, `clearing:<currency>`,
            `suspense:<currency>`, `debt:<account id>`.
    """

    transfer_id: str
    payment_id: str | None
    kind: Literal["hold", "post", "void"]
    debit_account: str
    credit_account: str
    amount_minor: int
    currency: str
    resolves: str | None = None


class Credit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One incoming credit that waits for its account's window.

    Attributes:
        source_id: Who says so, for ever unique: the attempt id with its operation. A second one changes
            nothing.
    """

    source_id: str
    account_id: str
    payment_id: str
    bank: str
    amount_minor: int
    currency: str


def attempt_id_of(subject_id: str, operation: Operation, number: int) -> str:
    """Name an attempt; every worker finds the same name from the row."""
    return f"att_{subject_id[4:]}_{_ATTEMPT_MARK[operation]}{number}"


def uetr_of(attempt_id: str) -> str:
    """The Unique End-to-end Transaction Reference: a version 4 UUID that follows from the attempt.

    Source: RFC 9562, 5.4.
    """
    return str(uuid.UUID(bytes=hashlib.sha256(attempt_id.encode()).digest()[:16], version=4))


def derived_id(prefix: Literal["ref", "dsp"], payment_id: str, source: str) -> str:
    """An id for what nobody numbered: it follows from a payment and from what caused it."""
    digest = hashlib.sha256(f"{prefix}\0{payment_id}\0{source}".encode()).digest()
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    number = int.from_bytes(digest[:17], "big") >> 6  # 130 bits, five for each of 26 digits
    digits = "".join(alphabet[(number >> (5 * place)) & 31] for place in range(25, -1, -1))
    return f"{prefix}_{payment_id.split('_')[1]}_{digits}"


def unclaimed_minor(payment: Payment) -> int:
    """What of the captured amount neither a refund nor a dispute has claimed; never negative."""
    return (
        payment.captured_minor
        - payment.refund_reserved_minor
        - payment.refunded_minor
        - payment.disputed_minor
    )


def headroom_minor(payment: Payment) -> int:
    """How much of a payment can still be refunded or disputed: less where more went back than was claimed."""
    return max(0, unclaimed_minor(payment) - late_refunds_minor(payment, LATE_EXCESS))


def late_refunds_minor(payment: Payment, code: str) -> int:
    """What refunds with this code gave back after their banks had declined them."""
    return sum(
        attempt.amount_minor
        for attempt in payment.attempts
        if attempt.operation == "refund" and attempt.decline_code == code
    )
