"""A command's way from a verified request to its answer: answer and receipt first, then one transaction.

Every operation that acts, but for a payment's acceptance and a key's registration, goes through here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from gateway.access.exchange import Exchange
from gateway.access.kept_request import request_head
from gateway.access.receipts import make_receipt
from gateway.api.problems import describe, replayed_headers
from gateway.api.replies import MEDIA_TYPE, fingerprint_of, json_reply, require_idempotency_key
from gateway.errors import GatewayRefusal, KeyScope, NotPermitted, StateConflict
from gateway.idempotency import key_hash
from gateway.store.commands import Command, Commands, Performed
from signing import Signer

# Any effect may refuse with these.
REFUSALS: Sequence[type[GatewayRefusal]] = (StateConflict, NotPermitted, KeyScope)


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a command does and how it is answered.

    Attributes:
        name: in `commands.effect`.
        arguments: what the effect takes.
        resource_id: what the answer is about.
        body: the answer.
        status: of the answer.
        refusals: codes with which the effect may refuse, beyond `REFUSALS`; a test holds that each operation
            declares what its effect can answer.
        location: what stands before the resource's id in the field Location; None where nothing was made.
        keep_request_body: false where the evidence must not hold it.
        once: what the request that did it is answered instead, under a receipt of its own, where the answer
            shows what nothing may keep; evidence and repeats get `body`.
    """

    name: str
    arguments: Mapping[str, Any]
    resource_id: str
    body: msgspec.Struct
    status: HTTPStatus = HTTPStatus.ACCEPTED
    refusals: Sequence[type[GatewayRefusal]] = ()
    location: str | None = None
    keep_request_body: bool = True
    once: msgspec.Struct | None = None


class Performing:
    """Performs commands.

    Args:
        commands: where they are recorded.
        receipt_key: signs the receipt that goes into the evidence.
        now: seconds since the epoch, UTC.
    """

    def __init__(self, commands: Commands, receipt_key: Signer, now: Callable[[], float] = time.time) -> None:
        self._commands = commands
        self._receipt_key = receipt_key
        self._now = now

    @property
    def now_s(self) -> float:
        """The time that ids and answers are made with."""
        return self._now()

    async def repeat(self, exchange: Exchange, location: str | None = None) -> web.Response | None:
        """Return the stored answer if this request is a repeat: look before you judge the thing's state.

        Args:
            exchange: recognised.
            location: as in `Effect`.

        Raises:
            StoredRefusal, GatewayRefusal: see `Commands.find_repeat`.
            CellUnavailable: the record is away.
        """
        known, verified = exchange.require_caller()
        found = await self._commands.find_repeat(
            known.merchant_id,
            f"{exchange.method} {exchange.route}",
            key_hash(require_idempotency_key(verified)),
            fingerprint_of(exchange, verified),
        )
        return None if found is None else _reply(found, location)

    async def perform(self, exchange: Exchange, effect: Effect) -> web.Response:
        """Do it, once per idempotency key, and answer.

        Raises:
            StoredRefusal, GatewayRefusal: see `Commands.perform`.
            KeyRevoked: the key that signed was revoked meanwhile.
        """
        known, verified = exchange.require_caller()
        now = self._now()
        body = msgspec.json.encode(effect.body)
        receipt = make_receipt(
            verified.signed,
            status=effect.status,
            content_type=MEDIA_TYPE,
            body=body,
            key=self._receipt_key,
            now=int(now),
        )
        performed = await self._commands.perform(
            Command(
                merchant_id=known.merchant_id,
                route=f"{exchange.method} {exchange.route}",
                key_hash=key_hash(require_idempotency_key(verified)),
                fingerprint=fingerprint_of(exchange, verified),
                response_status=effect.status,
                response_body=body,
                resource_id=effect.resource_id,
                request_id=exchange.request_id,
                at=datetime.fromtimestamp(now, UTC),
                key_id=verified.key_id,
                request_head=request_head(verified.request),
                request_base=verified.signature_base,
                request_signature=verified.signature,
                request_body=(verified.request.body or b"") if effect.keep_request_body else None,
                receipt_base=receipt.base,
                receipt_signature=receipt.signature,
                effect=effect.name,
                arguments=effect.arguments,
                refusals=_forms((*REFUSALS, *effect.refusals), exchange.request_id),
            )
        )
        if performed.repeat:
            return _reply(performed, effect.location)
        if effect.once is not None:
            return _reply(replace(performed, response_body=msgspec.json.encode(effect.once)), effect.location)
        exchange.receipt = receipt.headers
        return _reply(performed, effect.location)


def _forms(refusals: Sequence[type[GatewayRefusal]], request_id: str) -> dict[str, dict[str, Any]]:
    """The answer to each refusal, in which the record puts the sentence that the effect found."""
    forms = {}
    for refusal in refusals:
        problem = describe(refusal("{detail}"), request_id=request_id)
        forms[refusal.code] = {"status": problem.status, "body": problem.body.decode("ascii")}
    return forms


def _reply(performed: Performed, location: str | None = None) -> web.Response:
    headers = dict(replayed_headers(performed.request_id, is_repeat=performed.repeat))
    if location is not None:
        headers["Location"] = location + performed.resource_id
    return json_reply(performed.response_body, status=performed.response_status, headers=headers)
