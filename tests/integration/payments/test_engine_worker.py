"""Workers against a real PostgreSQL, with banks and a fraud service in the test's own process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from msgspec.structs import replace

from services.node.errors import HopUnsent
from services.payments.config import WorkerConfig
from services.payments.machine.choice import Choice
from services.payments.machine.events import Answered, AnswerKind, Asking, Event, Order, Screened
from services.payments.machine.model import Payment
from services.payments.machine.policy import Policy
from services.payments.outcomes import heard_as
from services.payments.routing_facts import EvenFacts
from services.payments.turns import OnDefect
from services.payments.worker import Worker
from tests.integration.payments.payment_world import PaymentWorld, passing
from tests.integration.payments.payments_samples import BANKS, Request
from tests.integration.payments.payments_stack import until

# Leases long enough for a busy host, short enough to see them end.
POLICY = Policy(lease=timedelta(seconds=4), screening_lease=timedelta(seconds=2))
CONFIG = WorkerConfig(bank_names=tuple(BANKS), call_s_max=0.5, period_s=0.1)


@dataclass
class SomeBanks:
    """Banks that keep what they were sent, and answer when they may.

    Attributes:
        keys: Payment to the attempt ids under which a bank executed it.
        stalled: Banks that execute and then say nothing until released.
        absent: Banks that no call reaches.
        misread: Payments whose first answer names an attempt that there is not.
    """

    keys: dict[str, set[str]] = field(default_factory=dict)
    stalled: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    misread: set[str] = field(default_factory=set)
    calls: Counter[str] = field(default_factory=Counter)
    under_way: Counter[str] = field(default_factory=Counter)

    async def carry(self, order: Order) -> Answered:
        self.calls[order.bank] += 1
        self.under_way[order.bank] += 1
        try:
            answered = heard_as(order, await self._do(order), bank_reference="REF-1")
            if order.payment_id in self.misread:
                self.misread.discard(order.payment_id)
                return replace(answered, attempt_id=f"{order.attempt_id}9")
            return answered
        finally:
            self.under_way[order.bank] -= 1

    async def _do(self, order: Order) -> AnswerKind:
        if order.bank in self.absent:
            return "unsent"
        known = self.keys.setdefault(order.payment_id, set())
        if order.action == "inquire":
            return "confirmed" if order.attempt_id in known else "not_found"
        known.add(order.attempt_id)
        if order.bank in self.stalled:
            await self.released.wait()
        return "confirmed"


@dataclass
class SomeScreener:
    """Passes everything, as long as it is there."""

    is_there: bool = True
    asked: Counter[str] = field(default_factory=Counter)

    async def screen(self, askings: Sequence[Asking]) -> list[Screened]:
        self.asked.update(asking.payment_id for asking in askings)
        if not self.is_there:
            raise HopUnsent("away")
        return [passing(asking) for asking in askings]


@asynccontextmanager
async def _working(
    paying: PaymentWorld,
    banks: SomeBanks,
    screener: SomeScreener | None = None,
    facts: EvenFacts | None = None,
    on_defect: OnDefect | None = None,
) -> AsyncIterator[tuple[Worker, asyncio.Task[None]]]:
    worker = Worker(
        paying.store, banks, screener or SomeScreener(), facts or EvenFacts(BANKS), POLICY, CONFIG,
        on_defect=on_defect,
    )  # fmt: skip
    task = asyncio.create_task(worker.run())
    try:
        yield worker, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _open_payments(paying: PaymentWorld, most: int = 0) -> Callable[[], Awaitable[bool]]:
    async def there_are_at_most() -> bool:
        many = await paying.world.owner.fetchval(
            "select count(*) from payments.payment where due is not null"
        )
        return int(many) <= most

    return there_are_at_most


async def _accepted(paying: PaymentWorld, many: int, accounts: int = 8) -> list[str]:
    merchants = [await paying.open_account(f"acc_{n}", funds_minor=100_000) for n in range(accounts)]
    return await paying.accept(
        [
            Request(
                f"acc_{n % accounts}", merchant=merchants[n % accounts], amount_minor=10,
                kind="payout" if n % 3 == 0 else "collect",
            )
            for n in range(many)
        ]
    )  # fmt: skip


async def test_accepted_payments_reach_their_ends_and_the_ledger_agrees(paying: PaymentWorld) -> None:
    identifiers = await _accepted(paying, 300)
    banks = SomeBanks()

    async with _working(paying, banks) as (worker, task):
        await until(_open_payments(paying), 30)
        await until(_windows_are_posted(paying), 10)
        worker.stop(5)
        await task

    assert dict.fromkeys(identifiers, 1) == {key: len(ids) for key, ids in banks.keys.items()}
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert 8 * 100_000 + 10 * (200 - 100) == sum([(await paying.balance(f"acc_{n}"))[0] for n in range(8)])
    assert [] == await paying.faults()


def _windows_are_posted(paying: PaymentWorld) -> Callable[[], Awaitable[bool]]:
    async def posted() -> bool:
        return not await paying.world.owner.fetchval(
            "select coalesce(sum(unposted_minor), 0) from payments.account"
        )

    return posted


async def test_a_worker_that_dies_in_the_middle_loses_nothing_and_nothing_is_sent_under_two_keys(
    paying: PaymentWorld,
) -> None:
    identifiers = await _accepted(paying, 200)
    banks = SomeBanks(stalled=set(BANKS))

    async def calls_are_under_way() -> bool:
        return sum(banks.under_way.values()) > 50

    async with _working(paying, banks) as (_, task):
        await until(calls_are_under_way, 20)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    executed = len(banks.keys)
    banks.stalled.clear()
    async with _working(paying, banks):
        await until(_open_payments(paying), 40)

    assert executed > 50
    assert dict.fromkeys(identifiers, 1) == {key: len(ids) for key, ids in banks.keys.items()}
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert [] == await paying.faults()


async def test_a_bank_that_says_nothing_blocks_nobody_elses_payments(paying: PaymentWorld) -> None:
    slow, quick = BANKS
    banks = SomeBanks(stalled={slow})
    identifiers = await _accepted(paying, 900)

    async with _working(paying, banks):
        stuck = CONFIG.sends_per_bank_max + CONFIG.queue_per_bank_max + CONFIG.redrives_per_bank_max
        await until(_open_payments(paying, most=stuck), 40)
        at_the_slow_bank = banks.under_way[slow]
        banks.stalled.clear()
        banks.released.set()
        await until(_open_payments(paying), 40)

    assert 0 < at_the_slow_bank <= CONFIG.sends_per_bank_max + CONFIG.redrives_per_bank_max
    assert banks.calls[quick] >= len(identifiers) - stuck
    assert {1} == {len(ids) for ids in banks.keys.values()}
    assert [] == await paying.faults()


async def test_a_bank_that_is_away_gets_no_new_payments_while_another_is_there(paying: PaymentWorld) -> None:
    gone, there = BANKS
    banks = SomeBanks(absent={gone})
    identifiers = await _accepted(paying, 300)

    async with _working(paying, banks):
        await until(_open_payments(paying), 60)

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
    identifiers = await _accepted(paying, 60)
    screener, banks = SomeScreener(is_there=False), SomeBanks()

    async def it_was_asked() -> bool:
        return len(screener.asked) > 5

    async with _working(paying, banks, screener):
        await until(it_was_asked, 10)
        asked_in_vain, sent_unscreened = len(screener.asked), sum(banks.calls.values())
        screener.is_there = True
        await until(_open_payments(paying), 40)

    assert 0 == sent_unscreened
    assert asked_in_vain <= len(identifiers)
    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}


async def test_two_workers_share_the_payments_and_send_each_once(paying: PaymentWorld) -> None:
    identifiers = await _accepted(paying, 600)
    first, second = SomeBanks(), SomeBanks()

    async with _working(paying, first), _working(paying, second):
        await until(_open_payments(paying), 40)

    assert set(identifiers) == set(first.keys) | set(second.keys)
    assert set() == set(first.keys) & set(second.keys)
    assert [] == await paying.faults()


async def test_a_stopped_worker_lets_the_calls_under_way_end(paying: PaymentWorld) -> None:
    identifiers = await _accepted(paying, 40)
    banks = SomeBanks(stalled=set(BANKS))

    async def all_are_under_way() -> bool:
        return sum(banks.under_way.values()) == len(identifiers)

    async with _working(paying, banks) as (worker, task):
        await until(all_are_under_way, 20)
        worker.stop(10)
        banks.released.set()
        await task

    assert {"succeeded"} == {await paying.status(identifier) for identifier in identifiers}
    assert 0 == worker.under_way


async def test_one_answer_that_cannot_be_recorded_loses_its_neighbours_nothing(paying: PaymentWorld) -> None:
    identifiers = await _accepted(paying, 100)
    guilty = identifiers[50]
    banks, defects = SomeBanks(misread={guilty}), list[str]()

    def note(event: Event, _: Exception) -> None:
        defects.append(event.payment_id)

    async with _working(paying, banks, on_defect=note):
        await until(_open_payments(paying, most=1), 30)
        others = {await paying.status(one) for one in identifiers if one != guilty}
        # Its lease ends, the bank is asked, and knows it.
        await until(_open_payments(paying), 30)

    assert {guilty} == set(defects)
    assert {"succeeded"} == others
    assert {1} == {len(ids) for ids in banks.keys.values()}
    assert [] == await paying.faults()


class _Stumbling(EvenFacts):
    """Cannot route one payment, as a defect of ours would have it."""

    guilty = ""

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:
        if payment.payment_id == self.guilty:
            raise ZeroDivisionError
        return super().choose(payment, excluded)


async def test_a_payment_that_cannot_be_decided_is_set_aside_and_the_others_go_on(
    paying: PaymentWorld,
) -> None:
    identifiers = await _accepted(paying, 100)
    facts = _Stumbling(BANKS)
    facts.guilty = identifiers[3]
    defects: list[str] = []

    def note(event: Event, _: Exception) -> None:
        defects.append(event.payment_id)

    async with _working(paying, SomeBanks(), facts=facts, on_defect=note):
        await until(_open_payments(paying, most=1), 30)

    assert "screening" == await paying.status(facts.guilty)
    assert {"succeeded"} == {await paying.status(one) for one in identifiers if one != facts.guilty}
    assert {facts.guilty} == set(defects)
    assert [] == await paying.faults()
