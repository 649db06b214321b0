"""A worker's surroundings for tests: banks and a fraud service in the test's own process."""

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
from services.payments.machine.events import Answered, AnswerKind, Asking, Order, Screened
from services.payments.machine.policy import Policy
from services.payments.outcomes import heard_as
from services.payments.routing_facts import EvenFacts
from services.payments.turns import OnDefect
from services.payments.worker import Worker
from tests.integration.payments.payment_world import PaymentWorld, passing
from tests.integration.payments.payments_samples import BANKS, Request

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
async def working(
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


def open_payments(paying: PaymentWorld, most: int = 0) -> Callable[[], Awaitable[bool]]:
    async def there_are_at_most() -> bool:
        many = await paying.world.owner.fetchval(
            "select count(*) from payments.payment where due is not null"
        )
        return int(many) <= most

    return there_are_at_most


async def accepted(paying: PaymentWorld, many: int, accounts: int = 8) -> list[str]:
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


def windows_are_posted(paying: PaymentWorld) -> Callable[[], Awaitable[bool]]:
    async def posted() -> bool:
        return not await paying.world.owner.fetchval(
            "select coalesce(sum(unposted_minor), 0) from payments.account"
        )

    return posted
