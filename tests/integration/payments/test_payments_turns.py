from __future__ import annotations

import asyncio
import itertools
import random

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.payments.payments_samples import BANKS, Connect, Request, World, accept, claim, record

_fresh = itertools.count()


async def _drain(engine: asyncpg.Connection, payments_max: int = 128) -> list[asyncpg.Record]:
    orders: list[asyncpg.Record] = []
    while batch := await claim(engine, payments_max):
        orders += batch
    return orders


async def test_a_turn_makes_the_attempt_and_its_lease_durable_before_anything_is_sent(world: World) -> None:
    merchant = await world.open_account("acc_turn")
    request = Request("acc_turn", merchant=merchant)
    await accept(world.gateway, [request])

    [order] = await claim(world.engine)

    assert f"att_{request.payment_id.removeprefix('pay_')}_1" == order["attempt_id"]
    assert (1, request.payment_id, "collect", 100, "EUR", "tok_visa_ok") == (
        order["epoch"], order["payment_id"], order["operation"], order["amount_minor"], order["currency"],
        order["instrument"],
    )  # fmt: skip
    assert order["bank"] in BANKS
    payment = await world.payment(request.payment_id)
    assert ("submitted", 2, 1) == (payment["status"], payment["sequence"], payment["account_version"])
    state = await world.owner.fetchval(
        "select state from payments.attempt where attempt_id = $1", order["attempt_id"]
    )
    assert "sending" == state
    assert ["accepted", "submitted"] == await world.events(request.payment_id)


async def test_a_payout_holds_its_money_before_any_bank_is_called(world: World) -> None:
    merchant = await world.open_account("acc_hold", funds_minor=500)
    await accept(world.gateway, [Request("acc_hold", kind="payout", amount_minor=300, merchant=merchant)])

    await claim(world.engine)

    account = await world.account("acc_hold")
    assert (500, 300) == (account["posted_minor"], account["held_minor"])
    assert [] == await world.faults()


async def test_a_refused_payout_does_not_count_against_the_next_one(world: World) -> None:
    merchant = await world.open_account("acc_refuse", funds_minor=100)
    large, fits, rest, none = (
        Request("acc_refuse", kind="payout", amount_minor=amount, merchant=merchant)
        for amount in (101, 60, 40, 1)
    )
    await accept(world.gateway, [large, fits, rest, none])

    orders = await claim(world.engine)

    assert [fits.payment_id, rest.payment_id] == [order["payment_id"] for order in orders]
    refused = await world.payment(large.payment_id)
    assert ("failed", "insufficient_funds", None) == (
        refused["status"], refused["decline_code"], refused["due"],
    )  # fmt: skip
    assert ["accepted", "failed"] == await world.events(none.payment_id)
    assert [] == await world.faults()


