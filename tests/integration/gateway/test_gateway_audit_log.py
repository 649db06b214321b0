from __future__ import annotations

import asyncio
import json
from dataclasses import fields
from typing import Any

import asyncpg
import pytest

from gateway.audit.entry import GENESIS, Entry, entry_hash
from gateway.audit.tally import ROWS_PER_KEY_PER_WINDOW_MAX
from gateway.store.audit import AuditStore
from services.node.postgres import open_pool
from signing import SigningKey
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import payment_request, problem


async def refuse_once(stack: Gateway) -> str:
    merchant = await stack.merchant()
    answer = await stack.send(stack.sign(payment_request(amount=0), merchant.key))
    assert answer.status == 422
    return str(problem(answer)["request_id"])


async def rows(stack: Gateway) -> list[asyncpg.Record]:
    return await stack.query("select * from audit.entry order by position")


def entry_of(row: asyncpg.Record) -> Entry:
    values: dict[str, Any] = {each.name: row[each.name] for each in fields(Entry)}
    return Entry(**values)


async def test_a_refusal_is_in_the_log_under_the_id_that_the_merchant_was_given(stack: Gateway) -> None:
    merchant = await stack.merchant()

    request_id = await refuse_once(stack)

    last = (await rows(stack))[-1]
    assert ("refusal", "validation_failed", merchant.key.key_id, merchant.merchant_id, request_id) == tuple(
        last[name] for name in ("kind", "code", "key_id", "merchant_id", "request_id")
    )
    assert ("POST", "/v1/payments", 32) == (last["method"], last["route"], len(last["base_digest"]))


async def test_the_chain_can_be_followed_outside_the_database(stack: Gateway) -> None:
    await refuse_once(stack)

    previous = GENESIS
    for row in await rows(stack):
        assert previous == row["previous"]
        previous = entry_hash(entry_of(row), position=row["position"], previous=previous)
        assert previous == row["hash"]


async def test_the_operator_verifies_the_chain(stack: Gateway) -> None:
    await refuse_once(stack)

    done = stack.operate("verify-audit")

    assert (0, f"the chain holds: {len(await rows(stack))} rows\n") == (done.returncode, done.stdout)


async def test_the_chain_is_verified_in_slices_as_it_is_at_once(stack: Gateway) -> None:
    for _ in range(3):
        await refuse_once(stack)
    connection = await stack.server.connect("operator", stack.database)
    reached, good_hash, at_end = 0, None, False
    while not at_end:
        part = await connection.fetchrow("select * from audit.verify_slice($1, $2, 2)", reached, good_hash)
        assert part is not None
        assert part["broken"] is None
        reached, good_hash = part["reached"], part["reached_hash"]
        at_end = part["at_end"]
    wrong = await connection.fetchrow("select * from audit.verify_slice(1, sha256('x'), 2)")
    await connection.close()

    assert len(await rows(stack)) == reached
    assert wrong is not None
    assert 2 == wrong["broken"]


@pytest.mark.parametrize(
    ("tampering", "breaks_at"),
    [
        ("update audit.entry set code = 'x' where position = 2", 2),
        ("update audit.entry set at = at + interval '1 microsecond' where position = 2", 2),
        ("update audit.entry set hash = sha256('x') where position = 2", 2),
        ("delete from audit.entry where position = 2", 2),
        ("delete from audit.entry where position = (select max(position) from audit.entry)", -1),
        ("delete from audit.head", 0),
    ],
)
async def test_whoever_bypasses_the_guards_breaks_the_chain_there(
    stack: Gateway, tampering: str, breaks_at: int
) -> None:
    for _ in range(3):
        await refuse_once(stack)
    count = len(await rows(stack))
    connection = await stack.server.connect("migrator", stack.database)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("alter table audit.entry disable trigger user")
    await connection.execute(tampering)

    broken = await connection.fetchval("select audit.verify_chain()")
    sliced = await connection.fetchrow("select * from audit.verify_slice(0, null, 1000000)")

    await transaction.rollback()
    await connection.close()
    assert {-1: count, 0: count + 1}.get(breaks_at, breaks_at) == broken
    assert sliced is not None
    assert (broken, None) == (sliced["broken"], sliced["at_end"] or None)


@pytest.mark.parametrize(
    "statement", ["update audit.entry set code = 'x'", "delete from audit.entry", "truncate audit.entry"]
)
async def test_the_log_cannot_be_changed_even_by_its_owner(stack: Gateway, statement: str) -> None:
    await refuse_once(stack)

    with pytest.raises(asyncpg.PostgresError) as refused:
        await stack.query(statement)

    assert "23001" == refused.value.sqlstate


@pytest.mark.parametrize(
    "statement",
    [
        "select * from audit.entry",
        "insert into audit.head default values",
        "select audit.verify_chain()",
        "select * from registry.merchant_key",
        "select registry.create_merchant('m', 'n', 'eu', current_date, now())",
        "select registry.revoke_key('k', now(), 'x', 'y', null)",
        "select payments.open_account('a', 'm', 'EUR')",
        "select * from payments.payment",
    ],
)
async def test_the_gateways_role_can_do_nothing_but_its_calls(stack: Gateway, statement: str) -> None:
    connection = await stack.server.connect("gateway", stack.database)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)

    await connection.close()


async def test_appends_of_many_workers_make_one_chain(stack: Gateway) -> None:
    entry = entry_of((await rows(stack))[0])
    async with open_pool(stack.config, stack.config.postgres, connections_max=4) as pool:
        store = AuditStore(pool)
        await asyncio.gather(*(store.append([entry] * 3) for _ in range(12)))

    broken = await stack.query("select audit.verify_chain() as broken")
    assert broken[0]["broken"] is None


async def test_a_flood_without_a_known_key_writes_nothing_but_its_counts(stack: Gateway) -> None:
    stranger = SigningKey.generate("ed25519")
    before = await stack.footprint()

    unsigned = [await stack.send(payment_request()) for _ in range(5)]
    unknown = [await stack.send(stack.sign(payment_request(), stranger)) for _ in range(5)]

    assert ["signature_missing"] * 5 == [problem(answer)["code"] for answer in unsigned]
    assert ["key_unknown"] * 5 == [problem(answer)["code"] for answer in unknown]
    assert before == await stack.footprint()


async def test_one_keys_refusals_are_rows_up_to_the_bound(stack: Gateway) -> None:
    merchant = await stack.enrol("Loud", "EUR")
    requests = [
        stack.sign(payment_request(amount=0), merchant.key) for _ in range(ROWS_PER_KEY_PER_WINDOW_MAX + 5)
    ]

    answers = await asyncio.gather(*(stack.send(request) for request in requests))

    written = [row for row in await rows(stack) if row["key_id"] == merchant.key.key_id]
    assert {422} == {answer.status for answer in answers}
    assert ROWS_PER_KEY_PER_WINDOW_MAX == len(written)


async def test_what_was_only_counted_becomes_one_row_at_the_stop(stack: Gateway) -> None:
    for _ in range(3):
        await stack.send(payment_request())
    before = len(await rows(stack))

    codes = await asyncio.to_thread(stack.stop)

    after = await rows(stack)
    last = after[-1]
    stack.start()
    await stack.await_ready()
    assert [0] == codes
    assert before + 1 == len(after)
    assert "summary" == last["kind"]
    assert json.loads(last["detail"])["without_known_key"]["signature_missing"] >= 3
