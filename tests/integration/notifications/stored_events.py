"""Events as the bus brings them, by the number of their payment."""

from __future__ import annotations

from datetime import UTC, datetime

from services.notifications.events import Event


def event_of(
    payment: int,
    merchant_id: str = "mer_a",
    *,
    sequence: int = 1,
    at: datetime | None = None,
    kind: str = "payment.succeeded",
) -> Event:
    """The first event of a payment, or a later one."""
    event_id, at = f"evt_{payment}_{sequence}", at or datetime.now(UTC)
    return Event(event_id, kind, merchant_id, f"pay_{payment}", sequence, b"{}", at)
