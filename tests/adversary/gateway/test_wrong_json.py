from __future__ import annotations

import pytest

from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, post


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"kind":"collect","kind":"payout"}',
        b'{"amount":NaN}',
        b"\xef\xbb\xbf{}",
        b'{"kind":"\xff"}',
        b'{"kind":"\\ud800"}',
        b"[" * 5000,
        b'{"amount":9007199254740993}',
    ],
)
async def test_a_body_that_is_not_strict_json_is_refused(stack: Gateway, body: bytes) -> None:
    merchant = await stack.merchant()
    request = stack.sign(post("/v1/payments", body), merchant.key)

    await refuse(stack, request, 400, "malformed_json", rows=1, signed=True)


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"{}", b"17"])
async def test_json_that_is_no_payment_is_refused(stack: Gateway, body: bytes) -> None:
    merchant = await stack.merchant()
    request = stack.sign(post("/v1/payments", body), merchant.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)


async def test_a_member_that_the_operation_does_not_know_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(surprise=True), merchant.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)
