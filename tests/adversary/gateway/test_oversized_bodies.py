from __future__ import annotations

from dataclasses import replace

from signing.profile import BODY_BYTES_MAX
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import HOST, payment_request, post

CALLER = "By=spiffe://countermark.internal/gateway-sidecar;URI=spiffe://countermark.internal/edge"


async def test_a_body_beyond_the_limit_is_refused_before_anything_is_verified(stack: Gateway) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    large = replace(signed, body=b" " * (BODY_BYTES_MAX + 1))

    await refuse(stack, large, 413, "too_large", rows=0, signed=False)


async def test_a_body_at_the_limit_is_read(stack: Gateway) -> None:
    merchant = await stack.merchant()
    body = payment_request().body or b""
    request = stack.sign(post("/v1/payments", body + b" " * (BODY_BYTES_MAX - len(body))), merchant.key)

    answer = await stack.send(request)

    assert answer.status == 202


async def test_an_announced_length_beyond_the_limit_is_refused_without_waiting_for_the_body(
    stack: Gateway,
) -> None:
    head = (
        f"POST /v1/payments HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"x-forwarded-client-cert: {CALLER}\r\nContent-Length: 10000000000\r\n\r\n"
    )

    await refuse(stack, head.encode(), 413, "too_large", rows=0, signed=False)


async def test_a_chunked_body_beyond_the_limit_is_refused(stack: Gateway) -> None:
    head = (
        f"POST /v1/payments HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n"
        f"x-forwarded-client-cert: {CALLER}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"

    await refuse(stack, head + chunk * 5 + b"0\r\n\r\n", 413, "too_large", rows=0, signed=False)


async def test_a_missing_body_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    bare = replace(stack.sign(payment_request(), merchant.key), body=None)

    await refuse(stack, bare, 400, "body_missing", rows=0, signed=False)
