"""GET of the feed: a merchant's events as they come, for whoever follows them without receiving webhooks."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Annotated, Any

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.preferences import WAIT_S_MAX, wait_s
from gateway.api.queries import EpochS, parse_query
from gateway.api.read_shapes import Feed, ToldEvent
from gateway.api.replies import json_reply
from gateway.api.resting import applied
from gateway.api.versions import Versions
from gateway.errors import FieldFault, NotFound, ValidationFailed
from gateway.store.feed import FeedReads
from gateway.store.feed_place import FeedPlace, begin_at, parse_place, place_after
from gateway.store.hearing import Hearing
from services.payments.event_bodies import EventFacts, event_body

FEED_PATH = "/v1/feed"
FEED_ITEMS_DEFAULT = 100
FEED_ITEMS_MAX = 500  # Who is behind catches up in few rounds: some 200 kB, one receipt.

_COLUMNS = tuple(each.name for each in fields(EventFacts) if each.name != "merchant_id")

Place = Annotated[str, msgspec.Meta(pattern=r"\Af1\.[a-z0-9_.]{1,160}\Z")]
FeedLimit = Annotated[int, msgspec.Meta(ge=1, le=FEED_ITEMS_MAX)]


class FeedPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where to go on: at the place that the last answer named, or at a time, or with what comes from now on.

    Attributes:
        after: `next` of the last answer.
        created_gte: Events from this time on, in seconds since the epoch, no more than 90 days back.
    """

    limit: FeedLimit = FEED_ITEMS_DEFAULT
    after: Place | None = None
    created_gte: EpochS | None = None


FOLLOW = Operation(
    name="followEvents", method="GET", path=FEED_PATH, scope=Scope.READ, query=FeedPage, waits=True,
    summary="Events as they come, oldest first, each once; waits for the next one if asked to",
    answers={200: Feed}, problems=frozenset({"not_found", "validation_failed"}),
)  # fmt: skip
OPERATIONS = (FOLLOW,)


class FeedHandlers:
    """The handler of the feed.

    Args:
        feed: the record.
        hearing: tells who waits of new events.
        versions: shapes of answers.
        seconds_max: how long anybody may wait; below what the sidecars let a request take.
    """

    def __init__(
        self, *, feed: FeedReads, hearing: Hearing, versions: Versions, seconds_max: float = WAIT_S_MAX
    ) -> None:
        self._feed = feed
        self._hearing = hearing
        self._versions = versions
        self._seconds_max = seconds_max

    def bound(self) -> tuple[Bound, ...]:
        """Return the operation with what carries it out."""
        return ((FOLLOW, self.follow),)

    async def follow(self, request: web.Request) -> web.Response:
        """GET /v1/feed: what comes next, or nothing if nothing came in time."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, FeedPage)
        place = _place(query) or FeedPlace(await self._feed.horizon())
        prefer = ",".join(request.headers.getall("Prefer", []))
        seconds = wait_s(prefer, seconds_max=self._seconds_max)
        if seconds:
            page, waited = await self._wait(known.merchant_id, place, query.limit, seconds)
        else:
            page, waited = await self._page(known.merchant_id, place, query.limit), False
        return json_reply(
            self._versions.render(page, known.api_version), headers=applied(seconds) if waited else {}
        )

    async def _wait(self, merchant_id: str, place: FeedPlace, limit: int, seconds: int) -> tuple[Feed, bool]:
        """Return what comes next as soon as there is something, and whether it was waited for."""
        now = asyncio.get_running_loop().time
        until = now() + seconds
        async with self._hearing.listening(merchant_id, seconds) as listener:
            page = await self._page(merchant_id, place, limit)
            if page.data or listener is None:
                return page, False
            while not page.data and now() < until and await listener.heard(until - now()):
                page = await self._page(merchant_id, place, limit)
            return page, True

    async def _page(self, merchant_id: str, place: FeedPlace, limit: int) -> Feed:
        """Return a page from a place on.

        Raises:
            NotFound: the place is of another record than this one, or of its future.
        """
        horizon, rows = await self._feed.follow(merchant_id, place, limit + 1)
        if horizon.xid < place.begin.xid:
            raise NotFound("this feed has no such place: begin anew with created_gte")
        following = place_after(place, place.end or horizon, rows, limit=limit)
        return Feed(
            url=FEED_PATH,
            has_more=len(rows) > limit,
            next=str(following),
            data=[_told(row, merchant_id) for row in rows[:limit]],
        )


def _told(row: Any, merchant_id: str) -> ToldEvent:  # noqa: ANN401 - a row of the record
    """Return an event as webhooks carry it; the row is one of `payments.follow_events`."""
    facts = EventFacts(merchant_id=merchant_id, **{name: row[name] for name in _COLUMNS})
    return msgspec.convert(event_body(facts), ToldEvent)


def _place(query: FeedPage) -> FeedPlace | None:
    """Return where a request asks to go on; None for whatever comes from now on.

    Raises:
        ValidationFailed: it is no place, or two.
    """
    if query.after is None:
        return None if query.created_gte is None else begin_at(query.created_gte)
    if query.created_gte is not None:
        raise ValidationFailed("a feed goes on after a place or begins at a time: send one of the two",
                               FieldFault("?created_gte", "not beside after"))  # fmt: skip
    place = parse_place(query.after)
    if place is None:
        raise ValidationFailed("the place is not one that an answer named",
                               FieldFault("?after", "`next` of an answer"))  # fmt: skip
    return place
