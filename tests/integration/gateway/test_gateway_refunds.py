from __future__ import annotations

import asyncio
import json

import pytest

from signing import Response
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import header, post, problem
from tests.integration.gateway.payment_states import accepted, authorized, mail_of, succeeded


async def ask_refund(
    stack: Gateway,
    payment_id: str,
    *,
    key: str | None = None,
    merchant: Merchant | None = None,
    **body: object,
) -> Response:
    request = post(f"/v1/payments/{payment_id}/refunds", json.dumps(body).encode(), key=key)
    return await stack.ask(request, merchant)


async def cancel(stack: Gateway, refund_id: str) -> Response:
    return await stack.ask(post(f"/v1/refunds/{refund_id}/cancel", b"{}"))


async def test_a_refund_is_mail_for_the_engine_with_an_id_of_its_own(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=1000)

    answer = await ask_refund(stack, payment_id, amount=400, reason="does not fit")

    refund = json.loads(answer.body)
    (mail,) = await mail_of(stack, payment_id)
    assert 202 == answer.status
    assert f"/v1/refunds/{refund['id']}" == header(answer, "Location")
    assert ("refund", "requested", payment_id, 400, "EUR", "does not fit") == tuple(
        refund[name] for name in ("object", "status", "payment_id", "amount", "currency", "reason")
    )
    assert ("RefundAsked", "user", refund["id"], 400, "does not fit") == tuple(
        mail[name] for name in ("type", "origin", "refund_id", "amount_minor", "reason")
    )


async def test_a_refund_without_an_amount_is_of_all_that_is_left(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=1000)
    await ask_refund(stack, payment_id, amount=300)

    answer = await ask_refund(stack, payment_id)

    assert 700 == json.loads(answer.body)["amount"]
    assert [300, 700] == [mail["amount_minor"] for mail in await mail_of(stack, payment_id)]


async def test_concurrent_refunds_never_ask_for_more_than_was_paid(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=1000)

    answers = await asyncio.gather(*(ask_refund(stack, payment_id, amount=300) for _ in range(12)))

    refused = [answer for answer in answers if answer.status != 202]
    assert 3 == len(answers) - len(refused)
    assert {(409, "refund_exceeds_available")} == {(each.status, problem(each)["code"]) for each in refused}
    assert [300] * 3 == [mail["amount_minor"] for mail in await mail_of(stack, payment_id)]


async def test_with_nothing_left_a_refund_of_the_rest_is_refused_and_stays_refused(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=1000)
    await ask_refund(stack, payment_id)
    key = "a-refund-of-nothing-000001"
    first = await ask_refund(stack, payment_id, key=key)
    await stack.query("delete from payments.mail where payment_id = $1", payment_id)  # as if it had failed

    again = await ask_refund(stack, payment_id, key=key)

    assert (409, "refund_exceeds_available") == (first.status, problem(first)["code"])
    assert (first.status, first.body) == (again.status, again.body)
    assert "true" == header(again, "Idempotent-Replayed")


@pytest.mark.parametrize("state", [accepted, authorized])
async def test_what_was_not_paid_is_not_refunded(stack: Gateway, state: object) -> None:
    assert callable(state)
    payment_id: str = await state(stack)

    answer = await ask_refund(stack, payment_id, amount=1)

    assert (409, "state_conflict") == (answer.status, problem(answer)["code"])
    assert [] == await mail_of(stack, payment_id)


async def test_a_repeated_refund_is_one_refund_with_its_location(stack: Gateway) -> None:
    payment_id = await succeeded(stack, amount=1000)
    key = "a-refund-asked-for-twice-1"
    first = await ask_refund(stack, payment_id, key=key)

    again = await ask_refund(stack, payment_id, key=key)

    assert (first.status, first.body) == (again.status, again.body)
    assert header(first, "Location") == header(again, "Location")
    assert header(first, "Request-Id") == header(again, "Idempotency-Original-Request")
    assert 1 == len(await mail_of(stack, payment_id))


async def test_a_refund_that_the_engine_has_not_seen_yet_can_be_cancelled_once(stack: Gateway) -> None:
    payment_id = await succeeded(stack)
    refund_id = json.loads((await ask_refund(stack, payment_id)).body)["id"]

    first, second = await cancel(stack, refund_id), await cancel(stack, refund_id)

    assert (202, 409) == (first.status, second.status)
    assert ("cancel", refund_id) == tuple(json.loads(first.body)[name] for name in ("action", "refund_id"))
    assert ["RefundAsked", "RefundCancelAsked"] == [mail["type"] for mail in await mail_of(stack, payment_id)]


@pytest.mark.parametrize(("status", "expected"), [("in_review", 202), ("succeeded", 409)])
async def test_a_refund_is_cancelled_until_a_bank_has_it(stack: Gateway, status: str, expected: int) -> None:
    payment_id = await succeeded(stack)
    refund_id = "ref" + payment_id.removeprefix("pay")
    await stack.query(
        "insert into payments.refund (refund_id, payment_id, origin, amount_minor, status, reason, asked_by,"
        " asked_at, due) values ($1, $2, 'user', 1, $3, '', 'somebody', now(),"
        " case when $3 = 'in_review' then now() end)",
        refund_id,
        payment_id,
        status,
    )

    answer = await cancel(stack, refund_id)

    assert expected == answer.status


async def test_another_merchants_payments_and_refunds_are_not_found(stack: Gateway) -> None:
    other = await stack.enrol("Other", "EUR")
    payment_id = await succeeded(stack, merchant=other)
    refund_id = json.loads((await ask_refund(stack, payment_id, merchant=other)).body)["id"]

    answers = [await ask_refund(stack, payment_id, amount=1), await cancel(stack, refund_id)]

    assert [(404, "not_found")] * 2 == [(answer.status, problem(answer)["code"]) for answer in answers]
    assert 1 == len(await mail_of(stack, payment_id))
