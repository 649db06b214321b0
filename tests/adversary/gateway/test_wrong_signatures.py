from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from signing import Request, parse_request
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import ORIGIN, payment_request, problem


def with_header(request: Request, name: str, value: str) -> Request:
    headers = tuple((each, value if each.lower() == name.lower() else old) for each, old in request.headers)
    return replace(request, headers=headers)


async def test_a_signature_with_one_bit_turned_is_refused_with_the_base_that_the_server_built(
    stack: Gateway,
) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    signature = next(value for name, value in request.headers if name == "Signature")
    octets = bytearray(base64.b64decode(signature.partition(":")[2].rstrip(":")))
    octets[0] ^= 1
    turned = with_header(request, "Signature", f"countermark=:{base64.b64encode(octets).decode()}:")

    answer = await refuse(stack, turned, 401, "signature_invalid", rows=1, signed=False)

    base = base64.b64decode(str(problem(answer)["signature_base"]))
    assert parse_request(request, origins=frozenset({ORIGIN})).signature_base == base
    assert base.decode() == problem(answer)["signature_base_text"]


async def test_another_merchants_signature_under_this_ones_key_id_is_refused(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Other", "EUR")
    mine, theirs = stack.sign(payment_request(), merchant.key), stack.sign(payment_request(), other.key)
    signature = next(value for name, value in theirs.headers if name == "Signature")

    await refuse(
        stack, with_header(mine, "Signature", signature), 401, "signature_invalid", rows=1, signed=False
    )


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("/v1/payments", "/v1/keys", "signature_invalid"),
        (ORIGIN, "https://evil.example", "target_not_canonical"),
    ],
)
async def test_a_signature_for_one_target_is_refused_at_another(
    stack: Gateway, old: str, new: str, code: str
) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    moved = replace(request, target_uri=request.target_uri.replace(old, new))
    if code == "target_not_canonical":
        raw = raw_request(moved, host="evil.example")
        await refuse(stack, raw, 400, code, rows=0, signed=False)
    else:
        await refuse(stack, moved, 401, code, rows=1, signed=False)


def raw_request(request: Request, *, host: str) -> bytes:
    caller = "By=spiffe://countermark.internal/gateway-sidecar;URI=spiffe://countermark.internal/edge"
    body = request.body or b""
    lines = [f"{request.method} /v1/payments HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"x-forwarded-client-cert: {caller}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_signature_stripped_of_a_component_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    fields = dict(request.headers)
    stripped = with_header(
        request, "Signature-Input", fields["Signature-Input"].replace(' "idempotency-key"', "")
    )

    await refuse(stack, stripped, 400, "signature_malformed", rows=0, signed=False)
