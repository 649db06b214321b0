from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import asyncpg
import pytest

from gateway.audit.access import Access, access_digest
from gateway.operator_accesses import Verified
from services.evidence.appending import entry_of
from signing import Request, SigningKey
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, header, payment_request
from tests.integration.gateway.second_worker import second_worker
from tests.integration.gateway.token_requests import open_dashboard

FLOOD = 100
FLOOD_BATCHES_MAX = 4
BEFORE_KILL = 5
WRITTEN_S_MAX = 10.0  # A batch follows within a tenth of a second, on a busy host too within this.


def forge(request: Request) -> Request:
    """The same request with a signature that nobody made."""
    nobodys = f"countermark=:{'A' * 86}==:"
    fields = ((name, nobodys if name == "Signature" else value) for name, value in request.headers)
    return replace(request, headers=tuple(fields))


async def rows_of(stack: Gateway, merchant: Merchant, count: int) -> list[asyncpg.Record]:
    """A merchant's rows in the order of their requests, once there are so many."""
    deadline = time.monotonic() + WRITTEN_S_MAX
    statement = "select * from audit.access where merchant_id = $1 order by at, request_id"
    while len(rows := await stack.query(statement, merchant.merchant_id)) < count:
        assert time.monotonic() < deadline, f"{len(rows)} rows of {count}"
        await asyncio.sleep(0.02)
    return rows


async def test_each_request_whose_signature_held_leaves_a_row(stack: Gateway) -> None:
    merchant = await stack.enrol("Accesses", "EUR")
    seen = ("X-Forwarded-For", "203.0.113.9")
    paid = await stack.send(stack.sign(payment_request(), merchant.key).with_headers((seen,)))
    refused = await stack.ask(payment_request(amount=0), merchant)
    missing = await stack.ask(get("/v1/payments/pay_eu_01jd0000000000000000000000"), merchant)
    nowhere = await stack.ask(get("/v1/nothing"), merchant)

    rows = await rows_of(stack, merchant, 4)

    assert [
        ("POST", "/v1/payments", 202, "203.0.113.9"),
        ("POST", "/v1/payments", 422, ""),
        ("GET", "/v1/payments/{payment_id}", 404, ""),
        ("GET", "unmatched", 404, ""),
    ] == [(row["method"], row["route"], row["status"], row["source"]) for row in rows]
    answers = (paid, refused, missing, nowhere)
    assert [header(answer, "Request-Id") for answer in answers] == [row["request_id"] for row in rows]
    assert {merchant.key.key_id} == {row["key_id"] for row in rows}


async def test_a_read_with_a_token_leaves_a_row_of_the_key_that_proved_it(stack: Gateway) -> None:
    merchant = await stack.enrol("Watched closely", "EUR")
    dashboard = await open_dashboard(stack, merchant)
    answer = await dashboard.read(stack, "/v1/payments")
    unproven = await stack.send(
        get("/v1/payments").with_headers((("Authorization", f"DPoP {dashboard.token}"),))
    )

    rows = await rows_of(stack, merchant, 2)

    assert [200, 401] == [answer.status, unproven.status]
    assert [merchant.key.key_id, dashboard.key.key_id] == [row["key_id"] for row in rows]
    assert header(answer, "Request-Id") == rows[-1]["request_id"]


async def test_nobody_unproven_leaves_a_row(stack: Gateway) -> None:
    merchant = await stack.enrol("Imitated", "EUR")
    stranger = SigningKey.generate("ed25519")
    forged = forge(stack.sign(payment_request(), merchant.key))
    answers = [
        await stack.send(get("/v1/payments")),
        await stack.send(stack.sign(payment_request(), stranger)),
        await stack.send(forged),
    ]
    proven = await stack.ask(payment_request(), merchant)

    rows = await rows_of(stack, merchant, 1)

    assert [401] * 3 == [answer.status for answer in answers]
    assert [header(proven, "Request-Id")] == [row["request_id"] for row in rows]
    assert [] == await stack.query("select from audit.access where key_id = $1", stranger.key_id)


async def test_a_flood_of_forged_requests_is_counted_and_leaves_no_row(stack: Gateway) -> None:
    merchant = await stack.enrol("Flooded", "EUR")
    counts = (
        "select sum(substring(convert_from(statement, 'UTF8') from '\nunproven: ([0-9]+)\n')::bigint)::bigint"
        " as unproven, count(*) as batches from evidence.record where kind = 'access-batch'"
    )
    await stack.ask(payment_request(), merchant)
    await rows_of(stack, merchant, 1)
    (before,) = await stack.query(counts)
    forged = forge(stack.sign(payment_request(), merchant.key))

    answers = [await stack.send(forged) for _ in range(FLOOD)]
    await stack.ask(payment_request(), merchant)

    assert 2 == len(await rows_of(stack, merchant, 2))
    (after,) = await stack.query(counts)
    assert {401} == {answer.status for answer in answers}
    assert after["unproven"] - before["unproven"] >= FLOOD
    # One with the proven request; others only if a minute ended meanwhile.
    assert 1 <= after["batches"] - before["batches"] <= FLOOD_BATCHES_MAX


async def test_a_killed_worker_loses_its_last_moments_and_nothing_between(stack: Gateway) -> None:
    merchant = await stack.enrol("Killed", "EUR")
    async with second_worker(stack, name="killed") as worker:
        answers = [await worker.ask(payment_request(), merchant) for _ in range(BEFORE_KILL)]
        await rows_of(stack, merchant, BEFORE_KILL)
        answers += [await worker.ask(payment_request(), merchant) for _ in range(BEFORE_KILL)]
        (process,) = worker.processes
        process.kill()
        await asyncio.to_thread(process.wait)
        worker.processes.clear()

    rows = await rows_of(stack, merchant, BEFORE_KILL)
    told = [header(answer, "Request-Id") for answer in answers]
    assert told[: len(rows)] == [row["request_id"] for row in rows]
    stored = await stack.query(
        "select from payments.payment p join evidence.record r"
        " on r.kind = 'payment' and r.subject = p.payment_id where p.merchant_id = $1",
        merchant.merchant_id,
    )
    assert 2 * BEFORE_KILL == len(stored)
    verified = stack.operate("verify-accesses")
    assert 0 == verified.returncode, verified.stderr


