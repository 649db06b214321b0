"""Bad input through the whole mesh: the right status and code, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import asyncpg
import pytest

from compose.demo.wire import Exchange
from compose.derive.stores import DATABASE
from compose.launcher.stack import Stack
from pki.tls import client_context
from signing import Request, SigningKey, sign_request
from signing.profile import BODY_BYTES_MAX
from tests.mesh.enrolled_merchant import EnrolledMerchant


@dataclass(frozen=True)
class BadInput:
    """How to spoil a request, and what must come back."""

    status: int
    code: str
    make: Callable[[EnrolledMerchant], Request]


def signed_at(merchant: EnrolledMerchant, *, seconds: int, key: SigningKey | None = None) -> Request:
    headers = (("Content-Type", "application/json"), ("Idempotency-Key", f'"{secrets.token_hex(16)}"'))
    request = Request(
        "POST", f"{merchant.stack.places.origins[0]}/v1/payments", headers, merchant.payment_body()
    )
    now = int(time.time()) + seconds
    added = sign_request(request, key or merchant.key, now=now, nonce=secrets.token_urlsafe(18))
    return request.with_headers(added)


def unsigned(merchant: EnrolledMerchant) -> Request:
    request = merchant.sign_payment()
    return replace(
        request, headers=tuple(h for h in request.headers if not h[0].lower().startswith("signature"))
    )


def wrongly_signed(merchant: EnrolledMerchant) -> Request:
    request, other = merchant.sign_payment(), merchant.sign_payment()
    taken = dict(other.headers)["Signature"]
    return replace(request, headers=tuple((n, taken if n == "Signature" else v) for n, v in request.headers))


def altered_by_one_byte(merchant: EnrolledMerchant) -> Request:
    request = merchant.sign_payment()
    assert request.body is not None
    return replace(request, body=request.body.replace(b"1999", b"1998"))


def with_duplicate(merchant: EnrolledMerchant) -> Request:
    request = merchant.sign_payment()
    return replace(
        request, headers=(*request.headers, ("Content-Digest", dict(request.headers)["Content-Digest"]))
    )


def oversized(merchant: EnrolledMerchant) -> Request:
    return replace(merchant.sign_payment(), body=b" " * (BODY_BYTES_MAX + 1))


def body(text: bytes) -> Callable[[EnrolledMerchant], Request]:
    return lambda merchant: merchant.sign_payment(text)


BAD = {
    "unsigned": BadInput(401, "signature_missing", unsigned),
    "wrongly signed": BadInput(401, "signature_invalid", wrongly_signed),
    "expired": BadInput(401, "signature_expired", lambda m: signed_at(m, seconds=-400)),
    "unknown key": BadInput(
        401, "key_unknown", lambda m: signed_at(m, seconds=0, key=SigningKey.generate("ed25519"))
    ),
    "body altered by one byte": BadInput(401, "digest_mismatch", altered_by_one_byte),
    "wrong JSON": BadInput(400, "malformed_json", body(b'{"kind": "collect", ')),
    "float amount": BadInput(
        422,
        "validation_failed",
        body(b'{"kind":"collect","amount":19.99,"currency":"EUR","instrument":"tok_x"}'),
    ),
    "oversized body": BadInput(413, "too_large", oversized),
    "duplicate headers": BadInput(400, "header_duplicated", with_duplicate),
}


async def rows(stack: Stack) -> dict[str, int]:
    """Row counts of everything that a refused request must not touch, read as the owner of the schemas."""
    address = stack.places.addresses["postgres.tls"]
    context = client_context(
        stack.places.identity("migrator"), expect=frozenset({stack.mesh.spiffe("postgres")})
    )
    connection = await asyncpg.connect(
        host=address.host, port=address.port, user="migrator", database=DATABASE, ssl=context
    )
    try:
        tables = ("payments.payment", "payments.event", "evidence.record", "payments.idempotency_key",
                  "payments.attempt", "registry.merchant_key")  # fmt: skip
        only = {"evidence.record": "where kind <> 'access-batch'"}  # That one follows by itself.
        return {t: await connection.fetchval(f"select count(*) from {t} {only.get(t, '')}") for t in tables}
    finally:
        await connection.close()


async def answer_of(merchant: EnrolledMerchant, request: Request) -> tuple[int, dict[str, object]]:
    """Status and problem of a refusal; refusals of a known key carry a receipt, others cannot."""
    session = merchant.wire._session
    async with session.request(
        request.method, request.target_uri, headers=list(request.headers), data=request.body,
        ssl=merchant.wire._trust(),
    ) as answer:  # fmt: skip
        problem: dict[str, object] = json.loads(await answer.read())
        assert answer.headers["Content-Type"] == "application/problem+json"
        return answer.status, problem


@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_refused_by_its_code_and_leaves_nothing(
    stack: Stack, merchant: EnrolledMerchant, name: str
) -> None:
    bad, before = BAD[name], await rows(stack)
    pid = stack.supervisor.pids()["gateway"]

    status, problem = await answer_of(merchant, bad.make(merchant))

    assert (bad.status, bad.code) == (status, problem["code"])
    # Of a recognised sender the whole exchange is kept; of anybody else nothing.
    recognised = name in ("wrong JSON", "float amount")
    left = {"evidence.record": before["evidence.record"] + recognised}
    assert before | left == await rows(stack)
    assert pid == stack.supervisor.pids()["gateway"]


async def test_the_same_key_with_another_body_is_refused_with_a_receipt(
    stack: Stack, merchant: EnrolledMerchant
) -> None:
    idempotency_key = secrets.token_hex(16)
    first: Exchange = await merchant.wire.send(merchant.sign_payment(idempotency_key=idempotency_key))
    other = merchant.sign_payment(merchant.payment_body(amount=2000), idempotency_key)

    refused = await merchant.wire.send(other)

    assert 202 == first.response.status
    assert 422 == refused.response.status
    assert "idempotency_key_reused" == json.loads(refused.response.body)["code"]


async def test_merchants_are_offered_nothing_below_tls_1_3(stack: Stack) -> None:
    context = ssl.create_default_context(cafile=str(stack.places.identity("supervisor") / "trust.pem"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    address = stack.places.addresses["edge.public"]

    with pytest.raises(ssl.SSLError, match=r"(?i)alert protocol version"):
        await asyncio.open_connection(
            address.host, address.port, ssl=context, server_hostname=stack.mesh.dns("edge")
        )
