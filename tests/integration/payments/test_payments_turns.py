from __future__ import annotations

import asyncio
import itertools
import random

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.payments.machine.events import Decisions, Snapshot, TurnCame
from services.payments.record import Waiting
from tests.integration.payments.payment_world import BATCH, PaymentWorld, answer_to, passing
from tests.integration.payments.payments_samples import Connect, Request, accept

_fresh = itertools.count()


async def test_a_turn_numbers_the_payment_and_asks_about_it(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_turn")
    [identifier] = await paying.accept([Request("acc_turn", merchant=merchant)])

    [asking] = (await paying.waiting()).askings

    assert (identifier, "acc_turn", 100) == (asking.payment_id, asking.account_id, asking.amount_minor)
    payment = await paying.world.payment(identifier)
    assert ("screening", 1) == (payment["status"], payment["account_version"])
    assert [] == (await paying.waiting()).askings
    assert [] == await paying.faults()


async def test_the_attempt_and_its_lease_are_durable_before_anything_is_sent(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_intent")
    [identifier] = await paying.accept([Request("acc_intent", merchant=merchant)])

    [order] = await paying.submit()

    assert (f"att_{identifier.removeprefix('pay_')}_1", 1) == (order.attempt_id, order.epoch)
    assert (identifier, "collect", 100, "EUR", "tok_visa_ok") == (
        order.payment_id, order.operation, order.amount_minor, order.currency, order.instrument,
    )  # fmt: skip
    attempt = await paying.world.owner.fetchrow("select * from payments.attempt")
    assert attempt is not None
    assert ("sending", order.bank, 1) == (attempt["state"], attempt["bank"], attempt["epoch"])
    assert "submitted" == await paying.status(identifier)


async def test_a_refused_payout_does_not_count_against_the_next_one(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_refuse", funds_minor=100)
    large, fits, rest, none = await paying.accept(
        [Request("acc_refuse", kind="payout", amount_minor=n, merchant=merchant) for n in (101, 60, 40, 1)]
    )

    orders = await paying.submit()

    assert [fits, rest] == [order.payment_id for order in orders]
    refused = await paying.world.payment(large)
    assert ("failed", "insufficient_funds", None) == (
        refused["status"], refused["decline_code"], refused["due"],
    )  # fmt: skip
    assert "failed" == await paying.status(none)
    assert (100, 100, 0) == await paying.balance("acc_refuse")
    assert [] == await paying.faults()


_movements = st.lists(
    st.tuples(st.sampled_from(["collect", "payout"]), st.integers(1, 120)), min_size=1, max_size=20
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(funds=st.integers(1, 300), movements=_movements)
async def test_funds_are_a_running_sum_in_order_of_acceptance(
    paying: PaymentWorld, funds: int, movements: list[tuple[str, int]]
) -> None:
    account = f"acc_sum_{next(_fresh)}"
    merchant = await paying.open_account(account, funds_minor=funds)
    requests = [Request(account, kind=k, amount_minor=a, merchant=merchant) for k, a in movements]
    await paying.accept(requests)
    available, expected = funds, []
    for request in requests:
        if request.kind == "payout" and request.amount_minor > available:
            continue
        available -= request.amount_minor if request.kind == "payout" else 0
        expected.append(request.payment_id)

    orders = await paying.submit()

    assert expected == [order.payment_id for order in orders]
    posted, held, _ = await paying.balance(account)
    assert available == posted - held


async def test_four_workers_never_get_an_event_twice_and_keep_each_accounts_order(
    paying: PaymentWorld,
) -> None:
    many, accounts = 2_000, 20
    merchants = [await paying.open_account(f"acc_many_{n}") for n in range(accounts)]
    chance = random.Random(11)
    accepted = asyncio.Event()
    seen: list[str] = []

    def decide(snapshot: Snapshot) -> Decisions:
        seen.extend(event.payment_id for event in snapshot.events if isinstance(event, TurnCame))
        return paying.decide(snapshot)

    async def produce() -> None:
        for _ in range(many // 100):
            chosen = [chance.randrange(accounts) for _ in range(100)]
            await paying.accept([Request(f"acc_many_{n}", merchant=merchants[n]) for n in chosen])
        accepted.set()

    async def consume() -> None:
        while True:
            last = accepted.is_set()
            work = Waiting(items_max=chance.choice([1, 7, 32, 128]), accounts_max=chance.choice([1, 5, 128]))
            decisions = await paying.store.turn(work, decide)
            # What another worker has locked looks like nothing: only his rolling back could leave it behind.
            if last and not decisions.payments:
                return

    await asyncio.gather(produce(), *(consume() for _ in range(4)))

    assert many == len(seen)
    assert many == len(set(seen))
    unordered = await paying.world.owner.fetch(
        "select * from (select account_version, row_number() over "
        "(partition by account_id order by ordinal) n from payments.payment) p where account_version <> n"
    )
    assert [] == unordered
    assert [] == await paying.faults()


async def _hold_turn(connect: Connect, accounts_max: int = 128) -> asyncpg.Connection:
    """A worker in the middle of a turn."""
    other = await connect("payments")
    await other.execute("begin")
    assert await other.fetchval("select arrivals from payments.take_waiting(1, $1)", accounts_max)
    return other


async def test_an_account_in_another_turn_is_left_alone_and_does_not_hold_up_the_others(
    paying: PaymentWorld, connect: Connect
) -> None:
    busy, free = await paying.open_account("acc_busy"), await paying.open_account("acc_free")
    [first] = await paying.accept([Request("acc_busy", merchant=busy)])
    [second] = await paying.accept([Request("acc_free", merchant=free)])
    other = await _hold_turn(connect, accounts_max=1)

    decisions = await paying.waiting()

    assert [second] == [asking.payment_id for asking in decisions.askings]
    await other.execute("rollback")
    assert [first] == [asking.payment_id for asking in (await paying.waiting()).askings]


async def test_a_hot_account_does_not_hide_the_others(paying: PaymentWorld, connect: Connect) -> None:
    hot, cold = await paying.open_account("acc_hot"), await paying.open_account("acc_cold")
    await paying.accept([Request("acc_hot", merchant=hot) for _ in range(300)])
    [other] = await paying.accept([Request("acc_cold", merchant=cold)])
    holder = await _hold_turn(connect)

    decisions = await paying.waiting()

    assert [other] == [asking.payment_id for asking in decisions.askings]
    await holder.execute("rollback")
    orders = await paying.submit()
    assert 301 == len(orders)
    await paying.answer_all()
    assert (30_000, 0, 0) == await paying.balance("acc_hot")
    assert [] == await paying.faults()


async def test_accepting_does_not_wait_for_an_accounts_turn(paying: PaymentWorld, connect: Connect) -> None:
    merchant = await paying.open_account("acc_open")
    await paying.accept([Request("acc_open", merchant=merchant)])
    other = await _hold_turn(connect)

    async with asyncio.timeout(5):
        [answer] = await accept(paying.world.gateway, [Request("acc_open", merchant=merchant)])

    assert "new" == answer["outcome"]
    await other.execute("rollback")


async def test_a_worker_that_dies_in_its_turn_leaves_the_payment_waiting(
    paying: PaymentWorld, connect: Connect
) -> None:
    merchant = await paying.open_account("acc_crash")
    [identifier] = await paying.accept([Request("acc_crash", merchant=merchant)])
    other = await _hold_turn(connect)
    other.terminate()

    async with asyncio.timeout(5):
        while not (decisions := await paying.waiting()).askings:
            pass

    assert [identifier] == [asking.payment_id for asking in decisions.askings]


async def test_what_a_turn_is_about_waits_for_the_accounts_lock(
    paying: PaymentWorld, connect: Connect
) -> None:
    merchant = await paying.open_account("acc_about")
    await paying.accept([Request("acc_about", merchant=merchant) for _ in range(2)])
    [first, _] = (await paying.waiting()).askings
    [order] = (await paying.about([passing(first)])).orders
    await paying.accept([Request("acc_about", merchant=merchant)])
    other = await _hold_turn(connect)

    answered = asyncio.create_task(paying.about([answer_to(order)]))
    await _until_one_waits(paying)
    assert not answered.done()
    await other.execute("rollback")
    await answered

    assert "succeeded" == await paying.status(order.payment_id)


async def _until_one_waits(paying: PaymentWorld) -> None:
    async with asyncio.timeout(5):
        while not await paying.world.owner.fetchval("select count(*) from pg_locks where not granted"):
            pass


async def test_crossing_turns_about_many_accounts_do_not_deadlock(paying: PaymentWorld) -> None:
    accounts = [f"acc_cross_{n}" for n in range(8)]
    merchants = [await paying.open_account(account) for account in accounts]
    requests = [Request(accounts[n % 8], merchant=merchants[n % 8]) for n in range(BATCH)]
    await paying.accept(requests)
    orders = await paying.submit()
    chance = random.Random(5)

    shuffled = [chance.sample(orders, len(orders)) for _ in range(6)]
    await asyncio.gather(*(paying.about([answer_to(order) for order in mine]) for mine in shuffled))
    await paying.answer_all()

    assert [(1600, 0, 0)] * 8 == [await paying.balance(account) for account in accounts]
    assert [] == await paying.faults()
