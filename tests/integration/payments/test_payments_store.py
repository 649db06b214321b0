from __future__ import annotations

import json
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from services.payments import counters, store
from services.payments.checks import Checks
from services.payments.machine.errors import RecordIncomplete
from services.payments.machine.events import Decisions, Order, Snapshot
from services.payments.packing import Position
from services.payments.record import About, Decide, Waiting
from services.payments.store_rows import written
from tests.integration.payments.payment_world import PaymentWorld, answer_to
from tests.integration.payments.payments_samples import BANKS, Connect, Request

TABLES = (
    "payments.account", "payments.payment", "payments.attempt", "payments.event", "payments.ledger_transfer",
    "payments.screening", "payments.credit", "payments.mail",
)  # fmt: skip


async def _submitted(paying: PaymentWorld, account: str) -> Order:
    """The order of one submitted payout of 100 on an account of its own with 500."""
    merchant = await paying.open_account(account, funds_minor=500)
    await paying.accept([Request(account, kind="payout", merchant=merchant)])
    [order] = await paying.submit()
    return order


async def _all_rows(paying: PaymentWorld) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = []
    for table in TABLES:
        rows += await paying.world.owner.fetch(f"select * from {table} t order by t::text")
    return rows


async def test_the_checks_say_when_a_reminder_was_forgotten(paying: PaymentWorld) -> None:
    order = await _submitted(paying, "acc_forgotten")
    gauge = counters.CHECK_ROWS.labels("overdue")._value
    await Checks(paying.store, BANKS).check_open()
    before = gauge.get()
    await paying.world.owner.execute(
        "update payments.payment set due = now() - interval '1 hour' where payment_id = $1", order.payment_id
    )

    await Checks(paying.store, BANKS).check_open()

    assert (0, 1, 0) == (before, gauge.get(), await paying.store.balances_imbalance())


async def test_what_fails_in_the_middle_of_a_turn_leaves_nothing_of_it(paying: PaymentWorld) -> None:
    order = await _submitted(paying, "acc_middle")
    before = await _all_rows(paying)

    for break_at in _BREAKS:
        with pytest.raises(asyncpg.PostgresError):
            await paying.store.turn(About(events=[answer_to(order)]), _breaking(paying, break_at))
        assert before == await _all_rows(paying)

    await paying.about([answer_to(order)])
    assert "succeeded" == await paying.status(order.payment_id)
    assert [] == await paying.faults()


# Each breaks another statement of the write, when all before it have been done.
_BREAKS = ["payments", "attempts", "told", "transfers", "mail_done", "contradictions"]


def _breaking(paying: PaymentWorld, break_at: str) -> Decide:
    def decide(snapshot: Snapshot) -> Decisions:
        out = paying.decide(snapshot)
        match break_at:
            case "payments":
                out.payments = [replace(row, due=snapshot.now) for row in out.payments]
            case "attempts":
                out.attempts = [replace(row, state="lost") for row in out.attempts]
            case "told":
                out.told = [replace(row, type="payment.lost") for row in out.told]
            case "transfers":
                out.transfers = [replace(row, amount_minor=0) for row in out.transfers]
            case "mail_done":
                out.mail_done = [(-1, "applied")]
            case _:
                out.contradictions = [("att_x", "nul\0")]
        return out

    return decide


@pytest.mark.parametrize("changed", ["account", "payment's story", "payment's reminder", "attempt"])
async def test_a_row_that_is_not_as_it_was_read_refuses_the_whole_turn(
    paying: PaymentWorld, changed: str
) -> None:
    """Nobody changes a row without its account's lock; should somebody, the turn must not write over it."""
    order = await _submitted(paying, "acc_under")
    before = await _all_rows(paying)

    def decide(snapshot: Snapshot) -> Decisions:
        out = paying.decide(snapshot)
        _remember_otherwise(snapshot, changed)
        return out

    with pytest.raises(asyncpg.SerializationError, match="1 of 1"):
        await paying.store.turn(About(events=[answer_to(order)]), decide)

    assert before == await _all_rows(paying)


