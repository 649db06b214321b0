from __future__ import annotations

import asyncio
import time

from gateway.access.merchants import KEY_AGE_S_MAX
from gateway.access.replay import PAUSE_S
from signing import Response, SigningKey
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request, problem

RECOVERY_S_MAX = 10.0  # what is promised after any fault ends


async def until_accepted(stack: Gateway, key: SigningKey) -> Response:
    deadline = time.monotonic() + RECOVERY_S_MAX
    while True:
        answer = await stack.send(stack.sign(payment_request(), key))
        if answer.status == 202 or time.monotonic() > deadline:
            return answer
        assert answer.status == 503, answer.body


async def test_a_burst_of_reads_does_not_make_the_replay_memory_forget(stack: Gateway) -> None:
    merchant = await stack.enrol("Burst", "EUR")  # Its refusals must not use up another's rows.
    reads = [stack.sign(get("/v1/payments/pay_eu_none"), merchant.key) for _ in range(80)]
    before = await stack.counter("gateway_reads_unremembered_total")

    await asyncio.gather(*(stack.send(read) for read in reads))
    replayed = [await stack.send(read) for read in reads[:5]]

    assert before == await stack.counter("gateway_reads_unremembered_total")
    assert ["signature_replayed"] * 5 == [problem(answer)["code"] for answer in replayed]


async def test_while_the_record_is_away_answers_are_503_signed_and_service_returns_by_itself(
    stack: Gateway,
) -> None:
    merchant = await stack.merchant()
    await stack.send(stack.sign(payment_request(), merchant.key))
    request = stack.sign(payment_request(), merchant.key)
    before = await stack.footprint()

    await stack.relay.cut()
    away = await stack.send(request)
    await stack.await_ready(ready=False)
    published = await stack.send(get("/.well-known/countermark-keys"))
    await stack.relay.mend()

    assert (503, "cell_unavailable") == (away.status, problem(away)["code"])
    assert "1" == header(away, "Retry-After")
    assert 200 == published.status
    assert before == await stack.footprint()
    assert 202 == (await until_accepted(stack, merchant.key)).status
    await stack.await_ready()
    # The refused request was not used up: sent again, the same bytes are a payment.
    again = await stack.send(request)
    assert 202 == again.status
    for answer in (away, again):
        await stack.receipt(request, answer)


async def test_a_key_seen_long_ago_gets_a_signed_503_and_nothing_else_while_the_record_is_away(
    stack: Gateway,
) -> None:
    merchant, stranger = await stack.merchant(), SigningKey.generate("ed25519")
    await stack.send(stack.sign(payment_request(), merchant.key))
    await stack.relay.cut()
    await asyncio.sleep(KEY_AGE_S_MAX)  # the very promise: after this time a key is not trusted unseen
    request = stack.sign(payment_request(), merchant.key)

    known, unknown = await stack.send(request), await stack.send(stack.sign(payment_request(), stranger))
    await stack.relay.mend()

    assert (503, 503) == (known.status, unknown.status)
    await stack.receipt(request, known)
    assert header(unknown, "Signature") is None
    assert 202 == (await until_accepted(stack, merchant.key)).status


async def test_a_refusal_that_cannot_be_written_down_is_not_given(stack: Gateway) -> None:
    merchant = await stack.merchant()
    await stack.send(stack.sign(payment_request(), merchant.key))
    wrong = stack.sign(payment_request(amount=0), merchant.key)

    await stack.relay.cut()
    away = await stack.send(wrong)
    await stack.relay.mend()

    assert (503, "cell_unavailable") == (away.status, problem(away)["code"])
    assert 202 == (await until_accepted(stack, merchant.key)).status
    assert 422 == (await stack.send(wrong)).status


async def test_without_redis_payments_and_reads_are_served_and_unremembered_reads_are_counted(
    stack: Gateway,
) -> None:
    merchant = await stack.merchant()
    read = stack.sign(get("/v1/payments/pay_eu_01jx4q0000000000000000000a"), merchant.key)
    stack.redis.stop()

    answers = [await stack.send(read), await stack.send(read)]
    paid = await stack.send(stack.sign(payment_request(), merchant.key))
    counted = await stack.counter("gateway_reads_unremembered_total")
    stack.redis.start()

    assert [404, 404] == [answer.status for answer in answers]
    assert 202 == paid.status
    assert counted >= 2


async def test_a_read_is_good_for_once(stack: Gateway) -> None:
    merchant = await stack.merchant()
    deadline = time.monotonic() + PAUSE_S + RECOVERY_S_MAX
    # Redis may just have come back from another test: wait until reads are remembered again.
    while True:
        unremembered = await stack.counter("gateway_reads_unremembered_total")
        read = stack.sign(get("/v1/payments/pay_eu_01jx4q0000000000000000000a"), merchant.key)
        first = await stack.send(read)
        if unremembered == await stack.counter("gateway_reads_unremembered_total"):
            break
        assert time.monotonic() < deadline

    replayed = await stack.send(read)

    assert (404, "not_found") == (first.status, problem(first)["code"])
    assert (401, "signature_replayed") == (replayed.status, problem(replayed)["code"])
    await stack.receipt(read, replayed)
