from __future__ import annotations

import json
from datetime import datetime

import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, problem
from tests.integration.gateway.told_payments import AMOUNT, Told, accept, engine_of, read, tell_a_story


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Reads")


async def test_a_payment_is_shown_whole(stack: Gateway, told: Told) -> None:
    payment_id = told.ids["payment_id"]

    shown = await read(stack, told.merchant, f"/v1/payments/{payment_id}")

    attempt = shown.pop("latest_attempt")
    times = [datetime.fromisoformat(shown.pop(name)) for name in ("created_at", "updated_at")]
    assert times == sorted(times)
    assert ("collect", "confirmed", AMOUNT) == (attempt["operation"], attempt["state"], attempt["amount"])
    assert {"id", "bank", "operation", "state", "amount"} == set(attempt)
    assert {
        "id": payment_id,
        "object": "payment",
        "kind": "collect",
        "status": "succeeded",
        "sequence": shown["sequence"],
        "amount": AMOUNT,
        "currency": "EUR",
        "amount_capturable": 0,
        "amount_captured": AMOUNT,
        "amount_refunded": 0,
        "amount_refund_reserved": 500,
        "amount_disputed": 300,
        "capture_method": "automatic",
        "instrument": "tok_visa_ok",
        "merchant_reference": "order-1",
        "decline": None,
        "review": None,
        "expires_at": None,
        "request": {"key_id": told.merchant.key.key_id},
        "links": {
            "self": f"/v1/payments/{payment_id}",
            "attempts": f"/v1/payments/{payment_id}/attempts",
            "events": f"/v1/payments/{payment_id}/events",
            "evidence": f"/v1/payments/{payment_id}/evidence",
            "refunds": f"/v1/refunds?payment_id={payment_id}",
            "disputes": f"/v1/disputes?payment_id={payment_id}",
        },
    } == shown


async def test_a_declined_payment_says_why_and_what_can_be_done(stack: Gateway) -> None:
    merchant = await stack.enrol("Declined", "EUR")
    payment_id = await accept(stack, merchant)
    async with engine_of(stack) as paying:
        await paying.submit()
        await paying.answer_all("declined")

    shown = await read(stack, merchant, f"/v1/payments/{payment_id}")

    assert {"code": "do_not_honour", "advice": "retry_other_instrument"} == shown["decline"]
    assert ("failed", "declined") == (shown["status"], shown["latest_attempt"]["state"])


async def test_the_links_of_a_payment_lead_to_what_belongs_to_it(stack: Gateway, told: Told) -> None:
    links = (await read(stack, told.merchant, f"/v1/payments/{told.ids['payment_id']}"))["links"]

    refunds = await read(stack, told.merchant, links["refunds"])
    disputes = await read(stack, told.merchant, links["disputes"])
    events = await read(stack, told.merchant, links["events"])

    assert [told.ids["refund_id"]] == [each["id"] for each in refunds["data"]]
    assert [told.ids["dispute_id"]] == [each["id"] for each in disputes["data"]]
    assert "payment.accepted" == events["data"][0]["type"]


async def test_attempts_show_banks_and_outcomes_and_nothing_of_how_the_bank_was_chosen(
    stack: Gateway, told: Told
) -> None:
    tried = await read(stack, told.merchant, f"/v1/payments/{told.ids['payment_id']}/attempts")

    [collect, refund] = tried["data"]
    assert ("collect", "confirmed", told.ids["payment_id"]) == (
        collect["operation"],
        collect["state"],
        collect["subject"],
    )
    assert ("refund", "submitted", told.ids["refund_id"], 500) == (
        refund["operation"],
        refund["state"],
        refund["subject"],
        refund["amount"],
    )
    known = {
        "id", "object", "payment_id", "subject", "operation", "number", "bank", "state", "amount", "decline",
        "created_at", "updated_at",
    }  # fmt: skip
    assert known == set(collect)


async def test_a_payment_without_attempts_has_an_empty_list_of_them(stack: Gateway, told: Told) -> None:
    payment_id = await accept(stack, told.merchant, amount=5)

    tried = await read(stack, told.merchant, f"/v1/payments/{payment_id}/attempts")

    assert ([], False) == (tried["data"], tried["has_more"])


