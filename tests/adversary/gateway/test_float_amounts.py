from __future__ import annotations

import pytest

from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, post


@pytest.mark.parametrize("amount", ["19.99", "1999.0", "1e3", "-0.0", "1E400"])
async def test_an_amount_that_is_not_an_integer_is_refused(stack: Gateway, amount: str) -> None:
    merchant = await stack.merchant()
    honest = payment_request().body or b""
    body = honest.replace(b'"amount":1999', f'"amount":{amount}'.encode())
    assert body != honest
    request = stack.sign(post("/v1/payments", body), merchant.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)


@pytest.mark.parametrize("amount", [0, -1, "1999", True, None])
async def test_an_amount_that_is_no_positive_number_is_refused(stack: Gateway, amount: object) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(amount=amount), merchant.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)
