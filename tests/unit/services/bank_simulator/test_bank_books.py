from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bank_simulator.books import Books
from services.bank_simulator.ledger import do_what_is_due
from services.bank_simulator.request import Answer, Request
from services.bank_simulator.script import BankScript

SCRIPT = BankScript(latency_ms_max=0, later_s=10)


class Clock:
    """Seconds that only the test lets pass."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def books(tmp_path: Path, clock: Clock) -> AsyncIterator[Books]:
    opened = Books(tmp_path / "books.sqlite", "bank-alpha", SCRIPT, clock)
    yield opened
    opened.close()


def request(instrument: str, number: int = 1) -> Request:
    return Request(f"att_{number}", "pay_1", "collect", 1999, "EUR", instrument, None, "uetr")


async def _due(books: Books, clock: Clock) -> int:
    return await books.write(lambda tables: do_what_is_due(tables, books.script, clock(), 64))


async def test_what_is_pending_is_decided_at_its_time_and_once(books: Books, clock: Clock) -> None:
    await books.decide([request("tok_pending_then_confirmed")])
    clock.now += 9.9
    early = await _due(books, clock)
    clock.now += 0.1
    steps = [await _due(books, clock) for _ in range(2)]

    answer = books.find("att_1")
    assert (0, [1, 0]) == (early, steps)
    assert isinstance(answer, Answer)
    assert "confirmed" == answer.outcome
    assert 1 == len(books.statement(instrument=None, end_to_end_id="pay_1"))
    assert ["ev_att_1_confirmed"] == [event_id for _, event_id, _, _ in books.callbacks_due(clock(), 10)]


async def test_a_chargeback_is_opened_before_it_is_lost_and_takes_the_money_back(
    books: Books, clock: Clock
) -> None:
    await books.decide([request("tok_chargeback_lost")])
    clock.now += 100
    await _due(books, clock)

    events = [event_id for _, event_id, _, _ in books.callbacks_due(clock(), 10)]
    movements = [line.operation for line in books.statement(instrument=None, end_to_end_id="pay_1")]
    assert ["ev_att_1_dispute_opened", "ev_att_1_dispute_lost"] == events
    assert ["collect", "chargeback"] == movements
    assert ["collect", "chargeback"] == [line.operation for line in books.settlement(0, 10)]


async def test_what_was_declined_can_turn_out_to_be_charged(books: Books, clock: Clock) -> None:
    [treated] = await books.decide([request("tok_declined_then_confirmed")])
    assert isinstance(treated.answer, Answer)
    assert ("declined", "timeout") == (treated.answer.outcome, treated.answer.decline_code)
    clock.now += 10
    await _due(books, clock)

    assert 1 == len(books.statement(instrument=None, end_to_end_id="pay_1"))
    assert ["ev_att_1_confirmed"] == [event_id for _, event_id, _, _ in books.callbacks_due(clock(), 10)]


async def test_the_ledger_cannot_be_changed(books: Books, tmp_path: Path) -> None:
    await books.decide([request("tok_visa_ok")])

    tables = sqlite3.connect(tmp_path / "books.sqlite")
    for change in ("update movement set amount_minor = 1", "delete from movement"):
        with pytest.raises(sqlite3.IntegrityError):
            tables.execute(change)
    tables.close()


async def test_books_of_an_earlier_form_are_put_aside(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "old.sqlite"
    earlier = sqlite3.connect(path)
    earlier.execute("create table attempt (attempt_id text primary key)")
    earlier.close()

    for _ in range(2):
        opened = Books(path, "bank-alpha", SCRIPT, clock)
        await opened.decide([request("tok_visa_ok")])
        assert opened.find("att_1") is not None
        opened.close()

    assert (tmp_path / "old.earlier").exists()
