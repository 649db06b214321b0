"""Persons decide: who they are is in their certificate, nobody counts twice, and everything is kept."""

from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from tests.integration.payments.operators import ACCOUNT, ALICE, BRUNO, Operators, captured, in_review
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Request
from tests.integration.postgres_server import PostgresServer

SECOND_APPROVER_MINOR = 1_000_000
REFUND_REVIEW_MINOR = 50_000


@pytest.fixture
def operators(postgres: PostgresServer, database: str, tmp_path: Path) -> Operators:
    return Operators(postgres, database, tmp_path)


async def test_an_approved_payment_goes_on_and_the_person_is_kept(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await in_review(paying)
    mail_id = await operators.decide(ALICE, payment_id, "approve", "known customer")
    waiting = await operators.result(ALICE, mail_id)
    await paying.waiting()

    assert waiting is not None
    assert (None, "in_review") == (waiting["result"], waiting["status"])
    assert "submitted" == await paying.status(payment_id)
    story = dict(await paying.story(payment_id))
    assert {"by": ALICE, "reason": "known customer"} == story["payment.review_approved"]
    row = await paying.world.owner.fetchrow("select * from payments.operator_action")
    assert row is not None
    assert (ALICE, "approve", payment_id, payment_id, "known customer", mail_id) == (
        row["person"], row["action"], row["payment_id"], row["subject_id"], row["reason"], row["mail_id"],
    )  # fmt: skip
    assert [] == await paying.faults()


async def test_a_rejected_payment_fails_and_no_bank_is_called(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await in_review(paying)
    await operators.decide(BRUNO, payment_id, "reject")
    await paying.waiting()
    row = await paying.world.payment(payment_id)

    assert ("failed", "review_rejected") == (row["status"], row["decline_code"])
    assert [] == paying.orders


async def test_a_large_payment_needs_two_persons(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await in_review(paying, SECOND_APPROVER_MINOR)
    await operators.decide(ALICE, payment_id, "approve")
    with pytest.raises(asyncpg.UniqueViolationError, match=r"operator-alice has decided .* before"):
        await operators.decide(ALICE, payment_id, "approve")
    await paying.waiting()
    after_one = await paying.status(payment_id)
    with pytest.raises(asyncpg.UniqueViolationError, match="another person has to"):
        await operators.decide(ALICE, payment_id, "reject")
    async with operators.connected(BRUNO) as connection:
        [listed] = await connection.fetch("select * from payments.reviews_open()")
    await operators.decide(BRUNO, payment_id, "approve")
    await paying.waiting()

    assert "in_review" == after_one
    assert ([ALICE], ["large"]) == (listed["approvals"], listed["reasons"])
    assert "submitted" == await paying.status(payment_id)


async def test_the_list_shows_the_most_urgent_first_with_everything_to_decide_by(
    paying: PaymentWorld, operators: Operators
) -> None:
    first, second = await in_review(paying), await in_review(paying, 7_000)
    await operators.decide(ALICE, second, "approve")
    async with operators.connected(BRUNO) as connection:
        rows = await connection.fetch("select * from payments.reviews_open()")

    assert [(first, 5_000, []), (second, 7_000, [ALICE])] == [
        (row["subject_id"], row["amount_minor"], row["waiting"]) for row in rows
    ]
    assert {("collect", "EUR", ("large",))} == {
        (row["kind"], row["currency"], tuple(row["reasons"])) for row in rows
    }


async def test_a_refund_of_customer_service_is_approved_by_another_person(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await captured(paying)
    refund_id = "ref_eu_" + "0" * 26
    async with operators.connected(ALICE) as connection:
        statement = "select payments.ask('refund', $1, $2, $3, 'broken')"
        await connection.execute(statement, payment_id, refund_id, REFUND_REVIEW_MINOR)
        await paying.waiting()
        [listed] = await connection.fetch("select * from payments.reviews_open()")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="operator-alice asked for"):
        await operators.decide(ALICE, refund_id, "approve")
    await operators.decide(BRUNO, refund_id, "approve")
    await paying.waiting()
    await paying.answer_all()
    row = await paying.world.owner.fetchrow("select * from payments.refund")

    assert (refund_id, "refund", ALICE, ["broken"]) == (
        listed["subject_id"], listed["kind"], listed["asked_by"], listed["reasons"],
    )  # fmt: skip
    assert row is not None
    assert ("succeeded", ALICE, BRUNO, "customer_service") == (
        row["status"], row["asked_by"], row["approved_by"], row["origin"],
    )  # fmt: skip
    assert [] == await paying.faults()


async def test_a_request_under_the_same_id_is_made_once(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await captured(paying)
    async with operators.connected(ALICE) as connection:
        statement = "select payments.ask('refund', $1, $2, 100, 'broken')"
        first = await connection.fetchval(statement, payment_id, "ref_eu_" + "0" * 26)
        again = await connection.fetchval(statement, payment_id, "ref_eu_" + "0" * 26)
        with pytest.raises(asyncpg.UniqueViolationError, match="for something else"):
            await connection.execute(statement.replace("100", "101"), payment_id, "ref_eu_" + "0" * 26)
        with pytest.raises(asyncpg.UniqueViolationError, match="for something else"):
            await connection.execute(statement.replace("broken", "lost"), payment_id, "ref_eu_" + "0" * 26)

    assert first == again
    assert 1 == await paying.world.owner.fetchval("select count(*) from payments.operator_action")


async def test_a_refund_is_of_one_payment(paying: PaymentWorld, operators: Operators) -> None:
    payment_id, refund_id = await captured(paying), "ref_eu_" + "0" * 26
    merchant = str((await paying.world.payment(payment_id))["merchant_id"])
    [other] = await paying.accept([Request(ACCOUNT, merchant=merchant)])
    statement = "select payments.ask('refund', $1, $2, 100, 'broken')"
    async with operators.connected(ALICE) as connection:
        await connection.execute(statement, payment_id, refund_id)
    await paying.waiting()

    async with operators.connected(BRUNO) as connection:
        with pytest.raises(asyncpg.UniqueViolationError, match="a refund of another payment"):
            await connection.execute(statement, other, refund_id)


@pytest.mark.parametrize(
    ("subject", "decision", "reason", "fault"),
    [
        ("pay_eu_" + "0" * 26, "approve", "fine", asyncpg.NoDataFoundError),
        ("", "approve", "fine", asyncpg.NoDataFoundError),
        (None, "maybe", "fine", asyncpg.InvalidParameterValueError),
        (None, "approve", "", asyncpg.InvalidParameterValueError),
        (None, "approve", " ", asyncpg.InvalidParameterValueError),
        (None, "approve", "two\nlines", asyncpg.InvalidParameterValueError),
        (None, "approve", "x" * 201, asyncpg.InvalidParameterValueError),
    ],
)
async def test_what_is_no_decision_is_refused_and_leaves_nothing(
    paying: PaymentWorld,
    operators: Operators,
    subject: str | None,
    decision: str,
    reason: str,
    fault: type[Exception],
) -> None:
    payment_id = await in_review(paying)
    with pytest.raises(fault):
        await operators.decide(ALICE, payment_id if subject is None else subject, decision, reason)

    assert (0, 0) == (
        await paying.world.owner.fetchval("select count(*) from payments.operator_action"),
        await paying.world.owner.fetchval("select count(*) from payments.mail"),
    )


async def test_what_is_not_in_review_cannot_be_decided(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await captured(paying)

    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="it is succeeded"):
        await operators.decide(ALICE, payment_id, "approve")


async def test_two_persons_at_once_are_two_persons(paying: PaymentWorld, operators: Operators) -> None:
    """Both are kept; the engine decides in the order of their mail."""
    payment_id = await in_review(paying)
    await operators.decide(ALICE, payment_id, "reject")
    mail_id = await operators.decide(BRUNO, payment_id, "approve")
    await paying.waiting()
    found = await operators.result(BRUNO, mail_id)

    assert found is not None
    assert ("refused: not_in_review", "failed") == (found["result"], found["status"])


async def test_a_person_sees_the_results_of_the_own_actions_only(
    paying: PaymentWorld, operators: Operators
) -> None:
    mail_id = await operators.decide(ALICE, await in_review(paying), "approve")

    assert await operators.result(BRUNO, mail_id) is None
