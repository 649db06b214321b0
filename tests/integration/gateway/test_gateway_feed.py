"""The feed: each event once, in a payment's order, however late its transaction commits; nobody else's."""

from __future__ import annotations

import asyncio
import json
import random
import time
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from gateway.api.feed import FEED_ITEMS_MAX
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, header, problem
from tests.integration.gateway.test_gateway_waiting import preferring
from tests.integration.gateway.told_payments import Told, accept, tell_a_story

LONG_WAIT_S = 20
SOON_S = 2.0  # A tenth of a second between looks, and a busy host.
WRITERS, TRANSACTIONS = 6, 12
OF_TESTS = 1000  # Sequences from here on: the engine of other tests writes its own behind the acceptance.


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Fed")


async def page(stack: Gateway, merchant: Merchant, *, wait_s: int = 0, **query: object) -> dict[str, Any]:
    asked = "&".join(f"{name}={value}" for name, value in sorted(query.items()))
    request = get(f"/v1/feed?{asked}" if asked else "/v1/feed")
    answer = await stack.ask(preferring(request, wait_s) if wait_s else request, merchant)
    assert answer.status == 200, answer.body
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def everything(
    stack: Gateway, merchant: Merchant, place: str, *, limit: int = 100
) -> list[dict[str, Any]]:
    """What comes from a place on, until nothing does."""
    found: list[dict[str, Any]] = []
    while True:
        part = await page(stack, merchant, after=place, limit=limit)
        found += part["data"]
        if not part["data"]:
            return found
        place = part["next"]


async def test_a_story_is_told_once_in_its_order_whatever_the_size_of_pages(
    stack: Gateway, told: Told
) -> None:
    payment_id = told.ids["payment_id"]
    story = json.loads((await stack.ask(get(f"/v1/payments/{payment_id}/events"), told.merchant)).body)[
        "data"
    ]

    for limit in (1, 2, 100):
        begin = await page(stack, told.merchant, created_gte=0, limit=limit)
        events = begin["data"] + await everything(stack, told.merchant, begin["next"], limit=limit)

        assert [(each["sequence"], each["type"]) for each in story] == [
            (each["sequence"], each["type"]) for each in events
        ]


async def test_an_event_is_what_its_webhook_carries(stack: Gateway, told: Told) -> None:
    events = {each["sequence"]: each for each in (await page(stack, told.merchant, created_gte=0))["data"]}

    first = events[1]
    assert {
        "id", "type", "merchant_id", "payment_id", "account_id", "account_version", "subject_id", "sequence",
        "at", "data",
    } == set(first)  # fmt: skip
    assert {
        "status": "accepted", "kind": "collect", "amount_minor": 1999, "currency": "EUR",
        "merchant_reference": "order-1", "decline_code": None, "details": first["data"]["details"],
    } == first["data"]  # fmt: skip
    assert told.merchant.merchant_id == first["merchant_id"]
    assert told.ids["account_id"] == first["account_id"]
    assert {told.ids["refund_id"], told.ids["dispute_id"], None} == {
        each["subject_id"] for each in events.values()
    }


async def test_whoever_begins_now_hears_of_what_comes_and_of_nothing_before(stack: Gateway) -> None:
    merchant = await stack.enrol("Begins now", "EUR")
    await accept(stack, merchant)
    begin = await page(stack, merchant)

    waiting = asyncio.create_task(page(stack, merchant, wait_s=LONG_WAIT_S, after=begin["next"]))
    await asyncio.sleep(0)
    payment_id = await accept(stack, merchant)
    began = time.monotonic()
    heard = await waiting

    assert ([], False) == (begin["data"], begin["has_more"])
    assert [(payment_id, 1)] == [(each["payment_id"], each["sequence"]) for each in heard["data"]]
    assert time.monotonic() - began < SOON_S
    assert [] == (await page(stack, merchant, after=heard["next"]))["data"]


async def test_who_waits_in_vain_is_told_so_and_goes_on_from_there(stack: Gateway) -> None:
    merchant, other = await stack.enrol("Waits in vain", "EUR"), await stack.enrol("Another", "EUR")
    request = preferring(get("/v1/feed"), 1)

    waiting = asyncio.create_task(stack.ask(request, merchant))
    await accept(stack, other)
    answer = await waiting

    document = json.loads(answer.body)
    assert (200, [], "wait=1") == (answer.status, document["data"], header(answer, "Preference-Applied"))
    payment_id = await accept(stack, merchant)
    assert [payment_id] == [
        each["payment_id"] for each in (await page(stack, merchant, after=document["next"]))["data"]
    ]


