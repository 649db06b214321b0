"""What this service reads of the bus: every event of the cell, whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.node.crash_points import reach
from services.node.subscriber import FETCH_MAX, Subscription
from services.notifications.events import EVENTS_MAX, Event, parse_message

STREAM = "EVENTS"
DURABLE = "notifications"


def subscription(take: Callable[[Sequence[Event]], Awaitable[None]]) -> Subscription[Event]:
    """Return what is read, and that it becomes deliveries.

    Args:
        take: Commits the deliveries of events; `Sender.take`.
    """

    async def commit(events: Sequence[Event]) -> None:
        reach("notifications.events_taken")
        await take(events)
        reach("notifications.events_committed")

    def acknowledged() -> None:
        reach("notifications.events_acknowledged")

    return Subscription(STREAM, DURABLE, parse_message, commit, acknowledged)


# One transaction must stay far below the database's statement timeout.
assert FETCH_MAX * EVENTS_MAX <= 4_000  # noqa: PLR2004 - rows that were measured to take tens of milliseconds
