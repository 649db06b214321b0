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


class EventContent(Shape, frozen=True, kw_only=True):
    """What an event tells about its payment, or the refund or dispute of it.

    Attributes:
        status: that it left its subject in; null if the subject stayed as it was.
        amount_minor: of the payment, in minor units of the currency.
    """

    status: str | None
    kind: str
    amount_minor: int
    currency: str
    merchant_reference: str | None
    decline_code: str | None
    details: dict[str, Any] | None


class ToldEvent(Shape, frozen=True, kw_only=True):
    """An event as webhooks carry it.

    Attributes:
        account_id: whose balance it is about.
        account_version: the account's sequence that it belongs to; null if it moved nothing.
        subject_id: the refund or dispute that it is about; null for the payment itself.
    """

    id: str
    type: str
    merchant_id: str
    payment_id: str
    account_id: str
    account_version: int | None
    subject_id: str | None
    sequence: int
    at: str
    data: EventContent


class Feed(Shape, frozen=True, kw_only=True):
    """What comes next in the feed, oldest first, a payment's events in their order.

    Attributes:
        has_more: whether more of it can be had at once.
        next: where to go on: `after` of the next request, whether or not there were events.
    """

    object: Literal["feed"] = "feed"
    url: str
    has_more: bool
    next: str
    data: list[ToldEvent]
