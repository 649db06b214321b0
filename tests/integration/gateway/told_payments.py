"""Payments of a merchant with a whole story: the engine's real decisions in the gateway's own record."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.api.webhook_shapes import delivery_id
from services.node.identifiers import RANDOM_BITS, new_id
from services.payments.machine.events import BankTold, RefundAsked
from services.vault.tokens import RANDOM_BITS as TOKEN_BITS
from services.vault.tokens import make_token
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, payment_request, post
from tests.integration.payments.payment_world import PaymentWorld, payment_world

AMOUNT = 1999


@dataclass(frozen=True)
class Told:
    """What a merchant has: a payment that succeeded, with a refund and a dispute.

    Attributes:
        ids: by part of a path, as `payment_id`.
    """

    merchant: Merchant
    ids: dict[str, str]


@asynccontextmanager
async def engine_of(stack: Gateway) -> AsyncIterator[PaymentWorld]:
    """The engine, at the gateway's record; mail about what tests have put into a state is taken away."""
    await stack.query("delete from payments.mail where done_at is null")
    async with payment_world(stack.server, stack.database) as paying:
        yield paying


async def accept(stack: Gateway, merchant: Merchant, **changes: Any) -> str:
    """Have a payment accepted; return its id."""
    # Ours look alike on purpose: what tells them apart is the test's to say.
    order = {"duplicate_policy": "allow"} | changes
    answer = await stack.ask(payment_request(**order), merchant)
    assert answer.status == 202, answer.body
    payment_id: str = json.loads(answer.body)["id"]
    return payment_id


async def read(stack: Gateway, merchant: Merchant, path: str) -> dict[str, Any]:
    """Return what a GET answers, which must be 200."""
    answer = await stack.ask(get(path), merchant)
    assert answer.status == 200, answer.body
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def tell_a_story(stack: Gateway, name: str) -> Told:
    """Enrol a merchant, let a payment of it succeed, a refund be asked for, and a dispute be opened."""
    merchant = await stack.enrol(name, "EUR")
    payment_id = await accept(stack, merchant, amount=AMOUNT, merchant_reference="order-1")
    refund_id = _fresh("ref")
    async with engine_of(stack) as paying:
        await paying.submit()
        [order] = [order for order in paying.orders if order.payment_id == payment_id]
        await paying.answer_all()
        await paying.about(
            [
                RefundAsked(
                    payment_id=payment_id, refund_id=refund_id, amount_minor=500, origin="user",
                    reason="too large", by=merchant.key.key_id,
                ),
                BankTold(
                    payment_id=payment_id, bank=order.bank, what="dispute_opened",
                    bank_event_id=secrets.token_hex(8), attempt_id=order.attempt_id, amount_minor=300,
                    currency="EUR", dispute_reference="D-1",
                ),
            ]
        )  # fmt: skip
    endpoint_id = await _deliver(stack, merchant, payment_id)
    rows = await stack.query(
        "select a.account_id, d.dispute_id from payments.account a join payments.payment p using (account_id)"
        " join payments.dispute d using (payment_id) where p.payment_id = $1",
        payment_id,
    )
    return Told(
        merchant,
        {
            "payment_id": payment_id,
            "refund_id": refund_id,
            "dispute_id": rows[0]["dispute_id"],
            "event_id": f"evt_{payment_id.removeprefix('pay_')}_2",
            "account_id": rows[0]["account_id"],
            "key_id": merchant.key.key_id,
            "instrument_id": await _keep_account(stack, merchant),
            "webhook_endpoint_id": endpoint_id,
            "delivery_id": delivery_id(endpoint_id, payment_id, 1),
        },
    )


async def _keep_account(stack: Gateway, merchant: Merchant) -> str:
    """Have the vault keep a bank account; return its token."""
    members = {"iban": "DE89370400440532013000", "blind": secrets.token_urlsafe(24)}
    answer = await stack.ask(post("/v1/instruments", json.dumps(members).encode()), merchant)
    assert answer.status == 201, answer.body
    token: str = json.loads(answer.body)["id"]
    return token


async def _deliver(stack: Gateway, merchant: Merchant, payment_id: str) -> str:
    """Let there be an endpoint of the merchant, with a delivery that was tried; return the endpoint's id."""
    order = {"url": "https://merchant.example/hook", "symmetric_secret": True}
    answer = await stack.ask(post("/v1/webhook_endpoints", json.dumps(order).encode()), merchant)
    assert answer.status == 201, answer.body
    endpoint_id: str = json.loads(answer.body)["id"]
    await stack.query(
        "insert into notifications.delivery (endpoint_id, payment_id, sequence, event_id, body)"
        """ values ($1, $2, 1, 'evt_' || substr($2, 5) || '_1', '{"type":"payment.accepted"}')""",
        endpoint_id,
        payment_id,
    )
    await stack.query(
        "insert into notifications.delivery_attempt (endpoint_id, payment_id, sequence, claim, duration_ms,"
        " status, verdict) values ($1, $2, 1, 1, 5, 503, 'retry')",
        endpoint_id,
        payment_id,
    )
    await stack.query(
        "insert into notifications.breaker (endpoint_id, failures, failing_since, openings, open_until)"
        " values ($1, 10, now() - random() * interval '1 hour', 1, now() + random() * interval '1 hour')",
        endpoint_id,
    )
    return endpoint_id


def foreign_ids() -> dict[str, str]:
    """Ids of the right form that nobody has."""
    return {
        "payment_id": _fresh("pay"),
        "refund_id": _fresh("ref"),
        "dispute_id": _fresh("dsp"),
        "event_id": f"evt_{_fresh('pay').removeprefix('pay_')}_2",
        "account_id": _fresh("acc"),
        "key_id": secrets.token_urlsafe(32),
        "instrument_id": make_token("eu", "mer_eu_nobody", secrets.randbits(TOKEN_BITS)),
        "webhook_endpoint_id": _fresh("whe"),
        "delivery_id": _fresh("whd"),
    }


def _fresh(kind: str) -> str:
    return new_id(kind, "eu", now_ms=1_790_000_000_000, random_bits=secrets.randbits(RANDOM_BITS))
