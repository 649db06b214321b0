"""Workers against a real PostgreSQL, with banks and a fraud service in the test's own process."""

from __future__ import annotations

import asyncio

from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import BANKS
from tests.integration.payments.payments_stack import until
from tests.integration.payments.worker_surroundings import (
    CONFIG,
    SomeBanks,
    SomeScreener,
    accepted,
    open_payments,
    windows_are_posted,
    working,
)


async def test_accepted_payments_reach_their_ends_and_the_ledger_agrees(paying: PaymentWorld) -> None:
    identifiers = await accepted(paying, 300)
    banks = SomeBanks()

    async with working(paying, banks) as (worker, task):
        await until(open_payments(paying), 30)
        await until(windows_are_posted(paying), 10)
        worker.stop(5)
        await task

    assert dict.fromkeys(identifiers, 1) == {key: len(ids) for key, ids in banks.keys.items()}
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert 8 * 100_000 + 10 * (200 - 100) == sum([(await paying.balance(f"acc_{n}"))[0] for n in range(8)])
    assert [] == await paying.faults()


async def test_a_worker_that_dies_in_the_middle_loses_nothing_and_nothing_is_sent_under_two_keys(
    paying: PaymentWorld,
) -> None:
    identifiers = await accepted(paying, 200)
    banks = SomeBanks(stalled=set(BANKS))

    async def calls_are_under_way() -> bool:
        return sum(banks.under_way.values()) > 50

    async with working(paying, banks) as (_, task):
        await until(calls_are_under_way, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    executed = len(banks.keys)
    banks.stalled.clear()
    async with working(paying, banks):
        await until(open_payments(paying), 40)

    assert executed > 50
    assert dict.fromkeys(identifiers, 1) == {key: len(ids) for key, ids in banks.keys.items()}
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert [] == await paying.faults()


async def test_a_bank_that_says_nothing_blocks_nobody_elses_payments(paying: PaymentWorld) -> None:
    slow, quick = BANKS
    banks = SomeBanks(stalled={slow})
    identifiers = await accepted(paying, 900)

    async with working(paying, banks):
        stuck = CONFIG.sends_per_bank_max + CONFIG.queue_per_bank_max + CONFIG.redrives_per_bank_max
        await until(open_payments(paying, most=stuck), 40)
        at_the_slow_bank = banks.under_way[slow]
        banks.stalled.clear()
        banks.released.set()
        await until(open_payments(paying), 40)

    assert 0 < at_the_slow_bank <= CONFIG.sends_per_bank_max + CONFIG.redrives_per_bank_max
    assert banks.calls[quick] >= len(identifiers) - stuck
    assert {1} == {len(ids) for ids in banks.keys.values()}
    assert [] == await paying.faults()


async def test_a_bank_that_is_away_gets_no_new_payments_while_another_is_there(paying: PaymentWorld) -> None:
    gone, there = BANKS
    banks = SomeBanks(absent={gone})
    identifiers = await accepted(paying, 300)

    async with working(paying, banks):
        await until(open_payments(paying), 60)

    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert {there} == {
        row["bank"]
        for row in await paying.world.owner.fetch(
            "select bank from payments.attempt where state = 'confirmed' and payment_id = any($1)",
            identifiers,
        )
    }
    assert [] == await paying.faults()


async def test_without_a_fraud_service_payments_are_held_and_then_go_on(paying: PaymentWorld) -> None:
    identifiers = await accepted(paying, 60)
    screener, banks = SomeScreener(is_there=False), SomeBanks()

    async def it_was_asked() -> bool:
        return len(screener.asked) > 5

    async with working(paying, banks, screener):
        await until(it_was_asked, 10)
        asked_in_vain, sent_unscreened = len(screener.asked), sum(banks.calls.values())
        screener.is_there = True
        await until(open_payments(paying), 40)

    assert 0 == sent_unscreened
    assert asked_in_vain <= len(identifiers)
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}


async def test_two_workers_share_the_payments_and_send_each_once(paying: PaymentWorld) -> None:
    identifiers = await accepted(paying, 600)
    first, second = SomeBanks(), SomeBanks()

    async with working(paying, first), working(paying, second):
        await until(open_payments(paying), 40)

    assert set(identifiers) == set(first.keys) | set(second.keys)
    assert set() == set(first.keys) & set(second.keys)
    assert [] == await paying.faults()


async def test_a_stopped_worker_lets_the_calls_under_way_end(paying: PaymentWorld) -> None:
    identifiers = await accepted(paying, 40)
    banks = SomeBanks(stalled=set(BANKS))

    async def all_are_under_way() -> bool:
        return sum(banks.under_way.values()) == len(identifiers)

    async with working(paying, banks) as (worker, task):
        await until(all_are_under_way, 20)
        worker.stop(10)
        banks.released.set()
        await task

    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert 0 == worker.under_way
