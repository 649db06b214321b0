"""The parts of this folder with real payments behind them: orders carried by hand, mail applied in turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from services.banks.messages import Attempt
from services.payments.machine.events import Order
from services.payments.machine.model import uetr_of
from tests.integration.banks.bank_parts import Parts
from tests.integration.payments.payment_world import PaymentWorld, answer_to
from tests.integration.payments.payments_samples import Request


@dataclass
class Desk:
    """The parts, and payments whose attempts they are about."""

    parts: Parts
    paying: PaymentWorld

    async def submitted(self, instrument: str = "tok_visa_ok", **fields: Any) -> Order:
        """A payment whose order nobody has carried yet; it is at bank-alpha."""
        account = f"acc_{len(self.paying.orders)}_{instrument}"
        merchant = await self.paying.open_account(account)
        await self.paying.accept([Request(account, merchant=merchant, instrument=instrument, **fields)])
        [order] = await self.paying.submit()
        return order

    async def carry(self, order: Order) -> str:
        """Send an order to its bank, record the answer, return the outcome."""
        answer = await self.parts.client.send(
            Attempt(
                order.attempt_id, order.bank, order.operation, order.amount_minor, order.currency,
                order.instrument, order.payment_id, uetr_of(order.attempt_id), order.original_reference,
            )
        )  # fmt: skip
        assert answer.outcome in ("confirmed", "declined", "pending", "unknown")
        heard = msgspec.structs.replace(
            answer_to(order, answer.outcome),
            bank_reference=answer.bank_reference,
            decline_code=answer.decline_code,
        )
        await self.paying.about([heard])
        return answer.outcome

    async def callbacks(self) -> list[tuple[str, str, str | None]]:
        rows = await self.paying.world.owner.fetch(
            "select bank, status, reason from banks.callback order by number"
        )
        return [tuple(row) for row in rows]

    async def mails(self) -> list[str]:
        rows = await self.paying.world.owner.fetch("select body from payments.mail order by mail_id")
        return [row["body"] for row in rows]

    async def settle_mail(self) -> None:
        """Let the waiting mail have its turns."""
        while (await self.paying.waiting()).mail_done:
            pass

    async def has_settled_mail(self) -> bool:
        """Whether there was mail and none of it waits any more."""
        await self.settle_mail()
        query = "select count(*) > 0 and count(*) = count(done_at) from payments.mail"
        return bool(await self.paying.world.owner.fetchval(query))


def told(order: Order, event_id: str = "ev_1", **changes: Any) -> bytes:
    said = {
        "event_id": event_id,
        "what": "confirmed",
        "attempt_id": order.attempt_id,
        "end_to_end_id": order.payment_id,
        "amount_minor": order.amount_minor,
        "currency": order.currency,
        "bank_reference": "bk_1",
        "at": "2026-11-26T00:00:00Z",
    }
    return msgspec.json.encode(said | changes)
