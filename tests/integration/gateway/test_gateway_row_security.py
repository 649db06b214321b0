from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest
import pytest_asyncio

from gateway.api.operations import Operation
from gateway.api.surface import OPERATIONS
from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, post, problem
from tests.integration.gateway.told_payments import Told, foreign_ids, tell_a_story

# Functions that the gateway may call and that are above the policies: they write, in a transaction that says
# whose it is, or they look up by a key, a secret or a hash that the asker has to know. A read of a merchant's
# rows is not among them, and belongs to merchant_reader. One names merchants, and nothing of theirs: whose
# events came, for all who follow.
ABOVE_THE_POLICIES = {
    "audit.append", "audit.record_accesses", "commands.find_repeat", "commands.perform", "commands.prune",
    "evidence.find_checkpoint",
    "evidence.published_checkpoint", "evidence.record_refusals", "evidence.tiles", "payments.accept",
    "payments.find_repeat", "payments.mail_in", "payments.prune_keys", "payments.refundable",
    "payments.resting", "payments.told_after", "registry.find_enrolment", "registry.find_key_request",
    "registry.find_keys", "registry.find_token", "registry.forget_tokens", "registry.issue_token",
    "registry.key_history_of", "registry.register_key",
}  # fmt: skip
READABLE = (
    "select distinct table_schema || '.' || table_name as name from information_schema.column_privileges"
    " where grantee = $1 and privilege_type = 'SELECT'"
)
# The log's sequencer does not run beside these tests, so nothing has a place in it.
EMPTY_HERE = {"evidence.leaf"}
# Where an empty object is no body that is looked any further at.
BODIES: dict[str, bytes] = {}
# What a merchant has: everything that another one could have changed.
STATE = (
    "select (select json_agg(p order by payment_id) from payments.payment p where merchant_id = $1)::text,"
    " (select json_agg(r order by refund_id) from payments.refund r where merchant_id = $1)::text,"
    " (select json_agg(d order by dispute_id) from payments.dispute d where merchant_id = $1)::text,"
    " (select json_agg(a order by account_id) from payments.account a where merchant_id = $1)::text,"
    " (select json_agg(k order by key_id) from registry.merchant_key k where merchant_id = $1)::text,"
    " (select json_agg(w order by id) from notifications.endpoint w where merchant_id = $1)::text,"
    " (select json_agg(s order by generation) from notifications.endpoint_secret s)::text,"
    " (select json_agg(d order by id) from notifications.delivery d)::text,"
    " (select count(*) from payments.mail), (select count(*) from payments.event),"
    " (select count(*) from commands.request), (select count(*) from payments.idempotency_key)"
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Told")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stranger(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Stranger")


@pytest_asyncio.fixture(loop_scope="session")
async def reader(stack: Gateway) -> AsyncIterator[asyncpg.Connection]:
    """The role that owns the doors, with statements of its own."""
    connection = await stack.server.connect("migrator", stack.database)
    try:
        await connection.execute("set role merchant_reader")
        yield connection
    finally:
        await connection.close()


async def test_statements_without_a_where_see_nothing_until_a_merchant_is_set(
    stack: Gateway, told: Told, reader: asyncpg.Connection
) -> None:
    tables = await names(stack, READABLE, "merchant_reader")

    counts = {table: await reader.fetchval(f"select count(*) from {table}") for table in tables}

    assert {"payments.payment", "payments.event", "evidence.record"} <= set(tables)
    assert dict.fromkeys(tables, 0) == counts


async def test_statements_without_a_where_see_the_rows_of_one_merchant_alone(
    stack: Gateway, told: Told, stranger: Told, reader: asyncpg.Connection
) -> None:
    tables = await names(stack, READABLE, "merchant_reader")
    seen: dict[str, dict[str, set[str]]] = {table: {} for table in tables}

    for whose in (told, stranger):
        async with reader.transaction():
            await reader.execute(
                "select set_config('countermark.merchant_id', $1, true)", whose.merchant.merchant_id
            )
            for table in tables:
                columns = await names(
                    stack,
                    "select column_name as name from information_schema.column_privileges"
                    " where grantee = 'merchant_reader' and table_schema || '.' || table_name = $1",
                    table,
                )
                rows = await reader.fetch(f"select ({', '.join(columns)})::text as row from {table}")
                seen[table][whose.merchant.merchant_id] = {row["row"] for row in rows}

    mine, theirs = told.merchant.merchant_id, stranger.merchant.merchant_id
    assert EMPTY_HERE == {table for table, rows in seen.items() if not rows[mine]}
    assert [] == [table for table, rows in seen.items() if rows[mine] & rows[theirs]]
    of_mine = (mine, *(told.ids[name] for name in ("payment_id", "account_id", "key_id")))
    assert [] == [
        table for table, rows in seen.items() for row in rows[theirs] if any(text in row for text in of_mine)
    ]


