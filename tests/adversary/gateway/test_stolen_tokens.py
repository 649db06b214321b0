"""An access token in the wrong hands, or in the right hands for the wrong thing, opens nothing."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from gateway.api.operations import Operation
from gateway.api.surface import OPERATIONS
from signing import Request, Response, SigningKey
from signing.dpop import PROOF_AGE_S_MAX
from tests.adversary.gateway.edge_in_front import Edge, running_edge
from tests.adversary.gateway.raw_requests import CALLER, wire
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import ORIGIN, get, header, payment_request, post, problem
from tests.integration.gateway.token_requests import Dashboard, open_dashboard, token_request

LIST = get("/v1/payments")


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(stack: Gateway) -> Dashboard:
    return await open_dashboard(stack, await stack.merchant())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def edge(stack: Gateway) -> AsyncIterator[Edge]:
    async with running_edge(stack) as running:
        yield running


async def refuse(stack: Gateway, request: Request, status: int, code: str) -> Response:
    """Send it, and check that nothing but a row of the audit log came of it."""
    before = await stack.footprint()

    answer = await stack.send(request)

    assert (status, code) == (answer.status, problem(answer)["code"]), answer.body
    assert header(answer, "Signature") is None
    after = await stack.footprint()
    assert before | {"audit.entry": after["audit.entry"]} == after
    return answer


async def test_a_stolen_token_is_nothing_without_its_key(stack: Gateway, dashboard: Dashboard) -> None:
    thief = SigningKey.generate("ed25519")
    shown = ("Authorization", f"DPoP {dashboard.token}")
    answer = await refuse(
        stack, dashboard.shows(LIST, proof=dashboard.proof(LIST, key=thief)), 401, "token_proof_invalid"
    )
    without = await refuse(stack, LIST.with_headers((shown,)), 401, "token_proof_invalid")
    await refuse(stack, LIST.with_headers((shown, ("DPoP", ""))), 401, "token_proof_invalid")
    bearer = ("Authorization", f"Bearer {dashboard.token}")
    await refuse(stack, LIST.with_headers((bearer, ("DPoP", dashboard.proof(LIST)))), 401, "token_invalid")

    for each in (answer, without):
        assert 'DPoP error="invalid_dpop_proof", algs="EdDSA ES256"' == header(each, "WWW-Authenticate")
    # Whose token leaked is on record: the key that asked for it.
    [row] = await stack.query(
        "select key_id, code from audit.entry where kind = 'refusal' order by position limit 1 offset"
        " (select greatest(count(*) - 2, 0) from audit.entry where kind = 'refusal')"
    )
    assert (dashboard.merchant.key.key_id, "token_proof_invalid") == tuple(row)


async def test_not_even_the_key_that_asked_reads_with_a_token_that_is_bound_to_another(
    stack: Gateway, dashboard: Dashboard
) -> None:
    proof = dashboard.proof(LIST, key=dashboard.merchant.key)

    await refuse(stack, dashboard.shows(LIST, proof=proof), 401, "token_proof_invalid")


async def test_a_recorded_read_shows_nothing_a_second_time(stack: Gateway, dashboard: Dashboard) -> None:
    request = dashboard.shows(LIST)
    assert 200 == (await stack.send(request)).status

    await refuse(stack, request, 401, "token_proof_invalid")
    # The query is not proven, so the recorded proof must not read another page, either.
    elsewhere = replace(request, target_uri=f"{request.target_uri}?limit=100")
    await refuse(stack, elsewhere, 401, "token_proof_invalid")


@pytest.mark.parametrize(
    "changes",
    [
        {"target_uri": f"{ORIGIN}/v1/accounts"}, {"target_uri": "https://other.example/v1/payments"},
        {"method": "POST"}, {"token": "cmat_" + "A" * 43}, {"now": int(time.time()) - PROOF_AGE_S_MAX - 600},
        {"now": int(time.time()) + 600},
    ],
    ids=["path", "origin", "method", "token", "old", "future"],
)  # fmt: skip
async def test_a_proof_for_something_else_is_refused(
    stack: Gateway, dashboard: Dashboard, changes: dict[str, Any]
) -> None:
    proof = dashboard.proof(LIST, **changes)

    await refuse(stack, dashboard.shows(LIST, proof=proof), 401, "token_proof_invalid")


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.signed and each.method != "GET"],
    ids=lambda each: each.name,
)
async def test_whatever_acts_demands_a_signature(
    stack: Gateway, dashboard: Dashboard, operation: Operation
) -> None:
    path = operation.path.replace("{", "").replace("}", "")
    request = replace(post(path, b"{}"), method=operation.method)

    await refuse(stack, dashboard.shows(request), 401, "signature_missing")


async def test_a_payment_with_a_token_is_no_payment(stack: Gateway, dashboard: Dashboard) -> None:
    await refuse(stack, dashboard.shows(payment_request()), 401, "signature_missing")


@pytest.mark.parametrize("field", ["X-HTTP-Method-Override", "X-HTTP-Method", "_method"])
async def test_no_field_makes_an_act_of_a_read(stack: Gateway, dashboard: Dashboard, field: str) -> None:
    before = await stack.footprint()

    answer = await stack.send(dashboard.shows(LIST.with_headers(((field, "POST"),))))

    assert 200 == answer.status
    assert before == await stack.footprint()


async def test_an_expired_token_is_refused(stack: Gateway, dashboard: Dashboard) -> None:
    await stack.query(
        "update registry.access_token set issued_at = now() - interval '6 minutes',"
        " expires_at = now() - interval '1 second' where bound_to = $1",
        dashboard.key.key_id,
    )

    await refuse(stack, dashboard.shows(LIST), 401, "token_invalid")


async def test_another_merchants_things_do_not_exist(
    stack: Gateway, dashboard: Dashboard, another: Merchant
) -> None:
    theirs = json.loads((await stack.ask(payment_request(), another)).body)["id"]
    for path in (f"/v1/payments/{theirs}", f"/v1/payments/{theirs}/events"):
        answer = await dashboard.read(stack, path)
        assert (404, "not_found") == (answer.status, problem(answer)["code"])
    listed = await dashboard.read(stack, "/v1/payments?limit=100")

    assert theirs not in listed.body.decode()


async def test_a_recorded_request_for_a_token_gets_what_its_recorder_cannot_use(
    stack: Gateway, dashboard: Dashboard
) -> None:
    merchant = await stack.merchant()
    request = stack.sign(token_request(dpop_jkt=dashboard.key.key_id), merchant.key)
    first, again = await stack.send(request), await stack.send(request)

    tokens = [json.loads(answer.body)["access_token"] for answer in (first, again)]
    recorder = Dashboard(merchant, SigningKey.generate("ed25519"), tokens[1])

    assert tokens[0] != tokens[1]
    await refuse(stack, recorder.shows(LIST), 401, "token_proof_invalid")


async def test_nobody_gets_a_token_bound_to_a_key_of_its_own_for_another_merchant(
    stack: Gateway, another: Merchant
) -> None:
    request = stack.sign(token_request(), another.key)
    mine = SigningKey.generate("ed25519")
    body = json.dumps({"grant_type": "client_credentials", "dpop_jkt": mine.key_id}).encode()

    answer = await stack.send(replace(request, body=body))

    assert (401, "digest_mismatch") == (answer.status, problem(answer)["code"])


@pytest.mark.parametrize(
    "value",
    ["", "DPoP", "DPoP ", "DPoP cmat_short", "DPoP  {token}", "DPoP {token} x", "{token}", "Basic {token}",
     "DPoP {token},", "DPoP {guessed}"],
)  # fmt: skip
async def test_what_is_no_token_opens_nothing(stack: Gateway, dashboard: Dashboard, value: str) -> None:
    shown = value.format(token=dashboard.token, guessed="cmat_" + "A" * 43)
    fields = (("Authorization", shown), ("DPoP", dashboard.proof(LIST)))

    await refuse(stack, LIST.with_headers(fields), 401, "token_invalid")


async def test_two_of_a_field_are_refused(stack: Gateway, dashboard: Dashboard) -> None:
    request = dashboard.shows(LIST)
    for name, value in request.headers:
        await refuse(stack, request.with_headers(((name, value),)), 400, "header_duplicated")


@pytest.mark.parametrize(
    "path", ["/v1//payments", "/v1/./payments", "/v1/payments?b=1&a=2", "/v1/%70ayments"]
)
async def test_a_target_in_another_spelling_is_refused(
    stack: Gateway, dashboard: Dashboard, path: str
) -> None:
    answer = await stack.send(dashboard.shows(get(path)))

    assert answer.status in {400, 404}
    assert problem(answer)["code"] in {"target_not_canonical", "not_found"}


async def test_a_read_with_a_token_passes_the_edge_and_a_payment_does_not_come_through(
    stack: Gateway, dashboard: Dashboard, edge: Edge
) -> None:
    def through(request: Request) -> bytes:
        return wire(request, lambda lines: [line for line in lines if CALLER not in line])

    read = await edge.send_raw(through(dashboard.shows(LIST)))
    paid = await edge.send_raw(through(dashboard.shows(payment_request())))

    assert (200, 401) == (read.status, paid.status)
    assert "signature_missing" == problem(paid)["code"]