def _remember_otherwise(snapshot: Snapshot, changed: str) -> None:
    """Let the rows have been other when they were read than they are when they are written."""
    [(name, payment)] = snapshot.payments.items()
    match changed:
        case "account":
            snapshot.accounts = {
                key: replace(row, version=row.version - 1) for key, row in snapshot.accounts.items()
            }
        case "attempt":
            attempts = tuple(replace(row, epoch=row.epoch + 1) for row in payment.attempts)
            snapshot.payments = {name: replace(payment, attempts=attempts)}
        case "payment's reminder":
            snapshot.payments = {name: replace(payment, due=snapshot.now)}
        case _:
            snapshot.payments = {name: replace(payment, sequence=payment.sequence - 1)}


async def test_a_decision_that_raises_leaves_nothing_and_frees_its_accounts(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_raises")
    [identifier] = await paying.accept([Request("acc_raises", merchant=merchant)])

    def decide(_: Snapshot) -> Decisions:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await paying.store.turn(Waiting(items_max=1, accounts_max=1), decide)

    assert [identifier] == [asking.payment_id for asking in (await paying.waiting()).askings]


async def test_an_event_about_a_payment_that_there_is_not_is_a_defect(paying: PaymentWorld) -> None:
    order = await _submitted(paying, "acc_missing")
    stray = replace(answer_to(order), payment_id="pay_eu_" + "0" * 26)

    with pytest.raises(RecordIncomplete):
        await paying.about([answer_to(order), stray])

    assert "submitted" == await paying.status(order.payment_id)


async def test_the_outbox_carries_what_the_story_says(paying: PaymentWorld) -> None:
    order = await _submitted(paying, "acc_outbox")
    await paying.answer_all()

    rows = await paying.store.outbox_after(Position(), 1000)

    mine = [row for row in rows if row.payment_id == order.payment_id]
    story = await paying.world.gateway.fetch(
        "select * from payments.events_of($1, $2)", mine[0].merchant_id, order.payment_id
    )
    assert [kind for kind, _ in await paying.story(order.payment_id)] == [row.type for row in mine]
    assert [row["type"] for row in story] == [row.type for row in mine]
    assert any(row.details and order.bank in row.details for row in mine)


@pytest.mark.parametrize(("by", "shown"), [("operator-ann", None), ("k" * 43, "k" * 43)])
async def test_a_merchant_reads_who_asked_only_where_it_was_the_merchant(
    paying: PaymentWorld, by: str, shown: str | None
) -> None:
    order = await _submitted(paying, "acc_by")
    merchant = "mer_acc_by"
    await paying.world.owner.execute(
        "insert into payments.event (payment_id, sequence, type, at, details) "
        "select payment_id, sequence + 1, 'payment.review_approved', now(), "
        "jsonb_build_object('by', $2::text, 'bank', 'b') from payments.payment where payment_id = $1",
        order.payment_id, by,
    )  # fmt: skip

    details = await paying.world.gateway.fetchval(
        "select details ->> 'by' from payments.events_of($1, $2) order by sequence desc limit 1",
        merchant, order.payment_id,
    )  # fmt: skip

    assert shown == details


async def test_a_merchant_reads_neither_rules_nor_what_operators_wrote(paying: PaymentWorld) -> None:
    order = await _submitted(paying, "acc_discreet")
    await paying.world.owner.execute(
        "insert into payments.event (payment_id, sequence, type, at, details) "
        "select payment_id, sequence + 1, 'payment.review_opened', now(), "
        '\'{"rule_pack": "demo@1", "reasons": ["velocity"], "reason": "odd", "bank": "b"}\' '
        "from payments.payment where payment_id = $1",
        order.payment_id,
    )

    story = await paying.world.gateway.fetch(
        "select details from payments.events_of($1, $2)", "mer_acc_discreet", order.payment_id
    )

    assert {"bank": "b"} == json.loads(story[-1]["details"])
    assert "rule_pack" not in "".join(row["details"] or "" for row in story)


async def test_a_worker_that_dies_between_write_and_commit_leaves_nothing_of_its_turn(
    paying: PaymentWorld, connect: Connect
) -> None:
    order = await _submitted(paying, "acc_dies")
    dying: Any = await connect("payments")
    await dying.execute("begin")
    snapshot, _ = await store._take(dying, About(events=[answer_to(order)]))
    await dying.execute(store._WRITE, *written(snapshot, paying.decide(snapshot)))

    dying.terminate()
    await paying.about([answer_to(order, "unknown")])  # Waits for the lock, until the server has noticed.

    assert "unknown" == await paying.status(order.payment_id)
    await paying.about([answer_to(order)])
    assert "succeeded" == await paying.status(order.payment_id)
    assert [] == await paying.faults()
