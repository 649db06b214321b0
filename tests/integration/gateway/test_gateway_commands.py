from __future__ import annotations

import asyncio
import json

import pytest

from signing import Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import header, payment_request, post, problem
from tests.integration.gateway.payment_states import accepted, authorized, mail_of, succeeded


async def test_a_cancel_is_mail_for_the_engine_with_evidence_of_its_own(stack: Gateway) -> None:
    payment_id = await accepted(stack)

    answer = await stack.ask(post(f"/v1/payments/{payment_id}/cancel", b"{}"))

    told = json.loads(answer.body)
    evidence = await stack.query("select kind, decision from evidence.record where subject = $1", told["id"])
    assert 202 == answer.status
    assert ("cancel", payment_id) == (told["action"], told["payment_id"])
    assert ["VoidAsked"] == [mail["type"] for mail in await mail_of(stack, payment_id)]
    assert [("command", "accepted")] == [tuple(row) for row in evidence]


async def test_a_repeat_of_a_command_gets_the_stored_answer_and_does_nothing(stack: Gateway) -> None:
    payment_id = await authorized(stack)
    request = post(f"/v1/payments/{payment_id}/capture", b'{"amount":100}')

    answers: list[Response] = await asyncio.gather(*(stack.ask(request) for _ in range(20)))

    assert {202} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert 19 == sum(header(answer, "Idempotent-Replayed") == "true" for answer in answers)
    asked = [(mail["type"], mail["amount_minor"]) for mail in await mail_of(stack, payment_id)]
    assert [("CaptureAsked", 100)] == asked


async def test_a_key_that_was_used_for_another_command_is_refused(stack: Gateway) -> None:
    payment_id = await authorized(stack)
    path = f"/v1/payments/{payment_id}/capture"
    await stack.ask(post(path, b'{"amount":100}', key="one-key-two-amounts"))

    answer = await stack.ask(post(path, b'{"amount":101}', key="one-key-two-amounts"))

    assert 422 == answer.status
    assert "idempotency_key_reused" == problem(answer)["code"]


async def test_the_key_of_one_payments_command_says_nothing_about_another_payment(stack: Gateway) -> None:
    one, other = await authorized(stack), await authorized(stack)
    key = "one-key-for-two-payments-01"
    first = await stack.ask(post(f"/v1/payments/{one}/capture", b"{}", key=key))

    second = await stack.ask(post(f"/v1/payments/{other}/capture", b"{}", key=key))

    assert 202 == first.status
    assert (422, "idempotency_key_reused") == (second.status, problem(second)["code"])


async def test_two_captures_of_one_payment_are_one_capture_and_one_refusal(stack: Gateway) -> None:
    payment_id = await authorized(stack)

    answers = await asyncio.gather(
        *(stack.ask(post(f"/v1/payments/{payment_id}/capture", b"{}")) for _ in range(8))
    )

    assert [202, *[409] * 7] == sorted(answer.status for answer in answers)
    assert 1 == len(await mail_of(stack, payment_id))


@pytest.mark.parametrize(
    ("state", "action", "body"),
    [
        (accepted, "capture", b"{}"),  # it is captured by itself
        (authorized, "capture", b'{"amount":2000}'),  # more than was authorised
        (succeeded, "capture", b"{}"),
        (succeeded, "cancel", b"{}"),
    ],
)
async def test_what_certainly_cannot_be_done_is_refused_at_once_and_leaves_no_mail(
    stack: Gateway, state: object, action: str, body: bytes
) -> None:
    assert callable(state)
    payment_id: str = await state(stack)

    answer = await stack.ask(post(f"/v1/payments/{payment_id}/{action}", body))

    assert (409, "state_conflict") == (answer.status, problem(answer)["code"])
    assert [] == await mail_of(stack, payment_id)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/payments/pay_eu_01jx4q0000000000000000000a/capture",
        "/v1/payments/pay_eu_01jx4q0000000000000000000a/cancel",
        "/v1/payments/pay_eu_01jx4q0000000000000000000a/refunds",
        "/v1/refunds/ref_eu_01jx4q0000000000000000000a/cancel",
        f"/v1/keys/{'A' * 43}/revoke",
    ],
)
async def test_a_command_about_nothing_is_not_found_and_leaves_its_key_free(
    stack: Gateway, path: str
) -> None:
    key = "a-key-about-nothing-00001"

    answer = await stack.ask(post(path, b"{}", key=key))

    left = await stack.query(
        "select from commands.request where key_hash = sha256(convert_to($1, 'UTF8'))", key
    )
    assert (404, "not_found") == (answer.status, problem(answer)["code"])
    assert [] == left


async def test_a_payout_cannot_be_captured_by_hand(stack: Gateway) -> None:
    answer = await stack.ask(payment_request(kind="payout", capture_method="manual"))

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
    assert "/capture_method" == json.loads(answer.body)["errors"][0]["pointer"]
