"""GET of events: what happened to all payments of a merchant, for whoever missed webhooks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.queries import Page, page_body, parse_query
from gateway.api.read_shapes import Event, EventList
from gateway.api.replies import json_reply
from gateway.api.showing import EventPlace, event_of, parse_event_id
from gateway.api.versions import Versions
from gateway.errors import NotFound, WrongCell
from gateway.store.reads import Reads

EVENTS_PATH = "/v1/events"
EventType = Annotated[str, msgspec.Meta(pattern=r"\A(?:payment|refund|dispute)\.[a-z_]{1,48}\Z")]


class EventPage(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which events: all, or those of a type, for example `payment.succeeded`."""

    type: EventType | None = None


LIST = Operation(
    name="listEvents", method="GET", path=EVENTS_PATH, scope=Scope.READ, query=EventPage,
    summary="Events of the last 90 days, newest first", answers={200: EventList},
    problems=frozenset({"not_found", "validation_failed", "both_cursors"}),
)  # fmt: skip
READ = Operation(
    name="readEvent", method="GET", path="/v1/events/{event_id}", scope=Scope.READ,
    summary="One event of the last 90 days", answers={200: Event}, problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (LIST, READ)


class EventHandlers:
    """The handlers of events.

    Args:
        reads: the record.
        versions: shapes of answers.
        cell: whose events are here.
    """

    def __init__(self, *, reads: Reads, versions: Versions, cell: str) -> None:
        self._reads = reads
        self._versions = versions
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((LIST, self.list), (READ, self.read))

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/events: a page of events, newest first."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, EventPage)
        cursor = query.starting_after or query.ending_before
        mark = None if cursor is None else self._place(cursor)
        rows = await self._reads.events(
            known.merchant_id,
            kind=query.type,
            mark=None if mark is None else (mark.payment_id, mark.sequence),
            backwards=query.ending_before is not None,
            rows_max=query.limit + 1,
        )
        page = page_body(EVENTS_PATH, [event_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/events/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        place = self._place(request.match_info["event_id"])
        row = await self._reads.event(known.merchant_id, place.payment_id, place.sequence)
        if row is None:
            raise NotFound("there is no such event")
        return json_reply(self._versions.render(event_of(row), known.api_version))

    def _place(self, event_id: str) -> EventPlace:
        place = parse_event_id(event_id)
        if place is None:
            raise NotFound("there is no such event")
        cell = place.payment_id.split("_")[1]
        if cell != self._cell:
            raise WrongCell(f"this event is in the cell {cell}: ask there")
        return place
