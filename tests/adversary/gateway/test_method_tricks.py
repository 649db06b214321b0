"""Attacks 16 and 17 on the wire: a header named like a component, and methods in another case."""

from __future__ import annotations

import pytest

from tests.adversary.gateway.raw_requests import adding, refuse_as_no_http, wire
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import payment_request


@pytest.mark.parametrize("line", ["@method: GET", '"@method": GET', "(request-target): get /"])
async def test_a_header_named_like_a_component_is_no_http(stack: Gateway, line: str) -> None:
    merchant = await stack.merchant()

    await refuse_as_no_http(stack, wire(stack.sign(payment_request(), merchant.key), adding(line)))


@pytest.mark.parametrize("method", ["post", "Post", "POST\t", "PO ST", "FOO", "POST\x00", "P\xf6ST"])
async def test_a_method_in_another_case_or_of_no_kind_is_no_http(stack: Gateway, method: str) -> None:
    merchant = await stack.merchant()
    octets = wire(stack.sign(payment_request(), merchant.key))

    await refuse_as_no_http(stack, octets.replace(b"POST", method.encode("latin-1"), 1))


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS"])
async def test_a_method_that_cannot_be_signed_is_refused(stack: Gateway, method: str) -> None:
    merchant = await stack.merchant()
    octets = wire(stack.sign(payment_request(), merchant.key)).replace(b"POST", method.encode(), 1)

    await refuse(stack, octets, 400, "method_not_canonical", rows=0, signed=False)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_signature_for_one_method_is_refused_under_another(
    stack: Gateway, another: Merchant, method: str
) -> None:
    octets = wire(stack.sign(payment_request(), another.key)).replace(b"POST", method.encode(), 1)

    await refuse(stack, octets, 401, "signature_invalid", rows=1, signed=False)
