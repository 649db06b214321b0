"""Attack 20: a header value that goes on in the next line, which proxies join in different ways."""

from __future__ import annotations

import pytest

from tests.adversary.gateway.raw_requests import refuse_as_no_http, replacing, wire
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
@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t", "\n "], ids=ascii)
async def test_a_folded_header_is_no_http(stack: Gateway, name: str, fold: str) -> None:
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)

    await refuse_as_no_http(
        stack, wire(signed, replacing(name, lambda line: line.replace(": ", f":{fold}", 1)))
    )
    await refuse_as_no_http(stack, wire(signed, replacing(name, lambda line: line + fold + "more")))


@pytest.mark.parametrize("name", _COVERED)
@pytest.mark.parametrize("joiner", [" ", "  ", "   ", "\t"], ids=ascii)
async def test_what_a_proxy_makes_of_a_fold_is_refused(stack: Gateway, name: str, joiner: str) -> None:
    # One space is what RFC 9110 asks of a proxy; HAProxy writes four, Envoy two.
    merchant = await stack.merchant()
    signed = stack.sign(payment_request(), merchant.key)
    status, code = _COVERED[name]
    octets = wire(signed, replacing(name, lambda line: f"{line}{joiner}more"))

    await refuse(stack, octets, status, code, rows=0, signed=False)
