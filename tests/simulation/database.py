"""The server of the simulated record: locks, transactions, and the ways in which they end.

The rules that matter are PostgreSQL's under READ COMMITTED: a row lock is held to the end of its transaction,
waiting is first come first served, each statement sees what had been committed when it began, a commit is all
or nothing, and a client whose connection breaks at the wrong moment cannot know which.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import msgspec

from services.payments.machine.events import Decisions, Event
from services.payments.machine.model import Account, Payment, Transfer
from tests.simulation.constraints import refuse
from tests.simulation.loop import VirtualLoop
from tests.simulation.rows import Rows
from tests.simulation.trace import Trace
from tests.simulation.transaction import Transaction
from tests.simulation.watch import Watch
from tests.simulation.weather import Weather

START = datetime(2026, 1, 1, tzinfo=UTC)
# A round trip on a busy host; a stalled one is still shorter than the client's patience.
TRIP_S = (0.0002, 0.004)
STALL_S = (0.5, 8.0)
# How long a client waits for an answer that does not come, before it gives the connection up.
PATIENCE_S = 10.0
# What the server says of a payment whose rows it refuses, whatever is written.
REFUSAL = "a trigger refuses this payment"


class Database:
    """What is committed, and who holds which account.

    Attributes:
        on_commit: Each looks at what was just committed.
        watches: Who waits for something to do, by what it is.
    """

    def __init__(self, loop: VirtualLoop, weather: Weather, trace: Trace) -> None:
        self.loop = loop
        self.weather = weather
        self.trace = trace
        self.rows = Rows()
        self.open: dict[Transaction, None] = {}
        self.is_away = False
        self.refused: str | None = None  # A payment whose rows cannot be written for now.
        self.commits = 0
        self.on_commit: list[Callable[[Decisions], None]] = []
        self.watches: dict[str, Watch] = {}
        self._clock = (0.0, START)
        self._is_telling = False
        self._holders: dict[str, Transaction] = {}
        self._queues: dict[str, deque[Transaction]] = {}

    def now(self) -> datetime:
        seconds = self.loop.time()
        if seconds != self._clock[0]:
            self._clock = (seconds, START + timedelta(seconds=seconds))
        return self._clock[1]

    def is_locked(self, account_id: str) -> bool:
        return account_id in self._holders

    async def trip(self, transaction: Transaction | None = None) -> None:
        """One message to the server and its answer.

        Raises:
            DATABASE_AWAY: One of them, by the weather.
        """
        slow = self.weather.strikes("db_stall")
        await asyncio.sleep(self.weather.seconds(*(STALL_S if slow else TRIP_S)))
        if self.is_away:
            raise ConnectionRefusedError("the database is away")
        if transaction is None:
            return
        if not transaction.is_broken and self.weather.strikes("db_connection_lost"):
            transaction.is_broken = True
        if transaction.is_broken or transaction.is_ended:
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost")
        if self.weather.strikes("db_deadlock"):
            raise asyncpg.DeadlockDetectedError("deadlock detected")
        if self.weather.strikes("db_serialization"):
            raise asyncpg.SerializationError("could not serialize access")

    def try_lock(self, transaction: Transaction, account_id: str) -> bool:
        """Lock an account unless somebody holds it (SKIP LOCKED).

        Raises:
            asyncpg.ConnectionDoesNotExistError: The server has ended this transaction meanwhile.
        """
        if transaction.is_ended:
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost")
        if account_id in self._holders:
            return False
        self._holders[account_id] = transaction
        transaction.held.append(account_id)
        return True

    async def lock(self, transaction: Transaction, account_id: str) -> None:
        """Lock an account; wait for whoever holds it."""
        if self.try_lock(transaction, account_id):
            return
        transaction.waits_for = self.loop.create_future()
        self._queues.setdefault(account_id, deque()).append(transaction)
        await transaction.waits_for
        transaction.waits_for = None

    def release(self, transaction: Transaction) -> None:
        for account_id in transaction.held:
            del self._holders[account_id]
            queue = self._queues.get(account_id, deque())
            while queue:
                heir = queue.popleft()
                if not heir.is_ended and not heir.is_broken and heir.waits_for is not None:
                    if heir.waits_for.done():
                        continue
                    self._holders[account_id] = heir
                    heir.held.append(account_id)
                    heir.waits_for.set_result(None)
                    break
        transaction.held.clear()
        self.changed()

    async def commit(self, transaction: Transaction, decisions: Decisions) -> None:
        """Write and commit; the server goes on with it whatever becomes of the client.

        Raises:
            DATABASE_AWAY: It was rolled back, or the answer was lost.
            asyncpg.IntegrityConstraintViolationError: It was rolled back.
        """
        answer: asyncio.Future[None] = self.loop.create_future()
        transaction.is_committing = True
        is_refused = self.weather.strikes("db_lost_before_commit")
        is_lost = self.weather.strikes("db_lost_after_commit")
        # A connection that breaks may be noticed at once, or only when patience ends.
        wait_s = PATIENCE_S if self.weather.strikes("db_silent") else self.weather.seconds(*TRIP_S)

        def reply(fault: Exception | None) -> None:
            if not answer.done():
                answer.set_exception(fault) if fault is not None else answer.set_result(None)

        def at_server() -> None:
            fault: Exception | None = None
            lost_s = 0.0
            if transaction.is_broken or is_refused or transaction.is_ended:
                fault = asyncpg.ConnectionDoesNotExistError(
                    "connection was closed in the middle of operation"
                )
            else:
                try:
                    is_answered = any(key not in self.rows.undone for key, _ in decisions.mail_done)
                    if is_answered or not self.is_as_read(transaction, decisions):
                        raise asyncpg.SerializationError("rows are not as they were read")
                    if any(payment.payment_id == self.refused for payment in decisions.payments):
                        raise asyncpg.CheckViolationError(REFUSAL)
                    refuse(self.rows, decisions)
                except asyncpg.PostgresError as broken:
                    fault = broken
                else:
                    self.write(decisions)
                    for payment_id in transaction.retried:
                        self.rows.aside.pop(payment_id, None)
                    if is_lost:
                        fault = ConnectionResetError("the answer to COMMIT was lost")
                        lost_s = self.weather.chance.random() ** 2 * PATIENCE_S
                    elif wait_s == PATIENCE_S:
                        fault = TimeoutError()
            transaction.end()
            self.loop.later(wait_s + lost_s, lambda: reply(fault))

        self.loop.later(self.weather.seconds(*TRIP_S), at_server)
        await answer

    def is_as_read(self, transaction: Transaction, decisions: Decisions) -> bool:
        """Whether every row that is replaced still is the one that was read, as the real record asks."""
        snapshot, rows = transaction.snapshot, self.rows
        return snapshot is None or (
            all(
                rows.accounts[key] is snapshot.accounts[key]
                for key in (a.account_id for a in decisions.accounts)
            )
            and all(
                rows.whole(key) is snapshot.payments[key]
                for key in (p.payment_id for p in decisions.payments)
            )
        )

    def write(self, decisions: Decisions) -> None:
        """Make a decision true, at one moment."""
        rows, now = self.rows, self.now()
        for credit in decisions.credits:
            rows.put_credit(credit, now)
        for account_id in decisions.flushed:
            self.post_window(account_id)
        for account in decisions.accounts:
            rows.accounts[account.account_id] = account
        for payment in decisions.payments:
            rows.put_payment(payment)
        for attempt in decisions.attempts:
            rows.put_attempt(attempt)
        for refund in decisions.refunds:
            rows.put_refund(refund)
        for dispute in decisions.disputes:
            rows.put_dispute(dispute)
        for transfer in decisions.transfers:
            rows.put_transfer(transfer)
        for told in decisions.told:
            rows.told.setdefault(told.payment_id, []).append(told)
            rows.told_at[told.payment_id, told.sequence] = now
        for screened in decisions.screenings:
            rows.screenings[screened.payment_id] = screened
        for mail_id, result in decisions.mail_done:
            rows.undone.pop(mail_id).result = result
        rows.contradictions.extend(decisions.contradictions)
        self.commits += 1
        for look in self.on_commit:
            look(decisions)
        self.changed()

    def post_window(self, account_id: str) -> int:
        """Write one transfer for the credits that wait; returns their sum. The balance is the caller's."""
        waiting = self.rows.unposted.pop(account_id, [])
        if not waiting:
            return 0
        microseconds = int((self.now() - START) / timedelta(microseconds=1))
        name = f"{account_id}/window/{microseconds}"
        total = sum(each.credit.amount_minor for each in waiting)
        currency = self.rows.accounts[account_id].currency
        for each in waiting:
            each.window = name
        self.rows.put_transfer(Transfer(
            transfer_id=name, payment_id=None, kind="post", debit_account=f"clearing:{currency}",
            credit_account=account_id, amount_minor=total, currency=currency,
        ))  # fmt: skip
        return total

    def open_account(self, account: Account) -> None:
        """An account with what was paid in before the world began."""
        self.rows.accounts[account.account_id] = account
        self.rows.booked[account.account_id] += account.posted_minor
        self.rows.booked[f"opening:{account.currency}"] -= account.posted_minor

    def accept(self, payment: Payment, due: datetime) -> bool:
        """The gateway's transaction; a repeat changes nothing."""
        if payment.payment_id in self.rows.payments:
            return False
        self.rows.put_payment(msgspec.structs.replace(payment, accepted_at=self.now(), due=due))
        self.trace.note("accepted", payment.payment_id, payment.kind, payment.amount_minor)
        self.rows.told[payment.payment_id] = []
        self.commits += 1
        self.changed()
        return True

    def mail_in(self, event: Event, source: str, source_id: str) -> str:
        """Put a letter into the mailbox: `new`, `repeat` or `unknown_payment`."""
        if event.payment_id not in self.rows.payments:
            return "unknown_payment"
        is_new = self.rows.put_mail(event, (source, source_id), self.now())
        if is_new:
            self.trace.note("mail", event)
            self.commits += 1
            self.changed()
        return "new" if is_new else "repeat"

    def restart(self) -> None:
        """End every connection at once, as an immediate restart does; commits that had arrived stay."""
        for transaction in list(self.open):
            transaction.is_broken = True
            if transaction.waits_for is not None and not transaction.waits_for.done():
                transaction.waits_for.set_exception(asyncpg.AdminShutdownError("terminating connection"))
            transaction.end()

    def changed(self) -> None:
        """Tell whoever waits for something to do, once for all that happens at this moment."""
        if not self._is_telling:
            self._is_telling = True
            self.loop.later(0.0, self._tell)

    def _tell(self) -> None:
        self._is_telling = False
        for watch in self.watches.values():
            if watch.waiters:
                watch.look()
