"""Two workers of one cell with small limits; what one merchant or address does too often touches no other."""

from __future__ import annotations

import json
import secrets
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from gateway.config import LimitsConfig
from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request, problem
from tests.integration.gateway.second_worker import second_worker
from tests.integration.node.load import until_seen

# Slow enough that a busy host does not see a bucket fill up again by itself.
LIMITS = LimitsConfig(merchant_per_s=1, merchant_burst=40, source_per_s=1, source_burst=20)
AWAIT_S_MAX = 15.0
READ = "/v1/payments/pay_eu_01jx4q0000000000000000000a"


@dataclass(frozen=True)
class Workers:
    one: Gateway
    other: Gateway


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workers(stack: Gateway) -> AsyncIterator[Workers]:
    async with (
        second_worker(stack, name="limited-one", limits=LIMITS) as one,
        second_worker(stack, name="limited-other", limits=LIMITS) as other,
    ):
        yield Workers(one, other)


def an_address() -> str:
    """One that no other test comes from."""
    return f"2001:db8:{secrets.randbelow(65536):x}:{secrets.randbelow(65536):x}::1"


def coming_from(address: str, request: Request) -> Request:
    return request.with_headers((("X-Forwarded-For", address),))


async def until_refused(worker: Gateway, request: Request, most: int) -> list[Response]:
    """Send it unsigned, again and again, until it is too much."""
    answers = []
    for _ in range(most):
        answers.append(await worker.send(request))
        if answers[-1].status == 429:
            break
    return answers


async def test_a_merchant_beyond_its_rate_gets_a_signed_429_and_nobody_else_does(
    stack: Gateway, workers: Workers
) -> None:
    hasty, calm = await stack.enrol("Hasty", "EUR"), await stack.enrol("Calm", "EUR")
    requests = [stack.sign(payment_request(), hasty.key) for _ in range(LIMITS.merchant_burst + 20)]

    answers = [await workers.one.send(request) for request in requests]
    of_calm = await workers.one.ask(payment_request(), calm)

    statuses = [answer.status for answer in answers]
    refused = statuses.count(429)
    assert {202, 429} == set(statuses)
    assert LIMITS.merchant_burst <= statuses.index(429) <= LIMITS.merchant_burst + 10
    assert 202 == of_calm.status
    last = next(answer for answer in reversed(answers) if answer.status == 429)
    request = requests[len(answers) - 1 - answers[::-1].index(last)]
    await stack.receipt(request, last)
    assert ("rate_limited", True, ["merchant"]) == tuple(
        problem(last)[name] for name in ("code", "retryable", "violated-policies")
    )
    assert "1" == header(last, "Retry-After") == str(problem(last)["retry_after_s"])
    assert '"merchant";q=40;w=40' == header(last, "RateLimit-Policy")
    assert '"merchant";r=0;' in (header(last, "RateLimit") or "")
    rows = await stack.query(
        "select count(*) as n from payments.payment where merchant_id = $1", hasty.merchant_id
    )
    assert len(answers) - refused == rows[0]["n"]
    assert [] == await stack.query(
        "select code from audit.entry where merchant_id = $1 and kind = 'refusal'", hasty.merchant_id
    )


async def test_a_refused_payment_sent_again_later_is_the_first_one(stack: Gateway, workers: Workers) -> None:
    merchant = await stack.enrol("Patient", "EUR")
    for _ in range(LIMITS.merchant_burst + 10):
        request = stack.sign(payment_request(), merchant.key)
        if (await workers.one.send(request)).status == 429:
            break

    answers: list[Response] = []

    async def is_admitted() -> bool:
        answers.append(await workers.one.send(request))
        return answers[-1].status != 429

    await until_seen(is_admitted)
    answer = answers[-1]

    assert 202 == answer.status
    assert header(answer, "Idempotent-Replayed") is None


async def test_an_answer_says_how_much_of_the_rate_is_left(stack: Gateway, workers: Workers) -> None:
    merchant = await stack.enrol("Curious", "EUR")

    answers = [await workers.one.ask(get(READ), merchant) for _ in range(3)]
    stranger = await workers.one.send(coming_from(an_address(), get(READ)))

    left = [int((header(answer, "RateLimit") or "").split("r=")[1].split(";")[0]) for answer in answers]
    assert LIMITS.merchant_burst - 1 == left[0] >= left[1] >= left[2]
    assert header(stranger, "RateLimit") is None


