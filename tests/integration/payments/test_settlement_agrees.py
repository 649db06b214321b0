"""The settlement tables of the simulation and those in PostgreSQL say the same to the same questions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.payments.machine.settlement import FileLine, judge
from services.payments.settlement_store import SettlementStore
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.test_record_agrees import take
from tests.simulation.agreement import invent
from tests.simulation.lives import BANKS, Life
from tests.simulation.rows import Rows
from tests.simulation.settlement_rows import SettlementRows

SEEDS = 6
ROUNDS = 12
PAGE_LINES = 6
# Of the seven kinds of break; with fewer a seed compares little.
KINDS_MIN = 4
_MOVEMENTS = ("collect", "capture", "payout", "refund", "bounced", "returned", "chargeback")


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_both_keep_and_judge_the_same_lines(paying: PaymentWorld, seed: int) -> None:
    life = await _lived(paying, seed)
    assert life.database is not None
    store, rows = SettlementStore(paying.pool), SettlementRows(life.database.rows)
    chance, now = random.Random(f"{seed}/settlement"), life.database.now()
    for number, page in enumerate(_pages(chance, life.database.rows)):
        bank = page[0].bank
        booked = rows.booked(bank, page)
        assert booked == await store.booked(bank, page)
        judged = [judge(line, booked.get(line.line)) for line in page]
        # A page that is read twice, by two workers, changes nothing the second time.
        for _ in range(chance.choice((1, 2))):
            assert len(rows.keep(bank, page, judged)) == await store.keep(bank, page, judged)
        in_break = rows.lines_in_break(bank, 128)
        assert in_break == await store.lines_in_break(bank, 128)
        agreed = [line.line for line in in_break if chance.random() < 0.2]
        rows.close(bank, agreed)
        await store.close(bank, agreed)
        if chance.random() < 0.5:
            missing = rows.find_missing(bank, now + timedelta(seconds=number + 1))
            assert missing == await store.find_missing(bank, timedelta(0))
        assert rows.settled_until(bank) == await store.settled_until(bank)
        assert rows.breaks_open() == await store.breaks_open()

    for bank in BANKS:
        missing = rows.find_missing(bank, now + timedelta(days=1))
        assert missing == await store.find_missing(bank, timedelta(0))
    breaks = [msgspec.to_builtins(each) for each in rows.breaks]
    assert _sorted(breaks) == _sorted(await _breaks(paying))
    assert KINDS_MIN <= len({each["kind"] for each in breaks})


async def _lived(paying: PaymentWorld, seed: int) -> Life:
    """A life that was lived in both records."""
    life = await asyncio.to_thread(invent, seed)
    for account_id in life.accounts:
        await paying.open_account(account_id)
    for step in life.steps:
        await take(paying, step)
    return life


def _pages(chance: random.Random, rows: Rows) -> Iterator[list[FileLine]]:
    """Lines about attempts that there are: most as they are, some wrong, doubled or about nothing."""
    written = dict.fromkeys(BANKS, 0)
    attempts = list(rows.attempts.values())
    for _ in range(ROUNDS):
        bank, page = chance.choice(BANKS), []
        for _ in range(chance.randint(1, PAGE_LINES)):
            attempt = chance.choice([each for each in attempts if each.bank == bank or chance.random() < 0.1])
            movement: Any = attempt.operation
            if movement not in _MOVEMENTS or chance.random() < 0.4:
                movement = chance.choice(_MOVEMENTS)
            written[bank] += chance.choice((1, 1, 3))
            page.append(FileLine(
                bank=bank, line=written[bank], movement=movement, currency="EUR", bank_reference="R",
                attempt_id=attempt.attempt_id if chance.random() < 0.9 else "att_eu_none_1",
                end_to_end_id=attempt.payment_id, fee_minor=1, value_date="2026-01-01",
                amount_minor=attempt.amount_minor + chance.choice((0, 0, 0, 1)),
            ))  # fmt: skip
        yield page


async def _breaks(paying: PaymentWorld) -> list[dict[str, Any]]:
    rows = await paying.world.owner.fetch(
        "select bank, kind, attempt_id, line, expected, found, reason from payments.settlement_break"
    )
    return [dict(row) for row in rows]


def _sorted(breaks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(breaks, key=lambda each: (each["bank"], each["line"] or 0, each["attempt_id"]))
