"""A client's side of the simulated record: `services.payments.record.Record` in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from services.payments.machine.events import (
    Answered,
    Decisions,
    Event,
    RefundAsked,
    ReminderDue,
    Screened,
    Snapshot,
)
from services.payments.record import ASIDE_MAX, ASIDE_MIN, About, Decide, Overdue, Waiting, Work
from tests.simulation.database import Database
from tests.simulation.loop import NODE
from tests.simulation.mailbox import WINDOW_FACTOR, what_came, whose_turn
from tests.simulation.rows import Aside
from tests.simulation.transaction import Transaction
from tests.simulation.watch import Watch


class SimRecord:
    """One worker's connections to the database.

    An empty mailbox would be asked a thousand times a minute. The simulated server answers such a question
    once there is something to do, as if the ones before had found nothing: idle virtual days cost nothing.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        """One transaction, as `Record.turn` promises."""
        database = self.database
        if not isinstance(work, About) and not self.has_work(work):
            if isinstance(work, Waiting) and work.mail_only:
                # It is asked now and then while there is no room; it must see that there is some again.
                await database.trip()
                return Decisions()
            await self.until_work(work)
        await database.trip()
        transaction = Transaction(database, NODE.get())
        try:
            accounts = await self.lock(transaction, work)
            await database.trip(transaction)
            snapshot = transaction.snapshot = self.read(transaction, work, accounts)
            if not snapshot.events:
                return Decisions()
            transaction.retried = [
                event.payment_id
                for event in snapshot.events
                if not isinstance(work, About) or not isinstance(event, Answered | Screened)
            ]
            try:
                decisions = decide(snapshot)
            except Exception as fault:
                database.trace.violate("defect", f"{type(fault).__name__}: {fault} on {snapshot.events}")
                raise
            await database.trip(transaction)
            await database.commit(transaction, decisions)
        finally:
            if not transaction.is_committing:
                transaction.end()
        return decisions

    async def lock(self, transaction: Transaction, work: Work) -> list[str]:
        """Lock the accounts in id order; those that others hold are waited for, or left."""
        await self.database.trip(transaction)
        if isinstance(work, About):
            accounts = self.accounts_of(work.events)
            for account_id in accounts:
                await self.database.lock(transaction, account_id)
            return accounts
        if isinstance(work, Waiting):
            transaction.turn = whose_turn(self.database.rows, work, self.database.now())
        return [each for each in sorted(self.candidates(work)) if self.database.try_lock(transaction, each)]

    def accounts_of(self, events: Sequence[Event]) -> list[str]:
        payments = self.database.rows.payments
        return sorted({payments[event.payment_id].account_id for event in events})

    def candidates(self, work: Waiting | Overdue) -> list[str]:
        """Accounts with something to do, those that have waited longest first."""
        rows = self.database.rows
        if isinstance(work, Overdue):
            now = self.database.now()
            due = [
                account_id
                for due, account_id, payment_id, _ in rows.agenda(work.bank)
                if due <= now and not rows.is_aside(payment_id, now)
            ]
            return list(dict.fromkeys(due[: work.items_max * WINDOW_FACTOR]))
        if not rows.accepted and not rows.undone:
            return []
        return whose_turn(rows, work, self.database.now()).accounts

    def overdue(self, work: Overdue, accounts: Sequence[str]) -> list[ReminderDue]:
        """Reminders of these accounts that have passed, oldest first."""
        now, rows = self.database.now(), self.database.rows
        return [
            ReminderDue(payment_id=payment_id, subject_id=subject_id)
            for due, account_id, payment_id, subject_id in rows.agenda(work.bank)
            if due <= now and account_id in accounts and not rows.is_aside(payment_id, now)
        ][: work.items_max]

    def read(self, transaction: Transaction, work: Work, accounts: Sequence[str]) -> Snapshot:
        """Read what the work is about, as it is committed now."""
        rows = self.database.rows
        events: Sequence[Event]
        if isinstance(work, About):
            events = work.events
        elif isinstance(work, Overdue):
            events = self.overdue(work, accounts)
        else:
            events = what_came(rows, transaction.turn, accounts, work, self.database.now())
        return Snapshot(
            now=transaction.now,
            events=events,
            accounts={key: rows.accounts[key] for key in accounts},
            payments={event.payment_id: rows.whole(event.payment_id) for event in events},
            refund_owners={
                event.refund_id: rows.refunds[event.refund_id].payment_id
                for event in events
                if isinstance(event, RefundAsked) and event.refund_id in rows.refunds
            },
        )

    async def set_aside(self, payment_id: str, problem: str) -> None:
        """As `Record.set_aside` promises."""
        database = self.database
        await database.trip()
        rows, now = database.rows, database.now()
        known = rows.aside.get(payment_id)
        if known is None:
            rows.aside[payment_id] = Aside(now + ASIDE_MIN, 1, problem)
        elif known.until <= now:
            wait = min(ASIDE_MAX, ASIDE_MIN * (1 << min(known.times, 30)))
            rows.aside[payment_id] = Aside(now + wait, known.times + 1, problem)
        database.changed()

    async def post_windows(self, age: timedelta, items_min: int, accounts_max: int) -> int:
        """As `Record.post_windows` promises."""
        database = self.database
        if not database.rows.unposted:
            await self._until("windows", lambda: bool(database.rows.unposted), lambda: None)
        await database.trip()
        transaction = Transaction(database, NODE.get())
        try:
            await database.trip(transaction)
            due = self.windows(age, items_min)[:accounts_max]
            held = [each for each in sorted(due) if database.try_lock(transaction, each)]
            await database.trip(transaction)
            return await self.commit_windows(transaction, held)
        finally:
            if not transaction.is_committing:
                transaction.end()

    async def commit_windows(self, transaction: Transaction, accounts: Sequence[str]) -> int:
        """Post what waits for these accounts, in one commit."""
        rows = self.database.rows
        changed = []
        for account_id in accounts:
            waiting = sum(each.credit.amount_minor for each in rows.unposted.get(account_id, []))
            account = rows.accounts[account_id]
            if waiting:
                changed.append(msgspec.structs.replace(
                    account, posted_minor=account.posted_minor + waiting,
                    unposted_minor=account.unposted_minor - waiting,
                ))  # fmt: skip
        if changed:
            posting = Decisions(accounts=changed, flushed=[each.account_id for each in changed])
            await self.database.commit(transaction, posting)
        return len(changed)

    def windows(self, age: timedelta, items_min: int) -> list[str]:
        """Accounts whose credits have waited longer than `age`, or that have this many."""
        now = self.database.now()
        return [
            account_id
            for account_id, waiting in self.database.rows.unposted.items()
            if len(waiting) >= items_min or now - waiting[0].queued_at >= age
        ]

    def has_work(self, work: Waiting | Overdue) -> bool:
        """Whether there is something to do on an account that nobody holds."""
        return any(not self.database.is_locked(each) for each in self.candidates(work))

    def next_due(self, work: Waiting | Overdue) -> datetime | None:
        """When the next reminder will be due, if nothing happens until then."""
        now, rows = self.database.now(), self.database.rows
        times = [aside.until for aside in rows.aside.values() if aside.until > now]
        if isinstance(work, Overdue):
            times += [place[0] for place in rows.agenda(work.bank) if place[0] > now][:1]
        return min(times, default=None)

    async def until_work(self, work: Waiting | Overdue) -> None:
        """Complete when there is something to do."""
        key = f"overdue {work.bank}" if isinstance(work, Overdue) else "waiting"
        await self._until(key, lambda: self.has_work(work), lambda: self.next_due(work))

    async def _until(
        self, key: str, is_there: Callable[[], bool], due: Callable[[], datetime | None]
    ) -> None:
        database = self.database
        watch = database.watches.get(key)
        if watch is None:
            watch = database.watches[key] = Watch(database, is_there, due)
        arrival: asyncio.Future[None] = database.loop.create_future()
        watch.waiters.append(arrival)
        watch.look()
        await arrival
