"""One try at one bank: born with its first lease, re-driven under new ones, decided once (pure).

Promises: a new attempt is born `sending` under epoch 1, so intent and lease are one commit; time alone never
ends an attempt; "not found" ends it only by the rule in `is_never_processed`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from services.payments.machine.choice import Routes
from services.payments.machine.events import Order
from services.payments.machine.model import Attempt, Operation, Payment, attempt_id_of
from services.payments.machine.policy import INQUIRY_DELAYS, UNSENT_DELAY_MAX, UNSENT_DELAY_MIN, Policy

MONEY_OPERATIONS: frozenset[Operation] = frozenset({"collect", "authorise", "payout"})
# So many calls in a row that certainly never left are a bank that is away: another one may take the payment.
UNSENT_BEFORE_FAILOVER = 3
# `not_found_since` of an attempt that the bank has spoken of by itself: "not found" is not believed any more.
NEVER_NOT_FOUND = datetime(9999, 1, 1, tzinfo=UTC)


def op_key_of(operation: Operation) -> str:
    """Of one subject's attempts with the same key, at most one may move money."""
    return "money" if operation in MONEY_OPERATIONS else operation


def first_of(payment: Payment, bank: str, routing: str, now: datetime) -> Attempt:
    """The money attempt of a payment that has none; the same as `next_of`, for the many."""
    operation: Operation = (
        "payout" if payment.kind == "payout"
        else "collect" if payment.capture_method == "automatic"
        else "authorise"
    )  # fmt: skip
    return Attempt(
        attempt_id=attempt_id_of(payment.payment_id, operation, 1),
        payment_id=payment.payment_id,
        subject_id=payment.payment_id,
        operation=operation,
        number=1,
        bank=bank,
        amount_minor=payment.amount_minor,
        state="sending",
        epoch=1,
        routing=routing,
        created_at=now,
    )


def next_of(
    payment: Payment,
    subject_id: str,
    operation: Operation,
    bank: str,
    amount_minor: int,
    now: datetime,
    routing: str | None = None,
) -> Attempt:
    """The next attempt of a subject, numbered after the ones before it."""
    number = 1 + len(same_key(payment, subject_id, operation))
    return Attempt(
        attempt_id=attempt_id_of(subject_id, operation, number),
        payment_id=payment.payment_id,
        subject_id=subject_id,
        operation=operation,
        number=number,
        bank=bank,
        amount_minor=amount_minor,
        state="sending",
        epoch=1,
        routing=routing,
        created_at=now,
    )


def same_key(payment: Payment, subject_id: str, operation: Operation) -> list[Attempt]:
    """The attempts of which at most one may move money, oldest first."""
    key = op_key_of(operation)
    return [a for a in payment.attempts if a.subject_id == subject_id and op_key_of(a.operation) == key]


def order_of(
    payment: Payment,
    attempt: Attempt,
    *,
    action: Literal["send", "inquire"] = "send",
    resendable: bool = True,
    original_reference: str | None = None,
) -> Order:
    """The call that an attempt's new lease is for."""
    return Order(
        attempt_id=attempt.attempt_id,
        epoch=attempt.epoch,
        payment_id=payment.payment_id,
        account_id=payment.account_id,
        bank=attempt.bank,
        operation=attempt.operation,
        amount_minor=attempt.amount_minor,
        currency=payment.currency,
        instrument=payment.instrument,
        action=action,
        resendable=resendable,
        original_reference=original_reference,
    )


def leased(attempt: Attempt) -> Attempt:
    """Take an open attempt over. A lease that ran out says nothing: what was sending is unknown from here."""
    return replace(
        attempt, epoch=attempt.epoch + 1, state="sending" if attempt.state == "intent" else "unknown"
    )


def unanswered(attempt: Attempt) -> Attempt:
    """The bank has not decided, or nobody knows. What it does not find has to be not found anew."""
    spoken_of = attempt.not_found_since == NEVER_NOT_FOUND
    return replace(
        attempt,
        state="unknown",
        epoch=attempt.epoch + 1,
        tries=attempt.tries + 1,
        unsent=0,
        not_founds=0,
        not_found_since=NEVER_NOT_FOUND if spoken_of else None,
    )


def not_sent(attempt: Attempt) -> Attempt:
    """This call certainly never left; what may have been sent before stays unknown."""
    return replace(
        attempt,
        state="intent" if attempt.state == "sending" else "unknown",
        epoch=attempt.epoch + 1,
        unsent=attempt.unsent + 1,
    )


def not_found(attempt: Attempt, now: datetime) -> Attempt:
    """The bank does not know it (yet)."""
    return replace(
        attempt,
        state="unknown",
        epoch=attempt.epoch + 1,
        tries=attempt.tries + 1,
        unsent=0,
        not_founds=attempt.not_founds + 1,
        not_found_since=attempt.not_found_since or now,
    )


def spoken_of(attempt: Attempt) -> Attempt:
    """The bank said something about it by itself, so it has it, whatever else it says."""
    return replace(attempt, not_found_since=NEVER_NOT_FOUND)


def decided(
    attempt: Attempt,
    state: Literal["confirmed", "declined", "not_processed", "reversed"],
    bank_reference: str | None = None,
    decline_code: str | None = None,
) -> Attempt:
    """The end of an attempt."""
    return replace(
        attempt,
        state=state,
        bank_reference=bank_reference or attempt.bank_reference,
        decline_code=decline_code if state == "declined" else None,
    )


def is_never_processed(attempt: Attempt, routes: Routes, policy: Policy, now: datetime) -> bool:
    """Whether "not found" may count as "not processed".

    Only if the bank's contract says so, it was said often enough and long enough apart, and the bank has
    never spoken of the attempt by itself. Source: reference state machine "bank attempt and crash safety", 7.
    """
    since = attempt.not_found_since
    return (
        since is not None
        and attempt.not_founds >= policy.not_founds_min
        and now - since >= policy.not_found_quiet
        and routes.is_not_found_final(attempt.bank)
    )


def inquiry_delay(tries: int) -> timedelta:
    """How long after the last vain question the next one follows."""
    return INQUIRY_DELAYS[min(tries, len(INQUIRY_DELAYS) - 1)]


def unsent_delay(unsent: int) -> timedelta:
    """How long after the `unsent`-th call that never left (from 1) the next one follows."""
    return min(UNSENT_DELAY_MIN * (1 << min(unsent - 1, 10)), UNSENT_DELAY_MAX)