async def test_workers_share_a_rate(stack: Gateway, workers: Workers) -> None:
    merchant = await stack.enrol("Everywhere", "EUR")
    for _ in range(LIMITS.merchant_burst):
        await workers.one.ask(get(READ), merchant)

    admitted = 0
    while (await workers.other.ask(get(READ), merchant)).status != 429:
        admitted += 1
        assert admitted < LIMITS.merchant_burst, "the other worker begins with a whole burst of its own"


async def test_without_redis_each_worker_holds_the_limits_alone(stack: Gateway, workers: Workers) -> None:
    merchant, before = (
        await stack.enrol("Alone", "EUR"),
        await workers.one.counter("gateway_rates_untold_total"),
    )
    stack.redis.stop()
    try:
        answers = [await workers.one.ask(get(READ), merchant) for _ in range(LIMITS.merchant_burst + 20)]
        address = an_address()
        strangers = await until_refused(
            workers.one, coming_from(address, get(READ)), LIMITS.source_burst + 20
        )
        untold = await workers.one.counter("gateway_rates_untold_total")
    finally:
        stack.redis.start()

    assert {404, 429} == {answer.status for answer in answers}
    assert 429 == strangers[-1].status
    assert before < untold


async def test_a_redis_that_hangs_slows_no_payment(stack: Gateway, workers: Workers) -> None:
    merchant = await stack.enrol("Unhurried", "EUR")
    assert stack.redis.process is not None
    stack.redis.process.send_signal(signal.SIGSTOP)
    try:
        statuses = [(await workers.one.ask(payment_request(), merchant)).status for _ in range(10)]
        hanging = await workers.one.counter("gateway_rates_untold_total")
        deadline = time.monotonic() + AWAIT_S_MAX
        while hanging == await workers.one.counter("gateway_rates_untold_total"):
            assert time.monotonic() < deadline
            await workers.one.ask(payment_request(), merchant)
    finally:
        stack.redis.process.send_signal(signal.SIGCONT)

    assert [202] * 10 == statuses


async def test_an_address_that_nobody_is_recognised_at_is_refused_before_any_work(
    stack: Gateway, workers: Workers
) -> None:
    address, before = an_address(), await stack.footprint()

    answers = await until_refused(
        workers.one, coming_from(address, payment_request()), LIMITS.source_burst + 20
    )
    elsewhere = await workers.one.send(coming_from(an_address(), payment_request()))
    document = await workers.one.send(coming_from(address, get("/.well-known/countermark-keys")))

    assert {401, 429} == {answer.status for answer in answers}
    assert LIMITS.source_burst <= len(answers) - 1 <= LIMITS.source_burst + 10
    assert (401, 429) == (elsewhere.status, document.status)
    assert header(answers[-1], "Signature") is None
    assert ["source"] == problem(answers[-1])["violated-policies"]
    assert before == await stack.footprint()


async def test_what_a_merchant_signs_costs_its_address_nothing(stack: Gateway, workers: Workers) -> None:
    merchant, address = await stack.enrol("Good", "EUR"), an_address()

    for _ in range(LIMITS.source_burst + 5):
        answer = await workers.one.send(coming_from(address, stack.sign(payment_request(), merchant.key)))
        assert 202 == answer.status
    stranger = await workers.one.send(coming_from(address, payment_request()))

    assert 401 == stranger.status


async def test_nobody_uses_up_a_merchants_rate_without_its_key(stack: Gateway, workers: Workers) -> None:
    victim, address = await stack.enrol("Victim", "EUR"), an_address()
    forged = stack.sign(payment_request(), victim.key)
    forged = coming_from(address, Request(forged.method, forged.target_uri, forged.headers, b"{}"))

    answers = await until_refused(workers.one, forged, LIMITS.source_burst + 20)
    honest = await workers.one.ask(get(READ), victim)

    assert {401, 429} == {answer.status for answer in answers}
    left = (header(honest, "RateLimit") or "").split(";")[1]
    assert f"r={LIMITS.merchant_burst - 1}" == left


async def test_a_fault_of_ours_is_charged_to_nobody(stack: Gateway, workers: Workers) -> None:
    address = an_address()
    stranger = await stack.enrol("Fresh", "EUR")
    await workers.other.relay.cut()
    try:
        answers = [
            await workers.other.send(coming_from(address, stack.sign(get(READ), stranger.key)))
            for _ in range(LIMITS.source_burst + 10)
        ]
    finally:
        await workers.other.relay.mend()

    assert {503} == {answer.status for answer in answers}
    await workers.other.await_ready()


async def test_the_mesh_itself_is_not_limited(workers: Workers) -> None:
    for _ in range(LIMITS.source_burst + 20):
        health = await workers.one.send(get("/healthz"), caller="supervisor")
        assert 200 == health.status, json.dumps(health.body.decode())
