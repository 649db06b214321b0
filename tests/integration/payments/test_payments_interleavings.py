"""Random histories of workers that die, come late and repeat themselves: nothing may ever be wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, get_args

import pytest

from services.payments.machine.events import Answered, AnswerKind, Asking, Decisions, Order
from services.payments.machine.policy import Policy
from services.payments.record import Overdue, Waiting
from tests.integration.payments.payment_world import PaymentWorld, answer_to, passing
from tests.integration.payments.payments_samples import BANKS, Request

OUTCOMES = [kind for kind in get_args(AnswerKind) if kind != "not_found"]
ACCOUNTS = 4
# Some leases end at once: their holders are as good as dead, and speak all the same.
LEASES = [timedelta(0), timedelta(0), timedelta(seconds=30)]


@dataclass
class Worker:
    """One engine process: what it holds leases of, and what it might still say about leases it lost."""

    paying: PaymentWorld
    chance: random.Random
    orders: list[Order] = field(default_factory=list)
    askings: list[Asking] = field(default_factory=list)
    spoken: list[Answered] = field(default_factory=list)

    def _keep(self, decisions: Decisions) -> None:
        self.orders += decisions.orders
        self.askings += decisions.askings

    async def step(self) -> None:
        paying, chance = self.paying, self.chance
        paying.policy = Policy(lease=chance.choice(LEASES), screening_lease=chance.choice(LEASES))
        match chance.choice(
            ["wait", "wait", "overdue", "screen", "screen", "record", "record", "repeat", "post", "die"]
        ):
            case "wait":
                work = Waiting(items_max=chance.choice([1, 8, 64]), accounts_max=chance.choice([1, 4]))
                self._keep(await paying.store.turn(work, paying.decide))
            case "overdue":
                due = Overdue(bank=chance.choice([*BANKS, None]), items_max=chance.choice([1, 20]))
                self._keep(await paying.store.turn(due, paying.decide))
            case "screen" if self.askings:
                ended, self.askings = self.askings[:30], self.askings[30:]
                self._keep(await paying.about([passing(asking) for asking in ended]))
            case "record" if self.orders:
                chance.shuffle(self.orders)
                ours, self.orders = self.orders[:30], self.orders[30:]
                results = [answer_to(order, self._outcome(order)) for order in ours]
                self.spoken += results
                self._keep(await paying.about(results))
            case "repeat" if self.spoken:
                await paying.about(chance.choices(self.spoken, k=10))
            case "post":
                await paying.store.post_windows(timedelta(0), 1, chance.choice([1, 4]))
            case "die":
                self.orders.clear()
                self.askings.clear()
            case _:
                pass

    def _outcome(self, order: Order) -> AnswerKind:
        """A bank does not contradict itself: what is definite follows from the attempt."""
        definite: AnswerKind = "declined" if order.attempt_id[-3] in "0123456789" else "confirmed"
        return self.chance.choice([definite, "pending", "unknown", "unsent"])


@pytest.mark.parametrize("seed", range(4))
async def test_random_histories_lose_no_payment_and_no_money(paying: PaymentWorld, seed: int) -> None:
    chance = random.Random(seed)
    accounts = [f"acc_s{seed}_{n}" for n in range(ACCOUNTS)]
    merchants = [await paying.open_account(account, funds_minor=2000) for account in accounts]
    workers = [Worker(paying, random.Random(f"{seed}.{n}")) for n in range(4)]

    for _ in range(25):
        requests = []
        for _ in range(chance.randrange(12)):
            n = chance.randrange(ACCOUNTS)
            kind, amount = chance.choice(["collect", "payout"]), chance.randrange(1, 600)
            requests.append(Request(accounts[n], kind=kind, amount_minor=amount, merchant=merchants[n]))
        writes: list[Awaitable[Any]] = [worker.step() for worker in workers]
        await asyncio.gather(*writes, paying.accept(requests))

        assert [] == await paying.faults()

    await _finish(paying)

    assert [] == await paying.faults()
    await _check_history(paying)


async def _finish(paying: PaymentWorld) -> None:
    """Every bank answers at last."""
    paying.policy = Policy()
    while await paying.world.owner.fetchval("select count(*) from payments.payment where due is not null"):
        await paying.make_due()
        paying.orders.clear()
        await paying.submit()
        for bank in [*BANKS, None]:
            await paying.overdue(bank)
        askings, paying.askings = paying.askings, []
        await paying.about([passing(asking) for asking in askings])
        await paying.answer_all()


async def _check_history(paying: PaymentWorld) -> None:
    owner = paying.world.owner
    gaps = await owner.fetch(
        "select payment_id from payments.event group by payment_id having max(sequence) <> count(*)"
    )
    ends = await owner.fetch(
        "select p.payment_id from payments.payment p where 1 <> (select count(*) from payments.event e "
        "where e.payment_id = p.payment_id and e.type in ('payment.succeeded', 'payment.failed'))"
    )
    twice = await owner.fetch(
        "select account_id from payments.payment group by account_id "
        "having count(*) <> count(distinct account_version)"
    )
    left = await owner.fetch("select account_id from payments.account where held_minor + unposted_minor <> 0")

    assert ([], [], [], []) == (gaps, ends, twice, left)
