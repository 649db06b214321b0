from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace

import pytest

from signing import Request
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, post, problem
from tests.integration.gateway.payment_states import failed


def alike(request: Request, **changes: object) -> Request:
    """The same order under another idempotency key."""
    body = {**json.loads(request.body or b""), **changes}
    return post("/v1/payments", json.dumps(body).encode())


async def payments_of(stack: Gateway, request: Request) -> int:
    reference = json.loads(request.body or b"")["merchant_reference"]
    found = await stack.query("select from payments.payment where merchant_reference = $1", reference)
    return len(found)


async def test_a_payment_sent_again_under_another_key_is_suspected_and_names_the_first(
    stack: Gateway,
) -> None:
    request = payment_request()
    first = json.loads((await stack.ask(request)).body)

    answer = await stack.ask(alike(request))

    assert (409, "duplicate_suspected") == (answer.status, problem(answer)["code"])
    assert first["id"] == problem(answer)["payment_id"]
    assert 1 == await payments_of(stack, request)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 2000},
        {"kind": "payout"},
        {"instrument": "tok_visa_other"},
        {"merchant_reference": "another"},
    ],
)
async def test_a_payment_that_differs_in_what_a_person_would_see_is_none(
    stack: Gateway, changes: dict[str, object]
) -> None:
    request = payment_request()
    await stack.ask(request)
    if "merchant_reference" in changes:
        changes = {"merchant_reference": secrets.token_hex(8)}

    answer = await stack.ask(alike(request, **changes))

    assert 202 == answer.status


async def test_the_same_order_of_two_merchants_is_none(stack: Gateway) -> None:
    other, request = await stack.enrol("Other", "EUR"), payment_request()

    answers = [await stack.ask(request), await stack.ask(alike(request), other)]

    assert [202, 202] == [answer.status for answer in answers]


async def test_without_a_reference_nothing_is_suspected(stack: Gateway) -> None:
    request = payment_request(merchant_reference=None)

    answers = [await stack.ask(alike(request)) for _ in range(3)]

    assert [202] * 3 == [answer.status for answer in answers]


async def test_whoever_says_so_in_the_signed_body_may_pay_twice(stack: Gateway) -> None:
    request = payment_request()
    await stack.ask(request)

    allowed = await stack.ask(alike(request, duplicate_policy="allow"))
    then = await stack.ask(alike(request))

    assert (202, 409) == (allowed.status, then.status)
    # The newest is named: the one that a person would look up.
    assert json.loads(allowed.body)["id"] == problem(then)["payment_id"]
    assert 2 == await payments_of(stack, request)


async def test_a_payment_that_came_to_nothing_can_be_made_again(stack: Gateway) -> None:
    request = payment_request()
    await failed(stack, json.loads((await stack.ask(request)).body)["id"])

    again, third = await stack.ask(alike(request)), await stack.ask(alike(request))

    assert (202, 409) == (again.status, third.status)


async def test_after_its_window_an_order_may_look_like_an_old_one(stack: Gateway) -> None:
    request = payment_request()
    first = json.loads((await stack.ask(request)).body)
    await stack.query(
        "update payments.likeness set accepted_at = now() - payments.duplicate_window() - interval '1 s'"
        " where payment_id = $1",
        first["id"],
    )

    answer = await stack.ask(alike(request))

    assert 202 == answer.status


async def test_of_many_at_once_under_as_many_keys_one_is_paid(stack: Gateway) -> None:
    request = payment_request()

    answers = await asyncio.gather(*(stack.ask(alike(request)) for _ in range(30)))

    paid = [json.loads(answer.body)["id"] for answer in answers if answer.status == 202]
    named = {problem(answer)["payment_id"] for answer in answers if answer.status == 409}
    assert 1 == len(paid)
    assert set(paid) == named
    assert 1 == await payments_of(stack, request)


async def test_a_repeat_of_the_first_is_no_duplicate(stack: Gateway) -> None:
    request = payment_request()
    first = await stack.ask(request)

    again = await stack.ask(replace(request))

    assert (first.status, first.body) == (again.status, again.body)