async def test_a_batch_of_counts_alone_holds(stack: Gateway) -> None:
    batch = "acc_eu_01jd0000000000000000000000-1"
    connection = await stack.server.connect("gateway", stack.database)
    try:
        statement = "select audit.record_accesses($1, 0, 4, $2, $2, $2, $2, $2, $3, $4, $2)"
        await connection.execute(statement, batch, [], [], [])
    finally:
        await connection.close()

    (found,) = await stack.query(
        "select * from audit.verify_accesses($1, 1000) where batch = $2", batch[:-1], batch
    )

    assert (batch, 0, 0, 4, True) == tuple(found)


async def test_a_batch_that_is_missing_is_found_out() -> None:
    found = Verified()
    for name in ("acc_a-1", "acc_a-2", "acc_b-1", "acc_b-10"):
        found.add({"batch": name, "rows": 3, "dropped": 1, "unproven": 2, "holds": name != "acc_a-2"})

    assert (["acc_a-2"], {"acc_b": 8}) == (found.broken, found.missing())
    assert (12, 4, 8) == (found.rows, found.dropped, found.unproven)


async def test_a_batch_is_a_record_whose_statement_holds_each_rows_digest(stack: Gateway) -> None:
    merchant = await stack.enrol("Digests", "EUR")
    await stack.ask(payment_request(), merchant)
    (row,) = await rows_of(stack, merchant, 1)

    (record,) = await stack.query(
        "select * from evidence.record where kind = 'access-batch' and subject = $1", row["batch"]
    )

    said = record["statement"].decode().splitlines()
    own = Access(*(row[name] for name in Access.__slots__))
    assert ["countermark-access-batch-v1", f"batch: {row['batch']}"] == said[:2]
    assert access_digest(own) == said[5 + row["place"]]
    (pending,) = await stack.query(
        "select * from evidence.pending('0', 0, 100000) where subject = $1", row["batch"]
    )
    assert f"subject: {row['batch']}\n".encode() in entry_of(dict(pending)).serialise()


async def test_the_operator_reads_a_merchants_rows_and_verifies_all(stack: Gateway) -> None:
    merchant = await stack.enrol("Shown", "EUR")
    for _ in range(3):
        await stack.ask(payment_request(), merchant)
    rows = await rows_of(stack, merchant, 3)

    shown = stack.operate("accesses", "--merchant", merchant.merchant_id)
    verified = stack.operate("verify-accesses")

    told = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["request_id"] for row in reversed(rows)] == [line["request_id"] for line in told]
    assert 0 == verified.returncode, verified.stderr
    assert ", 0 dropped, " in verified.stdout


@pytest.mark.parametrize(
    "tampering",
    ["update audit.access set status = 200 where batch = $1", "delete from audit.access where batch = $1"],
)
async def test_whoever_bypasses_the_guards_is_found_out(stack: Gateway, tampering: str) -> None:
    merchant = await stack.enrol("Tampered", "EUR")
    await stack.ask(payment_request(), merchant)
    (row,) = await rows_of(stack, merchant, 1)
    connection = await stack.server.connect("migrator", stack.database)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("alter table audit.access disable trigger user")
    await connection.execute(tampering, row["batch"])

    broken = await connection.fetch(
        "select batch from audit.verify_accesses($2, 1000) where not holds and batch = $1",
        row["batch"], row["batch"][:-1],
    )  # fmt: skip

    await transaction.rollback()
    await connection.close()
    assert [row["batch"]] == [each["batch"] for each in broken]


@pytest.mark.parametrize("statement", ["update audit.access set status = 200", "delete from audit.access"])
async def test_rows_only_ever_come(stack: Gateway, statement: str) -> None:
    with pytest.raises(asyncpg.RestrictViolationError):
        await stack.query(statement)


async def test_rows_wait_while_the_record_is_away_and_none_is_lost(stack: Gateway) -> None:
    merchant = await stack.enrol("Waits", "EUR")
    answers = [await stack.ask(payment_request(), merchant)]
    await stack.relay.cut()
    try:
        answers += [await stack.ask(payment_request(), merchant) for _ in range(3)]
    finally:
        await stack.relay.mend()
        await stack.await_ready()

    rows = await rows_of(stack, merchant, 4)

    assert [202, 503, 503, 503] == [row["status"] for row in rows]
    assert [header(answer, "Request-Id") for answer in answers] == [row["request_id"] for row in rows]
    assert 0 == await stack.counter("gateway_accesses_dropped_total")


async def test_a_batch_that_is_written_again_changes_nothing(stack: Gateway) -> None:
    merchant = await stack.enrol("Again", "EUR")
    await stack.ask(payment_request(), merchant)
    (row,) = await rows_of(stack, merchant, 1)
    connection = await stack.server.connect("gateway", stack.database)
    try:
        await connection.execute(
            "select audit.record_accesses($1, 0, 0, $2, $3, $4, $5, $6, $7, $8, $9)",
            row["batch"], ["req_x"], [merchant.merchant_id], ["k"], ["GET"], ["/"], [200], [row["at"]], [""],
        )  # fmt: skip
    finally:
        await connection.close()

    assert [row] == await rows_of(stack, merchant, 1)
