from __future__ import annotations

import itertools
from datetime import timedelta

import asyncpg
import pytest

from tests.integration.payments.payments_samples import (
    Connect,
    Request,
    World,
    accept,
    claim,
    record,
    redrive,
)

_fresh = itertools.count()


async def _submitted(world: World, kind: str) -> tuple[str, asyncpg.Record]:
    """One submitted payment of 300 on an account of its own with 1,000; return account and order."""
    account = f"acc_out_{next(_fresh)}"
    merchant = await world.open_account(account, funds_minor=1000)
    await accept(world.gateway, [Request(account, kind=kind, amount_minor=300, merchant=merchant)])
    [order] = await claim(world.engine)
    return account, order


async def _balance(world: World, account: str) -> tuple[int, int]:
    row = await world.account(account)
    return row["posted_minor"], row["held_minor"]


async def _state(world: World, order: asyncpg.Record) -> str:
    state: str = await world.owner.fetchval(
        "select state from payments.attempt where attempt_id = $1", order["attempt_id"]
    )
    return state


@pytest.mark.parametrize(
    ("kind", "outcome", "status", "balance"),
    [
        ("collect", "confirmed", "succeeded", (1300, 0)),
        ("collect", "declined", "failed", (1000, 0)),
        ("payout", "confirmed", "succeeded", (700, 0)),
        ("payout", "declined", "failed", (1000, 0)),
        ("collect", "unknown", "unknown", (1000, 0)),
        ("payout", "unknown", "unknown", (1000, 300)),
        ("payout", "pending", "unknown", (1000, 300)),
        ("payout", "unsent", "submitted", (1000, 300)),
    ],
)
async def test_an_outcome_moves_the_money_it_says(
    world: World, kind: str, outcome: str, status: str, balance: tuple[int, int]
) -> None:
    account, order = await _submitted(world, kind)

    result = await record(world.engine, [(order["attempt_id"], order["epoch"], outcome)])

    assert ["applied"] == result
    payment = await world.payment(order["payment_id"])
    assert status == payment["status"]
    assert (status in {"succeeded", "failed"}) == (payment["due"] is None)
    assert balance == await _balance(world, account)
    assert [] == await world.faults()


async def test_the_same_result_twice_counts_once(world: World) -> None:
    account, order = await _submitted(world, "collect")
    result = (order["attempt_id"], order["epoch"], "confirmed")

    together = await record(world.engine, [result, result])
    later = await record(world.engine, [result])

    assert (["applied", "stale"], ["stale"]) == (together, later)
    assert (1300, 0) == await _balance(world, account)
    assert ["accepted", "submitted", "succeeded"] == await world.events(order["payment_id"])
    assert [] == await world.faults()


async def test_a_decline_after_a_confirmation_changes_nothing(world: World) -> None:
    account, order = await _submitted(world, "payout")
    await record(world.engine, [(order["attempt_id"], order["epoch"], "confirmed")])

    late = await record(world.engine, [(order["attempt_id"], order["epoch"], "declined")])

    assert ["stale"] == late
    assert (700, 0) == await _balance(world, account)


@pytest.mark.parametrize("outcome", ["confirmed", "declined", "pending", "unknown", "unsent"])
async def test_a_recorded_result_ends_the_lease(world: World, outcome: str) -> None:
    _, order = await _submitted(world, "collect")
    await record(world.engine, [(order["attempt_id"], order["epoch"], outcome)])

    again = await record(world.engine, [(order["attempt_id"], order["epoch"], "confirmed")])

    assert ["stale"] == again


async def test_a_result_of_a_lost_lease_changes_nothing(world: World) -> None:
    account, order = await _submitted(world, "payout")
    await world.make_due()
    [taken] = await redrive(world.engine)

    late = await record(world.engine, [(order["attempt_id"], order["epoch"], "declined")])
    timely = await record(world.engine, [(order["attempt_id"], taken["epoch"], "confirmed")])

    assert (2, "inquire", True) == (taken["epoch"], taken["action"], taken["resendable"])
    assert (["stale"], ["applied"]) == (late, timely)
    assert (700, 0) == await _balance(world, account)
    assert [] == await world.faults()


async def test_an_unknown_outcome_keeps_its_hold_and_is_asked_for_without_end(world: World) -> None:
    account, order = await _submitted(world, "payout")
    await record(world.engine, [(order["attempt_id"], order["epoch"], "unknown")])
    delays = []

    for _ in range(12):
        await world.make_due()
        [taken] = await redrive(world.engine)
        await record(world.engine, [(taken["attempt_id"], taken["epoch"], "unknown")])
        delays.append(
            await world.owner.fetchval(
                "select due - a.updated_at from payments.payment join payments.attempt a using (payment_id) "
                "where payment_id = $1",
                order["payment_id"],
            )
        )

    assert "inquire" == taken["action"]
    assert sorted(delays) == delays
    assert (timedelta(seconds=10), timedelta(hours=12)) == (delays[0], delays[-1])
    assert (1000, 300) == await _balance(world, account)
    assert ["accepted", "submitted", "outcome_unknown"] == await world.events(order["payment_id"])
    assert [] == await world.faults()


