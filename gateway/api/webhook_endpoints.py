"""Webhook endpoints that a merchant keeps: made, changed, given a new secret, enabled again, deleted.

A secret is drawn here, sealed at once to the key of the service that signs with it, and shown in one answer:
the one to the request that made it. What is kept for repeats and as evidence has its fingerprint alone, so a
merchant that lost that answer rotates. Answers are made for the endpoint as it was read; if it changes before
the command does, nothing happens and the same request is carried out afresh.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.instrument_orders import NoMembers
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.replies import object_id_of
from gateway.api.webhook_health import HEALTHY, UNKNOWN
from gateway.api.webhook_reads import ENDPOINT_PATH, ENDPOINTS_PATH
from gateway.api.webhook_shapes import (
    EndpointChange,
    EndpointOrder,
    IssuedWebhookEndpoint,
    RotateOrder,
    SecretShown,
    WebhookEndpoint,
    endpoint_of,
    require_types,
    require_url,
)
from gateway.errors import NotFound
from gateway.store.webhooks import WebhookReads
from services.node.identifiers import RANDOM_BITS, new_id
from services.notifications.sealing import SECRET_BYTES, SecretSealer
from signing import WebhookSecret
from signing.evidence.entry import utc_text

_ACTS = frozenset({"not_found", "state_conflict"})
CREATE = Operation(
    name="createWebhookEndpoint", method="POST", path=ENDPOINTS_PATH, scope=Scope.MANAGE_WEBHOOKS,
    body=EndpointOrder, summary="Be told of events at a URL; a secret is shown in this answer alone",
    answers={201: IssuedWebhookEndpoint}, problems=frozenset({"state_conflict"}),
    fields=frozenset({"Location"}),
)  # fmt: skip
CHANGE = Operation(
    name="changeWebhookEndpoint", method="PATCH", path=ENDPOINT_PATH, scope=Scope.MANAGE_WEBHOOKS,
    body=EndpointChange, summary="Another URL, other events, another order, another description",
    answers={200: WebhookEndpoint}, problems=_ACTS,
)  # fmt: skip
DELETE = Operation(
    name="deleteWebhookEndpoint", method="DELETE", path=ENDPOINT_PATH, scope=Scope.MANAGE_WEBHOOKS,
    body=NoMembers, summary="Deliver nothing there any more, for ever", answers={200: WebhookEndpoint},
    problems=_ACTS,
)  # fmt: skip
ROTATE = Operation(
    name="rotateWebhookSecret", method="POST", path=ENDPOINT_PATH + "/rotate_secret",
    scope=Scope.MANAGE_WEBHOOKS, body=RotateOrder, answers={200: IssuedWebhookEndpoint}, problems=_ACTS,
    summary="A new secret, or a first one, shown in this answer alone; the old one stays good for a while",
)  # fmt: skip
ENABLE = Operation(
    name="enableWebhookEndpoint", method="POST", path=ENDPOINT_PATH + "/enable", body=NoMembers,
    scope=Scope.MANAGE_WEBHOOKS, answers={200: WebhookEndpoint}, problems=_ACTS,
    summary="Deliver to a disabled endpoint again, what it missed meanwhile too",
)  # fmt: skip
OPERATIONS = (CREATE, CHANGE, DELETE, ROTATE, ENABLE)


class WebhookEndpointHandlers:
    """The handlers of what is done with endpoints.

    Args:
        webhooks: the record.
        performing: does commands once per idempotency key.
        sealer: seals secrets.
        cell: the cell that new ids carry.
    """

    def __init__(
        self, *, webhooks: WebhookReads, performing: Performing, sealer: SecretSealer, cell: str
    ) -> None:
        self._webhooks = webhooks
        self._performing = performing
        self._sealer = sealer
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return (
            (CREATE, self.create),
            (CHANGE, self.change),
            (DELETE, self.delete),
            (ROTATE, self.rotate),
            (ENABLE, self.enable),
        )

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/webhook_endpoints."""
        exchange = request[EXCHANGE]
        _, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", EndpointOrder)
        require_url(order.url)
        events = require_types(order.events)
        now = self._performing.now_s
        at = utc_text(datetime.fromtimestamp(now, UTC))
        endpoint_id = new_id(
            "whe", self._cell, now_ms=int(now * 1000), random_bits=secrets.randbits(RANDOM_BITS)
        )
        secret = _draw() if order.symmetric_secret else None
        shown = WebhookEndpoint(
            id=endpoint_id,
            url=order.url,
            description=order.description or None,
            events=events,
            ordering=order.ordering,
            status="active",
            health=HEALTHY,
            secrets=[] if secret is None else [_current(secret, at)],
            sequence=1,
            created_at=at,
            updated_at=at,
        )
        arguments = {
            "endpoint_id": endpoint_id, "url": shown.url, "description": shown.description, "events": events,
            "ordering": order.ordering, "at": at,
            **({} if secret is None else self._sealed(secret, endpoint_id, 1)),
        }  # fmt: skip
        return await self._performing.perform(
            exchange,
            Effect(
                name="endpoint_created",
                arguments=arguments,
                resource_id=endpoint_id,
                body=_issued(shown, None),
                status=HTTPStatus.CREATED,
                location=f"{ENDPOINTS_PATH}/",
                once=None if secret is None else _issued(shown, secret),
            ),
        )

    async def change(self, request: web.Request) -> web.Response:
        """PATCH /v1/webhook_endpoints/{id}."""
        exchange = request[EXCHANGE]
        _, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", EndpointChange)
        if order.url is not None:
            require_url(order.url)
        events = None if order.events is None else require_types(order.events)

        def change(known: WebhookEndpoint, at: str) -> Effect:
            url = known.url if order.url is None else order.url
            description = known.description if order.description is None else order.description or None
            types = known.events if events is None else events
            wanted: dict[str, object] = {
                "url": url, "description": description, "events": types,
                "ordering": order.ordering or known.ordering,
            }  # fmt: skip
            # What is known of a breaker is known of a URL.
            is_new = url != known.url and known.status == "active"
            shown = _next(known, at, health=HEALTHY if is_new else known.health, **wanted)
            return _effect("endpoint_changed", known, shown, **wanted)

        return await self._act(request, change)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/webhook_endpoints/{id}."""
        return await self._without_words(
            request, "endpoint_deleted", status="deleted", health=UNKNOWN, secrets=[]
        )

    async def enable(self, request: web.Request) -> web.Response:
        """POST /v1/webhook_endpoints/{id}/enable."""
        return await self._without_words(request, "endpoint_enabled", status="active", health=HEALTHY)

    async def rotate(self, request: web.Request) -> web.Response:
        """POST /v1/webhook_endpoints/{id}/rotate_secret."""
        _, verified = request[EXCHANGE].require_caller()
        order = parse_command(verified.request.body or b"", RotateOrder)

        def rotate(known: WebhookEndpoint, at: str) -> Effect:
            secret, generation = _draw(), known.sequence + 1
            shown = _next(known, at, secrets=rotated(known.secrets, _current(secret, at), order.overlap_s))
            effect = _effect(
                "endpoint_secret_rotated",
                known,
                _issued(shown, None),
                overlap_s=order.overlap_s,
                generation=generation,
                **self._sealed(secret, known.id, generation),
            )
            return replace(effect, once=_issued(shown, secret))

        return await self._act(request, rotate)

    async def _without_words(self, request: web.Request, name: str, **changes: object) -> web.Response:
        _, verified = request[EXCHANGE].require_caller()
        parse_command(verified.request.body or b"", NoMembers)
        return await self._act(request, lambda known, at: _effect(name, known, _next(known, at, **changes)))

    async def _act(
        self, request: web.Request, decide: Callable[[WebhookEndpoint, str], Effect]
    ) -> web.Response:
        """Do what was decided about the endpoint as it is now, or answer the repeat as before."""
        exchange = request[EXCHANGE]
        caller, _ = exchange.require_caller()
        endpoint_id = object_id_of(request, "whe", self._cell)
        # First: what was deleted has answers to repeats all the same.
        repeat = await self._performing.repeat(exchange)
        if repeat is not None:
            return repeat
        row = await self._webhooks.endpoint(caller.merchant_id, endpoint_id)
        if row is None:
            raise NotFound("there is no such webhook endpoint")
        at = utc_text(datetime.fromtimestamp(self._performing.now_s, UTC))
        return await self._performing.perform(exchange, decide(endpoint_of(row), at))

    def _sealed(self, secret: WebhookSecret, endpoint_id: str, generation: int) -> dict[str, str]:
        """Return the arguments that bring a secret to the record."""
        sealed = self._sealer.seal(secret.octets, endpoint_id, generation)
        return {"sealed": sealed.hex(), "fingerprint": secret.fingerprint}


def rotated(known: list[SecretShown], new: SecretShown, overlap_s: int) -> list[SecretShown]:
    """Return the secrets after a rotation: none that ended, and the one of before ends after the overlap.

    Args:
        known: the newest first.
        new: takes the place of the newest, at its `created_at`.
        overlap_s: seconds; 0 ends the old one at once.
    """
    at = datetime.fromisoformat(new.created_at)
    end = utc_text(at + timedelta(seconds=overlap_s))
    ending = [each if each.expires_at else msgspec.structs.replace(each, expires_at=end) for each in known]
    return [new, *(each for each in ending if datetime.fromisoformat(each.expires_at or "") > at)]


def _draw() -> WebhookSecret:
    return WebhookSecret(secrets.token_bytes(SECRET_BYTES))


def _current(secret: WebhookSecret, at: str) -> SecretShown:
    return SecretShown(fingerprint=secret.fingerprint, created_at=at, expires_at=None)


def _next(known: WebhookEndpoint, at: str, **changes: Any) -> WebhookEndpoint:  # noqa: ANN401 - members of it
    return msgspec.structs.replace(known, sequence=known.sequence + 1, updated_at=at, **changes)


def _issued(shown: WebhookEndpoint, secret: WebhookSecret | None) -> IssuedWebhookEndpoint:
    return IssuedWebhookEndpoint(
        **msgspec.structs.asdict(shown), secret=None if secret is None else secret.to_text()
    )


def _effect(name: str, known: WebhookEndpoint, shown: WebhookEndpoint, **arguments: object) -> Effect:
    held = {"endpoint_id": known.id, "version": known.sequence, "at": shown.updated_at}
    return Effect(
        name=name,
        arguments={**held, **arguments},
        resource_id=known.id,
        body=shown,
        status=HTTPStatus.OK,
    )
