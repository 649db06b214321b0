"""GET of payments: one, a list, the tries at banks, the story.

One payment has an entity tag, can be asked for conditionally and be waited for: `conditions`, `resting`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Literal

from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.conditions import entity_tag, matches, unchanged_type
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import MerchantReference
from gateway.api.queries import EpochS, Page, page_body, parse_query
from gateway.api.read_shapes import AttemptList, PaymentList
from gateway.api.replies import json_reply, object_id_of
from gateway.api.resting import Resting, applied
from gateway.api.shapes import Payment, PaymentEvents
from gateway.api.showing import attempt_of, payment_of, story_event_of
from gateway.api.versions import Versions
from gateway.errors import NotFound
from gateway.store.reads import PaymentFilter, Reads, Slice

PAYMENTS_PATH = "/v1/payments"
# Whole seconds are asked for, and times have microseconds: the last second is meant to its end.
_TO_THE_END = timedelta(microseconds=999_999)


class PaymentPage(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which payments: with a reference, in a status, created in a span of time; all of it together."""

    merchant_reference: MerchantReference | None = None
    status: (
        Literal[
            "accepted", "screening", "in_review", "reserved", "submitted", "unknown", "authorized",
            "capturing", "voiding", "succeeded", "failed", "canceled", "expired",
        ]
        | None
    ) = None  # fmt: skip
    created_gte: EpochS | None = None
    created_lte: EpochS | None = None


READ = Operation(
    name="readPayment", method="GET", path="/v1/payments/{payment_id}", scope=Scope.READ,
    summary="A payment as it is now; 304 if it is as the entity tag in If-None-Match says",
    answers={200: Payment}, problems=frozenset({"not_found"}), conditional=True, waits=True,
)  # fmt: skip
LIST = Operation(
    name="listPayments", method="GET", path=PAYMENTS_PATH, scope=Scope.READ, query=PaymentPage,
    summary="Payments, newest first", answers={200: PaymentList},
    problems=frozenset({"not_found", "validation_failed", "both_cursors"}),
)  # fmt: skip
EVENTS = Operation(
    name="listPaymentEvents", method="GET", path="/v1/payments/{payment_id}/events", scope=Scope.READ,
    summary="What happened to a payment, in order", answers={200: PaymentEvents},
    problems=frozenset({"not_found"}),
)  # fmt: skip
ATTEMPTS = Operation(
    name="listPaymentAttempts", method="GET", path="/v1/payments/{payment_id}/attempts", scope=Scope.READ,
    summary="What was tried at banks, oldest first", answers={200: AttemptList},
    problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (READ, LIST, EVENTS, ATTEMPTS)


class PaymentReadHandlers:
    """The handlers of reading payments.

    Args:
        reads: the record.
        versions: shapes of answers.
        resting: waits for payments.
        cell: whose payments are here.
    """

    def __init__(self, *, reads: Reads, versions: Versions, resting: Resting, cell: str) -> None:
        self._reads = reads
        self._versions = versions
        self._resting = resting
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((READ, self.read), (LIST, self.list), (EVENTS, self.events), (ATTEMPTS, self.attempts))

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}: the payment as it is now, or when it rests."""
        known, _ = request[EXCHANGE].require_reader()
        payment_id = object_id_of(request, "pay", self._cell)
        waited_s = await self._resting.wait(request, known.merchant_id, payment_id)
        row = await self._reads.payment(known.merchant_id, payment_id)
        if row is None:
            raise NotFound("there is no such payment")
        tag = entity_tag(row["sequence"], self._versions.shape("payment", known.api_version))
        headers = {"ETag": tag, **(applied(waited_s) if waited_s else {})}
        if matches(request.headers.get("If-None-Match"), tag):
            return _unchanged(row["sequence"], headers)
        return json_reply(self._versions.render(payment_of(row), known.api_version), headers=headers)

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/payments: a page of payments, newest first."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, PaymentPage)
        wanted = PaymentFilter(
            reference=query.merchant_reference,
            status=query.status,
            since=None if query.created_gte is None else datetime.fromtimestamp(query.created_gte, UTC),
            until=None
            if query.created_lte is None
            else datetime.fromtimestamp(query.created_lte, UTC) + _TO_THE_END,
        )
        rows = await self._reads.payments(known.merchant_id, wanted, slice_of(query))
        page = page_body(PAYMENTS_PATH, [payment_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))

    async def events(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}/events: what happened to the payment, in order."""
        known, _ = request[EXCHANGE].require_reader()
        rows = await self._reads.story(known.merchant_id, object_id_of(request, "pay", self._cell))
        if not rows:  # every payment has at least the event of its acceptance
            raise NotFound("there is no such payment")
        story = PaymentEvents(data=[story_event_of(row) for row in rows])
        return json_reply(self._versions.render(story, known.api_version))

    async def attempts(self, request: web.Request) -> web.Response:
        """GET /v1/payments/{id}/attempts: what was tried at banks, without what routing weighed."""
        known, _ = request[EXCHANGE].require_reader()
        payment_id = object_id_of(request, "pay", self._cell)
        rows = await self._reads.attempts(known.merchant_id, payment_id)
        if not rows and await self._reads.payment(known.merchant_id, payment_id) is None:
            raise NotFound("there is no such payment")
        tried = AttemptList(
            url=f"{PAYMENTS_PATH}/{payment_id}/attempts",
            has_more=False,
            data=[attempt_of(row) for row in rows],
        )
        return json_reply(self._versions.render(tried, known.api_version))


def slice_of(page: Page) -> Slice:
    """Return the part of a list that a page shows, with one row more."""
    return Slice(after=page.starting_after, before=page.ending_before, rows_max=page.limit + 1)


def _unchanged(sequence: int, headers: dict[str, str]) -> web.Response:
    fields = {"Content-Type": unchanged_type(sequence), "Cache-Control": "no-store", **headers}
    return web.Response(status=HTTPStatus.NOT_MODIFIED, body=b"", headers=fields)
