"""The record that `pipeline` measures on: a real PostgreSQL, filled and fed by SQL, and what it says afterwards."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg

from tests.bench.pipeline_worker import BANKS
from tests.integration.payments.payments_samples import SCHEMAS
from tests.integration.postgres_server import PostgresServer

ACCOUNTS: Final = 1_000
LOOK_EVERY_S: Final = 0.1
_FILL_AT_ONCE: Final = 20_000

# 26 characters of the ids' alphabet, in order of the number, as ids are in order of time.
_NAME = "lpad(to_hex({0}), 26, '0')"
_OPEN_ACCOUNTS = """
insert into payments.account (account_id, merchant_id, currency)
select 'acc_bench_' || n, 'mer_bench_' || n, 'EUR' from generate_series(0, $1::int - 1) n
"""
_FEED = f"""
with fed as (
    insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
        status, sequence, accepted_at, updated_at, due)
    select 'pay_eu_' || {_NAME.format('n')}, 'acc_bench_' || n % $3, 'mer_bench_' || n % $3, 'collect', 100, 'EUR',
           'tok_visa_ok', 'accepted', 1, clock_timestamp(), clock_timestamp(), now() + interval '5 minutes'
    from generate_series($1::bigint, $2::bigint - 1) n
    returning payment_id, accepted_at
)
insert into payments.event (payment_id, sequence, type, at)
select payment_id, 1, 'payment.accepted', accepted_at from fed
"""
_FILL = (
    f"""
insert into payments.payment (payment_id, account_id, merchant_id, kind, amount_minor, currency, instrument,
    status, sequence, account_version, bank, accepted_at, updated_at, captured_minor)
select 'pay_eu_' || {_NAME.format('n')}, 'acc_bench_' || n % $3, 'mer_bench_' || n % $3, 'collect', 100, 'EUR',
       'tok_visa_ok', 'succeeded', 4, n, ($4::text[])[1 + n % cardinality($4::text[])],
       now() - interval '1 day', now() - interval '1 day', 100
from generate_series($1::bigint, $2::bigint - 1) n
""",
    f"""
insert into payments.attempt (attempt_id, payment_id, subject_id, operation, number, bank, amount_minor, state,
    epoch, bank_reference, routing)
select 'att_eu_' || {_NAME.format('n')} || '_1', 'pay_eu_' || {_NAME.format('n')},
       'pay_eu_' || {_NAME.format('n')}, 'collect', 1, ($4::text[])[1 + n % cardinality($4::text[])], 100,
       'confirmed', 2, 'bench', '{{"how":"share"}}'
from generate_series($1::bigint, $2::bigint - 1) n where $3 > 0
""",
    f"""
insert into payments.event (payment_id, sequence, type, account_version, details)
select 'pay_eu_' || {_NAME.format('n')}, sequence, type, n, '{{"bank":"bank-alpha"}}'
from generate_series($1::bigint, $2::bigint - 1) n, unnest(array['payment.accepted', 'payment.screening_passed',
    'payment.submitted', 'payment.succeeded']) with ordinality e (type, sequence) where $3 > 0 and $4::text[] <> '{{}}'
""",
    f"""
insert into payments.screening (payment_id, verdict, rule_pack, inputs_digest, reasons)
select 'pay_eu_' || {_NAME.format('n')}, 'pass', 'standard@1', repeat('0', 64), '{{}}'
from generate_series($1::bigint, $2::bigint - 1) n where $3 > 0 and $4::text[] <> '{{}}'
""",
    """
insert into payments.ledger_transfer (transfer_id, kind, debit_account, credit_account, amount_minor, currency)
select 'acc_bench_' || n % $3 || '/window/' || $1::bigint, 'post', 'clearing:EUR', 'acc_bench_' || n % $3,
       100 * count(*), 'EUR'
from generate_series($1::bigint, $2::bigint - 1) n where $4::text[] <> '{}' group by n % $3
""",
    f"""
insert into payments.credit (source_id, account_id, payment_id, bank, amount_minor, currency, window_id)
select 'att_eu_' || {_NAME.format('n')} || '_1', 'acc_bench_' || n % $3, 'pay_eu_' || {_NAME.format('n')},
       ($4::text[])[1 + n % cardinality($4::text[])], 100, 'EUR', 'acc_bench_' || n % $3 || '/window/' || $1::bigint
from generate_series($1::bigint, $2::bigint - 1) n
""",
    """
update payments.account a set posted_minor = a.posted_minor + s.amount
from (select 'acc_bench_' || n % $3 as account_id, 100 * count(*) as amount
      from generate_series($1::bigint, $2::bigint - 1) n where $4::text[] <> '{}' group by n % $3) s
where a.account_id = s.account_id
""",
)  # fmt: skip
# An event's transaction tells when it was committed, to the microsecond.
_AGES = """
select extract(epoch from pg_xact_commit_timestamp(e.xid::xid) - pg_xact_commit_timestamp(a.xid::xid))
from payments.event e join payments.event a on a.payment_id = e.payment_id and a.sequence = 1
where e.position > $1 and e.type = 'payment.succeeded'
"""
_OPEN = """
select exists (select from payments.payment where status = 'accepted')
    or exists (select from payments.payment
               where status not in ('accepted', 'succeeded', 'failed', 'canceled', 'expired'))
    or exists (select from payments.credit where window_id is null)
"""
_SPAN = """
select count(*) as payments, extract(epoch from max(c.at) - min(c.at)) as seconds
from (select pg_xact_commit_timestamp(xid::xid) as at from payments.event
      where position > $1 and type = 'payment.succeeded') c
"""


@dataclass
class PipelineRecord:
    """One database.

    Attributes:
        server, database: Where it is.
        owner: A connection of the schema's owner.
        stored: How many payments it has had.
    """

    server: PostgresServer
    database: str
    owner: asyncpg.Connection[asyncpg.Record]
    stored: int = 0

    async def fill(self, payments: int) -> None:
        """Store payments that have succeeded long ago, until there are so many."""
        while self.stored < payments:
            end = min(payments, self.stored + _FILL_AT_ONCE)
            async with self.owner.transaction():
                for statement in _FILL:
                    await self.owner.execute(statement, self.stored, end, ACCOUNTS, list(BANKS))
            self.stored = end
        await self.owner.execute("vacuum analyze")

    async def feed(self, payments: int, *, accounts: int = ACCOUNTS) -> None:
        """Accept so many payments in one transaction, spread over so many accounts."""
        first, self.stored = self.stored, self.stored + payments
        await self.owner.execute(_FEED, first, self.stored, accounts)

    async def place(self) -> int:
        """The last event's position."""
        return int(await self.owner.fetchval("select coalesce(max(position), 0) from payments.event"))

    async def until_ended(self, wait_s_max: float) -> None:
        """Return once every payment has ended and every credit is posted; raise after the wait."""
        async with asyncio.timeout(wait_s_max):
            while await self.owner.fetchval(_OPEN):
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
        await owner.execute("set enable_seqscan = off")
        await owner.execute(_OPEN_ACCOUNTS, ACCOUNTS)
        yield PipelineRecord(server, database, owner)
    finally:
        await owner.close()
