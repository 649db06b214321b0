"""What an endpoint's object tells of its order and of its health, and to whom."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import get, header, post

PATH = "/v1/webhook_endpoints"
CLOSED = {"state": "closed", "failures": 0, "failing_since": None, "next_probe_at": None}
UNKNOWN = CLOSED | {"state": "unknown"}
SINCE = datetime(2026, 11, 1, 12, tzinfo=UTC)
SINCE_TEXT = "2026-11-01T12:00:00.000000Z"
PROBE = datetime(2126, 11, 1, 12, tzinfo=UTC)
PROBE_TEXT = "2126-11-01T12:00:00.000000Z"


def said(answer: Response) -> dict[str, Any]:
    assert answer.status in (200, 201, 202), answer.body
    document: dict[str, Any] = json.loads(answer.body)
    return document


def act(path: str, method: str = "POST", **body: object) -> Request:
    return replace(post(path, json.dumps(body).encode()), method=method)


@pytest.fixture
async def merchant(stack: Gateway) -> Merchant:
    return await stack.enrol("Healthy", "EUR")


async def create(stack: Gateway, merchant: Merchant, **order: str) -> dict[str, Any]:
    return said(await stack.ask(act(PATH, "POST", url="https://merchant.example/hook", **order), merchant))


async def fail(stack: Gateway, endpoint_id: str, *, is_open: bool = False, is_probing: bool = False) -> None:
    await stack.query("delete from notifications.breaker where endpoint_id = $1", endpoint_id)
    await stack.query(
        "insert into notifications.breaker"
        " (endpoint_id, failures, failing_since, openings, open_until, probing)"
        " values ($1, 12, $2, $3::int, $4, $5)",
        endpoint_id, SINCE, 1 if is_open else 0, PROBE if is_open else None, is_probing,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("breaker", "state", "next_probe_at"),
    [
        ({}, "closed", None),
        ({"is_open": True}, "open", PROBE_TEXT),
        ({"is_open": True, "is_probing": True}, "probing", None),
    ],
)
async def test_health_is_what_the_breaker_knows_and_the_entity_tag_changes_with_it(
    stack: Gateway, merchant: Merchant, breaker: dict[str, bool], state: str, next_probe_at: str | None
) -> None:
    made = await create(stack, merchant)
    path = f"{PATH}/{made['id']}"
    well = header(await stack.ask(get(path), merchant), "ETag")
    await fail(stack, made["id"], **breaker)

    answer = await stack.ask(get(path).with_headers((("If-None-Match", str(well)),)), merchant)
    tag = header(answer, "ETag")
    again = await stack.ask(get(path).with_headers((("If-None-Match", str(tag)),)), merchant)
    listed = said(await stack.ask(get(PATH), merchant))["data"]
    await stack.query("delete from notifications.breaker where endpoint_id = $1", made["id"])
    healed = await stack.ask(get(path).with_headers((("If-None-Match", str(tag)),)), merchant)

    told = {"state": state, "failures": 12, "failing_since": SINCE_TEXT, "next_probe_at": next_probe_at}
    assert CLOSED == made["health"] == said(healed)["health"]
    assert told == said(answer)["health"] == listed[0]["health"]
    assert 304 == again.status
    assert made["sequence"] == said(answer)["sequence"]


async def test_a_probe_that_died_with_its_process_is_shown_as_open(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant)
    await fail(stack, made["id"], is_open=True, is_probing=True)
    await stack.query(
        "update notifications.breaker set open_until = $2 where endpoint_id = $1", made["id"], SINCE
    )

    health = said(await stack.ask(get(f"{PATH}/{made['id']}"), merchant))["health"]

    assert ("open", SINCE_TEXT) == (health["state"], health["next_probe_at"])


async def test_nobody_knows_how_an_endpoint_fares_that_nothing_is_sent_to(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant)
    path = f"{PATH}/{made['id']}"
    await stack.query("update notifications.endpoint set status = 'disabled' where id = $1", made["id"])

    disabled = said(await stack.ask(get(path), merchant))
    enabled = said(await stack.ask(act(f"{path}/enable"), merchant))
    deleted = said(await stack.ask(act(path, "DELETE"), merchant))

    assert [UNKNOWN, CLOSED, UNKNOWN] == [each["health"] for each in (disabled, enabled, deleted)]


async def test_another_url_is_thought_well_of_and_other_changes_heal_nothing(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant)
    path = f"{PATH}/{made['id']}"
    await fail(stack, made["id"], is_open=True)

    described = said(await stack.ask(act(path, "PATCH", description="shop"), merchant))
    moved = said(await stack.ask(act(path, "PATCH", url="https://merchant.example/new"), merchant))

    assert ["open", "closed"] == [each["health"]["state"] for each in (described, moved)]
    assert moved == said(await stack.ask(get(path), merchant))


async def test_the_order_is_chosen_at_creation_and_changed_by_a_change(
    stack: Gateway, merchant: Merchant
) -> None:
    plain = await create(stack, merchant)
    ordered = await create(stack, merchant, ordering="per_payment")
    path = f"{PATH}/{plain['id']}"

    changed = said(await stack.ask(act(path, "PATCH", ordering="per_payment"), merchant))
    kept = said(await stack.ask(act(path, "PATCH", description="shop"), merchant))
    back = said(await stack.ask(act(path, "PATCH", ordering="none"), merchant))
    refused = await stack.ask(act(path, "PATCH", ordering="per_object"), merchant)

    assert ["none", "per_payment"] == [plain["ordering"], ordered["ordering"]]
    assert ["per_payment", "per_payment", "none"] == [each["ordering"] for each in (changed, kept, back)]
    assert back == said(await stack.ask(get(path), merchant))
    assert 422 == refused.status


async def test_what_waits_in_line_is_pending_without_a_next_attempt_and_a_replay_leaves_it_there(
    stack: Gateway, merchant: Merchant
) -> None:
    made = await create(stack, merchant, ordering="per_payment")
    await stack.query(
        "insert into notifications.delivery"
        " (endpoint_id, payment_id, sequence, event_id, body, in_line, state, due)"
        " select $1, 'pay_eu_' || $1, n, 'evt_' || n, '{\"type\":\"payment.failed\"}', true, 'waiting', null"
        " from generate_series(1, 2) n",
        made["id"],
    )

    listed = said(await stack.ask(get(f"{PATH}/{made['id']}/deliveries?status=pending"), merchant))["data"]
    second, first = sorted(listed, key=lambda each: -each["sequence"])
    replayed = said(await stack.ask(act(f"/v1/deliveries/{second['id']}/replay"), merchant))

    assert ["pending", "pending"] == [first["status"], second["status"]]
    assert first["next_attempt_at"] is not None
    assert second["next_attempt_at"] is None
    assert second == replayed == {
        name: value
        for name, value in said(await stack.ask(get(f"/v1/deliveries/{second['id']}"), merchant)).items()
        if name != "attempts"
    }  # fmt: skip
