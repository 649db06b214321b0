"""Which events an endpoint is told of (pure)."""

from __future__ import annotations

from typing import Final

# An endpoint that asked for this is told of every type, those of later days too.
EVERY_TYPE: Final = "*"
# The type of what `POST …/test` sends; an endpoint gets it whatever it asked for.
TEST_TYPE: Final = "webhook_endpoint.test"
# What the record can hold (the constraint event_type of payments.event; a test compares them).
EVENT_TYPES: Final = frozenset(
    {
        "payment.accepted", "payment.screening_passed", "payment.review_opened", "payment.review_approved",
        "payment.review_rejected", "payment.reserved", "payment.submitted", "payment.outcome_unknown",
        "payment.outcome_resolved", "payment.bank_changed", "payment.authorized", "payment.capture_requested",
        "payment.captured", "payment.capture_declined", "payment.void_requested", "payment.void_declined",
        "payment.canceled", "payment.expired", "payment.succeeded", "payment.failed", "payment.late_success",
        "payment.needs_operator", "payment.contradiction",
        "refund.requested", "refund.review_opened", "refund.review_approved", "refund.review_rejected",
        "refund.submitted", "refund.outcome_unknown", "refund.outcome_resolved", "refund.succeeded",
        "refund.failed", "refund.canceled", "refund.reversed",
        "dispute.opened", "dispute.won", "dispute.lost", "dispute.expired",
    }
)  # fmt: skip


def unknown_types(wanted: list[str]) -> list[int]:
    """Return the places in `wanted` that hold no known type; `*` is known."""
    return [place for place, name in enumerate(wanted) if name != EVERY_TYPE and name not in EVENT_TYPES]
