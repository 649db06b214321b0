from __future__ import annotations

from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request


async def test_the_same_key_with_another_body_is_refused_and_the_first_payment_stands(
    stack: Gateway,
) -> None:
    merchant, key = await stack.merchant(), "one-key-for-two-orders-01"
    first_request = stack.sign(payment_request(key=key), merchant.key)
    first = await stack.send(first_request)
    other = stack.sign(payment_request(key=key, amount=2000), merchant.key)

    await refuse(stack, other, 422, "idempotency_key_reused", rows=1, signed=True)

    again = await stack.send(first_request)
    assert (first.status, first.body) == (again.status, again.body)
