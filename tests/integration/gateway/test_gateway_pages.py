from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, problem
from tests.integration.gateway.told_payments import accept, engine_of, foreign_ids, read, tell_a_story

MANY = 7


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def merchant(stack: Gateway) -> Merchant:
    return await stack.enrol("Pages", "EUR")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def newest_first(stack: Gateway, merchant: Merchant) -> list[str]:
    """Seven payments, the first three of which have failed; two have one reference."""
    references = ["a", "b", "a", "c", "d", "e", "f"]
    ids = [await accept(stack, merchant, merchant_reference=each) for each in references[:3]]
    async with engine_of(stack) as paying:
        await paying.submit()
        await paying.answer_all("declined")
    ids += [await accept(stack, merchant, merchant_reference=each) for each in references[3:]]
    return ids[::-1]


async def pages(stack: Gateway, merchant: Merchant, path: str, *, backwards_from: str = "") -> list[Any]:
    """Every item of a list, three at a time, in the order in which pages give them."""
    found: list[Any] = []
    kind, _, filters = path.partition("?")
    cursor = f"ending_before={backwards_from}" if backwards_from else ""
    for _ in range(100):
        # The one spelling that can be signed has the parameters in the order of their names.
        parts = sorted(part for part in (*filters.split("&"), "limit=3", cursor) if part)
        page = await read(stack, merchant, f"{kind}?{'&'.join(parts)}")
        data = page["data"]
        found = [*data, *found] if backwards_from else [*found, *data]
        if not page["has_more"]:
            return found
        cursor = f"ending_before={data[0]['id']}" if backwards_from else f"starting_after={data[-1]['id']}"
    raise AssertionError("the list does not end")


async def test_pages_show_every_payment_once_newest_first(
    stack: Gateway, merchant: Merchant, newest_first: list[str]
) -> None:
    shown = await pages(stack, merchant, "/v1/payments")

    assert newest_first == [each["id"] for each in shown]


async def test_pages_backwards_show_the_same_in_the_same_order(
    stack: Gateway, merchant: Merchant, newest_first: list[str]
) -> None:
    shown = await pages(stack, merchant, "/v1/payments", backwards_from=newest_first[-1])

    assert newest_first[:-1] == [each["id"] for each in shown]


async def test_pages_of_events_show_every_event_once(
    stack: Gateway, merchant: Merchant, newest_first: list[str]
) -> None:
    forwards = await pages(stack, merchant, "/v1/events")
    backwards = await pages(stack, merchant, "/v1/events", backwards_from=forwards[-1]["id"])

    rows = await stack.query(
        "select count(*) from payments.event join payments.payment using (payment_id) where merchant_id = $1",
        merchant.merchant_id,
    )
    assert rows[0]["count"] == len({each["id"] for each in forwards}) == len(forwards)
    assert forwards[:-1] == backwards


async def test_payments_are_found_by_reference_status_and_time(
    stack: Gateway, merchant: Merchant, newest_first: list[str]
) -> None:
    [edge] = await stack.query(
        "select extract(epoch from accepted_at)::bigint as s from payments.payment where payment_id = $1",
        newest_first[0],
    )

    async def found(query: str) -> list[str]:
        return [each["id"] for each in await pages(stack, merchant, f"/v1/payments?{query}")]

    assert [newest_first[4], newest_first[6]] == await found("merchant_reference=a")
    assert newest_first[4:] == await found("status=failed")
    assert newest_first[:4] == await found("status=accepted")
    assert [newest_first[4], newest_first[6]] == await found("merchant_reference=a&status=failed")
    assert [] == await found("merchant_reference=a&status=accepted")
    assert newest_first == await found("created_gte=1000000000")
    assert newest_first == await found(f"created_lte={edge['s'] + 1}")
    assert [] == await found("created_lte=1000000000")
    assert [] == await found(f"created_gte={edge['s'] + 3600}")


async def test_refunds_and_disputes_are_listed_newest_first(stack: Gateway) -> None:
    told = await tell_a_story(stack, "Claims")

    refunds = await pages(stack, told.merchant, "/v1/refunds")
    disputes = await pages(stack, told.merchant, "/v1/disputes")

    assert [told.ids["refund_id"]] == [each["id"] for each in refunds]
    assert [told.ids["dispute_id"]] == [each["id"] for each in disputes]
    assert [] == await pages(stack, told.merchant, f"/v1/refunds?payment_id={foreign_ids()['payment_id']}")


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "validation_failed"),
        ("limit=101", 422, "validation_failed"),
        ("status=done", 422, "validation_failed"),
        ("reference=a", 422, "validation_failed"),
        ("created_gte=1e9", 422, "validation_failed"),
        ("ending_before=pay_eu_1&starting_after=pay_eu_1", 400, "both_cursors"),
        ("starting_after=pay_eu_1", 404, "not_found"),
    ],
)
async def test_a_query_that_means_nothing_is_refused(
    stack: Gateway, merchant: Merchant, query: str, status: int, code: str
) -> None:
    answer = await stack.ask(get(f"/v1/payments?{query}"), merchant)

    assert (status, code) == (answer.status, problem(answer)["code"])
