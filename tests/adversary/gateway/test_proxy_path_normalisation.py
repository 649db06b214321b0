"""Attacks 19 and 25: a proxy, a library and the router see three different paths in one request line."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from signing import Request, SigningKey
from tests.adversary.gateway.raw_requests import wire
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import ORIGIN, payment_request, problem

# What aiohttp routes to /v1/payments or to nothing, and what nginx and Envoy turn into /v1/payments.
_SPELLINGS = [
    "/v1/./payments",
    "/v1//payments",
    "/v1/x/../payments",
    "/v1/../v1/payments",
    "/v1/%70ayments",
    "/v1/payments?",
    "/v1/payments#a",
    "/v1/payments;x=1",
    "/v1/payments/",
    "/v1/payments/.",
    "/v1/payments%zz",
    "/v1/payments%00",
    "/v1/payments%20",
]
# Those that begin unlike any route of merchants: no service may call them, so they end before the signature.
_OUTSIDE = ["/v1%2Fpayments", "/v1\\payments", "//v1/payments", "/V1/payments", "/v1", "/./v1/payments"]


@pytest.mark.parametrize("target", _SPELLINGS)
async def test_a_request_in_another_spelling_than_the_signed_one_is_refused(
    stack: Gateway, target: str
) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)

    await refuse(stack, wire(signed, target=target), 400, "target_not_canonical", rows=0, signed=False)


@pytest.mark.parametrize("target", _OUTSIDE)
async def test_a_target_that_no_route_begins_with_reaches_nothing(stack: Gateway, target: str) -> None:
    merchant = await stack.merchant()
    before = await stack.footprint()

    answer = await stack.send_raw(wire(stack.sign(payment_request(), merchant.key), target=target))

    assert (403, b'{"code": "peer-refused"}') == (answer.status, answer.body)
    assert before == await stack.footprint()


def signed_for(request: Request, target_uri: str, key: SigningKey) -> Request:
    """Sign honestly for a target that the library itself would not sign for."""
    fields = dict(request.headers)
    parameters = fields["Signature-Input"].partition("=")[2]
    lines = [
        f'"@method": {request.method}', f'"@target-uri": {target_uri}',
        f'"content-type": {fields["Content-Type"]}', f'"content-digest": {fields["Content-Digest"]}',
        f'"idempotency-key": {fields["Idempotency-Key"]}', f'"@signature-params": {parameters}',
    ]  # fmt: skip
    signature = base64.b64encode(key.sign("\n".join(lines).encode())).decode()
    headers = {**fields, "Signature": f"countermark=:{signature}:"}
    return replace(request, headers=tuple(headers.items()))


async def test_the_way_the_next_attack_signs_is_accepted_when_nothing_is_changed(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)

    answer = await stack.send(signed_for(request, request.target_uri, merchant.key))

    assert 202 == answer.status


@pytest.mark.parametrize("spelling", [*_SPELLINGS, *_OUTSIDE])
async def test_a_request_that_a_proxy_normalised_is_refused_and_shows_where(
    stack: Gateway, another: Merchant, spelling: str
) -> None:
    # The merchant signed one spelling, the proxy handed on the canonical one.
    request = stack.sign(payment_request(), another.key)
    rewritten = signed_for(request, ORIGIN + spelling, another.key)

    answer = await refuse(stack, rewritten, 401, "signature_invalid", rows=1, signed=False)

    assert f'"@target-uri": {ORIGIN}/v1/payments\n' in str(problem(answer)["signature_base_text"])


@pytest.mark.parametrize("target", ["/v1/payments?limit=1", "/v1/payments?a=1&b=2"])
async def test_a_query_added_on_the_way_is_refused(stack: Gateway, another: Merchant, target: str) -> None:
    signed = stack.sign(payment_request(), another.key)

    await refuse(stack, wire(signed, target=target), 401, "signature_invalid", rows=1, signed=False)
