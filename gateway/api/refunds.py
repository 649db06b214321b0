"""Refunds that a merchant asks for, and takes back.

A refund is 202 with an id of its own: money goes back when the engine has reserved it and a bank has said so,
which the payment's events tell. More than what is left, and a payment that has nothing to give back, are
refused at once, by the record, and stay refused for this idempotency key.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.act_shapes import RefundCommand, RefundRequested
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import AmountMinor, parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.replies import object_id_of
from gateway.errors import NotFound, RefundExceedsAvailable
from gateway.store.payments import Payments
from services.node.identifiers import RANDOM_BITS, new_id
from signing.evidence.entry import utc_text

# The record's own bound; printable ASCII, because it goes to people of the bank.
Reason = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{1,255}\Z")]


class RefundOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a refund.

    Attributes:
        amount: minor units; nothing for all that is left.
        reason: 1 to 255 printable characters, for the people who look at it later.
    """

    amount: AmountMinor | None = None
    reason: Reason | None = None


class RefundCancelOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a refund's cancel: an empty object."""


CREATE = Operation(
    name="createRefund", method="POST", path="/v1/payments/{payment_id}/refunds", scope=Scope.REFUND,
    body=RefundOrder, summary="Give a payment back, whole or in part", answers={202: RefundRequested},
    problems=frozenset({"not_found", "refund_exceeds_available", "state_conflict"}),
    fields=frozenset({"Location"}),
)  # fmt: skip
CANCEL = Operation(
    name="cancelRefund", method="POST", path="/v1/refunds/{refund_id}/cancel", scope=Scope.REFUND,
    body=RefundCancelOrder, summary="Take back a refund that no bank has yet", answers={202: RefundCommand},
    problems=frozenset({"not_found", "state_conflict"}),
)  # fmt: skip
OPERATIONS = (CREATE, CANCEL)


class RefundHandlers:
    """The handlers of refunds that are asked for.

    Args:
        payments: the record of payments.
        performing: does commands once per idempotency key.
        cell: the cell that new ids carry.
    """

    def __init__(self, *, payments: Payments, performing: Performing, cell: str) -> None:
        self._payments = payments
        self._performing = performing
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CREATE, self.create), (CANCEL, self.cancel))

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/payments/{id}/refunds."""
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        order = parse_command(verified.request.body or b"", RefundOrder)
        payment_id = object_id_of(request, "pay", self._cell)
        left = await self._payments.refundable(known.merchant_id, payment_id)
        if left is None:
            raise NotFound("there is no such payment")
        # With nothing left the record refuses one unit, too, and keeps that: a repeat must not find more.
        amount = order.amount or max(left.headroom_minor, 1)
        now = self._performing.now_s
        refund_id = new_id(
            "ref", self._cell, now_ms=int(now * 1000), random_bits=secrets.randbits(RANDOM_BITS)
        )
        return await self._performing.perform(
            exchange,
            Effect(
                name="payment_refund",
                arguments={
                    "payment_id": payment_id, "refund_id": refund_id, "amount_minor": amount,
                    "reason": order.reason or "", "by": verified.key_id,
                },
                resource_id=refund_id,
                body=RefundRequested(
                    id=refund_id,
                    payment_id=payment_id,
                    amount=amount,
                    currency=left.currency,
                    reason=order.reason,
                    created_at=utc_text(datetime.fromtimestamp(now, UTC)),
                ),
                refusals=(RefundExceedsAvailable,),
                location="/v1/refunds/",
            ),
        )  # fmt: skip

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/refunds/{id}/cancel."""
        exchange = request[EXCHANGE]
        _, verified = exchange.require_caller()
        parse_command(verified.request.body or b"", RefundCancelOrder)
        refund_id = object_id_of(request, "ref", self._cell)
        return await self._performing.perform(
            exchange,
            Effect(
                name="refund_cancel",
                arguments={"refund_id": refund_id, "by": verified.key_id},
                resource_id=refund_id,
                body=RefundCommand(id=exchange.request_id, action="cancel", refund_id=refund_id),
            ),
        )
