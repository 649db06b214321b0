"""Instruments through a running gateway and a running vault: what a merchant gets, and what it may not."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import replace
from typing import Any

import pytest

from signing import Request, Response
from tests.integration.gateway.gateway_stack import Gateway
from tests.integration.gateway.merchant_requests import get, header, payment_request, post, problem

VISA = "4242424242424242"


def card(number: str = VISA, **more: object) -> dict[str, object]:
    return {"card": {"number": number, "expiry_month": 12, "expiry_year": 2039, **more}}


def keep(members: dict[str, object], *, blind: str | None = "", key: str | None = None) -> Request:
    blinded = members if blind is None else {**members, "blind": blind or secrets.token_urlsafe(24)}
    return post("/v1/instruments", json.dumps(blinded).encode(), key=key)


def delete(token: str, *, key: str | None = None) -> Request:
    return replace(post(f"/v1/instruments/{token}", b"{}", key=key), method="DELETE")


def told(answer: Response) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(answer.body)
    return value


async def test_a_card_becomes_an_instrument_that_shows_little_of_it(stack: Gateway) -> None:
    answer = await stack.ask(keep(card()))

    instrument = told(answer)
    read = told(await stack.ask(get(f"/v1/instruments/{instrument['id']}")))
    assert 201 == answer.status, answer.body
    assert {"brand": "visa", "last4": "4242"} == instrument["card"]
    assert ("card", "active", None) == (instrument["type"], instrument["status"], instrument["iban"])
    assert VISA not in answer.body.decode()
    assert instrument == read


async def test_an_iban_becomes_an_instrument(stack: Gateway) -> None:
    answer = await stack.ask(keep({"iban": "DE89370400440532013000"}))

    assert ("iban", {"country": "DE", "last4": "3000"}) == (told(answer)["type"], told(answer)["iban"])


async def test_a_repeat_gets_the_stored_answer_and_the_same_number_the_same_token(stack: Gateway) -> None:
    request = keep(card("5555555555554444"), key="one-card-many-times")

    answers = await asyncio.gather(*(stack.ask(request) for _ in range(10)))
    again = await stack.ask(keep(card("5555555555554444")))

    assert {201} == {answer.status for answer in answers}
    assert 1 == len({answer.body for answer in answers})
    assert 9 == sum(header(answer, "Idempotent-Replayed") == "true" for answer in answers)
    assert told(answers[0])["id"] == told(again)["id"]


async def test_a_deleted_instrument_shows_nothing_and_pays_nothing_more(stack: Gateway) -> None:
    instrument = told(await stack.ask(keep(card("4000009000000003"))))

    answer = await stack.ask(delete(instrument["id"]))
    repeat = await stack.ask(delete(instrument["id"]))

    shown = told(await stack.ask(get(f"/v1/instruments/{instrument['id']}")))
    rows = await stack.query("select count(*) from vault.data_key where token = $1", instrument["id"])
    anew = told(await stack.ask(keep(card("4000009000000003"))))
    assert (200, 200) == (answer.status, repeat.status)
    assert ("deleted", None) == (told(answer)["status"], told(answer)["card"])
    assert told(answer) == shown
    assert 0 == rows[0]["count"]
    assert instrument["id"] != anew["id"]


async def test_two_instruments_are_deleted_under_one_key_only_if_it_says_so(stack: Gateway) -> None:
    first = told(await stack.ask(keep(card("4000009000000029"))))["id"]
    second = told(await stack.ask(keep(card("4000009000000037"))))["id"]
    await stack.ask(delete(first, key="one-key-two-instruments"))

    answer = await stack.ask(delete(second, key="one-key-two-instruments"))

    assert (422, "idempotency_key_reused") == (answer.status, problem(answer).get("code"))


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        (card(cvc="123"), "/card/cvc"),
        (card() | {"cvc": "123"}, "/cvc"),
        (card(security_code="123"), "/card/security_code"),
        (card("4242424242424241"), "/card/number"),
        (card("4242 4242 4242 4242"), "/card/number"),
        (card(expiry_year=2020), "/card/expiry_year"),
        ({"iban": "DE88370400440532013000"}, "/iban"),
        ({"iban": "DE89 3704 0044 0532 0130 00"}, "/iban"),
        (card() | {"iban": "DE89370400440532013000"}, ""),
        ({}, ""),
    ],
    ids=str,
)
async def test_what_is_no_instrument_is_refused_and_never_repeated(
    stack: Gateway, members: dict[str, object], pointer: str
) -> None:
    answer = await stack.ask(keep(members))

    errors: Any = problem(answer)["errors"]
    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
    assert [pointer] == [fault["pointer"] for fault in errors]
    assert "4242" not in answer.body.decode()


@pytest.mark.parametrize("blind", [None, "short", "A" * 32, "not base64url!" * 2], ids=str)
async def test_without_a_blind_nothing_is_kept_by_which_a_number_could_be_found(
    stack: Gateway, blind: str | None
) -> None:
    # An own one: of a key that was refused often in this minute refusals are counted and not written.
    merchant = await stack.enrol("Blind", "EUR")
    before = await stack.footprint()

    answer = await stack.ask(keep(card(), blind=blind), merchant)

    after = await stack.footprint()
    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
    assert before["evidence.record"] == after["evidence.record"]
    assert before["audit.entry"] + 1 == after["audit.entry"]


async def test_a_refusal_of_a_blinded_body_is_evidence_without_the_body(stack: Gateway) -> None:
    answer = await stack.ask(keep(card("4242424242424241")))

    rows = await stack.query(
        "select request_body from evidence.record where subject = $1", header(answer, "Request-Id")
    )
    assert [None] == [row["request_body"] for row in rows]


async def test_a_merchant_cannot_see_delete_or_use_the_instrument_of_another(stack: Gateway) -> None:
    theirs = told(await stack.ask(keep(card())))["id"]
    other = await stack.enrol("Other", "EUR")

    seen = await stack.ask(get(f"/v1/instruments/{theirs}"), other)
    deleted = await stack.ask(delete(theirs), other)
    paid = await stack.ask(payment_request(instrument=theirs), other)

    mine = await stack.ask(payment_request(instrument=theirs))
    assert (404, 404, 422) == (seen.status, deleted.status, paid.status)
    assert 202 == mine.status


async def test_an_instrument_of_another_cell_is_elsewhere(stack: Gateway) -> None:
    answer = await stack.ask(get("/v1/instruments/tok_us_0000000000000000000000000z"))

    assert (421, "wrong_cell") == (answer.status, problem(answer)["code"])


async def test_the_evidence_of_an_instrument_holds_its_token_and_no_body(stack: Gateway) -> None:
    answer = await stack.ask(keep(card()))

    rows = await stack.query(
        "select kind, decision, request_body, response_body from evidence.record where subject = $1",
        header(answer, "Request-Id"),
    )
    assert [("command", "accepted", None, answer.body)] == [tuple(row) for row in rows]


async def test_while_the_vault_is_away_it_is_said_and_payments_go_on(stack: Gateway) -> None:
    # A key that the vault does not have: to a merchant it is as much away as a vault that is down.
    keys = stack.vault.key_file.read_bytes()
    stack.vault.key_file.write_bytes(keys + b"#\n")
    request = keep(card("4000009000000045"))
    try:
        answer = await stack.ask(request)
        paid = await stack.ask(payment_request())
    finally:
        stack.vault.key_file.write_bytes(keys)

    again = await stack.ask(request)
    assert (503, "cell_unavailable") == (answer.status, problem(answer)["code"])
    assert "1" == header(answer, "Retry-After")
    assert 202 == paid.status
    assert 201 == again.status


async def test_a_key_without_the_scope_neither_keeps_nor_deletes(stack: Gateway) -> None:
    merchant = await stack.enrol("Narrow", "EUR")
    await stack.query("alter table registry.merchant_key disable trigger only_revoked_once")
    await stack.query(
        "update registry.merchant_key set scopes = array['pay', 'read'] where key_id = $1",
        merchant.key.key_id,
    )
    await stack.query("alter table registry.merchant_key enable trigger only_revoked_once")

    kept = await stack.ask(keep(card()), merchant)
    deleted = await stack.ask(delete("tok_eu_0000000000000000000000000z"), merchant)

    assert [(403, "key_scope")] * 2 == [
        (answer.status, problem(answer)["code"]) for answer in (kept, deleted)
    ]
