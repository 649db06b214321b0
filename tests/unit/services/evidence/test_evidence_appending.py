from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from services.evidence.appending import Head, entry_of, plan_append
from signing.evidence.entry import HASHED, Record
from signing.evidence.errors import EvidenceRefused
from signing.evidence.tree import leaf_hash, node_hash

KEY_ID = "A" * 43
AT = datetime(2026, 11, 25, 14, 0, 0, 123456, tzinfo=UTC)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A record that waits, as the database describes it."""
    digests = {name: sha256(f"{name} {number}".encode()).digest() for name in HASHED[:7]}
    return {
        "kind": "payment", "subject": f"pay_eu_{number}", "merchant_id": "mer_eu_one", "key_id": KEY_ID,
        "decision": "accepted", "decided_at": AT, **digests, "statement": None, "statement_signature": None,
        "xid": 700 + number, "position": number, **changes,
    }  # fmt: skip


def test_the_entry_of_digests_is_the_entry_of_the_record() -> None:
    parts = {name: f"{name} 1".encode() for name in HASHED[:7]}
    parts |= {"request_signature": bytes(64), "receipt_signature": bytes(64)}
    record = Record(
        "payment", "pay_eu_1", "mer_eu_one", KEY_ID, "accepted", "2026-11-25T14:00:00.123456Z", **parts
    )
    digests = {name: sha256(part).digest() for name, part in parts.items()}

    assert record.entry() == entry_of(row(1, **digests)).serialise()


def test_a_ledgers_head_is_a_leaf_like_every_record() -> None:
    statement = b"whatever the ledger states"
    head = dict.fromkeys(HASHED) | {"statement": sha256(statement).digest()}
    names = {"kind": "ledger-head", "subject": "ledger-12", "merchant_id": "-", "key_id": "-"}
    record = Record(
        "ledger-head", "ledger-12", "-", "-", "accepted", "2026-11-25T14:00:00.123456Z", statement=statement
    )
    batch = plan_append(Head(0, 0, 0), [row(1), row(2, **head, **names)], lambda *_: b"")

    assert leaf_hash(record.entry()) == batch.leaf_hashes[1]
    assert ("ledger-head", "ledger-12") == (batch.kinds[1], batch.subjects[1])


def test_a_batch_continues_where_the_log_ends() -> None:
    first = plan_append(Head(0, 0, 0), [row(1), row(2)], lambda *_: b"")
    stored = {(tile.level, tile.index): tile.hashes for tile in first.tiles}
    second = plan_append(
        Head(first.size, first.last_xid, first.last_position), [row(3)], lambda *place: stored[place]
    )

    hashes = [leaf_hash(entry_of(row(number)).serialise()) for number in (1, 2, 3)]
    assert (2, 702, 2) == (first.size, first.last_xid, first.last_position)
    assert node_hash(*hashes[:2]) == first.root
    assert (2, 3, [hashes[2]]) == (second.size_before, second.size, second.leaf_hashes)
    assert node_hash(node_hash(*hashes[:2]), hashes[2]) == second.root


def test_a_record_that_cannot_be_a_leaf_stops_the_batch() -> None:
    with pytest.raises(EvidenceRefused):
        plan_append(Head(0, 0, 0), [row(1), row(2, merchant_id="two\nlines")], lambda *_: b"")


def test_a_tile_that_lacks_a_hash_stops_the_batch() -> None:
    with pytest.raises(EvidenceRefused):
        plan_append(Head(3, 0, 0), [row(4)], lambda *_: bytes(64))
