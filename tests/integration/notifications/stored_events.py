"""Events as the bus brings them, by the number of their payment."""

from __future__ import annotations

from datetime import UTC, datetime

from services.notifications.events import Event


def event_of(
    payment: int, merchant_id: str = "mer_a", *, at: datetime | None = None, kind: str = "payment.succeeded"
) -> Event:
    """The first event of a payment."""
    return Event(f"evt_{payment}_1", kind, merchant_id, f"pay_{payment}", 1, b"{}", at or datetime.now(UTC))
