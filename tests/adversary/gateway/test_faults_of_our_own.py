from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import first_key_request, header, payment_request, problem

READ_BACK = "payments.accounts_of(text)"


@pytest_asyncio.fixture(loop_scope="session")
async def broken_record(stack: Gateway) -> AsyncIterator[None]:
    """A function that the gateway calls is gone: the nearest thing to a bug that can be had from outside."""
    await stack.query(f"alter function {READ_BACK} rename to accounts_of_gone")
    yield
    await stack.query("alter function payments.accounts_of_gone(text) rename to accounts_of")


async def test_a_bug_is_a_signed_500_that_says_nothing_and_logs_nothing_of_the_request(
    stack: Gateway, broken_record: None
) -> None:
    merchant = await stack.enrol("Unlucky", "EUR")
    instrument, reference = "tok_never_to_be_logged", "reference-never-to-be-logged"
    request = stack.sign(payment_request(instrument=instrument, merchant_reference=reference), merchant.key)
    before = await stack.footprint()

    answer = await stack.send(request)

    assert (500, "internal_error") == (answer.status, problem(answer)["code"])
    assert {"type", "title", "status", "code", "retryable", "request_id"} == set(problem(answer))
    assert before == await stack.footprint()
    await stack.receipt(request, answer)
    line = next(line for line in stack.log().splitlines() if str(problem(answer)["request_id"]) in line)
    assert "UndefinedFunctionError" == json.loads(line)["fault"]
    secrets = [
        instrument,
        reference,
        dict(request.headers)["Signature"],
        dict(request.headers)["Idempotency-Key"],
    ]
    assert [] == [secret for secret in secrets if secret in stack.log()]


async def test_after_a_bug_the_process_serves_the_next_request(stack: Gateway) -> None:
    merchant = await stack.merchant()

    answer = await stack.send(stack.sign(payment_request(), merchant.key))

    assert answer.status == 202


async def test_no_secret_of_an_enrolment_reaches_log_or_tables(stack: Gateway) -> None:
    enrolled = stack.enrol_only("Discreet", "EUR")
    merchant = await stack.merchant()
    token = enrolled["enrolment_token"]

    # A registered key with a stranger's token: refused, and the token must not stay anywhere.
    answer = await stack.send(stack.sign(first_key_request(merchant.key, enrolled), merchant.key))

    assert (409, "state_conflict") == (answer.status, problem(answer)["code"])
    assert token.partition(".")[2] not in stack.log()
    assert header(answer, "Signature") is not None
    last = (await stack.query("select * from audit.entry order by position desc limit 1"))[0]
    assert token.partition(".")[2] not in repr(dict(last))
    kept = (
        await stack.query("select * from evidence.record where subject = $1", problem(answer)["request_id"])
    )[0]
    assert None is kept["request_body"]
    assert not [v for v in kept.values() if isinstance(v, bytes) and token.partition(".")[2].encode() in v]
