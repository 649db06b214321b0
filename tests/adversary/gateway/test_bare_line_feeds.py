"""Attack 22: line ends that one parser takes and another does not, and other bytes that split lines."""

from __future__ import annotations

import pytest

from tests.adversary.gateway.raw_requests import adding, refuse_as_no_http, replacing, wire
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request


@pytest.mark.parametrize("line_end", ["\n", "\r", "\n\r", "\r\r\n"], ids=ascii)
async def test_another_line_end_is_no_http(stack: Gateway, line_end: str) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    octets = wire(signed, line_end=line_end)
    if line_end == "\r":
        # Without a line feed no line ever ends: an end of the connection is the only answer.
        octets = octets.replace(b"HTTP/1.1\r", b"HTTP/1.1\r\n", 1)

    await refuse_as_no_http(stack, octets)


@pytest.mark.parametrize(
    "line",
    [
        "X-A: b\nX-C: d",
        'X-A: b\nIdempotency-Key: "another-key-0001"',
        "X-A: b\rX-C: d",
        "X-A: b\x00",
        "X-A: b\x0bX-C: d",
        "X-A\x00: b",
        "X-A : b",
        " X-A: b",
        "X-A",
        ": b",
    ],
    ids=ascii,
)
async def test_one_line_with_a_stray_byte_is_no_http(stack: Gateway, line: str) -> None:
    merchant = await stack.merchant()

    await refuse_as_no_http(stack, wire(stack.sign(payment_request(), merchant.key), adding(line)))


async def test_a_space_before_the_colon_hides_no_header(stack: Gateway) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    hidden = replacing("Idempotency-Key", lambda line: line.replace(":", " :", 1))

    await refuse_as_no_http(stack, wire(signed, hidden))


async def test_a_bare_line_feed_at_the_end_of_the_head_is_no_http(stack: Gateway) -> None:
    merchant = await stack.merchant()
    octets = wire(stack.sign(payment_request(), merchant.key))

    await refuse_as_no_http(stack, octets.replace(b"\r\n\r\n", b"\n\n", 1))
