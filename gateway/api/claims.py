"""GET of refunds and disputes: what of a payment's money goes, or may go, back."""

from __future__ import annotations

from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.payment_reads import slice_of
from gateway.api.queries import Cursor, Page, page_body, parse_query
from gateway.api.read_shapes import Dispute, DisputeList, Refund, RefundList
from gateway.api.replies import json_reply, object_id_of
from gateway.api.showing import dispute_of, refund_of
from gateway.api.versions import Versions
from gateway.errors import NotFound
from gateway.store.reads import Reads, Slice

REFUNDS_PATH = "/v1/refunds"
DISPUTES_PATH = "/v1/disputes"
_ONE = Slice(rows_max=1)
_OF_A_LIST = frozenset({"not_found", "validation_failed", "both_cursors"})


class ClaimPage(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which refunds or disputes: all, or those of a payment."""

    payment_id: Cursor | None = None


READ_REFUND = Operation(
    name="readRefund", method="GET", path="/v1/refunds/{refund_id}", scope=Scope.READ,
    summary="A refund as it is now", answers={200: Refund}, problems=frozenset({"not_found"}),
)  # fmt: skip
LIST_REFUNDS = Operation(
    name="listRefunds", method="GET", path=REFUNDS_PATH, scope=Scope.READ, query=ClaimPage,
    summary="Refunds, newest first", answers={200: RefundList}, problems=_OF_A_LIST,
)  # fmt: skip
READ_DISPUTE = Operation(
    name="readDispute", method="GET", path="/v1/disputes/{dispute_id}", scope=Scope.READ,
    summary="A dispute as it is now", answers={200: Dispute}, problems=frozenset({"not_found"}),
)  # fmt: skip
LIST_DISPUTES = Operation(
    name="listDisputes", method="GET", path=DISPUTES_PATH, scope=Scope.READ, query=ClaimPage,
    summary="Disputes, newest first", answers={200: DisputeList}, problems=_OF_A_LIST,
)  # fmt: skip
OPERATIONS = (READ_REFUND, LIST_REFUNDS, READ_DISPUTE, LIST_DISPUTES)


class ClaimReadHandlers:
    """The handlers of reading refunds and disputes.

    Args:
        reads: the record.
        versions: shapes of answers.
        cell: whose refunds and disputes are here.
    """

    def __init__(self, *, reads: Reads, versions: Versions, cell: str) -> None:
        self._reads = reads
        self._versions = versions
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return (
            (READ_REFUND, self.read_refund),
            (LIST_REFUNDS, self.list_refunds),
            (READ_DISPUTE, self.read_dispute),
            (LIST_DISPUTES, self.list_disputes),
        )

    async def read_refund(self, request: web.Request) -> web.Response:
        """GET /v1/refunds/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        refund_id = object_id_of(request, "ref", self._cell)
        rows = await self._reads.refunds(known.merchant_id, _ONE, refund_id=refund_id)
        if not rows:
            raise NotFound("there is no such refund")
        return json_reply(self._versions.render(refund_of(rows[0]), known.api_version))

    async def list_refunds(self, request: web.Request) -> web.Response:
        """GET /v1/refunds: a page of refunds, newest first."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, ClaimPage)
        rows = await self._reads.refunds(known.merchant_id, slice_of(query), payment_id=query.payment_id)
        page = page_body(REFUNDS_PATH, [refund_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))

    async def read_dispute(self, request: web.Request) -> web.Response:
        """GET /v1/disputes/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        dispute_id = object_id_of(request, "dsp", self._cell)
        rows = await self._reads.disputes(known.merchant_id, _ONE, dispute_id=dispute_id)
        if not rows:
            raise NotFound("there is no such dispute")
        return json_reply(self._versions.render(dispute_of(rows[0]), known.api_version))

    async def list_disputes(self, request: web.Request) -> web.Response:
        """GET /v1/disputes: a page of disputes, newest first."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, ClaimPage)
        rows = await self._reads.disputes(known.merchant_id, slice_of(query), payment_id=query.payment_id)
        page = page_body(DISPUTES_PATH, [dispute_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))