async def test_the_setting_ends_with_the_statement_that_made_it(stack: Gateway, told: Told) -> None:
    connection = await stack.server.connect("gateway", stack.database)
    try:
        found = await connection.fetch(
            "select * from payments.find_payment($1, $2)", told.merchant.merchant_id, told.ids["payment_id"]
        )
        left = await connection.fetchval("select current_setting('countermark.merchant_id', true)")
    finally:
        await connection.close()

    assert [told.ids["payment_id"]] == [row["id"] for row in found]
    assert "" == left


async def test_every_table_that_the_reader_or_the_gateway_may_read_has_policies(stack: Gateway) -> None:
    tables = {
        table for role in ("merchant_reader", "gateway") for table in await names(stack, READABLE, role)
    }

    unguarded = await names(
        stack,
        "select c.oid::regclass::text as name from pg_class c"
        " where c.oid::regclass::text = any ($1) and c.relkind = 'r' and not c.relrowsecurity"
        " union all select c.oid::regclass::text from pg_class c"
        " where c.oid::regclass::text = any ($1) and c.relkind = 'v'"
        " and not coalesce('security_invoker=true' = any (c.reloptions), false)",
        sorted(tables),
    )

    assert [] == unguarded


async def test_the_gateway_has_no_door_above_the_policies_but_the_known_ones(stack: Gateway) -> None:
    doors = await stack.query(
        "select p.oid::regproc::text as name, pg_get_userbyid(p.proowner) as owner from pg_proc p"
        " where p.prosecdef and has_function_privilege('gateway', p.oid, 'execute')"
        " and p.pronamespace::regnamespace::text not like 'pg_%'"
    )

    assert ABOVE_THE_POLICIES == {row["name"] for row in doors if row["owner"] != "merchant_reader"}
    assert "payments.find_payment" in {row["name"] for row in doors if row["owner"] == "merchant_reader"}


async def test_the_reader_logs_in_nowhere_and_owns_no_table(stack: Gateway) -> None:
    [role] = await stack.query("select * from pg_roles where rolname = 'merchant_reader'")
    owned = await stack.query("select oid from pg_class where pg_get_userbyid(relowner) = 'merchant_reader'")
    makes = await stack.query(
        "select nspname from pg_namespace where has_schema_privilege('merchant_reader', oid, 'create')"
    )

    assert (False, False, False) == (role["rolcanlogin"], role["rolbypassrls"], role["rolsuper"])
    assert ([], []) == (owned, makes)


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.signed and "{" in each.path], ids=lambda each: each.name
)
async def test_what_is_another_merchants_is_answered_like_what_does_not_exist(
    stack: Gateway, told: Told, stranger: Told, operation: Operation
) -> None:
    before = await stack.query(STATE, told.merchant.merchant_id)

    theirs = await stack.ask(request_for(operation, told.ids), stranger.merchant)
    nobodys = await stack.ask(request_for(operation, foreign_ids()), stranger.merchant)

    assert (404, "not_found") == (theirs.status, problem(theirs)["code"])
    assert said(nobodys) == said(theirs)
    assert before == await stack.query(STATE, told.merchant.merchant_id)


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.query is not None], ids=lambda each: each.name
)
async def test_another_merchants_id_in_a_query_finds_what_a_made_up_one_finds(
    stack: Gateway, told: Told, stranger: Told, operation: Operation
) -> None:
    assert operation.query is not None
    for field in operation.query.__struct_fields__:
        if field in {"starting_after", "ending_before"}:
            kind = {
                "listEvents": "event_id", "listRefunds": "refund_id", "listDisputes": "dispute_id",
                "listWebhookEndpoints": "webhook_endpoint_id", "listDeliveries": "delivery_id",
            }  # fmt: skip
            name = kind.get(operation.name, "payment_id")
        elif field in told.ids:
            name = field
        else:
            continue

        path = path_of(operation, stranger.ids)
        theirs = await stack.ask(get(f"{path}?{field}={told.ids[name]}"), stranger.merchant)
        nobodys = await stack.ask(get(f"{path}?{field}={foreign_ids()[name]}"), stranger.merchant)
        mine = await stack.ask(get(f"{path}?{field}={stranger.ids[name]}"), stranger.merchant)

        assert said(nobodys) == said(theirs)
        assert 200 == mine.status


def request_for(operation: Operation, ids: dict[str, str]) -> Request:
    """A well-formed request; a part of a path that is not known here has to be added to `told_payments`."""
    path = path_of(operation, ids)
    if operation.method == "GET":
        return get(path)
    return replace(post(path, BODIES.get(operation.name, b"{}")), method=operation.method)


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda part: ids[part[1]], operation.path)


def said(answer: Response) -> tuple[int, dict[str, object]]:
    """Status and body, without the request's own name."""
    document = problem(answer)
    document.pop("request_id", None)
    return answer.status, document


async def names(stack: Gateway, statement: str, *arguments: object) -> list[str]:
    return sorted(row["name"] for row in await stack.query(statement, *arguments))