async def test_what_commits_late_is_told_once_and_before_what_followed_it(stack: Gateway) -> None:
    merchant = await stack.enrol("Late", "EUR")
    payments = [await accept(stack, merchant) for _ in range(2)]
    place = (await page(stack, merchant))["next"]
    late = await stack.server.connect("migrator", stack.database)
    try:
        transaction = late.transaction()
        await transaction.start()
        await insert_event(late, payments[0], OF_TESTS)
        await stack.query("select pg_current_xact_id()")
        early = await accept(stack, merchant)
        before = await page(stack, merchant, after=place)
        waiting = asyncio.create_task(page(stack, merchant, wait_s=LONG_WAIT_S, after=before["next"]))
        await transaction.commit()
    finally:
        await late.close()
    after = await waiting

    seen = [(each["payment_id"], each["sequence"]) for each in before["data"] + after["data"]]
    rest = await everything(stack, merchant, after["next"])
    seen += [(each["payment_id"], each["sequence"]) for each in rest]
    assert sorted([(payments[0], OF_TESTS), (early, 1)]) == sorted(seen)


async def insert_event(connection: asyncpg.Connection, payment_id: str, sequence: int) -> None:
    """As a turn of the engine does; the time is that of its transaction's beginning."""
    await connection.execute(
        "insert into payments.event (payment_id, sequence, type, at)"
        " values ($1, $2, 'payment.submitted', now())",
        payment_id,
        sequence,
    )


async def test_of_many_writers_who_commit_in_any_order_nothing_is_missed_and_nothing_told_twice(
    stack: Gateway,
) -> None:
    """Transactions overlap in every way, some are rolled back, and the follower reads all the while."""
    merchant = await stack.enrol("Crowded", "EUR")
    payments = [await accept(stack, merchant) for _ in range(WRITERS)]
    place = (await page(stack, merchant))["next"]
    committed: list[tuple[str, int]] = []
    chance = random.Random(8)

    async def write(payment_id: str) -> None:
        connection = await stack.server.connect("migrator", stack.database)
        sequence = OF_TESTS
        try:
            for _ in range(TRANSACTIONS):
                transaction = connection.transaction()
                await transaction.start()
                steps = range(sequence, sequence + chance.randint(1, 3))
                for step in steps:
                    await insert_event(connection, payment_id, step)
                    await asyncio.sleep(chance.random() * 0.03)
                if chance.random() < 0.2:
                    await transaction.rollback()
                    continue
                await transaction.commit()
                committed.extend((payment_id, step) for step in steps)
                sequence = steps.stop
        finally:
            await connection.close()

    writing = asyncio.gather(*(write(payment_id) for payment_id in payments))
    told: list[tuple[str, int]] = []
    while True:
        over = writing.done()
        part = await page(stack, merchant, after=place, limit=5, wait_s=0 if over else 1)
        told += [(each["payment_id"], each["sequence"]) for each in part["data"]]
        place = part["next"]
        if over and not part["data"]:
            break
    await writing

    assert sorted(committed) == sorted(told)
    for payment_id in payments:
        own = [sequence for each, sequence in told if each == payment_id]
        assert sorted(own) == own


async def test_another_merchants_place_shows_nothing_of_theirs(stack: Gateway, told: Told) -> None:
    stranger = await stack.enrol("Nosy", "EUR")
    theirs = await page(stack, told.merchant, created_gte=0, limit=1)

    assert theirs["has_more"]
    assert [] == await everything(stack, stranger, theirs["next"])
    assert [] == (await page(stack, stranger, created_gte=0))["data"]


@pytest.mark.parametrize(
    ("query", "status", "code", "pointer"),
    [
        ("after=f1.1", 422, "validation_failed", "?after"),
        ("after=f1.1.99999999999999999999", 422, "validation_failed", "?after"),
        ("after=f1.1.300000000000000000", 422, "validation_failed", "?after"),
        ("after=f1.01.2", 422, "validation_failed", "?after"),
        ("after=f2.1.2", 422, "validation_failed", "?after"),
        ("after=f1.1.2.3.4.5.pay_eu_x", 422, "validation_failed", "?after"),
        ("after=evt_eu_1_1", 422, "validation_failed", "?after"),
        ("after=f1.1.2&created_gte=0", 422, "validation_failed", "?created_gte"),
        (f"limit={FEED_ITEMS_MAX + 1}", 422, "validation_failed", "?limit"),
        ("type=payment.failed", 422, "validation_failed", "?"),
        ("after=f1.9000000000000000000.2", 404, "not_found", None),
    ],
)
async def test_a_place_that_nobody_named_is_refused(
    stack: Gateway, told: Told, query: str, status: int, code: str, pointer: str | None
) -> None:
    answer = await stack.ask(get(f"/v1/feed?{query}"), told.merchant)

    document = problem(answer)
    assert (status, code) == (answer.status, document["code"])
    errors: Any = document.get("errors")
    assert pointer == (errors[0]["pointer"] if pointer else None)
