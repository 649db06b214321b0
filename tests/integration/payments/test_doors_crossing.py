"""Everybody at once: no two doors ever wait for each other in a circle."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from services.payments.machine.events import Order
from services.payments.record import Overdue, Waiting
from services.payments.store import Pool, Store
from tests.integration.payments.payment_world import PaymentWorld, answer_to, engine_pool, passing
from tests.integration.payments.payments_samples import BANKS, Request, connections
from tests.integration.postgres_server import PostgresServer

ACCOUNTS = 6
PAYMENTS = 240
ROUNDS = 12  # Of each kind of caller, all of them beside each other.
BATCH = 30


def _bank_says(order: Order, number: int) -> tuple[str, str, bytes, str]:
    body = {
        "type": "BankTold", "bank": order.bank, "payment_id": order.payment_id, "what": "confirmed",
        "attempt_id": order.attempt_id, "amount_minor": order.amount_minor, "currency": order.currency,
        "told_at": "2026-11-26T00:00:00Z", "event_id": f"{number}_{order.attempt_id}",
    }  # fmt: skip
    return order.bank, f"{number}_{order.attempt_id}", b"{}", json.dumps(body)


def _line(number: int, order: Order) -> dict[str, object]:
    return {
        "bank": order.bank, "line": number + 1, "attempt_id": order.attempt_id, "movement": "collect",
        "end_to_end_id": order.payment_id, "amount_minor": 99, "fee_minor": 0, "currency": order.currency,
        "bank_reference": "x", "value_date": "2026-11-26",
    }  # fmt: skip


@dataclass
class Callers:
    """Everybody who calls, about the same payments."""

    paying: PaymentWorld
    store: Store
    pool: Pool
    orders: list[Order]
    requests: Callable[[int], list[Request]]
    chance: random.Random

    async def turns(self) -> None:
        taken = await self.store.turn(Waiting(items_max=BATCH, accounts_max=4), self.paying.decide)
        about = [passing(asking) for asking in taken.askings] + [
            answer_to(order) for order in self.chance.sample(self.orders, BATCH)
        ]
        self.chance.shuffle(about)
        await self.paying.about(about)

    async def reminders(self) -> None:
        bank = self.chance.choice([*BANKS, None])
        await self.store.turn(Overdue(bank=bank, items_max=BATCH), self.paying.decide)
        await self.store.post_windows(timedelta(0), 1, 3)

    # What two say in one round is new and the same, each in an order of its own.
    async def callbacks(self, number: int, connection: asyncpg.Connection) -> None:
        said = [_bank_says(order, number) for order in self.chance.sample(self.orders[:BATCH], BATCH)]
        columns = [list(column) for column in zip(*said, strict=True)]
        await connection.fetch("select * from banks.take_callback($1, $2, $3, $4)", *columns)

    async def commands(self, number: int, connection: asyncpg.Connection) -> None:
        ids = [order.payment_id for order in self.chance.sample(self.orders[:BATCH], BATCH)]
        names = [f"{number}/{one}" for one in ids]
        bodies = [json.dumps({"type": "VoidAsked", "payment_id": one, "by": "m"}) for one in ids]
        await connection.fetch(
            "select * from payments.mail_in($1, $2, $3, $4)", ids, bodies, ["gateway"] * BATCH, names
        )

    async def files(self) -> None:
        numbers = self.chance.sample(range(len(self.orders)), BATCH)
        lines = [_line(n, self.orders[n]) for n in numbers]
        breaks = [
            {"bank": line["bank"], "kind": "different", "attempt_id": line["attempt_id"],
             "line": line["line"], "expected": "100", "found": "99"}
            for line in lines
        ]  # fmt: skip
        bank = self.chance.choice(BANKS)
        await self.pool.execute(
            "select payments.keep_settlement($1, $2, '[]', $3, $4)",
            json.dumps(lines), json.dumps(breaks), bank, numbers,
        )  # fmt: skip
        await self.pool.fetchval("select payments.find_missing_lines($1, '0 s')", bank)

    async def accepting(self) -> None:
        await self.store.check_claims(None, BATCH)
        await self.paying.accept(self.requests(5))


async def test_doors_that_cross_wait_for_each_other_in_no_circle(
    paying: PaymentWorld, postgres: PostgresServer, database: str
) -> None:
    accounts = [f"acc_crossing_{n}" for n in range(ACCOUNTS)]
    merchants = [await paying.open_account(account, funds_minor=50_000) for account in accounts]
    chance = random.Random(20261126)

    def some(many: int) -> list[Request]:
        picks = [chance.randrange(ACCOUNTS) for _ in range(many)]
        kinds = ["collect", "payout"]
        return [Request(accounts[n], kind=chance.choice(kinds), merchant=merchants[n]) for n in picks]

    await paying.accept(some(PAYMENTS))
    orders = await paying.submit()
    async with engine_pool(postgres, database, size_max=8) as pool, connections(postgres, database) as enter:
        callers = Callers(paying, Store(pool), pool, orders, some, chance)
        banks = [await enter("banks") for _ in range(2)]
        gateways = [await enter("gateway") for _ in range(2)]
        for number in range(ROUNDS):
            await asyncio.gather(
                *(call() for call in (callers.turns, callers.reminders, callers.files) for _ in range(2)),
                *(callers.callbacks(number, connection) for connection in banks),
                *(callers.commands(number, connection) for connection in gateways),
                callers.accepting(),
            )

    await paying.world.owner.execute("select pg_stat_clear_snapshot()")
    deadlocks = await paying.world.owner.fetchval(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    assert 0 == deadlocks
    assert [] == await paying.faults()
    assert 0 < await paying.world.owner.fetchval(
        "select count(*) from payments.mail where done_at is not null"
    )
