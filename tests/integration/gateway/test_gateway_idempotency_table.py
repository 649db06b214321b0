"""Each row of the published table of idempotency, for payments and for commands alike."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import pytest_asyncio

from gateway.idempotency import key_hash
from signing import Response
from tests.integration.gateway.acts import Act, a_capture, a_payment, prune_all
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import header, payment_request, post, problem
from tests.integration.gateway.payment_states import accepted, mail_of

RECOVERY_S_MAX = 10.0  # what is promised after any fault ends


@pytest_asyncio.fixture(loop_scope="session", params=["payment", "command"])
async def act(request: pytest.FixtureRequest, stack: Gateway) -> Act:
    return a_payment() if request.param == "payment" else await a_capture(stack)


async def with_key_lines(stack: Gateway, act: Act, *values: str) -> Response:
    merchant = await stack.merchant()
    signed = stack.sign(act.request, merchant.key)
    kept = tuple(pair for pair in signed.headers if pair[0] != "Idempotency-Key")
    return await stack.send(replace(signed, headers=(*kept, *(("Idempotency-Key", v) for v in values))))


async def test_row_header_missing_on_a_required_route(stack: Gateway, act: Act) -> None:
    answer = await with_key_lines(stack, act)

    assert (400, "idempotency_key_missing") == (answer.status, problem(answer)["code"])
    assert 0 == await act.count(stack)


@pytest.mark.parametrize(
    "values", [('"with a space in it"',), (f'"{"k" * 300}"',), ('""',), ('"same-key-0123456789"',) * 2]
)
async def test_row_header_malformed_too_long_or_repeated(
    stack: Gateway, act: Act, values: tuple[str, ...]
) -> None:
    answer = await with_key_lines(stack, act, *values)

    assert (400, "idempotency_key_invalid") == (answer.status, problem(answer)["code"])
    assert 0 == await act.count(stack)


async def test_row_same_key_same_fingerprint_done(stack: Gateway, act: Act) -> None:
    first = await stack.ask(act.request)

    again = await stack.ask(act.request)

    assert (202, first.body) == (again.status, again.body)
    assert ("true", header(first, "Request-Id")) == (
        header(again, "Idempotent-Replayed"),
        header(again, "Idempotency-Original-Request"),
    )
    assert header(again, "Request-Id") != header(first, "Request-Id")
    assert (None, None) == (
        header(first, "Idempotent-Replayed"),
        header(first, "Idempotency-Original-Request"),
    )
    assert 1 == await act.count(stack)


async def test_row_same_key_other_fingerprint(stack: Gateway, act: Act) -> None:
    first = await stack.ask(act.request)

    other = await stack.ask(act.other)

    assert (202, 422, "idempotency_key_reused") == (first.status, other.status, problem(other)["code"])
    assert header(other, "Idempotency-Original-Request") is None
    assert 1 == await act.count(stack)


async def test_row_same_key_still_in_progress(stack: Gateway, act: Act) -> None:
    merchant = await stack.merchant()
    elsewhere = await stack.server.connect("migrator", stack.database)
    # Another worker's transaction that has claimed the key and does not end.
    columns = {
        "payments.idempotency_key": "(merchant_id, route, key_hash, fingerprint, response_status,"
        " response_body, payment_id, accepted_at) values ($1, $2, $3, $4, 202, '', 'pay_eu_x', now())",
        "commands.request": "(merchant_id, route, key_hash, fingerprint, response_status, response_body,"
        " request_id, resource_id, at) values ($1, $2, $3, $4, 202, '', 'req_eu_x', 'x', now())",
    }
    template = "/v1/payments" if act.payment_id is None else "/v1/payments/{payment_id}/capture"
    claim = elsewhere.transaction()
    await claim.start()
    await elsewhere.execute(
        f"insert into {act.table} {columns[act.table]}",
        merchant.merchant_id,
        f"POST {template}",
        key_hash(act.key),
        bytes(32),
    )
    try:
        waiting = await stack.ask(act.request)
        meanwhile = await stack.ask(payment_request())
    finally:
        await claim.rollback()
        await elsewhere.close()
    then = await stack.ask(act.request)

    assert (409, "idempotency_key_in_progress") == (waiting.status, problem(waiting)["code"])
    assert ("1", True) == (header(waiting, "Retry-After"), problem(waiting)["retryable"])
    assert (202, 202) == (meanwhile.status, then.status)
    assert 1 == await act.count(stack)


async def test_row_authentication_or_schema_failure_before_execution(stack: Gateway, act: Act) -> None:
    merchant = await stack.merchant()
    late = stack.sign(act.request, merchant.key, now=int(time.time()) - 1000)
    broken = replace(act.request, body=b'{"amount":0.5}')

    refused = [await stack.send(late), await stack.ask(broken)]
    stored = await act.rows(stack)
    then = await stack.ask(act.request)

    assert [401, 422] == [answer.status for answer in refused]
    assert [] == stored
    assert (202, None) == (then.status, header(then, "Idempotent-Replayed"))


async def test_row_business_refusal_of_a_payment_after_execution_began(stack: Gateway) -> None:
    first, second = payment_request(), payment_request()
    second = replace(second, body=first.body)
    payment = json.loads((await stack.ask(first)).body)

    refused = await stack.ask(second)
    # The earlier payment comes to nothing, and the refusal stands all the same.
    await stack.query("update payments.likeness set accepted_at = now() - interval '2 days'")
    again = await stack.ask(second)

    assert (409, "duplicate_suspected") == (refused.status, problem(refused)["code"])
    assert payment["id"] == problem(refused)["payment_id"]
    assert (refused.status, refused.body) == (again.status, again.body)
    assert header(refused, "Request-Id") == header(again, "Idempotency-Original-Request")
    assert header(refused, "Request-Id") == problem(again)["request_id"]
    assert (None, "true") == (header(refused, "Idempotent-Replayed"), header(again, "Idempotent-Replayed"))


async def test_row_business_refusal_of_a_command_after_execution_began(stack: Gateway) -> None:
    payment_id = await accepted(stack, capture_method="manual")
    request = post(f"/v1/payments/{payment_id}/capture", b"{}")
    refused = await stack.ask(request)
    await stack.query(
        "update payments.payment set status = 'authorized', account_version = 1, bank = 'bank-alpha',"
        " due = now() + interval '1 day', expires_at = now() + interval '1 day' where payment_id = $1",
        payment_id,
    )

    again = await stack.ask(request)
    anew = await stack.ask(post(f"/v1/payments/{payment_id}/capture", b"{}"))

    assert (409, "state_conflict") == (refused.status, problem(refused)["code"])
    assert (refused.status, refused.body) == (again.status, again.body)
    assert header(refused, "Request-Id") == header(again, "Idempotency-Original-Request")
    assert 202 == anew.status
    assert 1 == len(await mail_of(stack, payment_id))


async def test_a_refusal_and_each_repeat_of_it_are_evidence_with_their_receipts(stack: Gateway) -> None:
    merchant = await stack.merchant()
    payment_id = await accepted(stack, capture_method="manual")
    unsigned = post(f"/v1/payments/{payment_id}/capture", b"{}")
    requests = [stack.sign(unsigned, merchant.key) for _ in range(2)]

    answers = [await stack.send(request) for request in requests]

    for request, answer in zip(requests, answers, strict=True):
        receipt = await stack.receipt(request, answer)
        (kept,) = await stack.query(
            "select decision, response_body, receipt_signature from evidence.record where subject = $1",
            header(answer, "Request-Id"),
        )
        assert ("refused:state_conflict", answer.body, receipt.signature) == tuple(kept)


async def test_row_internal_5xx(stack: Gateway, act: Act) -> None:
    await stack.relay.cut()
    away = await stack.ask(act.request)
    await stack.relay.mend()
    deadline = time.monotonic() + RECOVERY_S_MAX
    then = await stack.ask(act.request)
    while then.status == 503 and time.monotonic() < deadline:
        then = await stack.ask(act.request)

    assert (503, "cell_unavailable") == (away.status, problem(away)["code"])
    assert 202 == then.status
    assert 1 == await act.count(stack)


@pytest.mark.parametrize("pruned", [False, True])
async def test_row_key_older_than_30_days_tombstone_present(stack: Gateway, act: Act, pruned: bool) -> None:
    await stack.ask(act.request)
    await act.age(stack, 31)
    if pruned:
        await prune_all(stack)

    again, other = await stack.ask(act.request), await stack.ask(act.other)

    (row,) = await act.rows(stack)
    assert (409, "idempotency_key_expired") == (again.status, problem(again)["code"])
    assert (422, "idempotency_key_reused") == (other.status, problem(other)["code"])
    assert pruned == (row["response_body"] is None)
    assert 1 == await act.count(stack)


async def test_row_key_younger_than_30_days_keeps_its_full_answer(stack: Gateway, act: Act) -> None:
    first = await stack.ask(act.request)
    await act.age(stack, 29)
    await prune_all(stack)

    again = await stack.ask(act.request)

    assert (202, first.body) == (again.status, again.body)


async def test_row_no_record_and_no_tombstone_after_400_days(stack: Gateway, act: Act) -> None:
    await stack.ask(act.request)
    await act.age(stack, 399)
    await prune_all(stack)
    tombstones = await act.rows(stack)
    await act.age(stack, 401)
    await prune_all(stack)
    gone = await act.rows(stack)

    anew = await stack.ask(act.request)

    assert (1, 0) == (len(tombstones), len(gone))
    # As if it were new: then what the business makes of it comes first, and nothing happens twice.
    code = "duplicate_suspected" if act.payment_id is None else "state_conflict"
    assert (409, code) == (anew.status, problem(anew)["code"])
    assert header(anew, "Idempotent-Replayed") is None
    assert 1 == await act.count(stack)


async def test_a_batch_of_pruning_is_bounded_and_is_not_told_how_old_an_answer_may_be(stack: Gateway) -> None:
    acts = [a_payment() for _ in range(5)]
    for each in acts:
        await stack.ask(each.request)
        await each.age(stack, 31)
    connection = await stack.server.connect("gateway", stack.database)

    changed = [await connection.fetchval("select payments.prune_keys(2)") for _ in range(4)]
    await connection.close()

    buried = [row["response_body"] is None for each in acts for row in await each.rows(stack)]
    assert [True] * 5 == buried
    assert max(changed) <= 3 * 2
    assert 0 == changed[-1]
