"""What lists and further reads hold; see `shapes` (pure)."""

from __future__ import annotations

from typing import Any, Literal

from gateway.api.shapes import Decline, Payment, Shape


class Attempt(Shape, frozen=True, kw_only=True):
    """One try at one bank, of a payment or of a refund of it.

    Attributes:
        subject: the payment or the refund that was tried.
        number: of the try, from 1, for each subject and operation.
    """

    id: str
    object: Literal["attempt"] = "attempt"
    payment_id: str
    subject: str
    operation: Literal["collect", "authorise", "capture", "void", "payout", "refund"]
    number: int
    bank: str
    state: Literal["submitted", "unknown", "confirmed", "declined", "not_processed", "reversed"]
    amount: int
    decline: Decline | None
    created_at: str
    updated_at: str


class Refund(Shape, frozen=True, kw_only=True):
    """A refund as it is now.

    Attributes:
        origin: who asked for it; `user` is the merchant.
    """

    id: str
    object: Literal["refund"] = "refund"
    payment_id: str
    status: str
    amount: int
    currency: str
    origin: Literal["user", "bank", "customer_service", "system"]
    reason: str | None
    decline: Decline | None
    created_at: str
    updated_at: str


class Dispute(Shape, frozen=True, kw_only=True):
    """A dispute as it is now.

    Attributes:
        respond_by: the end of the time to answer it; null once it is decided.
    """

    id: str
    object: Literal["dispute"] = "dispute"
    payment_id: str
    status: str
    amount: int
    currency: str
    respond_by: str | None
    created_at: str
    updated_at: str


class Account(Shape, frozen=True, kw_only=True):
    """One of the merchant's accounts: there is one for each currency."""

    id: str
    object: Literal["account"] = "account"
    currency: str
    created_at: str


class Balance(Shape, frozen=True, kw_only=True):
    """An account's balance.

    Attributes:
        available: what can be paid out or refunded now.
        reserved: held for payouts and refunds that have not ended.
        pending_in: credited by banks, and not spendable yet.
        as_of: the account's sequence that these belong together at.
    """

    object: Literal["balance"] = "balance"
    account_id: str
    currency: str
    available: int
    reserved: int
    pending_in: int
    as_of: int


class Event(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """One event of any payment; its id is the one that webhooks carry."""

    id: str
    object: str = "event"
    payment_id: str
    sequence: int
    type: str
    at: str
    subject: str | None = None
    decline_code: str | None = None
    details: dict[str, Any] | None = None


class List(Shape, frozen=True, kw_only=True):
    """A page; `has_more` tells whether there is more in its direction."""

    object: Literal["list"] = "list"
    url: str
    has_more: bool


class PaymentList(List, frozen=True, kw_only=True):
    """Payments, newest first."""

    data: list[Payment]


class AttemptList(List, frozen=True, kw_only=True):
    """Attempts, oldest first."""

    data: list[Attempt]


class RefundList(List, frozen=True, kw_only=True):
    """Refunds, newest first."""

    data: list[Refund]


class DisputeList(List, frozen=True, kw_only=True):
    """Disputes, newest first."""

    data: list[Dispute]


class AccountList(List, frozen=True, kw_only=True):
    """All accounts, in the order of their currencies."""

    data: list[Account]


class EventList(List, frozen=True, kw_only=True):
    """Events, newest first."""

    data: list[Event]
