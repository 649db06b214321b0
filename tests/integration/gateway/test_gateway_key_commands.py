from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from gateway.api.operations import ALL_SCOPES
from signing import Response, SigningKey, registration_body
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import (
    first_key_request,
    get,
    header,
    payment_request,
    post,
    problem,
)
from tests.integration.gateway.payment_states import succeeded


async def register(
    stack: Gateway, merchant: Merchant, *scopes: str, new: SigningKey | None = None
) -> tuple[Merchant, Response]:
    """Register another key of the merchant, with these scopes, or without a word about scopes."""
    key = new or SigningKey.generate("ed25519")
    body = json.loads(registration_body(key, merchant_id=merchant.merchant_id, now=int(time.time())))
    if scopes:
        body["scopes"] = list(scopes)
    answer = await stack.ask(post("/v1/keys", json.dumps(body).encode()), merchant)
    return Merchant(merchant.merchant_id, key), answer


async def revoke(stack: Gateway, merchant: Merchant, key_id: str, **body: object) -> Response:
    return await stack.ask(post(f"/v1/keys/{key_id}/revoke", json.dumps(body).encode()), merchant)


async def keys_of(stack: Gateway, merchant: Merchant, query: str = "") -> dict[str, Any]:
    answer = await stack.ask(get(f"/v1/keys{query}"), merchant)
    assert answer.status == 200, answer.body
    listed: dict[str, Any] = json.loads(answer.body)
    return listed


async def test_a_key_gets_the_scopes_it_was_registered_with_and_no_other(stack: Gateway) -> None:
    merchant = await stack.enrol("Scoped", "EUR")
    reader, answer = await register(stack, merchant, "read")

    paid = await stack.ask(payment_request(), reader)
    read = await stack.ask(get("/v1/keys"), reader)

    assert (201, ["read"]) == (answer.status, json.loads(answer.body)["scopes"])
    assert (403, "key_scope") == (paid.status, problem(paid)["code"])
    assert 200 == read.status


async def test_without_a_word_a_key_gets_all_that_the_vouching_one_has(stack: Gateway) -> None:
    merchant = await stack.enrol("Inherit", "EUR")
    manager, _ = await register(stack, merchant, "manage_keys", "pay")

    _, answer = await register(stack, manager)
    (first,) = (await keys_of(stack, merchant, "?limit=10"))["data"][-1:]

    assert ["manage_keys", "pay"] == json.loads(answer.body)["scopes"]
    assert sorted(ALL_SCOPES) == first["scopes"]


async def test_a_key_cannot_give_more_than_it_has(stack: Gateway) -> None:
    merchant = await stack.enrol("Giver", "EUR")
    manager, _ = await register(stack, merchant, "manage_keys", "read")
    before = await stack.footprint()

    _, answer = await register(stack, manager, "read", "pay")

    after = await stack.footprint()
    assert (403, "key_scope") == (answer.status, problem(answer)["code"])
    assert before["registry.merchant_key"] == after["registry.merchant_key"]


@pytest.mark.parametrize("scopes", [("everything",), ("read", 1)])
async def test_a_scope_that_does_not_exist_is_refused(stack: Gateway, scopes: tuple[Any, ...]) -> None:
    _, answer = await register(stack, await stack.merchant(), *scopes)

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])


async def test_a_first_key_takes_no_scopes(stack: Gateway) -> None:
    enrolled, key = stack.enrol_only("First", "EUR"), SigningKey.generate("ed25519")
    body = {**json.loads(first_key_request(key, enrolled).body or b""), "scopes": ["read"]}

    answer = await stack.send(stack.sign(post("/v1/keys", json.dumps(body).encode()), key))

    assert (422, "/scopes") == (answer.status, json.loads(answer.body)["errors"][0]["pointer"])


async def test_keys_are_listed_with_their_histories_newest_first_in_pages(stack: Gateway) -> None:
    merchant = await stack.enrol("Lister", "EUR")
    others = [(await register(stack, merchant, "read"))[0].key.key_id for _ in range(4)]
    await revoke(stack, merchant, others[1])

    whole = await keys_of(stack, merchant)
    first = await keys_of(stack, merchant, "?limit=2")
    second = await keys_of(stack, merchant, f"?limit=2&starting_after={first['data'][-1]['key_id']}")
    back = await keys_of(stack, merchant, f"?ending_before={second['data'][-1]['key_id']}&limit=2")

    ids = [key["key_id"] for key in whole["data"]]
    assert [*reversed(others), merchant.key.key_id] == ids
    assert (ids[:2], True) == ([key["key_id"] for key in first["data"]], first["has_more"])
    assert (ids[2:4], True) == ([key["key_id"] for key in second["data"]], second["has_more"])
    assert ids[1:3] == [key["key_id"] for key in back["data"]]
    assert ["active", "active", "revoked", "active", "active"] == [key["status"] for key in whole["data"]]
    assert [False, False, True, False, False] == [key["revoked_at"] is not None for key in whole["data"]]


