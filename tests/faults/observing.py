"""Look at a quiet stack from outside: its record, the banks' own ledgers, and what a merchant gets to see."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import asyncpg

from compose.launcher.stack import Stack
from services.payments.machine.model import REFUND_FINAL
from signing.evidence.archive import unpack
from signing.evidence.errors import EvidenceRefused
from signing.evidence.verification import verify_bundle
from tests.faults.client_log import Promise
from tests.faults.command_log import CommandLog
from tests.faults.doors import open_record
from tests.faults.load import Load
from tests.faults.observed import (
    OUTCOMES,
    TERMINAL_EVENTS,
    Movement,
    Observation,
    Recorded,
    RecordedRefund,
)
from tests.mesh.enrolled_merchant import EnrolledMerchant

# What a killed process left is found after its lease, then its backoff, then the sender's lease.
QUIET_S_MAX: Final = 120.0
QUIET_EVERY_S: Final = 0.25
# Or later, if deaths came between a bank and four questions about one payment in a row: the fifth comes ten
# minutes after the fourth, by `INQUIRY_DELAYS`. Whose fifth is in vain, too, has met something else than us.
ASKED_S_MAX: Final = 800.0
ANSWERED_S_MAX: Final = 30.0  # From when a question is due to its answer, on a busy host.
LOOK_S_MAX: Final = 30.0
REPEATS_AT_ONCE: Final = 8
BUNDLES_MAX: Final = 20
OPEN_TOLD_MAX: Final = 20  # What is said of what stays open: enough to see what it has in common.
RECORD_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

_OPEN: Final = f"""
    select 'refund ' || refund_id || ' is ' || status from payments.refund where due is not null
    union all
    select 'mail ' || source || ' ' || source_id from payments.mail where done_at is null
    union all
    select 'payment ' || payment_id || ' is ' || status || ', next in '
        || coalesce(round(extract(epoch from due - now()))::text, 'never') || ' s; '
        || (select string_agg(e.type, ' ' order by e.sequence) from payments.event e
            where e.payment_id = p.payment_id)
        || coalesce((select string_agg(format(
               '; %s at %s is %s after %s tries, %s not sent, %s not found since %s', a.operation, a.bank,
               a.state, a.tries, a.unsent, a.not_founds, a.not_found_since), '' order by a.number)
            from payments.attempt a where a.payment_id = p.payment_id), '')
    from payments.payment p where status <> all ('{{{",".join(OUTCOMES)}}}'::text[])
    union all
    select 'delivery of ' || payment_id || ' ' || sequence from notifications.delivery
    where state in ('pending', 'waiting')
    union all
    select 'event ' || e.payment_id || ' ' || e.sequence from payments.event e where not exists (
        select from notifications.delivery d where (d.payment_id, d.sequence) = (e.payment_id, e.sequence))
    union all
    select 'evidence of ' || r.kind || ' ' || r.subject from evidence.record r where not exists (
        select from evidence.leaf l where (l.kind, l.subject) = (r.kind, r.subject))
    limit {OPEN_TOLD_MAX}
"""
# When the last of the outcomes that are unknown is asked for.
_ASKED_IN_S: Final = """
    select extract(epoch from max(due) - now())::float from payments.payment
    where status = 'unknown' and due > now()
"""
_RECORDED = """
    select p.payment_id, p.kind, p.status, p.amount_minor, p.currency, array_agg(e.sequence) as sequences,
           count(*) filter (where e.type = any ($1::text[])) as terminal_events,
           bool_or(e.type = 'payment.late_success') and bool_or(e.type = 'payment.needs_operator')
               as left_to_operator,
           (select count(*) from notifications.delivery d
            where d.payment_id = p.payment_id and d.state <> 'delivered') as undelivered,
           p.capture_method, p.captured_minor, p.refunded_minor,
           exists (select from payments.screening s
                   where s.payment_id = p.payment_id and s.verdict = 'review') as reviewed
    from payments.payment p join payments.event e using (payment_id) group by p.payment_id
"""
_REFUNDS = """
    select r.refund_id, r.payment_id, r.origin, r.amount_minor, r.status,
           (select count(*) from payments.event e
            where e.payment_id = r.payment_id and e.subject_id = r.refund_id
              and e.type = any ('{refund.succeeded,refund.failed,refund.canceled}'::text[])) as ends
    from payments.refund r
"""
_RESULTS = "select source, source_id, result from payments.mail where source = any ($1::text[])"
_PROVEN = """
    select subject from evidence.leaf
    where kind in ('payment', 'command')
      and leaf_index < (select coalesce(max(size), 0) from evidence.checkpoint)
