"""Everybody at once: no two doors ever wait for each other in a circle."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

import asyncpg

from services.payments.machine.events import Order
from services.payments.record import Overdue, Waiting
from services.payments.store import Store
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
    async with (
        engine_pool(postgres, database, size_max=8) as pool,
        connections(postgres, database) as open_one,
    ):
        store = Store(pool)
        asked = [await open_one("banks") for _ in range(2)]
        gateways = [await open_one("gateway") for _ in range(2)]

        async def turns(_: int) -> None:
            taken = await store.turn(Waiting(items_max=BATCH, accounts_max=4), paying.decide)
            about = [passing(asking) for asking in taken.askings] + [
                answer_to(order) for order in chance.sample(orders, BATCH)
            ]
            chance.shuffle(about)
            await paying.about(about)

        async def reminders(_: int) -> None:
            await store.turn(Overdue(bank=chance.choice([*BANKS, None]), items_max=BATCH), paying.decide)
            await store.post_windows(timedelta(0), 1, 3)

        # What two say in one round is new and the same, each in an order of its own.
        async def callbacks(number: int, connection: asyncpg.Connection) -> None:
            said = [_bank_says(order, number) for order in chance.sample(orders[:BATCH], BATCH)]
            columns = [list(column) for column in zip(*said, strict=True)]
            await connection.fetch("select * from banks.take_callback($1, $2, $3, $4)", *columns)

        async def commands(number: int, connection: asyncpg.Connection) -> None:
            ids = [order.payment_id for order in chance.sample(orders[:BATCH], BATCH)]
            names = [f"{number}/{one}" for one in ids]
            bodies = [json.dumps({"type": "VoidAsked", "payment_id": one, "by": "m"}) for one in ids]
            await connection.fetch(
                "select * from payments.mail_in($1, $2, $3, $4)", ids, bodies, ["gateway"] * BATCH, names
            )

        async def files(_: int) -> None:
            numbers = chance.sample(range(len(orders)), BATCH)
            lines = [_line(n, orders[n]) for n in numbers]
            breaks = [
                {"bank": line["bank"], "kind": "different", "attempt_id": line["attempt_id"],
                 "line": line["line"], "expected": "100", "found": "99"}
                for line in lines
            ]  # fmt: skip
            bank = chance.choice(BANKS)
            await pool.execute(
                "select payments.keep_settlement($1, $2, '[]', $3, $4)",
                json.dumps(lines), json.dumps(breaks), bank, numbers,
            )  # fmt: skip
            await pool.fetchval("select payments.find_missing_lines($1, '0 s')", bank)

        async def accepting(_: int) -> None:
            await store.check_claims(None, BATCH)
            await paying.accept(some(5))

        for number in range(ROUNDS):
            await asyncio.gather(
                *(call(number) for call in (turns, turns, reminders, reminders, files, files, accepting)),
                *(callbacks(number, connection) for connection in asked),
                *(commands(number, connection) for connection in gateways),
            )

    await paying.world.owner.execute("select pg_stat_clear_snapshot()")
    deadlocks = await paying.world.owner.fetchval(
        "select deadlocks from pg_stat_database where datname = current_database()"
    )
    waiting = await paying.world.owner.fetchval("select count(*) from payments.mail where done_at is null")
    assert 0 == deadlocks
    assert [] == await paying.faults()
    assert 0 < await paying.world.owner.fetchval("select count(*) from payments.mail") - waiting
