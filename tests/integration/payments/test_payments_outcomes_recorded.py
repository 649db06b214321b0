from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta

import pytest
from msgspec.structs import replace

from services.payments.machine.events import AnswerKind, Order
from services.payments.record import Overdue
from tests.integration.payments.payment_world import PaymentWorld, answer_to
from tests.integration.payments.payments_samples import Request

_fresh = itertools.count()


async def _submitted(paying: PaymentWorld, kind: str) -> tuple[str, Order]:
    """One submitted payment of 300 on an account of its own with 1,000; return account and order."""
    account = f"acc_out_{next(_fresh)}"
    merchant = await paying.open_account(account, funds_minor=1000)
    await paying.accept([Request(account, kind=kind, amount_minor=300, merchant=merchant)])
    [order] = await paying.submit()
    paying.orders.clear()
    return account, order


async def _state(paying: PaymentWorld, order: Order) -> tuple[str, int]:
    row = await paying.world.owner.fetchrow(
        "select state, epoch from payments.attempt where attempt_id = $1", order.attempt_id
    )
    assert row is not None
    return row["state"], row["epoch"]


@pytest.mark.parametrize(
    ("kind", "outcome", "status", "balance"),
    [
        ("collect", "confirmed", "succeeded", (1000, 0, 300)),
        ("collect", "declined", "failed", (1000, 0, 0)),
        ("payout", "confirmed", "succeeded", (700, 0, 0)),
        ("payout", "declined", "failed", (1000, 0, 0)),
        ("collect", "unknown", "unknown", (1000, 0, 0)),
        ("payout", "unknown", "unknown", (1000, 300, 0)),
        ("payout", "pending", "unknown", (1000, 300, 0)),
        ("payout", "unsent", "submitted", (1000, 300, 0)),
    ],
)
async def test_an_outcome_moves_the_money_it_says(
    paying: PaymentWorld, kind: str, outcome: AnswerKind, status: str, balance: tuple[int, int, int]
) -> None:
    account, order = await _submitted(paying, kind)

    await paying.about([answer_to(order, outcome)])

    payment = await paying.world.payment(order.payment_id)
    assert status == payment["status"]
    assert (status in {"succeeded", "failed"}) == (payment["due"] is None)
    assert balance == await paying.balance(account)
    assert [] == await paying.faults()


async def test_the_same_result_twice_counts_once(paying: PaymentWorld) -> None:
    account, order = await _submitted(paying, "collect")
    result = answer_to(order)

    await paying.about([result, result])
    await paying.about([result])
    await asyncio.gather(*(paying.about([result]) for _ in range(4)))
    await paying.answer_all()

    assert (1300, 0, 0) == await paying.balance(account)
    succeeded = [kind for kind, _ in await paying.story(order.payment_id) if kind == "payment.succeeded"]
    assert ["payment.succeeded"] == succeeded
    assert [] == await paying.faults()


async def test_a_decline_after_a_confirmation_moves_no_money(paying: PaymentWorld) -> None:
    account, order = await _submitted(paying, "payout")
    await paying.about([answer_to(order)])

    await paying.about([answer_to(order, "declined")])

    assert "succeeded" == await paying.status(order.payment_id)
    assert (700, 0, 0) == await paying.balance(account)
    assert [] == await paying.faults()


async def test_what_a_lost_lease_does_not_know_changes_nothing(paying: PaymentWorld) -> None:
    _, order = await _submitted(paying, "payout")
    await paying.make_due()
    [taken] = (await paying.overdue(order.bank)).orders

    await paying.about([answer_to(order, "unsent")])

    assert (2, "inquire", True) == (taken.epoch, taken.action, taken.resendable)
    assert ("unknown", 2) == await _state(paying, order)


async def test_an_unknown_outcome_keeps_its_hold_and_is_asked_for_without_end(paying: PaymentWorld) -> None:
    account, order = await _submitted(paying, "payout")
    await paying.about([answer_to(order, "unknown")])
    await paying.world.owner.execute("update payments.attempt set created_at = created_at - interval '1 day'")
    delays = []

    for _ in range(12):
        await paying.make_due()
        [taken] = (await paying.overdue(order.bank)).orders
        await paying.about([answer_to(taken, "unknown")])
        delays.append(
            await paying.world.owner.fetchval(
                "select due - a.updated_at from payments.payment join payments.attempt a using (payment_id) "
                "where payment_id = $1",
                order.payment_id,
            )
        )

    assert "inquire" == taken.action
    assert timedelta(hours=12) == delays[-1]
    assert (1000, 300, 0) == await paying.balance(account)
    unknown = [kind for kind, _ in await paying.story(order.payment_id) if kind == "payment.outcome_unknown"]
    assert ["payment.outcome_unknown"] == unknown
    assert [] == await paying.faults()