"""


class Watcher:
    """One stack and its merchant, looked at whenever nothing moves.

    Attributes:
        outcomes: every outcome seen so far, so that one that changes is noticed.
    """

    def __init__(
        self,
        stack: Stack,
        merchant: EnrolledMerchant,
        load: Load,
        commands: CommandLog,
        chance: random.Random,
    ) -> None:
        self._stack = stack
        self._commands = commands
        self._merchant = merchant
        self._load = load
        self._chance = chance
        self.outcomes: dict[str, str] = {}

    async def until_quiet(self) -> list[str]:
        """Wait until every payment has its outcome, every event is delivered, every record has its leaf."""
        began = time.monotonic()
        until = began + QUIET_S_MAX
        left, asked_in_s = ["nothing could be seen"], None
        while left:
            await asyncio.sleep(QUIET_EVERY_S)
            with suppress(*RECORD_AWAY):
                async with asyncio.timeout(LOOK_S_MAX), open_record(self._stack) as record:
                    left = [row[0] for row in await record.fetch(_OPEN)]
                    asked_in_s = await record.fetchval(_ASKED_IN_S)
                left += untold(bank_books(self._stack))
            now = time.monotonic()
            if now < until:
                continue
            if asked_in_s is None or now + asked_in_s > began + ASKED_S_MAX:
                return [f"I2 still open after {now - began:.0f} s: {what}" for what in left]
            until = now + asked_in_s + ANSWERED_S_MAX
        return []

    async def audit(self) -> list[str] | None:
        """Ways in which the ledger disagrees with itself at this moment; None if it cannot be read now."""
        try:
            async with open_record(self._stack) as record:
                return await _rows(record, "select * from payments.ledger_imbalance()")
        except RECORD_AWAY:
            return None

    async def observe(
        self,
        promises: Sequence[Promise],
        *,
        books: Mapping[str, Path] | None = None,
        record: asyncpg.Connection | None = None,
    ) -> Observation:
        """See everything.

        Args:
            promises: those to be held to now: each is repeated.
            books: bank to its ledger; the banks' own files unless given.
            record: a connection to read the record with, if not a new one.
        """
        movements = movements_of(books if books is not None else bank_books(self._stack))
        if record is not None:
            seen = await self._read(record)
        else:
            async with open_record(self._stack) as connection:
                seen = await self._read(connection)
        repeats = await self._repeat(promises)
        bundles = await self._verify(promises)
        return Observation(
            promises=promises,
            movements=movements,
            earlier=dict(self.outcomes),
            repeats=repeats,
            bundles=bundles,
            webhooks={i: frozenset(events) for i, events in self._merchant.inbox.events.items()},
            **seen,
        )

    def remember(self, seen: Observation) -> None:
        """From now on these outcomes must stay."""
        self.outcomes |= {i: p.status for i, p in seen.recorded.items() if p.status in OUTCOMES}
        self.outcomes |= {i: r.status for i, r in seen.refunds.items() if r.status in REFUND_FINAL}

    async def _read(self, record: asyncpg.Connection) -> dict[str, Any]:
        rows = await record.fetch(_RECORDED, list(TERMINAL_EVENTS))
        refunds = await record.fetch(_REFUNDS)
        commands = self._commands.read()
        results = await record.fetch(_RESULTS, list({command.source for command in commands}))
        return {
            "recorded": {
                row["payment_id"]: Recorded(
                    row["kind"], row["status"], row["amount_minor"], row["currency"],
                    row["terminal_events"], row["undelivered"], row["left_to_operator"],
                    row["capture_method"], row["captured_minor"], row["refunded_minor"], row["reviewed"],
                )
                for row in rows
            },
            "refunds": {row["refund_id"]: RecordedRefund(*list(row.values())[1:]) for row in refunds},
            "commands": commands,
            "results": {(row["source"], row["source_id"]): row["result"] for row in results},
            "events": {row["payment_id"]: frozenset(row["sequences"]) for row in rows},
            "imbalances": await _rows(record, "select * from payments.ledger_imbalance()"),
            "forgotten": await _rows(record, "select * from payments.reminders_missing()"),
            "proven": frozenset(row["subject"] for row in await record.fetch(_PROVEN)),
        }  # fmt: skip

    async def _repeat(self, promises: Iterable[Promise]) -> dict[str, tuple[int, str]]:
        found: dict[str, tuple[int, str]] = {}
        waiting = iter(promises)

        async def repeat() -> None:
            for promise in waiting:
                body, key = promise.request_body.encode(), promise.idempotency_key
                answer = await self._load.answered(body, key, promise.path)
                if answer is not None:
                    found[promise.payment_id] = (answer.response.status, answer.response.body.decode())

        await asyncio.gather(*(repeat() for _ in range(REPEATS_AT_ONCE)))
        return found

    async def _verify(self, promises: Sequence[Promise]) -> dict[str, str]:
        """Fetch the evidence of some and verify it as anybody could."""
        keys, found = self._merchant.trusted_keys(), {}
        payments = [promise for promise in promises if promise.is_payment]
        for promise in self._chance.sample(payments, min(BUNDLES_MAX, len(payments))):
            try:
                bundle = await self._merchant.evidence(promise.payment_id)
                proven = verify_bundle(unpack(bundle), keys)
            except (EvidenceRefused, AssertionError, TimeoutError) as fault:
                found[promise.payment_id] = f"{type(fault).__name__}: {fault}"
            else:
                found[promise.payment_id] = "" if proven.subject == promise.payment_id else "it is another's"
        return found


async def _rows(record: asyncpg.Connection, query: str) -> list[str]:
    return [str(dict(row)) for row in await record.fetch(query)]


def bank_books(stack: Stack) -> dict[str, Path]:
    """Where each bank keeps its ledger."""
    return {bank: stack.layout.state / bank / "books.sqlite" for bank in stack.mesh.parties_of("banks")}


def movements_of(books: Mapping[str, Path]) -> list[Movement]:
    """What each bank's ledger says was moved."""
    found = []
    for bank, path in books.items():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
            query = "select end_to_end_id, operation, amount_minor, currency, attempt_id from movement"
            found += [Movement(bank, *row) for row in ledger.execute(query)]
    return found


def untold(books: Mapping[str, Path]) -> list[str]:
    """What the banks still have to do or to tell by themselves."""
    found = []
    for bank, path in books.items():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as ledger:
            query = "select (select count(*) from later), (select count(*) from callback where taken = 0)"
            later, callbacks = ledger.execute(query).fetchone()
        found += [f"{later} things that {bank} does later"] if later else []
        found += [f"{callbacks} callbacks of {bank}"] if callbacks else []
    return found
