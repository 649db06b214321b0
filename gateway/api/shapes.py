"""What answers hold: the types that encode them, and that the OpenAPI document is generated from (pure).

Amounts are integer minor units; times are RFC 3339 in UTC with microseconds. A member is added here, never
renamed or removed: those who are here already read the old ones.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from gateway.api.declines import Advice


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""


class Decline(Shape, frozen=True, kw_only=True):
    """Why a payment failed, and what can be done about it.

    Attributes:
        code: of the decline, the same for every bank; further ones may come.
        advice: what is worth trying.
    """

    code: str
    advice: Advice


class Review(Shape, frozen=True, kw_only=True):
    """That people look at a payment, or did.

    Attributes:
        state: `open`, or how it ended.
    """

    state: Literal["open", "approved", "rejected", "expired", "withdrawn"]


class LatestAttempt(Shape, frozen=True, kw_only=True):
    """The last try of the payment itself at a bank."""

    id: str
    bank: str
    operation: str
    state: str
    amount: int


class PaymentLinks(Shape, frozen=True, kw_only=True):
    """Where the rest of a payment is: paths, as they are asked for.

    Attributes:
        self: the payment.
        attempts: its tries at banks.
        events: its story.
        evidence: the archive that proves it.
        refunds: its refunds.
        disputes: its disputes.
    """

    self: str
    attempts: str
    events: str
    evidence: str
    refunds: str
    disputes: str


class PaymentRequest(Shape, frozen=True, kw_only=True):
    """Who asked for a payment; the request itself is in its evidence."""

    key_id: str


class PaymentAccepted(Shape, frozen=True, kw_only=True):
    """The answer to a payment: it will be driven to one outcome, whatever happens."""

    id: str
    object: Literal["payment"] = "payment"
    kind: Literal["collect", "payout"]
    status: Literal["accepted"] = "accepted"
    sequence: Literal[1] = 1
    amount: int
    currency: str
    merchant_reference: str | None
    created_at: str


class Payment(Shape, frozen=True, kw_only=True):
    """A payment as it is now; `sequence` is that of its last event, and nothing here changes without it.

    Attributes:
        sequence: of its last event; also its entity tag.
        amount_capturable: what a capture could take now.
        amount_captured: what was taken from the payer.
        amount_refunded: what went back.
        amount_refund_reserved: of refunds that have not ended.
        amount_disputed: what the payer contests, or has won.
        capture_method: `manual` authorises first; a capture takes later.
        review: null if nobody had to look at it.
        latest_attempt: null before the first.
        expires_at: when an authorisation ends by itself.
        request: null if no merchant's key asked for it.
        links: where the rest of it is.
    """

    id: str
    object: Literal["payment"] = "payment"
    kind: Literal["collect", "payout"]
    status: str
    sequence: int
    amount: int
    currency: str
    amount_capturable: int
    amount_captured: int
    amount_refunded: int
    amount_refund_reserved: int
    amount_disputed: int
    capture_method: Literal["automatic", "manual"]
    instrument: str
    merchant_reference: str | None
    decline: Decline | None
    review: Review | None
    latest_attempt: LatestAttempt | None
    expires_at: str | None
    created_at: str
    updated_at: str
    request: PaymentRequest | None
    links: PaymentLinks


class PaymentEvent(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """One event of a payment's story; `subject` is the refund or dispute that it is about."""

    sequence: int
    type: str
    at: str
    subject: str | None = None
    decline_code: str | None = None
    details: dict[str, Any] | None = None


class PaymentEvents(Shape, frozen=True, kw_only=True):
    """A payment's story, in order."""

    object: Literal["list"] = "list"
    data: list[PaymentEvent]


class Key(Shape, frozen=True, kw_only=True):
    """A registered key.

    Attributes:
        status: whether it may sign.
    """

    key_id: str
    object: Literal["key"] = "key"
    merchant_id: str
    alg: str
    status: Literal["active", "revoked"]
    scopes: list[str]


class PaymentCommand(Shape, frozen=True, kw_only=True):
    """What was asked of a payment; its events tell what came of it."""

    id: str
    object: Literal["payment_command"] = "payment_command"
    action: str
    payment_id: str
    amount: int | None
    status: Literal["accepted"] = "accepted"
