"""Screenings over the wire and in PostgreSQL: once for each payment, exact, and held when in doubt."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from services.fraud.messages import ITEMS_MAX, SCREENINGS_PATH, Screening
from services.fraud.rules_in_force import RulesInForce
from services.fraud.screener import WAITING_MAX, Screener, Unanswered
from services.fraud.store import Store
from services.node.errors import HopUnknown
from services.node.postgres import open_pool
from services.node.process import cancel_until_heard
from tests.integration.fraud.fraud_stack import FraudStack
from tests.unit.services.fraud.rule_samples import BURST, DAY, item_of, pack_text


def now_item(payment_id: str, **changes: Any) -> Screening:
    return item_of(payment_id, **{"accepted_at": datetime.now(UTC)} | changes)


async def test_a_batch_gets_its_verdicts_with_what_they_were_decided_by(stack: FraudStack) -> None:
    items = [now_item("pay_1"), now_item("pay_2", instrument="tok_bad"), now_item("pay_3", amount_minor=1001)]
    async with stack.running() as worker, worker.client() as client:
        verdicts = await client.screen(items)

    assert [("pay_1", "pass", ()), ("pay_2", "reject", ("stolen",)), ("pay_3", "review", ("large",))] == [
        (verdict.payment_id, verdict.verdict, verdict.reasons) for verdict in verdicts
    ]
    assert {worker.rules.signed.label} == {verdict.rule_pack for verdict in verdicts}
    row = await stack.owner.fetchrow("select * from fraud.decision where payment_id = 'pay_2'")
    assert row is not None
    assert (verdicts[1].inputs_digest, ["stolen"]) == (row["inputs_digest"].hex(), row["reasons"])
    assert b"tok_bad" not in row["inputs"]


async def test_a_payment_is_decided_and_counted_once(stack: FraudStack) -> None:
    item = now_item("pay_1")
    async with stack.running() as worker, worker.client() as client:
        first = await client.screen([item])
        repeats = [await client.screen([item]) for _ in range(5)]
        twice = await client.screen([item, item])
    async with stack.running() as worker, worker.client() as client:
        after_a_restart = await client.screen([item])

    assert [first] * 7 == [*repeats, twice, after_a_restart]
    assert {1} == {row["count"] for row in await stack.owner.fetch("select count from fraud.velocity")}


async def test_concurrent_workers_count_every_payment(stack: FraudStack) -> None:
    """Three may pass in any interleaving; with a lost increment a fourth would."""
    items = [now_item(f"pay_{number}", merchant_id=f"mer_{number}") for number in range(40)]
    async with stack.running() as one, stack.running() as two, one.client() as left, two.client() as right:
        answers = await asyncio.gather(
            *((left, right)[number % 2].screen([item]) for number, item in enumerate(items))
        )

    verdicts = [verdict.verdict for answer in answers for verdict in answer]
    assert (3, 37) == (verdicts.count("pass"), verdicts.count("reject"))


async def test_a_sum_is_counted_within_its_batch(stack: FraudStack) -> None:
    items = [now_item(f"pay_{n}", amount_minor=1000, instrument=f"tok_{n}") for n in range(8)]
    async with stack.running() as worker, worker.client() as client:
        verdicts = await client.screen(items)

    assert ["pass"] * 5 + ["review"] * 3 == [verdict.verdict for verdict in verdicts]


async def test_a_payment_that_comes_too_late_to_be_counted_is_for_a_person(stack: FraudStack) -> None:
    late = now_item("pay_late", accepted_at=datetime.now(UTC) - timedelta(days=1, minutes=1))
    ahead = now_item("pay_ahead", accepted_at=datetime.now(UTC) + timedelta(minutes=5))
    async with stack.running() as worker, worker.client() as client:
        verdicts = await client.screen([late, ahead])

    assert ["review", "review"] == [verdict.verdict for verdict in verdicts]
    assert {("cannot-evaluate:burst", "cannot-evaluate:day")} == {verdict.reasons for verdict in verdicts}


async def test_a_payment_asked_about_in_two_ways_gets_no_verdict(stack: FraudStack) -> None:
    item = now_item("pay_1")
    other = now_item("pay_1", amount_minor=999, accepted_at=item.accepted_at)
    async with stack.running() as worker, worker.client() as client:
        assert [] == await client.screen([item, other])
        assert {} == await stack.verdicts()
        first = await client.screen([item])
        assert [] == await client.screen([other])
        assert first == await client.screen([item])


async def test_the_largest_question_is_answered(stack: FraudStack) -> None:
    long = "x" * 128
    items = [
        now_item(f"{number:03}" + long[3:], account_id=long, merchant_id=long, instrument=f"{number:03}")
        for number in range(ITEMS_MAX)
    ]
    async with stack.running() as worker, worker.client() as client:
        assert ITEMS_MAX == len(await client.screen(items))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"items":[]}', b'{"items":[{}]}', b'{"items":1}', b"\xff", b'{"items":[],"more":1}'],
)
async def test_a_question_of_another_form_is_refused(stack: FraudStack, body: bytes) -> None:
    async with stack.running() as worker, worker.hop() as hop:
        assert HTTPStatus.BAD_REQUEST == (await hop.call("POST", SCREENINGS_PATH, body)).status


async def test_nobody_but_the_engine_may_ask(stack: FraudStack) -> None:
    async with stack.running() as worker, worker.client("gateway") as client:
        with pytest.raises(HopUnknown, match="403"):
            await client.screen([now_item("pay_1")])

    assert {} == await stack.verdicts()


async def test_while_the_database_is_away_nothing_is_answered_and_afterwards_everything(
    stack: FraudStack,
) -> None:
    """Another holds the pen for longer than anybody waits: nobody passes meanwhile."""
    item = now_item("pay_1")
    async with stack.running() as worker, worker.client() as client:
        async with stack.owner.transaction():
            await stack.owner.execute("select fraud.take_pen('')")
            with pytest.raises(HopUnknown, match="503"):
                await client.screen([item])
        assert ["pass"] == [verdict.verdict for verdict in await client.screen([item])]


async def test_a_database_that_is_not_there_holds_payments_until_it_is(stack: FraudStack) -> None:
    config = stack.config()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # Bound and not listening: connections are refused.
        away = msgspec.structs.replace(config.postgres, port=nobody.getsockname()[1])
        async with open_pool(config, away, connections_max=1) as pool:
            store = Store(pool)
            rules = RulesInForce(Path(config.rules_file), [stack.key.verifying_key], store)
            screener = Screener(store, rules)
            task = asyncio.create_task(screener.run())
            with pytest.raises(Unanswered, match="database-away"):
                await screener.screen([now_item("pay_1")])
            with pytest.raises(Unanswered, match="database-away"):
                await screener.screen([now_item("pay_1")])
            await cancel_until_heard([task])

    assert not rules.adopted
    assert {} == await stack.verdicts()


async def test_when_too_much_waits_the_next_is_told_at_once(stack: FraudStack) -> None:
    async with stack.running() as worker, stack.owner.transaction():
        await stack.owner.execute("select fraud.take_pen('')")
        asked = [
            asyncio.create_task(worker.screener.screen([now_item(f"pay_{number}")]))
            for number in range(WAITING_MAX + 2)
        ]
        done, pending = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        reasons = {str(task.exception()) for task in done}
        for task in pending:
            task.cancel()
        await asyncio.wait(asked)

    assert {"busy"} == reasons


async def test_old_buckets_are_forgotten_and_new_ones_kept(stack: FraudStack) -> None:
    async with stack.running() as worker, worker.client() as client:
        await client.screen([now_item("pay_1")])
        rows = await stack.owner.fetchval("select count(*) from fraud.velocity")
        newest = await stack.owner.fetchval("select max(start_s) from fraud.velocity where grain_s = 60")

        assert 0 == await worker.store.forget(60, newest)
        assert rows // 2 == await worker.store.forget(60, newest + 60)
        assert rows - rows // 2 == await stack.owner.fetchval("select count(*) from fraud.velocity")


@pytest.mark.parametrize("table", ["decision", "rule_pack"])
@pytest.mark.parametrize(
    "change", ["delete from fraud.{}", "truncate fraud.{} cascade", "update fraud.{} set {} = {}"]
)
async def test_the_journal_is_append_only_for_its_owner_too(
    stack: FraudStack, table: str, change: str
) -> None:
    column = "verdict" if table == "decision" else "name"
    async with stack.running() as worker, worker.client() as client:
        await client.screen([now_item("pay_1")])

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await stack.owner.execute(change.format(table, column, column))


@pytest.mark.parametrize("role", ["gateway", "payments", "notifications", "operator", "pki", "evidence"])
async def test_no_other_role_reaches_the_journal(stack: FraudStack, role: str) -> None:
    connection = await stack.server.connect(role, stack.database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("select * from fraud.journal_of('pay_1')")
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["decision", "rule_pack", "velocity"])
async def test_the_service_touches_no_table(stack: FraudStack, table: str) -> None:
    connection = await stack.server.connect("fraud", stack.database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(f"select * from fraud.{table}")
    finally:
        await connection.close()


async def test_what_is_read_does_not_grow_with_the_payments(stack: FraudStack) -> None:
    """Ten thousand payments of one merchant in one bucket are one row for each grain, kind and currency."""
    stack.write_rules(pack_text(DAY, BURST, version=2))
    async with stack.running() as worker, worker.client() as client:
        at = datetime.now(UTC)
        for batch in range(10):
            await client.screen(
                [now_item(f"pay_{batch}_{n}", instrument="tok_one", accepted_at=at) for n in range(ITEMS_MAX)]
            )
        rows = await stack.owner.fetchval("select count(*) from fraud.velocity")

    assert 4 == rows
