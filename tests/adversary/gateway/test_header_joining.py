"""Attack 21: two header lines that a proxy hands on as one, with or without a space after the comma."""

from __future__ import annotations

import pytest

from tests.adversary.gateway.raw_requests import replacing, wire
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request

_COVERED = {
    "Content-Type": (415, "unsupported_media"),
    "Content-Digest": (400, "digest_malformed"),
    "Idempotency-Key": (400, "idempotency_key_invalid"),
    "Signature-Input": (400, "signature_malformed"),
    "Signature": (400, "signature_malformed"),
}


@pytest.mark.parametrize("name", _COVERED)
@pytest.mark.parametrize("joiner", [",", ", ", " ,"])
async def test_a_covered_header_joined_with_itself_is_refused(stack: Gateway, name: str, joiner: str) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    status, code = _COVERED[name]
    octets = wire(signed, replacing(name, lambda line: f"{line}{joiner}{line.partition(': ')[2]}"))

    await refuse(stack, octets, status, code, rows=0, signed=False)


@pytest.mark.parametrize("more", [",text/plain", ", application/x-www-form-urlencoded", ";charset=utf-8"])
async def test_a_content_type_that_names_two_is_refused(stack: Gateway, more: str) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    octets = wire(signed, replacing("Content-Type", lambda line: line + more))

    await refuse(stack, octets, 415, "unsupported_media", rows=0, signed=False)
