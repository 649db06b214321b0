"""The bank's books: one SQLite file, every attempt decided once, durable before it is answered.

Writes come in groups of one transaction each, on a thread of their own; questions read what is committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from services.bank_simulator.behaviour import behaviour_of
from services.banks.messages import Attempt, AttemptAnswer, StatementLine

# A statement is for people and tests; it shows the latest movements of one instrument or payment.
STATEMENT_LINES_MAX = 1000

_SCHEMA = """
pragma journal_mode = wal;
create table if not exists attempt (
    attempt_id text primary key, end_to_end_id text not null, operation text not null,
    amount_minor integer not null, currency text not null, instrument text not null,
    decline_code text, bank_reference text not null) strict;
create index if not exists attempt_instrument on attempt (instrument);
create index if not exists attempt_end_to_end on attempt (end_to_end_id);
"""
_COLUMNS = (
    "attempt_id, end_to_end_id, operation, amount_minor, currency, instrument, decline_code, bank_reference"
)


class AttemptReused(Exception):
    """An attempt id came again with other content; nothing was changed."""

    code = "attempt-reused"


class Books:
    """Open with `Books(path)`; `decide` from one caller at a time, reads from the event loop."""

    def __init__(self, path: Path) -> None:
        self._writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._writer.executescript(_SCHEMA)
        # FULL: in WAL mode anything less may forget the last commits when the power goes.
        self._writer.execute("pragma synchronous = full")
        self._reader = sqlite3.connect(path, isolation_level=None)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    async def decide(self, attempts: list[Attempt]) -> Sequence[AttemptAnswer | AttemptReused]:
        """Decide every attempt that is new, repeat the answer for the others; durable on return."""
        return await asyncio.to_thread(self._decide, attempts)

    def find(self, attempt_id: str) -> AttemptAnswer | None:
        """The answer given before, if there was one."""
        query = f"select {_COLUMNS} from attempt where attempt_id = ?"  # noqa: S608 - a constant list of columns
        row = self._reader.execute(query, (attempt_id,)).fetchone()
        return None if row is None else _answer(row)

    def statement(self, *, instrument: str | None, end_to_end_id: str | None) -> list[StatementLine]:
        """Movements really made, oldest first, of one instrument or one payment."""
        query = (
            "select attempt_id, end_to_end_id, operation, amount_minor, currency, instrument, bank_reference "
            "from attempt where decline_code is null and (instrument = ?1 or end_to_end_id = ?2) "
            "order by rowid desc limit ?3"
        )
        rows = self._reader.execute(query, (instrument, end_to_end_id, STATEMENT_LINES_MAX)).fetchall()
        return [StatementLine(*row) for row in reversed(rows)]

    def _decide(self, attempts: list[Attempt]) -> list[AttemptAnswer | AttemptReused]:
        self._writer.execute("begin immediate")
        try:
            decided = [self._decide_one(attempt) for attempt in attempts]
        except BaseException:
            self._writer.execute("rollback")
            raise
        self._writer.execute("commit")
        return decided

    def _decide_one(self, attempt: Attempt) -> AttemptAnswer | AttemptReused:
        given = (
            attempt.attempt_id, attempt.end_to_end_id, attempt.operation, attempt.amount_minor,
            attempt.currency, attempt.instrument,
        )  # fmt: skip
        # The attempt's id makes the bank's own reference unique without a counter.
        decided = (behaviour_of(attempt.instrument).decline_code, f"bk_{attempt.attempt_id}"[:64])
        self._writer.execute(
            f"insert into attempt ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - constant columns
            "on conflict (attempt_id) do nothing",
            given + decided,
        )
        query = f"select {_COLUMNS} from attempt where attempt_id = ?"  # noqa: S608 - constant columns
        row = self._writer.execute(query, (attempt.attempt_id,)).fetchone()
        return _answer(row) if row[:6] == given else AttemptReused(attempt.attempt_id)


def _answer(row: tuple[str, str, str, int, str, str, str | None, str]) -> AttemptAnswer:
    attempt_id, end_to_end_id, _, amount_minor, currency, _, decline_code, bank_reference = row
    return AttemptAnswer(
        attempt_id,
        "confirmed" if decline_code is None else "declined",
        end_to_end_id=end_to_end_id,
        amount_minor=amount_minor,
        currency=currency,
        bank_reference=bank_reference,
        decline_code=decline_code,
    )
