"""Following the feed: page after page from a place on, for whoever receives no webhooks.

A page is an `Answer` whose receipt was verified: `page["data"]` are events, oldest first, as webhooks carry
them; `page["next"]` is the place to go on from, which is worth keeping once the events were dealt with. Each
event comes once from a kept place on, and a payment's events in their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from .answers import Answer
    from .reading import Events

FEED_WAIT_S: Final = 20  # the longest that the gateway grants: fewest requests


def follow(
    events: Events[Answer],
    *,
    after: str | None = None,
    created_gte: int | None = None,
    wait_s: int = FEED_WAIT_S,
) -> Iterator[Answer]:
    """Yield page after page, for ever; a page without events says that none came while it was waited.

    Args:
        events: of a client, `gateway.events`.
        after: a kept place; with neither this nor a time, what comes from now on.
        created_gte: begin at this time, in seconds since the epoch, 90 days back at most.
        wait_s: how long each request waits for an event; whole seconds.

    Raises:
        ExchangeFailed: as any read; begin again with the last page's place, nothing is lost.
    """
    while True:
        page = events.feed(after=after, created_gte=created_gte, wait_s=wait_s)
        yield page
        after, created_gte = page["next"], None


async def follow_async(
    events: Events[Awaitable[Answer]],
    *,
    after: str | None = None,
    created_gte: int | None = None,
    wait_s: int = FEED_WAIT_S,
) -> AsyncIterator[Answer]:
    """Yield page after page, for ever: `follow`, awaited."""
    while True:
        page = await events.feed(after=after, created_gte=created_gte, wait_s=wait_s)
        yield page
        after, created_gte = page["next"], None
