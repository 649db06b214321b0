"""Random histories of workers that die, come late and repeat themselves: nothing may ever be wrong."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg
import pytest

from tests.integration.payments.payments_samples import (
    Connect,
    Request,
    World,
    accept,
    claim,
    record,
    redrive,
)

OUTCOMES = ["confirmed", "declined", "pending", "unknown", "unsent"]
ACCOUNTS = 4


@dataclass
class Worker:
    """One engine process: what it holds leases of, and what it might still say about leases it lost."""

    connection: asyncpg.Connection
    chance: random.Random
    orders: list[asyncpg.Record] = field(default_factory=list)
    spoken: list[tuple[str, int, str]] = field(default_factory=list)

    async def step(self) -> None:
        match self.chance.choice(["claim", "claim", "redrive", "record", "record", "repeat", "die"]):
            case "claim":
                many, accounts = self.chance.choice([1, 8, 64]), self.chance.choice([1, 4])
                self.orders += await claim(self.connection, many, accounts, _lease(self.chance))
            case "redrive":
                self.orders += await redrive(
                    self.connection, _lease(self.chance), self.chance.choice([1, 20])
                )
            case "record" if self.orders:
                self.chance.shuffle(self.orders)
                ended, self.orders = self.orders[:30], self.orders[30:]
                results = [(o["attempt_id"], o["epoch"], self.chance.choice(OUTCOMES)) for o in ended]
                self.spoken += results
                await record(self.connection, results)
            case "repeat" if self.spoken:
                again = self.chance.choices(self.spoken, k=10)
                assert ["stale"] * 10 == await record(self.connection, again)
            case "die":
                self.orders.clear()
            case _:
                pass


def _lease(chance: random.Random) -> timedelta:
    """Some leases end at once: their holders are as good as dead, and speak all the same."""
    return timedelta(seconds=chance.choice([0, 0, 30]))


@pytest.mark.parametrize("seed", range(6))
async def test_random_histories_lose_no_payment_and_no_money(
    world: World, connect: Connect, seed: int
) -> None:
    chance = random.Random(seed)
    accounts = [f"acc_s{seed}_{n}" for n in range(ACCOUNTS)]
    merchants = [await world.open_account(account, funds_minor=2000) for account in accounts]
    workers = [Worker(await connect("payments"), random.Random(f"{seed}.{n}")) for n in range(4)]

    for _ in range(25):
        requests = []
        for _ in range(chance.randrange(12)):
            n = chance.randrange(ACCOUNTS)
            kind, amount = chance.choice(["collect", "payout"]), chance.randrange(1, 600)
            requests.append(Request(accounts[n], kind=kind, amount_minor=amount, merchant=merchants[n]))
        writes = [worker.step() for worker in workers]
        if requests:
            writes.append(accept(world.gateway, requests))  # type: ignore[arg-type]  # only awaited
        await asyncio.gather(*writes)
        await _let_unknowns_be_due(world)

        assert [] == await world.faults()

    await _finish(world)

    assert [] == await world.faults()
    await _check_history(world)


async def _let_unknowns_be_due(world: World) -> None:
    await world.owner.execute(
        "update payments.payment set due = now() where status in ('unknown', 'submitted') and due > now() "
        "and due < now() + interval '20 s'"
    )


async def _finish(world: World) -> None:
    """Every bank answers at last."""
    while True:
        await world.make_due()
        orders = [*await claim(world.engine), *await redrive(world.engine)]
        waiting = await world.owner.fetchval("select count(*) from payments.payment where due is not null")
        if not waiting:
            return
        await record(world.engine, [(o["attempt_id"], o["epoch"], "confirmed") for o in orders])


async def _check_history(world: World) -> None:
    gaps = await world.owner.fetch(
        "select payment_id from payments.event group by payment_id having max(sequence) <> count(*)"
    )
    ends = await world.owner.fetch(
        "select p.payment_id from payments.payment p where 1 <> (select count(*) from payments.event e "
        "where e.payment_id = p.payment_id and e.type in ('payment.succeeded', 'payment.failed'))"
    )
    twice = await world.owner.fetch(
        "select account_id from payments.payment group by account_id "
        "having count(*) <> count(distinct account_version)"
    )
    negative = await world.owner.fetch("select account_id from payments.account where held_minor <> 0")

    assert ([], [], [], []) == (gaps, ends, twice, negative)
