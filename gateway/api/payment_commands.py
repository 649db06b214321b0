"""Capture and cancel: what a merchant tells a payment that was accepted.

The answer is 202, with what was asked; the engine decides in the account's turn, and the payment's events
tell what came of it. What certainly cannot be done is refused at once, by the record, and stays refused for
this idempotency key.
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


class CaptureOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a capture.

    Attributes:
        amount: minor units; nothing for the whole.
    """

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


class PaymentCommandHandlers:
    """The handlers of what is told a payment.

    Args:
        performing: does commands once per idempotency key.
        cell: whose payments are here.
    """

    def __init__(self, *, performing: Performing, cell: str) -> None:
        self._performing = performing
        self._cell = cell

    def bound(self) -> tuple[Bound, ...]:
        """Return the operations with what carries them out."""
        return ((CAPTURE, self.capture), (CANCEL, self.cancel))

    async def capture(self, request: web.Request) -> web.Response:
        """POST /v1/payments/{id}/capture."""
        _, verified = request[EXCHANGE].require_caller()
        order = parse_command(verified.request.body or b"", CaptureOrder)
        return await self._tell(request, "capture", order.amount)

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /v1/payments/{id}/cancel."""
        _, verified = request[EXCHANGE].require_caller()
        parse_command(verified.request.body or b"", CancelOrder)
        return await self._tell(request, "cancel", None)

    async def _tell(self, request: web.Request, action: str, amount: int | None) -> web.Response:
        exchange = request[EXCHANGE]
        _, verified = exchange.require_caller()
        payment_id = object_id_of(request, "pay", self._cell)
        return await self._performing.perform(
            exchange,
            Effect(
                name=f"payment_{action}",
                arguments={"payment_id": payment_id, "amount_minor": amount, "by": verified.key_id},
                resource_id=payment_id,
                body=PaymentCommand(
                    id=exchange.request_id, action=action, payment_id=payment_id, amount=amount
                ),
            ),
        )
