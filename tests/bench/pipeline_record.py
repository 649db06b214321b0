"""The record that `pipeline` measures on: filled and fed by SQL, and what it says afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.bench.pipeline_fill import ACCEPT, ACCEPT_AT_ONCE, FEED, FILL, FILL_AT_ONCE, OPEN_ACCOUNTS
from tests.bench.pipeline_worker import BANKS
from tests.integration.payments.payments_samples import SCHEMAS
from tests.integration.postgres_server import PostgresServer

ACCOUNTS: Final = 1_000
LOOK_EVERY_S: Final = 0.1

# An event's transaction tells when it was committed, where the server keeps that; else when it began.
_AT = """
case when current_setting('track_commit_timestamp') = 'on' then pg_xact_commit_timestamp({0}.xid::xid)
     else {0}.at end
"""
_AGES = f"""
select extract(epoch from {_AT.format("e")} - {_AT.format("a")})
from payments.event e join payments.event a on a.payment_id = e.payment_id and a.sequence = 1
where e.xid >= $1::bigint::text::xid8 and e.type = 'payment.succeeded'
"""
_OPEN = """
select exists (select from payments.payment where status = 'accepted')
    or exists (select from payments.payment
               where status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired'))
    or exists (select from payments.credit where window_id is null)
"""
_SPAN = f"""
select count(*) as payments, extract(epoch from max(c.at) - min(c.at)) as seconds
from (select {_AT.format("e")} as at from payments.event e
      where e.xid >= $1::bigint::text::xid8 and e.type = 'payment.succeeded') c
"""


@dataclass
class PipelineRecord:
    """One database.

    Attributes:
        database: Its name.
        owner: A connection of the schema's owner.
        stored: How many payments it has had.
    """

    database: str
    owner: asyncpg.Connection[asyncpg.Record]
    stored: int = 0

    async def fill(self, payments: int) -> None:
        """Store payments that have succeeded long ago, until there are so many."""
        while self.stored < payments:
            end = min(payments, self.stored + FILL_AT_ONCE)
            async with self.owner.transaction():
                for statement in FILL:
                    await self.owner.execute(statement, self.stored, end, ACCOUNTS, list(BANKS))
            self.stored = end
        await self.owner.execute("vacuum analyze")

    async def feed(self, payments: int, *, accounts: int = ACCOUNTS) -> None:
        """Accept so many payments in one transaction, spread over so many accounts."""
        first, self.stored = self.stored, self.stored + payments
        await self.owner.execute(FEED, first, self.stored, accounts, list(BANKS))

    async def accept(self, gateway: asyncpg.Connection[asyncpg.Record], payments: int) -> None:
        """Accept so many payments by the gateway's door, as fast as one connection can.

        Raises:
            RuntimeError: Some were not taken as new.
        """
        end = self.stored + payments
        while self.stored < end:
            last = min(end, self.stored + ACCEPT_AT_ONCE)
            taken = await gateway.fetchval(ACCEPT, self.stored, last, ACCOUNTS, list(BANKS))
            if taken != last - self.stored:
                raise RuntimeError(f"{taken} of {last - self.stored} payments were accepted")
            self.stored = last

    async def place(self) -> int:
        """The next transaction's id: what is written from now on has at least this one."""
        return int(await self.owner.fetchval("select pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))

    async def until_ended(self, wait_s_max: float) -> None:
        """Return once every payment has ended and every credit is posted; raise after the wait."""
        async with asyncio.timeout(wait_s_max):
            while await self.owner.fetchval(_OPEN):  # noqa: ASYNC110 - it happens in other processes
                await asyncio.sleep(LOOK_EVERY_S)

    async def ages_s(self, place: int) -> list[float]:
        """From the acceptance's commit to that of the success, of what has succeeded after this place."""
        return [float(row[0]) for row in await self.owner.fetch(_AGES, place)]

    async def rate_per_s(self, place: int) -> float:
        """Payments that succeeded after this place by the time between the first and the last commit."""
        row = await self.owner.fetchrow(_SPAN, place)
        assert row is not None
        return float(row["payments"] / row["seconds"]) if row["seconds"] else 0.0

    async def transactions(self) -> int:
        """Commits of this database so far."""
        await self.owner.execute("select pg_stat_clear_snapshot()")
        return int(
            await self.owner.fetchval(
                "select xact_commit from pg_stat_database where datname = current_database()"
            )
        )

    async def own_backend(self) -> int:
        """The process of PostgreSQL that works for this benchmark itself."""
        return int(await self.owner.fetchval("select pg_backend_pid()"))

    async def engine_backends(self) -> set[int]:
        """The processes of PostgreSQL that work for the engine."""
        rows = await self.owner.fetch("select pid from pg_stat_activity where usename = 'payments'")
        return {row["pid"] for row in rows}

    async def faults(self) -> int:
        """In how many ways the record contradicts itself; reads the whole ledger."""
        async with self.owner.transaction():
            await self.owner.execute("set local enable_seqscan = on")
            return int(
                await self.owner.fetchval(
                    "select (select count(*) from payments.reminders_missing())"
                    " + (select count(*) from payments.ledger_imbalance())"
                )
            )


@asynccontextmanager
async def fresh_record(server: PostgresServer) -> AsyncIterator[PipelineRecord]:
    """A record with accounts and without payments."""
    database = await server.create_database(f"bench_{uuid.uuid4().hex}", SCHEMAS)
    owner = await server.connect("migrator", database)
    try:
        yield await prepared(owner, database)
    finally:
        await owner.close()


async def prepared(owner: asyncpg.Connection[asyncpg.Record], database: str) -> PipelineRecord:
    """A record with accounts, in a database that has the schemas; `owner` is the migrator's."""
    await owner.execute("set enable_seqscan = off")
    for statement in OPEN_ACCOUNTS:
        await owner.execute(statement, ACCOUNTS)
    return PipelineRecord(database, owner)
