"""Access tokens for dashboards: they read everything, sign nothing, and end soon or with their key."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.access.tokens import TOKEN_LIFETIME_S
from gateway.api.operations import Operation
from gateway.api.surface import OPERATIONS
from gateway.store.retention import ROWS_PER_BATCH_MAX
from gateway.store.tokens import LIVE_MAX, Tokens
from services.node.postgres import open_pool
from signing import SigningKey
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request, problem
from tests.integration.gateway.second_worker import second_worker
from tests.integration.gateway.test_gateway_key_commands import register, revoke
from tests.integration.gateway.test_gateway_revocations import COUNTS_S_MAX, QUIET_S
from tests.integration.gateway.token_requests import Dashboard, open_dashboard, token_request
from tests.integration.gateway.told_payments import Told, tell_a_story

READS = [each for each in OPERATIONS if each.admits_tokens]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Gateway) -> Told:
    return await tell_a_story(stack, "Watched")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def dashboard(stack: Gateway, told: Told) -> Dashboard:
    return await open_dashboard(stack, told.merchant)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(stack: Gateway) -> AsyncIterator[Gateway]:
    async with second_worker(stack, name="reads-with-tokens") as worker:
        yield worker


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    return re.sub(r"\{([a-z_]+)\}", lambda part: ids[part[1]], operation.path)


async def test_a_token_is_issued_as_the_standard_names_it_and_the_answer_signed(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = stack.sign(token_request(scope="read"), merchant.key)

    answer = await stack.send(request)

    await stack.receipt(request, answer)
    said = json.loads(answer.body)
    token = said.pop("access_token")
    assert {"token_type": "DPoP", "expires_in": TOKEN_LIFETIME_S, "scope": "read"} == said
    assert ("no-store", "application/json") == (
        header(answer, "Cache-Control"), header(answer, "Content-Type"),
    )  # fmt: skip
    # Bound to the key that signed, where no other was named.
    assert 200 == (await Dashboard(merchant, merchant.key, token).read(stack, "/v1/payments")).status


@pytest.mark.parametrize("operation", READS, ids=lambda each: each.name)
async def test_a_token_reads_what_its_merchant_reads(
    stack: Gateway, told: Told, dashboard: Dashboard, operation: Operation
) -> None:
    path = path_of(operation, told.ids)

    signed, shown = await stack.ask(get(path), told.merchant), await dashboard.read(stack, path)

    assert signed.status == shown.status
    if signed.status == 200:
        # A feed's place moves on with every transaction of anybody.
        place = re.compile(rb'"next":"f1[^"]*"')
        assert place.sub(b"", signed.body) == place.sub(b"", shown.body)
    else:
        # The log's sequencer does not run beside these tests.
        assert ("exportEvidence", "evidence_pending") == (operation.name, problem(shown)["code"])
    assert header(shown, "Signature") is None
    assert header(signed, "Gateway-Version") == header(shown, "Gateway-Version")
    assert header(shown, "RateLimit") is not None


def test_only_reads_admit_tokens() -> None:
    assert {"GET"} == {operation.method for operation in READS}
    signed_reads = {each.name for each in OPERATIONS if each.signed and each.method == "GET"}
    assert signed_reads == {each.name for each in READS}


async def test_queries_and_conditions_work_as_ever(stack: Gateway, told: Told, dashboard: Dashboard) -> None:
    path = f"/v1/payments/{told.ids['payment_id']}"
    tag = header(await dashboard.read(stack, path), "ETag")
    assert tag is not None

    unchanged = await stack.send(dashboard.shows(get(path).with_headers((("If-None-Match", tag),))))
    page = await dashboard.read(stack, "/v1/payments?limit=1&merchant_reference=order-1")
    wrong = await dashboard.read(stack, "/v1/payments?limit=0")

    assert (304, 200, 422) == (unchanged.status, page.status, wrong.status)
    assert [told.ids["payment_id"]] == [each["id"] for each in json.loads(page.body)["data"]]


async def test_a_p_256_key_reads_as_well(stack: Gateway, told: Told) -> None:
    browser = await open_dashboard(stack, told.merchant, alg="ecdsa-p256-sha256")

    assert 200 == (await browser.read(stack, "/v1/accounts")).status


async def test_a_revoked_key_takes_its_tokens_with_it_within_a_second_on_every_worker(
    stack: Gateway, other: Gateway
) -> None:
    merchant = await stack.enrol("Ending", "EUR")
    lost, _ = await register(stack, merchant)
    dashboard = await open_dashboard(stack, lost)
    for worker in (stack, other):
        assert 200 == (await dashboard.read(worker, "/v1/payments")).status

    await revoke(stack, merchant, lost.key.key_id)
    committed = time.monotonic()

    for worker in (stack, other):
        while (answer := await dashboard.read(worker, "/v1/payments")).status == 200:
            await asyncio.sleep(QUIET_S)
            assert time.monotonic() < committed + 3 * COUNTS_S_MAX
        assert time.monotonic() < committed + COUNTS_S_MAX
        assert (401, "token_invalid") == (answer.status, problem(answer)["code"])
    refused = await stack.ask(token_request(), lost)
    assert (401, "key_revoked") == (refused.status, problem(refused)["code"])


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"grant_type": "password"}, "/grant_type"), ({"scope": "pay"}, "/scope"),
        ({"scope": "read pay"}, "/scope"), ({"dpop_jkt": "short"}, "/dpop_jkt"),
    ],
)  # fmt: skip
async def test_no_other_grant_scope_or_binding_exists(
    stack: Gateway, members: dict[str, object], pointer: str
) -> None:
    answer = await stack.ask(token_request(**members))

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
    assert pointer in answer.body.decode()


async def test_of_a_token_only_its_hash_is_kept_and_not_for_ever(stack: Gateway) -> None:
    merchant = await stack.enrol("Forgotten", "EUR")
    dashboard = await open_dashboard(stack, merchant)
    digest = hashlib.sha256(dashboard.token.encode()).digest()
    [row] = await stack.query("select * from registry.access_token where token_hash = $1", digest)
    assert (merchant.key.key_id, dashboard.key.key_id) == (row["key_id"], row["bound_to"])
    await stack.query(
        "update registry.access_token set issued_at = issued_at - interval '1 hour',"
        " expires_at = expires_at - interval '1 hour' where token_hash = $1",
        digest,
    )

    async with open_pool(stack.config, stack.config.postgres, connections_max=1) as pool:
        forgotten = await Tokens(pool).prune(ROWS_PER_BATCH_MAX)

    assert 1 == forgotten
    assert [] == await stack.query("select 1 from registry.access_token where token_hash = $1", digest)
    assert dashboard.token not in stack.log()
    answer = await dashboard.read(stack, "/v1/payments")
    assert (401, "token_invalid") == (answer.status, problem(answer)["code"])
    assert 'DPoP error="invalid_token", algs="EdDSA ES256"' == header(answer, "WWW-Authenticate")


async def test_a_key_has_only_so_many_tokens(stack: Gateway) -> None:
    merchant = await stack.enrol("Hoarder", "EUR")
    statuses = [(await stack.ask(token_request(), merchant)).status for _ in range(LIVE_MAX)]

    refused = await stack.ask(token_request(), merchant)

    assert {200} == set(statuses)
    assert (409, "state_conflict") == (refused.status, problem(refused)["code"])


async def test_tokens_are_good_without_redis_and_not_without_the_record(
    stack: Gateway, other: Gateway, told: Told
) -> None:
    dashboard, unseen = await open_dashboard(stack, told.merchant), await open_dashboard(stack, told.merchant)
    before = await stack.counter("gateway_reads_unremembered_total")
    stack.redis.stop()
    try:
        without = await dashboard.read(stack, "/v1/payments")
    finally:
        stack.redis.start()
    await other.relay.cut()
    try:
        away = await unseen.read(other, "/v1/payments")
    finally:
        await other.relay.mend()
    await other.await_ready()

    assert (200, 503) == (without.status, away.status)
    assert before < await stack.counter("gateway_reads_unremembered_total")


async def test_a_signed_request_is_a_signed_one_whatever_token_it_shows(
    stack: Gateway, dashboard: Dashboard
) -> None:
    stranger = await stack.enrol("Signs", "EUR")
    request = dashboard.shows(stack.sign(payment_request(), stranger.key))

    answer = await stack.send(request)

    assert 202 == answer.status
    owner = "select merchant_id from payments.payment where payment_id = $1"
    [row] = await stack.query(owner, json.loads(answer.body)["id"])
    assert stranger.merchant_id == row["merchant_id"]
    signature = tuple(field for field in request.headers if field[0] == "Signature")
    half = await stack.send(dashboard.shows(get("/v1/payments")).with_headers(signature))
    assert (401, "signature_missing") == (half.status, problem(half)["code"])


async def test_a_key_without_the_scope_for_reading_gets_none(stack: Gateway) -> None:
    merchant = await stack.enrol("Pays", "EUR")
    paying, _ = await register(stack, merchant, "pay")

    answer = await stack.ask(token_request(dpop_jkt=SigningKey.generate("ed25519").key_id), paying)

    assert (403, "key_scope") == (answer.status, problem(answer)["code"])
