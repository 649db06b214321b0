"""What can be accepted can be proven, and what must not lie in an archive does not."""

from __future__ import annotations

import json
from dataclasses import replace

import asyncpg
import pytest

from services.evidence.store import Store
from signing import SigningKey
from signing.evidence.archive import unpack
from signing.evidence.layout import CHAIN_MAX
from signing.evidence.verification import verify_bundle
from signing.profile import BODY_BYTES_MAX
from tests.integration.gateway.gateway_stack import Gateway, Merchant
from tests.integration.gateway.merchant_requests import first_key_request, payment_request, post, problem
from tests.integration.gateway.test_gateway_evidence import append_all, export, log, pay, trusted
from tests.integration.gateway.test_gateway_keys import later_key_request

__all__ = ["log"]  # the fixture


@pytest.mark.parametrize(
    "extra",
    [
        (("X-Empty", ""),),
        (("X-Tab", "a\tb"),),
        (("X-Latin", "caf\xe9 \xa0\x85"),),
        (("X-Twice", "1"), ("x-twice", "2")),
        (("X-Colon", ": : "), ("Accept", "*/*"), ("TE", "trailers")),
        tuple((f"X-Many-{number}", "v" * 100) for number in range(70)),
        (("X-Long", "x" * 7000), ("X-Longer", "y" * 5000)),
        (("Signature-Agent", '"https://agent.example"'), ("Content-Language", "de")),
    ],
    ids=lambda extra: str(extra[0][0]),
)
async def test_whatever_header_a_payment_came_with_its_evidence_can_be_exported(
    stack: Gateway, log: Store, extra: tuple[tuple[str, str], ...]
) -> None:
    merchant = await stack.merchant()
    answer = await stack.send(stack.sign(payment_request().with_headers(extra), merchant.key))
    assert 202 == answer.status, answer.body
    payment_id = str(json.loads(answer.body)["id"])
    await append_all(stack, log)

    exported = await export(stack, merchant, payment_id)

    assert payment_id == verify_bundle(unpack(exported.body), await trusted(stack)).subject


async def test_the_evidence_of_the_longest_body_can_be_exported(stack: Gateway, log: Store) -> None:
    merchant = await stack.merchant()
    body = (payment_request().body or b"").ljust(BODY_BYTES_MAX)
    answer = await stack.send(stack.sign(post("/v1/payments", body), merchant.key))
    assert 202 == answer.status, answer.body
    await append_all(stack, log)

    exported = await export(stack, merchant, json.loads(answer.body)["id"])

    assert body == unpack(exported.body)["payment/request.body"]


async def test_a_chain_of_keys_that_no_bundle_could_hold_is_not_begun(stack: Gateway, log: Store) -> None:
    merchant = await stack.enrol("Long chain", "EUR")
    keys = [merchant.key]
    answers = []
    for _ in range(CHAIN_MAX):
        keys.append(SigningKey.generate("ed25519"))
        request = later_key_request(merchant, keys[-1])
        answers.append(await stack.send(stack.sign(request, keys[-2])))
    last = Merchant(merchant.merchant_id, keys[CHAIN_MAX - 1])
    payment_id = await pay(stack, last)
    await append_all(stack, log)

    assert [201] * (CHAIN_MAX - 1) + [409] == [answer.status for answer in answers]
    assert "token" in str(problem(answers[-1])["detail"])
    assert 200 == (await export(stack, last, payment_id)).status


async def test_an_unspent_token_stays_out_of_the_archive_whatever_the_method(stack: Gateway) -> None:
    merchant = await stack.merchant()
    enrolled = stack.enrol_only("Misdirected", "EUR")
    request = replace(first_key_request(merchant.key, enrolled), method="PUT")

    answer = await stack.send(stack.sign(request, merchant.key))

    assert 405 == answer.status
    (row,) = await stack.query(
        "select * from evidence.record where subject = $1", problem(answer)["request_id"]
    )
    secret = enrolled["enrolment_token"].partition(".")[2].encode()
    assert [] == [part for part in row.values() if isinstance(part, bytes) and secret in part]


async def test_a_witness_that_nobody_trusts_is_in_the_note_and_in_no_bundle(
    stack: Gateway, log: Store
) -> None:
    merchant = await stack.merchant()
    payment_id = await pay(stack, merchant)
    await append_all(stack, log)

    files = unpack((await export(stack, merchant, payment_id)).body)

    assert b"example.org/witness" in files["checkpoint"]
    assert [] == [name for name in files if name.startswith("keys/witness")]


async def test_a_key_is_revoked_in_a_transaction_of_its_own(stack: Gateway) -> None:
    merchant, other = await stack.enrol("One", "EUR"), await stack.enrol("Two", "EUR")
    revoke = "select registry.revoke_key($1, now(), 'operator', 'lost', null)"
    connection = await stack.server.connect("operator", stack.database)
    try:
        with pytest.raises(asyncpg.InvalidTransactionStateError):  # noqa: PT012 - the second one is refused
            async with connection.transaction():
                await connection.fetchval(revoke, merchant.key.key_id)
                await connection.fetchval(revoke, other.key.key_id)
    finally:
        await connection.close()

    assert [202, 202] == [
        (await stack.send(stack.sign(payment_request(), each.key))).status for each in (merchant, other)
    ]
