from __future__ import annotations

from dataclasses import replace

import pytest

from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request


@pytest.mark.parametrize("position", [0, 25, -1])
async def test_a_body_with_one_byte_altered_is_refused(stack: Gateway, position: int) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    body = bytearray(request.body or b"")
    body[position] ^= 1

    await refuse(stack, replace(request, body=bytes(body)), 401, "digest_mismatch", rows=1, signed=False)


async def test_a_body_with_one_space_more_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    longer = replace(request, body=(request.body or b"") + b" ")

    await refuse(stack, longer, 401, "digest_mismatch", rows=1, signed=False)


async def test_a_body_altered_together_with_its_digest_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    honest, greedy = payment_request(), payment_request(amount=999_999)
    signed = stack.sign(honest, merchant.key)
    digest = dict(stack.sign(greedy, merchant.key).headers)["Content-Digest"]
    headers = tuple((n, digest if n == "Content-Digest" else v) for n, v in signed.headers)
    forged = replace(signed, headers=headers, body=greedy.body)

    await refuse(stack, forged, 401, "signature_invalid", rows=1, signed=False)
