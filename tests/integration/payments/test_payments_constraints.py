"""What must never be is refused by the tables themselves, whoever writes and whatever decided it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.payments.payment_world import PaymentWorld, answer_to, payment_world
from tests.integration.payments.payments_samples import SCHEMAS, Request, World
from tests.integration.postgres_server import PostgresServer

OPEN = [
    "accepted", "screening", "in_review", "reserved", "submitted", "unknown", "authorized", "capturing",
    "voiding",
]  # fmt: skip
FINAL = ["succeeded", "failed", "canceled", "expired"]


@pytest.fixture(scope="module")
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)


@pytest.fixture(scope="module")
async def used(postgres: PostgresServer, database: str) -> AsyncIterator[World]:
    """One succeeded collect of 500 and one submitted payout of 100; the tests change nothing."""
    async with payment_world(postgres, database) as paying:
        await _use(paying)
        yield paying.world


async def _use(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_bound", funds_minor=500)
    await paying.accept([Request("acc_bound", kind="payout", merchant=merchant)])
    await paying.submit()


@pytest.mark.parametrize("status", OPEN)
async def test_an_open_payment_without_a_reminder_is_refused(used: World, status: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="payment_reminder"):
        await used.owner.execute(
            "update payments.payment set due = null, status = $1, bank = 'bank-alpha', account_version = "
            "case $1 when 'accepted' then null else 1 end, decline_code = null",
            status,
        )


@pytest.mark.parametrize("status", FINAL)
async def test_a_final_payment_with_a_reminder_is_refused(used: World, status: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="payment_reminder"):
        await used.owner.execute(
            "update payments.payment set due = now(), status = $1, bank = 'bank-alpha', account_version = 1, "
            "decline_code = case $1 when 'failed' then 'generic' end",
            status,
        )


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("captured_minor = amount_minor + 1", "payment_captured"),
        ("captured_minor = -1", "payment_captured"),
        ("refunded_minor = captured_minor + 1", "payment_headroom"),
        ("refund_reserved_minor = captured_minor, disputed_minor = 1", "payment_headroom"),
        ("refund_reserved_minor = -1", "payment_refund_reserved_minor_check"),
        ("refunded_minor = -1", "payment_refunded_minor_check"),
        ("disputed_minor = -1", "payment_disputed_minor_check"),
        ("status = 'lost', due = now()", "payment_status"),
        ("status = 'failed', due = null", "payment_decline"),
        ("status = 'submitted', due = now(), bank = null", "payment_routed"),
        ("status = 'screening', due = now(), account_version = null", "payment_version"),
        ("kind = 'payout', capture_method = 'manual'", "payment_manual"),
        ("payment_id = 'pay_eu_short'", "payment_id_form"),
        ("payment_id = 'pay_ABC_' || repeat('0', 26)", "payment_id_form"),
        ("instrument = '4111111111111111'", "payment_instrument_form"),
    ],
)
async def test_a_payment_that_cannot_be_is_refused(used: World, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await used.owner.execute(f"update payments.payment set {change} where kind = 'collect'")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("held_minor = posted_minor + 1", "account_never_overdrawn"),
        ("posted_minor = held_minor - 1", "account_never_overdrawn"),
        ("held_minor = -1", "account_held_minor_check"),
        ("unposted_minor = -1", "account_unposted_minor_check"),
        ("currency = 'EURO'", "account_currency_form"),
    ],
)
async def test_a_balance_that_cannot_be_is_refused(used: World, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await used.owner.execute(f"update payments.account set {change}")


_SECOND_ATTEMPT = (
    "insert into payments.attempt (attempt_id, payment_id, subject_id, number, bank, operation, "
    "state, epoch, amount_minor) select left(attempt_id, -1) || '2', payment_id, subject_id, 2, $1, $2, "
    "'intent', 1, amount_minor from payments.attempt where operation = 'collect'"
)


@pytest.mark.parametrize("bank", ["bank-alpha", "bank-other"])
@pytest.mark.parametrize("operation", ["collect", "authorise", "payout"])
async def test_a_second_attempt_beside_one_that_may_move_money_is_refused(
    used: World, bank: str, operation: str
) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="one_money_attempt"):
        await used.owner.execute(_SECOND_ATTEMPT, bank, operation)


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("attempt_id = attempt_id || 'x'", "attempt_deterministic"),
        ("operation = 'refund', attempt_id = left(attempt_id, -1) || 'r1'", "attempt_subject"),
        ("state = 'lost'", "attempt_state"),
        ("amount_minor = 0", "attempt_amount"),
        ("epoch = 0", "attempt_epoch_check"),
    ],
)
async def test_an_attempt_that_cannot_be_is_refused(used: World, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await used.owner.execute(f"update payments.attempt set {change}")


_REFUND = (
    "insert into payments.refund (refund_id, payment_id, origin, amount_minor, status, reason, asked_by, "
    "approved_by, due, asked_at, waits_for) select $1, payment_id, 'user', $2, $3, 'why', 'ann', $4, "
    "case when $5 then now() end, now(), $6 from payments.payment where kind = 'collect'"
)
_REF = "ref_eu_" + "0" * 26


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        ((_REF, 1, "submitted", None, False, "bank-alpha"), "refund_reminder"),
        ((_REF, 1, "succeeded", None, True, None), "refund_reminder"),
        ((_REF, 1, "submitted", None, True, None), "refund_waits"),
        ((_REF, 0, "requested", None, True, None), "refund_amount_minor_check"),
        ((_REF, 1, "requested", "ann", True, None), "refund_check"),
        (("ref_eu_1", 1, "requested", None, True, None), "refund_refund_id_check"),
    ],
)
async def test_a_refund_that_cannot_be_is_refused(
    used: World, row: tuple[object, ...], constraint: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await used.owner.execute(_REFUND, *row)


@pytest.mark.parametrize(("status", "has_reminder"), [("opened", False), ("won", True), ("lost", True)])
async def test_a_dispute_has_a_reminder_exactly_while_it_is_open(
    used: World, status: str, *, has_reminder: bool
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="dispute_reminder"):
        await used.owner.execute(
            "insert into payments.dispute select 'dsp_eu_' || repeat('0', 26), payment_id, 1, $1, 'ref', "
            "case when $2 then now() end, now() from payments.payment where kind = 'collect'",
            status, has_reminder,
        )  # fmt: skip


_TRANSFER = (
    "insert into payments.ledger_transfer (transfer_id, payment_id, kind, debit_account, credit_account, "
    "amount_minor, currency, resolves) select replace($1, 'P', p.payment_id), "
    "case when $2 then p.payment_id end, $3, $4, $5, $6, 'EUR', replace($7, 'P', p.payment_id) "
    "from payments.payment p where kind = 'payout'"
)


@pytest.mark.parametrize(
    ("row", "constraint"),
    [
        (("P/post", True, "post", "acc_bound", "bank:b:EUR", 0, None), "amount_minor_check"),
        (("P/post", True, "post", "acc_bound", "bank:b:EUR", -5, None), "amount_minor_check"),
        (("P/post", True, "post", "acc_bound", "acc_bound", 5, None), "ledger_transfer_check"),
        (("P/more", True, "post", "acc_bound", "bank:b:EUR", 5, None), "transfer_deterministic"),
        (("P/post", True, "void", "acc_bound", "bank:b:EUR", 5, "P/hold"), "transfer_deterministic"),
        (("P/void", True, "void", "acc_bound", "bank:b:EUR", 5, None), "transfer_resolves"),
        (("pay_eu_1/post", True, "post", "acc_bound", "bank:b:EUR", 5, None), "transfer_deterministic"),
        (("P/post", False, "post", "acc_bound", "bank:b:EUR", 5, None), "transfer_deterministic"),
        (("acc_x/window/1", False, "post", "clearing:EUR", "acc_bound", 5, None), "transfer_deterministic"),
        (("acc_bound/window/1", False, "post", "bank:b:EUR", "acc_bound", 5, None), "transfer_deterministic"),
        (
            ("acc_bound/window/x", False, "post", "clearing:EUR", "acc_bound", 5, None),
            "transfer_deterministic",
        ),
    ],
)
async def test_a_transfer_that_cannot_be_is_refused(
    used: World, row: tuple[object, ...], constraint: str
) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await used.owner.execute(_TRANSFER, *row)


async def test_a_hold_is_made_once(used: World) -> None:
    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_transfer_pkey"):
        await used.owner.execute(_TRANSFER, "P/hold", True, "hold", "acc_bound", "bank:b:EUR", 5, None)


async def test_a_hold_is_resolved_once(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_resolve", funds_minor=500)
    await paying.accept([Request("acc_resolve", kind="payout", merchant=merchant)])
    [order] = await paying.submit()
    await paying.about([answer_to(order)])

    with pytest.raises(asyncpg.UniqueViolationError, match="resolves"):
        await paying.world.owner.execute(
            _TRANSFER, "P/void", True, "void", "acc_resolve", "bank:b:EUR", 100, "P/hold"
        )


async def test_an_event_of_an_unknown_type_is_refused(used: World) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="event_type"):
        await used.owner.execute(
            "insert into payments.event (payment_id, sequence, type, at) "
            "select payment_id, 99, 'payment.lost', now() from payments.payment"
        )


async def test_a_refunds_event_names_its_refund(used: World) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="event_subject"):
        await used.owner.execute(
            "insert into payments.event (payment_id, sequence, type, at, subject_id) "
            "select payment_id, 99, 'refund.requested', now(), payment_id from payments.payment"
        )
