"""Planted bugs of the record and its use: locks, snapshots, commits, windows, the mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any
from unittest.mock import patch

import msgspec

from services.payments.machine import refund
from services.payments.machine.events import Decisions, Event, Snapshot
from services.payments.record import Work
from tests.simulation.database import Database
from tests.simulation.mutants import mutant, together
from tests.simulation.rows import Rows
from tests.simulation.sim_record import SimRecord
from tests.simulation.transaction import Transaction

Patch = AbstractContextManager[Any]


@mutant("rows are read in the statement that waits for the lock: as they were before")
def snapshot_from_before_the_lock() -> Patch:
    seen: dict[Transaction, tuple[dict[str, Any], dict[str, Any]]] = {}
    lock, read = SimRecord.lock, SimRecord.read

    async def lock_late(self: SimRecord, transaction: Transaction, work: Work) -> list[str]:
        rows = self.database.rows
        seen[transaction] = (dict(rows.accounts), {key: rows.whole(key) for key in rows.payments})
        return await lock(self, transaction, work)

    def read_old(self: SimRecord, transaction: Transaction, work: Work, accounts: Sequence[str]) -> Snapshot:
        snapshot = read(self, transaction, work, accounts)
        old_accounts, old_payments = seen.pop(transaction)
        return Snapshot(
            now=snapshot.now, events=snapshot.events,
            accounts={key: old_accounts[key] for key in snapshot.accounts},
            payments={key: old_payments.get(key, row) for key, row in snapshot.payments.items()},
        )  # fmt: skip

    return together(
        patch.object(SimRecord, "lock", lock_late), patch.object(SimRecord, "read", read_old), _unchecked()
    )


@mutant("accounts are not locked at all")
def no_account_lock() -> Patch:
    def pretend(self: Database, transaction: Transaction, account_id: str) -> bool:
        return True

    return together(patch.object(Database, "try_lock", pretend), _unchecked())


@mutant("orders are carried before the turn has committed")
def order_before_commit() -> Patch:
    commit = Database.commit

    async def commit_later(self: Database, transaction: Transaction, decisions: Decisions) -> None:
        task = asyncio.ensure_future(commit(self, transaction, decisions))
        task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
        transaction.is_committing = True

    return patch.object(Database, "commit", commit_later)


@mutant("a window loses its items when the worker dies between marking and posting them")
def window_in_two_commits() -> Patch:
    async def post(self: SimRecord, transaction: Transaction, accounts: Sequence[str]) -> int:
        taken = {key: self.database.rows.unposted.pop(key, []) for key in accounts}
        await asyncio.sleep(0.02)
        self.database.rows.unposted.update({key: items for key, items in taken.items() if items})
        return await commit_windows(self, transaction, accounts)

    commit_windows = SimRecord.commit_windows
    return patch.object(SimRecord, "commit_windows", post)


@mutant("a window's posting leaves out its last item")
def window_loses_an_item() -> Patch:
    post_window = Database.post_window

    def post(self: Database, account_id: str) -> int:
        items = self.rows.unposted.get(account_id, [])
        if len(items) > 1:
            self.rows.unposted[account_id] = items[:-1]
        return post_window(self, account_id)

    return patch.object(Database, "post_window", post)


@mutant("the mailbox takes the same letter twice, and a bounce is paid out again")
def mail_twice() -> Patch:
    put_mail = Rows.put_mail

    def put(self: Rows, event: Event, source: tuple[str, str], at: datetime) -> bool:
        return put_mail(self, event, (source[0], f"{source[1]}#{self.arrived}"), at)

    bounced = refund.bounced

    def bounce(case: Any, attempt: Any) -> None:
        bounced(case, attempt)
        case.put_attempt(msgspec.structs.replace(attempt, state="confirmed"))
        case.put_refund(msgspec.structs.replace(case.refund(attempt.subject_id), status="succeeded"))

    return together(patch.object(Rows, "put_mail", put), patch.object(refund, "bounced", bounce))


@mutant("letters are applied and not marked as done")
def mail_is_never_done() -> Patch:
    write = Database.write

    def forget(self: Database, decisions: Decisions) -> None:
        write(self, msgspec.structs.replace(decisions, mail_done=decisions.mail_done[1:]))

    return patch.object(Database, "write", forget)


@mutant("attempts are written without their payment's reminder, in a commit of their own")
def reminder_in_another_commit() -> Patch:
    commit = Database.commit

    async def commit_twice(self: Database, transaction: Transaction, decisions: Decisions) -> None:
        if decisions.orders and not transaction.is_committing:
            first = msgspec.structs.replace(decisions, payments=[], told=[], mail_done=[])
            self.write(first)
            rest = Decisions(payments=decisions.payments, told=decisions.told, mail_done=decisions.mail_done)
            await commit(self, transaction, rest)
        else:
            await commit(self, transaction, decisions)

    return patch.object(Database, "commit", commit_twice)


def _unchecked() -> Patch:
    """Rows are not compared with what was read, as the real record compares them."""
    return patch.object(Database, "is_as_read", lambda *_: True)
