"""A bank tells until it is heard: whatever was away in between, and whoever was started again."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.bank_simulator.app import BOOKS_FILE
from services.bank_simulator.script import BankScript
from tests.integration.banks.bank_parts import Parts, attempt, banks_service, running_parts, until
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.postgres_server import PostgresServer

AT_LEISURE = BankScript(latency_ms_max=0, later_s=0.5)


@pytest.fixture
async def alone(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Parts]:
    async with running_parts(tmp_path, postgres) as running:
        yield running


def _callback(parts: Parts, bank: str) -> tuple[int, int]:
    """How often the bank's one callback was sent, and whether it was taken."""
    with sqlite3.connect(parts.folder / bank / BOOKS_FILE) as books:
        row = books.execute("select max(tries), max(taken) from callback").fetchone()
    books.close()
    return row[0] or 0, row[1] or 0


async def _leave_one_untold(parts: Parts, database: str) -> None:
    """Let the bank have something to tell while nobody hears it."""
    await parts.script("bank-alpha", AT_LEISURE)
    async with banks_service(parts, database):
        assert "pending" == (await parts.client.send(attempt(1, "tok_pending_then_confirmed"))).outcome

    async def was_tried_twice() -> bool:
        return _callback(parts, "bank-alpha") >= (2, 0)

    await until(was_tried_twice)


async def _heard(paying: PaymentWorld) -> list[tuple[str, str]]:
    rows = await paying.world.owner.fetch("select bank, event_id from banks.callback")
    return [tuple(row) for row in rows]


async def test_a_bank_tells_until_the_service_is_there(
    alone: Parts, paying: PaymentWorld, database: str
) -> None:
    await _leave_one_untold(alone, database)

    async with banks_service(alone, database):

        async def is_taken() -> bool:
            return _callback(alone, "bank-alpha")[1] == 1

        await until(is_taken)

    assert [("bank-alpha", "ev_att_eu_1_confirmed")] == await _heard(paying)


async def test_a_bank_that_is_started_again_goes_on_telling(
    alone: Parts, paying: PaymentWorld, database: str
) -> None:
    await _leave_one_untold(alone, database)
    await alone.stop_bank("bank-alpha")
    await alone.start_bank("bank-alpha")

    async with banks_service(alone, database):

        async def is_heard() -> bool:
            return bool(await _heard(paying))

        await until(is_heard)


async def test_a_bank_that_dies_before_it_decides_decides_when_it_is_back(
    alone: Parts, paying: PaymentWorld, database: str
) -> None:
    async with banks_service(alone, database):
        await alone.client.send(attempt(1, "tok_pending_then_confirmed"))
        await alone.stop_bank("bank-alpha")
        await alone.start_bank("bank-alpha")

        async def is_heard() -> bool:
            return bool(await _heard(paying))

        await until(is_heard)
    assert 1 == len(alone.ledger("bank-alpha"))


async def test_while_the_database_is_away_nothing_is_taken_and_the_bank_shall_come_again(
    parts: Parts, paying: PaymentWorld, postgres: PostgresServer, database: str
) -> None:
    holder = await postgres.connect("migrator", database)
    transaction = holder.transaction()
    await transaction.start()
    await holder.execute("lock table banks.callback in access exclusive mode")

    answers = await asyncio.gather(*(parts.tell("bank-alpha", b"{%d" % n) for n in range(3)))
    await transaction.rollback()
    await holder.close()

    assert [(503, "1")] * 3 == [(answer.status, answer.headers["retry-after"]) for answer in answers]
    assert [] == await _heard(paying)
    assert 202 == (await parts.tell("bank-alpha", b"{0")).status


async def test_copies_on_purpose_are_sent_and_kept_once(parts: Parts, paying: PaymentWorld) -> None:
    await parts.client.send(attempt(1, "tok_duplicate_callbacks"))

    async def all_are_taken() -> bool:
        with sqlite3.connect(parts.folder / "bank-alpha" / BOOKS_FILE) as books:
            count = books.execute("select count(*) from callback where taken = 1").fetchone()
        books.close()
        return bool(count == (3,))

    await until(all_are_taken)
    assert [("bank-alpha", "ev_att_eu_1_confirmed")] == await _heard(paying)
