"""Deliveries that a merchant asks for: a test event, and one that is made again."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.instrument_orders import NoMembers
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.replies import object_id_of
from gateway.api.webhook_reads import DELIVERY_PATH, ENDPOINT_PATH
from gateway.api.webhook_shapes import Delivery, delivery_id, delivery_of, is_waiting, test_event
from gateway.errors import NotFound
from gateway.store.webhooks import WebhookReads
from services.node.identifiers import RANDOM_BITS, new_id
from services.notifications.subscriptions import TEST_TYPE
from signing.evidence.entry import utc_text

_ACTS = frozenset({"not_found", "state_conflict"})
TEST = Operation(
    name="testWebhookEndpoint", method="POST", path=ENDPOINT_PATH + "/test", body=NoMembers,
    scope=Scope.MANAGE_WEBHOOKS, summary="Deliver a test event", answers={202: Delivery}, problems=_ACTS,
    fields=frozenset({"Location"}),
)  # fmt: skip
REPLAY = Operation(
    name="replayDelivery", method="POST", path=DELIVERY_PATH + "/replay", body=NoMembers,
    scope=Scope.MANAGE_WEBHOOKS,
    summary="Deliver an event again, with a fresh schedule; what waits for an earlier one still waits",
    answers={202: Delivery}, problems=_ACTS,
)  # fmt: skip
OPERATIONS = (TEST, REPLAY)


class DeliveryHandlers:
    """The handlers of deliveries that are asked for.

    Args:
        webhooks: the record.
        performing: does commands once per idempotency key.
        cell: the cell that new ids carry.
    """

    def __init__(self, *, webhooks: WebhookReads, performing: Performing, cell: str) -> None:
        self._webhooks = webhooks
        self._performing = performing
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((TEST, self.test), (REPLAY, self.replay))

    async def test(self, request: web.Request) -> web.Response:
        """POST /v1/webhook_endpoints/{id}/test."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        parse_command(verified.request.body or b"", NoMembers)
        endpoint_id = object_id_of(request, "whe", self._cell)
        repeat = await self._performing.repeat(exchange, _LOCATION)
        if repeat is not None:
            return repeat
        row = await self._webhooks.endpoint(known.merchant_id, endpoint_id)
        if row is None:
            raise NotFound("there is no such webhook endpoint")
        now = self._performing.now_s
        at = utc_text(datetime.fromtimestamp(now, UTC))
        event_id = new_id(
            "evt", self._cell, now_ms=int(now * 1000), random_bits=secrets.randbits(RANDOM_BITS)
        )
        sequence = row["tests"] + 1
        body = test_event(event_id, known.merchant_id, endpoint_id, sequence, at)
        shown = Delivery(
            id=delivery_id(endpoint_id, endpoint_id, sequence),
            webhook_endpoint_id=endpoint_id,
            event_id=event_id,
            event_type=TEST_TYPE,
            payment_id=None,
            sequence=sequence,
            test=True,
            status="pending",
            attempts_made=0,
            next_attempt_at=at,
            last_status=None,
            last_error=None,
            created_at=at,
            delivered_at=None,
        )
        arguments = {
            "endpoint_id": endpoint_id, "version": row["version"], "sequence": sequence,
            "event_id": event_id, "body": body.hex(), "at": at,
        }  # fmt: skip
        return await self._performing.perform(
            exchange,
            Effect(
                name="endpoint_tested",
                arguments=arguments,
                resource_id=shown.id,
                body=shown,
                location=_LOCATION,
            ),
        )

    async def replay(self, request: web.Request) -> web.Response:
        """POST /v1/deliveries/{id}/replay."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        parse_command(verified.request.body or b"", NoMembers)
        of_id = object_id_of(request, "whd", self._cell)
        repeat = await self._performing.repeat(exchange)
        if repeat is not None:
            return repeat
        row = await self._webhooks.delivery(known.merchant_id, of_id)
        if row is None:
            raise NotFound("there is no such delivery")
        at = utc_text(datetime.fromtimestamp(self._performing.now_s, UTC))
        shown = delivery_of(row)
        if not is_waiting(shown):
            shown = msgspec.structs.replace(
                shown, status="pending", attempts_made=0, next_attempt_at=at, delivered_at=None
            )
        arguments = {"delivery_id": of_id, "at": at}
        return await self._performing.perform(
            exchange, Effect(name="delivery_replayed", arguments=arguments, resource_id=of_id, body=shown)
        )


_LOCATION = "/v1/deliveries/"
