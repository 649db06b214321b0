"""Evidence through the gateway: pending, exported, verified offline; nothing of it for anybody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import pytest

from gateway.api.evidence import WITNESS_GRACE
from services.evidence.sequencer import Sequencer
from services.evidence.store import Store
from services.node.postgres import open_pool
from signing import Response, SigningKey
from signing.evidence.archive import unpack
from signing.evidence.checkpoint import parse_checkpoint_body
from signing.evidence.layout import CHAIN_MAX
from signing.evidence.note import cosign, parse_note, verify_log_signature
from signing.evidence.tiles import node_from_tiles, tile_path
from signing.evidence.tree import root
from signing.evidence.trust import TrustedKeys, parse_trust
from signing.evidence.verification import verify_bundle
from signing.profile import BODY_BYTES_MAX
from tests.integration.gateway.gateway_stack import LOG_NAME, Gateway, Merchant
from tests.integration.gateway.merchant_requests import (
    first_key_request,
    get,
    header,
    payment_request,
    post,
    problem,
)
from tests.integration.gateway.test_gateway_keys import later_key_request


@pytest.fixture
async def log(stack: Gateway) -> AsyncIterator[Store]:
    """The log's own store, as the role `evidence`; the test says when it appends."""
    config = stack.config.__class__(
        **{name: getattr(stack.config, name) for name in stack.config.__struct_fields__}
        | {
            "name": "evidence",
            "identity": str(stack.server.pki.identity("evidence")),
            "postgres": stack.server.reach("evidence", stack.database),
        }
    )
    async with open_pool(config, config.postgres, connections_max=2) as pool:
        yield Store(pool)


async def append_all(stack: Gateway, log: Store, *, witnessed: bool = True) -> None:
    """Let the sequencer write what waits; as if a witness had seen it, or had been away for its grace."""
    sequencer = Sequencer(log, LOG_NAME, stack.log_key)
    while await log.append_next(sequencer._sign) is not None:
        pass
    newest = await log.newest_checkpoint()
    assert newest is not None
    if witnessed:
        line = cosign(parse_note(newest.note).body, "example.org/witness", SigningKey.generate("ed25519"), 1)
        await log.cosign(newest.size, "example.org/witness", line.encode())


async def pay(stack: Gateway, merchant: Merchant) -> str:
    answer = await stack.send(stack.sign(payment_request(), merchant.key))
    assert 202 == answer.status, answer.body
    return str(json.loads(answer.body)["id"])


async def export(stack: Gateway, merchant: Merchant, payment_id: str) -> Response:
    request = stack.sign(get(f"/v1/payments/{payment_id}/evidence"), merchant.key)
    answer = await stack.send(request)
    await stack.receipt(request, answer)
    return answer


async def trusted(stack: Gateway) -> TrustedKeys:
    return parse_trust((await stack.send(get("/.well-known/countermark-trust"))).body)


async def test_evidence_is_pending_until_a_checkpoint_covers_it_and_then_verifies_offline(
    stack: Gateway, log: Store
) -> None:
    merchant = await stack.enrol("Evidence", "EUR")
    payment_id = await pay(stack, merchant)

    pending = await export(stack, merchant, payment_id)
    await append_all(stack, log)
    exported = await export(stack, merchant, payment_id)

    assert (409, "evidence_pending", "1") == (
        pending.status, problem(pending)["code"], header(pending, "Retry-After")
    )  # fmt: skip
    assert (200, "application/gzip") == (exported.status, header(exported, "Content-Type"))
    bundle = verify_bundle(unpack(exported.body), await trusted(stack))
    assert (payment_id, merchant.merchant_id, merchant.key.key_id) == (
        bundle.subject, bundle.merchant_id, bundle.key_id
    )  # fmt: skip


async def test_being_asked_too_early_is_no_refusal_and_leaves_nothing(stack: Gateway, log: Store) -> None:
    merchant = await stack.merchant()
    payment_id = await pay(stack, merchant)
    before = await stack.footprint()

    assert 409 == (await export(stack, merchant, payment_id)).status
    assert before == await stack.footprint()