async def test_nobody_sees_or_revokes_anothers_keys(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Nosy", "EUR")

    listed = await keys_of(stack, other, f"?starting_after={merchant.key.key_id}")
    answer = await revoke(stack, other, merchant.key.key_id)

    assert [] == listed["data"]
    assert (404, "not_found") == (answer.status, problem(answer)["code"])
    assert 202 == (await stack.ask(payment_request())).status


async def test_a_revocation_is_in_history_and_log_on_the_word_of_the_key_that_signed(stack: Gateway) -> None:
    merchant = await stack.enrol("Manager", "EUR")
    lost, _ = await register(stack, merchant)

    answer = await revoke(stack, merchant, lost.key.key_id, reason="left in a train", compromised_since=1000)
    refused = await stack.ask(payment_request(), lost)
    again = await revoke(stack, merchant, lost.key.key_id)

    (statement,) = await stack.query(
        "select convert_from(statement, 'UTF8') from evidence.record"
        " where kind = 'key-revocation' and subject = $1",
        lost.key.key_id,
    )
    lines = statement[0].splitlines()
    assert (200, "revoked") == (answer.status, json.loads(answer.body)["status"])
    assert (401, "key_revoked") == (refused.status, problem(refused)["code"])
    assert (409, "state_conflict") == (again.status, problem(again)["code"])
    assert f"authorised-by: {merchant.key.key_id}" in lines
    assert "reason: left in a train" in lines
    assert "compromised-since: 1000" in lines


async def test_a_key_without_manage_keys_revokes_itself_and_no_other(stack: Gateway) -> None:
    merchant = await stack.enrol("Self", "EUR")
    small, _ = await register(stack, merchant, "pay")

    other = await revoke(stack, small, merchant.key.key_id)
    itself = await revoke(stack, small, small.key.key_id, reason="found it on a server that was broken into")
    then = await stack.ask(payment_request(), small)

    assert (403, "key_scope") == (other.status, problem(other)["code"])
    assert (200, 401) == (itself.status, then.status)


async def test_a_keys_last_command_stands_in_the_log_before_its_revocation(stack: Gateway) -> None:
    merchant = await stack.enrol("Last", "EUR")
    answer = await revoke(stack, merchant, merchant.key.key_id)

    rows = await stack.query(
        "select kind from evidence.record where key_id = $1 and kind in ('command', 'key-revocation')"
        " order by xid, position",
        merchant.key.key_id,
    )
    assert 200 == answer.status
    assert ["command", "key-revocation"] == [row["kind"] for row in rows]


async def test_keys_that_revoke_each_other_at_once_leave_one_and_never_deadlock(stack: Gateway) -> None:
    merchant = await stack.enrol("Duel", "EUR")
    for _ in range(4):
        pair = [(await register(stack, merchant))[0] for _ in range(2)]
        one, two = pair

        answers = await asyncio.gather(revoke(stack, one, two.key.key_id), revoke(stack, two, one.key.key_id))

        # The one that came second was revoked by then.
        assert [200, 401] == sorted(answer.status for answer in answers), [a.body for a in answers]


async def test_payments_under_way_while_their_key_is_revoked_stand_before_it_or_are_refused(
    stack: Gateway,
) -> None:
    merchant = await stack.enrol("Race", "EUR")
    working, _ = await register(stack, merchant)

    *paid, answer = await asyncio.gather(
        *(stack.ask(payment_request(), working) for _ in range(30)),
        revoke(stack, merchant, working.key.key_id),
    )

    rows = await stack.query(
        "select kind from evidence.record where key_id = $1 and kind in ('payment', 'key-revocation')"
        " order by xid, position",
        working.key.key_id,
    )
    accepted = sum(each.status == 202 for each in paid)
    assert 200 == answer.status
    assert {202, 401} >= {each.status for each in paid}
    assert ["payment"] * accepted + ["key-revocation"] == [row["kind"] for row in rows]


async def test_a_key_is_rotated_without_a_moment_in_which_none_may_sign(stack: Gateway) -> None:
    merchant = await stack.enrol("Rotation", "EUR")
    new, registered = await register(stack, merchant)

    between = [await stack.ask(payment_request(), each) for each in (merchant, new)]
    revoked = await revoke(stack, new, merchant.key.key_id, reason="rotated")
    after = await stack.ask(payment_request(), new)

    assert (201, 200, 202) == (registered.status, revoked.status, after.status)
    assert [202, 202] == [answer.status for answer in between]


async def test_a_registration_that_is_repeated_names_the_request_that_was_answered(stack: Gateway) -> None:
    enrolled, key = stack.enrol_only("Named", "EUR"), SigningKey.generate("ed25519")
    request = stack.sign(first_key_request(key, enrolled), key)

    first, again = await stack.send(request), await stack.send(request)

    assert header(first, "Request-Id") == header(again, "Idempotency-Original-Request")


async def test_a_key_for_refunds_alone_refunds_and_does_not_pay(stack: Gateway) -> None:
    merchant = await stack.enrol("Clerk", "EUR")
    clerk, _ = await register(stack, merchant, "refund")
    payment_id = await succeeded(stack, merchant=merchant)

    refund = await stack.ask(post(f"/v1/payments/{payment_id}/refunds", b"{}"), clerk)
    payment = await stack.ask(payment_request(), clerk)

    assert (202, 403) == (refund.status, payment.status)
