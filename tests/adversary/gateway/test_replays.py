"""Attacks 11 and 18 at the gateway: the same request again, byte for byte or with its signature's twin."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from dataclasses import replace

import pytest_asyncio

from signing import Request, SigningKey, sign_request
from signing.profile import CLOCK_SKEW_S_MAX
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import (
    first_key_request,
    get,
    header,
    payment_request,
    problem,
)

LEFT_S = 2  # of the signature's time, when the read is made
_ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def by_p256(stack: Gateway) -> Merchant:
    """A merchant whose signatures have twins."""
    enrolled, key = stack.enrol_only("Malleable", "EUR"), SigningKey.generate("ecdsa-p256-sha256")
    answer = await stack.send(stack.sign(first_key_request(key, enrolled), key))
    assert 201 == answer.status
    return Merchant(enrolled["merchant_id"], key)


def twin(request: Request) -> Request:
    """Return the request with the other valid spelling of its ECDSA signature."""
    fields = dict(request.headers)
    raw = base64.b64decode(fields["Signature"].partition(":")[2][:-1])
    s = _ORDER_P256 - int.from_bytes(raw[32:], "big")
    fields["Signature"] = f"countermark=:{base64.b64encode(raw[:32] + s.to_bytes(32, 'big')).decode()}:"
    return replace(request, headers=tuple(fields.items()))


async def test_a_payment_with_the_twin_of_its_signature_is_the_same_payment(
    stack: Gateway, by_p256: Merchant
) -> None:
    request = stack.sign(payment_request(), by_p256.key)
    first = await stack.send(request)
    before = await stack.footprint()

    again = await stack.send(twin(request))

    assert (202, first.body) == (again.status, again.body)
    assert "true" == header(again, "Idempotent-Replayed")
    assert before == await stack.footprint()


async def test_a_read_with_the_twin_of_its_signature_is_a_replay(stack: Gateway, by_p256: Merchant) -> None:
    paid = json.loads((await stack.send(stack.sign(payment_request(), by_p256.key))).body)
    read = stack.sign(get(f"/v1/payments/{paid['id']}"), by_p256.key)
    assert 200 == (await stack.send(read)).status

    await refuse(stack, twin(read), 401, "signature_replayed", rows=1, signed=True)


async def test_of_one_read_sent_many_times_at_once_one_is_answered(stack: Gateway) -> None:
    merchant = await stack.merchant()
    paid = json.loads((await stack.send(stack.sign(payment_request(), merchant.key))).body)
    read = stack.sign(get(f"/v1/payments/{paid['id']}"), merchant.key)

    answers = await asyncio.gather(*(stack.send(read) for _ in range(8)))

    assert [200] + [401] * 7 == sorted(answer.status for answer in answers)


async def test_the_same_nonce_of_two_keys_is_no_replay(stack: Gateway, by_p256: Merchant) -> None:
    merchant, nonce, now = await stack.merchant(), secrets.token_urlsafe(24), int(time.time())
    unsigned = get("/v1/payments/pay_eu_01jx4q0000000000000000000a")
    statuses = []
    for key in (merchant.key, by_p256.key, merchant.key):
        request = unsigned.with_headers(sign_request(unsigned, key, now=now, nonce=nonce))
        statuses.append((await stack.send(request)).status)

    assert [404, 404, 401] == statuses


async def test_at_the_end_of_its_time_a_recorded_read_goes_from_replayed_to_expired(stack: Gateway) -> None:
    # Were the nonce forgotten before the signature's last second, there would be a moment to read again.
    merchant, nonce = await stack.merchant(), secrets.token_urlsafe(24)
    unsigned = get("/v1/payments/pay_eu_01jx4q0000000000000000000a")
    created = int(time.time()) - CLOCK_SKEW_S_MAX + LEFT_S
    fields = sign_request(unsigned, merchant.key, now=created, nonce=nonce, lifetime_s=1)
    read = unsigned.with_headers(fields)
    assert 404 == (await stack.send(read)).status

    codes = ["signature_replayed"]
    async with asyncio.timeout(10 * LEFT_S):
        while codes[-1] == "signature_replayed":
            codes.append(str(problem(await stack.send(read))["code"]))

    assert {"signature_replayed", "signature_expired"} == set(codes)