_movements = st.lists(
    st.tuples(st.sampled_from(["collect", "payout"]), st.integers(1, 120)), min_size=1, max_size=20
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(funds=st.integers(1, 300), movements=_movements, turn_max=st.integers(1, 25))
async def test_funds_are_a_running_sum_in_order_of_acceptance(
    world: World, funds: int, movements: list[tuple[str, int]], turn_max: int
) -> None:
    account = f"acc_sum_{next(_fresh)}"
    merchant = await world.open_account(account, funds_minor=funds)
    requests = [Request(account, kind=k, amount_minor=a, merchant=merchant) for k, a in movements]
    await accept(world.gateway, requests)
    available, expected = funds, []
    for request in requests:
        if request.kind == "payout" and request.amount_minor > available:
            continue
        available -= request.amount_minor if request.kind == "payout" else 0
        expected.append(request.payment_id)

    # A turn may be smaller than the queue; a turn of refusals alone returns nothing.
    orders = []
    for _ in requests:
        orders += await claim(world.engine, turn_max)

    assert expected == [order["payment_id"] for order in orders]
    row = await world.account(account)
    assert available == row["posted_minor"] - row["held_minor"]


async def test_four_claimers_never_get_a_payment_twice_and_keep_each_accounts_order(
    world: World, connect: Connect
) -> None:
    many, accounts = 2_000, 20
    merchants = [await world.open_account(f"acc_many_{n}") for n in range(accounts)]
    chance = random.Random(11)
    claimers = [await connect("payments") for _ in range(4)]
    accepted = asyncio.Event()

    async def produce() -> None:
        for _ in range(many // 100):
            chosen = [chance.randrange(accounts) for _ in range(100)]
            await accept(world.gateway, [Request(f"acc_many_{n}", merchant=merchants[n]) for n in chosen])
        accepted.set()

    async def consume(engine: asyncpg.Connection) -> list[str]:
        mine: list[str] = []
        while True:
            last = accepted.is_set()
            orders = await claim(engine, chance.choice([1, 7, 32, 128]), chance.choice([1, 5, 128]))
            mine += [order["payment_id"] for order in orders]
            # What another claimer has locked looks like nothing: only his rolling back could leave it behind.
            if last and not orders:
                return mine

    producing = asyncio.create_task(produce())
    claimed = await asyncio.gather(*(consume(engine) for engine in claimers))
    await producing

    every = [identifier for mine in claimed for identifier in mine]
    assert many == len(every)
    assert many == len(set(every))
    unordered = await world.owner.fetch(
        "select * from (select account_version, row_number() over "
        "(partition by account_id order by ordinal) n from payments.payment) p where account_version <> n"
    )
    assert [] == unordered
    assert [] == await world.faults()


async def test_an_account_in_another_turn_is_left_alone_and_does_not_hold_up_the_others(
    world: World, connect: Connect
) -> None:
    busy, free = await world.open_account("acc_busy"), await world.open_account("acc_free")
    first = Request("acc_busy", merchant=busy)
    second = Request("acc_free", merchant=free)
    await accept(world.gateway, [first, second])
    other = await connect("payments")
    await other.execute("begin")
    [held] = await claim(other, payments_max=1, accounts_max=1)

    orders = await claim(world.engine)

    assert [second.payment_id] == [order["payment_id"] for order in orders]
    await other.execute("rollback")
    assert first.payment_id == held["payment_id"]
    assert [first.payment_id] == [order["payment_id"] for order in await claim(world.engine)]


async def test_accepting_does_not_wait_for_an_accounts_turn(world: World, connect: Connect) -> None:
    merchant = await world.open_account("acc_open")
    await accept(world.gateway, [Request("acc_open", merchant=merchant)])
    other = await connect("payments")
    await other.execute("begin")
    assert await claim(other)

    async with asyncio.timeout(5):
        [answer] = await accept(world.gateway, [Request("acc_open", merchant=merchant)])

    assert "new" == answer["outcome"]
    await other.execute("rollback")


async def test_routing_uses_every_bank_that_has_room_and_no_other(world: World) -> None:
    merchant = await world.open_account("acc_route")
    await accept(world.gateway, [Request("acc_route", merchant=merchant) for _ in range(64)])
    await _drain(world.engine, 32)
    await accept(world.gateway, [Request("acc_route", merchant=merchant) for _ in range(16)])

    only = await world.engine.fetch("select * from payments.claim('{bank-bravo}', 128, 128, '12 s')")

    assert {"bank-bravo"} == {order["bank"] for order in only}
    used = await world.owner.fetch(
        "select distinct bank from payments.payment where account_id = 'acc_route'"
    )
    assert set(BANKS) == {row["bank"] for row in used}


async def test_a_claim_without_banks_is_refused(world: World) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await world.engine.fetch("select * from payments.claim('{}', 1, 1, '1 s')")


async def test_a_crash_before_the_turn_commits_leaves_the_payment_waiting(
    world: World, connect: Connect
) -> None:
    merchant = await world.open_account("acc_crash", funds_minor=100)
    request = Request("acc_crash", kind="payout", merchant=merchant)
    await accept(world.gateway, [request])
    other = await connect("payments")
    await other.execute("begin")
    await claim(other)
    other.terminate()

    async with asyncio.timeout(5):
        while not (orders := await claim(world.engine)):
            pass

    assert [request.payment_id] == [order["payment_id"] for order in orders]
    await record(world.engine, [(o["attempt_id"], o["epoch"], "confirmed") for o in orders])
    assert [] == await world.faults()
