"""Attack 14: a right signature of the wrong merchant, and one key under two of them (RFC 9421 §7.3.4)."""

from __future__ import annotations

import base64
import json
import time

import msgspec

from signing import SigningKey, registration_statement, sign_possession
from tests.adversary.gateway.refusal_checks import refuse
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import first_key_request, get, payment_request, post


async def test_a_right_signature_reads_nothing_of_another(stack: Gateway, another: Merchant) -> None:
    merchant = await stack.merchant()
    paid = json.loads((await stack.send(stack.sign(payment_request(), merchant.key))).body)
    for path in (f"/v1/payments/{paid['id']}", f"/v1/payments/{paid['id']}/events"):
        # The same words as for a payment that does not exist: nothing says that it is another's.
        await refuse(stack, stack.sign(get(path), another.key), 404, "not_found", rows=1, signed=True)


async def test_a_payment_belongs_to_the_key_that_signed_it_whatever_it_says(
    stack: Gateway, another: Merchant
) -> None:
    victim = await stack.merchant()
    request = stack.sign(payment_request(merchant_id=victim.merchant_id), another.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)
    owner = await stack.query(
        "select count(*) from evidence.record"
        " where key_id = $1 and merchant_id = $2 and decision = 'accepted'",
        another.key.key_id,
        victim.merchant_id,
    )
    assert 0 == owner[0][0]


async def test_a_key_that_somebody_has_is_nobody_elses(stack: Gateway, another: Merchant) -> None:
    # The thief holds the victim's public key alone, or even colludes and has its proof of possession.
    victim = await stack.merchant()
    issued_at = int(time.time())
    key = victim.key
    statement = registration_statement(another.merchant_id, key.key_id, key.alg, issued_at)
    for proof, status, code in (
        (bytes(64), 422, "validation_failed"),
        (sign_possession(statement, key), 409, "state_conflict"),
    ):
        body = {
            "public_key": key.verifying_key.to_jwk(),
            "proof": base64.b64encode(proof).decode(),
            "issued_at": issued_at,
        }
        request = stack.sign(post("/v1/keys", msgspec.json.encode(body)), another.key)
        await refuse(stack, request, status, code, rows=1, signed=True)


async def test_a_key_stays_its_first_owners_after_it_was_revoked(stack: Gateway, another: Merchant) -> None:
    former = await stack.enrol("Former", "EUR")
    assert 0 == stack.operate("revoke-key", former.key.key_id, "--reason", "sold").returncode
    issued_at = int(time.time())
    key = former.key
    statement = registration_statement(another.merchant_id, key.key_id, key.alg, issued_at)
    body = {
        "public_key": key.verifying_key.to_jwk(),
        "proof": base64.b64encode(sign_possession(statement, key)).decode(),
        "issued_at": issued_at,
    }

    request = stack.sign(post("/v1/keys", msgspec.json.encode(body)), another.key)

    await refuse(stack, request, 409, "state_conflict", rows=1, signed=True)


async def test_a_proof_made_for_one_merchant_is_none_for_another(stack: Gateway, another: Merchant) -> None:
    victim, key, issued_at = await stack.merchant(), SigningKey.generate("ed25519"), int(time.time())
    statement = registration_statement(victim.merchant_id, key.key_id, key.alg, issued_at)
    body = {
        "public_key": key.verifying_key.to_jwk(),
        "proof": base64.b64encode(sign_possession(statement, key)).decode(),
        "issued_at": issued_at,
    }

    request = stack.sign(post("/v1/keys", msgspec.json.encode(body)), another.key)

    await refuse(stack, request, 422, "validation_failed", rows=1, signed=True)


async def test_a_token_binds_no_key_that_is_registered(stack: Gateway, another: Merchant) -> None:
    enrolled = stack.enrol_only("Thief", "EUR")
    request = stack.sign(first_key_request(another.key, enrolled), another.key)

    await refuse(stack, request, 409, "state_conflict", rows=1, signed=True)
