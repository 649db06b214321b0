"""Carry orders to the banks service, over connections of each bank's own.

Implements `record.Banks`. Consistency: an answer is the bank's own word at that time. Retry: none here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from services.banks.client import BanksClient
from services.banks.messages import Attempt
from services.node import tracing
from services.node.crash_points import reach
from services.node.errors import HopUnknown, HopUnsent
from services.node.logs import get_log
from services.node.trace_context import span_id_of
from services.payments import counters
from services.payments.machine.events import Answered, Order
from services.payments.machine.model import uetr_of
from services.payments.outcomes import Answer, classify

_log = get_log("payments.bank_calls")


class BankCalls:
    """Bank name to a client with connections of its own: connections are a bulkhead too."""

    def __init__(self, clients: Mapping[str, BanksClient]) -> None:
        self._clients = clients

    async def carry(self, order: Order) -> Answered:
        """Send or inquire, and classify; see `record.Banks`."""
        client, began_s = self._clients[order.bank], time.time()
        if order.action == "inquire":
            reach("payments.bank_asked")
        else:
            reach("payments.bank_called")
        try:
            answer: Answer = (
                await client.inquire(order.bank, order.attempt_id)
                if order.action == "inquire"
                else await client.send(_attempt_of(order))
            )
        except (HopUnsent, HopUnknown) as fault:
            answer = fault
        heard = classify(order, answer)
        _note(order, heard.answered, began_s)
        if heard.alarm is not None:
            counters.ALARMS.labels(order.bank).inc()
            _log.error("an answer was not believed", reason=heard.alarm, attempt_id=order.attempt_id)
        return heard.answered


def _note(order: Order, answered: Answered, began_s: float) -> None:
    # The banks service puts its own span below the one of the call that sends.
    sends = order.action != "inquire"
    tracing.note(
        order.payment_id, f"bank {order.action}", began_s, kind="client",
        span_id=span_id_of("attempt", order.attempt_id) if sends else None,
        attributes={
            "countermark.bank": order.bank, "countermark.attempt_id": order.attempt_id,
            "countermark.operation": order.operation, "countermark.outcome": answered.kind,
        },
    )  # fmt: skip


def _attempt_of(order: Order) -> Attempt:
    """The request, derived from the order alone: every worker builds the same one."""
    return Attempt(
        attempt_id=order.attempt_id,
        bank=order.bank,
        operation=order.operation,
        amount_minor=order.amount_minor,
        currency=order.currency,
        instrument=order.instrument,
        end_to_end_id=order.payment_id,
        uetr=uetr_of(order.attempt_id),
        original_reference=order.original_reference,
    )
