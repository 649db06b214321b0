"""From rows of the record to what merchants are shown (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

import msgspec

from gateway.api.declines import advice_of
from gateway.api.read_shapes import Account, Attempt, Balance, Dispute, Event, Refund
from gateway.api.shapes import (
    Decline,
    LatestAttempt,
    Payment,
    PaymentEvent,
    PaymentLinks,
    PaymentRequest,
    Review,
)
from services.node.identifiers import is_id
from signing.evidence.entry import utc_text


class Row(Protocol):
    """A row of the record, by names of columns."""

    def __getitem__(self, name: str, /) -> Any: ...  # noqa: ANN401 - columns are what they are


ReviewState = Literal["open", "approved", "rejected", "expired", "withdrawn"]

_REVIEWS: Mapping[str, ReviewState] = MappingProxyType(
    {
        "payment.review_opened": "open",
        "payment.review_approved": "approved",
        "payment.review_rejected": "rejected",
    }
)
_FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})
_SEQUENCE_DIGITS_MAX = 9  # Below 2^31, which is where the record's own numbers end.


@dataclass(frozen=True, slots=True)
class EventPlace:
    """An event, as the record names it."""

    payment_id: str
    sequence: int


def payment_of(row: Row) -> Payment:
    """Return a payment; the row is one of `payments.payment_shown`."""
    left = row["amount_minor"] - row["captured_minor"]
    return Payment(
        id=row["id"],
        kind=row["kind"],
        status=row["status"],
        sequence=row["sequence"],
        amount=row["amount_minor"],
        currency=row["currency"],
        amount_capturable=left if row["status"] == "authorized" else 0,
        amount_captured=row["captured_minor"],
        amount_refunded=row["refunded_minor"],
        amount_refund_reserved=row["refund_reserved_minor"],
        amount_disputed=row["disputed_minor"],
        capture_method=row["capture_method"],
        instrument=row["instrument"],
        merchant_reference=row["merchant_reference"],
        decline=_decline(row["decline_code"]),
        review=_review(row),
        latest_attempt=_latest_attempt(row),
        expires_at=None if row["expires_at"] is None else utc_text(row["expires_at"]),
        created_at=utc_text(row["accepted_at"]),
        updated_at=utc_text(row["updated_at"]),
        request=None if row["key_id"] is None else PaymentRequest(key_id=row["key_id"]),
        links=_links(row["id"]),
    )


def is_at_rest(row: Row) -> bool:
    """Tell whether a payment has ended or waits for its merchant; `payments.resting` asks the same."""
    return row["status"] in _FINAL or (row["status"] == "authorized" and row["capture_method"] == "manual")


def story_event_of(row: Row) -> PaymentEvent:
    """Return one event of a payment's story."""
    return PaymentEvent(
        sequence=row["sequence"],
        type=row["type"],
        at=utc_text(row["at"]),
        subject=row["subject_id"],
        decline_code=row["decline_code"],
        details=_details(row),
    )


def attempt_of(row: Row) -> Attempt:
    """Return an attempt; the row is one of `payments.attempt_shown`."""
    return Attempt(
        id=row["id"],
        payment_id=row["payment_id"],
        subject=row["subject_id"],
        operation=row["operation"],
        number=row["number"],
        bank=row["bank"],
        state=row["state"],
        amount=row["amount_minor"],
        decline=_decline(row["decline_code"]),
        created_at=utc_text(row["created_at"]),
        updated_at=utc_text(row["updated_at"]),
    )


def refund_of(row: Row) -> Refund:
    """Return a refund; the row is one of `payments.refund_shown`."""
    return Refund(
        id=row["id"],
        payment_id=row["payment_id"],
        status=row["status"],
        amount=row["amount_minor"],
        currency=row["currency"],
        origin=row["origin"],
        reason=row["reason"],
        decline=_decline(row["decline_code"]),
        created_at=utc_text(row["created_at"]),
        updated_at=utc_text(row["updated_at"] or row["created_at"]),
    )


def dispute_of(row: Row) -> Dispute:
    """Return a dispute; the row is one of `payments.dispute_shown`."""
    return Dispute(
        id=row["id"],
        payment_id=row["payment_id"],
        status=row["status"],
        amount=row["amount_minor"],
        currency=row["currency"],
        respond_by=None if row["respond_by"] is None else utc_text(row["respond_by"]),
        created_at=utc_text(row["created_at"]),
        updated_at=utc_text(row["updated_at"] or row["created_at"]),
    )


def account_of(row: Row) -> Account:
    """Return an account; the row is one of `payments.balances_of`."""
    return Account(id=row["id"], currency=row["currency"], created_at=utc_text(row["opened_at"]))


def balance_of(row: Row) -> Balance:
    """Return an account's balance; the row is one of `payments.balances_of`."""
    return Balance(
        account_id=row["id"],
        currency=row["currency"],
        available=row["posted_minor"] - row["held_minor"],
        reserved=row["held_minor"],
        pending_in=row["unposted_minor"],
        as_of=row["version"],
    )


def event_of(row: Row) -> Event:
    """Return an event; the row is one of `payments.list_events`."""
    return Event(
        id=event_id(EventPlace(row["payment_id"], row["sequence"])),
        payment_id=row["payment_id"],
        sequence=row["sequence"],
        type=row["type"],
        at=utc_text(row["at"]),
        subject=row["subject_id"],
        decline_code=row["decline_code"],
        details=_details(row),
    )


def event_id(place: EventPlace) -> str:
    """Return the id under which webhooks carry an event (services/payments/packing.py)."""
    return f"evt_{place.payment_id.removeprefix('pay_')}_{place.sequence}"


def parse_event_id(text: str) -> EventPlace | None:
    """Return the event that an id names; None if it is no id of an event."""
    payment, _, sequence = text.partition("evt_")[2].rpartition("_")
    place = f"pay_{payment}"
    if not is_id(place, "pay") or not sequence.isdecimal() or not sequence.isascii():
        return None
    if sequence.startswith("0") or len(sequence) > _SEQUENCE_DIGITS_MAX:
        return None
    found = EventPlace(place, int(sequence))
    return found if event_id(found) == text else None


def _decline(code: str | None) -> Decline | None:
    return None if code is None else Decline(code=code, advice=advice_of(code))


def _review(row: Row) -> Review | None:
    if row["review_event"] is None:
        return None
    state = _REVIEWS[row["review_event"]]
    if state == "open" and row["status"] != "in_review":
        # A review that nobody decided has no event of its own: the payment is not in it any more.
        state = "expired" if row["decline_code"] == "review_expired" else "withdrawn"
    return Review(state=state)


def _latest_attempt(row: Row) -> LatestAttempt | None:
    if row["attempt_id"] is None:
        return None
    return LatestAttempt(
        id=row["attempt_id"],
        bank=row["attempt_bank"],
        operation=row["attempt_operation"],
        state=row["attempt_state"],
        amount=row["attempt_amount_minor"],
    )


def _links(payment_id: str) -> PaymentLinks:
    own = f"/v1/payments/{payment_id}"
    return PaymentLinks(
        self=own,
        attempts=f"{own}/attempts",
        events=f"{own}/events",
        evidence=f"{own}/evidence",
        refunds=f"/v1/refunds?payment_id={payment_id}",
        disputes=f"/v1/disputes?payment_id={payment_id}",
    )


def _details(row: Row) -> dict[str, Any] | None:
    """The record's JSON object; None where nothing of it is shown."""
    if row["details"] is None:
        return None
    details: dict[str, Any] = msgspec.json.decode(row["details"])
    return details or None
