"""Movements, settlement lines and what happens later: the writes that follow from a decision.

Everything here runs inside a transaction of the books.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec

from services.bank_simulator.behaviour import Later, Word
from services.bank_simulator.script import BankScript
from services.bank_simulator.settlement import fee_minor, settled_amounts
from services.banks.callback_messages import Callback

Clock: TypeAlias = Callable[[], float]

# What a word means for the money; the others only say something.
_MOVES: Final[dict[Word, str]] = {"bounced": "bounced", "returned": "returned", "dispute_lost": "chargeback"}
_COLUMNS: Final = "attempt_id, end_to_end_id, operation, amount_minor, currency, instrument, bank_reference"
_encoder = msgspec.json.Encoder()


def move(
    tables: sqlite3.Connection,
    attempt_id: str,
    operation: str,
    amount_minor: int,
    script: BankScript,
    now: float,
) -> None:
    """Write one movement, which no later word can change, and its lines of the settlement file."""
    at = _text(now)
    tables.execute(
        f"insert into movement ({_COLUMNS}, made_at) "  # noqa: S608 - constant columns
        "select attempt_id, end_to_end_id, ?, ?, currency, instrument, bank_reference, ? "
        "from attempt where attempt_id = ?",
        (operation, amount_minor, at, attempt_id),
    )
    instrument = tables.execute(
        "select instrument from attempt where attempt_id = ?", (attempt_id,)
    ).fetchone()[0]
    for amount in settled_amounts(script, attempt_id, operation, instrument, amount_minor):
        tables.execute(
            "insert into settlement_line (attempt_id, end_to_end_id, operation, amount_minor, fee_minor, "
            "currency, bank_reference, value_date) "
            "select attempt_id, end_to_end_id, ?, ?, ?, currency, bank_reference, ? "
            "from attempt where attempt_id = ?",
            (operation, amount, fee_minor(operation, amount_minor), at[:10], attempt_id),
        )


def plan(
    tables: sqlite3.Connection, attempt_id: str, later: Sequence[Later], now: float, later_s: float
) -> None:
    """Keep what will happen."""
    for step in later:
        tables.execute(
            "insert into later (attempt_id, due, word, copies, amount_off_minor) values (?, ?, ?, ?, ?)",
            (attempt_id, now + step.laters * later_s, step.word, step.copies, step.amount_off_minor),
        )


def do_what_is_due(tables: sqlite3.Connection, script: BankScript, now: float, steps_max: int) -> int:
    """Do what is due, oldest first, and leave callbacks to be sent; return how many steps that were."""
    rows = tables.execute(
        "select number, attempt_id, word, copies, amount_off_minor from later where due <= ? "
        "order by due, number limit ?",
        (now, steps_max),
    ).fetchall()
    for number, attempt_id, word, copies, off in rows:
        _do(tables, attempt_id, word, script, now)
        _tell(tables, attempt_id, word, copies, off, now)
        tables.execute("delete from later where number = ?", (number,))
    return len(rows)


def _do(tables: sqlite3.Connection, attempt_id: str, word: Word, script: BankScript, now: float) -> None:
    """Let the word be true: a decision, or money that goes the other way."""
    amount, operation, outcome = tables.execute(
        "select amount_minor, operation, outcome from attempt where attempt_id = ?", (attempt_id,)
    ).fetchone()
    if word in ("confirmed", "declined"):
        if outcome == word:
            return
        code = "do_not_honour" if word == "declined" else None
        tables.execute(
            "update attempt set outcome = ?, decline_code = ? where attempt_id = ?", (word, code, attempt_id)
        )
        if word == "confirmed":
            move(tables, attempt_id, operation, amount, script, now)
    elif word in _MOVES:
        move(tables, attempt_id, _MOVES[word], amount, script, now)
        if word == "bounced":
            tables.execute("update attempt set bounced = 1 where attempt_id = ?", (attempt_id,))


def _tell(tables: sqlite3.Connection, attempt_id: str, word: Word, copies: int, off: int, now: float) -> None:
    """Leave the callback to be sent, `copies` times: with one event id, byte for byte the same."""
    end_to_end_id, amount, currency, reference, code = tables.execute(
        "select end_to_end_id, amount_minor, currency, bank_reference, decline_code from attempt "
        "where attempt_id = ?",
        (attempt_id,),
    ).fetchone()
    event_id = event_id_of(attempt_id, word)
    body = _encoder.encode(
        Callback(
            event_id=event_id,
            what=word,
            attempt_id=attempt_id,
            end_to_end_id=end_to_end_id,
            amount_minor=amount + off,
            currency=currency,
            bank_reference=reference,
            decline_code=code if word == "declined" else None,
            dispute_reference=f"dispute_{attempt_id}" if word.startswith("dispute_") else None,
            at=_text(now),
        )
    )
    for _ in range(copies):
        tables.execute("insert into callback (event_id, body, due) values (?, ?, ?)", (event_id, body, now))


def event_id_of(attempt_id: str, word: Word) -> str:
    """The bank's own id of what it tells; the same thing has the same id, however often it is told."""
    return f"ev_{attempt_id}_{word}"


def _text(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
