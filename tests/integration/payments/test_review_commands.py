"""The commands as persons run them: what they print, and how they exit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.payments.operators import ALICE, BRUNO, Operators, captured, engine_running, in_review
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.postgres_server import PostgresServer


@pytest.fixture
def operators(postgres: PostgresServer, database: str, tmp_path: Path) -> Operators:
    return Operators(postgres, database, tmp_path)


async def test_two_persons_approve_a_large_payment(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await in_review(paying, 1_000_000)
    listed = await operators.run(BRUNO, "review", "list")
    as_json = await operators.run(BRUNO, "review", "list", "--json")
    async with engine_running(paying):
        first = await operators.run(ALICE, "review", "approve", payment_id, "--reason", "known")
        again = await operators.run(ALICE, "review", "approve", payment_id, "--reason", "known")
        second = await operators.run(
            BRUNO, "review", "approve", payment_id, "--reason", "called them", "--json"
        )

    assert (0, True, True) == (listed.code, payment_id in listed.output, "1000000 EUR" in listed.output)
    assert [payment_id] == [row["subject_id"] for row in as_json.facts["reviews"]]
    assert (0, True) == (
        first.code, "needs a second approver: another person than operator-alice" in first.output,
    )  # fmt: skip
    assert (1, True) == (again.code, "another person has to" in again.faults)
    assert (0, "applied", BRUNO, False) == (
        second.code, second.facts["result"], second.facts["by"], second.facts["needs_second_approver"],
    )  # fmt: skip
    assert "submitted" == second.facts["status"]


async def test_a_rejection_says_what_the_payment_is_now(paying: PaymentWorld, operators: Operators) -> None:
    payment_id = await in_review(paying)
    async with engine_running(paying):
        ended = await operators.run(ALICE, "review", "reject", payment_id, "--reason", "stolen")
    empty = await operators.run(ALICE, "review", "list")

    assert (0, f"{payment_id}: rejected: it is failed (review_rejected) now\n") == (ended.code, ended.output)
    assert (0, "nothing waits for a decision\n") == (empty.code, empty.output)


async def test_a_refund_is_asked_for_by_one_person_and_approved_by_another(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await captured(paying)
    arguments = ("refund", payment_id, "--amount-minor", "60000", "--reason", "broken", "--json")
    async with engine_running(paying):
        asked = await operators.run(ALICE, "ask", *arguments)
        refund_id = asked.facts["subject_id"]
        own = await operators.run(ALICE, "review", "approve", refund_id, "--reason", "mine")
        other = await operators.run(BRUNO, "review", "approve", refund_id, "--reason", "seen it")
        repeated = await operators.run(ALICE, "ask", *arguments, "--request-id", refund_id)
        too_much = await operators.run(
            ALICE, "ask", "refund", payment_id, "--amount-minor", "60000", "--reason", "again"
        )

    assert (0, "in_review") == (asked.code, asked.facts["status"])
    assert (1, True) == (own.code, "operator-alice asked for" in own.faults)
    assert (0, f"{refund_id}: approved: it is submitted now\n") == (other.code, other.output)
    assert (0, refund_id) == (repeated.code, repeated.facts["subject_id"])
    assert (1, True) == (too_much.code, "refund_exceeds_available" in too_much.faults)


async def test_a_void_that_comes_too_late_is_refused_in_words(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await captured(paying)
    async with engine_running(paying):
        ended = await operators.run(ALICE, "ask", "void", payment_id, "--reason", "changed their mind")

    assert 1 == ended.code
    assert "(state_conflict)" in ended.faults


async def test_without_an_engine_the_decision_is_kept_and_the_exit_code_says_so(
    paying: PaymentWorld, operators: Operators
) -> None:
    payment_id = await in_review(paying)
    ended = await operators.run(ALICE, "review", "approve", payment_id, "--reason", "fine", "--json")
    await paying.waiting()

    assert (5, None) == (ended.code, ended.facts["result"])
    assert "submitted" == await paying.status(payment_id)


async def test_the_shared_identity_and_a_wrong_configuration_are_told_apart(
    paying: PaymentWorld, operators: Operators
) -> None:
    shared = await operators.run("operator", "review", "list")
    (operators.folder / "other.toml").write_text("name = 1\n")
    wrong = await operators.run(ALICE, "review", "--config", str(operators.folder / "other.toml"), "list")
    usage = await operators.run(ALICE, "review", "approve", "pay_x")

    assert (1, True) == (shared.code, "own certificate of a person" in shared.faults)
    assert 3 == wrong.code
    assert 2 == usage.code
