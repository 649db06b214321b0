"""GET of webhook endpoints and deliveries: what is told where, and what became of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.conditions import entity_tag, matches, unchanged_type
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.payment_reads import slice_of
from gateway.api.queries import Page, page_body, parse_query
from gateway.api.replies import json_reply, object_id_of
from gateway.api.versions import Versions
from gateway.api.webhook_health import health_tag
from gateway.api.webhook_shapes import (
    DeliveryList,
    DeliveryStory,
    WebhookEndpoint,
    WebhookEndpointList,
    attempt_of,
    delivery_of,
    endpoint_of,
)
from gateway.errors import NotFound
from gateway.store.webhooks import WebhookReads

ENDPOINTS_PATH = "/v1/webhook_endpoints"
ENDPOINT_PATH = ENDPOINTS_PATH + "/{webhook_endpoint_id}"
DELIVERY_PATH = "/v1/deliveries/{delivery_id}"
_OF_A_LIST = frozenset({"not_found", "validation_failed", "both_cursors"})


class DeliveryPage(Page, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which deliveries of an endpoint: all, or those in a status."""

    status: Literal["pending", "delivered", "dead"] | None = None


LIST = Operation(
    name="listWebhookEndpoints", method="GET", path=ENDPOINTS_PATH, scope=Scope.READ, query=Page,
    summary="Webhook endpoints, newest first", answers={200: WebhookEndpointList}, problems=_OF_A_LIST,
)  # fmt: skip
READ = Operation(
    name="readWebhookEndpoint", method="GET", path=ENDPOINT_PATH, scope=Scope.READ,
    summary="A webhook endpoint as it is now; 304 if it is as the entity tag in If-None-Match says",
    answers={200: WebhookEndpoint}, problems=frozenset({"not_found"}), conditional=True,
)  # fmt: skip
DELIVERIES = Operation(
    name="listDeliveries", method="GET", path=ENDPOINT_PATH + "/deliveries", scope=Scope.READ,
    query=DeliveryPage, summary="An endpoint's deliveries, newest first", answers={200: DeliveryList},
    problems=_OF_A_LIST,
)  # fmt: skip
READ_DELIVERY = Operation(
    name="readDelivery", method="GET", path=DELIVERY_PATH, scope=Scope.READ,
    summary="A delivery with its last hundred attempts", answers={200: DeliveryStory},
    problems=frozenset({"not_found"}),
)  # fmt: skip
OPERATIONS = (LIST, READ, DELIVERIES, READ_DELIVERY)


class WebhookReadHandlers:
    """The handlers of reading endpoints and deliveries.

    Args:
        webhooks: the record.
        versions: shapes of answers.
        cell: whose endpoints are here.
    """

    def __init__(self, *, webhooks: WebhookReads, versions: Versions, cell: str) -> None:
        self._webhooks = webhooks
        self._versions = versions
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return (
            (LIST, self.list),
            (READ, self.read),
            (DELIVERIES, self.deliveries),
            (READ_DELIVERY, self.read_delivery),
        )

    async def list(self, request: web.Request) -> web.Response:
        """GET /v1/webhook_endpoints."""
        known, target_uri = request[EXCHANGE].require_reader()
        query = parse_query(target_uri, Page)
        rows = await self._webhooks.endpoints(known.merchant_id, slice_of(query))
        page = page_body(ENDPOINTS_PATH, [endpoint_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/webhook_endpoints/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        endpoint_id = object_id_of(request, "whe", self._cell)
        row = await self._webhooks.endpoint(known.merchant_id, endpoint_id)
        if row is None:
            raise NotFound("there is no such webhook endpoint")
        shown = endpoint_of(row)
        tag = entity_tag(shown.sequence, self._versions.shape("webhook_endpoint", known.api_version))
        tag = health_tag(shown.health, tag)
        headers = {"ETag": tag}
        if matches(request.headers.get("If-None-Match"), tag):
            fields = {"Content-Type": unchanged_type(shown.sequence), "Cache-Control": "no-store", **headers}
            return web.Response(status=HTTPStatus.NOT_MODIFIED, body=b"", headers=fields)
        return json_reply(self._versions.render(shown, known.api_version), headers=headers)

    async def deliveries(self, request: web.Request) -> web.Response:
        """GET /v1/webhook_endpoints/{id}/deliveries."""
        known, target_uri = request[EXCHANGE].require_reader()
        endpoint_id = object_id_of(request, "whe", self._cell)
        query = parse_query(target_uri, DeliveryPage)
        if await self._webhooks.endpoint(known.merchant_id, endpoint_id) is None:
            raise NotFound("there is no such webhook endpoint")
        rows = await self._webhooks.deliveries(known.merchant_id, endpoint_id, query.status, slice_of(query))
        url = f"{ENDPOINTS_PATH}/{endpoint_id}/deliveries"
        page = page_body(url, [delivery_of(row) for row in rows], query)
        return json_reply(self._versions.render(page, known.api_version))

    async def read_delivery(self, request: web.Request) -> web.Response:
        """GET /v1/deliveries/{id}."""
        known, _ = request[EXCHANGE].require_reader()
        delivery_id = object_id_of(request, "whd", self._cell)
        row = await self._webhooks.delivery(known.merchant_id, delivery_id)
        if row is None:
            raise NotFound("there is no such delivery")
        tried = [attempt_of(each) for each in await self._webhooks.attempts(known.merchant_id, delivery_id)]
        story = DeliveryStory(**msgspec.structs.asdict(delivery_of(row)), attempts=tried)
        return json_reply(self._versions.render(story, known.api_version))