async def test_a_refund_and_a_dispute_can_be_read_alone(stack: Gateway, told: Told) -> None:
    refund = await read(stack, told.merchant, f"/v1/refunds/{told.ids['refund_id']}")
    dispute = await read(stack, told.merchant, f"/v1/disputes/{told.ids['dispute_id']}")

    assert ("submitted", 500, "EUR", "user", "too large") == tuple(
        refund[name] for name in ("status", "amount", "currency", "origin", "reason")
    )
    assert ("opened", 300, "EUR") == tuple(dispute[name] for name in ("status", "amount", "currency"))
    assert datetime.fromisoformat(dispute["created_at"]) < datetime.fromisoformat(dispute["respond_by"])
    assert told.ids["payment_id"] == refund["payment_id"] == dispute["payment_id"]


async def test_the_balance_tells_what_can_be_spent_and_what_is_held(stack: Gateway, told: Told) -> None:
    accounts = await read(stack, told.merchant, "/v1/accounts")
    balance = await read(stack, told.merchant, f"/v1/accounts/{told.ids['account_id']}/balance")

    [row] = await stack.query(
        "select posted_minor, held_minor, unposted_minor, version from payments.account"
        " where account_id = $1",
        told.ids["account_id"],
    )
    assert [(told.ids["account_id"], "EUR")] == [(each["id"], each["currency"]) for each in accounts["data"]]
    assert {
        "object": "balance",
        "account_id": told.ids["account_id"],
        "currency": "EUR",
        "available": AMOUNT - 500,
        "reserved": 500,
        "pending_in": 0,
        "as_of": row["version"],
    } == balance
    assert (AMOUNT, 500, 0) == tuple(row)[:3]


async def test_events_have_the_ids_that_webhooks_carry_and_can_be_read_alone(
    stack: Gateway, told: Told
) -> None:
    page = await read(stack, told.merchant, "/v1/events?limit=100")
    event_id = f"evt_{told.ids['payment_id'].removeprefix('pay_')}_1"

    event = await read(stack, told.merchant, f"/v1/events/{event_id}")

    assert ("payment.accepted", 1, told.ids["payment_id"]) == tuple(
        event[name] for name in ("type", "sequence", "payment_id")
    )
    assert event in page["data"]
    times = [each["at"] for each in page["data"]]
    assert times == sorted(times, reverse=True)
    of_payment = [each["sequence"] for each in page["data"] if each["payment_id"] == event["payment_id"]]
    assert list(range(len(of_payment), 0, -1)) == of_payment


async def test_events_can_be_filtered_by_type(stack: Gateway, told: Told) -> None:
    page = await read(stack, told.merchant, "/v1/events?type=dispute.opened")
    nothing = await read(stack, told.merchant, "/v1/events?type=payment.expired")

    assert [("dispute.opened", told.ids["dispute_id"])] == [
        (each["type"], each["subject"]) for each in page["data"]
    ]
    assert [] == nothing["data"]


async def test_events_are_shown_for_ninety_days(stack: Gateway) -> None:
    merchant = await stack.enrol("Old", "EUR")
    payment_id = await accept(stack, merchant)
    event = f"evt_{payment_id.removeprefix('pay_')}_1"
    for table in ("event", "feed"):
        await stack.query(f"alter table payments.{table} disable trigger append_only")
        await stack.query(
            f"update payments.{table} set at = at - interval '91 days' where payment_id = $1", payment_id
        )
        await stack.query(f"alter table payments.{table} enable trigger append_only")

    page = await read(stack, merchant, "/v1/events")
    one = await stack.ask(get(f"/v1/events/{event}"), merchant)

    assert [] == page["data"]
    assert (404, "not_found") == (one.status, problem(one)["code"])


async def test_what_is_no_id_of_an_event_is_not_found(stack: Gateway, told: Told) -> None:
    for event_id in ("evt_eu_1", told.ids["event_id"] + "0x", told.ids["event_id"].replace("_2", "_02")):
        answer = await stack.ask(get(f"/v1/events/{event_id}"), told.merchant)

        assert 404 == answer.status
    elsewhere = await stack.ask(
        get(f"/v1/events/{told.ids['event_id'].replace('evt_eu', 'evt_us')}"), told.merchant
    )
    assert (421, "wrong_cell") == (elsewhere.status, problem(elsewhere)["code"])


async def test_answers_carry_the_pinned_version(stack: Gateway, told: Told) -> None:
    answer = await stack.ask(get("/v1/accounts"), told.merchant)

    assert ("Gateway-Version", "2026-10-01") in answer.headers
    assert "list" == json.loads(answer.body)["object"]
