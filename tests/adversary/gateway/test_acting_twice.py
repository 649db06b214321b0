"""Whoever recorded, retries or guesses requests makes nothing happen twice, and nothing that is another's."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace

from signing import Request
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import header, payment_request, post, problem
from tests.integration.gateway.payment_states import authorized, mail_of, succeeded


def with_key(request: Request, key: str) -> Request:
    """The same signed request under an idempotency key that the signature does not cover."""
    kept = tuple(pair for pair in request.headers if pair[0] != "Idempotency-Key")
    return replace(request, headers=(*kept, ("Idempotency-Key", f'"{key}"')))


async def test_a_recorded_payment_under_another_idempotency_key_is_no_second_payment(stack: Gateway) -> None:
    merchant = await stack.merchant()
    recorded = stack.sign(payment_request(), merchant.key)
    await stack.send(recorded)

    forged = with_key(recorded, secrets.token_urlsafe(24))

    await refuse(stack, forged, 401, "signature_invalid", rows=1, signed=False)


async def test_a_recorded_command_sent_to_another_payment_does_nothing_there(stack: Gateway) -> None:
    merchant = await stack.merchant()
    one, other = await authorized(stack), await authorized(stack)
    recorded = stack.sign(post(f"/v1/payments/{one}/capture", b"{}"), merchant.key)
    await stack.send(recorded)

    moved = replace(recorded, target_uri=recorded.target_uri.replace(one, other))

    await refuse(stack, moved, 401, "signature_invalid", rows=1, signed=False)
    assert [] == await mail_of(stack, other)


async def test_a_merchants_own_key_used_for_another_payments_capture_is_not_taken_for_a_repeat(
    stack: Gateway,
) -> None:
    merchant, key = await stack.merchant(), "one-key-for-two-captures-1"
    one, other = await authorized(stack), await authorized(stack)
    await stack.ask(post(f"/v1/payments/{one}/capture", b"{}", key=key))

    second = stack.sign(post(f"/v1/payments/{other}/capture", b"{}", key=key), merchant.key)

    await refuse(stack, second, 422, "idempotency_key_reused", rows=1, signed=True)
    assert [] == await mail_of(stack, other)


async def test_nobody_moves_anothers_money_or_learns_that_it_is_there(
    stack: Gateway, another: Merchant
) -> None:
    payment_id = await succeeded(stack)
    refund = json.loads((await stack.ask(post(f"/v1/payments/{payment_id}/refunds", b"{}"))).body)
    before = await mail_of(stack, payment_id)

    for path in (
        f"/v1/payments/{payment_id}/capture",
        f"/v1/payments/{payment_id}/cancel",
        f"/v1/payments/{payment_id}/refunds",
        f"/v1/refunds/{refund['id']}/cancel",
    ):
        request = stack.sign(post(path, b"{}"), another.key)
        await refuse(stack, request, 404, "not_found", rows=1, signed=True)
    assert before == await mail_of(stack, payment_id)


async def test_anothers_idempotency_key_tells_nothing_and_takes_nothing(
    stack: Gateway, another: Merchant
) -> None:
    request = payment_request(key="a-key-that-was-guessed-0001")
    first = await stack.ask(request)

    theirs = await stack.ask(request, another)

    assert (202, 202) == (first.status, theirs.status)
    assert json.loads(first.body)["id"] != json.loads(theirs.body)["id"]
    assert None is header(theirs, "Idempotent-Replayed")


async def test_a_stored_refusal_shows_its_ids_to_no_one_who_asks_for_something_else(stack: Gateway) -> None:
    first, key = payment_request(), "a-key-of-a-stored-refusal-1"
    await stack.ask(first)
    alike = post("/v1/payments", first.body or b"", key=key)
    suspected = await stack.ask(alike)

    other = await stack.ask(payment_request(key=key))

    assert (409, 422) == (suspected.status, other.status)
    assert "payment_id" not in problem(other)


async def test_of_a_hundred_refunds_at_once_no_more_than_was_paid_is_asked_for(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=100)

    answers = await asyncio.gather(
        *(stack.ask(post(f"/v1/payments/{payment_id}/refunds", b'{"amount":7}')) for _ in range(40))
    )

    asked = [mail["amount_minor"] for mail in await mail_of(stack, payment_id)]
    assert [7] * 14 == asked
    assert 14 == sum(answer.status == 202 for answer in answers)


async def test_sentences_of_refusals_are_ours_and_stay_json_whatever_was_sent(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=100)
    body = json.dumps({"amount": 101, "reason": '{detail}"}{request_id}\\'}).encode()

    answer = await stack.ask(post(f"/v1/payments/{payment_id}/refunds", body))

    told = problem(answer)
    assert (409, "refund_exceeds_available") == (answer.status, told["code"])
    assert "100 of this payment can be refunded now" == told["detail"]
