from __future__ import annotations

import asyncio
import json

from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request, problem


async def test_a_signed_payment_is_accepted_with_a_receipt_bound_to_it(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)

    answer = await stack.send(request)

    assert answer.status == 202, (answer.body, stack.log()[-2000:])
    receipt = await stack.receipt(request, answer)
    assert receipt.status == 202
    body = json.loads(answer.body)
    assert header(answer, "Location") == f"/v1/payments/{body['id']}"


async def test_the_same_bytes_again_get_the_same_answer_with_a_fresh_receipt(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)
    first = await stack.send(request)

    again = await stack.send(request)

    assert (first.status, first.body) == (again.status, again.body)
    assert header(again, "Idempotent-Replayed") == "true"
    assert header(first, "Idempotent-Replayed") is None
    assert header(first, "Location") == header(again, "Location")
    await stack.receipt(request, again)


async def test_a_payment_signed_anew_under_the_same_key_is_the_same_payment(stack: Gateway) -> None:
    merchant = await stack.merchant()
    unsigned = payment_request()
    first_request, second_request = stack.sign(unsigned, merchant.key), stack.sign(unsigned, merchant.key)
    first = await stack.send(first_request)
    before = await stack.footprint()

    second = await stack.send(second_request)

    assert first.body == second.body
    assert before == await stack.footprint()
    receipt = await stack.receipt(second_request, second)
    assert receipt.signed.nonce != (await stack.receipt(first_request, first)).signed.nonce


async def test_many_payments_at_once_are_each_recorded_once_with_their_own_answer(stack: Gateway) -> None:
    merchant = await stack.merchant()
    requests = [
        stack.sign(payment_request(amount=n, merchant_reference=f"o-{n}"), merchant.key) for n in range(1, 41)
    ]
    before = await stack.footprint()

    # Every request twice at the same time: one of each pair is new, the other its repeat.
    answers = await asyncio.gather(*(stack.send(request) for request in requests * 2))

    bodies = [json.loads(answer.body) for answer in answers]
    assert [*range(1, 41)] * 2 == [body["amount"] for body in bodies]
    assert [body["id"] for body in bodies[:40]] == [body["id"] for body in bodies[40:]]
    replayed = [header(answer, "Idempotent-Replayed") for answer in answers]
    assert 40 == replayed.count("true")
    after = await stack.footprint()
    for table in ("payments.payment", "evidence.record", "payments.idempotency_key"):
        assert before[table] + 40 == after[table]


async def test_the_evidence_holds_what_was_signed_on_both_sides(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(payment_request(), merchant.key)

    answer = await stack.send(request)

    receipt = await stack.receipt(request, answer)
    row = (
        await stack.query("select * from evidence.record where subject = $1", json.loads(answer.body)["id"])
    )[0]
    assert merchant.key.key_id == row["key_id"]
    assert request.body == row["request_body"]
    assert receipt.signed.signature_base == row["request_base"]
    assert receipt.signed.signature == row["request_signature"]
    assert receipt.signature_base == row["receipt_base"]
    assert receipt.signature == row["receipt_signature"]


async def test_a_payment_and_its_events_can_be_read_by_its_merchant(stack: Gateway) -> None:
    merchant = await stack.merchant()
    accepted = json.loads((await stack.send(stack.sign(payment_request(), merchant.key))).body)
    read, events = get(f"/v1/payments/{accepted['id']}"), get(f"/v1/payments/{accepted['id']}/events")
    read, events = stack.sign(read, merchant.key), stack.sign(events, merchant.key)

    payment, history = await stack.send(read), await stack.send(events)

    shown = json.loads(payment.body)
    assert accepted == {name: shown[name] for name in accepted}
    assert '"1"' == header(payment, "ETag")
    assert [(1, "payment.accepted")] == [
        (event["sequence"], event["type"]) for event in json.loads(history.body)["data"]
    ]
    await stack.receipt(read, payment)
    await stack.receipt(events, history)


async def test_another_merchants_payment_is_not_found(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Other", "EUR")
    accepted = json.loads((await stack.send(stack.sign(payment_request(), merchant.key))).body)

    answers = [
        await stack.send(stack.sign(get(f"/v1/payments/{accepted['id']}{rest}"), other.key))
        for rest in ("", "/events")
    ]

    assert [(404, "not_found")] * 2 == [(answer.status, problem(answer)["code"]) for answer in answers]


async def test_the_same_idempotency_key_of_two_merchants_names_two_payments(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Other", "EUR")
    unsigned = payment_request()

    one, two = [await stack.send(stack.sign(unsigned, each.key)) for each in (merchant, other)]

    assert (202, 202) == (one.status, two.status)
    assert json.loads(one.body)["id"] != json.loads(two.body)["id"]


async def test_a_payment_of_another_cell_is_answered_with_its_cell(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(get("/v1/payments/pay_us_01jx4q0000000000000000000a"), merchant.key)

    answer = await stack.send(request)

    assert (421, "wrong_cell") == (answer.status, problem(answer)["code"])
    await stack.receipt(request, answer)


async def test_a_currency_without_an_account_is_refused_and_the_key_stays_free(stack: Gateway) -> None:
    merchant = await stack.merchant()
    key = "a-key-that-stays-free-0001"
    refused = await stack.send(stack.sign(payment_request(key=key, currency="USD"), merchant.key))

    accepted = await stack.send(stack.sign(payment_request(key=key), merchant.key))

    assert (422, "currency_not_supported") == (refused.status, problem(refused)["code"])
    assert 202 == accepted.status
