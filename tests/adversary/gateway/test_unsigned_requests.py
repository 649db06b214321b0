from __future__ import annotations

import pytest

from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, payment_request, without_header


async def test_an_unsigned_payment_is_refused(stack: Gateway) -> None:
    await refuse(stack, payment_request(), 401, "signature_missing", rows=0, signed=False)


async def test_an_unsigned_read_is_refused(stack: Gateway) -> None:
    await refuse(stack, get("/v1/payments/pay_eu_x"), 401, "signature_missing", rows=0, signed=False)


@pytest.mark.parametrize("name", ["Signature", "Signature-Input"])
async def test_half_a_signature_is_none(stack: Gateway, name: str) -> None:
    merchant = await stack.merchant()
    request = without_header(stack.sign(payment_request(), merchant.key), name)

    await refuse(stack, request, 401, "signature_missing", rows=0, signed=False)
