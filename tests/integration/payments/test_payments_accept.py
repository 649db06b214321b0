from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from tests.integration.payments.payments_samples import Connect, Request, World, accept, key_of
from tests.integration.payments.payments_stack import until


@pytest.fixture
async def merchant(world: World) -> str:
    return await world.open_account("acc_accept", merchant="mer_one")


async def test_a_new_payment_is_stored_with_evidence_event_and_reminder(world: World, merchant: str) -> None:
    request = Request("acc_accept", merchant=merchant)

    [answer] = await accept(world.gateway, [request])

    assert (1, "new", 202, request.body, request.payment_id, request.request_id, None) == tuple(answer)
    payment = await world.payment(request.payment_id)
    assert ("accepted", 1, None) == (payment["status"], payment["sequence"], payment["account_version"])
    assert payment["due"] > payment["accepted_at"]
    assert ["accepted"] == await world.events(request.payment_id)
    evidence = await world.owner.fetchval(
        "select count(*) from evidence.record where subject = $1", request.payment_id
    )
    assert 1 == evidence


async def test_the_same_request_again_gets_the_stored_answer(world: World, merchant: str) -> None:
    first = Request("acc_accept", merchant=merchant, key="again")
    second = Request("acc_accept", merchant=merchant, key="again")
    await accept(world.gateway, [first])

    [answer] = await accept(world.gateway, [second])

    assert (1, "repeat", 202, first.body, first.payment_id, first.request_id, None) == tuple(answer)
    assert 0 == await world.owner.fetchval(
        "select count(*) from payments.payment where payment_id = $1", second.payment_id
    )


async def test_a_key_used_for_another_request_is_a_mismatch_and_shows_nothing(
    world: World, merchant: str
) -> None:
    await accept(world.gateway, [Request("acc_accept", merchant=merchant, key="taken")])

    [answer] = await accept(
        world.gateway, [Request("acc_accept", merchant=merchant, key="taken", content="other")]
    )

    assert ("mismatch", None, None) == (answer["outcome"], answer["response_status"], answer["response_body"])


async def test_a_batch_may_hold_a_key_several_times(world: World, merchant: str) -> None:
    first = Request("acc_accept", merchant=merchant, key="twice")
    again = Request("acc_accept", merchant=merchant, key="twice")
    other = Request("acc_accept", merchant=merchant, key="twice", content="other")
    alone = Request("acc_accept", merchant=merchant)

    answers = await accept(world.gateway, [first, alone, again, other])

    assert ["new", "new", "repeat", "mismatch"] == [answer["outcome"] for answer in answers]
    assert first.payment_id == answers[2]["payment_id"]


async def test_another_merchants_key_is_another_key(world: World, merchant: str) -> None:
    other = await world.open_account("acc_accept_other", merchant="mer_other")
    mine = Request("acc_accept", merchant=merchant, key="shared")
    theirs = Request("acc_accept_other", merchant=other, key="shared")

    answers = await accept(world.gateway, [mine, theirs])

    assert ["new", "new"] == [answer["outcome"] for answer in answers]
    find = "select * from payments.find_payment($1, $2)"
    [found] = await world.gateway.fetch(find, other, theirs.payment_id)
    assert theirs.payment_id == found["id"]
    assert [] == await world.gateway.fetch(find, merchant, theirs.payment_id)
    events = "select * from payments.events_of($1, $2)"
    assert [] == await world.gateway.fetch(events, merchant, theirs.payment_id)


async def test_crossing_batches_neither_deadlock_nor_accept_twice(
    world: World, merchant: str, connect: Connect
) -> None:
    gateways = [await connect("gateway") for _ in range(4)]
    keys = [f"crossing-{n}" for n in range(64)]
    chance = random.Random(7)

    async def send(gateway: asyncpg.Connection, round_: int) -> list[asyncpg.Record]:
        shuffled = chance.sample(keys, len(keys))
        return await accept(
            gateway, [Request("acc_accept", merchant=merchant, key=f"{round_}-{key}") for key in shuffled]
        )

    for round_ in range(10):
        answers = await asyncio.gather(*(send(gateway, round_) for gateway in gateways))

        outcomes = [answer["outcome"] for batch in answers for answer in batch]
        assert {"new": 64, "repeat": 192} == {o: outcomes.count(o) for o in set(outcomes)}
        assert 64 == len({answer["payment_id"] for batch in answers for answer in batch})


