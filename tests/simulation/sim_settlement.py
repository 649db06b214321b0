"""A client's side of settlement: `services.payments.settlement_store.SettlementStore` in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import asyncpg

from services.node.errors import HopUnknown, HopUnsent
from services.node.postgres import DATABASE_AWAY
from services.payments.machine.events import Decisions
from services.payments.machine.model import ATTEMPT_OPEN, LATE
from services.payments.machine.settlement import Booked, FileLine, Judgement
from services.payments.reconciler import SETTLED_WITHIN, Reconciler, SettlementFiles
from tests.simulation.database import Database
from tests.simulation.settlement_file import SettlementFile
from tests.simulation.settlement_rows import NEVER, Births, SettlementRows
from tests.simulation.watch import Watch

Given = TypeVar("Given")


class Settlements:
    """The server's side: the tables, and who waits for something to reconcile.

    Attributes:
        moved: By bank, counts what may close or open a break.
        handled: The same count as the last reconciliation that came to its end has seen it.
    """

    def __init__(self, database: Database, files: dict[str, SettlementFile]) -> None:
        self.database = database
        self.files = files
        self.rows = SettlementRows(database.rows)
        self.births = Births()
        self.moved = dict.fromkeys(files, 0)
        self.handled = dict.fromkeys(files, 0)
        self.watches = {
            bank: Watch(database, lambda bank=bank: self.is_there(bank), lambda bank=bank: self._due(bank))  # type: ignore[misc]
            for bank in files
        }
        for bank, file in files.items():
            file.watchers.append(lambda bank=bank: self.look(bank))
        database.on_commit.append(self._heed)

    def is_there(self, bank: str) -> bool:
        """Whether there is something that a reconciliation would see."""
        due = self._due(bank)
        return (
            len(self.files[bank].lines) > len(self.rows.lines.get(bank, ()))
            or self.moved[bank] > self.handled[bank]
            or (due is not None and due <= self.database.now())
        )

    def is_quiet(self) -> bool:
        """Whether nothing is left to reconcile, now or later."""
        return not any(self.is_there(bank) or self._due(bank) is not None for bank in self.files)

    def look(self, bank: str) -> None:
        """Wake who waits, if there is a reason."""
        if self.watches[bank].waiters:
            self.watches[bank].look()

    def stir(self, bank: str) -> None:
        """Something has happened that may close or open a break."""
        self.moved[bank] += 1
        self.look(bank)

    def _due(self, bank: str) -> datetime | None:
        searched = self.rows.searched.get(bank, NEVER)
        return self.births.next_after(bank, searched, SETTLED_WITHIN)

    def _heed(self, decisions: Decisions) -> None:
        for attempt in decisions.attempts:
            if attempt.epoch == 1:
                self.births.note(attempt, attempt.created_at)
                self.look(attempt.bank)
            if attempt.decline_code in LATE:
                self.births.note(attempt, self.database.now())
                self.look(attempt.bank)
            if attempt.state not in ATTEMPT_OPEN:
                self._heed_end(attempt.bank, attempt.attempt_id)
        if decisions.refunds or decisions.disputes:
            for bank in {
                each.bank for each in self.rows.breaks if each.kind == "untold" and each.reason is None
            }:
                self.stir(bank)

    def _heed_end(self, bank: str, attempt_id: str) -> None:
        if attempt_id in self.rows.awaited or any(
            each.attempt_id == attempt_id for each in self.rows.open_breaks(bank)
        ):
            self.stir(bank)


class WatchedReconciler(Reconciler):
    """The product's own, as it is; what it would log as a defect is one here, too.

    Args:
        files: Of the bank.
    """

    def __init__(self, settlements: Settlements, files: SettlementFiles, bank: str) -> None:
        super().__init__(cast("Any", SimSettlementStore(settlements)), files, bank)
        self.trace = settlements.database.trace

    async def reconcile(self) -> int:
        """One round."""
        try:
            return await super().reconcile()
        except (HopUnsent, HopUnknown, *DATABASE_AWAY):
            raise
        except Exception as fault:
            self.trace.violate("defect", f"{type(fault).__name__}: {fault}")
            raise


class SimSettlementStore:
    """One reconciler's questions.

    The first of each round is answered once there is something to reconcile, as if the rounds before had
    found nothing: idle virtual days cost nothing.
    """

    def __init__(self, settlements: Settlements) -> None:
        self.settlements = settlements
        self.database = settlements.database
        self.bank = ""  # Of the round under way.
        self.seen = 0

    async def settled_until(self, bank: str) -> int:
        """As the store promises."""
        watch = self.settlements.watches[bank]
        if not self.settlements.is_there(bank):
            arrival: asyncio.Future[None] = self.database.loop.create_future()
            watch.waiters.append(arrival)
            watch.look()
            await arrival
        self.bank, self.seen = bank, self.settlements.moved[bank]
        return await self._call(lambda: self.settlements.rows.settled_until(bank))

    async def booked(self, bank: str, lines: Sequence[FileLine]) -> dict[int, Booked]:
        """As the store promises."""
        return await self._call(lambda: self.settlements.rows.booked(bank, lines))

    async def lines_in_break(self, bank: str, lines_max: int) -> list[FileLine]:
        """As the store promises."""
        return await self._call(lambda: self.settlements.rows.lines_in_break(bank, lines_max))

    async def keep(self, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]) -> int:
        """As the store promises."""
        return await self._call(lambda: self.keep_at_once(bank, lines, judged), writes=True)

    def keep_at_once(self, bank: str, lines: Sequence[FileLine], judged: Sequence[Judgement]) -> int:
        """The transaction of `keep`."""
        new = self.settlements.rows.keep(bank, lines, judged)
        for line, judgement in new:
            if judgement.tell is not None:
                self.database.mail_in(judgement.tell, f"settlement:{bank}", str(line.line))
            if judgement.kind is not None:
                self.database.trace.note("break", bank, judgement.kind, judgement.found)
        if any(judgement.kind is not None for _, judgement in new):
            self.settlements.stir(bank)
        return len(new)

    async def close(self, bank: str, lines: Sequence[int]) -> None:
        """As the store promises."""
        await self._call(lambda: self.settlements.rows.close(bank, lines), writes=True)

    async def find_missing(self, bank: str, age: timedelta) -> int:
        """As the store promises. What is awaited is looked at again with each search."""
        until = self.database.now() - age
        return await self._call(lambda: self.settlements.rows.find_missing(bank, until), writes=True)

    async def breaks_open(self) -> int:
        """As the store promises; with it a round has come to its end."""
        found = await self._call(self.settlements.rows.breaks_open)
        handled = self.settlements.handled
        handled[self.bank] = max(handled[self.bank], self.seen)
        return found

    async def _call(self, work: Callable[[], Given], *, writes: bool = False) -> Given:
        """One function of the schema, in one transaction.

        Raises:
            DATABASE_AWAY: One of them, by the weather; of what was written nobody knows then.
        """
        database, weather = self.database, self.database.weather
        await database.trip()
        if weather.strikes("db_connection_lost"):
            raise asyncpg.ConnectionDoesNotExistError("the connection was lost")
        result = work()
        if writes:
            database.commits += 1
            if weather.strikes("db_lost_after_commit"):
                raise ConnectionResetError("the answer to COMMIT was lost")
        return result
