from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.integration.payments.payment_world import PaymentWorld, payment_world
from tests.integration.payments.payments_samples import SCHEMAS, Request, World
from tests.integration.postgres_server import PostgresServer

TABLES = [
    "payments.account", "payments.payment", "payments.idempotency_key", "payments.attempt", "payments.event",
    "payments.ledger_transfer", "payments.refund", "payments.dispute", "payments.credit", "payments.mail",
    "payments.screening", "payments.contradiction", "payments.operator_action",
    "payments.set_aside",
    "payments.payment_row", "payments.attempt_row",
    "payments.feed", "payments.payment_shown", "payments.attempt_shown", "payments.refund_shown",
    "payments.dispute_shown", "payments.refund_row", "payments.dispute_row", "payments.ledger_entry",
    "evidence.record", "evidence.leaf", "evidence.tile", "evidence.head", "evidence.checkpoint",
    "evidence.cosignature",
    "evidence.ledger_head", "registry.merchant", "registry.merchant_key",
]  # fmt: skip
SCHEMA_NAMES = "('payments', 'evidence', 'registry', 'audit', 'notifications', 'banks')"


@pytest.fixture(scope="module")
async def database(postgres: PostgresServer) -> str:
    return await postgres.create_database(f"test_{uuid.uuid4().hex}", SCHEMAS)


@pytest.fixture(scope="module")
async def used(postgres: PostgresServer, database: str) -> AsyncIterator[World]:
    """One database for this module, which changes nothing in it; every table that only grows has a row."""
    async with payment_world(postgres, database) as paying:
        await _use(paying)
        yield paying.world


async def _use(paying: PaymentWorld) -> None:
    merchant = await paying.open_account("acc_rights", funds_minor=500)
    await paying.accept([Request("acc_rights", kind="payout", merchant=merchant)])
    await paying.submit()
    await paying.world.owner.execute(
        "insert into payments.contradiction (subject, problem) values ('att_x', 'said twice')"
    )


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("role", ["gateway", "payments", "operator", "notifications", "evidence", "pki"])
async def test_no_service_reads_a_table(
    used: World, postgres: PostgresServer, database: str, role: str, table: str
) -> None:
    connection = await postgres.connect(role, database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from {table}")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("role", "call"),
    [
        ("gateway", "payments.take_waiting(1, 1)"),
        ("gateway", "payments.take_overdue(null, 1)"),
        ("gateway", "payments.take_about(array['pay_x'])"),
        ("gateway", "payments.post_windows('1 s', 1, 1)"),
        ("gateway", "payments.put_mail(array['pay_x'], array['{}']::json[], array['x'], array['1'])"),
        ("payments", "payments.put_mail(array['pay_x'], array['{}']::json[], array['x'], array['1'])"),
        ("payments", "payments.mail_in(array['pay_x'], array['{}']::json[], array['x'], array['1'])"),
        ("payments", "payments.read_rows(array['pay_x'], array['acc_x'])"),
        ("payments", "payments.flush_credits(array['acc_x'])"),
        ("operator", "payments.take_waiting(1, 1)"),
        ("gateway", "payments.refund_owners(array['ref_x'])"),
        ("gateway", "payments.asides(1)"),
        ("gateway", "payments.undriven(array['x'])"),
        ("gateway", "payments.put_aside('pay_x', 'x', '1 s', '1 s')"),
        ("operator", "payments.put_aside('pay_x', 'x', '1 s', '1 s')"),
        ("operator", "payments.refund_owners(array['ref_x'])"),
        ("notifications", "payments.events_of('mer_one', 'pay_x')"),
        ("gateway", "payments.outbox_after('0'::xid8, 0, 1)"),
        ("gateway", "payments.open_account('acc_mine', 'mer_mine', 'EUR')"),
        ("payments", "payments.find_repeat('mer_one', 'POST /v1/payments', ''::bytea)"),
        ("payments", "payments.open_account('acc_mine', 'mer_mine', 'EUR')"),
        ("operator", f"payments.write_turn({'null, ' * 12}null)"),
        ("gateway", f"payments.write_turn({'null, ' * 12}null)"),
        ("notifications", "payments.outbox_after('0'::xid8, 0, 1)"),
        ("notifications", "payments.accounts_of('mer_one')"),
        ("evidence", "payments.accounts_of('mer_one')"),
        ("evidence", "evidence.find_record('mer_one', 'payment', 'pay_x')"),
        ("evidence", "registry.find_keys(array['x'])"),
        ("gateway", "evidence.pending('0'::xid8, 0, 1)"),
        ("gateway", "evidence.take_pen()"),
        ("gateway", "evidence.cosign(1, 'w', ''::bytea)"),
        ("operator", "evidence.take_pen()"),
        ("pki", "evidence.take_pen()"),
        ("pki", "registry.find_keys(array['x'])"),
        ("gateway", "registry.hold_keys(array['x'])"),
    ],
)
async def test_a_role_calls_its_own_functions_only(
    used: World, postgres: PostgresServer, database: str, role: str, call: str
) -> None:
    connection = await postgres.connect(role, database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(f"select * from {call}")
    finally:
        await connection.close()


async def test_public_may_execute_nothing(used: World) -> None:
    open_functions = await used.owner.fetch(
        "select p.proname from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a "
        f"where p.pronamespace::regnamespace::text in {SCHEMA_NAMES} and a.grantee = 0"
        " and p.prorettype <> 'trigger'::regtype"
    )

    assert [] == open_functions


async def test_every_definers_function_pins_its_search_path(used: World) -> None:
    functions = await used.owner.fetch(
        "select proname, proconfig from pg_proc"
        f" where pronamespace::regnamespace::text in {SCHEMA_NAMES} and prosecdef"
    )

    assert len(functions) > 10
    for function in functions:
        assert "search_path=pg_catalog, pg_temp" in function["proconfig"], function["proname"]


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("payments.event", "payment_id"),
        ("payments.ledger_transfer", "payment_id"),
        ("payments.feed", "payment_id"),
        ("payments.screening", "payment_id"),
        ("payments.contradiction", "subject"),
        ("evidence.record", "subject"),
    ],
)
@pytest.mark.parametrize("change", ["update {} set {} = {}", "delete from {}", "truncate {}"])
async def test_what_only_grows_cannot_be_changed_even_by_its_owner(
    used: World, table: str, column: str, change: str
) -> None:
    assert await used.owner.fetchval(f"select count(*) from {table}") > 0

    with pytest.raises((asyncpg.RestrictViolationError, asyncpg.FeatureNotSupportedError)):
        await used.owner.execute(change.format(table, column, column))
