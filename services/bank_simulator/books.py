"""The bank's books: every attempt decided once, durable before it is answered.

Writes come in groups of one transaction each, one at a time, on a thread of their own; questions read what is
committed.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from services.bank_simulator.behaviour import (
    HIDDEN_LATERS,
    Conduct,
    Deed,
    conduct_of,
    conduct_under,
)
from services.bank_simulator.ledger import Clock, move, plan
from services.bank_simulator.request import Answer, AttemptReused, Request
from services.bank_simulator.rulebook import Entry, refusal_of
from services.bank_simulator.script import BankScript
from services.bank_simulator.tables import open_reader, open_tables
from services.banks.messages import SettlementLine, StatementLine

# A statement is for people and tests; it shows the latest movements of one instrument or payment.
STATEMENT_LINES_MAX: Final = 1000
_REFERENCE_CHARS_MAX: Final = 64
_REQUEST: Final = (
    "attempt_id, end_to_end_id, operation, amount_minor, currency, instrument, original_reference, uetr"
)
_SAID: Final = "outcome, decline_code, bank_reference, visible_at"
_ENTRY: Final = "attempt_id, operation, amount_minor, currency, end_to_end_id, outcome = 'pending'"
_Done = TypeVar("_Done")


@dataclass(frozen=True, slots=True)
class Treated:
    """How one request was treated; `answer` is None where the bank did not take it."""

    answer: Answer | AttemptReused | None
    conduct: Conduct


class Books:
    """Open with `Books(path, bank, script, clock)`; reads are for the event loop's thread.

    Args:
        script: In force until another one was given; the last one given outlives a restart.
        clock: Seconds of the epoch.
    """

    def __init__(self, path: Path, bank: str, script: BankScript, clock: Clock) -> None:
        self._bank = bank
        self._clock = clock
        self._writer = open_tables(path)
        self._reader = open_reader(path)
        self._turn = asyncio.Lock()
        kept = self._reader.execute("select body from script").fetchone()
        self.script = msgspec.json.decode(kept[0], type=BankScript) if kept else script

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    async def write(self, work: Callable[[sqlite3.Connection], _Done]) -> _Done:
        """Run `work` in one transaction; what it wrote is durable on return."""
        async with self._turn:
            return await asyncio.to_thread(self._transaction, work)

    async def decide(self, requests: list[Request]) -> Sequence[Treated]:
        """Treat every request in one transaction: decide what is new, repeat the answer for the others."""
        return await self.write(lambda tables: [self._treat(tables, request) for request in requests])

    async def follow(self, script: BankScript) -> None:
        """Behave like this from now on, after a restart too."""
        body = msgspec.json.encode(script)
        await self.write(lambda tables: tables.execute("replace into script values (1, ?)", (body,)))
        self.script = script

    def find(self, attempt_id: str) -> Answer | None:
        """What the bank says when it is asked; None while it does not find the attempt."""
        return _find(self._reader, attempt_id, self._clock())

    def statement(self, *, instrument: str | None, end_to_end_id: str | None) -> list[StatementLine]:
        """Movements really made, oldest first, of one instrument or one payment."""
        query = (
            "select attempt_id, end_to_end_id, operation, amount_minor, currency, instrument, bank_reference "
            "from movement where instrument = ?1 or end_to_end_id = ?2 order by number desc limit ?3"
        )
        rows = self._reader.execute(query, (instrument, end_to_end_id, STATEMENT_LINES_MAX)).fetchall()
        return [StatementLine(*row) for row in reversed(rows)]

    def settlement(self, after_line: int, lines_max: int) -> list[SettlementLine]:
        """Lines of the settlement file after a line, in order."""
        query = "select * from settlement_line where line > ? order by line limit ?"
        cursor = self._reader.execute(query, (after_line, lines_max))
        names = [column[0] for column in cursor.description]
        return [SettlementLine(**dict(zip(names, row, strict=True))) for row in cursor]

    def later_due(self) -> float:
        """When the next thing happens that was planned, seconds of the epoch; infinity for nothing."""
        return self._soonest("select min(due) from later")

    def callback_due(self) -> float:
        """When the next callback has to be sent, seconds of the epoch; infinity for none."""
        return self._soonest("select min(due) from callback where taken = 0")

    def callbacks_due(self, now: float, callbacks_max: int) -> list[tuple[int, str, bytes, int]]:
        """Number, event id, body and tries of callbacks to send now, oldest first."""
        query = (
            "select number, event_id, body, tries from callback where taken = 0 and due <= ? "
            "order by due, number limit ?"
        )
        return self._reader.execute(query, (now, callbacks_max)).fetchall()

    def _soonest(self, query: str) -> float:
        soonest = self._reader.execute(query).fetchone()[0]
        return math.inf if soonest is None else float(soonest)

    def _transaction(self, work: Callable[[sqlite3.Connection], _Done]) -> _Done:
        self._writer.execute("begin immediate")
        try:
            done = work(self._writer)
        except BaseException:
            self._writer.execute("rollback")
            raise
        self._writer.execute("commit")
        return done

    def _treat(self, tables: sqlite3.Connection, request: Request) -> Treated:
        came = tables.execute(
            "select times from not_taken where attempt_id = ?", (request.attempt_id,)
        ).fetchone()
        conduct = conduct_of(_instrument_of(tables, request), request.operation, self._bank)
        conduct = conduct_under(self.script, conduct, request.attempt_id, came[0] if came else 0)
        known = _find(tables, request.attempt_id, None)
        if known is not None:
            reused = AttemptReused(request.attempt_id)
            return Treated(known if known.request == request else reused, conduct)
        if conduct.deed is Deed.WITHHOLDS:
            tables.execute(
                "insert into not_taken values (?, 1) on conflict do update set times = times + 1",
                (request.attempt_id,),
            )
            return Treated(None, conduct)
        return Treated(self._take(tables, request, conduct), conduct)

    def _take(self, tables: sqlite3.Connection, request: Request, conduct: Conduct) -> Answer:
        """Write the attempt, its movement, and what happens later."""
        refusal = _refusal(tables, request)
        denied = refusal is None and conduct.deed is Deed.DENIES
        code = refusal or conduct.decline_code
        outcome = "declined" if code is not None else "pending" if conduct.deed is Deed.PENDS else "confirmed"
        now = self._clock()
        hidden_s = HIDDEN_LATERS * self.script.later_s if conduct.deed is Deed.HIDES else 0.0
        given = (
            request.attempt_id, request.end_to_end_id, request.operation, request.amount_minor,
            request.currency, request.instrument, request.original_reference, request.uetr,
        )  # fmt: skip
        tables.execute(
            f"insert into attempt ({_REQUEST}, outcome, decline_code, bank_reference, denied, visible_at) "  # noqa: S608 - constant columns
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*given, outcome, code, _reference(request.attempt_id), denied, now + hidden_s),
        )
        if denied or outcome == "confirmed":
            move(tables, request.attempt_id, request.operation, request.amount_minor, self.script, now)
        if refusal is None:
            plan(tables, request.attempt_id, conduct.later, now, self.script.later_s)
        answer = _find(tables, request.attempt_id, None)
        assert answer is not None
        return answer


def _instrument_of(tables: sqlite3.Connection, request: Request) -> str:
    """What follows goes by the instrument that was charged: its number does not come a second time."""
    charged = tables.execute(
        "select instrument from attempt where bank_reference = ?", (request.original_reference,)
    ).fetchone()
    return request.instrument if charged is None else str(charged[0])


def _refusal(tables: sqlite3.Connection, request: Request) -> str | None:
    original, followers = None, []
    if request.original_reference is not None:
        original = _original(tables, request)
    if original is not None:
        rows = tables.execute(
            f"select {_ENTRY} from attempt where original_reference in "  # noqa: S608 - constant columns
            "(?, (select bank_reference from attempt where attempt_id = ?)) "
            "and outcome <> 'declined' and not bounced",
            (request.original_reference, original.attempt_id),
        ).fetchall()
        followers = [Entry(*row) for row in rows]
    return refusal_of(
        request.operation, request.amount_minor, request.currency, request.end_to_end_id, original, followers
    )


def _original(tables: sqlite3.Connection, request: Request) -> Entry | None:
    """What a reference means; a refund of an authorisation is one of its capture."""
    query = f"select {_ENTRY} from attempt where (outcome <> 'declined' or denied) and "  # noqa: S608 - constant columns
    row = tables.execute(query + "bank_reference = ?", (request.original_reference,)).fetchone()
    if row is not None and row[1] == "authorise" and request.operation == "refund":
        capture = query + "original_reference = ? and operation = 'capture'"
        row = tables.execute(capture, (request.original_reference,)).fetchone() or row
    return None if row is None else Entry(*row)


def _find(tables: sqlite3.Connection, attempt_id: str, now: float | None) -> Answer | None:
    query = f"select {_REQUEST}, {_SAID} from attempt where attempt_id = ?"  # noqa: S608 - constant columns
    row = tables.execute(query, (attempt_id,)).fetchone()
    if row is None or (now is not None and now < row[11]):
        return None
    return Answer(Request(*row[:8]), *row[8:11])


def _reference(attempt_id: str) -> str:
    """The attempt's id makes the bank's own reference unique without a counter."""
    reference = f"bk_{attempt_id}"
    if len(reference) <= _REFERENCE_CHARS_MAX:
        return reference
    return f"bk_{sha256(attempt_id.encode()).hexdigest()[:40]}"
