"""Attack 24: the request line names a host of its own, and so do headers that proxies set."""

from __future__ import annotations

import pytest

from tests.adversary.gateway.raw_requests import adding, refuse_as_no_http, replacing, wire
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, ORIGIN, payment_request


@pytest.mark.parametrize(
    "target",
    [
        f"{ORIGIN}/v1/payments",
        "http://evil.example/v1/payments",
        "https://evil.example/v1/payments",
        "//evil.example/v1/payments",
        "HTTPS://pay.countermark.example/v1/payments",
    ],
)
async def test_an_absolute_form_target_reaches_nothing(stack: Gateway, target: str) -> None:
    merchant = await stack.merchant()
    before = await stack.footprint()

    answer = await stack.send_raw(wire(stack.sign(payment_request(), merchant.key), target=target))

    assert (403, b'{"code": "peer-refused"}') == (answer.status, answer.body)
    assert before == await stack.footprint()


@pytest.mark.parametrize(
    "target", ["*", "v1/payments", f"{HOST}:443", "/v1/pay\xe9ments", "/v1/pay\x00ments"]
)
async def test_a_target_of_no_form_is_no_http(stack: Gateway, target: str) -> None:
    merchant = await stack.merchant()

    await refuse_as_no_http(stack, wire(stack.sign(payment_request(), merchant.key), target=target))


@pytest.mark.parametrize(
    "host",
    ["evil.example", HOST.upper(), f"{HOST}:443", f"{HOST}.", f"{HOST}@evil.example", f"{HOST},evil.example",
     f"{HOST}, {HOST}", f"{HOST}/v1/payments?", ""],
)  # fmt: skip
async def test_a_host_that_is_not_a_configured_origin_in_its_one_spelling_is_refused(
    stack: Gateway, host: str
) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)

    await refuse(stack, wire(signed, host=host), 400, "target_not_canonical", rows=0, signed=False)


@pytest.mark.parametrize(
    "line",
    [f"X-Forwarded-Host: {HOST}", f"Forwarded: host={HOST};proto=https", f"X-Original-Host: {HOST}",
     f"X-Original-URL: {ORIGIN}/v1/payments", f":authority: {HOST}x"],
)  # fmt: skip
async def test_no_header_stands_for_the_host(stack: Gateway, line: str) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    octets = wire(signed, adding(line), host="evil.example")
    if line.startswith(":"):
        await refuse_as_no_http(stack, octets)
    else:
        await refuse(stack, octets, 400, "target_not_canonical", rows=0, signed=False)


@pytest.mark.parametrize("more", ["Host: evil.example", f"host: {HOST}"])
async def test_a_second_host_is_no_http(stack: Gateway, more: str) -> None:
    merchant = await stack.merchant()

    await refuse_as_no_http(stack, wire(stack.sign(payment_request(), merchant.key), adding(more)))


async def test_a_missing_host_is_no_http(stack: Gateway) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)

    await refuse_as_no_http(stack, wire(signed, replacing("Host", lambda _: "X-Host: a")))


@pytest.mark.parametrize(
    "line", ["X-HTTP-Method-Override: DELETE", "X-Method-Override: GET", "X-Rewrite-URL: /v1/keys"]
)
async def test_no_header_overrides_method_or_target(stack: Gateway, line: str) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)

    answer = await stack.send_raw(wire(request, adding(line)))

    assert 202 == answer.status
    receipt = await stack.receipt(request, answer)
    assert ("POST", f"{ORIGIN}/v1/payments") == (
        receipt.signed.request.method,
        receipt.signed.request.target_uri,
    )
