"""A record to work on: accounts with money, accepted payments in bulk, turns with the real decisions.

Others use it too: enter it with `payment_world(server, database)`. Everything in it is real but the banks and
the fraud service, whose answers the test gives.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import asyncpg

from pki.tls import client_context
from services.payments.machine import turn
from services.payments.machine.choice import Choice
from services.payments.machine.events import (
    Answered,
    AnswerKind,
    Asking,
    Decisions,
    Event,
    Order,
    Screened,
    Snapshot,
)
from services.payments.machine.model import Payment
from services.payments.machine.policy import Policy
from services.payments.record import About, Overdue, Waiting
from services.payments.store import Pool, Store
from tests.integration.payments.payments_samples import BANKS, Request, World, accept, connections
from tests.integration.postgres_server import PostgresServer

BATCH = 128
RULE_PACK = "demo@1:" + "0" * 64
WINDOW_AT_ONCE = timedelta(0)


@dataclass
class AnyBank:
    """Routes that always have an answer: the first bank that is not excluded."""

    banks: Sequence[str] = tuple(BANKS)
    not_found_final: bool = False

    def choose(self, payment: Payment, excluded: frozenset[str]) -> Choice:  # noqa: ARG002 - the protocol
        there = [bank for bank in self.banks if bank not in excluded]
        return Choice(bank=there[0] if there else None, explanation='{"test":true}')

    def is_not_found_final(self, bank: str) -> bool:  # noqa: ARG002 - the protocol
        return self.not_found_final


@dataclass
class PaymentWorld:
    """The store, its decisions, and connections of the other roles.

    Attributes:
        orders, askings: Of every turn so far that nobody has answered yet.
    """

    store: Store
    world: World
    pool: Pool
    routes: AnyBank = field(default_factory=AnyBank)
    policy: Policy = field(default_factory=Policy)
    orders: list[Order] = field(default_factory=list)
    askings: list[Asking] = field(default_factory=list)

    def decide(self, snapshot: Snapshot) -> Decisions:
        return turn.decide(snapshot, self.routes, self.policy)

    async def accept(self, requests: Sequence[Request]) -> list[str]:
        """Accept any number of payments; return their ids."""
        for first in range(0, len(requests), BATCH):
            await accept(self.world.gateway, requests[first : first + BATCH])
        return [request.payment_id for request in requests]

    async def open_account(self, account: str, *, funds_minor: int = 0, currency: str = "EUR") -> str:
        """An account with money that a collect brought in; return its merchant."""
        merchant = await self.world.open_account(account, currency=currency)
        if funds_minor:
            [identifier] = await self.accept(
                [Request(account, amount_minor=funds_minor, merchant=merchant, currency=currency)]
            )
            orders = await self.submit()
            mine = [order for order in orders if order.payment_id == identifier]
            self.orders = [order for order in self.orders if order.payment_id != identifier]
            await self.about([answer_to(order) for order in mine])
            await self.store.post_windows(WINDOW_AT_ONCE, 1, BATCH)
        return merchant

    async def waiting(self, items_max: int = BATCH, accounts_max: int = BATCH) -> Decisions:
        """One turn of whoever waits longest."""
        return self._keep(
            await self.store.turn(Waiting(items_max=items_max, accounts_max=accounts_max), self.decide)
        )

    async def overdue(self, bank: str | None, items_max: int = BATCH) -> Decisions:
        return self._keep(await self.store.turn(Overdue(bank=bank, items_max=items_max), self.decide))

    async def about(self, events: Sequence[Event]) -> Decisions:
        return self._keep(await self.store.turn(About(events=events), self.decide))

    async def submit(self) -> list[Order]:
        """Take every waiting turn and pass every screening; return the orders that came of it."""
        orders: list[Order] = []
        while True:
            decisions = await self.waiting()
            askings, self.askings = self.askings, []
            if not (decisions.payments or decisions.mail_done or askings):
                return orders
            orders += decisions.orders
            for first in range(0, len(askings), BATCH):
                passed = [passing(asking) for asking in askings[first : first + BATCH]]
                orders += (await self.about(passed)).orders

    async def answer_all(self, kind: AnswerKind = "confirmed") -> None:
        """Let the banks answer every order there is, and post the windows."""
        while self.orders:
            orders, self.orders = self.orders[:BATCH], self.orders[BATCH:]
            await self.about([answer_to(order, kind) for order in orders])
        while await self.store.post_windows(WINDOW_AT_ONCE, 1, BATCH):
            pass

    async def story(self, payment_id: str) -> list[tuple[str, dict[str, Any] | None]]:
        """The payment's events, as type and details, in order; fails where a sequence is missing."""
        rows = await self.world.owner.fetch(
            "select sequence, type, details from payments.event where payment_id = $1 order by sequence",
            payment_id,
        )
        assert list(range(1, len(rows) + 1)) == [row["sequence"] for row in rows]
        return [(row["type"], json.loads(row["details"]) if row["details"] else None) for row in rows]

    async def ledger(self) -> list[asyncpg.Record]:
        """Every entry, seen from each account, as account, currency, kind, amount."""
        rows: list[asyncpg.Record] = await self.world.owner.fetch(
            "select account, currency, kind, amount from payments.ledger_entry"
        )
        return rows

    async def balance(self, account: str) -> tuple[int, int, int]:
        """Posted, held, unposted."""
        row = await self.world.account(account)
        return row["posted_minor"], row["held_minor"], row["unposted_minor"]

    async def status(self, payment_id: str) -> str:
        return str((await self.world.payment(payment_id))["status"])

    async def make_due(self) -> None:
        """Let every reminder have passed, as time would."""
        for table in ("payment", "refund", "dispute"):
            await self.world.owner.execute(
                f"update payments.{table} set due = now() - interval '1 second' where due is not null"
            )

    async def faults(self) -> list[Any]:
        """Everything that the checks find; must be empty, always."""
        return await self.world.faults()

    def _keep(self, decisions: Decisions) -> Decisions:
        self.orders += decisions.orders
        self.askings += decisions.askings
        return decisions


def passing(asking: Asking) -> Screened:
    return Screened(payment_id=asking.payment_id, verdict="pass", rule_pack=RULE_PACK, inputs_digest="0" * 64)


def answer_to(order: Order, kind: AnswerKind = "confirmed") -> Answered:
    """What came of an order."""
    return Answered(
        payment_id=order.payment_id,
        attempt_id=order.attempt_id,
        epoch=order.epoch,
        kind=kind,
        asked=order.action == "inquire",
        bank_reference="REF-1" if kind == "confirmed" else None,
        decline_code="do_not_honour" if kind == "declined" else None,
    )


@asynccontextmanager
async def engine_pool(server: PostgresServer, database: str, size_max: int = 10) -> AsyncIterator[Pool]:
    """A pool of the engine's role."""
    place = server.reach("payments", database)
    context = client_context(server.pki.identity("payments"), expect=frozenset({place.expect}))
    async with asyncpg.create_pool(
        host=place.host, port=place.port, user=place.user, database=database, ssl=context, min_size=0,
        max_size=size_max,
    ) as pool:  # fmt: skip
        yield pool


@asynccontextmanager
async def payment_world(server: PostgresServer, database: str) -> AsyncIterator[PaymentWorld]:
    """A world in a database that has the schemas."""
    async with connections(server, database) as connect, engine_pool(server, database) as pool:
        yield PaymentWorld(Store(pool), await World.enter(connect), pool)
