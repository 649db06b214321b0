from __future__ import annotations

import base64
import json
import time
from dataclasses import replace

import asyncpg
import msgspec
import pytest

from gateway.access.merchants import KEY_AGE_S_MAX
from gateway.idempotency import fingerprint, key_hash
from signing import Request, SigningKey, registration_body
from signing.digest import content_digest
from signing.registration import STATEMENT_AGE_S_MAX
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import (
    first_key_request,
    get,
    header,
    payment_request,
    post,
    problem,
)


def later_key_request(merchant: Merchant, new: SigningKey) -> Request:
    body = registration_body(new, merchant_id=merchant.merchant_id, now=int(time.time()))
    return post("/v1/keys", body)


async def test_a_first_key_is_registered_once_and_its_request_repeated_gets_the_same_answer(
    stack: Gateway,
) -> None:
    token = stack.enrol_only("First", "EUR")
    key = SigningKey.generate("ecdsa-p256-sha256")
    request = stack.sign(first_key_request(key, token), key)

    first, again = await stack.send(request), await stack.send(request)

    assert 201 == first.status
    assert (first.status, first.body) == (again.status, again.body)
    assert "true" == header(again, "Idempotent-Replayed")
    assert (key.key_id, token["merchant_id"], "active") == tuple(
        json.loads(first.body)[name] for name in ("key_id", "merchant_id", "status")
    )
    for answer in (first, again):
        await stack.receipt(request, answer)


async def test_a_token_is_good_for_one_key(stack: Gateway) -> None:
    token = stack.enrol_only("Once", "EUR")
    first, second = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")
    accepted = await stack.send(stack.sign(first_key_request(first, token), first))
    before = await stack.footprint()

    refused = await stack.send(stack.sign(first_key_request(second, token), second))

    assert (201, 403, "not_permitted") == (accepted.status, refused.status, problem(refused)["code"])
    assert before == await stack.footprint()


async def test_a_wrong_secret_is_refused_in_the_same_words_as_a_token_that_does_not_exist(
    stack: Gateway,
) -> None:
    enrolled = stack.enrol_only("Wrong", "EUR")
    key = SigningKey.generate("ed25519")
    token_id, _, secret = enrolled["enrolment_token"].partition(".")
    turned = "A" if secret[0] != "A" else "B"
    other = "x" if token_id[-1] != "x" else "y"
    before = await stack.footprint()

    answers = [
        await stack.send(stack.sign(first_key_request(key, enrolled, token=guess), key))
        for guess in (f"{token_id}.{turned}{secret[1:]}", f"{token_id[:-1]}{other}.{secret}")
    ]

    known = [(answer.status, problem(answer)["code"], problem(answer)["detail"]) for answer in answers]
    assert [(403, "not_permitted", "the enrolment token is not good")] * 2 == known
    assert before == await stack.footprint()


async def test_an_expired_token_is_refused(stack: Gateway) -> None:
    token = stack.enrol_only("Late", "EUR")
    key = SigningKey.generate("ed25519")
    await stack.query(
        "update registry.enrolment_token set issued_at = now() - interval '2 days',"
        " expires_at = now() - interval '1 second' where token_id = $1",
        token["enrolment_token"].partition(".")[0],
    )

    answer = await stack.send(stack.sign(first_key_request(key, token), key))

    assert (403, "not_permitted") == (answer.status, problem(answer)["code"])


async def test_a_first_key_must_sign_its_own_introduction(stack: Gateway) -> None:
    token = stack.enrol_only("Possession", "EUR")
    key, other = SigningKey.generate("ed25519"), SigningKey.generate("ed25519")

    answer = await stack.send(stack.sign(first_key_request(key, token), other))

    assert (401, "key_unknown") == (answer.status, problem(answer)["code"])


async def test_a_registered_key_is_refused_with_any_token(stack: Gateway) -> None:
    merchant = await stack.merchant()
    token = stack.enrol_only("Thief", "EUR")

    answer = await stack.send(stack.sign(first_key_request(merchant.key, token), merchant.key))

    assert (409, "state_conflict") == (answer.status, problem(answer)["code"])


async def test_a_later_key_is_registered_by_a_valid_one_and_signs_from_then_on(stack: Gateway) -> None:
    merchant, new = await stack.merchant(), SigningKey.generate("ecdsa-p256-sha256")
    request = stack.sign(later_key_request(merchant, new), merchant.key)

    registered = await stack.send(request)
    paid = await stack.send(stack.sign(payment_request(), new))

    assert (201, 202) == (registered.status, paid.status)
    await stack.receipt(request, registered)


async def test_a_registration_repeated_when_its_proof_is_old_gets_the_stored_answer(stack: Gateway) -> None:
    merchant, new = await stack.enrol("Patient", "EUR"), SigningKey.generate("ed25519")
    request = later_key_request(merchant, new)
    first = await stack.send(stack.sign(request, merchant.key))
    long_ago = int(time.time()) - 2 * STATEMENT_AGE_S_MAX
    body = registration_body(new, merchant_id=merchant.merchant_id, now=long_ago)
    # As if the first one had been sent two hours ago: its stored fingerprint is that of the old body.
    old = replace(post("/v1/keys", body), headers=request.headers)
    await stack.query(
        "update registry.key_request set fingerprint = $1 where scope = $2 and key_hash = $3",
        fingerprint(method="POST", path="/v1/keys", query="", content_digest=content_digest(body)),
        merchant.merchant_id,
        key_hash(dict(request.headers)["Idempotency-Key"].strip('"')),
    )

    again = await stack.send(stack.sign(old, merchant.key))

    assert (201, first.body) == (again.status, again.body)
    assert "true" == header(again, "Idempotent-Replayed")


