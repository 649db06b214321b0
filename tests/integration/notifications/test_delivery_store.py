"""The schema's promises on a real PostgreSQL: who may do what, one claim at a time, late results."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from services.node.postgres import open_pool
from services.notifications.intake import insert_events
from services.notifications.schedule import Answered, Delivered, EndpointGone, Retry, Unanswered
from services.notifications.store import Outcome, claim_due, record_outcomes
from tests.integration.notifications.stack import Stack
from tests.integration.notifications.stored_events import event_of

URL = "https://hooks.example.com/x"
RETRY = Retry(after_s=5.0, refused=False)


@pytest.fixture
async def pool(stack: Stack) -> AsyncIterator[asyncpg.Pool]:
    reach = stack.postgres.reach("notifications", stack.database)
    async with open_pool(stack.node("notifications"), reach, connections_max=8) as opened:
        yield opened


async def _claim(
    pool: asyncpg.Pool, count_max: int = 100, endpoint_max: int = 100, **under_way: int
) -> list[tuple[str, str, int]]:
    claimed = await claim_due(pool, count_max=count_max, endpoint_max=endpoint_max, under_way=under_way)
    return [(d.endpoint_id, d.payment_id, d.claim) for d in claimed]


async def test_an_event_is_stored_once_per_active_endpoint_of_its_merchant(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("one", URL)
    await stack.add_endpoint("two", URL)
    await stack.add_endpoint("foreign", URL, merchant_id="mer_b")

    first = await insert_events(pool, [event_of(1), event_of(1), event_of(2, "mer_c")])
    second = await insert_events(pool, [event_of(1)])

    assert (2, 0) == (first.new, second.new)
    assert ["one", "two"] == [r["endpoint_id"] for r in await stack.deliveries()]


async def test_concurrent_claims_and_inserts_share_without_overlap(stack: Stack, pool: asyncpg.Pool) -> None:
    for endpoint in range(5):
        await stack.add_endpoint(f"e{endpoint}", URL)
    events = [event_of(payment) for payment in range(40)]
    await asyncio.gather(insert_events(pool, events), insert_events(pool, events[::-1]))

    claims = await asyncio.gather(*(_claim(pool) for _ in range(6)))
    rest = await _claim(pool)

    found = Counter(claim for claimed in (*claims, rest) for claim in claimed)
    assert 200 == len(found)
    assert {1} == set(found.values())


async def test_a_backlog_of_one_endpoint_leaves_places_to_the_others(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("big", URL)
    await insert_events(pool, [event_of(payment) for payment in range(100)])
    await stack.add_endpoint("small", URL)
    await insert_events(pool, [event_of(1000)])

    claimed = await _claim(pool, count_max=20, endpoint_max=4, big=1)

    assert Counter({"big": 3, "small": 1}) == Counter(endpoint for endpoint, _, _ in claimed)
    assert [] == await _claim(pool, count_max=20, endpoint_max=4, big=4, small=4)


async def test_a_lease_ends_by_itself_and_a_late_failure_changes_nothing(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1)])
    (early,) = await claim_due(pool, count_max=9, endpoint_max=9, under_way={}, lease_s=0.0)
    (late,) = await claim_due(pool, count_max=9, endpoint_max=9, under_way={})

    await record_outcomes(pool, [Outcome(early, Unanswered("timed-out"), RETRY, 15_000)])
    (row,) = await stack.deliveries()
    assert (2, 0, None) == (row["claim"], row["attempts"], row["last_error"])

    await record_outcomes(pool, [Outcome(early, Answered(200), Delivered(), 15_000)])
    await record_outcomes(pool, [Outcome(late, Answered(500), RETRY, 10)])
    (row,) = await stack.deliveries()
    assert ("delivered", 1, 200) == (row["state"], row["attempts"], row["last_status"])


async def test_a_gone_endpoint_takes_everything_owed_with_it(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1), event_of(2)])
    first, _ = await claim_due(pool, count_max=9, endpoint_max=9, under_way={})

    await record_outcomes(pool, [Outcome(first, Answered(410), EndpointGone(), 10)])
    added = await insert_events(pool, [event_of(3)])

    assert 1 == added.new
    assert [("dead", None)] * 3 == [(r["state"], r["due"]) for r in await stack.deliveries()]


async def test_an_endpoint_is_owed_nothing_of_the_time_before_it_existed(
    stack: Stack, pool: asyncpg.Pool
) -> None:
    await stack.add_endpoint("one", URL)
    long_ago = datetime.now(UTC) - timedelta(hours=1)

    added = await insert_events(pool, [event_of(1, at=long_ago), event_of(2)])

    assert 1 == added.new
    assert ["pay_2"] == [row["payment_id"] for row in await stack.deliveries()]


async def test_an_endpoint_is_added_once_and_never_changed_by_adding(stack: Stack) -> None:
    await stack.add_endpoint("one", URL)
    await stack.add_endpoint("one", URL)

    with pytest.raises(asyncpg.UniqueViolationError):
        await stack.add_endpoint("one", URL + "/other")
    with pytest.raises(asyncpg.CheckViolationError):
        await stack.add_endpoint("two", "http://hooks.example.com/")


@pytest.mark.parametrize("role", ["gateway", "payments", "operator"])
async def test_no_other_role_reads_the_tables(stack: Stack, role: str) -> None:
    for table in ("endpoint", "delivery", "delivery_attempt"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stack.query(role, f"select * from notifications.{table}")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from notifications.delivery",
        "update notifications.delivery set body = ''",
        "update notifications.endpoint set url = 'https://evil.example.com/'",
        "insert into notifications.endpoint (id, merchant_id, url) values ('x', 'y', 'https://z.example/')",
        "update notifications.delivery_attempt set verdict = 'delivered'",
        "delete from notifications.delivery_attempt",
        "select notifications.add_endpoint('x', 'y', 'https://z.example/')",
        "create table notifications.mine ()",
    ],
)
async def test_the_service_may_not_rewrite_what_it_was_given(stack: Stack, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stack.query("notifications", statement)


async def test_the_log_of_attempts_is_append_only_for_its_owner_too(stack: Stack) -> None:
    for statement in (
        "delete from notifications.delivery_attempt",
        "truncate notifications.delivery_attempt",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await stack.query("migrator", statement)


async def test_a_pending_delivery_cannot_be_without_its_reminder(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1)])

    with pytest.raises(asyncpg.CheckViolationError):
        await stack.query("notifications", "update notifications.delivery set due = null")


async def test_an_operator_can_follow_one_payment(stack: Stack, pool: asyncpg.Pool) -> None:
    await stack.add_endpoint("one", URL)
    await insert_events(pool, [event_of(1), event_of(2)])
    statement = "select event_id, state from notifications.deliveries_of($1, $2)"

    found = await stack.query("operator", statement, "mer_a", "pay_1")
    foreign = await stack.query("operator", statement, "mer_b", "pay_1")

    assert [("evt_1_1", "pending")] == [tuple(r) for r in found]
    assert [] == foreign
