"""Evidence through the gateway: pending, exported, verified offline; nothing of it for anybody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from gateway.api.evidence import WITNESS_GRACE
from services.evidence.sequencer import Sequencer
from services.evidence.store import Store
from services.node.postgres import open_pool
from signing import Response, SigningKey
from signing.evidence.archive import unpack
from signing.evidence.checkpoint import parse_checkpoint_body
from signing.evidence.note import cosign, parse_note, verify_log_signature
from signing.evidence.tiles import TILE_WIDTH, node_from_tiles, tile_path
from signing.evidence.tree import root
from signing.evidence.trust import TrustedKeys, parse_trust
from signing.evidence.verification import verify_bundle
from tests.integration.gateway.gateway_stack import LOG_NAME, Gateway, Merchant
from tests.integration.gateway.merchant_requests import (
    get,
    header,
    payment_request,
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


def whole_and_last(size: int) -> list[tuple[int, int, int]]:
    """Level, index and width of every tile of a log with so many leaves."""
    found: list[tuple[int, int, int]] = []
    level, hashes = 0, size
    while hashes:
        starts = range(0, hashes, TILE_WIDTH)
        found += [(level, start // TILE_WIDTH, min(TILE_WIDTH, hashes - start)) for start in starts]
        level, hashes = level + 1, hashes // TILE_WIDTH
    return found


async def test_the_published_tiles_give_the_published_root(stack: Gateway, log: Store) -> None:
    merchant = await stack.merchant()
    await pay(stack, merchant)
    await append_all(stack, log)
    where = "/.well-known/countermark-log/"

    note = parse_note((await stack.send(get(f"{where}checkpoint"))).body)
    checkpoint = parse_checkpoint_body(note.body)
    places = whole_and_last(checkpoint.size)
    tiles = {place: (await stack.send(get(where + tile_path(*place)))).body for place in places}
    absent = await stack.send(get(where + tile_path(0, 7)))
    misspelt = await stack.send(get(f"{where}tile/00/000"))

    verify_log_signature(note, LOG_NAME, stack.log_key.verifying_key)
    read = {(level, index): body for (level, index, _), body in tiles.items()}
    assert checkpoint.root == root(
        checkpoint.size, node_from_tiles(lambda level, index, *_: read[level, index])
    )
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
