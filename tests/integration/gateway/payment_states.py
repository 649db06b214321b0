"""Payments in states that only an engine brings about; here the schema's owner writes them down."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import payment_request

_ENGINE_HAS_IT = "account_version = 1, bank = 'bank-alpha'"


async def accepted(stack: Gateway, merchant: Merchant | None = None, **changes: Any) -> str:
    """A payment that waits for its account's turn; `changes` are of the request's body."""
    answer = await stack.ask(payment_request(**changes), merchant)
    assert answer.status == 202, answer.body
    payment_id: str = json.loads(answer.body)["id"]
    return payment_id


async def authorized(stack: Gateway, *, amount: int = 1999) -> str:
    """A payment that its bank has authorised and nobody has captured."""
    payment_id = await accepted(stack, amount=amount, capture_method="manual")
    await stack.query(
        f"update payments.payment set status = 'authorized', {_ENGINE_HAS_IT},"
        " due = now() + interval '1 day', expires_at = now() + interval '1 day' where payment_id = $1",
        payment_id,
    )
    return payment_id


async def succeeded(stack: Gateway, *, amount: int = 1999, merchant: Merchant | None = None) -> str:
    """A payment whose money is the merchant's."""
    payment_id = await accepted(stack, merchant, amount=amount)
    await stack.query(
        f"update payments.payment set status = 'succeeded', {_ENGINE_HAS_IT}, due = null,"
        " captured_minor = amount_minor where payment_id = $1",
        payment_id,
    )
    return payment_id


async def failed(stack: Gateway, payment_id: str) -> None:
    """Let a payment come to nothing."""
    await stack.query(
        f"update payments.payment set status = 'failed', {_ENGINE_HAS_IT}, due = null,"
        " decline_code = 'insufficient_funds' where payment_id = $1",
        payment_id,
    )


async def mail_of(stack: Gateway, payment_id: str) -> list[dict[str, object]]:
    """What the engine will find in its mailbox about a payment, in order."""
    rows = await stack.query(
        "select body from payments.mail where payment_id = $1 order by mail_id", payment_id
    )
    return [json.loads(row["body"]) for row in rows]
