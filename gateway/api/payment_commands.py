"""Capture and cancel: what a merchant tells a payment that was accepted.

The answer is 202, with what was asked; the engine decides in the account's turn, and the payment's events
tell what came of it. What certainly cannot be done is refused at once.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.access.exchange import EXCHANGE
from gateway.api.operations import Bound, Operation, Scope
from gateway.api.parsing import AmountMinor, parse_command
from gateway.api.performing import Effect, Performing
from gateway.api.replies import object_id_of
from gateway.api.shapes import PaymentCommand
from gateway.errors import NotFound, StateConflict
from gateway.store.payments import Payments


class CaptureOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a capture: an amount in minor units, or nothing for the whole."""

    amount: AmountMinor | None = None


class CancelOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a cancel: an empty object."""


_CONFLICTS = frozenset({"not_found", "state_conflict"})
CAPTURE = Operation(
    name="capturePayment", method="POST", path="/v1/payments/{payment_id}/capture", scope=Scope.PAY,
    body=CaptureOrder, summary="Capture what was authorised, whole or in part; the rest is released",
    answers={202: PaymentCommand}, problems=_CONFLICTS,
)  # fmt: skip
CANCEL = Operation(
    name="cancelPayment", method="POST", path="/v1/payments/{payment_id}/cancel", scope=Scope.PAY,
    body=CancelOrder, summary="Withdraw a payment, or void what was authorised",
    answers={202: PaymentCommand}, problems=_CONFLICTS,
)  # fmt: skip
OPERATIONS = (CAPTURE, CANCEL)
_FINAL = frozenset({"succeeded", "failed", "canceled", "expired"})


class PaymentCommandHandlers:
    """The handlers of what is told a payment.

    Args:
        payments: the record of payments.
        performing: does commands once per idempotency key.
        cell: whose payments are here.
    """

    def __init__(self, *, payments: Payments, performing: Performing, cell: str) -> None:
        self._payments = payments
        self._performing = performing
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CAPTURE, self.capture), (CANCEL, self.cancel))

    async def capture(self, request: web.Request) -> web.Response:
        """POST /v1/payments/{id}/capture."""
        _, verified = request[EXCHANGE].require_caller()
        order = parse_command(verified.request.body or b"", CaptureOrder)
        asked = {} if order.amount is None else {"amount_minor": order.amount}
        return await self._tell(request, "capture", "CaptureAsked", asked)

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/payments/{id}/cancel."""
        _, verified = request[EXCHANGE].require_caller()
        parse_command(verified.request.body or b"", CancelOrder)
        return await self._tell(request, "cancel", "VoidAsked", {})

    async def _tell(
        self, request: web.Request, action: str, mail: str, asked: dict[str, int]
    ) -> web.Response:
        exchange = request[EXCHANGE]
        known, verified = exchange.require_caller()
        payment_id = object_id_of(request, "pay", self._cell)
        repeat = await self._performing.repeat(exchange)
        if repeat is not None:
            return repeat
        row = await self._payments.find(known.merchant_id, payment_id)
        if row is None:
            raise NotFound("there is no such payment")
        if row["status"] in _FINAL:
            raise StateConflict(f"the payment is {row['status']}: there is nothing left to {action}")
        body = {"type": mail, "payment_id": payment_id, "by": verified.key_id, **asked}
        return await self._performing.perform(
            exchange,
            Effect(
                name="payment_mail",
                arguments={"payment_id": payment_id, "body": body},
                resource_id=payment_id,
                body=PaymentCommand(
                    id=exchange.request_id,
                    action=action,
                    payment_id=payment_id,
                    amount=asked.get("amount_minor"),
                ),
            ),
        )