async def test_what_never_left_is_sent_again_under_the_same_attempt(paying: PaymentWorld) -> None:
    _, order = await _submitted(paying, "collect")
    await paying.about([answer_to(order, "unsent")])
    before, _ = await _state(paying, order)
    await paying.make_due()

    [taken] = (await paying.overdue(order.bank)).orders

    assert "intent" == before
    assert ("send", order.attempt_id, order.bank) == (taken.action, taken.attempt_id, taken.bank)


async def test_an_old_attempt_is_not_sent_again_should_the_bank_not_know_it(paying: PaymentWorld) -> None:
    _, order = await _submitted(paying, "collect")
    await paying.world.owner.execute(
        "update payments.attempt set created_at = now() - interval '21 hours' where attempt_id = $1",
        order.attempt_id,
    )
    await paying.make_due()

    [taken] = (await paying.overdue(order.bank)).orders

    assert ("inquire", False) == (taken.action, taken.resendable)


async def test_watchdogs_share_what_is_overdue(paying: PaymentWorld) -> None:
    orders = [(await _submitted(paying, "collect"))[1] for _ in range(12)]
    await paying.make_due()
    work = Overdue(bank=orders[0].bank, items_max=5)

    turns = await asyncio.gather(*(paying.store.turn(work, paying.decide) for _ in range(6)))
    rest = await paying.store.turn(replace(work, items_max=100), paying.decide)

    taken = [order.attempt_id for decisions in [*turns, rest] for order in decisions.orders]
    assert sorted(order.attempt_id for order in orders) == sorted(taken)


async def test_the_backlog_of_one_bank_hides_nobody_elses(paying: PaymentWorld) -> None:
    paying.routes.banks = ("bank-alpha",)
    merchant = await paying.open_account("acc_backlog")
    await paying.accept([Request("acc_backlog", merchant=merchant) for _ in range(100)])
    await paying.submit()
    paying.routes.banks = ("bank-bravo",)
    _, order = await _submitted(paying, "collect")
    await paying.make_due()

    taken = await paying.overdue("bank-bravo", items_max=1)

    assert [order.attempt_id] == [again.attempt_id for again in taken.orders]
    assert 100 == len((await paying.overdue("bank-alpha")).orders)


async def test_what_waits_for_no_bank_is_overdue_by_itself(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_nobank")
    [identifier] = await paying.accept([Request("acc_nobank", merchant=merchant)])
    await paying.waiting()
    await paying.make_due()

    decisions = await paying.overdue(None)

    assert [identifier] == [asking.payment_id for asking in decisions.askings]
    assert [] == (await paying.overdue(None)).askings


async def test_the_checks_find_what_they_are_there_for(paying: PaymentWorld) -> None:
    account, order = await _submitted(paying, "payout")
    owner, operator = paying.world.owner, paying.world.operator
    await owner.execute(
        "update payments.account set posted_minor = posted_minor + 1 where account_id = $1", account
    )
    await owner.execute(
        "update payments.attempt set state = 'not_processed' where attempt_id = $1", order.attempt_id
    )
    await owner.execute(
        "update payments.payment set status = 'reserved', due = now() - interval '1 h' where payment_id = $1",
        order.payment_id,
    )
    await owner.execute(
        "update payments.payment set status = 'submitted' where payment_id = $1", order.payment_id
    )

    missing = await operator.fetch("select subject_id, problem from payments.reminders_missing()")
    overdue = await operator.fetch("select subject_id from payments.overdue('1 min', 10)")
    imbalance = await operator.fetch(
        "select subject, problem, expected, found from payments.ledger_imbalance()"
    )

    assert [(order.payment_id, "no attempt at its bank that could still end")] == [tuple(r) for r in missing]
    assert [(order.payment_id,)] == [tuple(row) for row in overdue]
    assert [(account, "posted balance", 1000, 1001)] == [tuple(row) for row in imbalance]
