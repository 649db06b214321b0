from __future__ import annotations

import asyncio
import json
import time

from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request
from tests.integration.gateway.told_payments import accept, engine_of

LONG_ENOUGH_S = 10.0


def preferring(request: Request, seconds: int) -> Request:
    return request.with_headers((("Prefer", f"wait={seconds}"),))


async def test_a_payment_that_ends_in_time_is_answered_200_with_how_it_stands(stack: Gateway) -> None:
    merchant = await stack.enrol("Waits", "EUR")
    request = stack.sign(preferring(payment_request(), 20), merchant.key)

    waiting = asyncio.create_task(stack.send(request))
    await _settle(stack, merchant.merchant_id)
    answer = await asyncio.wait_for(waiting, LONG_ENOUGH_S)

    shown = json.loads(answer.body)
    assert (200, "succeeded") == (answer.status, shown["status"])
    assert "wait=20" == header(answer, "Preference-Applied")
    assert f"/v1/payments/{shown['id']}" == header(answer, "Location")
    await stack.receipt(request, answer)


async def test_a_repeat_names_the_same_payment_whether_or_not_it_waits(stack: Gateway) -> None:
    merchant = await stack.enrol("Repeats", "EUR")
    unsigned = payment_request(key="a-payment-that-is-waited-for")
    waiting = asyncio.create_task(stack.ask(preferring(unsigned, 20), merchant))
    await _settle(stack, merchant.merchant_id)
    first = await asyncio.wait_for(waiting, LONG_ENOUGH_S)

    again = await stack.ask(unsigned, merchant)
    waiting_again = await stack.ask(preferring(unsigned, 20), merchant)

    assert (200, 202, 200) == (first.status, again.status, waiting_again.status)
    assert "true" == header(again, "Idempotent-Replayed") == header(waiting_again, "Idempotent-Replayed")
    assert first.body == waiting_again.body
    accepted, shown = json.loads(again.body), json.loads(first.body)
    moved = {"status", "sequence"}
    assert {k: v for k, v in accepted.items() if k not in moved} == {
        name: shown[name] for name in accepted.keys() - moved
    }
    [kept] = await stack.query("select response_body from evidence.record where subject = $1", shown["id"])
    assert again.body == kept["response_body"]


async def test_a_payment_that_does_not_end_in_time_is_answered_as_accepted(stack: Gateway) -> None:
    merchant = await stack.enrol("Waits in vain", "EUR")
    request = stack.sign(preferring(payment_request(), 1), merchant.key)

    begun = time.monotonic()
    answer = await stack.send(request)

    assert (202, "wait=1") == (answer.status, header(answer, "Preference-Applied"))
    assert 1.0 <= time.monotonic() - begun
    await stack.receipt(request, answer)


async def test_a_read_waits_for_a_payment_that_its_merchant_has_to_capture(stack: Gateway) -> None:
    merchant = await stack.enrol("Captures", "EUR")
    payment_id = await accept(stack, merchant)
    await stack.query(
        "update payments.payment set capture_method = 'manual' where payment_id = $1", payment_id
    )
    waiting = asyncio.create_task(stack.ask(preferring(get(f"/v1/payments/{payment_id}"), 20), merchant))
    await _settle(stack, merchant.merchant_id)

    answer = await asyncio.wait_for(waiting, LONG_ENOUGH_S)

    shown = json.loads(answer.body)
    assert (200, "authorized", 1999) == (answer.status, shown["status"], shown["amount_capturable"])
    assert "wait=20" == header(answer, "Preference-Applied")


async def test_nobody_waits_for_what_is_another_merchants(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Nosy", "EUR")
    payment_id = await accept(stack, merchant)

    waiting = asyncio.create_task(stack.ask(preferring(get(f"/v1/payments/{payment_id}"), 2), other))
    begun = time.monotonic()
    await _settle(stack, merchant.merchant_id)
    answer = await waiting

    assert 404 == answer.status
    assert 2.0 <= time.monotonic() - begun


async def test_whoever_waits_when_the_process_stops_is_answered_at_once(stack: Gateway) -> None:
    merchant = await stack.merchant()
    payment_id = await accept(stack, merchant)
    request = stack.sign(preferring(get(f"/v1/payments/{payment_id}"), 20), merchant.key)
    waiting = asyncio.create_task(stack.send(request))
    await _await_a_waiter(stack)
    begun = time.monotonic()

    codes = await asyncio.to_thread(stack.stop)
    answer = await waiting

    try:
        assert (200, "accepted") == (answer.status, json.loads(answer.body)["status"])
        assert [0] == codes
        assert time.monotonic() - begun < LONG_ENOUGH_S
    finally:
        stack.start()
        await stack.await_ready()


async def test_a_condition_that_names_the_sequence_is_answered_with_304_and_a_receipt(stack: Gateway) -> None:
    merchant = await stack.merchant()
    payment_id = await accept(stack, merchant)
    first = await stack.ask(get(f"/v1/payments/{payment_id}"))
    tag = header(first, "ETag")
    assert tag == '"1"'
    request = stack.sign(get(f"/v1/payments/{payment_id}"), merchant.key)
    request = request.with_headers((("If-None-Match", tag),))

    answer = await stack.send(request)
    other = await stack.ask(get(f"/v1/payments/{payment_id}").with_headers((("If-None-Match", '"2"'),)))

    assert (304, b"", tag) == (answer.status, answer.body, header(answer, "ETag"))
    receipt = await stack.receipt(request, answer)
    assert (304, b"") == (receipt.status, receipt.response.body)
    # What the receipt covers says which sequence was found, whatever became of the condition on its way.
    assert "application/json; sequence=1" == header(answer, "Content-Type")
    assert 200 == other.status


async def _settle(stack: Gateway, merchant_id: str) -> None:
    """Let the engine take the merchant's payment, once it is there, to where it rests."""
    async with engine_of(stack) as paying:
        deadline = time.monotonic() + LONG_ENOUGH_S
        while time.monotonic() < deadline:
            await paying.submit()
            await paying.answer_all()
            rows = await stack.query(
                "select status from payments.payment where merchant_id = $1"
                " and status in ('succeeded', 'authorized')",
                merchant_id,
            )
            if rows:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the payment did not come to rest")


async def _await_a_waiter(stack: Gateway) -> None:
    deadline = time.monotonic() + LONG_ENOUGH_S
    while time.monotonic() < deadline:
        if await stack.counter("gateway_waiters"):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nobody waits")
