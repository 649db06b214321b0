"""Heads of the certificate ledger as records: one order, one writer, leaves that anyone can prove."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from pki.anchored_head import head_statement
from pki.anchoring import anchor, anchored_head
from pki.errors import LedgerError
from pki.identity import TRUST_DOMAIN_DEFAULT
from pki.ledger import LedgerHead
from signing.evidence.entry import HASHED, parse_entry
from signing.evidence.tile_places import tiles_to_read
from signing.evidence.tiles import node_from_tiles
from signing.evidence.tree import inclusion_path, leaf_hash, verify_inclusion
from tests.integration.evidence.anchored_tree import AnchoredTree, statements, tree
from tests.integration.evidence.evidence_stack import SETTLE_S_MAX, LogStack, record_of
from tests.integration.payments.payments_stack import until
from tests.integration.postgres_server import ROLES

__all__ = ["tree"]  # the fixture

DIGEST = "ab" * 32
ANCHOR = "select evidence.anchor_ledger_head($1, $2, $3)"
WITHOUT_RIGHT = [role for role in ROLES if role != "pki"]


async def test_a_head_becomes_a_leaf_that_anyone_can_prove_with_the_statement_alone(
    log: LogStack, tree: AnchoredTree
) -> None:
    log.add_witness()
    log.add_sequencer()
    await log.accept(3)

    assert None is await tree.anchor_now()
    await log.accept(3)
    leaves = await log.settled()
    size = await log.cosigned()
    newest = await asyncio.to_thread(anchored_head, deployment=tree.deployment, certs=tree.certs)
    assert newest is not None
    index, checkpoint = newest.leaf_index, (await log.checkpoints())[-1]
    assert index is not None
    rows = await log.world.owner.fetch("select level, index, hashes from evidence.tile")
    tiles = {(row["level"], row["index"]): row["hashes"] for row in rows}
    assert tiles_to_read((index,), size) <= set(tiles)
    path = inclusion_path(index, size, node_from_tiles(lambda level, at: tiles.get((level, at), b"")))
    (row,) = await log.world.owner.fetch("select * from evidence.record where kind = 'ledger-head'")
    entry = record_of(row).entry()

    assert (tree.head, TRUST_DOMAIN_DEFAULT) == (newest.head, newest.trust_domain)
    # Both sides of the statement: what the database wrote is what this package would have written.
    assert [head_statement(replace(newest, leaf_index=None))] == await statements(log)
    assert (leaf_hash(entry), leaves) == (leaves[index], await log.records_as_leaves())
    assert (newest.record, "-", "-") == (
        parse_entry(entry).subject, parse_entry(entry).merchant_id, parse_entry(entry).key_id,
    )  # fmt: skip
    verify_inclusion(leaf_hash(entry), index, size, path, checkpoint.root)


async def test_the_same_head_again_changes_nothing_and_is_answered_as_before(
    log: LogStack, tree: AnchoredTree
) -> None:
    head = tree.head
    anchored = [
        await asyncio.to_thread(anchor, head, deployment=tree.deployment, certs=tree.certs) for _ in range(2)
    ]
    remembered_before = [await tree.anchor_now(), (tree.certs / "anchor.json").read_bytes()]
    remembered_after = [await tree.anchor_now(), (tree.certs / "anchor.json").read_bytes()]

    assert anchored[0] == anchored[1]
    assert 1 == len(await statements(log))
    assert remembered_before == remembered_after
    assert abs(anchored[0].at - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_number_at_or_below_the_newest_with_another_digest_is_refused(
    log: LogStack, tree: AnchoredTree
) -> None:
    record = tree.record()
    first = await asyncio.to_thread(record.anchor, LedgerHead(5, DIGEST))
    second = await asyncio.to_thread(record.anchor, LedgerHead(9, DIGEST))

    for seq, digest in ((9, "cd" * 32), (5, "cd" * 32), (7, DIGEST), (1, DIGEST)):
        with pytest.raises(LedgerError, match="does not follow"):
            await asyncio.to_thread(record.anchor, LedgerHead(seq, digest))

    assert first == await asyncio.to_thread(record.anchor, LedgerHead(5, DIGEST))
    assert [second, first] == await asyncio.to_thread(record.heads)
    assert second == await asyncio.to_thread(record.newest)
    assert 2 == len(await statements(log))


async def test_all_heads_are_read_page_by_page_newest_first(
    tree: AnchoredTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seq in (1, 2, 3, 5, 8):
        await asyncio.to_thread(tree.record().anchor, LedgerHead(seq, DIGEST))
    monkeypatch.setattr("pki.anchoring.HEADS_PER_PAGE_MAX", 2)

    assert [8, 5, 3, 2, 1] == [each.head.seq for each in await asyncio.to_thread(tree.record().heads)]


async def test_a_head_waits_for_the_one_that_is_being_anchored_and_then_must_follow_it(log: LogStack) -> None:
    first, second = [await log.server.connect("pki", log.database) for _ in range(2)]
    try:
        async with asyncio.TaskGroup() as tasks:
            transaction = first.transaction()
            await transaction.start()
            await first.fetchval(ANCHOR, TRUST_DOMAIN_DEFAULT, 3, DIGEST)
            earlier = tasks.create_task(
                asyncio.wait_for(_refused(second, LedgerHead(2, DIGEST)), SETTLE_S_MAX)
            )

            async def waits() -> bool:
                return earlier.done() or bool(
                    await log.world.owner.fetchval(
                        "select count(*) from pg_locks where locktype = 'advisory' and not granted"
                    )
                )

            await until(waits, SETTLE_S_MAX)
            await transaction.commit()

        assert earlier.result()
        assert 1 == len(await statements(log))
    finally:
        await first.close()
        await second.close()


async def _refused(connection: asyncpg.Connection, head: LedgerHead) -> bool:
    try:
        await connection.fetchval(ANCHOR, TRUST_DOMAIN_DEFAULT, head.seq, head.digest)
    except asyncpg.PostgresError as fault:
        return fault.sqlstate == "CM409"
    return False


@pytest.mark.parametrize("role", WITHOUT_RIGHT)
async def test_no_other_role_anchors_or_reads_heads(log: LogStack, role: str) -> None:
    connection = await log.server.connect(role, log.database)
    try:
        for call in (
            f"evidence.anchor_ledger_head('a.internal', 1, '{DIGEST}')",
            "evidence.ledger_heads(null, 1)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.fetch(f"select * from {call}")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "select * from evidence.ledger_head",
        "select * from evidence.record",
        "insert into evidence.ledger_head values (1, 'countermark.internal', '', 'ledger-head', 'ledger-1')",
        "select * from evidence.pending('0', 0, 1)",
        "select * from evidence.find_record('-', 'ledger-head', 'ledger-1')",
    ],
)
async def test_the_role_of_the_ledger_may_do_nothing_else(log: LogStack, statement: str) -> None:
    connection = await log.server.connect("pki", log.database)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("trust_domain", "sequence", "digest"),
    [
        ("countermark.internal", 0, DIGEST), ("countermark.internal", -1, DIGEST),
        ("countermark.internal", 1, "AB" * 32), ("countermark.internal", 1, "ab"),
        ("countermark.internal\nsequence: 9", 1, DIGEST), ("", 1, DIGEST), (None, 1, DIGEST),
        ("countermark.internal", None, DIGEST), ("countermark.internal", 1, None),
    ],
)  # fmt: skip
async def test_a_head_out_of_form_is_not_recorded(
    log: LogStack, trust_domain: str | None, sequence: int | None, digest: str | None
) -> None:
    connection = await log.server.connect("pki", log.database)
    try:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.fetchval(ANCHOR, trust_domain, sequence, digest)
    finally:
        await connection.close()

    assert [] == await statements(log)


async def test_heads_are_anchored_in_a_transaction_of_their_own(log: LogStack) -> None:
    connection = await log.server.connect("pki", log.database)
    try:
        with pytest.raises(asyncpg.InvalidTransactionStateError):
            async with connection.transaction(isolation="repeatable_read"):
                await connection.fetchval(ANCHOR, TRUST_DOMAIN_DEFAULT, 1, DIGEST)
        async with connection.transaction():
            await connection.fetchval("select pg_current_xact_id()")
            with pytest.raises(asyncpg.InvalidTransactionStateError):
                await connection.fetchval(ANCHOR, TRUST_DOMAIN_DEFAULT, 1, DIGEST)
    finally:
        await connection.close()


@pytest.mark.parametrize("table", ["evidence.ledger_head", "evidence.record"])
async def test_anchored_heads_cannot_be_changed_even_by_the_owner(
    log: LogStack, tree: AnchoredTree, table: str
) -> None:
    assert None is await tree.anchor_now()

    for change in (
        f"update {table} set subject = subject",
        f"delete from {table}",
        f"truncate {table} cascade",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await log.world.owner.execute(change)


@pytest.mark.parametrize(
    ("column", "value"),
    [("merchant_id", "mer_one"), ("key_id", "A" * 43), ("decision", "refused:x"), ("statement", None),
     ("request_body", b"x"), ("statement_signature", bytes(64))],
)  # fmt: skip
async def test_the_table_refuses_a_head_that_no_entry_could_be_made_of(
    log: LogStack, column: str, value: object
) -> None:
    values = {
        "kind": "ledger-head", "subject": "ledger-1", "merchant_id": "-", "key_id": "-",
        "decision": "accepted",
        "decided_at": datetime.now(UTC), "statement": b"x", column: value,
    }  # fmt: skip
    assert set(values) <= {"kind", "subject", "merchant_id", "key_id", "decision", "decided_at", *HASHED}
    places = ", ".join(f"${number}" for number in range(1, len(values) + 1))

    with pytest.raises(asyncpg.CheckViolationError):
        await log.world.owner.execute(
            f"insert into evidence.record ({', '.join(values)}) values ({places})", *values.values()
        )


async def test_a_database_keeps_the_heads_of_one_authority(log: LogStack, tree: AnchoredTree) -> None:
    connection = await log.server.connect("pki", log.database)
    try:
        await connection.fetchval(ANCHOR, "another.internal", 1, DIGEST)
        with pytest.raises(asyncpg.PostgresError, match="does not follow"):
            await connection.fetchval(ANCHOR, TRUST_DOMAIN_DEFAULT, 2, DIGEST)
    finally:
        await connection.close()

    with pytest.raises(LedgerError, match=r"holds heads of another\.internal"):
        await asyncio.to_thread(tree.record().newest)
