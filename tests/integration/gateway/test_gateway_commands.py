from __future__ import annotations

import asyncio
import json

from signing import Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import header, payment_request, post, problem


async def accepted(stack: Gateway) -> str:
    answer = await stack.ask(payment_request())
    payment_id: str = json.loads(answer.body)["id"]
    return payment_id


async def test_a_cancel_is_mail_for_the_engine_with_evidence_of_its_own(stack: Gateway) -> None:
    payment_id = await accepted(stack)

    answer = await stack.ask(post(f"/v1/payments/{payment_id}/cancel", b"{}"))

    told = json.loads(answer.body)
    mail = await stack.query(
        "select body, source, source_id from payments.mail where payment_id = $1", payment_id
    )
    evidence = await stack.query("select kind, decision from evidence.record where subject = $1", told["id"])
    assert 202 == answer.status
    assert ("cancel", payment_id) == (told["action"], told["payment_id"])
    assert ["VoidAsked"] == [json.loads(row["body"])["type"] for row in mail]
    assert [("command", "accepted")] == [tuple(row) for row in evidence]


async def test_a_repeat_of_a_command_gets_the_stored_answer_and_does_nothing(stack: Gateway) -> None:
    payment_id = await accepted(stack)
    request = post(f"/v1/payments/{payment_id}/capture", b'{"amount":100}', key="a-capture-of-one-euro")

    answers: list[Response] = await asyncio.gather(*(stack.ask(request) for _ in range(20)))

    mail = await stack.query("select body from payments.mail where payment_id = $1", payment_id)
    assert {202} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert 19 == sum(header(answer, "Idempotent-Replayed") == "true" for answer in answers)
    assert 1 == len(mail)


async def test_a_key_that_was_used_for_another_command_is_refused(stack: Gateway) -> None:
    payment_id = await accepted(stack)
    path = f"/v1/payments/{payment_id}/capture"
    await stack.ask(post(path, b'{"amount":100}', key="one-key-two-amounts"))

    answer = await stack.ask(post(path, b'{"amount":101}', key="one-key-two-amounts"))

    assert 422 == answer.status
    assert "idempotency_key_reused" == problem(answer)["code"]
