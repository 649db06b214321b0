"""The record of the simulation and the record in PostgreSQL say the same to the same steps.

What the simulation finds is only worth something as long as its record behaves as the real one: locks and
lost commits are modelled, but rows, constraints, order of arrival and what a turn is shown are compared here.
"""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from services.payments.machine.events import Decisions, Snapshot, TurnCame
from services.payments.record import About
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.simulation.agreement import invent
from tests.simulation.database import Database
from tests.simulation.lives import Life, Step, of_decisions, plain, spoilt
from tests.simulation.spoiling import SPOILERS

SEEDS = 12
_MICROSECONDS = re.compile(r"/window/\d+$")


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_both_records_live_the_same_life(paying: PaymentWorld, seed: int) -> None:
    life = await asyncio.to_thread(invent, seed)
    assert life.database is not None
    for account_id in life.accounts:
        await paying.open_account(account_id)

    for number, step in enumerate(life.steps):
        said = await take(paying, step)
        assert (number, step.said) == (number, said), step

    assert await asyncio.to_thread(_rows_of, life.database) == await _rows_in(paying, life)
    assert [] == await paying.faults()


async def test_the_lives_spoil_decisions_in_every_way() -> None:
    lives = [await asyncio.to_thread(invent, seed) for seed in range(SEEDS)]
    spoilt = [(name, step.said) for life in lives for step in life.steps for name in step.spoilt]

    assert set(SPOILERS) == {name for name, _ in spoilt}
    assert {"CheckViolationError", "UniqueViolationError"} == {said for _, said in spoilt}


async def take(paying: PaymentWorld, step: Step) -> Any:
    """One step in the real record; what it says."""
    if step.kind == "turn":
        try:
            return of_decisions(await paying.store.turn(step.given, spoilt(step.spoiler, [])))
        except Exception as fault:  # noqa: BLE001 - which one it is, is what is compared.
            return type(fault).__name__
    if step.kind == "accept":
        row = step.given
        request = Request(
            row.account_id, row.kind, row.amount_minor, row.instrument, row.merchant_id, row.currency,
            row.capture_method, payment_id=row.payment_id,
        )  # fmt: skip
        await paying.accept([request])
        return None
    if step.kind == "mail":
        letter, source, source_id = step.given
        return await paying.world.owner.fetchval(
            "select outcome from payments.put_mail($1, $2, $3, $4)",
            [letter.payment_id], [msgspec.json.encode(letter).decode()], [source], [source_id],
        )  # fmt: skip
    if step.kind == "windows":
        return await paying.store.post_windows(*_AT_ONCE)
    await paying.make_due()
    return None


_AT_ONCE = (timedelta(0), 1, 8)


def _rows_of(database: Database) -> dict[str, Any]:
    rows = database.rows
    return {
        "payments": {key: plain(rows.whole(key)) for key in sorted(rows.payments)},
        "accounts": {key: plain(rows.accounts[key]) for key in sorted(rows.accounts)},
        "transfers": sorted(
            (_MICROSECONDS.sub("/window", t.transfer_id), t.kind, t.debit_account, t.credit_account,
             t.amount_minor, t.resolves)
            for t in rows.transfers.values()
        ),
        "credits": sorted((c.credit.source_id, c.credit.amount_minor, c.window is not None)
                          for c in rows.credits.values()),
        "events": sorted(((t.payment_id, t.sequence, t.type, t.subject_id, t.decline_code)
                         for told in rows.told.values() for t in told), key=str),
        "mail": [letter.result for letter in rows.mail.values()],
        "contradictions": sorted(rows.contradictions),
    }  # fmt: skip


async def _rows_in(paying: PaymentWorld, life: Life) -> dict[str, Any]:
    """The same of the real record; payments as the engine reads them."""
    assert life.database is not None
    seen: list[Snapshot] = []

    def look(snapshot: Snapshot) -> Decisions:
        seen.append(snapshot)
        return Decisions()

    names = sorted(life.database.rows.payments)
    await paying.store.turn(About(events=[TurnCame(payment_id=name) for name in names]), look)
    owner = paying.world.owner
    transfers = await owner.fetch(
        "select transfer_id, kind, debit_account, credit_account, amount_minor, resolves"
        " from payments.ledger_transfer"
    )
    credited = await owner.fetch(
        "select source_id, amount_minor, window_id is not null as is_posted from payments.credit"
    )
    events = await owner.fetch(
        "select payment_id, sequence, type, subject_id, decline_code from payments.event where sequence > 1"
    )
    mail = await owner.fetch("select result from payments.mail order by mail_id")
    contradictions = await owner.fetch("select subject, problem from payments.contradiction")
    return {
        "payments": {key: plain(seen[0].payments[key]) for key in names},
        "accounts": {key: plain(seen[0].accounts[key]) for key in sorted(seen[0].accounts)},
        "transfers": sorted(
            (_MICROSECONDS.sub("/window", row["transfer_id"]), *list(row.values())[1:]) for row in transfers
        ),
        "credits": sorted(tuple(row.values()) for row in credited),
        "events": sorted((tuple(row.values()) for row in events), key=str),
        "mail": [row["result"] for row in mail],
        "contradictions": sorted(tuple(row.values()) for row in contradictions),
    }
