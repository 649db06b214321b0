from __future__ import annotations

import pytest

from signing import Request
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, without_header


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Idempotency-Key", "idempotency_key_invalid"),
        ("Content-Digest", "header_duplicated"),
        ("Signature", "header_duplicated"),
        ("Signature-Input", "header_duplicated"),
    ],
)
async def test_a_covered_header_that_occurs_twice_is_refused(stack: Gateway, name: str, code: str) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    again = request.with_headers(((name.upper(), dict(request.headers)[name]),))

    await refuse(stack, again, 400, code, rows=0, signed=False)


async def test_a_second_signature_is_refused(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Other", "EUR")
    mine = stack.sign(payment_request(), merchant.key)
    theirs = dict(stack.sign(payment_request(), other.key).headers)

    def joined(name: str, value: str) -> str:
        if name in ("Signature", "Signature-Input"):
            return f"{value}, {theirs[name].replace('countermark=', 'mallory=')}"
        return value

    headers = tuple((name, joined(name, value)) for name, value in mine.headers)
    both = Request(mine.method, mine.target_uri, headers, mine.body)

    await refuse(stack, both, 400, "signature_malformed", rows=0, signed=False)


@pytest.mark.parametrize("value", ["text/plain", "application/json; charset=utf-8", "Application/JSON"])
async def test_another_content_type_is_refused(stack: Gateway, value: str) -> None:
    merchant = await stack.merchant()
    request = without_header(stack.sign(payment_request(), merchant.key), "Content-Type")

    await refuse(
        stack,
        request.with_headers((("Content-Type", value),)),
        415,
        "unsupported_media",
        rows=0,
        signed=False,
    )


async def test_a_content_encoding_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key).with_headers((("Content-Encoding", "gzip"),))

    await refuse(stack, request, 415, "unsupported_media", rows=0, signed=False)
