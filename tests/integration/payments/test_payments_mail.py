"""The mailbox: durable, once for each source, in order, and only what its sender may say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import asyncpg
import msgspec
import pytest

from services.payments.machine.events import BankTold, Mail, RefundAsked, ReviewDecided, VoidAsked
from tests.integration.payments.payment_world import PaymentWorld
from tests.integration.payments.payments_samples import Connect, Request

KEY = "k" * 43
AN_HOUR = timedelta(hours=1)


async def _accepted(paying: PaymentWorld, account: str = "acc_mail", many: int = 1) -> list[str]:
    merchant = await paying.open_account(account)
    return await paying.accept([Request(account, merchant=merchant) for _ in range(many)])


async def _put(
    connection: asyncpg.Connection, mails: Sequence[Mail], sources: Sequence[str] = ("gateway",),
    door: str = "mail_in",
) -> list[str]:  # fmt: skip
    rows = await connection.fetch(
        f"select * from payments.{door}($1, $2, $3, $4) order by item",
        [mail.payment_id for mail in mails],
        [msgspec.json.encode(mail).decode() for mail in mails],
        [sources[0]] * len(mails),
        list(sources[1:]) or [f"{mail.payment_id}/{n}" for n, mail in enumerate(mails)],
    )
    return [row["outcome"] for row in rows]


def _refund(payment_id: str, amount_minor: int, number: int) -> RefundAsked:
    return RefundAsked(
        payment_id=payment_id, refund_id=f"ref_eu_{number:026d}", amount_minor=amount_minor, origin="user",
        reason="changed their mind", by=KEY,
    )  # fmt: skip


async def test_mail_is_taken_once_for_each_source(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    void = VoidAsked(payment_id=identifier, by=KEY)

    first = await _put(paying.world.gateway, [void, void], ["gateway", "a", "a"])
    again = await _put(paying.world.gateway, [void, void], ["gateway", "a", "b"])

    assert (["new", "repeat"], ["repeat", "new"]) == (first, again)
    assert 2 == await paying.world.owner.fetchval("select count(*) from payments.mail")


async def test_crossing_batches_of_mail_neither_deadlock_nor_count_twice(
    paying: PaymentWorld, connect: Connect
) -> None:
    [identifier] = await _accepted(paying)
    voids = [VoidAsked(payment_id=identifier, by=KEY)] * 64
    names = [str(n) for n in range(64)]
    gateways = [await connect("gateway") for _ in range(4)]

    outcomes = await asyncio.gather(*(
        _put(gateway, voids, ["gateway", *(names if n % 2 else reversed(names))])
        for n, gateway in enumerate(gateways)
    ))  # fmt: skip

    assert 64 == sum(mine.count("new") for mine in outcomes)
    assert 192 == sum(mine.count("repeat") for mine in outcomes)


async def test_mail_about_a_payment_that_there_is_not_is_said_to_be_so(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    nobody = "pay_eu_" + "0" * 26

    outcomes = await _put(
        paying.world.gateway,
        [VoidAsked(payment_id=nobody, by=KEY), VoidAsked(payment_id=identifier, by=KEY)],
    )

    assert ["unknown_payment", "new"] == outcomes


async def test_mail_has_its_turn_behind_the_acceptance_and_in_order(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    await paying.submit()
    await paying.answer_all()
    mails = [_refund(identifier, amount, n) for n, amount in enumerate((60, 50, 40))]
    await _put(paying.world.gateway, mails)

    decisions = await paying.waiting()

    assert ["applied", "refused: refund_exceeds_available", "applied"] == [r for _, r in decisions.mail_done]
    assert [60, 40] == [order.amount_minor for order in decisions.orders]
    assert [] == (await paying.waiting()).mail_done
    payment = await paying.world.payment(identifier)
    assert (100, 100, 0) == (
        payment["captured_minor"], payment["refund_reserved_minor"], payment["refunded_minor"],
    )  # fmt: skip
    assert (100, 100, 0) == await paying.balance("acc_mail")
    assert [] == await paying.faults()
    await paying.answer_all()
    assert (0, 0, 0) == await paying.balance("acc_mail")
    assert 100 == (await paying.world.payment(identifier))["refunded_minor"]
    assert [] == await paying.faults()


@pytest.mark.parametrize("accounts_max", [1, 2, 128])
async def test_a_backlog_of_payments_does_not_hold_up_the_mail(
    paying: PaymentWorld, accounts_max: int
) -> None:
    [paid] = await _accepted(paying, "acc_mailed")
    await paying.submit()
    await paying.answer_all()
    backlog = await _accepted(paying, "acc_backlog", 100)
    await _put(paying.world.gateway, [_refund(paid, 60, 1)])

    turns = [await paying.waiting(items_max=4, accounts_max=accounts_max) for _ in range(2)]

    assert ["applied"] == [result for decisions in turns for _, result in decisions.mail_done]
    asked = [asking.payment_id for decisions in turns for asking in decisions.askings]
    assert backlog[: len(asked)] == asked
    assert 4 <= len(asked)


async def test_a_refund_that_waits_is_overdue_at_its_bank(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    await paying.submit()
    await paying.answer_all()
    await _put(paying.world.gateway, [_refund(identifier, 60, 1)])
    [order] = (await paying.waiting()).orders
    await paying.make_due()

    taken = await paying.overdue(order.bank)

    assert [("refund", order.attempt_id, 2)] == [(o.operation, o.attempt_id, o.epoch) for o in taken.orders]
    assert [] == await paying.faults()


async def test_a_withdrawal_and_its_payment_share_one_turn(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    await _put(paying.world.gateway, [VoidAsked(payment_id=identifier, by=KEY)])

    decisions = await paying.waiting()

    assert ["applied"] == [result for _, result in decisions.mail_done]
    assert ("canceled", []) == (await paying.status(identifier), decisions.askings)
    assert [] == await paying.faults()


async def test_mail_that_cannot_be_read_is_refused_once_and_stops_nobody(paying: PaymentWorld) -> None:
    one, two = await _accepted(paying, many=2)
    insert = (
        "insert into payments.mail (account_id, payment_id, body, source, source_id) "
        "values ('acc_mail', $1, $2, 'x', $3)"
    )
    other = msgspec.json.encode(VoidAsked(payment_id=two, by=KEY)).decode()
    for n, body in enumerate(["{}", '{"type":"Strange"}', '{"type":"VoidAsked","payment_id":1}', other]):
        await paying.world.owner.execute(insert, one, body, str(n))

    decisions = await paying.waiting()

    assert ["refused: mail-malformed"] * 4 == [result for _, result in decisions.mail_done]
    assert [one, two] == [asking.payment_id for asking in decisions.askings]
    assert [] == (await paying.waiting()).mail_done


async def test_two_turns_never_hand_out_one_mail(paying: PaymentWorld) -> None:
    identifiers = [i for n in range(8) for i in await _accepted(paying, f"acc_mail_{n}", 8)]
    await _put(paying.world.gateway, [VoidAsked(payment_id=i, by=KEY) for i in identifiers])

    turns = await asyncio.gather(*(paying.waiting(items_max=24) for _ in range(12)))
    turns += [await paying.waiting(), await paying.waiting()]

    done = [mail_id for decisions in turns for mail_id, _ in decisions.mail_done]
    assert (64, 64) == (len(done), len(set(done)))
    assert {"canceled"} == {await paying.status(identifier) for identifier in identifiers}


_ID = "pay_eu_" + "0" * 26


@pytest.mark.parametrize(
    "mail",
    [
        ReviewDecided(payment_id=_ID, decision="approve", by="mallory", reason=""),
        BankTold(payment_id=_ID, bank="bank-alpha", what="confirmed", bank_event_id="1", attempt_id="att_1",
                 amount_minor=1, currency="EUR"),
        msgspec.structs.replace(_refund(_ID, 1, 1), origin="customer_service"),
        msgspec.structs.replace(_refund(_ID, 1, 1), origin="bank"),
        msgspec.structs.replace(_refund(_ID, 1, 1), bank_moved=True),
    ],
)  # fmt: skip
async def test_a_gateway_cannot_speak_for_a_bank_or_an_operator(paying: PaymentWorld, mail: Mail) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="not for gateway to send"):
        await _put(paying.world.gateway, [mail])


async def test_a_body_must_be_about_the_payment_that_it_is_put_to(paying: PaymentWorld) -> None:
    one, two = await _accepted(paying, many=2)
    body = msgspec.json.encode(VoidAsked(payment_id=two, by=KEY)).decode()

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await paying.world.gateway.fetch(
            "select * from payments.mail_in($1, $2, $3, $4)", [one], [body], ["gateway"], ["1"]
        )


async def test_unread_mail_is_found_to_be_overdue(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)
    await paying.submit()
    await paying.answer_all()
    await _put(paying.world.gateway, [VoidAsked(payment_id=identifier, by=KEY)])
    before = await paying.store.overdue(AN_HOUR)
    await paying.world.owner.execute("update payments.mail set created_at = now() - interval '2 h'")

    after = await paying.store.overdue(AN_HOUR)

    assert (0, 1) == (before, after)


async def test_text_that_no_event_could_keep_is_refused_at_the_door(paying: PaymentWorld) -> None:
    [identifier] = await _accepted(paying)

    with pytest.raises(asyncpg.UntranslatableCharacterError):
        await _put(paying.world.gateway, [VoidAsked(payment_id=identifier, by="a\0b")])

    assert 0 == await paying.world.owner.fetchval("select count(*) from payments.mail")