@pytest.mark.parametrize("first", [True, False])
async def test_a_key_needs_a_proof_that_is_its_own(stack: Gateway, first: bool) -> None:
    merchant, new = await stack.merchant(), SigningKey.generate("ed25519")
    enrolled = stack.enrol_only("Proof", "EUR")
    request = first_key_request(new, enrolled) if first else later_key_request(merchant, new)
    body = json.loads(request.body or b"")
    body["proof"] = base64.b64encode(merchant.key.sign(b"anything")).decode()
    forged = replace(request, body=msgspec.json.encode(body))

    answer = await stack.send(stack.sign(forged, new if first else merchant.key))

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
    assert "/proof" == json.loads(answer.body)["errors"][0]["pointer"]


@pytest.mark.parametrize("missing", ["proof", "issued_at"])
async def test_a_first_key_without_its_proof_is_refused_and_the_token_stays_good(
    stack: Gateway, missing: str
) -> None:
    enrolled, key = stack.enrol_only("Unproven", "EUR"), SigningKey.generate("ed25519")
    body = json.loads(first_key_request(key, enrolled).body or b"")
    del body[missing]

    refused = await stack.send(stack.sign(post("/v1/keys", msgspec.json.encode(body)), key))
    accepted = await stack.send(stack.sign(first_key_request(key, enrolled), key))

    assert (422, 201) == (refused.status, accepted.status)


async def test_a_key_cannot_be_registered_for_another_merchant_than_its_statement_names(
    stack: Gateway,
) -> None:
    enrolled, other = stack.enrol_only("Named", "EUR"), stack.enrol_only("Unnamed", "EUR")
    key = SigningKey.generate("ed25519")
    request = first_key_request(key, enrolled, token=other["enrolment_token"])

    answer = await stack.send(stack.sign(request, key))

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])


async def test_a_key_belongs_to_one_merchant_for_ever(stack: Gateway) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Other", "EUR")

    stolen = await stack.send(stack.sign(later_key_request(other, merchant.key), other.key))

    assert (409, "state_conflict") == (stolen.status, problem(stolen)["code"])


async def test_a_revoked_key_is_refused_within_its_bounded_time_and_stays_in_the_history(
    stack: Gateway,
) -> None:
    merchant = await stack.enrol("Revoked", "EUR")
    done = stack.operate("revoke-key", merchant.key.key_id, "--reason", "lost")
    assert 0 == done.returncode, done.stderr
    deadline = time.monotonic() + KEY_AGE_S_MAX + 5
    status = 202
    while status == 202 and time.monotonic() < deadline:
        answer = await stack.send(stack.sign(payment_request(), merchant.key))
        status = answer.status

    assert (401, "key_revoked") == (status, problem(answer)["code"])
    events = await stack.query(
        "select event, reason from registry.key_event where key_id = $1 order by position",
        merchant.key.key_id,
    )
    assert [("registered", None), ("revoked", "lost")] == [tuple(event) for event in events]
    assert 1 == stack.operate("revoke-key", merchant.key.key_id, "--reason", "again").returncode


@pytest.mark.parametrize(
    "statement",
    [
        "delete from registry.key_event",
        "update registry.key_event set event = 'revoked'",
        "truncate registry.key_event",
        "delete from registry.merchant_key",
        "update registry.merchant_key set merchant_id = 'x'",
        "update registry.merchant_key set revoked_at = null where revoked_at is not null",
    ],
)
async def test_the_history_of_keys_cannot_be_rewritten_even_by_its_owner(
    stack: Gateway, statement: str
) -> None:
    await stack.merchant()
    revoked = await stack.enrol("Rewritten", "EUR")
    stack.operate("revoke-key", revoked.key.key_id, "--reason", "for this test")

    with pytest.raises(asyncpg.PostgresError) as refused:
        await stack.query(statement)

    assert "23001" == refused.value.sqlstate


async def test_the_published_keys_are_the_ones_that_sign(stack: Gateway) -> None:
    published = await stack.send(get("/.well-known/countermark-keys"))

    assert 200 == published.status
    assert "application/jwk-set+json" == header(published, "Content-Type")
    assert 2 == len(json.loads(published.body)["keys"])


async def test_a_weak_key_is_refused(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = later_key_request(merchant, SigningKey.generate("ed25519"))
    body = json.loads(request.body or b"")
    # The point of order one: under it, one signature would verify for every message.
    body["public_key"] = {"kty": "OKP", "crv": "Ed25519", "x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
    weak = replace(request, body=msgspec.json.encode(body))

    answer = await stack.send(stack.sign(weak, merchant.key))

    assert (422, "validation_failed") == (answer.status, problem(answer)["code"])