async def test_what_never_left_is_sent_again_under_the_same_attempt(world: World) -> None:
    _, order = await _submitted(world, "collect")
    await record(world.engine, [(order["attempt_id"], order["epoch"], "unsent")])
    before = await _state(world, order)
    await world.make_due()

    [taken] = await redrive(world.engine)

    assert "intent" == before
    assert ("send", order["attempt_id"], order["bank"], 3) == (
        taken["action"], taken["attempt_id"], taken["bank"], taken["epoch"],
    )  # fmt: skip
    assert ["applied"] == await record(world.engine, [(taken["attempt_id"], taken["epoch"], "confirmed")])


async def test_what_may_have_been_sent_stays_unknown_although_a_later_call_never_left(world: World) -> None:
    _, order = await _submitted(world, "collect")
    await world.make_due()  # The worker died while sending.
    [asked] = await redrive(world.engine)

    await record(world.engine, [(asked["attempt_id"], asked["epoch"], "unsent")])

    assert "unknown" == await _state(world, order)
    await world.make_due()
    [again] = await redrive(world.engine)
    assert "inquire" == again["action"]
    await record(world.engine, [(again["attempt_id"], again["epoch"], "declined")])


async def test_an_old_attempt_is_not_sent_again_should_the_bank_not_know_it(world: World) -> None:
    _, order = await _submitted(world, "collect")
    await world.owner.execute(
        "update payments.attempt set created_at = now() - interval '21 hours' where attempt_id = $1",
        order["attempt_id"],
    )
    await world.make_due()

    [taken] = await redrive(world.engine)

    assert ("inquire", False) == (taken["action"], taken["resendable"])
    await record(world.engine, [(taken["attempt_id"], taken["epoch"], "declined")])


async def test_two_watchdogs_share_what_is_overdue(world: World, connect: Connect) -> None:
    orders = [(await _submitted(world, "collect"))[1] for _ in range(6)]
    await world.make_due()
    other = await connect("payments")
    await other.execute("begin")
    theirs = await redrive(other, payments_max=2)

    ours = await redrive(world.engine)

    await other.execute("commit")
    every = [order["attempt_id"] for order in [*theirs, *ours]]
    assert sorted(order["attempt_id"] for order in orders) == sorted(every)
    assert [] == await redrive(world.engine)
    await record(world.engine, [(o["attempt_id"], o["epoch"], "confirmed") for o in [*theirs, *ours]])


async def test_an_outcome_that_the_record_does_not_know_is_refused(world: World) -> None:
    _, order = await _submitted(world, "collect")

    with pytest.raises(asyncpg.InvalidParameterValueError):
        await record(world.engine, [(order["attempt_id"], order["epoch"], "probably")])

    assert ["applied"] == await record(world.engine, [(order["attempt_id"], order["epoch"], "confirmed")])


async def test_the_checks_find_what_they_are_there_for(world: World) -> None:
    account, order = await _submitted(world, "payout")
    await world.owner.execute(
        "update payments.account set posted_minor = posted_minor + 1 where account_id = $1", account
    )
    await world.owner.execute(
        "update payments.attempt set state = 'not_processed' where attempt_id = $1", order["attempt_id"]
    )

    missing = await world.operator.fetch("select problem from payments.reminders_missing()")
    imbalance = await world.operator.fetch(
        "select subject, problem, expected, found from payments.ledger_imbalance()"
    )

    assert ["no attempt that could still end"] == [row["problem"] for row in missing]
    assert [(account, "posted balance", 1000, 1001)] == [tuple(row) for row in imbalance]
    await world.owner.execute(
        "update payments.account set posted_minor = posted_minor - 1 where account_id = $1", account
    )
    await world.owner.execute(
        "update payments.attempt set state = 'sending' where attempt_id = $1", order["attempt_id"]
    )
    await record(world.engine, [(order["attempt_id"], order["epoch"], "confirmed")])
    assert [] == await world.faults()


async def test_a_bank_that_cannot_be_reached_is_tried_again_ever_later_up_to_a_bound(world: World) -> None:
    _, order = await _submitted(world, "collect")
    pauses = []
    for _ in range(4):
        await record(world.engine, [(order["attempt_id"], order["epoch"], "unsent")])
        pauses.append(
            await world.owner.fetchval(
                "select round(extract(epoch from due - now()))::int "
                "from payments.payment where payment_id = $1",
                order["payment_id"],
            )
        )
        await world.owner.execute(
            "update payments.payment set due = now() where payment_id = $1", order["payment_id"]
        )
        [order] = await redrive(world.engine)

    assert [2, 4, 8, 8] == pauses