async def test_an_unwitnessed_checkpoint_serves_after_its_grace(stack: Gateway, log: Store) -> None:
    merchant = await stack.merchant()
    payment_id = await pay(stack, merchant)
    await append_all(stack, log, witnessed=False)

    at_once = await export(stack, merchant, payment_id)
    # As time would: the grace is only ever compared with the checkpoint's age.
    await stack.query("alter table evidence.checkpoint disable trigger append_only")
    await stack.query("update evidence.checkpoint set at = at - $1::interval", WITNESS_GRACE)
    await stack.query("alter table evidence.checkpoint enable trigger append_only")
    later = await export(stack, merchant, payment_id)

    assert (409, 200) == (at_once.status, later.status)
    verify_bundle(unpack(later.body), await trusted(stack))


async def test_the_evidence_of_a_key_that_another_vouched_for_leads_back_to_the_first(
    stack: Gateway, log: Store
) -> None:
    merchant, second = await stack.enrol("Chain", "EUR"), SigningKey.generate("ecdsa-p256-sha256")
    registered = await stack.send(stack.sign(later_key_request(merchant, second), merchant.key))
    payment_id = await pay(stack, Merchant(merchant.merchant_id, second))
    await append_all(stack, log)

    exported = await export(stack, merchant, payment_id)

    assert 201 == registered.status
    files = unpack(exported.body)
    assert second.key_id == verify_bundle(files, await trusted(stack)).key_id
    assert {"registration/statement", "registration-2/statement"} <= files.keys()


async def test_what_was_accepted_before_a_revocation_stays_good_evidence(stack: Gateway, log: Store) -> None:
    merchant, second = await stack.enrol("Lost", "EUR"), SigningKey.generate("ed25519")
    await stack.send(stack.sign(later_key_request(merchant, second), merchant.key))
    before = await pay(stack, merchant)
    since = ("--compromised-since", "2026-10-01T08:00:00Z")
    done = stack.operate("revoke-key", merchant.key.key_id, "--reason", "laptop stolen", *since)
    refused = await stack.send(stack.sign(payment_request(), merchant.key))
    await append_all(stack, log)

    exported = await export(stack, Merchant(merchant.merchant_id, second), before)

    assert 0 == done.returncode, done.stderr
    assert (401, "key_revoked") == (refused.status, problem(refused)["code"]), "at once, not in seconds"
    files = unpack(exported.body)
    verify_bundle(files, await trusted(stack))
    assert b"revoked-at-index: none" not in files["history"].partition(b"\n\n")[0]
    assert b"compromised-since: 2026-10-01T08:00:00.000000Z" in files["history"]


async def test_a_merchant_sees_nobody_elses_evidence(stack: Gateway, log: Store) -> None:
    merchant, other = await stack.merchant(), await stack.enrol("Stranger", "EUR")
    payment_id = await pay(stack, merchant)
    await append_all(stack, log)

    refused = await export(stack, other, payment_id)

    assert (404, "not_found") == (refused.status, problem(refused)["code"])


async def test_the_published_tiles_give_the_published_root(stack: Gateway, log: Store) -> None:
    merchant = await stack.merchant()
    await pay(stack, merchant)
    await append_all(stack, log)
    where = "/.well-known/countermark-log/"

    note = parse_note((await stack.send(get(f"{where}checkpoint"))).body)
    checkpoint = parse_checkpoint_body(note.body)
    tile = await stack.send(get(where + tile_path(0, 0, checkpoint.size)))
    absent = await stack.send(get(where + tile_path(0, 7)))
    misspelt = await stack.send(get(f"{where}tile/00/000"))

    verify_log_signature(note, LOG_NAME, stack.log_key.verifying_key)
    assert checkpoint.size < 256, "this module's log has one tile"
    assert checkpoint.root == root(checkpoint.size, node_from_tiles(lambda *_: tile.body))
    assert (404, 404) == (absent.status, misspelt.status)


async def test_the_kept_head_has_no_credential_and_nothing_that_the_mesh_added(stack: Gateway) -> None:
    merchant = await stack.merchant()
    request = payment_request()
    extra = (("Authorization", "Bearer secret"), ("Cookie", "a=secret"), ("X-Trace", "mine"))
    signed = stack.sign(request.with_headers(extra), merchant.key)

    answer = await stack.send(signed)

    (row,) = await stack.query(
        "select request_head from evidence.record where subject = $1", json.loads(answer.body)["id"]
    )
    head = row["request_head"].decode()
    assert head.startswith("POST /v1/payments\nHost: ")
    assert "X-Trace: mine\n" in head
    assert "secret" not in head
    assert "x-forwarded" not in head.lower()


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
