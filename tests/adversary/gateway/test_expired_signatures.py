from __future__ import annotations

import time

import pytest

from signing.profile import CLOCK_SKEW_S_MAX, LIFETIME_S_MAX
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, payment_request

BEYOND_S = 5  # the process reads its clock a moment after the test did


@pytest.mark.parametrize("age_s", [LIFETIME_S_MAX + CLOCK_SKEW_S_MAX + BEYOND_S, 86_400])
async def test_an_expired_payment_is_refused(stack: Gateway, age_s: int) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key, now=int(time.time()) - age_s)

    await refuse(stack, request, 401, "signature_expired", rows=1, signed=False)


async def test_an_expired_read_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(get("/v1/payments/pay_eu_x"), merchant.key, now=int(time.time()) - 3600)

    await refuse(stack, request, 401, "signature_expired", rows=1, signed=False)


async def test_a_payment_from_the_future_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    later = int(time.time()) + CLOCK_SKEW_S_MAX + BEYOND_S
    request = stack.sign(payment_request(), merchant.key, now=later)

    await refuse(stack, request, 401, "signature_too_early", rows=1, signed=False)
