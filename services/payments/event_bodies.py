"""The body of an event: what a webhook carries, and what the feed shows (pure).

One place for both, so that whoever follows the feed and whoever receives webhooks is told the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

# The status that each type of event leaves its subject in; types that are not here leave it as it was.
_STATUS = {
    "payment.accepted": "accepted",
    "payment.review_opened": "in_review",
    "payment.reserved": "reserved",
    "payment.submitted": "submitted",
    "payment.bank_changed": "submitted",
    "payment.outcome_unknown": "unknown",
    "payment.authorized": "authorized",
    "payment.capture_requested": "capturing",
    "payment.capture_declined": "authorized",
    "payment.void_requested": "voiding",
    "payment.void_declined": "authorized",
    "payment.captured": "succeeded",
    "payment.succeeded": "succeeded",
    "payment.failed": "failed",
    "payment.canceled": "canceled",
    "payment.expired": "expired",
    "refund.requested": "requested",
    "refund.review_opened": "in_review",
    "refund.submitted": "submitted",
    "refund.outcome_unknown": "unknown",
    "refund.succeeded": "succeeded",
    "refund.failed": "failed",
    "refund.canceled": "canceled",
    "refund.reversed": "reversed",
    "dispute.opened": "opened",
    "dispute.won": "won",
    "dispute.lost": "lost",
    "dispute.expired": "expired",
}
# As for `payments.events_of`: who of our people decided, why, and by which rule is nobody's business outside.
_HIDDEN_DETAILS = frozenset({"by", "rule_pack", "reasons", "reason"})
_OWN_REASON = "refund.requested"
_decoder = msgspec.json.Decoder(dict[str, object])


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """An event with what is told about its payment.

    Attributes:
        subject_id: The refund or dispute it is about; None for the payment itself.
        details: A JSON object, or None.
    """

    payment_id: str
    sequence: int
    type: str
    at: datetime
    merchant_id: str
    account_id: str
    account_version: int | None
    kind: str
    amount_minor: int
    currency: str
    merchant_reference: str | None
    decline_code: str | None
    subject_id: str | None = None
    details: str | None = None


def event_body(row: EventFacts) -> dict[str, object]:
    """Return an event as it is told; what people of ours decided by and why stays inside."""
    return {
        "id": f"evt_{row.payment_id.removeprefix('pay_')}_{row.sequence}",
        "type": row.type,
        "merchant_id": row.merchant_id,
        "payment_id": row.payment_id,
        "account_id": row.account_id,
        "account_version": row.account_version,
        "subject_id": row.subject_id,
        "sequence": row.sequence,
        "at": row.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "data": {
            "status": _STATUS.get(row.type),
            "kind": row.kind,
            "amount_minor": row.amount_minor,
            "currency": row.currency,
            "merchant_reference": row.merchant_reference,
            "decline_code": row.decline_code,
            "details": _shown(row),
        },
    }


def _shown(row: EventFacts) -> dict[str, object] | None:
    if row.details is None:
        return None
    hidden = _HIDDEN_DETAILS - {"reason"} if row.type == _OWN_REASON else _HIDDEN_DETAILS
    return {name: value for name, value in _decoder.decode(row.details).items() if name not in hidden}
