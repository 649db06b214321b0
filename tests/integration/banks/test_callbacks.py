"""What banks tell: kept once, believed only where it fits, and applied by the real decisions."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest

from services.payments.machine.events import BankTold, Mail, RefundAsked
from tests.integration.banks.bank_parts import Parts, until
from tests.integration.banks.callback_desk import Desk, told
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.postgres_server import PostgresServer


@pytest.fixture
def desk(parts: Parts, paying: PaymentWorld) -> Desk:
    return Desk(parts, paying)


async def test_a_callback_confirms_its_payment(desk: Desk) -> None:
    order = await desk.submitted()

    answer = await desk.parts.tell("bank-alpha", told(order))
    await desk.settle_mail()

    assert (202, b'{"outcome": "taken"}') == (answer.status, answer.body)
    assert "succeeded" == await desk.paying.status(order.payment_id)
    assert [("bank-alpha", "taken", None)] == await desk.callbacks()
    assert [] == await desk.paying.faults()


async def test_what_is_mailed_is_what_payments_reads(desk: Desk) -> None:
    order = await desk.submitted()
    body = told(
        order, what="dispute_lost", dispute_reference="dispute_1", decline_code="fraud", amount_minor=40
    )

    await desk.parts.tell("bank-alpha", body)

    [mail] = await desk.mails()
    expected = BankTold(
        payment_id=order.payment_id, bank="bank-alpha", what="dispute_lost", bank_event_id="ev_1",
        attempt_id=order.attempt_id, amount_minor=40, currency="EUR", bank_reference="bk_1",
        decline_code="fraud", dispute_reference="dispute_1",
    )  # fmt: skip
    assert expected == msgspec.json.decode(mail, type=Mail)


async def test_a_hundred_replays_at_once_are_one_row_and_one_mail(desk: Desk) -> None:
    order = await desk.submitted()

    answers = await asyncio.gather(*(desk.parts.tell("bank-alpha", told(order)) for _ in range(100)))
    await desk.settle_mail()

    assert {202} == {answer.status for answer in answers}
    assert 1 == sum(answer.body == b'{"outcome": "taken"}' for answer in answers)
    assert [("bank-alpha", "taken", None)] == await desk.callbacks()
    assert 1 == len(await desk.mails())
    assert "succeeded" == await desk.paying.status(order.payment_id)
    assert 1 == await desk.paying.world.owner.fetchval("select count(*) from payments.credit")


@pytest.mark.parametrize("reason", ["other_banks_attempt", "unknown_attempt", "other_payment", "unreadable"])
async def test_what_cannot_be_believed_is_kept_and_moves_nothing(desk: Desk, reason: str) -> None:
    order, other = await desk.submitted(), await desk.submitted("tok_other")
    bank, body = {
        "other_banks_attempt": ("bank-bravo", told(order)),
        "unknown_attempt": ("bank-alpha", told(order, attempt_id="att_eu_0_1")),
        "other_payment": ("bank-alpha", told(order, end_to_end_id=other.payment_id)),
        "unreadable": ("bank-alpha", told(order, surprise=1)),
    }[reason]

    answers = [await desk.parts.tell(bank, body) for _ in range(2)]

    assert [202, 202] == [answer.status for answer in answers]
    assert [(bank, "quarantined", reason)] == await desk.callbacks()
    assert body == await desk.paying.world.owner.fetchval("select body from banks.callback")
    assert [] == await desk.mails()
    assert "submitted" == await desk.paying.status(order.payment_id)


@pytest.mark.parametrize(
    "change", [{"amount_minor": 101}, {"amount_minor": 99}, {"currency": "USD"}, {"amount_minor": 1}]
)
async def test_another_amount_is_an_operators_to_see_and_moves_nothing(
    desk: Desk, change: dict[str, Any]
) -> None:
    order = await desk.submitted()

    await desk.parts.tell("bank-alpha", told(order, **change))
    await desk.settle_mail()

    assert [("bank-alpha", "quarantined", "mismatch")] == await desk.callbacks()
    assert "submitted" == await desk.paying.status(order.payment_id)
    assert 1 == await desk.paying.world.owner.fetchval("select count(*) from payments.contradiction")
    assert [] == await desk.paying.ledger()


async def test_an_event_id_with_other_bytes_is_nobodys_word(desk: Desk) -> None:
    order = await desk.submitted()

    await desk.parts.tell("bank-alpha", told(order))
    await desk.parts.tell("bank-alpha", told(order, what="declined"))
    await desk.parts.tell("bank-alpha", told(order, what="declined"))

    assert [
        ("bank-alpha", "taken", None), ("bank-alpha", "quarantined", "event_reused")
    ] == await desk.callbacks()  # fmt: skip
    assert 1 == len(await desk.mails())


async def test_two_banks_may_use_the_same_event_id(desk: Desk) -> None:
    order = await desk.submitted()

    await asyncio.gather(*(desk.parts.tell(bank, told(order)) for bank in ("bank-alpha", "bank-bravo")))

    assert [
        ("bank-alpha", "taken", None), ("bank-bravo", "quarantined", "other_banks_attempt")
    ] == sorted(await desk.callbacks())  # fmt: skip


@pytest.mark.parametrize("caller", ["payments", "supervisor"])
async def test_who_is_no_bank_tells_nothing(desk: Desk, caller: str) -> None:
    assert 403 == (await desk.parts.tell(caller, b"{}")).status
    assert [] == await desk.callbacks()


async def test_more_than_a_callback_is_not_kept_and_not_taken(desk: Desk) -> None:
    assert 413 == (await desk.parts.tell("bank-alpha", b" " * 10_000)).status
    assert [] == await desk.callbacks()


async def test_a_bank_may_say_nothing_but_callbacks_to_the_mailbox(
    desk: Desk, postgres: PostgresServer, database: str
) -> None:
    order = await desk.submitted()
    connection = await postgres.connect("banks", database)
    refund = RefundAsked(
        payment_id=order.payment_id,
        refund_id=f"ref_eu_{0:026d}",
        amount_minor=1,
        origin="bank",
        reason="x",
        by="x",
    )
    forged = BankTold(
        payment_id=order.payment_id, bank="bank-bravo", what="confirmed", bank_event_id="e",
        attempt_id=order.attempt_id, amount_minor=order.amount_minor, currency="EUR",
    )  # fmt: skip
    try:
        for mail in (refund, forged):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(
                    "select * from banks.take_callback($1, $2, $3, $4)",
                    ["bank-alpha"], ["ev_1"], [b"{}"], [msgspec.json.encode(mail).decode()],
                )  # fmt: skip
        for query in ("select * from banks.callback", "select payments.find_attempts('{a}')"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(query)
    finally:
        await connection.close()
    assert [] == await desk.callbacks()


async def test_what_was_kept_cannot_be_changed_even_by_its_owner(desk: Desk) -> None:
    await desk.parts.tell("bank-alpha", b"{}")

    for change in ("update {} set reason = reason", "delete from {}", "truncate {}"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await desk.paying.world.owner.execute(change.format("banks.callback"))


@pytest.mark.parametrize(
    ("instrument", "outcome", "status"),
    [
        ("tok_pending_then_confirmed", "pending", "succeeded"),
        ("tok_pending_then_declined", "pending", "failed"),
        ("tok_duplicate_callbacks", "confirmed", "succeeded"),
        ("tok_callback_first", "confirmed", "succeeded"),
    ],
)
async def test_a_payment_ends_by_what_its_bank_tells(
    desk: Desk, instrument: str, outcome: str, status: str
) -> None:
    order = await desk.submitted(instrument)

    assert outcome == await desk.carry(order)

    await until(desk.has_settled_mail)
    assert status == await desk.paying.status(order.payment_id)
    assert [("bank-alpha", "taken", None)] == await desk.callbacks()
    assert (status == "succeeded") == bool(desk.parts.ledger("bank-alpha", order.attempt_id))
    assert [] == await desk.paying.faults()


async def test_a_bank_that_tells_before_it_answers_finds_its_callback_kept(desk: Desk) -> None:
    order = await desk.submitted("tok_callback_first")

    await desk.carry(order)

    assert [("bank-alpha", "taken", None)] == await desk.callbacks()


@pytest.mark.parametrize(
    ("instrument", "stories"),
    [
        ("tok_chargeback_won", ["dispute.opened", "dispute.won"]),
        ("tok_chargeback_lost", ["dispute.opened", "dispute.lost"]),
        ("tok_returned", ["refund.succeeded"]),
        ("tok_recalled", ["refund.requested"]),
    ],
)
async def test_what_happens_after_the_money_came_reaches_the_payments_story(
    desk: Desk, instrument: str, stories: list[str]
) -> None:
    order = await desk.submitted(instrument)
    await desk.carry(order)

    async def is_told() -> bool:
        await desk.settle_mail()
        types = [kind for kind, _ in await desk.paying.story(order.payment_id)]
        return all(story in types for story in stories)

    await until(is_told)
    assert [] == await desk.paying.faults()


async def test_a_wrong_amount_in_a_callback_leaves_the_payment_to_a_question(desk: Desk) -> None:
    order = await desk.submitted("tok_wrong_amount_callback")
    await desk.carry(order)

    async def is_told() -> bool:
        await desk.settle_mail()
        return await desk.callbacks() == [("bank-alpha", "quarantined", "mismatch")]

    await until(is_told)
    assert await desk.paying.status(order.payment_id) in ("submitted", "unknown")
    assert "confirmed" == (await desk.parts.client.inquire(order.bank, order.attempt_id)).outcome
