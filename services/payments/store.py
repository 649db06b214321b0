"""The engine's questions to PostgreSQL, each one function call in one transaction.

Consistency and order are the functions' promises (`schema/`). Retry: the caller's; each may be repeated.
Concurrency: any number of workers, on any number of hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from services.node.crash_points import reach
from services.node.logs import get_log
from services.node.postgres import DATABASE_AWAY
from services.payments.machine.errors import MachineError
from services.payments.machine.events import Decisions, Event, Snapshot
from services.payments.packing import EventRow, Position
from services.payments.record import About, Decide, Overdue, Waiting, Work
from services.payments.store_rows import accounts_from, events_from, payments_from, written

LEDGER_MS_MAX = 60_000  # A second for each million transfers or so; it holds no lock that others wait for.

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

_log = get_log("payments.store")

_WAITING = "select * from payments.take_waiting($1, $2)"
_OVERDUE = "select * from payments.take_overdue($1, $2)"
_ABOUT = "select * from payments.take_about($1)"
_WRITE = "select payments.write_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"


@dataclass(slots=True)
class _Seen:
    """What a turn had before it, kept for the case that it fails."""

    events: Sequence[Event] = ()


class Store:
    """A pool of connections of the role `payments`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def turn(self, work: Work, decide: Decide) -> Decisions:
        """One transaction: lock, read anew, decide, write, commit; see `record.Record`.

        A payment whose turn is a defect of ours must not keep everybody else's waiting: where a batch of
        `Waiting` or `Overdue` fails, its payments take their turns alone, and only the guilty one is left.

        Raises:
            DATABASE_AWAY: One of them; `asyncpg.SerializationError` among them says that a row changed.
            MachineError: A decision about the events of `About` was refused by the core.
            asyncpg.PostgresError: The record refused what was decided about them.
        """
        seen = _Seen()
        try:
            return await self._turn(work, decide, seen)
        except DATABASE_AWAY:
            raise
        except (MachineError, asyncpg.PostgresError) as fault:
            if isinstance(work, About) or not seen.events:
                raise
            _log.exception("a turn was refused, its payments take theirs alone", code=_code(fault))
        return await self._turn_alone(seen.events, decide)

    async def _turn(self, work: Work, decide: Decide, seen: _Seen) -> Decisions:
        async with self._pool.acquire() as connection, connection.transaction():
            snapshot, refused = await _take(connection, work)
            seen.events = snapshot.events
            if not snapshot.events and not refused:
                return Decisions()
            decisions = decide(snapshot)
            decisions.mail_done = [*decisions.mail_done, *refused]
            await connection.execute(_WRITE, *written(snapshot, decisions))
            match work:
                case About():
                    reach("payments.answers_written")
                case Overdue():
                    reach("payments.takeover_written")
                case _:
                    reach("payments.turn_written")
        return decisions

    async def _turn_alone(self, events: Sequence[Event], decide: Decide) -> Decisions:
        """One turn for each payment; what another worker did meanwhile, the locks and the decision see."""
        together = Decisions()
        of_payment: dict[str, list[Event]] = {}
        for event in events:
            of_payment.setdefault(event.payment_id, []).append(event)
        for payment_id, mine in of_payment.items():
            try:
                decisions = await self._turn(About(events=mine), decide, _Seen())
            except asyncpg.SerializationError:
                continue  # Another worker had its mail first.
            except DATABASE_AWAY:
                raise
            except (MachineError, asyncpg.PostgresError) as fault:
                _log.exception("a payment cannot have its turn", payment_id=payment_id, code=_code(fault))
                continue
            for name in decisions.__struct_fields__:
                getattr(together, name).extend(getattr(decisions, name))
        return together

    async def post_windows(self, age: timedelta, items_min: int, accounts_max: int) -> int:
        """Post the credits whose window is full; see `record.Record`."""
        return int(
            await self._pool.fetchval(
                "select payments.post_windows($1, $2, $3)", age, items_min, accounts_max
            )
        )

    async def reminders_missing(self) -> int:
        """How many open payments nobody would come back to."""
        return int(await self._pool.fetchval("select count(*) from payments.reminders_missing()"))

    async def overdue(self, grace: timedelta) -> int:
        """How many reminders have passed by more than the grace; 1,000 stands for more."""
        return int(await self._pool.fetchval("select count(*) from payments.overdue($1, 1000)", grace))

    async def ledger_imbalances(self) -> int:
        """In how many ways balances, transfers and payments disagree; reads the whole ledger."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute(f"set local statement_timeout = {LEDGER_MS_MAX}")
            count = "select count(*) from payments.ledger_imbalance()"
            return int(await connection.fetchval(count, timeout=LEDGER_MS_MAX / 1000))

    async def outbox_after(self, place: Position, rows_max: int) -> list[EventRow]:
        """Events after a place, in order; never skips one that commits late."""
        rows = await self._pool.fetch(
            "select * from payments.outbox_after($1, $2, $3)", place.xid, place.position, rows_max
        )
        return [EventRow(**row) for row in rows]


async def _take(
    connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record], work: Work
) -> tuple[Snapshot, list[tuple[int, str]]]:
    refused: list[tuple[int, str]] = []
    events: Sequence[Event]
    match work:
        case About(events=events):
            subjects = list({event.payment_id for event in events})
            [row] = await connection.fetch(_ABOUT, subjects)
        case Waiting(items_max=items_max, accounts_max=accounts_max):
            [row] = await connection.fetch(_WAITING, items_max, accounts_max)
            events, refused = events_from(row["arrivals"])
        case Overdue(bank=bank, items_max=items_max):
            [row] = await connection.fetch(_OVERDUE, bank, items_max)
            events, refused = events_from(row["arrivals"])
    seen = Snapshot(
        now=row["taken_at"],
        events=events,
        accounts=accounts_from(row["accounts"]),
        payments=payments_from(row["payments"]),
    )
    return seen, refused


def _code(fault: MachineError | asyncpg.PostgresError) -> str:
    """What names a fault without its text, which may hold rows."""
    return fault.code if isinstance(fault, MachineError) else f"sqlstate {fault.sqlstate}"