async def test_an_account_of_another_merchant_cannot_be_charged(world: World, merchant: str) -> None:
    await world.register("mer_stranger")
    request = Request("acc_accept", merchant="mer_stranger")

    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await accept(world.gateway, [request])


@pytest.mark.parametrize("many", [0, 129])
async def test_a_batch_has_1_to_128_items(world: World, merchant: str, many: int) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await accept(world.gateway, [Request("acc_accept", merchant=merchant) for _ in range(many)])


async def test_find_repeat_returns_what_was_stored(world: World, merchant: str) -> None:
    request = Request("acc_accept", merchant=merchant, key="found")
    await accept(world.gateway, [request])

    [row] = await world.gateway.fetch(
        "select * from payments.find_repeat($1, 'POST /v1/payments', sha256('found'::bytea))", merchant
    )

    assert (request.fingerprint, 202, request.body, request.payment_id) == tuple(row)


async def test_accept_refuses_a_snapshot_that_cannot_see_crossing_batches(
    world: World, merchant: str, connect: Connect
) -> None:
    late = await connect("gateway")
    await late.execute("begin isolation level repeatable read")
    await late.fetch("select * from payments.accounts_of($1)", merchant)
    await accept(world.gateway, [Request("acc_accept", merchant=merchant, key="unseen")])

    with pytest.raises(asyncpg.PostgresError):
        await accept(late, [Request("acc_accept", merchant=merchant, key="unseen")])

    await late.execute("rollback")


async def test_a_revoked_or_unknown_key_accepts_nothing_and_the_rest_of_the_batch_is_accepted(
    world: World, merchant: str
) -> None:
    await world.open_account("acc_revoked")
    await world.operator.execute(
        "select registry.revoke_key($1, now(), 'operator', 'lost', null)", key_of("mer_acc_revoked")
    )
    good = Request("acc_accept", merchant=merchant)
    revoked = Request("acc_revoked", merchant="mer_acc_revoked")
    unknown = Request("acc_nobody", merchant="mer_nobody")

    rows = await accept(world.gateway, [revoked, good, unknown])

    assert ["revoked", "new", "revoked"] == [row["outcome"] for row in rows]
    assert [None, 202, None] == [row["response_status"] for row in rows]
    assert [good.payment_id] == [
        row["subject"]
        for row in await world.owner.fetch("select subject from evidence.record where kind = 'payment'")
    ]


async def test_a_revoked_key_cannot_even_repeat(world: World, merchant: str) -> None:
    request = Request("acc_accept", merchant=merchant)
    await accept(world.gateway, [request])
    await world.operator.execute(
        "select registry.revoke_key($1, now(), 'operator', 'lost', null)", key_of(merchant)
    )

    (row,) = await accept(world.gateway, [request])

    assert ("revoked", None, None) == (row["outcome"], row["response_status"], row["response_body"])


async def test_a_revocation_waits_for_what_is_being_accepted_and_stands_behind_it_in_the_log(
    world: World, merchant: str
) -> None:
    request = Request("acc_accept", merchant=merchant)
    revoke = "select registry.revoke_key($1, now(), 'operator', 'lost', null)"
    transaction = world.gateway.transaction()
    await transaction.start()
    await accept(world.gateway, [request])

    revocation = asyncio.create_task(world.operator.fetchval(revoke, key_of(merchant)))
    await until(lambda: waits_for_a_lock(world), 5)
    await transaction.commit()

    assert await revocation
    assert ["payment", "key-revocation"] == [
        row["kind"]
        for row in await world.owner.fetch("select kind from evidence.record order by xid, position")
    ]


async def waits_for_a_lock(world: World) -> bool:
    return bool(await world.owner.fetchval("select exists (select from pg_locks where not granted)"))


async def test_how_a_payment_is_captured_is_part_of_what_was_accepted(world: World, merchant: str) -> None:
    manual = Request("acc_accept", merchant=merchant, capture_method="manual")
    automatic = Request("acc_accept", merchant=merchant)

    await accept(world.gateway, [manual, automatic])

    rows = [await world.payment(request.payment_id) for request in (manual, automatic)]
    assert ["manual", "automatic"] == [row["capture_method"] for row in rows]


async def test_a_payout_has_nothing_to_capture(world: World, merchant: str) -> None:
    request = Request("acc_accept", kind="payout", merchant=merchant, capture_method="manual")

    with pytest.raises(asyncpg.CheckViolationError, match="payment_manual"):
        await accept(world.gateway, [request])
