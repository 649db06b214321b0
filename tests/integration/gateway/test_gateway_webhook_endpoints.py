"""Webhook endpoints through the signed API: made, read, changed, rotated, enabled, tested, deleted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from signing import Request, Response, SigningKey, WebhookSecret, registration_body
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, header, post, problem

PATH = "/v1/webhook_endpoints"
URL = "https://merchant.example/hook"


def act(path: str, method: str = "POST", *, key: str | None = None, **body: object) -> Request:
    return replace(post(path, json.dumps(body).encode(), key=key), method=method)


async def create(stack: Gateway, merchant: Merchant, **order: object) -> dict[str, Any]:
    answer = await stack.ask(post(PATH, json.dumps({"url": URL, **order}).encode()), merchant)
    assert answer.status == 201, answer.body
    return said(answer)


def said(answer: Response) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer.body)
    return document


async def owed(stack: Gateway, endpoint_id: str, state: str = "pending", error: str | None = None) -> str:
    """Let there be a delivery to an endpoint; return its id."""
    rows = await stack.query(
        "insert into notifications.delivery"
        " (endpoint_id, payment_id, sequence, event_id, body, state, due, last_error)"
        " values ($1, 'pay_eu_' || gen_random_uuid(), 1, 'evt_1',"
        """ '{"type":"payment.succeeded"}', $2, case $2 when 'pending' then now() end, $3) returning id""",
        endpoint_id,
        state,
        error,
    )
    found: str = rows[0]["id"]
    return found


@pytest.fixture
async def merchant(stack: Gateway) -> Merchant:
    return await stack.enrol("Hooked", "EUR")


async def test_an_endpoint_is_made_shown_and_listed(stack: Gateway, merchant: Merchant) -> None:
    wanted = ["payment.succeeded", "payment.failed", "payment.failed"]
    answer = await stack.ask(act(PATH, url=URL, events=wanted, description="shop"), merchant)

    made = said(answer)
    read = await stack.ask(get(f"{PATH}/{made['id']}"), merchant)
    listed = await stack.ask(get(PATH), merchant)

    assert (201, f"{PATH}/{made['id']}") == (answer.status, header(answer, "Location"))
    assert made.pop("secret") is None
    assert (URL, "shop", "active", 1, []) == tuple(
        made[name] for name in ("url", "description", "status", "sequence", "secrets")
    )
    assert ["payment.failed", "payment.succeeded"] == made["events"]
    assert made == said(read)
    assert [made] == said(listed)["data"]


async def test_a_secret_is_shown_once_and_is_nowhere_in_clear(stack: Gateway, merchant: Merchant) -> None:
    request = stack.sign(act(PATH, url=URL, symmetric_secret=True), merchant.key)

    first, again = await stack.send(request), await stack.send(request)

    secret = WebhookSecret.from_text(said(first)["secret"])
    assert said(again)["secret"] is None
    assert "true" == header(again, "Idempotent-Replayed")
    assert [secret.fingerprint] == [each["fingerprint"] for each in said(again)["secrets"]]
    for answer in (first, again):
        await stack.receipt(request, answer)
    tables = await stack.query(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables"
        " where schemaname not in ('pg_catalog', 'information_schema')"
    )
    shown = {secret.to_text(), secret.to_text().removeprefix("whsec_"), secret.octets.hex()}
    for table in tables:
        rows = await stack.query(f"select t::text as row from {table['name']} t")
        assert not [row for row in rows if any(form in row["row"] for form in shown)], table
    assert not any(form in stack.log() for form in shown)


async def test_a_change_is_a_new_sequence_and_an_old_tag_no_longer_fits(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant, description="old")
    path = f"{PATH}/{made['id']}"
    tag = header(await stack.ask(get(path), merchant), "ETag")
    assert tag is not None

    answer = await stack.ask(act(path, "PATCH", events=["*"], description=""), merchant)
    unchanged = get(path)
    current = header(await stack.ask(unchanged, merchant), "ETag")
    matched = await stack.ask(unchanged.with_headers((("If-None-Match", str(current)),)), merchant)
    stale = await stack.ask(unchanged.with_headers((("If-None-Match", tag),)), merchant)

    assert (200, 2, None, ["*"], URL) == (
        answer.status, *(said(answer)[name] for name in ("sequence", "description", "events", "url"))
    )  # fmt: skip
    assert current != tag
    assert (304, 200) == (matched.status, stale.status)


@pytest.mark.parametrize(
    ("order", "pointer"),
    [
        ({"url": "http://merchant.example/"}, "/url"),
        ({"url": "https://127.0.0.1/hook"}, "/url"),
        ({"url": "https://10.0.0.8/hook"}, "/url"),
        ({"url": "https://[::1]/hook"}, "/url"),
        ({"url": "https://merchant.example:22/hook"}, "/url"),
        ({"url": "https://user@merchant.example/hook"}, "/url"),
        ({"events": ["payment.succeeded", "payment.exploded"]}, "/events/1"),
        ({"events": []}, "/events"),
        ({"description": "line\nbreak"}, "/description"),
        ({"colour": "red"}, ""),
    ],
)
async def test_what_nothing_would_be_sent_to_is_refused_and_leaves_nothing(
    stack: Gateway, merchant: Merchant, order: dict[str, object], pointer: str
) -> None:
    answer = await stack.ask(post(PATH, json.dumps({"url": URL, **order}).encode()), merchant)

    assert 422 == answer.status
    assert [pointer] == [each["pointer"] for each in said(answer)["errors"]]
    assert [] == said(await stack.ask(get(PATH), merchant))["data"]


async def test_a_merchant_has_sixteen_endpoints_at_the_most(stack: Gateway, merchant: Merchant) -> None:
    for _ in range(16):
        made = await create(stack, merchant)

    refused = await stack.ask(act(PATH, url=URL), merchant)
    await stack.ask(act(f"{PATH}/{made['id']}", "DELETE"), merchant)
    allowed = await stack.ask(act(PATH, url=URL), merchant)

    assert (409, "state_conflict", 201) == (refused.status, problem(refused)["code"], allowed.status)


async def test_a_rotation_leaves_the_old_secret_good_for_its_overlap(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant, symmetric_secret=True)
    path = f"{PATH}/{made['id']}/rotate_secret"

    overlapping = said(await stack.ask(act(path, overlap_s=600), merchant))
    at_once = said(await stack.ask(act(path, overlap_s=0), merchant))

    first, second = (WebhookSecret.from_text(each["secret"]) for each in (made, overlapping))
    newest, old = overlapping["secrets"]
    assert (second.fingerprint, None) == (newest["fingerprint"], newest["expires_at"])
    assert first.fingerprint == old["fingerprint"]
    assert old["expires_at"] is not None
    # The one that had an end of its own keeps it; the one that is replaced without an overlap is gone.
    assert [WebhookSecret.from_text(at_once["secret"]).fingerprint, first.fingerprint] == [
        each["fingerprint"] for each in at_once["secrets"]
    ]


async def test_a_disabled_endpoint_is_enabled_and_gets_what_it_missed(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant)
    path = f"{PATH}/{made['id']}"
    early = await stack.ask(act(f"{path}/enable"), merchant)
    await stack.query("update notifications.endpoint set status = 'disabled' where id = $1", made["id"])
    missed = await owed(stack, made["id"], "dead", "endpoint-gone")
    given_up = await owed(stack, made["id"], "dead", "timed-out")

    answer = await stack.ask(act(f"{path}/enable"), merchant)

    states = {
        each["id"]: each["status"]
        for each in said(await stack.ask(get(f"{path}/deliveries"), merchant))["data"]
    }
    assert (409, 200, "active") == (early.status, answer.status, said(answer)["status"])
    assert {missed: "pending", given_up: "dead"} == states


async def test_a_test_event_is_a_delivery_that_can_be_looked_at_and_replayed(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant, events=["payment.failed"])

    asked = await stack.ask(act(f"{PATH}/{made['id']}/test"), merchant)
    shown = said(asked)
    read = said(await stack.ask(get(f"/v1/deliveries/{shown['id']}"), merchant))
    replayed = await stack.ask(act(f"/v1/deliveries/{shown['id']}/replay"), merchant)

    assert (202, f"/v1/deliveries/{shown['id']}") == (asked.status, header(asked, "Location"))
    assert ("webhook_endpoint.test", True, None, 1) == tuple(
        shown[name] for name in ("event_type", "test", "payment_id", "sequence")
    )
    assert [] == read.pop("attempts")
    assert shown == read
    assert (202, "pending", 0) == (
        replayed.status, said(replayed)["status"], said(replayed)["attempts_made"]
    )  # fmt: skip


async def test_tests_do_not_pile_up_at_an_endpoint_that_does_not_answer(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant)

    answers = [await stack.ask(act(f"{PATH}/{made['id']}/test"), merchant) for _ in range(6)]

    assert [202] * 5 + [409] == [answer.status for answer in answers]


async def test_what_is_deleted_is_owed_nothing_and_is_not_there_any_more(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant, symmetric_secret=True)
    path = f"{PATH}/{made['id']}"
    delivery = await owed(stack, made["id"])
    request = stack.sign(act(path, "DELETE"), merchant.key)

    first, again = await stack.send(request), await stack.send(request)

    read = await stack.ask(get(path), merchant)
    story = said(await stack.ask(get(f"/v1/deliveries/{delivery}"), merchant))
    secrets = await stack.query(
        "select from notifications.endpoint_secret where endpoint_id = $1", made["id"]
    )
    assert (200, "deleted", []) == (first.status, said(first)["status"], said(first)["secrets"])
    assert (first.body, "true") == (again.body, header(again, "Idempotent-Replayed"))
    assert 404 == read.status
    assert ("dead", "endpoint-deleted") == (story["status"], story["last_error"])
    assert [] == secrets


async def test_deliveries_are_listed_by_status_and_page(stack: Gateway, merchant: Merchant) -> None:
    made = await create(stack, merchant)
    path = f"{PATH}/{made['id']}/deliveries"
    ids = [await owed(stack, made["id"]) for _ in range(3)]
    dead = await owed(stack, made["id"], "dead", "timed-out")

    first = said(await stack.ask(get(f"{path}?limit=2"), merchant))
    rest = said(await stack.ask(get(f"{path}?limit=2&starting_after={first['data'][-1]['id']}"), merchant))
    ended = said(await stack.ask(get(f"{path}?status=dead"), merchant))

    assert (True, False) == (first["has_more"], rest["has_more"])
    assert [dead, *ids[::-1]] == [each["id"] for each in (*first["data"], *rest["data"])]
    assert [dead] == [each["id"] for each in ended["data"]]


async def test_a_key_without_the_scope_does_not_touch_endpoints(stack: Gateway, merchant: Merchant) -> None:
    made = await create(stack, merchant)
    key = SigningKey.generate("ed25519")
    body = json.loads(registration_body(key, merchant_id=merchant.merchant_id, now=int(time.time())))
    await stack.ask(post("/v1/keys", json.dumps({**body, "scopes": ["pay", "read"]}).encode()), merchant)
    reader = Merchant(merchant.merchant_id, key)

    refused = [
        await stack.ask(request, reader)
        for request in (act(PATH, url=URL), act(f"{PATH}/{made['id']}", "DELETE"))
    ]
    read = await stack.ask(get(f"{PATH}/{made['id']}"), reader)

    assert [(403, "key_scope")] * 2 == [(each.status, problem(each)["code"]) for each in refused]
    assert (200, "active") == (read.status, said(read)["status"])
